//! Reads the rows of one Parquet file, a few at a time.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type};

use super::guard::or_damaged;
use super::{Part, open};
use crate::error::{Context, Error, Kind, Result};
use crate::source::hf_schema::is_text;
use crate::source::item::{Item, Origin};

/// The number of pictures held in memory at once.
const BATCH: usize = 16;

/// A label as the file stores it. Numbers sort as numbers.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Label {
    Number(i64),
    Name(String),
}

impl Label {
    pub(super) fn into_name(self) -> String {
        match self {
            Label::Number(number) => number.to_string(),
            Label::Name(name) => name,
        }
    }
}

/// Returns every label of a file, without reading its pictures.
pub(super) fn labels(part: &Part) -> Result<Vec<Label>> {
    let Some(column) = &part.schema.label else { return Ok(Vec::new()) };
    let mut labels = Vec::new();
    for batch in batches(part, &[column], 8192)? {
        labels.extend(labels_of(&batch?, column, &part.path)?.into_iter().flatten());
        labels.sort();
        labels.dedup();
    }
    Ok(labels)
}

/// Returns the pictures of a file; `declared` names the labels that are numbers, if a file of the
/// set declares them.
pub(super) fn items(part: Part, declared: Option<Vec<String>>) -> Box<dyn Iterator<Item = Result<Item>> + Send> {
    let columns: Vec<&String> = std::iter::once(&part.schema.image).chain(&part.schema.label).collect();
    let batches = match batches(&part, &columns, BATCH) {
        Ok(batches) => batches,
        Err(error) => return Box::new(std::iter::once(Err(error))),
    };
    let mut first_row = 0;
    Box::new(batches.flat_map(move |batch| {
        let read = batch.and_then(|batch| {
            items_of(&batch, &part, declared.as_deref(), first_row).inspect(|_| first_row += batch.num_rows())
        });
        match read {
            Ok(items) => items.into_iter().map(Ok).collect(),
            Err(error) => vec![Err(error)],
        }
    }))
}

/// Returns batches of at most `rows` rows, of these columns only; iteration ends at the first
/// error.
fn batches(
    part: &Part,
    columns: &[&String],
    rows: usize,
) -> Result<impl Iterator<Item = Result<RecordBatch>> + Send + use<>> {
    let pages = open(&part.path)?;
    let path = part.path.clone();
    let damaged = "cannot read rows of Parquet file";
    let mut reader = Some(or_damaged(&path, || pages.read(columns, rows).at(Kind::Input, damaged, &path))?);
    Ok(std::iter::from_fn(move || {
        let open = reader.as_mut()?;
        let batch = or_damaged(&path, || open.next().transpose().at(Kind::Input, damaged, &path)).transpose();
        if !matches!(batch, Some(Ok(_))) {
            reader = None;
        }
        batch
    }))
}

fn items_of(batch: &RecordBatch, part: &Part, declared: Option<&[String]>, first_row: usize) -> Result<Vec<Item>> {
    let image = column(batch, &part.schema.image, &part.path)?;
    let image = image.as_struct_opt().ok_or_else(|| missing(&part.schema.image, &part.path))?;
    let bytes = image.column_by_name("bytes").ok_or_else(|| missing("bytes", &part.path))?;
    let bytes = cast_to(bytes, &DataType::LargeBinary, &part.path)?;
    let bytes = bytes.as_binary::<i64>();
    let inner =
        image.column_by_name("path").map(|paths| cast_to(paths, &DataType::LargeUtf8, &part.path)).transpose()?;
    let labels = match &part.schema.label {
        Some(label) => labels_of(batch, label, &part.path)?,
        None => vec![None; batch.num_rows()],
    };
    let mut items = Vec::with_capacity(batch.num_rows());
    for (row, label) in labels.into_iter().enumerate() {
        let mut path = format!("{}#{}", part.path.display(), first_row + row);
        if let Some(inner) = inner.as_ref().filter(|i| i.is_valid(row) && image.is_valid(row)) {
            path = format!("{path}/{}", inner.as_string::<i64>().value(row));
        }
        let origin = match image.is_valid(row) && bytes.is_valid(row) {
            true => Origin::Embedded { bytes: bytes.value(row).to_vec() },
            false => Origin::Unreadable { detail: "the row holds no bytes".to_owned() },
        };
        let label = label.map(|label| named(label, part, declared, first_row + row)).transpose()?.flatten();
        items.push(Item { path, origin, split: Some(part.split), label });
    }
    Ok(items)
}

/// Returns the class's name. `datasets` marks a hidden label with -1.
fn named(label: Label, part: &Part, declared: Option<&[String]>, row: usize) -> Result<Option<String>> {
    match (label, declared) {
        (Label::Number(-1), Some(_)) => Ok(None),
        (Label::Number(number), Some(classes)) => {
            let name = usize::try_from(number).ok().and_then(|n| classes.get(n));
            name.cloned().map(Some).ok_or_else(|| {
                let (path, count) = (part.path.display(), classes.len());
                Error::new(Kind::Input, format!("{path}: label {number} in row {row}, but there are {count} classes"))
            })
        }
        (Label::Name(name), Some(classes)) if !classes.contains(&name) => {
            let (path, count) = (part.path.display(), classes.len());
            Err(Error::new(Kind::Input, format!("{path}: label '{name}' in row {row} is none of the {count} classes")))
        }
        (label, _) => Ok(Some(label.into_name())),
    }
}

fn labels_of(batch: &RecordBatch, name: &str, path: &Path) -> Result<Vec<Option<Label>>> {
    let labels = column(batch, name, path)?;
    if is_text(labels.data_type()) {
        let labels = cast_to(labels, &DataType::LargeUtf8, path)?;
        return Ok(labels.as_string::<i64>().iter().map(|l| l.map(|l| Label::Name(l.to_owned()))).collect());
    }
    let labels = cast_to(labels, &DataType::Int64, path)?;
    Ok(labels.as_primitive::<Int64Type>().iter().map(|l| l.map(Label::Number)).collect())
}

fn column<'a>(batch: &'a RecordBatch, name: &str, path: &Path) -> Result<&'a ArrayRef> {
    batch.column_by_name(name).ok_or_else(|| missing(name, path))
}

fn missing(name: &str, path: &Path) -> Error {
    Error::new(Kind::Input, format!("{}: column `{name}` is not what the schema says", path.display()))
}

fn cast_to(array: &ArrayRef, data_type: &DataType, path: &Path) -> Result<ArrayRef> {
    if array.data_type() == data_type {
        return Ok(Arc::clone(array));
    }
    cast(array, data_type).at(Kind::Input, "unexpected type of column in", path)
}
