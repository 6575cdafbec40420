//! The table `second_features`: what the second vision model sees in every picture.

use arrow::array::ArrayRef;

use crate::error::Result;
use crate::image::{ImageId, Preprocess, Rgb};
use crate::stage::feed::Views;
use crate::stage::frozen::{Eye, FrozenTable, Towers};
use crate::store::space::Space;
use crate::table::{Dims, tensor};

/// Fills `second_features`.
pub struct SecondFeatures {
    space: Space,
    preprocess: Preprocess,
    /// The width of a token.
    width: usize,
}

impl SecondFeatures {
    /// Makes the table of a model of this token width, whose features are in `space`.
    pub fn new(space: Space, preprocess: Preprocess, width: usize) -> Self {
        SecondFeatures { space, preprocess, width }
    }
}

impl FrozenTable for SecondFeatures {
    fn stage(&self) -> &'static str {
        "second"
    }

    fn table(&self) -> &'static str {
        "second_features"
    }

    fn space(&self) -> &Space {
        &self.space
    }

    fn dims(&self) -> Dims {
        Dims::new().with("E", self.width)
    }

    fn eye(&self) -> Eye {
        Eye::Second
    }

    fn cut(&self, _: &ImageId, picture: &Rgb) -> Result<Views> {
        Ok(Views { pixels: self.preprocess.centre_view(picture)?, boxes: Vec::new() })
    }

    fn columns(&self, towers: &Towers, views: &Views, batch: usize) -> Result<Vec<(&'static str, ArrayRef)>> {
        let [cls, mean] = towers.second()?.look(&views.pixels, batch)?;
        Ok(vec![("cls", tensor::to_vectors(&cls)?), ("patch_mean", tensor::to_vectors(&mean)?)])
    }
}
