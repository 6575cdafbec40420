//! The choice as tables in Markdown: the ranking, and where labels exist, how good it is.

use super::super::report::{drawn, escaped, per_cent};
use super::choice::Choice;
use super::criteria::Criterion;
use super::judge::Judged;
use super::rank;

/// Marks the row that is chosen.
const CHOSEN: &str = " (chosen)";

/// Returns the rows in their order with their standing and the means over the sets of what was
/// measured. `accuracy` has each row's figure in each set, by set and row, where it is known: then
/// it stands beside the rows, and a second table has each criterion's correlation with it.
pub fn markdown(judged: &Judged, choice: &Choice, accuracy: &[Vec<Option<f64>>]) -> String {
    let labelled = accuracy.iter().flatten().any(Option::is_some);
    let mut text = ranking(judged, choice, labelled.then_some(accuracy));
    if labelled {
        text.push('\n');
        text.push_str(&agreement(judged, accuracy));
    }
    text
}

fn ranking(judged: &Judged, choice: &Choice, accuracy: Option<&[Vec<Option<f64>>]>) -> String {
    let measured: Vec<Criterion> = Criterion::ALL.iter().copied().filter(|c| c.parts().is_empty()).collect();
    let mut head = vec![String::new(), "standing".to_owned()];
    head.extend(accuracy.is_some().then(|| "accuracy".to_owned()));
    head.extend(measured.iter().map(ToString::to_string));
    let means: Vec<Vec<Option<f64>>> = measured.iter().map(|criterion| over_sets(judged, *criterion)).collect();
    let mut lines = vec![head];
    let unranked = (0..judged.rows.len()).filter(|row| !choice.order.contains(row));
    for row in choice.order.iter().copied().chain(unranked) {
        let mark = if choice.chosen() == Some(row) { CHOSEN } else { "" };
        let mut line = vec![escaped(&judged.rows[row]) + mark, number(choice.standings[row])];
        line.extend(accuracy.map(|accuracy| per_cent(&mean_accuracy(accuracy, row).into_iter().collect::<Vec<_>>())));
        line.extend(means.iter().map(|means| number(means[row])));
        lines.push(line);
    }
    drawn(&lines)
}

/// Returns a line for each criterion: Spearman's correlation with accuracy in each set, its mean
/// over the sets, that of all rows and sets together, each set standardised; the row that the
/// criterion chooses, and by how many points of accuracy another is better.
fn agreement(judged: &Judged, accuracy: &[Vec<Option<f64>>]) -> String {
    let mut head = vec!["criterion".to_owned()];
    head.extend(judged.sets.iter().map(|set| escaped(set)));
    head.extend(["mean", "pooled", "accuracy", "regret", "chooses"].map(str::to_owned));
    let best = (0..judged.rows.len()).filter_map(|row| mean_accuracy(accuracy, row)).reduce(f64::max);
    let mut lines = vec![head];
    for &criterion in Criterion::ALL {
        let choice = Choice::of(judged, criterion);
        let values: Vec<_> = (0..judged.sets.len()).map(|set| judged.values(criterion, set)).collect();
        let of_sets: Vec<Option<f64>> = values.iter().zip(accuracy).map(|(v, a)| rank::spearman(v, a)).collect();
        let pooled = rank::spearman(&pooled(&values, accuracy), &pooled(accuracy, &values));
        let chosen = choice.chosen();
        let reached = chosen.and_then(|row| mean_accuracy(accuracy, row));
        let regret = best.zip(reached).map(|(best, reached)| 100.0 * (best - reached));
        let mut line = vec![criterion.to_string()];
        line.extend(of_sets.iter().copied().map(number));
        line.push(number(rank::mean(&of_sets.iter().copied().flatten().collect::<Vec<_>>())));
        line.push(number(pooled));
        line.push(per_cent(&reached.into_iter().collect::<Vec<_>>()));
        line.push(regret.map_or("-".to_owned(), |regret| format!("{regret:.1}")));
        line.push(chosen.map_or("-".to_owned(), |row| escaped(&judged.rows[row])));
        lines.push(line);
    }
    drawn(&lines)
}

/// Returns the values of all sets one after the other, each set standardised over the rows that
/// both know.
fn pooled(values: &[Vec<Option<f64>>], others: &[Vec<Option<f64>>]) -> Vec<Option<f64>> {
    let known = |values: &Vec<Option<f64>>, others: &Vec<Option<f64>>| -> Vec<Option<f64>> {
        values.iter().zip(others).map(|(value, other)| other.and(*value)).collect()
    };
    values.iter().zip(others).flat_map(|(values, others)| rank::standardised(&known(values, others))).collect()
}

/// Returns the mean of a row's figures over the sets; `None` if it has none in one of them.
fn mean_accuracy(accuracy: &[Vec<Option<f64>>], row: usize) -> Option<f64> {
    rank::mean_of_all(&accuracy.iter().map(|of| of[row]).collect::<Vec<_>>())
}

/// Returns the mean over the sets of each row's values.
fn over_sets(judged: &Judged, criterion: Criterion) -> Vec<Option<f64>> {
    let values: Vec<_> = (0..judged.sets.len()).map(|set| judged.values(criterion, set)).collect();
    (0..judged.rows.len()).map(|row| rank::mean_of_all(&values.iter().map(|of| of[row]).collect::<Vec<_>>())).collect()
}

fn number(value: Option<f64>) -> String {
    value.map_or("-".to_owned(), |value| format!("{value:.3}"))
}
