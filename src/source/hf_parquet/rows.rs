//! Reads the rows of one Parquet file, a few at a time.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StructArray};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Float64Type, Int64Type};
use parquet::arrow::arrow_reader::ParquetRecordBatchReader;

use super::guard::or_damaged;
use super::pages::Pages;
use super::types::{self, Pictures};
use super::{Part, open};
use crate::error::{Context, Error, Kind, Result};
use crate::source::item::{Item, Origin, Split, modified_ns};
use crate::source::label::{Label, ONE_CLASS};
use crate::source::place::{At, Container, Within};
use crate::source::written;
use crate::text::terminal::in_line;

/// The number of pictures held in memory at once.
const BATCH: usize = 16;

/// The number of labels or paths held in memory at once.
const SMALL: usize = 8192;

/// Passes each row's label of a column to `see`, with the row's number. A file without the column
/// has none.
pub(super) fn labels(part: &Part, name: &str, mut see: impl FnMut(usize, Option<Label>) -> Result<()>) -> Result<()> {
    labels_until(part, name, |row, label| see(row, label).map(ControlFlow::Continue)).map(drop)
}

/// Like [`labels`], until `see` has seen enough.
pub(super) fn labels_until(
    part: &Part,
    name: &str,
    mut see: impl FnMut(usize, Option<Label>) -> Result<ControlFlow<()>>,
) -> Result<ControlFlow<()>> {
    let mut first = 0;
    for batch in batches(part, &|pages| pages.read(&[name], SMALL))? {
        let batch = batch?;
        let Some(column) = batch.column_by_name(name) else { break };
        for (row, label) in (first..).zip(labels_of(column, name, first, &part.path)?) {
            if see(row, label)?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        first += batch.num_rows();
    }
    Ok(ControlFlow::Continue(()))
}

/// Returns every path of a file's pictures that are not in the file, or may not be.
pub(super) fn paths(part: &Part) -> Result<Vec<String>> {
    let mut paths = Vec::new();
    let image = &part.columns.image;
    for batch in batches(part, &|pages| pages.read_paths(image, SMALL))? {
        let batch = batch?;
        let Some(column) = batch.column_by_name(image) else { break };
        let cells = Cells::of(column, image, &part.path)?;
        paths.extend((0..batch.num_rows()).filter_map(|row| cells.path(row)).map(str::to_owned));
    }
    Ok(paths)
}

/// Returns the pictures of a file; `declared` names the labels that are numbers, if a file of the
/// set declares them. Relative paths start at `root`, or `otherwise` if they lead nowhere from
/// there.
pub(super) fn items(
    part: Part,
    root: PathBuf,
    otherwise: Option<PathBuf>,
    declared: Option<Vec<String>>,
) -> Box<dyn Iterator<Item = Result<Item>> + Send> {
    let columns = Arc::clone(&part.columns);
    let names = std::iter::once(&columns.image).chain(&columns.label).chain(&columns.split);
    let names: Vec<&str> = names.map(String::as_str).collect();
    let batches = match batches(&part, &|pages| pages.read(&names, BATCH)) {
        Ok(batches) => batches,
        Err(error) => return Box::new(std::iter::once(Err(error))),
    };
    let container = match container(&part) {
        Ok(container) => Arc::new(container),
        Err(error) => return Box::new(std::iter::once(Err(error))),
    };
    let mut first_row = 0;
    let place = move |written: &str| written::file(&root, otherwise.as_deref(), written);
    Box::new(batches.flat_map(move |batch| {
        let read = batch.and_then(|batch| {
            items_of(&batch, &part, &container, &place, declared.as_deref(), first_row)
                .inspect(|_| first_row += batch.num_rows())
        });
        match read {
            Ok(items) => items.into_iter().map(Ok).collect(),
            Err(error) => vec![Err(error)],
        }
    }))
}

/// Returns what the pictures of a file are read again from.
fn container(part: &Part) -> Result<Container> {
    let (path, column) = (part.path.clone(), Some(part.columns.image.clone()));
    let metadata = std::fs::metadata(&path).at(Kind::Input, "cannot read", &path)?;
    Ok(Container { path, modified_ns: modified_ns(&metadata), column })
}

/// Returns batches as `read` begins to read them; iteration ends at the first error.
fn batches(
    part: &Part,
    read: &dyn Fn(&Pages) -> parquet::errors::Result<ParquetRecordBatchReader>,
) -> Result<impl Iterator<Item = Result<RecordBatch>> + Send + use<>> {
    let pages = open(&part.path)?;
    let path = part.path.clone();
    let damaged = "cannot read rows of Parquet file";
    let mut reader = Some(or_damaged(&path, || read(&pages).at(Kind::Input, damaged, &path))?);
    Ok(std::iter::from_fn(move || {
        let open = reader.as_mut()?;
        let batch = or_damaged(&path, || open.next().transpose().at(Kind::Input, damaged, &path)).transpose();
        if !matches!(batch, Some(Ok(_))) {
            reader = None;
        }
        batch
    }))
}

/// The pictures of a batch: bytes, paths, or both.
struct Cells<'a> {
    whole: Option<&'a StructArray>,
    bytes: Option<ArrayRef>,
    paths: Option<ArrayRef>,
}

impl<'a> Cells<'a> {
    fn of(column: &'a ArrayRef, name: &str, path: &Path) -> Result<Self> {
        let bytes = |array: &ArrayRef| cast_to(array, &DataType::LargeBinary, name, path);
        let paths = |array: &ArrayRef| cast_to(array, &DataType::LargeUtf8, name, path);
        Ok(match types::pictures(column.data_type()) {
            Some(Pictures::Struct { bytes: has_bytes, path: has_path }) => {
                let whole = column.as_struct_opt().ok_or_else(|| missing(name, path))?;
                let child = |name: &str, there: bool| whole.column_by_name(name).filter(|_| there);
                Cells {
                    whole: Some(whole),
                    bytes: child("bytes", has_bytes).map(bytes).transpose()?,
                    paths: child("path", has_path).map(paths).transpose()?,
                }
            }
            Some(Pictures::Bytes) => Cells { whole: None, bytes: Some(bytes(column)?), paths: None },
            Some(Pictures::Paths) => Cells { whole: None, bytes: None, paths: Some(paths(column)?) },
            None => return Err(missing(name, path)),
        })
    }

    fn bytes(&self, row: usize) -> Option<&[u8]> {
        let bytes = self.bytes.as_ref().filter(|bytes| self.is_there(row) && bytes.is_valid(row))?;
        Some(bytes.as_binary::<i64>().value(row))
    }

    fn path(&self, row: usize) -> Option<&str> {
        let paths = self.paths.as_ref().filter(|paths| self.is_there(row) && paths.is_valid(row))?;
        Some(paths.as_string::<i64>().value(row)).filter(|path| !path.is_empty())
    }

    fn is_there(&self, row: usize) -> bool {
        self.whole.is_none_or(|whole| whole.is_valid(row))
    }
}

fn items_of(
    batch: &RecordBatch,
    part: &Part,
    container: &Arc<Container>,
    place: &dyn Fn(&str) -> (PathBuf, Origin),
    declared: Option<&[String]>,
    first_row: usize,
) -> Result<Vec<Item>> {
    let columns = &part.columns;
    let image = batch.column_by_name(&columns.image).ok_or_else(|| missing(&columns.image, &part.path))?;
    let cells = Cells::of(image, &columns.image, &part.path)?;
    // A split without labels has no column of them.
    let column = |name: &Option<String>| Some((batch.column_by_name(name.as_ref()?)?, name.as_ref()?.clone()));
    let labels = match column(&columns.label) {
        Some((column, name)) => labels_of(column, &name, first_row, &part.path)?,
        None => vec![None; batch.num_rows()],
    };
    let splits = match column(&columns.split) {
        Some((column, name)) => labels_of(column, &name, first_row, &part.path)?,
        None => vec![None; batch.num_rows()],
    };
    let mut items = Vec::with_capacity(batch.num_rows());
    for (here, (label, split)) in labels.into_iter().zip(splits).enumerate() {
        let row = first_row + here;
        let (path, origin) = picture(&cells, here, row, container, place);
        let split = split.map(|word| split_of(word, part, row)).transpose()?.unwrap_or(part.split);
        let label = label.map(|label| named(label, part, declared, row)).transpose()?.flatten();
        items.push(Item { path, origin, split: Some(split), label });
    }
    Ok(items)
}

/// Returns where the picture of a row is, and the path that users see: that of its own file, or
/// that of this one with the row's number.
fn picture(
    cells: &Cells<'_>,
    here: usize,
    row: usize,
    container: &Arc<Container>,
    place: &dyn Fn(&str) -> (PathBuf, Origin),
) -> (String, Origin) {
    let shown = format!("{}#{row}", container.path.display());
    match (cells.bytes(here), cells.path(here)) {
        (Some(bytes), inner) => {
            let shown = inner.map(|inner| format!("{shown}/{inner}")).unwrap_or(shown);
            let place = Within { file: Arc::clone(container), at: At::Row(row as u64) };
            (shown, Origin::Embedded { bytes: bytes.to_vec(), place: Some(place) })
        }
        (None, Some(written)) => {
            match (place(written), &cells.bytes) {
                // `datasets` keeps the name of a file beside its bytes, and so where they are
                // missing.
                ((_, Origin::Unreadable { detail }), Some(_)) => {
                    let detail = format!("the row holds no bytes, and its path leads nowhere: {detail}");
                    (format!("{shown}/{written}"), Origin::Unreadable { detail })
                }
                ((place, origin), _) => (place.display().to_string(), origin),
            }
        }
        (None, None) => (shown, Origin::Unreadable { detail: "the row holds neither bytes nor a path".to_owned() }),
    }
}

/// Returns the split that a word in a row means.
pub(super) fn split_of(word: Label, part: &Part, row: usize) -> Result<Split> {
    let word = word.into_name();
    Split::parse(&word).ok_or_else(|| {
        let (path, name) = (part.path.display(), part.columns.split.as_deref().unwrap_or_default());
        Error::new(Kind::Input, format!("{path}: `{name}` is `{word}` in row {row}")).hint(Split::hint())
    })
}

/// Returns the class's name; `None` if the label says that there is none.
pub(super) fn named(label: Label, part: &Part, declared: Option<&[String]>, row: usize) -> Result<Option<String>> {
    match (label, declared) {
        (label, _) if label.is_hidden() => Ok(None),
        (Label::Number(number), Some(classes)) => {
            let name = usize::try_from(number).ok().and_then(|n| classes.get(n));
            name.cloned().map(Some).ok_or_else(|| {
                let (path, count) = (part.path.display(), classes.len());
                let hint = format!(
                    "labels are 0 to {}, in the order of the names in the file; -1 means none",
                    count.saturating_sub(1)
                );
                Error::new(Kind::Input, format!("{path}: label {number} in row {row}, but there are {count} classes"))
                    .hint(hint)
            })
        }
        (Label::Name(name), Some(classes)) if !classes.contains(&name) => {
            let (path, count, name) = (part.path.display(), classes.len(), in_line(&name));
            Err(Error::new(Kind::Input, format!("{path}: label '{name}' in row {row} is none of the {count} classes"))
                .hint("correct the label, or the names that the file declares"))
        }
        (label, _) => Ok(Some(label.into_name())),
    }
}

/// Reads a column of labels, which begins with the row `first`.
fn labels_of(column: &ArrayRef, name: &str, first: usize, path: &Path) -> Result<Vec<Option<Label>>> {
    let values = match column.data_type() {
        DataType::Dictionary(_, values) => values.as_ref(),
        other => other,
    };
    match values {
        DataType::Null => Ok(vec![None; column.len()]),
        text if types::is_text(text) => {
            let labels = cast_to(column, &DataType::LargeUtf8, name, path)?;
            Ok(labels.as_string::<i64>().iter().map(|label| Label::of_text(label?)).collect())
        }
        number if number.is_floating() => {
            let labels = cast_to(column, &DataType::Float64, name, path)?;
            let labels = labels.as_primitive::<Float64Type>().iter();
            let whole = |(row, number): (usize, f64)| {
                Label::of_fraction(number).map(Some).ok_or_else(|| {
                    let path = path.display();
                    Error::new(Kind::Input, format!("{path}: `{name}` is {number} in row {row}, and no whole number"))
                        .hint(ONE_CLASS)
                })
            };
            // pandas writes NaN for what is missing.
            let given = |number: Option<f64>| number.filter(|number| !number.is_nan());
            (first..).zip(labels).map(|(row, n)| given(n).map_or(Ok(None), |n| whole((row, n)))).collect()
        }
        number if number.is_integer() || *number == DataType::Boolean => {
            let labels = cast_to(column, &DataType::Int64, name, path)?;
            Ok(labels.as_primitive::<Int64Type>().iter().map(|label| label.map(Label::Number)).collect())
        }
        other => {
            let (path, data_type) = (path.display(), types::name(other));
            Err(Error::new(Kind::Input, format!("{path}: column `{name}` is {data_type}, and cannot hold labels"))
                .hint(ONE_CLASS))
        }
    }
}

const ANEW: &str = "write the file anew: its columns are not of the types that its schema says";

fn missing(name: &str, path: &Path) -> Error {
    Error::new(Kind::Input, format!("{}: column `{name}` is not what the schema says", path.display())).hint(ANEW)
}

/// Casts a column; a value that has no place in the other type is an error, not a missing one.
fn cast_to(array: &ArrayRef, data_type: &DataType, name: &str, path: &Path) -> Result<ArrayRef> {
    if array.data_type() == data_type {
        return Ok(Arc::clone(array));
    }
    let strict = CastOptions { safe: false, ..CastOptions::default() };
    let refused = || format!("{}: column `{name}` cannot be read as {}", path.display(), types::name(data_type));
    cast_with_options(array, data_type, &strict).context(Kind::Input, refused).map_err(|error| error.hint(ANEW))
}
