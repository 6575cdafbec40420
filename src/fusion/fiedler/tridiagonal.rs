//! The largest eigenpair of a small symmetric tridiagonal matrix: what a Lanczos run asks for now and then.

/// Rounds; each about doubles the digits, and 5 to 8 do.
const ROUNDS: usize = 40;
/// Width of the interval that holds the eigenvalue, at the end.
const PRECISION: f64 = 1e-9;

/// The largest eigenvalue of the matrix with this diagonal and these positive off-diagonals (one fewer), from above;
/// `vector` becomes its eigenvector, of unit length. `pivots` is room for what lies between.
///
/// Noda's iteration: with positive off-diagonals the vector sought is positive (Perron), and inverse iteration with a shift
/// above the eigenvalue keeps it so. The quotients of two successive vectors' entries then enclose the eigenvalue, and
/// their upper bound is the next shift: it comes down to the eigenvalue and never below, so that no pivot vanishes.
pub(super) fn largest(diagonal: &[f64], beside: &[f64], vector: &mut Vec<f64>, pivots: &mut Vec<f64>) -> f64 {
    let size = diagonal.len();
    let off = |at: usize| beside.get(at).copied().unwrap_or(0.0);
    let radius = |at: usize| off(at) + if at == 0 { 0.0 } else { off(at - 1) };
    let row = |at: usize| diagonal[at] + radius(at);
    let mut above = (0..size).map(row).fold(f64::NEG_INFINITY, f64::max) + PRECISION;
    vector.clear();
    vector.resize(size, 1.0);
    pivots.resize(size, 0.0);
    for _ in 0..ROUNDS {
        let (least, most) = step(diagonal, beside, above, vector, pivots);
        above -= least;
        if most - least < PRECISION {
            break;
        }
        above += 0.1 * PRECISION;
    }
    above
}

/// `vector` becomes the solution y of `(x - T) y = vector`, scaled to unit length; `x` lies above all eigenvalues. Returns
/// the least and the largest quotient of old and new entries: the eigenvalue lies that far below `x`.
fn step(diagonal: &[f64], beside: &[f64], x: f64, vector: &mut [f64], pivots: &mut [f64]) -> (f64, f64) {
    let size = diagonal.len();
    let (mut least, mut most, mut squares) = (f64::INFINITY, 0.0_f64, 0.0);
    // Forward, with the sum kept apart from the old entries, which the quotients need.
    let (mut inverse, mut carried) = (0.0, 0.0);
    let mut right = [0.0; super::lanczos::STEPS];
    for at in 0..size {
        if at > 0 {
            carried *= inverse * beside[at - 1];
            pivots[at] = x - diagonal[at] - beside[at - 1] * beside[at - 1] * inverse;
        } else {
            pivots[0] = x - diagonal[0];
        }
        inverse = pivots[at].max(1e-300).recip();
        pivots[at] = inverse;
        carried += vector[at];
        right[at] = carried;
    }
    let mut next = 0.0;
    for at in (0..size).rev() {
        let coupling = if at + 1 < size { beside[at] * next } else { 0.0 };
        next = (right[at] + coupling) * pivots[at];
        let quotient = vector[at] / next;
        least = least.min(quotient);
        most = most.max(quotient);
        squares += next * next;
        vector[at] = next;
    }
    let scale = squares.sqrt().recip();
    vector.iter_mut().for_each(|entry| *entry *= scale);
    (least, most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_pair_of_a_path() {
        // The path of n vertices has the eigenvalues 2 cos(k pi / (n + 1)).
        let (mut vector, mut pivots) = (Vec::new(), Vec::new());
        for size in [1, 2, 3, 12] {
            let value = largest(&vec![0.0; size], &vec![1.0; size - 1], &mut vector, &mut pivots);
            let angle = std::f64::consts::PI / (size + 1) as f64;
            assert!((value - 2.0 * angle.cos()).abs() < 1e-8, "{size}: {value}");
            let scale = (2.0 / (size + 1) as f64).sqrt();
            for (at, entry) in vector.iter().enumerate() {
                assert!((entry - scale * ((at + 1) as f64 * angle).sin()).abs() < 1e-7, "{size}: {vector:?}");
            }
        }
    }
}
