//! The largest eigenpair of a small symmetric tridiagonal matrix T: what a Lanczos run asks for at every look.
//!
//! All of it comes out of `p_i(x)`, the characteristic polynomials of T's leading i x i parts, each of which follows from the
//! two before it without a division.

/// Most of Newton's steps; 4 or 5 do from a good guess, and twice the size of the matrix from a bad one.
const ROUNDS: usize = 300;
/// A step this short ends the search: what is left is about its square.
const PRECISION: f64 = 1e-8;

/// T, which grows by a row and a column at a time.
#[derive(Debug, Default)]
pub(super) struct Tridiagonal {
    diagonal: Vec<f64>,
    /// The squares of what couples each entry to the one before it; the first is not looked at.
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

    /// Adds an entry of the diagonal and the one beside it that couples it to the entry before; the first couples to nothing.
    pub(super) fn push(&mut self, beside: f64, entry: f64) {
        self.diagonal.push(entry);
        self.squares.push(beside * beside);
    }

    /// The largest eigenvalue. The search begins `reach` above `near`, or higher where that is not above it.
    ///
    /// Newton's method comes down to the largest zero of a polynomial from above and never crosses it, if all zeros are real.
    pub(super) fn largest(&self, near: f64, mut reach: f64) -> Largest {
        let mut x = near + reach;
        for _ in 0..ROUNDS {
            match self.step(x) {
                Some((step, last)) if step < PRECISION => return Largest { value: x - step, last },
                // A little less, so that rounding does not carry it across.
                Some((step, _)) => x -= step - 0.01 * PRECISION,
                None => {
                    reach = 8.0 * reach + PRECISION;
                    x = near + reach;
                }
            }
        }
        // Something in it is not a number.
        Largest { value: near, last: 1.0 }
    }

    /// Newton's step down from x, and the last entry of the eigenvector, which is right if x is the eigenvalue; nothing if x is
    /// below it: all `p_i` are positive above the largest eigenvalue, and only there.
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

    /// The eigenvector of the largest eigenvalue, not scaled: entry i is `p_i` over the product of the first i entries beside
    /// the diagonal.
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
