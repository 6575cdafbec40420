//! Judging the rows of an ablation by every criterion.

use super::super::cells::Cell;
use super::super::names::distinct;
use super::super::spec::Ablation;
use super::answers::{self, Answered};
use super::criteria::{self, Criterion};
use super::rank;
use super::set::Set;
use super::table;
use crate::device::guarded;
use crate::error::Result;
use crate::pipeline::run::Options;
use crate::pipeline::wait_for_lock;
use crate::runs::lookup::Lookup;
use crate::stage::job::Job;
use crate::store::Work;

/// The values of the rows by the criteria: means over seeds.
#[derive(Debug, Clone, PartialEq)]
pub struct Judged {
    /// The rows, in the order of the file.
    pub rows: Vec<String>,
    /// The pipelines, in the order of the file.
    pub sets: Vec<String>,
    /// A value for each row of each set by each criterion that is measured, in the order of
    /// [`Criterion::ALL`]; `None` where it does not apply.
    measured: Vec<Vec<Vec<Option<f64>>>>,
    /// Notes for the user: rows that are not judged.
    pub notes: Vec<String>,
}

impl Judged {
    /// Makes values from measured ones, by criterion, set and row; a criterion without any is one
    /// that combines others.
    pub(super) fn new(rows: Vec<String>, sets: Vec<String>, measured: Vec<Vec<Vec<Option<f64>>>>) -> Judged {
        Judged { rows, sets, measured, notes: Vec::new() }
    }

    /// Returns a value for each row of a set; of a combination, the mean standing by the criteria
    /// that apply to the row.
    pub fn values(&self, criterion: Criterion, set: usize) -> Vec<Option<f64>> {
        let parts = criterion.parts();
        if parts.is_empty() {
            return self.measured[criterion as usize][set].clone();
        }
        let standings: Vec<_> = parts.iter().map(|part| rank::standings(&self.values(*part, set))).collect();
        let of_row = |row: usize| standings.iter().filter_map(|of| of[row]).collect::<Vec<f64>>();
        (0..self.rows.len()).map(|row| rank::mean(&of_row(row))).collect()
    }

    /// Returns the mean over the sets of each row's standing within the set, from 0 to 1; `None` if
    /// the criterion does not apply to it in every set.
    pub fn standings(&self, criterion: Criterion) -> Vec<Option<f64>> {
        let of_sets: Vec<_> = (0..self.sets.len()).map(|set| rank::standings(&self.values(criterion, set))).collect();
        let of_row = |row: usize| of_sets.iter().map(|of| of[row]).collect::<Vec<_>>();
        (0..self.rows.len()).map(|row| rank::mean_of_all(&of_row(row))).collect()
    }
}

/// Judges all rows by what their `runs` answer, one for each cell. Reads no table that has labels
/// or figures, and writes `criteria`.
///
/// # Errors
/// Fails if the store lacks what a run should have left there, rows are about different pictures,
/// or a stop was requested.
pub async fn judge(ablation: &Ablation, cells: &[Cell], runs: &[String], options: &Options) -> Result<Judged> {
    let Options { stop, progress, .. } = options;
    let store = wait_for_lock::take(&ablation.store, stop, progress).await?;
    let _ours = wait_for_lock::claim(&store, &[Work::Ablation(ablation.name.clone())], stop, progress).await?;
    let job = Job { store: &store, stop, progress };
    let rows = distinct(cells.iter().map(|cell| cell.row.as_str()));
    let sets = distinct(cells.iter().map(|cell| cell.pipeline.as_str()));
    let none = vec![vec![vec![None; rows.len()]; sets.len()]; Criterion::ALL.len()];
    let owned = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
    let mut judged = Judged::new(owned(&rows), owned(&sets), none);
    let mut lookup = Lookup::new(&store);
    progress.begin("choose", "run", runs.len() as u64, 0);
    for (at, name) in sets.iter().enumerate() {
        let ours: Vec<(&Cell, &String)> = cells.iter().zip(runs).filter(|(cell, _)| cell.pipeline == *name).collect();
        let Some(spec) = ours.first().map(|(cell, _)| &cell.spec) else { continue };
        // Several reads of the tables of the dataset must see the same pictures.
        let relying = [Work::Relying(lookup.known(spec)?.workspace.dataset.clone())];
        let _relying = wait_for_lock::claim(&store, &relying, stop, progress).await?;
        let set = guarded("reading features", || Set::open(lookup.known(spec)?, spec, ablation.split, job))?;
        for (row, name) in rows.iter().enumerate() {
            let ours: Vec<_> = ours.iter().filter(|(cell, _)| cell.row == *name).copied().collect();
            let values = guarded("judging a row", || of_row(&ours, &set, &mut lookup, job, &mut judged.notes))?;
            values.into_iter().zip(&mut judged.measured).for_each(|(value, all)| all[at][row] = value);
            progress.advance(ours.len() as u64);
        }
    }
    table::write(ablation, &judged, &store)?;
    progress.end(&format!("{} rows judged by {} criteria", rows.len(), Criterion::ALL.len()));
    Ok(judged)
}

/// Returns the values of a row in a set, by each criterion.
fn of_row(
    cells: &[(&Cell, &String)],
    set: &Set,
    lookup: &mut Lookup<'_>,
    job: Job<'_>,
    notes: &mut Vec<String>,
) -> Result<Vec<Option<f64>>> {
    let _no_grad = tch::no_grad_guard();
    let mut answered = Vec::new();
    for (cell, run) in cells {
        if let Some(note) = answers::unknown(cell) {
            if !notes.contains(&note) {
                notes.push(note);
            }
            return Ok(vec![None; Criterion::ALL.len()]);
        }
        answered.push(match answers::is_adapted(cell) {
            true => answers::adapted(cell, run, set, job)?,
            false => answers::frozen(cell, lookup.known(&cell.spec)?, set, job)?,
        });
    }
    let without = answers::without_logits(cells, &answered).filter(|note| !notes.contains(note));
    notes.extend(without);
    let values = Criterion::ALL.iter().map(|criterion| match criterion {
        Criterion::Seeds => Ok(criteria::of_seeds(&answered.iter().collect::<Vec<&Answered>>(), set)),
        single => {
            let of_runs = answered.iter().map(|run| criteria::of_run(*single, run, set, job.stop));
            Ok(rank::mean_of_all(&of_runs.collect::<Result<Vec<_>>>()?))
        }
    });
    values.collect()
}

#[cfg(test)]
mod tests {
    use super::super::choice::Choice;
    use super::*;

    /// Two sets of three rows, whose values by two criteria are these and by the others unknown.
    fn judged(spread: [[Option<f64>; 3]; 2], seeds: [[Option<f64>; 3]; 2]) -> Judged {
        let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        let mut measured = vec![vec![vec![None; 3]; 2]; Criterion::ALL.len()];
        measured[Criterion::Spread as usize] = spread.map(|of| of.to_vec()).to_vec();
        measured[Criterion::Seeds as usize] = seeds.map(|of| of.to_vec()).to_vec();
        Judged::new(names(&["a", "b", "c"]), names(&["one", "two"]), measured)
    }

    #[test]
    fn a_row_is_chosen_by_its_rank_in_each_set_not_by_how_large_its_values_are() {
        // By the mean value it would be `a`, which is the last of its set once.
        let spread = [[Some(90.0), Some(20.0), Some(10.0)], [Some(1.0), Some(1.2), Some(1.1)]];
        let judged = judged(spread, [[None; 3]; 2]);
        let choice = Choice::of(&judged, Criterion::Spread);
        assert_eq!(choice.standings, [Some(0.5), Some(0.75), Some(0.25)]);
        assert_eq!((choice.chosen(), choice.order), (Some(1), vec![1, 0, 2]));
    }

    #[test]
    fn a_row_without_a_value_in_some_set_is_not_ranked_and_of_equal_rows_the_first_is_chosen() {
        let spread = [[Some(3.0), Some(4.0), Some(4.0)], [None, Some(2.0), Some(2.0)]];
        let choice = Choice::of(&judged(spread, [[None; 3]; 2]), Criterion::Spread);
        assert_eq!((choice.chosen(), choice.order), (Some(1), vec![1, 2]));
        let nothing = Choice::of(&judged([[None; 3]; 2], [[None; 3]; 2]), Criterion::Spread);
        assert_eq!(nothing.chosen(), None);
    }

    #[test]
    fn a_combination_is_the_mean_of_the_standings_that_apply() {
        let of = |a: f64, b: f64, c: f64| [Some(a), Some(b), Some(c)];
        // `a` is frozen, so that seeds do not apply to it.
        let seeds = [[None, Some(0.9), Some(0.5)], [None, Some(0.9), Some(0.5)]];
        let judged = judged([of(3.0, 2.0, 1.0), of(3.0, 2.0, 1.0)], seeds);
        assert_eq!(judged.values(Criterion::All, 0), of(1.0, 0.75, 0.0));
        assert_eq!(Choice::of(&judged, Criterion::All).order, [0, 1, 2]);
    }
}
