//! The sizes of a DINOv2 or DINOv3, read from transformers' `config.json`.
//!
//! Every key that changes the result is read, and an unknown one is refused by its name.

use std::path::Path;

use serde_json::{Map, Value};

use crate::clip::Activation;
use crate::clip::config::{MAX_LAYERS, MAX_TOKENS, MAX_WIDTH};
use crate::clip::config_json::activation;
use crate::clip::preprocessor::json;
use crate::error::{Error, Kind, Result};

/// Which of transformers' classes the model is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// `Dinov2Model`: learned positions.
    Dinov2,
    /// `Dinov2WithRegistersModel`: registers besides (arXiv 2309.16588).
    Dinov2WithRegisters,
    /// `DINOv3ViTModel`: rotary positions and registers (arXiv 2508.10104).
    Dinov3,
}

impl Family {
    /// All, by the names that `model_type` has.
    const ALL: [(&str, Family); 3] = [
        ("dinov2", Family::Dinov2),
        ("dinov2_with_registers", Family::Dinov2WithRegisters),
        ("dinov3_vit", Family::Dinov3),
    ];

    /// Returns what `model_type` says.
    pub fn as_str(self) -> &'static str {
        Family::ALL.iter().find(|(_, family)| *family == self).map_or("", |(name, _)| name)
    }
}

/// Which of a block's maps have an offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Biases {
    /// Queries, keys and values.
    pub attention: [bool; 3],
    /// The map after the attention.
    pub out: bool,
    /// Both maps of the MLP.
    pub mlp: bool,
}

/// The sizes of the tower.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// The class.
    pub family: Family,
    /// D, the width of a token.
    pub width: i64,
    /// Number of blocks.
    pub layers: i64,
    /// Attention heads per block.
    pub heads: i64,
    /// Width of the MLP's hidden layer.
    pub mlp: i64,
    /// Whether the MLP is gated.
    pub gated: bool,
    /// Nonlinearity of the MLPs.
    pub activation: Activation,
    /// Side of the square input that the learned positions are for, in pixels.
    pub image_size: i64,
    /// Side of a square patch, in pixels.
    pub patch: i64,
    /// Epsilon of every LayerNorm.
    pub eps: f64,
    /// R, the number of registers.
    pub registers: i64,
    /// The base of the rotary frequencies; DINOv3 alone has one.
    pub rope_theta: f64,
    /// Which maps have an offset.
    pub biases: Biases,
}

/// Keys that change training alone, the form of other outputs, or nothing.
const IDLE: [&str; 24] = [
    "architectures",
    "model_type",
    "torch_dtype",
    "dtype",
    "transformers_version",
    "_name_or_path",
    "_commit_hash",
    "initializer_range",
    "hidden_dropout_prob",
    "attention_probs_dropout_prob",
    "attention_dropout",
    "drop_path_rate",
    "layerscale_value",
    "use_mask_token",
    "pos_embed_shift",
    "pos_embed_jitter",
    "pos_embed_rescale",
    "out_features",
    "out_indices",
    "stage_names",
    "apply_layernorm",
    "reshape_hidden_states",
    "return_dict",
    "_attn_implementation_autoset",
];

impl Config {
    /// Reads a `config.json`.
    ///
    /// # Errors
    /// Returns [`Kind::Model`] if the file cannot be read, is of another kind of model, has a key
    /// that is not known, or names absurd sizes.
    pub fn read(path: &Path) -> Result<Self> {
        let json = json(path)?;
        let Some(keys) = json.as_object() else {
            return Err(Error::new(Kind::Model, format!("{}: not a table of settings", path.display())));
        };
        let found = keys.get("model_type").and_then(Value::as_str).unwrap_or_default();
        let Some((_, family)) = Family::ALL.iter().find(|(name, _)| *name == found) else {
            let known = Family::ALL.map(|(name, _)| format!("'{name}'")).join(", ");
            let what = format!("{}: model_type is '{found}', not one of {known}", path.display());
            return Err(Error::new(Kind::Model, what)
                .hint("the second model must be a DINOv2 or DINOv3 ViT of transformers, without a head"));
        };
        let reader = Reader { keys: keys.clone(), path };
        let (reader, config) = reader.config(*family)?;
        if let Some(key) = reader.keys.keys().find(|key| !IDLE.contains(&key.as_str())) {
            return Err(reader.wrong(key, &reader.keys[key], "a setting that is not known here, and would be ignored"));
        }
        config.check().map_err(|what| Error::new(Kind::Model, format!("{}: {what}", path.display())))?;
        Ok(config)
    }

    /// Returns what the tower computes besides its weights, as part of the identity of a space.
    pub fn canonical(&self) -> String {
        let Config { width, layers, heads, mlp, gated, activation, image_size, patch, eps, .. } = self;
        let Config { family, registers, rope_theta, .. } = self;
        format!(
            "{} image={image_size} patch={patch} width={width} layers={layers} heads={heads} mlp={mlp} gated={gated} \
             eps={eps} {} registers={registers} rope={rope_theta}",
            family.as_str(),
            activation.as_str()
        )
    }

    /// Returns the patches per side of the input that the learned positions are for.
    pub fn grid(&self) -> i64 {
        self.image_size / self.patch
    }

    fn check(&self) -> std::result::Result<(), String> {
        let within = |name: &str, value: i64, least: i64, most: i64| {
            let fits = (least..=most).contains(&value);
            if fits { Ok(()) } else { Err(format!("{name} is {value}, not within {least} to {most}")) }
        };
        within("hidden_size", self.width, 1, MAX_WIDTH)?;
        within("the width within the MLPs", self.mlp, 1, 8 * MAX_WIDTH)?;
        within("num_hidden_layers", self.layers, 1, MAX_LAYERS)?;
        within("num_attention_heads", self.heads, 1, self.width)?;
        within("image_size", self.image_size, 1, MAX_WIDTH)?;
        within("patch_size", self.patch, 1, self.image_size)?;
        within("patch tokens of an image", self.grid() * self.grid(), 1, MAX_TOKENS)?;
        within("num_register_tokens", self.registers, 0, MAX_TOKENS)?;
        if !(self.eps > 0.0 && self.eps < 1.0) {
            return Err(format!("layer_norm_eps is {}, not between 0 and 1", self.eps));
        }
        if self.width % self.heads != 0 {
            return Err(format!("num_attention_heads: {} heads do not divide a width of {}", self.heads, self.width));
        }
        if self.family == Family::Dinov3 && (self.width / self.heads) % 4 != 0 {
            let head = self.width / self.heads;
            return Err(format!(
                "num_attention_heads: a head {head} wide has no rotary positions, only multiples of 4"
            ));
        }
        if self.family == Family::Dinov3 && !(self.rope_theta > 0.0 && self.rope_theta.is_finite()) {
            return Err(format!("rope_theta is {}, not above 0", self.rope_theta));
        }
        Ok(())
    }
}

/// Takes keys out of the file; those that remain are not known. A missing one has transformers'
/// default, which `config.json` may leave out.
struct Reader<'a> {
    keys: Map<String, Value>,
    path: &'a Path,
}

impl Reader<'_> {
    fn config(mut self, family: Family) -> Result<(Self, Config)> {
        let v3 = family == Family::Dinov3;
        let width = self.whole("hidden_size", if v3 { 384 } else { 768 })?;
        if self.whole("num_channels", 3)? != 3 {
            return Err(self.wrong("num_channels", &Value::Null, "pictures have 3 channels here"));
        }
        let act = self.text("hidden_act", "gelu")?;
        let act = if act == "silu" { Activation::Silu } else { activation(&act, self.path)? };
        let gated = self.flag(if v3 { "use_gated_mlp" } else { "use_swiglu_ffn" }, false)?;
        let (mlp, biases) = match v3 {
            true => {
                let attention = [("query_bias", true), ("key_bias", false), ("value_bias", true)];
                let [query, key, value] = attention.map(|(key, default)| self.flag(key, default));
                let biases = Biases {
                    attention: [query?, key?, value?],
                    out: self.flag("proj_bias", true)?,
                    mlp: self.flag("mlp_bias", true)?,
                };
                (self.whole("intermediate_size", 1536)?, biases)
            }
            false => {
                let ratio = self.number("mlp_ratio", 4.0)?;
                let attention = [self.flag("qkv_bias", true)?; 3];
                // As `Dinov2SwiGLUFFN`: two thirds, rounded up to a multiple of 8.
                let plain = (width.clamp(0, MAX_WIDTH) as f64 * ratio) as i64;
                let two_thirds = (plain.min(8 * MAX_WIDTH) as f64 * 2.0 / 3.0) as i64;
                (if gated { (two_thirds + 7) / 8 * 8 } else { plain }, Biases { attention, out: true, mlp: true })
            }
        };
        let config = Config {
            family,
            width,
            layers: self.whole("num_hidden_layers", 12)?,
            heads: self.whole("num_attention_heads", if v3 { 6 } else { 12 })?,
            mlp,
            gated,
            // `Dinov2SwiGLUFFN` takes SiLU whatever the file says.
            activation: if gated && !v3 { Activation::Silu } else { act },
            image_size: self.square("image_size", 224)?,
            patch: self.square("patch_size", if family == Family::Dinov2 { 14 } else { 16 })?,
            eps: self.number("layer_norm_eps", if v3 { 1e-5 } else { 1e-6 })?,
            registers: match family {
                Family::Dinov2 => 0,
                Family::Dinov2WithRegisters => self.whole("num_register_tokens", 4)?,
                Family::Dinov3 => self.whole("num_register_tokens", 0)?,
            },
            rope_theta: if v3 { self.number("rope_theta", 100.0)? } else { 0.0 },
            biases,
        };
        Ok((self, config))
    }

    fn take<T>(&mut self, key: &str, default: T, what: &str, read: impl Fn(&Value) -> Option<T>) -> Result<T> {
        match self.keys.remove(key) {
            None | Some(Value::Null) => Ok(default),
            Some(value) => read(&value).ok_or_else(|| self.wrong(key, &value, &format!("it must be {what}"))),
        }
    }

    fn whole(&mut self, key: &str, default: i64) -> Result<i64> {
        self.take(key, default, "a whole number", Value::as_i64)
    }

    fn number(&mut self, key: &str, default: f64) -> Result<f64> {
        self.take(key, default, "a number", Value::as_f64)
    }

    fn flag(&mut self, key: &str, default: bool) -> Result<bool> {
        self.take(key, default, "true or false", Value::as_bool)
    }

    fn text(&mut self, key: &str, default: &str) -> Result<String> {
        self.take(key, default.to_owned(), "a text", |value| value.as_str().map(str::to_owned))
    }

    /// Reads a side of a square: one number, or two equal ones.
    fn square(&mut self, key: &str, default: i64) -> Result<i64> {
        self.take(key, default, "a number of pixels, or two equal ones", |value| match value.as_array() {
            Some(sides) => match sides.as_slice() {
                [a, b] if a == b => a.as_i64(),
                _ => None,
            },
            None => value.as_i64(),
        })
    }

    fn wrong(&self, key: &str, value: &Value, why: &str) -> Error {
        let value = if value.is_null() { String::new() } else { format!(" is {value}") };
        Error::new(Kind::Model, format!("{}: `{key}`{value}: {why}", self.path.display()))
            .hint("the second model must be a DINOv2 or DINOv3 ViT as transformers writes it")
    }
}
