//! Fusion logits of a pass that other machines make.
//!
//! Only the forward passes that make pseudo-labels are shared: each picture's is its own. Training
//! stays on one machine, since every step needs the sum of a batch's gradients before the next
//! begins, and libtorch's binding has no collective operations that would bring them together.

use async_trait::async_trait;
use tch::Tensor;

use super::checkpoint::{self, Checkpoint};
use super::tables::FusionLogits;
use super::{Images, Recipe};
use crate::clip::VisionTower;
use crate::error::Result;
use crate::fusion::adamw::AdamW;
use crate::fusion::design::MixedHeads;
use crate::fusion::matrix::Matrix;
use crate::fusion::model::Model;
use crate::stage::job::Job;
use crate::store::layout::{Partition, Store};

/// Has other machines make the fusion logits of a pass.
#[async_trait(?Send)]
pub trait Elsewhere {
    /// Returns the fused cosines (rows, C) of the training pictures, in order, by the model after
    /// `pass` passes, whose checkpoint is in the store. They lie in the store until
    /// [`forget`](Self::forget) is called.
    ///
    /// # Errors
    /// Fails if they cannot be made, or a stop was requested.
    async fn fusion_logits(&self, pass: u64, rows: usize) -> Result<Matrix>;

    /// Removes what the last call has left in the store.
    ///
    /// # Errors
    /// Fails if it cannot be removed.
    fn forget(&self) -> Result<()>;
}

/// Returns the partition in which the units of a run's passes lie until their pass has them.
///
/// # Errors
/// Fails if the run's id is not a valid partition name.
pub fn units_of(store: &Store, run: &str) -> Result<Partition> {
    store.partition("fusion_logits", &format!("{run}.units"))
}

/// The head that a model begins with, (C, d), on the device of its tower.
pub(super) fn first_head(recipe: &Recipe, learnable: &Tensor, frozen: &Tensor, tower: &VisionTower) -> Tensor {
    let head = if recipe.design.fusion.heads == MixedHeads::Frozen { frozen } else { learnable };
    head.to_device(tower.projection.device())
}

/// A run's training pictures, opened to make logits of some.
pub struct Forwards {
    /// The training pictures.
    pub images: Images,
    /// The frozen tower, fp32, on the device.
    pub tower: VisionTower,
    /// The learnable and the frozen classifier, (C, d).
    pub heads: [Tensor; 2],
    /// The recipe of adaptation.
    pub recipe: Recipe,
    /// The run's id.
    pub run: String,
}

/// Some training pictures in a pass.
#[derive(Debug, Clone, Copy)]
pub struct Slice {
    /// The pass.
    pub pass: u64,
    /// The places among the training pictures, from the first to before the last.
    pub places: (usize, usize),
}

impl Forwards {
    /// Writes the fusion logits of some pictures into a part of [`units_of`], by the model after
    /// the pass's checkpoint.
    ///
    /// # Errors
    /// Returns [`Kind::Store`](crate::error::Kind::Store) if there is no such checkpoint; fails if
    /// a picture, the device or the store fails, or a stop was requested.
    pub async fn write(&self, slice: Slice, part: &str, job: Job<'_>) -> Result<()> {
        let Job { store, stop, progress } = job;
        let Slice { pass, places: (from, to) } = slice;
        let model = self.model(pass, store)?;
        let places: Vec<i64> = (from as i64..to as i64).collect();
        let images = self.images.of(&places);
        let (ids, classes) = (images.ids(), model.classifier().size()[0]);
        let mut written = FusionLogits::begin_in(&units_of(store, &self.run)?, part, (&self.run, pass), &ids, classes)?;
        progress.begin("fusion", "image", images.len() as u64, 0);
        let give = |rows: Tensor| {
            progress.advance(rows.size()[0].cast_unsigned());
            written.add(&rows)
        };
        images.fusion_logits(&model, self.recipe.seed, pass, stop, give).await?;
        written.finish(stop).map(drop)
    }

    /// Returns the model after some passes.
    fn model(&self, passes: u64, store: &Store) -> Result<Model> {
        let [learnable, frozen] = &self.heads;
        let head = first_head(&self.recipe, learnable, frozen, &self.tower);
        let mut model = Model::new(&self.tower, &head, self.recipe.design);
        if passes > 0 {
            let path = checkpoint::after(&store.checkpoints_of(&self.run)?, passes);
            let mut optimiser = AdamW::new(model.parameters(), 0.0);
            Checkpoint::read(&path, &self.run)?.restore(&mut model, &mut optimiser)?;
        }
        Ok(model)
    }
}
