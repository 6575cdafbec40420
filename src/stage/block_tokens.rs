//! Block tokens: what goes into one block of the frozen vision tower, once per space.
//!
//! Adaptation from that block on starts from here: the blocks before it never run again, and their LayerNorms stay as they are.

use arrow::array::RecordBatch;
use tch::Kind as Number;

use crate::device::guarded;
use crate::error::{Context, Kind, Result};
use crate::stage::feed::{PixelBatch, Views};
use crate::stage::forward::{self, Target, Work};
use crate::stage::frozen::FrozenTower;
use crate::stage::pictures::Pictures;
use crate::store::space::Space;
use crate::table::{self, Dims, arrays, tensor};

/// Runs the pictures that the space does not have up to the input of block `block`. `tower` is built only where there are
/// some. Returns the number of pictures that went through it.
///
/// # Errors
/// Where a picture, the tower or the store fails, or stopping was asked for.
pub async fn block_tokens(
    work: Work<'_>,
    space: &Space,
    block: usize,
    tower: impl FnOnce() -> Result<FrozenTower>,
) -> Result<u64> {
    let Work { pictures, config, preprocess, store, .. } = work;
    let partition = store.partition("block_tokens", &space.id())?;
    let todo = forward::missing(pictures, &partition)?;
    let dims = Dims::new().with("D", config.vision.width as usize).with("T", 1 + config.vision.patches() as usize);
    let schema = table::table("block_tokens")?.arrow(&dims)?;
    let target = Target { stage: "block tokens", partition, schema: schema.clone(), footer: space.footer() };
    let prepared = preprocess.clone();
    let make = move |pictures: &Pictures, index| {
        let pixels = prepared.centre_view(&pictures.load(index)?)?;
        Ok(Views { pixels, boxes: Vec::new() })
    };
    let (id, batch) = (space.id(), work.grouping.batch);
    let rows = move |tower: &FrozenTower, PixelBatch { pictures, pixels, .. }: PixelBatch<String>| {
        guarded("running the first blocks", || {
            let _no_grad = tch::no_grad_guard();
            let tokens = tower.tokens_at(block, &pixels, batch)?.to_kind(Number::Half);
            let columns =
                vec![arrays::repeated(&id, pictures.len()), arrays::text(&pictures), tensor::to_tensors_f16(&tokens)?];
            RecordBatch::try_new(schema.clone(), columns)
                .context(Kind::Store, || "cannot make table block_tokens".to_owned())
        })
    };
    forward::stream(work, todo, target, make, tower, rows).await
}
