//! The table `ablations`: one part for each ablation.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, RecordBatch};

use super::cells::Cell;
use super::run::Figure;
use super::spec::Ablation;
use crate::error::Result;
use crate::store::layout::Store;
use crate::store::reader;
use crate::table::{self, Dims, arrays};

/// The name of the one part of an ablation.
const PART: &str = "cells";

/// Returns rows of the table `ablations`: one for each cell whose run is known.
///
/// # Errors
/// Fails only if the columns do not make a table, which is a fault of the program.
pub fn batch(ablation: &Ablation, cells: &[Cell], figures: &[Option<Figure>]) -> Result<RecordBatch> {
    let rows: Vec<(&Cell, &Figure)> =
        cells.iter().zip(figures).filter_map(|(cell, figure)| Some((cell, figure.as_ref()?))).collect();
    let text = |of: fn(&(&Cell, &Figure)) -> String| arrays::text(rows.iter().map(of));
    let float = |of: fn(&Figure) -> Option<f64>| -> ArrayRef {
        Arc::new(rows.iter().map(|(_, figure)| of(figure)).collect::<Float64Array>())
    };
    let columns = [
        ("ablation", arrays::repeated(&ablation.name, rows.len())),
        ("pipeline", text(|(cell, _)| cell.pipeline.clone())),
        ("row", text(|(cell, _)| cell.row.clone())),
        ("seed", arrays::int64(rows.iter().map(|(cell, _)| cell.seed.cast_signed()).collect())),
        ("model", text(|(cell, _)| cell.model.clone())),
        ("split", arrays::repeated(ablation.split.name(), rows.len())),
        ("metric", arrays::repeated(ablation.metric.name(), rows.len())),
        ("settings", text(|(cell, _)| cell.settings.clone())),
        ("run", text(|(_, figure)| figure.run.clone())),
        ("value", float(|figure| figure.value)),
        ("seconds", float(|figure| Some(figure.seconds))),
    ];
    table::rows("ablations", &table::table("ablations")?.arrow(&Dims::new())?, columns)
}

/// Writes the rows of an ablation, replacing those that it had before.
pub(super) fn write(ablation: &Ablation, cells: &[Cell], figures: &[Option<Figure>], store: &Store) -> Result<()> {
    let batch = batch(ablation, cells, figures)?;
    let partition = store.partition("ablations", &ablation.name)?;
    partition.replace(PART, &batch.schema(), &[batch], &[]).map(drop)
}

/// Returns how long each run of an ablation took when it was computed; looking up a finished run
/// takes less, and does not count.
pub(super) fn seconds(ablation: &Ablation, store: &Store) -> Result<HashMap<String, f64>> {
    let mut known = HashMap::new();
    let partition = store.partition("ablations", &ablation.name)?;
    for batch in reader::batches(&partition, Some(&["run", "seconds"]), 4096)? {
        let batch = batch?;
        let runs = arrays::strings(&batch, "run")?;
        let seconds = arrays::floats(&batch, "seconds")?;
        known.extend(runs.into_iter().zip(seconds).filter_map(|(run, s)| Some((run.to_owned(), s?))));
    }
    Ok(known)
}
