//! Embed: every picture's [CLS] feature, patch tokens and foreground, once per space.

use std::sync::Arc;

use arrow::array::{Float32Array, RecordBatch};
use tch::Kind as Number;

use crate::clip::{ClipConfig, VisionTower};
use crate::device::guarded;
use crate::error::{Context, Kind, Result};
use crate::fusion::foreground::Saliency;
use crate::fusion::normalize;
use crate::stage::feed::Views;
use crate::stage::forward::{self, Target, Work};
use crate::stage::pictures::Pictures;
use crate::stage::pixels::Normaliser;
use crate::store::space::Space;
use crate::table::{self, Dims, arrays, tensor};

/// The sizes that a schema of image features is bound to.
pub fn dims(config: &ClipConfig) -> Dims {
    Dims::new()
        .with("d", config.joint as usize)
        .with("D", config.vision.width as usize)
        .with("N", config.vision.patches() as usize)
}

/// Embeds the pictures that the space does not have. `tower` is built only where there are some. Returns the number of
/// pictures that went through it.
///
/// # Errors
/// Where a picture, the tower or the store fails, or stopping was asked for.
pub async fn embed(
    work: Work<'_>,
    space: &Space,
    saliency: Saliency,
    tower: impl FnOnce() -> Result<(VisionTower, Normaliser)>,
) -> Result<u64> {
    let Work { pictures, config, preprocess, store, .. } = work;
    let partition = store.partition("embeddings", &space.id())?;
    let todo = forward::missing(pictures, &partition)?;
    let schema = table::table("embeddings")?.arrow(&dims(config))?;
    let target = Target { stage: "embed", partition, schema: schema.clone(), footer: space.footer() };
    let prepared = preprocess.clone();
    let make = move |pictures: &Pictures, index| {
        let pixels = prepared.centre_view(&pictures.load(index)?)?;
        Ok(Views { pixels, boxes: Vec::new() })
    };
    let model = if todo.is_empty() { None } else { Some(tower()?) };
    let id = space.id();
    forward::stream(work, todo, target, make, |batch, ids| {
        let Some((tower, normaliser)) = &model else { unreachable!("without pictures there are no batches") };
        guarded("embedding pictures", || {
            let _no_grad = tch::no_grad_guard();
            let seen = tower.forward(&normaliser.forward(&batch.pixels)?);
            // Computed from what is stored, so that whoever reads the tokens back finds the same mask.
            let tokens = seen.patch_tokens.to_kind(Number::Half);
            let cut = saliency.cut(&tokens);
            let columns = vec![
                arrays::repeated(&id, ids.len()),
                arrays::text(&ids),
                tensor::to_vectors(&normalize(&seen.cls.to_kind(Number::Float)))?,
                tensor::to_vectors(&seen.cls_token.to_kind(Number::Float))?,
                tensor::to_tensors_f16(&tokens)?,
                Arc::new(Float32Array::from(tensor::numbers(&cut.gap)?)),
                tensor::to_tensors_u8(&cut.mask)?,
            ];
            RecordBatch::try_new(schema.clone(), columns)
                .context(Kind::Store, || "cannot make table embeddings".to_owned())
        })
    })
    .await
}
