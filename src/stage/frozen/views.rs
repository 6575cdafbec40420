//! The table `view_features`: the features of V random crops of every picture (method section 6),
//! where they are to be kept. Runs read [`Composites`](super::Composites) alone.

use arrow::array::ArrayRef;
use tch::Kind as Number;

use crate::error::Result;
use crate::fusion::normalize;
use crate::image::{Crops, ImageId, Preprocess, Rgb, crops};
use crate::settings::identity_of_features;
use crate::stage::feed::Views;
use crate::stage::frozen::{FrozenModel, FrozenTable, Towers};
use crate::store::space::Space;
use crate::table::{Dims, arrays, tensor};

/// Fills `view_features`.
pub struct ViewFeatures {
    space: Space,
    model: FrozenModel,
    crops: Crops,
    /// How the crops are drawn.
    view: String,
}

impl ViewFeatures {
    /// The table of the pipeline file that says how crops are drawn.
    pub(super) const SETTINGS: &str = "views";

    pub(super) fn new(model: &FrozenModel, crops: Crops) -> Result<Self> {
        let view = format!("crops; {}", identity_of_features(Self::SETTINGS, &crops)?);
        let space = model.space("view").with("view", &view);
        Ok(ViewFeatures { space, model: model.clone(), crops, view })
    }

    /// Returns what the spaces of all tables of crops say of them.
    pub(super) fn view(&self) -> &str {
        &self.view
    }

    /// Returns whether new pictures' crops are kept.
    pub fn keeps(&self) -> bool {
        self.crops.keep
    }
}

impl FrozenTable for ViewFeatures {
    fn stage(&self) -> &'static str {
        "views"
    }

    fn table(&self) -> &'static str {
        "view_features"
    }

    fn space(&self) -> &Space {
        &self.space
    }

    fn dims(&self) -> Dims {
        self.model.dims().with("V", self.crops.count)
    }

    fn forwards(&self) -> usize {
        self.crops.count
    }

    fn cut(&self, id: &ImageId, picture: &Rgb) -> Result<Views> {
        let cuts = crops::boxes(&self.crops, id, picture.width, picture.height);
        let boxes = cuts.iter().flat_map(|cut| [cut.left, cut.top, cut.width, cut.height].map(|n| n as f32)).collect();
        let Preprocess { crop, filter, .. } = self.model.preprocess;
        Ok(Views { pixels: crops::crops(picture, &cuts, crop, filter)?, boxes })
    }

    fn columns(&self, towers: &Towers, views: &Views, batch: usize) -> Result<Vec<(&'static str, ArrayRef)>> {
        let features = normalize(&towers.clip()?.see(&views.pixels, batch)?.cls.to_kind(Number::Float));
        Ok(vec![
            ("features", tensor::to_vectors(&features.view([-1, self.crops.count as i64 * features.size()[1]]))?),
            ("boxes", arrays::fixed_list_f32(&views.boxes, 4 * self.crops.count)?),
        ])
    }
}
