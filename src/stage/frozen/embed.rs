//! The table `embeddings`: every picture's [CLS] feature, patch tokens and foreground (method
//! sections 1 and 2).

use std::sync::Arc;

use arrow::array::{ArrayRef, Float32Array};
use tch::Kind as Number;

use crate::error::Result;
use crate::fusion::foreground::Saliency;
use crate::fusion::normalize;
use crate::image::{ImageId, Rgb};
use crate::settings::identity_of_features;
use crate::stage::feed::Views;
use crate::stage::frozen::{FrozenModel, FrozenTable, Towers};
use crate::store::space::Space;
use crate::table::{Dims, tensor};

/// Fills `embeddings`.
pub struct Embeddings {
    space: Space,
    model: FrozenModel,
    saliency: Saliency,
}

impl Embeddings {
    /// The table of the pipeline file that says how the patch graph is cut.
    pub(super) const SETTINGS: &str = "saliency";

    pub(super) fn new(model: &FrozenModel, saliency: Saliency) -> Result<Self> {
        let cut = identity_of_features(Self::SETTINGS, &saliency)?;
        let space = whole_pictures(model).with("saliency", cut);
        Ok(Embeddings { space, model: model.clone(), saliency })
    }

    /// Returns the space of the features of whole pictures, which does not depend on how their
    /// patch graphs are cut.
    pub fn whole_pictures(&self) -> Space {
        whole_pictures(&self.model)
    }
}

fn whole_pictures(model: &FrozenModel) -> Space {
    model.space("img").with("view", "centre")
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
        self.model.dims()
    }

    fn cut(&self, _: &ImageId, picture: &Rgb) -> Result<Views> {
        self.model.centre_view(picture)
    }

    fn columns(&self, towers: &Towers, views: &Views, batch: usize) -> Result<Vec<(&'static str, ArrayRef)>> {
        let seen = towers.clip()?.see(&views.pixels, batch)?;
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
