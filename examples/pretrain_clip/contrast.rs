//! The loss of pre-training.

use tch::{Kind, Tensor};

/// Weight of the term on the mean patch token; `[CLS]` has the rest.
const PATCH_TERM: f64 = 0.5;
/// Unit length along the last dimension.
pub fn normalize(x: &Tensor) -> Tensor {
    x / x.square().sum_dim_intlist([-1i64].as_slice(), true, Kind::Float).sqrt().clamp_min(1e-6)
}

/// CLIP's symmetric cross entropy between pictures and captions, for `[CLS]` and for the mean patch
/// token alike. All are (B, d) of unit length, row `i` belonging to row `i`.
pub fn contrastive(cls: &Tensor, patches: &Tensor, text: &Tensor, log_scale: &Tensor) -> Tensor {
    let scale = log_scale.exp().clamp_max(100.0);
    let target = Tensor::arange(cls.size()[0], (Kind::Int64, cls.device()));
    let term = |image: &Tensor| {
        let logits = image.matmul(&text.tr()) * &scale;
        (logits.cross_entropy_for_logits(&target) + logits.tr().cross_entropy_for_logits(&target)) * 0.5
    };
    term(cls) * (1.0 - PATCH_TERM) + term(patches) * PATCH_TERM
}

/// What the patch tokens (B, N, D) of a picture exceed the allowed likeness by: the squared length
/// of their mean over their mean squared length. Where all are alike, every pair passes the
/// affinity's threshold, and the normalized cut is arbitrary.
pub fn likeness(patches: &Tensor, allowed: f64) -> Tensor {
    let square = |x: &Tensor| x.square().sum_dim_intlist([-1i64].as_slice(), false, Kind::Float);
    let mean = square(&patches.mean_dim([1i64].as_slice(), false, Kind::Float));
    let each = square(patches).mean_dim([1i64].as_slice(), false, Kind::Float);
    ((mean / each).mean(Kind::Float) - allowed).relu()
}
