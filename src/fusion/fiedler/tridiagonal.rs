//! The largest eigenpair of a small symmetric tridiagonal matrix T, which a Lanczos run needs at
//! every check.
//!
//! Everything follows from `p_i(x)`, the characteristic polynomials of T's leading i x i parts,
//! each computed from the two before it without a division.

/// The most Newton steps; a good guess needs 4 or 5, a bad one twice the size of the matrix.
const ROUNDS: usize = 300;
/// A step this short ends the search: the remaining error is about its square.
const PRECISION: f64 = 1e-8;

/// The matrix T, which grows by one row and column at a time.
#[derive(Debug, Default)]
pub(super) struct Tridiagonal {
    diagonal: Vec<f64>,
    /// The squares of the entries that couple each diagonal entry to the one before it; the first
    /// has no effect.
    squares: Vec<f64>,
}

/// The largest eigenvalue, and the last entry of its eigenvector of unit length.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Largest {
    pub(super) value: f64,
    pub(super) last: f64,
}

impl Tridiagonal {
    pub(super) fn clear(&mut self) {
        self.diagonal.clear();
        self.squares.clear();
    }

    pub(super) fn size(&self) -> usize {
        self.diagonal.len()
    }

    /// Adds a diagonal entry and the off-diagonal entry that couples it to the one before; the
    /// first couples to nothing.
    pub(super) fn push(&mut self, beside: f64, entry: f64) {
        self.diagonal.push(entry);
        self.squares.push(beside * beside);
    }

    /// Returns the largest eigenvalue. The search begins `reach` above `near`, or higher if that is
    /// not above the eigenvalue.
    ///
    /// If all zeros of a polynomial are real, Newton's method descends to the largest one from
    /// above and never crosses it.
    pub(super) fn largest(&self, near: f64, mut reach: f64) -> Largest {
        let mut x = near + reach;
        for _ in 0..ROUNDS {
            match self.step(x) {
                Some((step, last)) if step < PRECISION => return Largest { value: x - step, last },
                // A little less, so that rounding does not cross the zero.
                Some((step, _)) => x -= step - 0.01 * PRECISION,
                None => {
                    reach = 8.0 * reach + PRECISION;
                    x = near + reach;
                }
            }
        }
        // T contains a NaN.
        Largest { value: near, last: 1.0 }
    }

    /// Returns Newton's step down from x, and the last entry of the eigenvector, which is right if
    /// x is the eigenvalue; returns `None` if x is below it: all `p_i` are positive above the
    /// largest eigenvalue, and only there.
    fn step(&self, x: f64) -> Option<(f64, f64)> {
        let (mut p, mut slope) = (1.0, 0.0);
        let (mut p_before, mut slope_before) = (0.0, 0.0);
        let mut above = true;
        for (entry, square) in self.diagonal.iter().zip(&self.squares) {
            let next = (x - entry) * p - square * p_before;
            let next_slope = p + (x - entry) * slope - square * slope_before;
            (p_before, slope_before) = (p, slope);
            (p, slope) = (next, next_slope);
            above &= p >= 0.0;
        }
        above.then(|| (p / slope, (p_before / slope).sqrt()))
    }

    /// Appends the eigenvector of the largest eigenvalue, not scaled: entry i is `p_i` over the
    /// product of the first i off-diagonal entries.
    pub(super) fn vector(&self, value: f64, vector: &mut Vec<f32>) {
        let (mut entry, mut before) = (1.0, 0.0);
        for (at, diagonal) in self.diagonal.iter().enumerate() {
            vector.push(entry as f32);
            if let Some(square) = self.squares.get(at + 1) {
                let beside = square.sqrt();
                (entry, before) = (((value - diagonal) * entry - before) / beside, beside * entry);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_pair_of_a_path() {
        // The path of n vertices has the eigenvalues 2 cos(k pi / (n + 1)).
        let mut path = Tridiagonal::default();
        let mut vector = Vec::new();
        for size in 1..=40 {
            path.push(if size == 1 { 0.0 } else { 1.0 }, 0.0);
            let angle = std::f64::consts::PI / (size + 1) as f64;
            let scale = (2.0 / (size + 1) as f64).sqrt();
            for near in [-1.0, 2.0 * angle.cos(), 3.0] {
                let found = path.largest(near, 1e-6);
                assert!((found.value - 2.0 * angle.cos()).abs() < 1e-9, "{size}: {found:?}");
                assert!((found.last - scale * (size as f64 * angle).sin()).abs() < 1e-6, "{size}: {found:?}");
                vector.clear();
                path.vector(found.value, &mut vector);
                for (at, entry) in vector.iter().enumerate() {
                    let expected = ((at + 1) as f64 * angle).sin() / angle.sin();
                    assert!((f64::from(*entry) - expected).abs() < 1e-5, "{size}: {vector:?}");
                }
            }
        }
    }
}
