//! The sizes of a CLIP: read from a Hugging Face `config.json`, or from the shapes of weights in
//! OpenAI's naming.

use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::clip::text_of;
use crate::clip::weights::Weights;
use crate::error::{Context, Error, Kind, Result};

/// The nonlinearity of the MLPs. OpenAI's weights need `QuickGelu`, several of open_clip's need
/// `Gelu`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// `x * sigmoid(1.702 x)`.
    QuickGelu,
    /// The exact GELU.
    Gelu,
    /// GELU by its approximation with a tanh.
    GeluTanh,
    /// `x * sigmoid(x)`: what remains of QuickGELU when its factor is in the weights. No file asks
    /// for it.
    Silu,
}

/// Sizes of the vision tower (a ViT).
#[derive(Debug, Clone, PartialEq)]
pub struct VisionConfig {
    /// D, the width of a token.
    pub width: i64,
    /// Number of blocks.
    pub layers: i64,
    /// Attention heads per block.
    pub heads: i64,
    /// Width of the MLP's hidden layer.
    pub mlp: i64,
    /// Side of the square input, in pixels.
    pub image_size: i64,
    /// Side of a square patch, in pixels.
    pub patch: i64,
    /// Epsilon of every LayerNorm.
    pub eps: f64,
    /// Nonlinearity of the MLPs.
    pub activation: Activation,
}

impl Activation {
    /// Returns the activation's name in a config.json.
    pub fn as_str(self) -> &'static str {
        match self {
            Activation::QuickGelu => "quick_gelu",
            Activation::Gelu => "gelu",
            Activation::GeluTanh => "gelu_pytorch_tanh",
            Activation::Silu => "silu",
        }
    }
}

impl VisionConfig {
    /// Returns what the tower computes besides its weights, as part of the identity of a space.
    pub fn canonical(&self) -> String {
        let VisionConfig { width, layers, heads, mlp, image_size, patch, eps, activation } = self;
        let activation = activation.as_str();
        format!(
            "vit image={image_size} patch={patch} width={width} layers={layers} heads={heads} mlp={mlp} eps={eps} {activation}"
        )
    }

    /// Returns the patches per side, `g`.
    pub fn grid(&self) -> i64 {
        self.image_size / self.patch
    }

    /// Returns the number of patch tokens of one image, `N = g * g`.
    pub fn patches(&self) -> i64 {
        self.grid() * self.grid()
    }

    /// Returns the cost of one picture in the products of the blocks, in GFLOP; a product and a sum
    /// count as two.
    pub fn gflop(&self) -> f64 {
        let [tokens, width, mlp, layers] =
            [self.patches() + 1, self.width, self.mlp, self.layers].map(|size| size as f64);
        let block = tokens * width * (4.0 * width + 2.0 * mlp) + 2.0 * tokens * tokens * width;
        2e-9 * layers * block
    }
}

/// Sizes of the text tower (a causal transformer).
#[derive(Debug, Clone, PartialEq)]
pub struct TextConfig {
    /// Width of a token.
    pub width: i64,
    /// Number of blocks.
    pub layers: i64,
    /// Attention heads per block.
    pub heads: i64,
    /// Width of the MLP's hidden layer.
    pub mlp: i64,
    /// Size of the vocabulary.
    pub vocab: i64,
    /// Longest token sequence, start and end marks included.
    pub context: i64,
    /// Epsilon of every LayerNorm.
    pub eps: f64,
    /// Nonlinearity of the MLPs.
    pub activation: Activation,
}

impl TextConfig {
    /// Returns what the tower computes besides its weights, as part of the identity of a space.
    pub fn canonical(&self) -> String {
        let TextConfig { width, layers, heads, mlp, vocab, context, eps, activation } = self;
        let activation = activation.as_str();
        format!(
            "text vocab={vocab} context={context} width={width} layers={layers} heads={heads} mlp={mlp} eps={eps} {activation}"
        )
    }

    /// Returns the cost of one sequence of `tokens` tokens in the products of the blocks, in GFLOP;
    /// a product and a sum count as two.
    pub fn gflop(&self, tokens: usize) -> f64 {
        let [width, mlp, layers] = [self.width, self.mlp, self.layers].map(|size| size as f64);
        let tokens = tokens as f64;
        let block = tokens * width * (4.0 * width + 2.0 * mlp) + 2.0 * tokens * tokens * width;
        2e-9 * layers * block
    }
}

/// Sizes of both towers and of the joint space.
#[derive(Debug, Clone, PartialEq)]
pub struct ClipConfig {
    /// The vision tower.
    pub vision: VisionConfig,
    /// The text tower.
    pub text: TextConfig,
    /// d, the width of the joint embedding.
    pub joint: i64,
}

/// The widest tower that OpenAI released. In wider ones of others heads are 64, 80, 88 or 104 wide.
const OPENAI_WIDTH: i64 = 1024;

/// Larger sizes mean a broken or hostile file: no known model has them, and the next step allocates
/// memory.
const MAX_WIDTH: i64 = 16_384;
const MAX_LAYERS: i64 = 256;
const MAX_TOKENS: i64 = 65_536;
const MAX_VOCAB: i64 = 2_000_000;

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

impl ClipConfig {
    /// Reads the Hugging Face `config.json` of a `CLIPModel`.
    ///
    /// # Errors
    /// Returns [`Kind::Model`] if the file cannot be read, is not a `CLIPModel`'s, or names absurd
    /// sizes.
    pub fn from_hugging_face(path: &Path) -> Result<Self> {
        Ok(HuggingFace::read(path)?.config)
    }

    /// Derives the sizes from weights in OpenAI's naming, which come without a configuration: heads
    /// are 64 wide and the nonlinearity is QuickGELU, as in every model OpenAI released.
    ///
    /// # Errors
    /// Returns [`Kind::Model`] if a required tensor is missing or has another rank, a size is
    /// absurd, or the number of heads does not follow from the width.
    pub fn from_openai(weights: &Weights) -> Result<Self> {
        let conv = weights.shape_of("visual.conv1.weight", 4)?;
        let positions = weights.shape_of("visual.positional_embedding", 2)?[0];
        let grid = ((positions - 1).max(0) as f64).sqrt().round() as i64;
        let token = weights.shape_of("token_embedding.weight", 2)?;
        let (width, text_width) = (conv[0], token[1]);
        for (tower, width) in [("vision", width), ("text", text_width)] {
            if width > OPENAI_WIDTH || width % 64 != 0 {
                let what =
                    format!("{}: nothing says how many heads a {tower} tower of width {width} has", weights.name());
                return Err(Error::new(Kind::Model, what)
                    .hint("put the model's open_clip_config.json, or a Hugging Face config.json with its weights, beside them"));
            }
        }
        let config = ClipConfig {
            vision: VisionConfig {
                width,
                layers: weights.count_blocks("visual.transformer.resblocks."),
                heads: (width / 64).max(1),
                mlp: weights.shape_of("visual.transformer.resblocks.0.mlp.c_fc.weight", 2)?[0],
                image_size: grid * conv[3],
                patch: conv[3],
                eps: 1e-5,
                activation: Activation::QuickGelu,
            },
            text: TextConfig {
                width: text_width,
                layers: weights.count_blocks("transformer.resblocks."),
                heads: (text_width / 64).max(1),
                mlp: weights.shape_of("transformer.resblocks.0.mlp.c_fc.weight", 2)?[0],
                vocab: token[0],
                context: weights.shape_of("positional_embedding", 2)?[0],
                eps: 1e-5,
                activation: Activation::QuickGelu,
            },
            joint: weights.shape_of("visual.proj", 2)?[1],
        };
        config.check().map_err(|what| Error::new(Kind::Model, format!("{}: {what}", weights.name())))?;
        Ok(config)
    }

    pub(super) fn check(&self) -> std::result::Result<(), String> {
        let within = |name: &str, value: i64, max: i64| {
            if (1..=max).contains(&value) { Ok(()) } else { Err(format!("{name} is {value}, not within 1 to {max}")) }
        };
        let (v, t) = (&self.vision, &self.text);
        within("vision_config.hidden_size", v.width, MAX_WIDTH)?;
        within("vision_config.intermediate_size", v.mlp, 8 * MAX_WIDTH)?;
        within("vision_config.num_hidden_layers", v.layers, MAX_LAYERS)?;
        within("vision_config.num_attention_heads", v.heads, v.width)?;
        within("vision_config.image_size", v.image_size, MAX_WIDTH)?;
        within("vision_config.patch_size", v.patch, v.image_size)?;
        within("patch tokens of an image", v.patches(), MAX_TOKENS)?;
        within("text_config.hidden_size", t.width, MAX_WIDTH)?;
        within("text_config.intermediate_size", t.mlp, 8 * MAX_WIDTH)?;
        within("text_config.num_hidden_layers", t.layers, MAX_LAYERS)?;
        within("text_config.num_attention_heads", t.heads, t.width)?;
        within("text_config.vocab_size", t.vocab, MAX_VOCAB)?;
        within("text_config.max_position_embeddings", t.context, MAX_TOKENS)?;
        within("projection_dim", self.joint, MAX_WIDTH)?;
        if t.context < 3 {
            return Err(format!("text_config.max_position_embeddings is {}: no room for a word", t.context));
        }
        for (name, eps) in [("vision", v.eps), ("text", t.eps)] {
            if !(eps > 0.0 && eps < 1.0) {
                return Err(format!("{name}_config.layer_norm_eps is {eps}, not between 0 and 1"));
            }
        }
        for (name, width, heads) in [("vision", v.width, v.heads), ("text", t.width, t.heads)] {
            if width % heads != 0 {
                return Err(format!("{name}_config: {heads} heads do not divide a width of {width}"));
            }
        }
        Ok(())
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
        config.check().map_err(|what| Error::new(Kind::Model, format!("{}: {what}", path.display())))?;
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
fn activation(name: &str, path: &Path) -> Result<Activation> {
    match name {
        "quick_gelu" => Ok(Activation::QuickGelu),
        "gelu" | "gelu_python" => Ok(Activation::Gelu),
        "gelu_pytorch_tanh" | "gelu_new" | "gelu_fast" => Ok(Activation::GeluTanh),
        other => Err(Error::new(Kind::Model, format!("{}: unknown hidden_act '{other}'", path.display()))
            .hint("known are 'quick_gelu', 'gelu' and 'gelu_pytorch_tanh'")),
    }
}
