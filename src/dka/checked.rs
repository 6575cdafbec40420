//! Checks the rows that a statement returned and puts them into the schema of `pseudo_labels`.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float32Array, Int32Array, Int64Array, RecordBatch};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Float32Type, Int64Type};
use arrow::util::display::array_value_to_string;

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

/// Checks the statement's rows, and makes the table from them.
pub(super) fn labels(batches: &[RecordBatch], input: &PassInput<'_>) -> Result<PseudoLabels> {
    let places: HashMap<&str, usize> = input.image_ids.iter().enumerate().map(|(i, id)| (id.as_str(), i)).collect();
    if places.len() != input.image_ids.len() {
        return Err(Error::new(Kind::Store, "a picture is twice in the pass"));
    }
    let mut labels: Vec<Option<Label>> = vec![None; input.image_ids.len()];
    let mut rows_before = 0;
    for batch in batches {
        let columns = Columns::of(batch)?;
        for (row, id) in arrays::optional_strings(batch, "image_id")?.into_iter().enumerate() {
            let refuse = |what: String| Error::new(Kind::Query, format!("row {}: {what}", rows_before + row + 1));
            let id = id.ok_or_else(|| refuse("image_id is null".into()))?;
            let unknown = || refuse(format!("picture {id} is not in this pass")).hint(UNKNOWN);
            let place = *places.get(id).ok_or_else(unknown)?;
            let label = columns
                .label(row, input.classes())
                .map_err(|what| refuse(format!("picture {id} has {what}")).hint(VALUES))?;
            if labels[place].replace(label).is_some() {
                return Err(refuse(format!("picture {id} is returned twice")).hint(TWICE));
            }
        }
        rows_before += batch.num_rows();
    }
    if rows_before == 0 {
        let what = format!("it returns no row in pass {}: there is nothing to train on", input.pass);
        return Err(Error::new(Kind::Query, what).hint("a floor that no picture reaches gives this: lower dka.floor"));
    }
    Ok(PseudoLabels {
        batch: table_of(&labels, input)?,
        class_ids: labels.iter().map(|l| l.map_or(-1, |l| l.class)).collect(),
        summary: summary(&labels, input),
    })
}

const VALUES: &str = "class_id is a class's number, such as argmax(logits); confidence and margin are finite, or null";
const UNKNOWN: &str = "image_id must be one of prior_logits.image_id";
const TWICE: &str =
    "a join may repeat rows; GROUP BY image_id, or row_number() OVER (PARTITION BY image_id ...) = 1, keeps one";

/// The columns of a batch except `image_id`, as numbers.
struct Columns {
    /// The column `class_id` as returned, for messages.
    given: ArrayRef,
    /// The class ids; null if the class is null or does not fit an i64.
    classes: Int64Array,
    confidence: Option<Float32Array>,
    margin: Option<Float32Array>,
}

impl Columns {
    fn of(batch: &RecordBatch) -> Result<Columns> {
        let missing = || Error::new(Kind::Query, "there is no column `class_id`");
        let given = batch.column_by_name("class_id").ok_or_else(missing)?.clone();
        let classes = cast(&given, "class_id", &DataType::Int64)?.as_primitive::<Int64Type>().clone();
        let figures = |column: &str| {
            let array =
                batch.column_by_name(column).map(|array| cast(array, column, &DataType::Float32)).transpose()?;
            Ok(array.map(|array| array.as_primitive::<Float32Type>().clone()))
        };
        Ok(Columns { given, classes, confidence: figures("confidence")?, margin: figures("margin")? })
    }

    /// Returns the row's label, or what is wrong with it.
    fn label(&self, row: usize, classes: usize) -> Result<Label, String> {
        if self.given.is_null(row) {
            return Err("no class_id".into());
        }
        let class = self.classes.is_valid(row).then(|| self.classes.value(row)).and_then(|c| i32::try_from(c).ok());
        let known = class.filter(|class| usize::try_from(*class).is_ok_and(|class| class < classes));
        let Some(class) = known else {
            let given = array_value_to_string(&self.given, row).unwrap_or_default();
            return Err(format!("class {given}; the classes are 0 to {}", classes - 1));
        };
        let figure = |name: &str, values: &Option<Float32Array>| {
            let value = values.as_ref().filter(|values| values.is_valid(row)).map(|values| values.value(row));
            match value.filter(|value| !value.is_finite()) {
                Some(value) => Err(format!("{name} {value}, which is not finite (null says that there is none)")),
                None => Ok(value),
            }
        };
        Ok(Label {
            class,
            confidence: figure("confidence", &self.confidence)?,
            margin: figure("margin", &self.margin)?,
        })
    }
}

/// Casts a column. Values that do not fit become null, so that the error can name the row.
fn cast(array: &ArrayRef, column: &str, to: &DataType) -> Result<ArrayRef> {
    cast_with_options(array, to, &CastOptions::default())
        .context(Kind::Query, || format!("column `{column}` cannot be read as {to}"))
}

fn table_of(labels: &[Option<Label>], input: &PassInput<'_>) -> Result<RecordBatch> {
    let mut rows: Vec<(&String, usize, Label)> =
        input.image_ids.iter().zip(labels).enumerate().filter_map(|(i, (id, l))| Some((id, i, (*l)?))).collect();
    rows.sort_by_key(|(id, ..)| *id);
    let previous = |i: usize| input.previous.and_then(|p| p.get(i).copied()).filter(|class| *class >= 0);
    let columns: [(&str, ArrayRef); 7] = [
        ("run", arrays::repeated(input.run, rows.len())),
        ("pass", arrays::repeated_i32(input.pass, rows.len())),
        ("image_id", arrays::text(rows.iter().map(|(id, ..)| id))),
        ("class_id", Arc::new(Int32Array::from_iter_values(rows.iter().map(|(_, _, l)| l.class)))),
        ("confidence", Arc::new(rows.iter().map(|(_, _, l)| l.confidence).collect::<Float32Array>())),
        ("margin", Arc::new(rows.iter().map(|(_, _, l)| l.margin).collect::<Float32Array>())),
        ("previous_class_id", Arc::new(rows.iter().map(|(_, i, _)| previous(*i)).collect::<Int32Array>())),
    ];
    table::rows("pseudo_labels", &table::table("pseudo_labels")?.arrow(&Dims::new())?, columns)
}

fn summary(labels: &[Option<Label>], input: &PassInput<'_>) -> Summary {
    let changed = input.previous.map_or(0, |previous| {
        let class = |label: &Option<Label>| label.map_or(-1, |l| l.class);
        labels.iter().zip(previous).filter(|(label, before)| class(label) != (**before).max(-1)).count()
    });
    let mut alive = vec![false; input.classes()];
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
