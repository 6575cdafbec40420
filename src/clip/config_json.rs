//! Reads the `config.json` of a `CLIPModel` of transformers.

use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::clip::config::{Activation, ClipConfig, Keys, TextConfig, VisionConfig};
use crate::clip::text_of;
use crate::error::{Context, Error, Kind, Result};

/// What the file calls the sizes.
const KEYS: Keys = Keys {
    towers: ["vision_config.", "text_config."],
    width: "hidden_size",
    mlp: "intermediate_size",
    layers: "num_hidden_layers",
    heads: ["num_attention_heads"; 2],
    image_size: "image_size",
    patch: "patch_size",
    vocab: "vocab_size",
    context: "max_position_embeddings",
    eps: "layer_norm_eps",
    joint: "projection_dim",
};

/// What a `config.json` says besides the sizes.
pub(super) struct HuggingFace {
    pub(super) config: ClipConfig,
    /// The id of the end mark, where the file names it. Before 2023, files said 2, which
    /// transformers takes for the largest id of a sequence.
    pub(super) end: Option<i64>,
    /// What the user should know of how the file was read.
    pub(super) notes: Vec<String>,
}

#[derive(Deserialize)]
struct RawConfig {
    model_type: Option<String>,
    projection_dim: Option<i64>,
    vision_config: Option<RawVision>,
    vision_config_dict: Option<RawVision>,
    text_config: Option<RawText>,
    text_config_dict: Option<RawText>,
}

#[derive(Deserialize, Serialize)]
#[serde(default)]
struct RawVision {
    hidden_size: i64,
    intermediate_size: i64,
    num_hidden_layers: i64,
    num_attention_heads: i64,
    image_size: i64,
    patch_size: i64,
    layer_norm_eps: f64,
    hidden_act: String,
}

// transformers omits keys from config.json that equal its defaults, which are those of ViT-B/32.
impl Default for RawVision {
    fn default() -> Self {
        RawVision {
            hidden_size: 768,
            intermediate_size: 3072,
            num_hidden_layers: 12,
            num_attention_heads: 12,
            image_size: 224,
            patch_size: 32,
            layer_norm_eps: 1e-5,
            hidden_act: "quick_gelu".into(),
        }
    }
}

#[derive(Deserialize, Serialize)]
#[serde(default)]
struct RawText {
    hidden_size: i64,
    intermediate_size: i64,
    num_hidden_layers: i64,
    num_attention_heads: i64,
    vocab_size: i64,
    max_position_embeddings: i64,
    layer_norm_eps: f64,
    hidden_act: String,
    eos_token_id: Option<Value>,
}

impl Default for RawText {
    fn default() -> Self {
        RawText {
            hidden_size: 512,
            intermediate_size: 2048,
            num_hidden_layers: 12,
            num_attention_heads: 8,
            vocab_size: 49_408,
            max_position_embeddings: 77,
            layer_norm_eps: 1e-5,
            hidden_act: "quick_gelu".into(),
            eos_token_id: None,
        }
    }
}

impl HuggingFace {
    /// Reads a `config.json`; fails like [`ClipConfig::from_hugging_face`].
    pub(super) fn read(path: &Path) -> Result<Self> {
        let text = text_of(path)?;
        let raw: RawConfig = serde_json::from_str(&text).at(Kind::Model, "not a CLIPModel's configuration:", path)?;
        if let Some(other) = raw.model_type.as_deref().filter(|model| *model != "clip") {
            return Err(Error::new(Kind::Model, format!("{}: model_type is '{other}', not 'clip'", path.display()))
                .hint(
                    "the model must be a CLIPModel of transformers, or a plain ViT in OpenAI's or open_clip's naming",
                ));
        }
        let mut notes = Vec::new();
        let vision = one_of(raw.vision_config, raw.vision_config_dict, "vision_config", path, &mut notes)?;
        let text = one_of(raw.text_config, raw.text_config_dict, "text_config", path, &mut notes)?;
        let config = ClipConfig {
            vision: VisionConfig {
                width: vision.hidden_size,
                layers: vision.num_hidden_layers,
                heads: vision.num_attention_heads,
                mlp: vision.intermediate_size,
                image_size: vision.image_size,
                patch: vision.patch_size,
                eps: vision.layer_norm_eps,
                activation: activation(&vision.hidden_act, path)?,
            },
            text: TextConfig {
                width: text.hidden_size,
                layers: text.num_hidden_layers,
                heads: text.num_attention_heads,
                mlp: text.intermediate_size,
                vocab: text.vocab_size,
                context: text.max_position_embeddings,
                eps: text.layer_norm_eps,
                activation: activation(&text.hidden_act, path)?,
            },
            joint: raw.projection_dim.unwrap_or(512),
        };
        config.check(&KEYS).map_err(|what| Error::new(Kind::Model, format!("{}: {what}", path.display())))?;
        let wrong = |id: &Value| {
            let what = format!("{}: text_config.eos_token_id is {id}, not one number", path.display());
            Error::new(Kind::Model, what).hint("it is the id of the end mark in tokenizer.json")
        };
        let end = text.eos_token_id.map(|id| id.as_i64().ok_or_else(|| wrong(&id))).transpose()?;
        Ok(HuggingFace { config, end, notes })
    }
}

/// Returns a tower's section, as transformers chooses it: an old `*_config_dict` replaces the
/// section of today, with its defaults too. Notes the keys in which they differ.
fn one_of<T: Serialize>(
    section: Option<T>,
    old: Option<T>,
    name: &str,
    path: &Path,
    notes: &mut Vec<String>,
) -> Result<T> {
    let keys = |section: &T| serde_json::to_value(section).at(Kind::Internal, "cannot write what was read:", path);
    match (section, old) {
        (Some(section), Some(old)) => {
            let (ours, theirs) = (keys(&section)?, keys(&old)?);
            let differ = |(key, value): (&String, &Value)| (theirs.get(key) != Some(value)).then(|| key.clone());
            let different: Vec<String> = ours.as_object().into_iter().flatten().filter_map(differ).collect();
            if !different.is_empty() {
                notes.push(format!(
                    "{}: {name}_dict and {name} differ in {}; {name}_dict is used, as in transformers",
                    path.display(),
                    different.join(", ")
                ));
            }
            Ok(old)
        }
        (section, old) => section.or(old).ok_or_else(|| {
            Error::new(Kind::Model, format!("{}: {name} is missing", path.display()))
                .hint("the file must be that of a CLIPModel, with vision_config and text_config")
        }),
    }
}

/// Returns the nonlinearity that transformers has under this name.
pub(crate) fn activation(name: &str, path: &Path) -> Result<Activation> {
    match name {
        "quick_gelu" => Ok(Activation::QuickGelu),
        "gelu" | "gelu_python" => Ok(Activation::Gelu),
        "gelu_pytorch_tanh" | "gelu_new" | "gelu_fast" => Ok(Activation::GeluTanh),
        other => Err(Error::new(Kind::Model, format!("{}: unknown hidden_act '{other}'", path.display()))
            .hint("known are 'quick_gelu', 'gelu' and 'gelu_pytorch_tanh'")),
    }
}
