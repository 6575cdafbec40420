//! The tensors of a DINO as its `model.safetensors` names them.
//!
//! DINOv2's files keep the names of transformers' first version (`attention.attention.query`,
//! `weights_in`), which later ones still write.

use tch::{Kind as Number, Tensor};

use super::tower::Positions;
use super::{Config, Family, Rotary, Tower};
use crate::clip::Weights;
use crate::clip::block::{Block, Linear};
use crate::clip::manifest::{self, Shapes};
use crate::clip::naming;
use crate::error::Result;

/// Tensors that are not needed: what masked patches are replaced by in training.
const IDLE: [&str; 1] = ["embeddings.mask_token"];

/// What files call the parts of a model.
struct Names {
    patches: &'static str,
    blocks: &'static str,
    norm: &'static str,
    /// Maps of queries, keys and values, and the one after the attention.
    attention: [&'static str; 4],
}

impl Names {
    fn of(family: Family) -> Self {
        match family {
            Family::Dinov2 | Family::Dinov2WithRegisters => Names {
                patches: "embeddings.patch_embeddings.projection",
                blocks: "encoder.layer.",
                norm: "layernorm",
                attention: ["attention.query", "attention.key", "attention.value", "output.dense"],
            },
            Family::Dinov3 => Names {
                patches: "embeddings.patch_embeddings",
                blocks: "layer.",
                norm: "norm",
                attention: ["q_proj", "k_proj", "v_proj", "o_proj"],
            },
        }
    }
}

/// A linear map of a block: its name, its outputs and inputs, and whether it has an offset.
type Map = (String, i64, i64, bool);

/// Returns the maps of block `n`: queries, keys, values, the one after the attention; those into
/// the MLP, which are stacked; the one out of it.
fn maps(config: &Config, n: i64) -> ([Map; 4], Vec<Map>, Map) {
    let Config { family, width, mlp, gated, biases, .. } = *config;
    let names = Names::of(family);
    let at = format!("{}{n}", names.blocks);
    let [query, key, value] = biases.attention;
    let offsets = [query, key, value, biases.out];
    let attention = [0, 1, 2, 3].map(|i| (format!("{at}.attention.{}", names.attention[i]), width, width, offsets[i]));
    let part = |name: &str, out, input| (format!("{at}.mlp.{name}"), out, input, biases.mlp);
    let (into, out) = match (family, gated) {
        (Family::Dinov3, true) => (vec![part("gate_proj", mlp, width), part("up_proj", mlp, width)], "down_proj"),
        (Family::Dinov3, false) => (vec![part("up_proj", mlp, width)], "down_proj"),
        (_, true) => (vec![part("weights_in", 2 * mlp, width)], "weights_out"),
        (_, false) => (vec![part("fc1", mlp, width)], "fc2"),
    };
    (attention, into, part(out, width, mlp))
}

/// Returns the names and shapes of all tensors that are needed.
fn shapes(config: &Config) -> Shapes {
    let Config { family, width, patch, registers, .. } = *config;
    let names = Names::of(family);
    let mut all = Shapes::new();
    manifest::pair(&mut all, names.patches, &[width, 3, patch, patch]);
    manifest::pair(&mut all, names.norm, &[width]);
    all.insert("embeddings.cls_token".to_owned(), vec![1, 1, width]);
    if family != Family::Dinov2 {
        all.insert("embeddings.register_tokens".to_owned(), vec![1, registers, width]);
    }
    if family != Family::Dinov3 {
        all.insert("embeddings.position_embeddings".to_owned(), vec![1, 1 + config.grid() * config.grid(), width]);
    }
    for n in 0..config.layers {
        for norm in ["norm1", "norm2"] {
            manifest::pair(&mut all, &format!("{}{n}.{norm}", names.blocks), &[width]);
        }
        for scale in ["layer_scale1", "layer_scale2"] {
            all.insert(format!("{}{n}.{scale}.lambda1", names.blocks), vec![width]);
        }
        let (attention, into, out) = maps(config, n);
        for (name, outputs, inputs, offset) in attention.into_iter().chain(into).chain([out]) {
            all.insert(format!("{name}.weight"), vec![outputs, inputs]);
            if offset {
                all.insert(format!("{name}.bias"), vec![outputs]);
            }
        }
    }
    all
}

/// Compares all tensors of a file with the configuration.
///
/// # Errors
/// Returns [`crate::error::Kind::Model`], naming the tensors, if any are missing, have another
/// shape, or do not belong to such a model.
pub(super) fn check(weights: &Weights, config: &Config) -> Result<()> {
    let hint = "the weights must be those of transformers' Dinov2Model, Dinov2WithRegistersModel or DINOv3ViTModel, \
                without a head, and config.json their own";
    manifest::compare(weights, &shapes(config), &IDLE, hint)
}

/// Builds the tower for pictures of `side` pixels, fp32 on the CPU.
///
/// # Errors
/// Returns [`crate::error::Kind::Model`], naming the tensor, if one is missing or has another
/// shape.
pub(super) fn tower(weights: &Weights, config: &Config, side: i64) -> Result<Tower> {
    let Config { family, width, patch, eps, registers, .. } = *config;
    let names = Names::of(family);
    let grid = side / patch;
    let positions = match family {
        Family::Dinov3 => Positions::Turned(Rotary::new(grid, width / config.heads, config.rope_theta)),
        Family::Dinov2 | Family::Dinov2WithRegisters => {
            let tokens = 1 + config.grid() * config.grid();
            let learned = weights.get("embeddings.position_embeddings", &[1, tokens, width])?.squeeze_dim(0);
            let antialias = family == Family::Dinov2WithRegisters;
            Positions::Added(Positions::resampled(&learned, config.grid(), grid, antialias))
        }
    };
    Ok(Tower {
        patch_weight: weights.get(&format!("{}.weight", names.patches), &[width, 3, patch, patch])?,
        patch_bias: weights.get(&format!("{}.bias", names.patches), &[width])?,
        cls_token: weights.get("embeddings.cls_token", &[1, 1, width])?.view([width]),
        registers: match family {
            Family::Dinov2 => Tensor::zeros([0, width], tch::kind::FLOAT_CPU),
            _ => weights.get("embeddings.register_tokens", &[1, registers, width])?.view([registers, width]),
        },
        positions,
        blocks: (0..config.layers).map(|n| block(weights, config, n)).collect::<Result<_>>()?,
        norm: naming::layer_norm(weights, names.norm, width, eps)?,
    })
}

fn block(weights: &Weights, config: &Config, n: i64) -> Result<Block> {
    let Config { family, width, heads, eps, activation, gated, .. } = *config;
    let at = format!("{}{n}", Names::of(family).blocks);
    let (attention, into, out) = maps(config, n);
    let [query, key, value, out_proj] = attention.map(|map| linear(weights, &map));
    let scale = |number: u8| weights.get(&format!("{at}.layer_scale{number}.lambda1"), &[width]);
    Ok(Block {
        ln_1: naming::layer_norm(weights, &format!("{at}.norm1"), width, eps)?,
        in_proj: stacked(vec![query?, key?, value?]),
        out_proj: scaled(&out_proj?, &scale(1)?),
        ln_2: naming::layer_norm(weights, &format!("{at}.norm2"), width, eps)?,
        fc: stacked(into.iter().map(|map| linear(weights, map)).collect::<Result<_>>()?),
        proj: scaled(&linear(weights, &out)?, &scale(2)?),
        heads,
        activation,
        gated,
    }
    .folded())
}

/// Reads a map; one without an offset has zeros.
fn linear(weights: &Weights, (name, out, input, offset): &Map) -> Result<Linear> {
    Ok(Linear {
        weight: weights.get(&format!("{name}.weight"), &[*out, *input])?,
        bias: match offset {
            true => weights.get(&format!("{name}.bias"), &[*out])?,
            false => Tensor::zeros([*out], (Number::Float, tch::Device::Cpu)),
        },
    })
}

/// Makes one map of several with the same input.
fn stacked(maps: Vec<Linear>) -> Linear {
    let (weights, biases): (Vec<Tensor>, Vec<Tensor>) = maps.into_iter().map(|map| (map.weight, map.bias)).unzip();
    Linear { weight: Tensor::cat(&weights, 0), bias: Tensor::cat(&biases, 0) }
}

/// Puts LayerScale, a factor for each output, into the map before it.
fn scaled(map: &Linear, scale: &Tensor) -> Linear {
    Linear { weight: &map.weight * scale.unsqueeze(1), bias: &map.bias * scale }
}
