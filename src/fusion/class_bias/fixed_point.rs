//! Finds the fixed point of a map over a few hundred or thousand numbers of which each value takes
//! a look at every picture, in few looks.
//!
//! Repeating the map comes closer by a constant factor a step, which is near 1 where the pull is
//! strong. Anderson's mixing (1965; Walker and Ni, SIAM J. Numer. Anal. 49, 2011, type II) takes
//! the combination of the last steps whose changes cancel best, and needs a third of the steps or
//! fewer. Where a combined step comes out worse, the history is dropped and the map is taken as it
//! is, so that it cannot do worse for long.

use std::collections::VecDeque;

/// The differences that are remembered.
const MEMORY: usize = 5;

/// The part of the largest diagonal element that is added to the diagonal of the small system of
/// equations, which is nearly singular close to the fixed point.
const RIDGE: f64 = 1e-10;

/// By how much the change of a step may grow before the history is dropped.
const WORSE: f64 = 1.5;

/// The steps so far.
#[derive(Debug, Default)]
pub(super) struct FixedPoint {
    /// The last value of the map, and its change.
    last: Option<(Vec<f64>, Vec<f64>)>,
    /// Differences of values of the map, and of its changes, from step to step.
    differences: VecDeque<(Vec<f64>, Vec<f64>)>,
}

impl FixedPoint {
    /// Returns where to look next, given the map's value at `at`.
    pub(super) fn next(&mut self, at: &[f64], value: Vec<f64>) -> Vec<f64> {
        let change = minus(&value, at);
        if let Some((last_value, last_change)) = self.last.take() {
            if largest(&change) > WORSE * largest(&last_change) {
                self.differences.clear();
            } else {
                self.differences.push_back((minus(&value, &last_value), minus(&change, &last_change)));
                if self.differences.len() > MEMORY {
                    self.differences.pop_front();
                }
            }
        }
        let mut next = value.clone();
        for ((of_values, _), share) in self.differences.iter().zip(self.shares(&change)) {
            next.iter_mut().zip(of_values).for_each(|(next, difference)| *next -= share * difference);
        }
        self.last = Some((value, change));
        next
    }

    /// Returns the shares of the differences of changes whose sum is nearest to `change`: the least
    /// squares by their normal equations.
    fn shares(&self, change: &[f64]) -> Vec<f64> {
        let of_changes: Vec<&[f64]> = self.differences.iter().map(|(_, change)| change.as_slice()).collect();
        let mut rows: Vec<Vec<f64>> =
            of_changes.iter().map(|a| of_changes.iter().map(|b| dot(a, b)).chain([dot(a, change)]).collect()).collect();
        let most = (0..rows.len()).map(|n| rows[n][n]).fold(0.0, f64::max);
        (0..rows.len()).for_each(|n| rows[n][n] += RIDGE * most + f64::MIN_POSITIVE);
        solved(rows)
    }
}

/// Returns the largest absolute value.
pub(super) fn largest(of: &[f64]) -> f64 {
    of.iter().fold(0.0, |largest, value| value.abs().max(largest))
}

/// Solves a positive definite system; a row is its coefficients, then its right side.
fn solved(mut rows: Vec<Vec<f64>>) -> Vec<f64> {
    let count = rows.len();
    for column in 0..count {
        let pivot = rows[column].clone();
        for row in rows.iter_mut().skip(column + 1) {
            let factor = row[column] / pivot[column];
            row.iter_mut().zip(&pivot).for_each(|(value, pivot)| *value -= factor * pivot);
        }
    }
    let mut solution = vec![0.0; count];
    for row in (0..count).rev() {
        let known: f64 = (row + 1..count).map(|column| rows[row][column] * solution[column]).sum();
        solution[row] = (rows[row][count] - known) / rows[row][row];
    }
    solution
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn minus(a: &[f64], b: &[f64]) -> Vec<f64> {
    a.iter().zip(b).map(|(a, b)| a - b).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A map that comes closer to 1, 2, 3, ... by another factor in each place.
    fn closer(at: &[f64]) -> Vec<f64> {
        (1..).zip(at).map(|(n, at)| f64::from(n) + (at - f64::from(n)) * (1.0 - 1.0 / f64::from(1 + n))).collect()
    }

    fn steps(mut next: impl FnMut(&[f64]) -> Vec<f64>) -> usize {
        let mut at = vec![0.0; 20];
        (0..)
            .find(|_| {
                let still = largest(&minus(&closer(&at), &at)) < 1e-6;
                at = next(&at);
                still
            })
            .unwrap()
    }

    #[test]
    fn it_comes_to_rest_in_a_third_of_the_steps_and_at_the_same_place() {
        let mut mixed = FixedPoint::default();
        let mut last = Vec::new();
        let few = steps(|at| {
            last = mixed.next(at, closer(at));
            last.clone()
        });
        let many = steps(closer);
        assert!(few * 3 < many, "{few} and {many}");
        assert!((1..).zip(&last).all(|(n, at)| (at - f64::from(n)).abs() < 1e-3), "{last:?}");
    }

    #[test]
    fn at_the_fixed_point_it_stays_there() {
        let mut mixed = FixedPoint::default();
        let still = vec![1.0, -2.0];
        for _ in 0..20 {
            assert_eq!(mixed.next(&still, still.clone()), still);
        }
    }
}
