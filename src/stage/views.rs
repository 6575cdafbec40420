//! Views: the features of V random crops of every picture, once per space (method section 6).
//!
//! The crops are cached as features, not only as logits, so that other class names or sentences cost a matrix product.

use arrow::array::RecordBatch;
use tch::Kind as Number;

use crate::device::guarded;
use crate::error::{Context, Kind, Result};
use crate::fusion::normalize;
use crate::image::{ViewSpec, views};
use crate::stage::feed::{PixelBatch, Views};
use crate::stage::forward::{self, Grouping, Target, Work};
use crate::stage::frozen::FrozenTower;
use crate::stage::pictures::Pictures;
use crate::store::space::Space;
use crate::table::{self, arrays, tensor};

/// Embeds the crops of the pictures that the space does not have; all crops of a picture come from one decode. `tower` is built
/// only where there are some. Returns the number of crops that went through it.
///
/// # Errors
/// Where a picture, the tower or the store fails, or stopping was asked for.
pub async fn views(
    work: Work<'_>,
    space: &Space,
    spec: &ViewSpec,
    tower: impl FnOnce() -> Result<FrozenTower>,
) -> Result<u64> {
    let Work { pictures, config, preprocess, store, .. } = work;
    let partition = store.partition("view_features", &space.id())?;
    let todo = forward::missing(pictures, &partition)?;
    let dims = super::embed::dims(config).with("V", spec.count);
    let schema = table::table("view_features")?.arrow(&dims)?;
    let target = Target { stage: "views", partition, schema: schema.clone(), footer: space.footer() };
    let (side, filter, spec) = (preprocess.crop, preprocess.filter, *spec);
    let count = spec.count;
    let make = move |pictures: &Pictures, index: usize| {
        let picture = pictures.load(index)?;
        let cuts = views::boxes(&spec, &pictures.rows()[index].id, picture.width, picture.height);
        let numbers = cuts.iter().flat_map(|cut| [cut.left, cut.top, cut.width, cut.height].map(|n| n as f32));
        Ok(Views { pixels: views::crops(&picture, &cuts, side, filter)?, boxes: numbers.collect() })
    };
    let id = space.id();
    // A picture is V forwards here.
    let grouping = Grouping { batch: (work.grouping.batch / count).max(1), ..work.grouping };
    let rows = move |tower: &FrozenTower, PixelBatch { pictures, pixels, boxes }: PixelBatch<String>| {
        guarded("embedding views", || {
            let _no_grad = tch::no_grad_guard();
            let features = tower.see(&pixels, grouping.batch * count)?.cls.to_kind(Number::Float);
            let columns = vec![
                arrays::repeated(&id, pictures.len()),
                arrays::text(&pictures),
                tensor::to_vectors(&normalize(&features).view([pictures.len() as i64, -1]))?,
                arrays::fixed_list_f32(&boxes, 4 * count)?,
            ];
            RecordBatch::try_new(schema.clone(), columns)
                .context(Kind::Store, || "cannot make table view_features".to_owned())
        })
    };
    let done = forward::stream(Work { grouping, ..work }, todo, target, make, tower, rows).await?;
    Ok(done * count as u64)
}
