//! Multi-view alignment: many crops of one picture, weighted by how much they look like the whole
//! (method section 6).

use tch::{Kind as Number, Tensor};

use super::normalize;

/// Returns the relevance of each crop, (B, V): the softmax over the crops of their cosine to the
/// whole picture, without temperature. `crops` is (B, V, d), `cls` (B, d), both of unit length.
pub fn relevance(crops: &Tensor, cls: &Tensor) -> Tensor {
    crops.bmm(&cls.unsqueeze(2)).squeeze_dim(2).softmax(-1, None::<Number>)
}

/// Returns the composite feature (B, d) of unit length. A picture's has the same bits whatever it
/// is computed with.
pub fn composite(crops: &Tensor, cls: &Tensor) -> Tensor {
    if crops.size()[0] == 1 {
        // A product of two matrices alone is another kernel's, and rounded otherwise.
        let twice = |of: &Tensor| Tensor::cat(&[of, of], 0);
        return composite(&twice(crops), &twice(cls)).narrow(0, 0, 1);
    }
    normalize(&relevance(crops, cls).unsqueeze(1).bmm(crops).squeeze_dim(1))
}

/// Returns the composites of the first half of each picture's crops and of the others, (B, d) each
/// and of unit length. Of a single crop, one half is the crop and the other the whole picture.
pub fn halves(crops: &Tensor, cls: &Tensor) -> [Tensor; 2] {
    let count = crops.size()[1];
    if count == 1 {
        return [crops.squeeze_dim(1), cls.shallow_clone()];
    }
    let half = |from, count| composite(&crops.narrow(1, from, count), cls);
    [half(0, count / 2), half(count / 2, count - count / 2)]
}

/// Returns the prior logits (B, C): cosines of the composite to the frozen head (C, d).
pub fn prior_logits(crops: &Tensor, cls: &Tensor, frozen: &Tensor) -> Tensor {
    composite(crops, cls).matmul(&frozen.tr())
}
