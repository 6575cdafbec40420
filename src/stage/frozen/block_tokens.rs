//! The table `block_tokens`: the input of one block of the frozen vision tower.
//!
//! Adaptation from that block on starts here: earlier blocks never run again, and their LayerNorms
//! are not trained.

use arrow::array::ArrayRef;
use tch::Kind as Number;

use crate::error::Result;
use crate::image::{ImageId, Rgb};
use crate::stage::feed::Views;
use crate::stage::frozen::{FrozenModel, FrozenTable, Towers};
use crate::store::space::Space;
use crate::table::{Dims, tensor};

/// Fills `block_tokens`.
pub struct BlockTokens {
    space: Space,
    model: FrozenModel,
    /// The number of the block.
    block: usize,
}

impl BlockTokens {
    pub(super) fn new(model: &FrozenModel, block: usize) -> Self {
        let space = model.space("blk").with("view", "centre").with("block", block);
        BlockTokens { space, model: model.clone(), block }
    }
}

impl FrozenTable for BlockTokens {
    fn stage(&self) -> &'static str {
        "block tokens"
    }

    fn table(&self) -> &'static str {
        "block_tokens"
    }

    fn space(&self) -> &Space {
        &self.space
    }

    fn dims(&self) -> Dims {
        let vision = &self.model.config.vision;
        Dims::new().with("D", vision.width as usize).with("T", 1 + vision.patches() as usize)
    }

    fn cut(&self, _: &ImageId, picture: &Rgb) -> Result<Views> {
        self.model.centre_view(picture)
    }

    fn columns(&self, towers: &Towers, views: &Views, batch: usize) -> Result<Vec<(&'static str, ArrayRef)>> {
        let tokens = towers.clip()?.tokens_at(self.block, &views.pixels, batch)?.to_kind(Number::Half);
        Ok(vec![("tokens", tensor::to_tensors_f16(&tokens)?)])
    }
}
