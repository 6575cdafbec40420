//! The Fiedler vectors of many small graphs at once, without an eigendecomposition (method section
//! 2).
//!
//! `eigh` finds all n vectors, one graph after the other; the cut needs one, and the first is
//! known: `sqrt(degree)`. On a CPU, a Lanczos run finds it in 8 to 20 products of the matrix with a
//! vector ([`lanczos`]). A GPU is better at few large products: with the first vector taken out,
//! the Fiedler vector is the dominant one of `M = D^-1/2 A D^-1/2 + I - 2 v v^T`, and squaring M a
//! few times is a power iteration whose every step doubles the exponent.
//!
//! A GPU that is asked whether every graph has converged has to be waited for. That is worth it
//! once for each picture, whose mask is kept; [`vectors`], which serves training steps, does not
//! ask.

mod lanczos;
mod strips;
mod tridiagonal;

use tch::{Device, Kind as Number, Tensor};

use lanczos::Solver;

/// M is raised to the power of 2^12, which separates neighbouring eigenvalues that differ by 0.1 %
/// by a factor of 60.
const DOUBLINGS: usize = 12;
/// Doublings after which the power is scaled back. Until then, its largest entry grows from 1 to at
/// most n^8, since the trace bounds the eigenvalues: far below the largest 32-bit float.
const UNSCALED: usize = 3;
/// Plain power steps with M itself, which remove the rounding of the squarings.
const REFINEMENTS: usize = 3;
/// The bound of `|M u - lambda u|` above which a graph goes to `eigh` instead.
const RESIDUAL: f64 = 1e-3;
/// The value that the released code adds to `sqrt(degree)` before it divides by it.
const DEGREE_EPS: f64 = 1e-6;

/// The second and third eigenpair of B graphs.
#[derive(Debug)]
pub struct Fiedler {
    /// The eigenvector of the second smallest eigenvalue of the normalised Laplacian, (B, n), of
    /// unit length; its sign is arbitrary.
    pub vector: Tensor,
    /// The gap `lambda_3 - lambda_2`, (B).
    pub gap: Tensor,
}

/// Returns the Fiedler vectors of symmetric affinities (B, n, n) with positive entries; n is at
/// least 3. Graphs that do not converge go to `eigh`.
pub fn fiedler(affinity: &Tensor) -> Fiedler {
    let (found, residual) = match affinity.device() {
        Device::Cpu => by_lanczos(affinity),
        _ => by_squaring(affinity),
    };
    let stray = residual.le(RESIDUAL).logical_not().nonzero().view([-1]);
    if stray.size()[0] == 0 { found } else { found.replaced(affinity, &stray) }
}

/// Returns the vectors of [`fiedler`] alone, (B, n). A GPU is not waited for: there, a graph whose
/// second and third eigenvalue are nearly equal gets some mixture of their vectors, and any cut of
/// it is as good as another.
pub fn vectors(affinity: &Tensor) -> Tensor {
    match affinity.device() {
        Device::Cpu => fiedler(affinity).vector,
        _ => Squared::of(affinity).vector,
    }
}

/// Solves one graph at a time, and returns how far each vector is from an eigenvector, (B).
fn by_lanczos(affinity: &Tensor) -> (Fiedler, Tensor) {
    let size = affinity.size();
    let (graphs, n) = (size[0] as usize, size[1] as usize);
    let affinity = affinity.to_kind(Number::Float).contiguous();
    let mut entries = vec![0.0_f32; graphs * n * n];
    affinity.copy_data(&mut entries, graphs * n * n);
    let (mut vectors, mut gaps, mut residuals) = (vec![0.0; graphs * n], vec![0.0; graphs], vec![0.0; graphs]);
    let mut solver = Solver::new(n);
    let outputs = vectors.chunks_mut(n).zip(&mut gaps).zip(&mut residuals);
    for (entries, ((vector, gap), residual)) in entries.chunks(n * n).zip(outputs) {
        let found = solver.solve(entries, vector);
        (*gap, *residual) = ((found.second - found.third).max(0.0), found.residual);
    }
    let vector = Tensor::from_slice(&vectors).view([graphs as i64, n as i64]);
    (Fiedler { vector, gap: Tensor::from_slice(&gaps) }, Tensor::from_slice(&residuals))
}

/// What squaring finds: the second eigenpair of each graph, and the matrix that it was found in.
struct Squared {
    /// `M = D^-1/2 A D^-1/2 + I - 2 v v^T`, (B, n, n), v being the first vector.
    without_first: Tensor,
    /// Its dominant vectors, (B, n).
    vector: Tensor,
    /// Their eigenvalues, (B): 2 minus those of the Laplacian.
    value: Tensor,
}

impl Squared {
    fn of(affinity: &Tensor) -> Self {
        let degree = affinity.sum_dim_intlist([-1i64].as_slice(), false, Number::Float);
        let identity = Tensor::eye(affinity.size()[1], (Number::Float, affinity.device()));
        let first = super::normalize(&degree.sqrt());
        // The identity makes every eigenvalue positive, so the dominant one is the largest, not the
        // largest in magnitude.
        let without_first = normalised(affinity) + identity - outer(&first) * 2.0;
        let (vector, value) = dominant(&without_first);
        Squared { without_first, vector, value }
    }
}

fn by_squaring(affinity: &Tensor) -> (Fiedler, Tensor) {
    let Squared { without_first, vector, value: second } = Squared::of(affinity);
    let without_both = &without_first - outer(&vector) * second.view([-1, 1, 1]);
    let (_, third) = dominant(&without_both);
    let residual = (without_first.bmm(&vector.unsqueeze(2)).squeeze_dim(2) - &vector * second.unsqueeze(1))
        .norm_scalaropt_dim(2, [1i64].as_slice(), false);
    // The Laplacian's eigenvalues are 2 minus those of M, so the gap is reversed.
    (Fiedler { vector, gap: (second - third).clamp_min(0.0) }, residual)
}

/// Returns `D^-1/2 A D^-1/2`.
fn normalised(affinity: &Tensor) -> Tensor {
    let scale = affinity.sum_dim_intlist([-1i64].as_slice(), false, Number::Float).rsqrt();
    affinity * scale.unsqueeze(2) * scale.unsqueeze(1)
}

/// Like [`fiedler`], by an eigendecomposition of every graph: slow, and with signs that depend on
/// the LAPACK.
pub fn by_eigh(affinity: &Tensor) -> Fiedler {
    let n = affinity.size()[1];
    decomposed(&(Tensor::eye(n, (Number::Float, affinity.device())) - normalised(affinity)))
}

/// Like [`by_eigh`], with the Laplacian written as in the released code, down to the order of its
/// products.
///
/// This Laplacian is no better, but its last bits decide the signs that `eigh` returns, and the
/// whole vector if every pair is connected and any vector would do.
pub fn by_released_eigh(affinity: &Tensor) -> Fiedler {
    let degree = affinity.sum_dim_intlist([-1i64].as_slice(), false, Number::Float);
    let scale = (degree.sqrt() + DEGREE_EPS).reciprocal();
    decomposed(&((degree.diag_embed(0, -2, -1) - affinity) * scale.unsqueeze(2) * scale.unsqueeze(1)))
}

fn decomposed(laplacian: &Tensor) -> Fiedler {
    let (values, vectors) = laplacian.linalg_eigh("L");
    Fiedler { vector: vectors.select(2, 1), gap: (values.select(1, 2) - values.select(1, 1)).clamp_min(0.0) }
}

impl Fiedler {
    /// Replaces the results of the graphs `rows` by those of `eigh`.
    fn replaced(mut self, affinity: &Tensor, rows: &Tensor) -> Self {
        let found = by_eigh(&affinity.index_select(0, rows));
        let _ = self.vector.index_copy_(0, rows, &found.vector);
        let _ = self.gap.index_copy_(0, rows, &found.gap);
        self
    }
}

fn outer(x: &Tensor) -> Tensor {
    x.unsqueeze(2).bmm(&x.unsqueeze(1))
}

/// Returns positive semidefinite matrices (B, n, n), scaled so that the largest entry of each is 1;
/// it is on the diagonal.
fn scaled(matrix: &Tensor) -> Tensor {
    let largest = matrix.diagonal(0, 1, 2).amax([1i64].as_slice(), true).clamp_min(1e-30);
    matrix / largest.unsqueeze(2)
}

/// Returns the dominant eigenpair of positive semidefinite matrices (B, n, n).
fn dominant(matrix: &Tensor) -> (Tensor, Tensor) {
    let mut power = scaled(matrix);
    for doubling in 1..=DOUBLINGS {
        power = power.bmm(&power);
        if doubling.is_multiple_of(UNSCALED) {
            power = scaled(&power);
        }
    }
    // Every column is now a multiple of the vector; the one with the largest diagonal has the least
    // rounding.
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

    /// Returns graphs of random tokens, as the cut makes them.
    fn graphs(seed: i64, n: i64) -> Tensor {
        tch::manual_seed(seed);
        let tokens = super::super::normalize(&(Tensor::randn([32, n, 24], tch::kind::FLOAT_CPU) + 0.6));
        let connected = tokens.bmm(&tokens.transpose(1, 2)).gt(0.2).to_kind(Number::Float);
        connected * (1.0 - 1e-6) + 1e-6
    }

    type Solver = fn(&Tensor) -> Fiedler;

    #[test]
    fn agrees_with_eigh_on_vectors_and_gaps() {
        let solvers: [(&str, Solver); 2] = [("lanczos", fiedler), ("squaring", |a| by_squaring(a).0)];
        for (seed, n) in [(1, 3), (1, 49), (2, 64), (3, 196)] {
            let affinity = graphs(seed, n);
            let theirs = by_eigh(&affinity);
            for (name, solve) in solvers {
                let ours = solve(&affinity);
                let cosine =
                    (&ours.vector * &theirs.vector).sum_dim_intlist([1i64].as_slice(), false, Number::Float).abs();
                // If the gap is small, any mixture of both vectors is as good.
                let clear = theirs.gap.gt(0.02);
                let worst = cosine.where_self(&clear, &Tensor::ones_like(&cosine)).min().double_value(&[]);
                assert!(worst > 0.999_9, "{name}, n {n}: cosine {worst}");
                let apart = ((ours.gap - &theirs.gap) * clear.to_kind(Number::Float)).abs().max().double_value(&[]);
                assert!(apart < 1e-3, "{name}, n {n}: gaps differ by {apart}");
            }
        }
    }

    #[test]
    fn the_gap_of_a_double_eigenvalue_is_nothing() {
        // A ring: every eigenvalue except the first is double.
        let place = Tensor::arange(49, tch::kind::FLOAT_CPU);
        let apart = (place.unsqueeze(1) - place.unsqueeze(0)).abs();
        let near = apart.lt(6.0).logical_or(&apart.gt(43.0)).to_kind(Number::Float);
        let found = fiedler(&(near * (1.0 - 1e-6) + 1e-6).unsqueeze(0));
        assert!(found.gap.double_value(&[0]) < 1e-4, "{:?}", found.gap);
    }

    #[test]
    fn neighbours_change_nothing() {
        let affinity = graphs(5, 64);
        let one_by_one = (0..32).map(|at| fiedler(&affinity.narrow(0, at, 1)).vector).collect::<Vec<_>>();
        assert!(fiedler(&affinity).vector.equal(&Tensor::cat(&one_by_one, 0)));
    }

    #[test]
    fn what_does_not_converge_is_done_by_eigh() {
        let affinity = graphs(4, 49);
        let nonsense =
            Fiedler { vector: Tensor::zeros([32, 49], tch::kind::FLOAT_CPU), gap: affinity.select(1, 0).select(1, 0) };
        let rows = Tensor::from_slice(&[5_i64, 7]);
        let theirs = by_eigh(&affinity.index_select(0, &rows));
        let mended = nonsense.replaced(&affinity, &rows);
        assert!(mended.vector.get(7).equal(&theirs.vector.get(1)) && mended.gap.get(5).equal(&theirs.gap.get(0)));
        assert_eq!(mended.vector.get(6).norm().double_value(&[]), 0.0);
    }

    #[test]
    fn powers_of_large_and_of_flat_matrices_stay_finite() {
        for affinity in [graphs(6, 576).narrow(0, 0, 2), Tensor::ones([2, 576, 576], tch::kind::FLOAT_CPU)] {
            let found = by_squaring(&affinity).0;
            let finite = [&found.vector, &found.gap].map(|tensor| tensor.isfinite().all().int64_value(&[]));
            let length = found.vector.norm_scalaropt_dim(2, [1i64].as_slice(), false).min().double_value(&[]);
            assert!(finite == [1, 1] && (length - 1.0).abs() < 1e-3, "{found:?}");
        }
    }

    #[test]
    fn a_graph_without_structure_gives_a_finite_vector() {
        let found = fiedler(&Tensor::ones([2, 49, 49], tch::kind::FLOAT_CPU));
        assert_eq!(found.vector.isfinite().all().int64_value(&[]), 1);
        assert!(found.gap.max().double_value(&[]) < 1e-3);
    }
}
