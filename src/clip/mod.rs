//! CLIP: configuration, weights, tokenizer and the two towers.
//!
//! The towers are plain structs of tensors with a `forward`, so that the adapter can replace single
//! tensors (the LayerNorms) by trainable ones and the pre-training example can train all of them,
//! with no registry in between.

pub mod block;
pub mod config;
pub(crate) mod config_json;
pub mod hugging_face;
pub(crate) mod manifest;
pub mod model;
pub mod naming;
mod open_clip;
mod openai_text;
pub(crate) mod patches;
pub(crate) mod preprocessor;
pub(crate) mod repository;
pub mod stored;
pub mod text;
pub mod tokenizer;
pub mod vision;
pub mod weights;

pub use config::{Activation, ClipConfig, TextConfig, VisionConfig};
pub use model::{Clip, ModelSettings, SecondFeatures, SecondSettings};
pub(crate) use open_clip::NAME as OPEN_CLIP_CONFIG;
pub(crate) use preprocessor::PREPROCESSOR_CONFIG;
pub use text::TextTower;
pub use tokenizer::{ReadAt, Sequence, Tokenizer};
pub use vision::{VisionOutput, VisionTower};
pub use weights::Weights;

use std::path::Path;

use crate::error::{Kind, Result};
use crate::text::file as text_file;

/// Reads the text of a configuration, a tokenizer or an index of shards. The longest, CLIP's own
/// tokenizer, has 2 MB.
///
/// # Errors
/// Returns [`Kind::Model`] if the file cannot be read, is longer than 16 MiB, or is not text.
pub(crate) fn text_of(path: &Path) -> Result<String> {
    text_file::read(path, Kind::Model, 16 << 20)
}
