//! The choice: rows in the order of their standing.

use super::criteria::Criterion;
use super::judge::Judged;

/// Rows ranked by one criterion.
#[derive(Debug, Clone, PartialEq)]
pub struct Choice {
    /// What they are ranked by.
    pub criterion: Criterion,
    /// Each row's mean standing over the sets, in the order of the file; `None` if it is not
    /// ranked.
    pub standings: Vec<Option<f64>>,
    /// Indices of the ranked rows, best first; of equal ones, the first in the file.
    pub order: Vec<usize>,
}

impl Choice {
    /// Ranks the rows.
    pub fn of(judged: &Judged, criterion: Criterion) -> Choice {
        let standings = judged.standings(criterion);
        let mut order: Vec<usize> = (0..standings.len()).filter(|&row| standings[row].is_some()).collect();
        order.sort_by(|&a, &b| standings[b].partial_cmp(&standings[a]).unwrap_or(std::cmp::Ordering::Equal));
        Choice { criterion, standings, order }
    }

    /// Returns the index of the chosen row; `None` if none is ranked.
    pub fn chosen(&self) -> Option<usize> {
        self.order.first().copied()
    }
}
