//! The table `block_tokens`: the input of one block of the frozen vision tower.
//!
//! Adaptation from that block on starts here: earlier blocks never run again, and their LayerNorms
//! are not trained.

use arrow::array::ArrayRef;
use tch::Kind as Number;

use crate::clip::ClipConfig;
use crate::error::Result;
use crate::image::{ImageId, Preprocess, Rgb};
use crate::stage::feed::Views;
use crate::stage::frozen::{FrozenTable, FrozenTower};
use crate::store::space::Space;
use crate::table::{Dims, tensor};

/// Fills `block_tokens`.
pub struct BlockTokens {
    /// Space of the table.
    pub space: Space,
    /// The model's sizes.
    pub config: ClipConfig,
    /// How a picture is resized to the tower's input.
    pub preprocess: Preprocess,
    /// The number of the block.
    pub block: usize,
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
        let vision = &self.config.vision;
        Dims::new().with("D", vision.width as usize).with("T", 1 + vision.patches() as usize)
    }

    fn cut(&self, _: &ImageId, picture: &Rgb) -> Result<Views> {
        Ok(Views { pixels: self.preprocess.centre_view(picture)?, boxes: Vec::new() })
    }

    fn columns(&self, tower: &FrozenTower, views: &Views, batch: usize) -> Result<Vec<(&'static str, ArrayRef)>> {
        let tokens = tower.tokens_at(self.block, &views.pixels, batch)?.to_kind(Number::Half);
        Ok(vec![("tokens", tensor::to_tensors_f16(&tokens)?)])
    }
}
