//! The pipeline file: its keys, reading and checking it, and what is written about it.
//!
//! Keys are declared where they are used, with [`settings!`](crate::settings); [`Spec`] puts the
//! tables together. A [`Spec`] returned by [`load()`] is complete and valid: every default is
//! filled in, every number is in range, every path is absolute and every required file exists. The
//! defaults are those of the recommended recipe; `adapt.recipe` names another.

mod absent;
pub(crate) mod check;
pub(crate) mod document;
pub mod json_schema;
pub(crate) mod keys;
mod lines;
mod load;
pub(crate) mod mistakes;
mod non_defaults;
pub(crate) mod overrides;
mod recipes;
pub mod settings_page;
pub(crate) mod suggest;

use std::path::PathBuf;

use crate::clip::ModelSettings;
use crate::device::DeviceSettings;
use crate::dka::Dka;
use crate::fusion::design::Fusion;
use crate::fusion::foreground::Saliency;
use crate::fusion::transduction::Transduction;
use crate::image::Crops;
use crate::settings::{ANY_WHOLE, Must, Want, settings};
use crate::source::Dataset;
use crate::stage::adapt::Adapt;
use crate::stage::answers::Predict;
use crate::stage::ask::Describe;
use crate::stage::describe::Text;
use crate::stage::frozen::Embed;
use crate::stage::neighbours::Kept;

pub use absent::{Absent, absent};
pub use load::{load, load_without_sentences};
pub(crate) use non_defaults::non_defaults;

settings! {
    /// Everything that a pipeline file says.
    Spec {
        /// The pipeline's name; runs are named by it.
        name: String, Want::Name, Nothing;
        /// The folder of all tables and checkpoints; several pipelines may share it. An address,
        /// `s3://BUCKET/FOLDER`, in a program built with the feature `stores`.
        store: PathBuf = PathBuf::from(DEFAULT_STORE), Want::Path(Must::MayBeNew), Nothing;
        /// Seed of initialisation, batch order and augmentation. Crops have a seed of their own,
        /// `views.seed`.
        seed: u64 = 0, ANY_WHOLE, Answers;
        [dataset]: Dataset;
        [model]: ModelSettings;
        [text]: Text;
        [describe]: Describe;
        [embed]: Embed;
        [neighbours]: Kept;
        [views]: Crops;
        [saliency]: Saliency;
        [fusion]: Fusion;
        [dka]: Dka;
        [adapt]: Adapt;
        [transduction]: Transduction;
        [predict]: Predict;
        [device]: DeviceSettings;
    }
}

/// The name of the store's folder if the pipeline file gives none.
pub(crate) const DEFAULT_STORE: &str = ".store";
