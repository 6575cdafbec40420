//! The table `embeddings`: every picture's [CLS] feature, patch tokens and foreground (method
//! sections 1 and 2).

use std::sync::Arc;

use arrow::array::{ArrayRef, Float32Array};
use tch::Kind as Number;

use crate::clip::ClipConfig;
use crate::error::Result;
use crate::fusion::foreground::Saliency;
use crate::fusion::normalize;
use crate::image::{ImageId, Preprocess, Rgb};
use crate::stage::feed::Views;
use crate::stage::frozen::{FrozenTable, FrozenTower};
use crate::store::space::Space;
use crate::table::{Dims, tensor};

/// Fills `embeddings`.
pub struct Embeddings {
    /// Space of the table.
    pub space: Space,
    /// The model's sizes.
    pub config: ClipConfig,
    /// How a picture is resized to the tower's input.
    pub preprocess: Preprocess,
    /// How the patch graph is cut.
    pub saliency: Saliency,
}

/// Returns the dimensions that tables of image features have in common.
pub(super) fn dims(config: &ClipConfig) -> Dims {
    Dims::new()
        .with("d", config.joint as usize)
        .with("D", config.vision.width as usize)
        .with("N", config.vision.patches() as usize)
}

impl FrozenTable for Embeddings {
    fn stage(&self) -> &'static str {
        "embed"
    }

    fn table(&self) -> &'static str {
        "embeddings"
    }

    fn space(&self) -> &Space {
        &self.space
    }

    fn dims(&self) -> Dims {
        dims(&self.config)
    }

    fn cut(&self, _: &ImageId, picture: &Rgb) -> Result<Views> {
        Ok(Views { pixels: self.preprocess.centre_view(picture)?, boxes: Vec::new() })
    }

    fn columns(&self, tower: &FrozenTower, views: &Views, batch: usize) -> Result<Vec<(&'static str, ArrayRef)>> {
        let seen = tower.see(&views.pixels, batch)?;
        // Computed from the stored fp16 tokens, so that the mask matches them when they are read
        // back.
        let tokens = seen.patch_tokens.to_kind(Number::Half);
        let cut = self.saliency.cut(&tokens);
        Ok(vec![
            ("cls_feature", tensor::to_vectors(&normalize(&seen.cls.to_kind(Number::Float)))?),
            ("cls_token", tensor::to_vectors(&seen.cls_token.to_kind(Number::Float))?),
            ("patch_tokens", tensor::to_tensors_f16(&tokens)?),
            ("fiedler_gap", Arc::new(Float32Array::from(tensor::numbers(&cut.gap)?))),
            ("mask", tensor::to_tensors_u8(&cut.mask)?),
        ])
    }
}
