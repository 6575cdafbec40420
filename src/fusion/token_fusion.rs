//! TokenFusion: coarse [CLS] and fine [FG], averaged (method section 4).

use tch::Tensor;

/// Returns the fused feature (B, d) of unit length, from which pseudo-labels are made. `ratio` is
/// the share of [FG].
pub fn feature(cls: &Tensor, fg: &Tensor, ratio: f64) -> Tensor {
    super::normalize(&mixture(cls, fg, ratio))
}

/// Returns the logits (B, C) for training and inference: the mean of both tokens' cosines, weighted
/// by `ratio` and scaled. The sum is not normalised. `head` is (C, d) of unit rows.
pub fn logits(cls: &Tensor, fg: &Tensor, ratio: f64, head: &Tensor, scale: f64) -> Tensor {
    mixture(cls, fg, ratio).matmul(&head.tr()) * scale
}

fn mixture(cls: &Tensor, fg: &Tensor, ratio: f64) -> Tensor {
    cls * (1.0 - ratio) + fg * ratio
}
