//! The table `criteria`: one part for each ablation.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Float64Array, RecordBatch};

use super::super::spec::Ablation;
use super::choice::Choice;
use super::criteria::Criterion;
use super::judge::Judged;
use super::rank;
use crate::error::Result;
use crate::store::layout::Store;
use crate::table::{self, Dims, arrays};

/// The name of the one part of an ablation.
const PART: &str = "criteria";

/// A row of the table.
struct Line<'a> {
    pipeline: &'a str,
    row: &'a str,
    criterion: Criterion,
    value: f64,
    rank: f64,
    standing: Option<f64>,
    chosen: bool,
}

/// Returns rows of the table `criteria`: one for each row of the ablation in each pipeline, by each
/// criterion that applies to it.
///
/// # Errors
/// Fails only if the columns do not make a table, which is a fault of the program.
pub fn batch(ablation: &Ablation, judged: &Judged) -> Result<RecordBatch> {
    let mut lines = Vec::new();
    for &criterion in Criterion::ALL {
        let choice = Choice::of(judged, criterion);
        for (set, pipeline) in judged.sets.iter().enumerate() {
            let values = judged.values(criterion, set);
            for (row, (value, rank)) in values.iter().zip(rank::ranks(&values)).enumerate() {
                let (Some(value), Some(rank)) = (*value, rank) else { continue };
                let (standing, chosen) = (choice.standings[row], choice.chosen() == Some(row));
                lines.push(Line { pipeline, row: &judged.rows[row], criterion, value, rank, standing, chosen });
            }
        }
    }
    let float =
        |of: fn(&Line<'_>) -> Option<f64>| -> ArrayRef { Arc::new(lines.iter().map(of).collect::<Float64Array>()) };
    let chosen: BooleanArray = lines.iter().map(|line| Some(line.chosen)).collect();
    let columns = [
        ("ablation", arrays::repeated(&ablation.name, lines.len())),
        ("pipeline", arrays::text(lines.iter().map(|line| line.pipeline))),
        ("row", arrays::text(lines.iter().map(|line| line.row))),
        ("criterion", arrays::text(lines.iter().map(|line| line.criterion.name()))),
        ("split", arrays::repeated(ablation.split.name(), lines.len())),
        ("value", float(|line| Some(line.value))),
        ("rank", float(|line| Some(line.rank))),
        ("standing", float(|line| line.standing)),
        ("chosen", Arc::new(chosen)),
    ];
    table::rows("criteria", &table::table("criteria")?.arrow(&Dims::new())?, columns)
}

/// Writes the rows of an ablation, replacing those that it had before.
///
/// # Errors
/// Fails if the store cannot be written.
pub(super) fn write(ablation: &Ablation, judged: &Judged, store: &Store) -> Result<()> {
    let batch = batch(ablation, judged)?;
    store.partition("criteria", &ablation.name)?.replace(PART, &batch.schema(), &[batch], &[]).map(drop)
}
