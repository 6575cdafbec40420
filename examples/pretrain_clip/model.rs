//! The small CLIP before training: its sizes, and the values its tensors start from.

use crate::vit::start::{NO_DECAY, block, cosine_filters, layer_norm, normal, wave_positions, wide};
use microclip_pipe::clip::{Activation, ClipConfig, TextConfig, TextTower, VisionConfig, VisionTower};
use tch::Tensor;
use tch::nn::{Init, Path};

/// Both towers and the temperature, all trainable.
pub struct Model {
    pub vision: VisionTower,
    pub text: TextTower,
    /// The logarithm of what cosines are multiplied with.
    pub log_scale: Tensor,
}

/// The sizes: 96 px in 8 x 8 patches.
pub fn sizes(vocab: i64) -> ClipConfig {
    let activation = Activation::QuickGelu;
    ClipConfig {
        vision: VisionConfig {
            width: 128,
            layers: 4,
            heads: 2,
            mlp: 512,
            image_size: 96,
            patch: 12,
            eps: 1e-5,
            activation,
        },
        text: TextConfig { width: 128, layers: 2, heads: 2, mlp: 512, vocab, context: 48, eps: 1e-5, activation },
        joint: 128,
    }
}

impl Model {
    /// Registers every tensor in `path`.
    pub fn new(path: &Path, config: &ClipConfig) -> Self {
        let v = &config.vision;
        let vision = path / "vision";
        Self {
            vision: VisionTower {
                patch_embedding: vision.var_copy("patch_embedding", &cosine_filters(v.width, v.patch)),
                class_embedding: normal(&vision, "class_embedding", &[v.width], wide(v.width)),
                position_embedding: vision.var_copy("position_embedding", &wave_positions(v.width, v.grid())),
                ln_pre: layer_norm(&(&vision / "ln_pre"), v.width, v.eps),
                blocks: (0..v.layers)
                    .map(|n| block(&(&vision / n), v.width, v.mlp, v.heads, v.layers, v.activation))
                    .collect(),
                ln_post: layer_norm(&(&vision / "ln_post"), v.width, v.eps),
                projection: normal(&vision, "projection", &[v.width, config.joint], wide(v.width)),
                config: v.clone(),
            },
            text: text_tower(&(path / "text"), config),
            log_scale: path.set_group(NO_DECAY).var("log_scale", &[], Init::Const((1.0f64 / 0.07).ln())),
        }
    }
}

/// A text tower that has learnt nothing.
pub fn text_tower(path: &Path, config: &ClipConfig) -> TextTower {
    let t = &config.text;
    TextTower {
        token_embedding: normal(path, "token_embedding", &[t.vocab, t.width], 0.02),
        position_embedding: normal(path, "position_embedding", &[t.context, t.width], 0.01),
        blocks: (0..t.layers).map(|n| block(&(path / n), t.width, t.mlp, t.heads, t.layers, t.activation)).collect(),
        ln_final: layer_norm(&(path / "ln_final"), t.width, t.eps),
        projection: normal(path, "projection", &[t.width, config.joint], wide(t.width)),
        config: t.clone(),
    }
}
