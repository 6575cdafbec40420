//! Agreement of runs that differ only in their seed: what chance decides is not what the pictures
//! show.

use super::super::answers::Answered;
use super::super::set::Set;
use super::share_alike;

/// Returns the mean share of measured pictures that two of the runs answer alike; `None` of fewer
/// than two runs, as of rows that train nothing.
pub(in super::super) fn of_seeds(runs: &[&Answered], set: &Set) -> Option<f64> {
    let answers: Vec<_> = runs.iter().map(|run| run.classes.index_select(0, &set.measured)).collect();
    let pairs = answers.iter().enumerate().flat_map(|(n, one)| answers[..n].iter().map(move |other| (one, other)));
    let shares: Vec<f64> = pairs.map(|(one, other)| share_alike(one, other)).collect::<Option<_>>()?;
    super::super::rank::mean(&shares)
}
