//! The second and third eigenpair of one graph at a time, by Lanczos runs, which suit a CPU.
//!
//! A run builds an orthonormal basis in which the matrix is tridiagonal; every vector costs one
//! product of the matrix, and the largest eigenpair settles in 8 to 20 of them. A run sees only one
//! vector of a double eigenvalue, so the third eigenpair needs a run of its own, with the second
//! vector taken out: two patches that are unlike all others must not look like a clear cut. The
//! second run also finds what the first one missed.

use super::strips::{Strips, dot};
use super::tridiagonal::Tridiagonal;

/// The most vectors of a basis, including those that are taken out.
const ROOM: usize = 64;
/// The number of steps before the first check of a run.
const FIRST_LOOK: usize = 6;
/// The residual at which a run stops. An eigenvalue's error is about its square; but at five times
/// this bound, a run occasionally stops at the pair below the one sought, and one patch in ten
/// thousand crosses a threshold.
const BOUND: f64 = 1e-5;
/// The length below which a new direction is only rounding: the basis spans all that can be
/// reached.
const EXHAUSTED: f64 = 1e-6;

/// The result for one graph.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Found {
    /// The second largest eigenvalue of `D^-1/2 A D^-1/2`, to which the vector belongs.
    pub(super) second: f32,
    /// The third largest eigenvalue.
    pub(super) third: f32,
    /// The measured residual `|S u - lambda u|`.
    pub(super) residual: f32,
}

/// Buffers for graphs of one size.
pub(super) struct Solver {
    n: usize,
    /// The affinity, then `S = D^-1/2 A D^-1/2`.
    matrix: Strips,
    /// First the eigenvectors that are taken out, then the vectors of the run; one per row.
    basis: Strips,
    /// The same, one per column: products with all of them at once, without a sum across a vector
    /// register.
    across: Strips,
    /// The start vectors of the runs for the second and the third pair.
    starts: [Vec<f32>; 2],
    /// `D^-1/2`.
    scale: Vec<f32>,
    /// The current vector.
    x: Vec<f32>,
    /// The product of the matrix with `x`.
    product: Vec<f32>,
    /// The coefficients of a vector in the basis.
    shares: Vec<f32>,
    tridiagonal: Tridiagonal,
}

impl Solver {
    pub(super) fn new(n: usize) -> Self {
        let start = |from: usize| (from..from + n).map(|at| noise(at as u32)).collect();
        Solver {
            n,
            matrix: Strips::new(n, n),
            basis: Strips::new(ROOM, n),
            across: Strips::new(n, ROOM),
            starts: [start(1000), start(2000)],
            scale: vec![0.0; n],
            x: vec![0.0; n],
            product: vec![0.0; n],
            shares: Vec::with_capacity(ROOM),
            tridiagonal: Tridiagonal::default(),
        }
    }

    /// Solves a symmetric affinity (n x n) with positive entries; `vector` (n) becomes the second
    /// eigenvector.
    pub(super) fn solve(&mut self, affinity: &[f32], vector: &mut [f32]) -> Found {
        #[cfg(target_arch = "x86_64")]
        if std::arch::is_x86_feature_detected!("avx2") {
            // SAFETY: the CPU supports AVX2, which the function is compiled for.
            return unsafe { self.solve_by_avx2(affinity, vector) };
        }
        self.solve_by_any(affinity, vector)
    }

    /// Runs the same code in registers of eight numbers: about twice as fast as the x86-64
    /// baseline, with the same bits.
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2")]
    fn solve_by_avx2(&mut self, affinity: &[f32], vector: &mut [f32]) -> Found {
        self.solve_by_any(affinity, vector)
    }

    #[inline(always)]
    fn solve_by_any(&mut self, affinity: &[f32], vector: &mut [f32]) -> Found {
        self.normalise(affinity);
        self.keep(0);
        let mut second = self.run(1);
        self.recover(1, second);
        self.keep(1);
        vector.copy_from_slice(&self.x);
        let mut third = self.run(2);
        if third > second {
            // The first run settled on the pair below the one sought, of which its start had almost
            // nothing.
            self.recover(2, third);
            vector.copy_from_slice(&self.x);
            (second, third) = (third, second);
        }
        self.x.copy_from_slice(vector);
        self.apply();
        let value = dot(&self.product, &self.x);
        let residual = self.product.iter().zip(&self.x).map(|(product, x)| (product - value * x).powi(2)).sum::<f32>();
        Found { second: second as f32, third: third as f32, residual: residual.sqrt() }
    }

    /// Sets `x` to the eigenvector of the eigenvalue that a run returned.
    #[inline(always)]
    fn recover(&mut self, known: usize, value: f64) {
        self.shares.clear();
        self.shares.resize(known, 0.0);
        self.tridiagonal.vector(value, &mut self.shares);
        self.x.fill(0.0);
        self.basis.multiply(1.0, &self.shares, &mut self.x);
        normalize(&mut self.x);
    }

    /// Sets `matrix` to S, and `x` to its first eigenvector, the square roots of the degrees.
    #[inline(always)]
    fn normalise(&mut self, affinity: &[f32]) {
        for (at, row) in affinity.chunks_exact(self.n).enumerate() {
            self.matrix.set_row(at, row);
        }
        self.x.fill(1.0);
        self.apply();
        for ((x, scale), degree) in self.x.iter_mut().zip(&mut self.scale).zip(&self.product) {
            *x = degree.sqrt();
            *scale = x.recip();
        }
        normalize(&mut self.x);
        self.matrix.scale(&self.scale);
    }

    /// Sets `product` to `matrix x`.
    #[inline(always)]
    fn apply(&mut self) {
        self.product.fill(0.0);
        self.matrix.multiply(1.0, &self.x, &mut self.product);
    }

    /// Stores `x` in the basis.
    #[inline(always)]
    fn keep(&mut self, at: usize) {
        self.basis.set_row(at, &self.x);
        self.across.set_column(at, &self.x);
    }

    /// Returns the largest eigenvalue orthogonal to the first `known` vectors of the basis, or the
    /// best that the room allows.
    #[inline(always)]
    fn run(&mut self, known: usize) -> f64 {
        let room = ROOM.min(self.n) - known;
        self.tridiagonal.clear();
        self.product.copy_from_slice(&self.starts[known - 1]);
        self.orthogonalize(known);
        // The search for an eigenvalue begins above 1, which no eigenvalue of S exceeds, and later
        // above the last one found.
        let (mut near, mut reach) = (1.0, 1e-6);
        let mut look = FIRST_LOOK;
        let mut length = norm(&self.product);
        loop {
            let steps = self.tridiagonal.size() + 1;
            let scale = length.max(1e-12).recip() as f32;
            self.x.iter_mut().zip(&self.product).for_each(|(x, product)| *x = scale * product);
            self.keep(known + steps - 1);
            self.apply();
            self.orthogonalize(known + steps);
            self.tridiagonal.push(length, f64::from(self.shares[known + steps - 1]));
            length = norm(&self.product);
            let exhausted = steps == room || length < EXHAUSTED;
            if exhausted || steps >= look {
                let found = self.tridiagonal.largest(near, reach);
                let residual = length * found.last;
                if exhausted || residual < BOUND {
                    return found.value;
                }
                // It still grows, by about the square of the residual over the distance to the next
                // eigenvalue.
                (near, reach) = (found.value, 16.0 * residual * residual);
                look = steps + 1 + (residual / BOUND).log10() as usize;
            }
        }
    }

    /// Removes the first `count` vectors of the basis from `product`; `shares` are their
    /// coefficients.
    #[inline(always)]
    fn orthogonalize(&mut self, count: usize) {
        self.shares.clear();
        self.shares.resize(count, 0.0);
        self.across.multiply(1.0, &self.product, &mut self.shares);
        self.basis.multiply(-1.0, &self.shares, &mut self.product);
    }
}

/// Returns a pseudo-random number in [-0.5, 0.5): a start that no structure of a graph is
/// orthogonal to.
fn noise(at: u32) -> f32 {
    let mut x = at.wrapping_add(1).wrapping_mul(0x9E37_79B9);
    x = (x ^ (x >> 16)).wrapping_mul(0x85EB_CA6B);
    x = (x ^ (x >> 13)).wrapping_mul(0xC2B2_AE35);
    ((x ^ (x >> 16)) >> 8) as f32 / (1 << 24) as f32 - 0.5
}

#[inline(always)]
fn norm(x: &[f32]) -> f64 {
    f64::from(dot(x, x)).sqrt()
}

#[inline(always)]
fn normalize(x: &mut [f32]) {
    let scale = norm(x).max(1e-12).recip() as f32;
    x.iter_mut().for_each(|x| *x *= scale);
}
