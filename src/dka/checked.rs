//! The rows that a statement returned, checked and put into the schema of `pseudo_labels`.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float32Array, Int32Array, RecordBatch};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Float32Type, Int64Type};

use crate::dka::pass::{PassInput, PseudoLabels, Summary};
use crate::error::{Context, Error, Kind, Result};
use crate::table::{self, Dims, arrays};

/// A picture's label.
#[derive(Debug, Clone, Copy)]
struct Label {
    class: i32,
    confidence: Option<f32>,
    margin: Option<f32>,
}

/// Checks the statement's rows, and makes the table of them.
pub(super) fn labels(batches: &[RecordBatch], input: &PassInput<'_>) -> Result<PseudoLabels> {
    let places: HashMap<&str, usize> = input.image_ids.iter().enumerate().map(|(i, id)| (id.as_str(), i)).collect();
    if places.len() != input.image_ids.len() {
        return Err(Error::new(Kind::Store, "a picture is twice in the pass"));
    }
    let mut labels: Vec<Option<Label>> = vec![None; input.image_ids.len()];
    let mut rows_before = 0;
    for batch in batches {
        let ids = arrays::optional_strings(batch, "image_id")?;
        let classes = cast(batch, "class_id", &DataType::Int64)?;
        let classes = classes.as_primitive::<Int64Type>();
        let (confidence, margin) = (figures(batch, "confidence")?, figures(batch, "margin")?);
        for (row, id) in ids.into_iter().enumerate() {
            let refuse = |what: String| Err(Error::new(Kind::Query, format!("row {}: {what}", rows_before + row + 1)));
            let Some(id) = id else { return refuse("image_id is null".into()) };
            let Some(place) = places.get(id) else { return refuse(format!("picture {id} is not in this pass")) };
            let class = classes.is_valid(row).then(|| classes.value(row));
            let Some(class) = class else { return refuse(format!("picture {id} has no class_id")) };
            let known = i32::try_from(class).ok().filter(|c| usize::try_from(*c).is_ok_and(|c| c < input.classes));
            let Some(class) = known else {
                return refuse(format!("picture {id} has class {class}; the classes are 0 to {}", input.classes - 1));
            };
            let label = Label { class, confidence: confidence(row), margin: margin(row) };
            if labels[*place].replace(label).is_some() {
                return refuse(format!("picture {id} is returned twice"));
            }
        }
        rows_before += batch.num_rows();
    }
    Ok(PseudoLabels {
        batch: table_of(&labels, input)?,
        class_ids: labels.iter().map(|l| l.map_or(-1, |l| l.class)).collect(),
        summary: summary(&labels, input),
    })
}

/// A column that the statement may give, by row.
fn figures(batch: &RecordBatch, column: &str) -> Result<impl Fn(usize) -> Option<f32> + use<>> {
    let values = match batch.column_by_name(column) {
        Some(_) => Some(cast(batch, column, &DataType::Float32)?.as_primitive::<Float32Type>().clone()),
        None => None,
    };
    Ok(move |row: usize| values.as_ref().filter(|v| v.is_valid(row)).map(|v| v.value(row)))
}

fn cast(batch: &RecordBatch, column: &str, to: &DataType) -> Result<ArrayRef> {
    let missing = || Error::new(Kind::Query, format!("there is no column `{column}`"));
    let array = batch.column_by_name(column).ok_or_else(missing)?;
    let exactly = CastOptions { safe: false, ..CastOptions::default() };
    cast_with_options(array, to, &exactly).context(Kind::Query, || format!("column `{column}` has a wrong value"))
}

fn table_of(labels: &[Option<Label>], input: &PassInput<'_>) -> Result<RecordBatch> {
    let mut rows: Vec<(&String, usize, Label)> =
        input.image_ids.iter().zip(labels).enumerate().filter_map(|(i, (id, l))| Some((id, i, (*l)?))).collect();
    rows.sort_by_key(|(id, ..)| *id);
    let previous = |i: usize| input.previous.and_then(|p| p.get(i).copied()).filter(|class| *class >= 0);
    let columns: Vec<ArrayRef> = vec![
        arrays::repeated(input.run, rows.len()),
        arrays::repeated_i32(input.pass, rows.len()),
        arrays::text(rows.iter().map(|(id, ..)| id)),
        Arc::new(Int32Array::from_iter_values(rows.iter().map(|(_, _, l)| l.class))),
        Arc::new(rows.iter().map(|(_, _, l)| l.confidence).collect::<Float32Array>()),
        Arc::new(rows.iter().map(|(_, _, l)| l.margin).collect::<Float32Array>()),
        Arc::new(rows.iter().map(|(_, i, _)| previous(*i)).collect::<Int32Array>()),
    ];
    let schema = table::table("pseudo_labels")?.arrow(&Dims::new())?;
    RecordBatch::try_new(schema, columns).context(Kind::Store, || "cannot make table pseudo_labels".into())
}

fn summary(labels: &[Option<Label>], input: &PassInput<'_>) -> Summary {
    let changed = input.previous.map_or(0, |previous| {
        let class = |label: &Option<Label>| label.map_or(-1, |l| l.class);
        labels.iter().zip(previous).filter(|(label, before)| class(label) != (**before).max(-1)).count()
    });
    let mut alive = vec![false; input.classes];
    for label in labels.iter().flatten() {
        if let Some(alive) = usize::try_from(label.class).ok().and_then(|class| alive.get_mut(class)) {
            *alive = true;
        }
    }
    let confidences: Vec<f64> = labels.iter().flatten().filter_map(|l| l.confidence).map(f64::from).collect();
    Summary {
        changed: changed as u64,
        dead_classes: alive.iter().filter(|alive| !**alive).count() as u64,
        mean_confidence: confidences.iter().sum::<f64>() / confidences.len() as f64,
    }
}
