//! The accuracy table that `run` and `evaluate` end with.

use super::align::{Side, align};
use super::printer::Printer;
use crate::error::Result;
use crate::pipeline::outcome::Outcome;
use crate::runs::lookup::MetricRow;
use crate::source::Split;
use crate::stage::evaluate::MODELS;
use crate::text::numbers::counted;

/// Prints the accuracies; where there are none, a note of the outcome has said so.
///
/// # Errors
/// Fails if stdout cannot be written to.
pub fn print(outcome: &Outcome, printer: &Printer) -> Result<()> {
    match outcome.table.is_empty() {
        true => Ok(()),
        false => printer.result(&show(&outcome.table)),
    }
}

/// Writes the table: a row per model with its top-1 and mean per class for each split, in per cent.
fn show(rows: &[MetricRow]) -> String {
    let splits: Vec<(&str, u64)> = Split::NAMES
        .iter()
        .filter_map(|split| rows.iter().find(|row| row.split == *split).map(|row| (*split, row.images)))
        .collect();
    let mut lines = vec![vec!["accuracy (%)".to_owned()], vec![String::new()]];
    for (split, images) in &splits {
        lines[0].extend([format!("{split} top-1"), format!("{split} per class")]);
        lines[1].extend([String::new(), counted(*images, "image")]);
    }
    for (model, name) in MODELS.iter().filter(|(model, _)| rows.iter().any(|row| row.model == *model)) {
        let mut line = vec![(*name).to_owned()];
        for (split, _) in &splits {
            let row = rows.iter().find(|row| row.model == *model && row.split == *split);
            let cell = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{:.1}", 100.0 * value));
            line.extend([cell(row.map(|row| row.top1)), cell(row.map(|row| row.mean_class))]);
        }
        lines.push(line);
    }
    let sides: Vec<Side> =
        std::iter::once(Side::Left).chain(std::iter::repeat_n(Side::Right, 2 * splits.len())).collect();
    align(&sides, &lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_stand_in_order_with_both_splits() {
        let row = |model: &str, split: &str, top1: f64, images| MetricRow {
            model: model.into(),
            split: split.into(),
            top1,
            mean_class: top1 - 0.01,
            images,
        };
        let rows = [
            row("adapted", "test", 0.764, 480),
            row("zero_shot", "test", 0.6, 480),
            row("zero_shot", "train", 0.61, 1200),
            row("adapted", "train", 0.771, 1200),
        ];
        insta::assert_snapshot!(show(&rows), @r"
        accuracy (%)  train top-1  train per class  test top-1  test per class
                                      1,200 images                  480 images
        zero-shot            61.0             60.0        60.0            59.0
        adapted              77.1             76.1        76.4            75.4
        ");
    }
}
