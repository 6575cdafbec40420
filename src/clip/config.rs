//! The sizes of a CLIP: read from a Hugging Face `config.json`, or from the shapes of weights in
//! OpenAI's naming.

use std::path::Path;

use crate::clip::config_json::HuggingFace;
use crate::clip::weights::Weights;
use crate::error::{Error, Kind, Result};

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
pub(crate) const MAX_WIDTH: i64 = 16_384;
pub(crate) const MAX_LAYERS: i64 = 256;
pub(crate) const MAX_TOKENS: i64 = 65_536;
const MAX_VOCAB: i64 = 2_000_000;

/// What a file calls the sizes, for messages.
pub(super) struct Keys {
    /// What stands before the keys of the vision tower and of the text tower.
    pub(super) towers: [&'static str; 2],
    pub(super) width: &'static str,
    pub(super) mlp: &'static str,
    pub(super) layers: &'static str,
    /// Of the vision tower and of the text tower.
    pub(super) heads: [&'static str; 2],
    pub(super) image_size: &'static str,
    pub(super) patch: &'static str,
    pub(super) vocab: &'static str,
    pub(super) context: &'static str,
    pub(super) eps: &'static str,
    pub(super) joint: &'static str,
}

/// Sizes that are derived from weights.
const OF_WEIGHTS: Keys = Keys {
    towers: ["the vision tower's ", "the text tower's "],
    width: "width",
    mlp: "width within its MLPs",
    layers: "number of blocks",
    heads: ["number of heads"; 2],
    image_size: "side of an image",
    patch: "side of a patch",
    vocab: "number of words",
    context: "number of positions",
    eps: "epsilon",
    joint: "the width of the joint space",
};

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
        config.check(&OF_WEIGHTS).map_err(|what| Error::new(Kind::Model, format!("{}: {what}", weights.name())))?;
        Ok(config)
    }

    /// Checks that the sizes are those of a model that there may be.
    ///
    /// # Errors
    /// Says which is not, by what the file calls it.
    pub(super) fn check(&self, keys: &Keys) -> std::result::Result<(), String> {
        let within = |name: String, value: i64, max: i64| {
            if (1..=max).contains(&value) { Ok(()) } else { Err(format!("{name} is {value}, not within 1 to {max}")) }
        };
        let (v, t) = (&self.vision, &self.text);
        let [vision, text] = keys.towers;
        within(format!("{vision}{}", keys.width), v.width, MAX_WIDTH)?;
        within(format!("{vision}{}", keys.mlp), v.mlp, 8 * MAX_WIDTH)?;
        within(format!("{vision}{}", keys.layers), v.layers, MAX_LAYERS)?;
        within(format!("{vision}{}", keys.heads[0]), v.heads, v.width)?;
        within(format!("{vision}{}", keys.image_size), v.image_size, MAX_WIDTH)?;
        within(format!("{vision}{}", keys.patch), v.patch, v.image_size)?;
        within("patch tokens of an image".to_owned(), v.patches(), MAX_TOKENS)?;
        within(format!("{text}{}", keys.width), t.width, MAX_WIDTH)?;
        within(format!("{text}{}", keys.mlp), t.mlp, 8 * MAX_WIDTH)?;
        within(format!("{text}{}", keys.layers), t.layers, MAX_LAYERS)?;
        within(format!("{text}{}", keys.heads[1]), t.heads, t.width)?;
        within(format!("{text}{}", keys.vocab), t.vocab, MAX_VOCAB)?;
        within(format!("{text}{}", keys.context), t.context, MAX_TOKENS)?;
        within(keys.joint.to_owned(), self.joint, MAX_WIDTH)?;
        if t.context < 3 {
            return Err(format!("{text}{} is {}: no room for a word", keys.context, t.context));
        }
        for (tower, eps) in [(vision, v.eps), (text, t.eps)] {
            if !(eps > 0.0 && eps < 1.0) {
                return Err(format!("{tower}{} is {eps}, not between 0 and 1", keys.eps));
            }
        }
        let towers = [(vision, keys.heads[0], v.heads, v.width), (text, keys.heads[1], t.heads, t.width)];
        for (tower, key, heads, width) in towers {
            if width % heads != 0 {
                return Err(format!("{tower}{key}: {heads} heads do not divide a width of {width}"));
            }
        }
        Ok(())
    }
}
