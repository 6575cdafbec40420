//! Second and third eigenpair of one graph at a time, by Lanczos runs: what a CPU is good at.
//!
//! A run builds an orthonormal basis whose every vector costs one product of the matrix, and in which the matrix is
//! tridiagonal; the largest eigenpair settles in 8 to 20 of them. It sees one vector of an eigenvalue that is there twice,
//! so that the third one is asked for by a run of its own, with the second vector taken out: two patches that nothing
//! else is like must not look like a clear cut.

use super::tridiagonal;

/// Most vectors of a run's basis.
pub(super) const STEPS: usize = 48;
/// Steps before a run is looked at for the first time, and from then on between two looks.
const FIRST_LOOK: usize = 7;
const BETWEEN_LOOKS: usize = 3;
/// Residual at which a run for the second vector stops: a patch on the other side of a threshold is one in tens of thousands.
const VECTOR: f64 = 5e-5;
/// The same for the third eigenvalue, whose error is about the square of it.
const VALUE: f64 = 3e-4;
/// Length of a new direction that is nothing but rounding: the basis holds all that can be reached.
const EXHAUSTED: f64 = 1e-6;

/// Eight numbers side by side: what vector registers are made of. Vectors and rows are filled up with zeros.
type Lanes = [f32; 8];
const ZERO: Lanes = [0.0; 8];

/// What was found of one graph.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Found {
    /// The second largest eigenvalue of `D^-1/2 A D^-1/2`, to which the vector belongs.
    pub(super) second: f32,
    /// The third largest.
    pub(super) third: f32,
    /// `|S u - lambda u|`, measured.
    pub(super) residual: f32,
}

/// Room for graphs of one size.
pub(super) struct Solver {
    n: usize,
    /// Lanes of a vector.
    width: usize,
    /// The affinity, as many rows as a vector has numbers.
    matrix: Vec<Lanes>,
    /// D^-1/2; zero where there is no patch.
    scale: Vec<Lanes>,
    /// First the eigenvectors that are taken out, then the vectors of the run.
    basis: Vec<Lanes>,
    scaled: Vec<Lanes>,
    product: Vec<Lanes>,
    diagonal: Vec<f64>,
    beside: Vec<f64>,
    weights: Vec<f64>,
    pivots: Vec<f64>,
}

impl Solver {
    pub(super) fn new(n: usize) -> Self {
        let width = n.div_ceil(8);
        let vectors = |count: usize| vec![ZERO; count * width];
        Solver {
            n,
            width,
            matrix: vectors(8 * width),
            scale: vectors(1),
            basis: vectors(STEPS + 2),
            scaled: vectors(1),
            product: vectors(1),
            diagonal: Vec::with_capacity(STEPS),
            beside: Vec::with_capacity(STEPS),
            weights: Vec::with_capacity(STEPS),
            pivots: Vec::with_capacity(STEPS),
        }
    }

    /// Of a symmetric affinity (n x n) with positive entries; `vector` (n) becomes the second eigenvector.
    pub(super) fn solve(&mut self, affinity: &[f32], vector: &mut [f32]) -> Found {
        #[cfg(target_arch = "x86_64")]
        if std::arch::is_x86_feature_detected!("avx2") {
            // SAFETY: the processor has what the function is compiled for.
            return unsafe { self.solve_by_avx2(affinity, vector) };
        }
        self.solve_by_lanes(affinity, vector)
    }

    /// The same code in registers of eight numbers: about twice as fast as what every x86-64 has.
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2")]
    fn solve_by_avx2(&mut self, affinity: &[f32], vector: &mut [f32]) -> Found {
        self.solve_by_lanes(affinity, vector)
    }

    #[inline(always)]
    fn solve_by_lanes(&mut self, affinity: &[f32], vector: &mut [f32]) -> Found {
        let (n, width) = (self.n, self.width);
        for (row, of_affinity) in self.matrix.chunks_exact_mut(width).zip(affinity.chunks_exact(n)) {
            row.as_flattened_mut()[..n].copy_from_slice(of_affinity);
        }
        self.scaled.as_flattened_mut()[..n].fill(1.0);
        multiply(&self.matrix, &self.scaled, &mut self.product);
        let entries = self.scale.as_flattened_mut().iter_mut().zip(self.basis.as_flattened_mut());
        for ((scale, first), degree) in entries.zip(self.product.as_flattened()).take(n) {
            *scale = degree.sqrt().recip();
            *first = degree.sqrt();
        }
        normalize(&mut self.basis[..width]);
        let second = self.run(1, VECTOR);
        // The vector becomes the second that is taken out, in the place of the run's first.
        self.product.fill(ZERO);
        for (weight, of_basis) in self.weights.iter().zip(self.basis[width..].chunks_exact(width)) {
            add(&mut self.product, *weight as f32, of_basis);
        }
        normalize(&mut self.product);
        self.basis[width..2 * width].copy_from_slice(&self.product);
        vector.copy_from_slice(&self.product.as_flattened()[..n]);
        self.apply(1);
        let found = &self.basis[width..2 * width];
        let value = dot(&self.product, found);
        add(&mut self.product, -value, found);
        let residual = dot(&self.product, &self.product).sqrt();
        let third = self.run(2, VALUE);
        Found { second: second as f32, third: third as f32, residual }
    }

    /// `product` becomes `D^-1/2 A D^-1/2 x`, x being a vector of the basis.
    #[inline(always)]
    fn apply(&mut self, at: usize) {
        let x = &self.basis[at * self.width..][..self.width];
        let entries = |of: &mut Vec<Lanes>, by: &[Lanes]| {
            let (of, by) = (of.as_flattened_mut(), by.as_flattened());
            of.iter_mut().zip(by).for_each(|(of, by)| *of *= by);
        };
        self.scaled.copy_from_slice(x);
        entries(&mut self.scaled, &self.scale);
        multiply(&self.matrix, &self.scaled, &mut self.product);
        entries(&mut self.product, &self.scale);
    }

    /// The largest eigenvalue in what is orthogonal to the first `known` vectors of the basis. `weights` are those of the
    /// basis' other vectors in its eigenvector.
    #[inline(always)]
    fn run(&mut self, known: usize, residual: f64) -> f64 {
        let (width, room) = (self.width, STEPS.min(self.n - known));
        self.diagonal.clear();
        self.beside.clear();
        self.product.fill(ZERO);
        for (entry, at) in self.product.as_flattened_mut()[..self.n].iter_mut().zip(0u32..) {
            *entry = noise(at + 1000 * known as u32);
        }
        self.orthogonalize(known);
        normalize(&mut self.product);
        loop {
            let at = known + self.diagonal.len();
            self.basis[at * width..][..width].copy_from_slice(&self.product);
            self.apply(at);
            self.diagonal.push(f64::from(dot(&self.product, &self.basis[at * width..])));
            self.orthogonalize(at + 1);
            let length = f64::from(dot(&self.product, &self.product)).sqrt();
            let steps = self.diagonal.len();
            let exhausted = steps == room || length < EXHAUSTED;
            let look = steps >= FIRST_LOOK && (steps - FIRST_LOOK).is_multiple_of(BETWEEN_LOOKS);
            if exhausted || look {
                let (weights, pivots) = (&mut self.weights, &mut self.pivots);
                let value = tridiagonal::largest(&self.diagonal, &self.beside, weights, pivots);
                if exhausted || length * weights[steps - 1] < residual {
                    return value;
                }
            }
            self.beside.push(length);
            scale(&mut self.product, length.recip() as f32);
        }
    }

    /// Takes the first `count` vectors of the basis out of `product`.
    #[inline(always)]
    fn orthogonalize(&mut self, count: usize) {
        for of_basis in self.basis.chunks_exact(self.width).take(count) {
            let share = dot(&self.product, of_basis);
            add(&mut self.product, -share, of_basis);
        }
    }
}

/// A number in [-0.5, 0.5) that looks random: a start that no structure of a graph is orthogonal to.
fn noise(at: u32) -> f32 {
    let mut x = at.wrapping_add(1).wrapping_mul(0x9E37_79B9);
    x = (x ^ (x >> 16)).wrapping_mul(0x85EB_CA6B);
    x = (x ^ (x >> 13)).wrapping_mul(0xC2B2_AE35);
    ((x ^ (x >> 16)) >> 8) as f32 / (1 << 24) as f32 - 0.5
}

/// `y = A x` for a symmetric A: rows are added up, four at a time, which needs no sum across a vector register.
#[inline(always)]
fn multiply(matrix: &[Lanes], x: &[Lanes], y: &mut [Lanes]) {
    y.fill(ZERO);
    let width = x.len();
    for (rows, weights) in matrix.chunks_exact(8 * width).zip(x) {
        for (rows, w) in rows.chunks_exact(4 * width).zip(weights.chunks_exact(4)) {
            let (upper, lower) = rows.split_at(2 * width);
            let ((a, b), (c, d)) = (upper.split_at(width), lower.split_at(width));
            for ((((y, a), b), c), d) in y.iter_mut().zip(a).zip(b).zip(c).zip(d) {
                for lane in 0..8 {
                    y[lane] += (a[lane] * w[0] + b[lane] * w[1]) + (c[lane] * w[2] + d[lane] * w[3]);
                }
            }
        }
    }
}

#[inline(always)]
fn dot(x: &[Lanes], y: &[Lanes]) -> f32 {
    let mut sums = ZERO;
    for (x, y) in x.iter().zip(y) {
        for lane in 0..8 {
            sums[lane] += x[lane] * y[lane];
        }
    }
    let [a, b, c, d, e, f, g, h] = sums;
    ((a + b) + (c + d)) + ((e + f) + (g + h))
}

#[inline(always)]
fn add(to: &mut [Lanes], weight: f32, x: &[Lanes]) {
    for (to, x) in to.iter_mut().zip(x) {
        for lane in 0..8 {
            to[lane] += weight * x[lane];
        }
    }
}

#[inline(always)]
fn scale(x: &mut [Lanes], by: f32) {
    x.iter_mut().flatten().for_each(|x| *x *= by);
}

#[inline(always)]
fn normalize(x: &mut [Lanes]) {
    scale(x, dot(x, x).sqrt().max(1e-12).recip());
}
