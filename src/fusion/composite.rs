//! Multi-view alignment: many crops of one picture, weighted by how much they look like the whole
//! (method section 6).

use tch::{Kind as Number, Tensor};

use super::normalize;

/// Returns the relevance of each crop, (B, V): the softmax over the crops of their cosine to the
/// whole picture, without temperature. `crops` is (B, V, d), `cls` (B, d), both of unit length.
pub fn relevance(crops: &Tensor, cls: &Tensor) -> Tensor {
    crops.bmm(&cls.unsqueeze(2)).squeeze_dim(2).softmax(-1, None::<Number>)
}

/// Returns the composite feature (B, d) of unit length.
pub fn composite(crops: &Tensor, cls: &Tensor) -> Tensor {
    normalize(&relevance(crops, cls).unsqueeze(1).bmm(crops).squeeze_dim(1))
}

/// Returns the prior logits (B, C): cosines of the composite to the frozen head (C, d).
pub fn prior_logits(crops: &Tensor, cls: &Tensor, frozen: &Tensor) -> Tensor {
    composite(crops, cls).matmul(&frozen.tr())
}
