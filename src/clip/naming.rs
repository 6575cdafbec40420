//! The two naming schemes of CLIP's tensors, and reading blocks in either.

use tch::Tensor;

use crate::clip::block::{Block, LayerNorm, Linear};
use crate::clip::config::Activation;
use crate::clip::weights::Weights;
use crate::error::Result;

/// The naming scheme of a checkpoint's tensors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Naming {
    /// transformers' `CLIPModel`: `vision_model.encoder.layers.0.self_attn.q_proj.weight` …
    HuggingFace,
    /// OpenAI's and open_clip's: `visual.transformer.resblocks.0.attn.in_proj_weight` …
    OpenAi,
}

impl Naming {
    /// Returns the naming scheme of these weights.
    pub fn of(weights: &Weights) -> Self {
        if weights.has("visual.conv1.weight") { Naming::OpenAi } else { Naming::HuggingFace }
    }
}

/// Sizes that all blocks of a tower share.
pub(super) struct BlockSizes {
    pub width: i64,
    pub mlp: i64,
    pub heads: i64,
    pub eps: f64,
    pub activation: Activation,
}

pub(crate) fn layer_norm(weights: &Weights, name: &str, width: i64, eps: f64) -> Result<LayerNorm> {
    Ok(LayerNorm {
        weight: weights.get(&format!("{name}.weight"), &[width])?,
        bias: weights.get(&format!("{name}.bias"), &[width])?,
        eps,
    })
}

fn linear(weights: &Weights, name: &str, out: i64, input: i64) -> Result<Linear> {
    Ok(Linear {
        weight: weights.get(&format!("{name}.weight"), &[out, input])?,
        bias: weights.get(&format!("{name}.bias"), &[out])?,
    })
}

/// Reads block `number` of the tower whose blocks are named `prefix` + number.
pub(super) fn block(weights: &Weights, naming: Naming, prefix: &str, number: i64, sizes: &BlockSizes) -> Result<Block> {
    let &BlockSizes { width, mlp, heads, eps, activation } = sizes;
    let at = format!("{prefix}{number}");
    let (ln_1, ln_2, in_proj, out, fc, proj) = match naming {
        Naming::OpenAi => {
            let in_proj = Linear {
                weight: weights.get(&format!("{at}.attn.in_proj_weight"), &[3 * width, width])?,
                bias: weights.get(&format!("{at}.attn.in_proj_bias"), &[3 * width])?,
            };
            ("ln_1", "ln_2", in_proj, "attn.out_proj", "mlp.c_fc", "mlp.c_proj")
        }
        Naming::HuggingFace => {
            let part = |which: &str| linear(weights, &format!("{at}.self_attn.{which}_proj"), width, width);
            let (q, k, v) = (part("q")?, part("k")?, part("v")?);
            let in_proj = Linear {
                weight: Tensor::cat(&[q.weight, k.weight, v.weight], 0),
                bias: Tensor::cat(&[q.bias, k.bias, v.bias], 0),
            };
            ("layer_norm1", "layer_norm2", in_proj, "self_attn.out_proj", "mlp.fc1", "mlp.fc2")
        }
    };
    Ok(Block {
        ln_1: layer_norm(weights, &format!("{at}.{ln_1}"), width, eps)?,
        in_proj,
        out_proj: linear(weights, &format!("{at}.{out}"), width, width)?,
        ln_2: layer_norm(weights, &format!("{at}.{ln_2}"), width, eps)?,
        fc: linear(weights, &format!("{at}.{fc}"), mlp, width)?,
        proj: linear(weights, &format!("{at}.{proj}"), width, mlp)?,
        heads,
        activation,
        gated: false,
    }
    .folded())
}
