//! The frozen model as its tables know it.

use crate::clip::ClipConfig;
use crate::error::Result;
use crate::image::{Preprocess, Rgb};
use crate::stage::feed::Views;
use crate::store::space::Space;
use crate::table::Dims;

/// What all tables of a model's outputs are made with.
#[derive(Debug, Clone)]
pub struct FrozenModel {
    /// The model's sizes.
    pub config: ClipConfig,
    /// How a picture is resized to the tower's input.
    pub preprocess: Preprocess,
    /// What the spaces of all tables have in common.
    pub common: Space,
}

impl FrozenModel {
    /// Returns a space of this kind, with the parts that all have in common.
    pub(super) fn space(&self, kind: &str) -> Space {
        self.common.clone().of_kind(kind)
    }

    /// Returns the dimensions that tables of image features have in common.
    pub(super) fn dims(&self) -> Dims {
        let ClipConfig { vision, joint, .. } = &self.config;
        Dims::new().with("d", *joint as usize).with("D", vision.width as usize).with("N", vision.patches() as usize)
    }

    /// Returns the centre view of a decoded picture.
    pub(super) fn centre_view(&self, picture: &Rgb) -> Result<Views> {
        Ok(Views { pixels: self.preprocess.centre_view(picture)?, boxes: Vec::new() })
    }
}
