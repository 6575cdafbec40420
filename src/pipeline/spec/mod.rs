//! The pipeline file as types. A [`Spec`] that [`load`](super::parse::load) returned is complete and valid: every
//! default is filled in, every number is in range, every path is absolute and every file that must be there is there.
//!
//! The defaults of the method's own settings are those of microCLIP's paper.

mod adapt;
mod inputs;
mod method;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub use adapt::{Adapt, ClassPrior, Strong, Tune};
pub use inputs::{Dataset, Limits, Model, Precision, Prototypes, SourceKind, Text};
pub use method::{
    Affinity, Coarse, Device, DeviceKind, Dka, Embed, Fusion, Heads, Orientation, Policy, Pooling, Predict, Query,
    Saliency, Sink, Threshold, Transduction, Views,
};

/// Everything that a pipeline file says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// The pipeline's name: lower-case letters, digits and hyphens. It names the runs in the table `runs`.
    pub name: String,
    /// The folder of all tables and checkpoints; several pipelines may share it. By default `.store` beside the file.
    #[serde(default = "default_store")]
    pub store: PathBuf,
    /// Seed of initialisation, batch order and augmentation. The crops of [`Views`] have a seed of their own, so that
    /// runs with different seeds share the cached views.
    #[serde(default)]
    pub seed: u64,
    /// Where the pictures come from.
    pub dataset: Dataset,
    /// The CLIP to adapt.
    pub model: Model,
    /// What is known about the classes in words.
    pub text: Text,
    /// How pictures are embedded.
    #[serde(default)]
    pub embed: Embed,
    /// The crops whose features make the prior.
    #[serde(default)]
    pub views: Views,
    /// How the foreground is found in the patch tokens.
    #[serde(default)]
    pub saliency: Saliency,
    /// How `[CLS]` and `[FG]` are fused.
    #[serde(default)]
    pub fusion: Fusion,
    /// How pseudo-labels are made.
    #[serde(default)]
    pub dka: Dka,
    /// How the model is trained on them.
    #[serde(default)]
    pub adapt: Adapt,
    /// Training-free refinement over all pictures at once.
    #[serde(default)]
    pub transduction: Transduction,
    /// How answers are made.
    #[serde(default)]
    pub predict: Predict,
    /// What it runs on.
    #[serde(default)]
    pub device: Device,
}

/// The name of the store's folder where the pipeline file gives none.
pub(crate) const DEFAULT_STORE: &str = ".store";

fn default_store() -> PathBuf {
    PathBuf::from(DEFAULT_STORE)
}
