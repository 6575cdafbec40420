//! The values that the tensors of a small ViT start from.

use microclip_pipe::clip::Activation;
use microclip_pipe::clip::block::{Block, LayerNorm, Linear};
use std::f64::consts::PI;
use tch::nn::{Init, Path};
use tch::{Kind, Tensor};

/// Parameters of this group take no weight decay.
pub const NO_DECAY: usize = 1;

/// The standard deviation that keeps the length of a product with a matrix of this width.
pub fn wide(width: i64) -> f64 {
    (width as f64).powf(-0.5)
}

pub fn normal(path: &Path, name: &str, size: &[i64], stdev: f64) -> Tensor {
    path.var(name, size, Init::Randn { mean: 0.0, stdev })
}

pub fn layer_norm(path: &Path, width: i64, eps: f64) -> LayerNorm {
    let path = path.set_group(NO_DECAY);
    LayerNorm {
        weight: path.var("weight", &[width], Init::Const(1.0)),
        bias: path.var("bias", &[width], Init::Const(0.0)),
        eps,
    }
}

pub fn linear(path: &Path, input: i64, out: i64, stdev: f64) -> Linear {
    Linear {
        weight: normal(path, "weight", &[out, input], stdev),
        bias: path.set_group(NO_DECAY).var("bias", &[out], Init::Const(0.0)),
    }
}

pub fn block(path: &Path, width: i64, mlp: i64, heads: i64, layers: i64, activation: Activation) -> Block {
    let attention = (width as f64).powf(-0.5);
    // What is added to the residual stream shrinks with the number of blocks.
    let residual = attention * (2.0 * layers as f64).powf(-0.5);
    Block {
        ln_1: layer_norm(&(path / "ln_1"), width, 1e-5),
        in_proj: linear(&(path / "in_proj"), width, 3 * width, attention),
        out_proj: linear(&(path / "out_proj"), width, width, residual),
        ln_2: layer_norm(&(path / "ln_2"), width, 1e-5),
        fc: linear(&(path / "fc"), width, mlp, (2.0 * width as f64).powf(-0.5)),
        proj: linear(&(path / "proj"), mlp, width, residual),
        heads,
        activation,
        gated: false,
    }
}

/// Patch filters start as the lowest frequencies of a cosine transform, half of them of brightness
/// and a quarter of each of two colour contrasts: a transformer this small would spend most of its
/// training finding them.
pub fn cosine_filters(width: i64, patch: i64) -> Tensor {
    let side = patch as usize;
    let wave = |k: usize, x: usize| {
        let norm = if k == 0 { 0.5f64.sqrt() } else { 1.0 } * f64::sqrt(2.0 / side as f64);
        norm * (PI * (x as f64 + 0.5) * k as f64 / side as f64).cos()
    };
    let mut frequencies: Vec<(usize, usize)> = (0..side).flat_map(|i| (0..side).map(move |j| (i, j))).collect();
    frequencies.sort_by_key(|&(i, j)| (i * i + j * j, i, j));
    const CONTRASTS: [[f64; 3]; 3] = [[0.577, 0.577, 0.577], [0.707, -0.707, 0.0], [0.408, 0.408, -0.816]];
    let mut filters = Vec::with_capacity(width as usize * 3 * side * side);
    for filter in 0..width as usize {
        let (contrast, at) = if filter % 2 == 0 { (0, filter / 2) } else { (1 + (filter / 2) % 2, filter / 4) };
        let (down, across) = frequencies[at];
        for weight in CONTRASTS[contrast] {
            for y in 0..side {
                filters.extend((0..side).map(|x| (0.5 * weight * wave(down, y) * wave(across, x)) as f32));
            }
        }
    }
    Tensor::from_slice(&filters).view([width, 3, patch, patch])
}

/// Position embeddings start as waves along both axes; that of `[CLS]` as zero.
pub fn wave_positions(width: i64, grid: i64) -> Tensor {
    let quarter = (width / 4) as usize;
    let mut rows = vec![0f32; width as usize];
    for y in 0..grid {
        for x in 0..grid {
            for at in [y, x] {
                for turn in [f64::sin, f64::cos] {
                    let wave = |k: usize| 0.3 * turn(2.0 * at as f64 / 30f64.powf(k as f64 / quarter as f64));
                    rows.extend((0..quarter).map(|k| wave(k) as f32));
                }
            }
        }
    }
    Tensor::from_slice(&rows).view([1 + grid * grid, width]).to_kind(Kind::Float)
}
