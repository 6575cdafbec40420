//! TokenFusion: coarse [CLS] and fine [FG], averaged (method section 4).

use tch::Tensor;

/// The fused feature (B, d) of unit length: what pseudo-labels are made from. `ratio` is the share of [FG].
pub fn feature(cls: &Tensor, fg: &Tensor, ratio: f64) -> Tensor {
    super::normalize(&mixture(cls, fg, ratio))
}

/// Logits (B, C) for training and inference: the mean of both tokens' cosines, scaled. The sum is not normalised.
/// `head` is (C, d) of unit rows.
pub fn logits(cls: &Tensor, fg: &Tensor, ratio: f64, head: &Tensor, scale: f64) -> Tensor {
    mixture(cls, fg, ratio).matmul(&head.tr()) * scale
}

fn mixture(cls: &Tensor, fg: &Tensor, ratio: f64) -> Tensor {
    cls * (1.0 - ratio) + fg * ratio
}
