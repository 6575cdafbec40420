//! The Fiedler vector of many small graphs at once, without an eigendecomposition (method section 2).
//!
//! `eigh` finds all n vectors, one graph after the other; the cut needs one, and the first is known: `sqrt(degree)`. With it
//! taken out, the vector sought is the dominant one of `M = D^-1/2 A D^-1/2 + I - 2 v v^T`, and squaring M a few times is a
//! power iteration whose every step doubles the exponent: a handful of batched matrix products.

use tch::{Kind as Number, Tensor};

/// M to the power of 2^9: neighbouring eigenvalues that differ by 1 % are apart by a factor of 100.
const DOUBLINGS: usize = 9;
/// Plain power steps with M itself, which remove the rounding of the squarings.
const REFINEMENTS: usize = 3;
/// `|M u - lambda u|` above which a graph goes to `eigh` instead.
const RESIDUAL: f64 = 1e-3;

/// Second and third eigenpair of B graphs.
#[derive(Debug)]
pub struct Fiedler {
    /// The vector to the second smallest eigenvalue of the normalised Laplacian, (B, n), of unit length; its sign is arbitrary.
    pub vector: Tensor,
    /// `lambda_3 - lambda_2`, (B).
    pub gap: Tensor,
}

/// Of symmetric affinities (B, n, n) with positive entries; n is at least 3.
pub fn fiedler(affinity: &Tensor) -> Fiedler {
    let degree = affinity.sum_dim_intlist([-1i64].as_slice(), false, Number::Float);
    let scale = degree.rsqrt();
    let similarity = affinity * scale.unsqueeze(2) * scale.unsqueeze(1);
    let n = affinity.size()[1];
    let identity = Tensor::eye(n, (Number::Float, affinity.device()));
    let first = super::normalize(&degree.sqrt());
    // The identity makes every eigenvalue positive, so that the dominant one is the largest, not the largest in magnitude.
    let without_first = &similarity + identity - outer(&first) * 2.0;
    let (vector, second) = dominant(&without_first);
    let without_both = &without_first - outer(&vector) * second.view([-1, 1, 1]);
    let (_, third) = dominant(&without_both);
    let residual = (without_first.bmm(&vector.unsqueeze(2)).squeeze_dim(2) - &vector * second.unsqueeze(1))
        .norm_scalaropt_dim(2, [1i64].as_slice(), false);
    // The eigenvalues of the Laplacian are 2 minus those of M, so the gap is the other way round.
    let gap = (second - third).clamp_min(0.0);
    let found = Fiedler { vector, gap };
    let stray = residual.le(RESIDUAL).logical_not().nonzero().view([-1]);
    if stray.size()[0] == 0 { found } else { found.replaced(&similarity, &stray) }
}

/// The same by an eigendecomposition of every graph, as the released code does it: slow, and with the signs of the LAPACK at hand.
pub fn by_eigh(affinity: &Tensor) -> Fiedler {
    let scale = affinity.sum_dim_intlist([-1i64].as_slice(), false, Number::Float).rsqrt();
    let n = affinity.size()[1];
    let laplacian =
        Tensor::eye(n, (Number::Float, affinity.device())) - affinity * scale.unsqueeze(2) * scale.unsqueeze(1);
    let (values, vectors) = laplacian.linalg_eigh("L");
    Fiedler { vector: vectors.select(2, 1), gap: (values.select(1, 2) - values.select(1, 1)).clamp_min(0.0) }
}

impl Fiedler {
    /// The graphs of `rows` done by `eigh`.
    fn replaced(mut self, similarity: &Tensor, rows: &Tensor) -> Self {
        let (values, vectors) = similarity.index_select(0, rows).linalg_eigh("L");
        let n = values.size()[1];
        let gap = values.select(1, n - 2) - values.select(1, n - 3);
        let _ = self.vector.index_copy_(0, rows, &vectors.select(2, n - 2));
        let _ = self.gap.index_copy_(0, rows, &gap);
        self
    }
}

fn outer(x: &Tensor) -> Tensor {
    x.unsqueeze(2).bmm(&x.unsqueeze(1))
}

/// The dominant eigenpair of positive semidefinite matrices (B, n, n).
fn dominant(matrix: &Tensor) -> (Tensor, Tensor) {
    let mut power = matrix.shallow_clone();
    for _ in 0..DOUBLINGS {
        power = power.bmm(&power);
        let largest = power.abs().amax([1i64, 2].as_slice(), true).clamp_min(1e-30);
        power /= largest;
    }
    // Every column is now a multiple of the vector; the one with the largest diagonal has the least rounding.
    let column = power.diagonal(0, 1, 2).argmax(1, true).unsqueeze(1).expand([-1, power.size()[1], 1], false);
    let mut x = super::normalize(&power.gather(2, &column, false).squeeze_dim(2));
    for _ in 0..REFINEMENTS {
        x = super::normalize(&matrix.bmm(&x.unsqueeze(2)).squeeze_dim(2));
    }
    let value =
        (matrix.bmm(&x.unsqueeze(2)).squeeze_dim(2) * &x).sum_dim_intlist([1i64].as_slice(), false, Number::Float);
    (x, value)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Graphs of random tokens, as the cut makes them.
    fn graphs(seed: i64, n: i64) -> Tensor {
        tch::manual_seed(seed);
        let tokens = super::super::normalize(&(Tensor::randn([32, n, 24], tch::kind::FLOAT_CPU) + 0.6));
        let connected = tokens.bmm(&tokens.transpose(1, 2)).gt(0.2).to_kind(Number::Float);
        connected * (1.0 - 1e-6) + 1e-6
    }

    #[test]
    fn agrees_with_eigh_on_vectors_and_gaps() {
        for (seed, n) in [(1, 49), (2, 64), (3, 196)] {
            let affinity = graphs(seed, n);
            let scale = affinity.sum_dim_intlist([-1i64].as_slice(), false, Number::Float).rsqrt();
            let (values, vectors) = (&affinity * scale.unsqueeze(2) * scale.unsqueeze(1)).linalg_eigh("L");
            let theirs = vectors.select(2, n - 2);
            let ours = fiedler(&affinity);
            let cosine = (&ours.vector * &theirs).sum_dim_intlist([1i64].as_slice(), false, Number::Float).abs();
            let gap = values.select(1, n - 2) - values.select(1, n - 3);
            // Where the gap is small, any mixture of both vectors is as good.
            let clear = gap.gt(0.02);
            let worst = cosine.where_self(&clear, &Tensor::ones_like(&cosine)).min().double_value(&[]);
            assert!(worst > 0.999_9, "n {n}: cosine {worst}");
            let apart = ((ours.gap - &gap) * clear.to_kind(Number::Float)).abs().max().double_value(&[]);
            assert!(apart < 1e-3, "n {n}: gaps differ by {apart}");
        }
    }

    #[test]
    fn a_graph_without_structure_gives_a_finite_vector() {
        let found = fiedler(&Tensor::ones([2, 49, 49], tch::kind::FLOAT_CPU));
        assert_eq!(found.vector.isfinite().all().int64_value(&[]), 1);
        assert!(found.gap.max().double_value(&[]) < 1e-3);
    }
}
