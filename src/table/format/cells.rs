//! Converts cells that a format cannot show as they are: lists and bytes.

use std::fmt::Write;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Float32Type, Float64Type, Schema, SchemaRef};
use arrow::util::display::{ArrayFormatter, FormatOptions};

use crate::error::{Context, Kind, Result};
use crate::text::terminal::{harmless, in_line};

/// Number of elements shown of a long list.
const SHOWN: usize = 3;

/// Lists of at most this length are shown whole.
const SHORT: usize = 8;

/// Returns the schema of the rows that [`shown`] returns.
pub(super) fn shown_schema(schema: &Schema) -> SchemaRef {
    text_for(schema, |t| is_list(t) || is_bytes(t) || is_text(t))
}

/// Shortens cells for people: `[0.12, -0.03, 0.5, … 128]` for lists, and `<8.1 kB>` for bytes. What
/// would steer a terminal is written out in texts, and so are line ends: nothing rules off the rows
/// of a table, and a name of two lines would look like two names.
pub(super) fn shown(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    // The plan of an EXPLAIN is drawn, line below line.
    let plan = schema.column_with_name("plan_type").is_some();
    let text = if plan { harmless } else { in_line };
    let columns = batch.columns().iter().map(|column| match column.data_type() {
        t if is_bytes(t) => rows(column, |row| Ok(size(bytes_of(column, row)))),
        t if is_list(t) => rows(column, |row| Ok(text(&list(column, row, SHORT)?).into_owned())),
        t if is_text(t) => rows(column, |row| Ok(text(text_of(column, row)).into_owned())),
        _ => Ok(column.clone()),
    });
    remade(schema.clone(), columns.collect::<Result<_>>()?, batch.num_rows())
}

/// Converts lists to text in full, for CSV.
pub(super) fn flat(batch: &RecordBatch) -> Result<RecordBatch> {
    let schema = text_for(batch.schema_ref(), is_list);
    let columns = batch.columns().iter().map(|column| {
        if is_list(column.data_type()) { rows(column, |row| list(column, row, usize::MAX)) } else { Ok(column.clone()) }
    });
    remade(schema, columns.collect::<Result<_>>()?, batch.num_rows())
}

/// Returns the schema of the rows that [`without_views`] returns: views are a type of Arrow that
/// many programs that read Parquet do not know.
pub(crate) fn schema_without_views(schema: &Schema) -> SchemaRef {
    let fields = schema.fields().iter().map(|field| without_views_in(field));
    Arc::new(Schema::new_with_metadata(fields.collect::<Vec<_>>(), schema.metadata().clone()))
}

fn without_views_in(field: &Field) -> Field {
    let item = |field: &Field| Arc::new(without_views_in(field));
    field.clone().with_data_type(match field.data_type() {
        DataType::Utf8View => DataType::Utf8,
        DataType::BinaryView => DataType::Binary,
        DataType::List(of) => DataType::List(item(of)),
        DataType::LargeList(of) => DataType::LargeList(item(of)),
        DataType::FixedSizeList(of, length) => DataType::FixedSizeList(item(of), *length),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(|field| item(field)).collect()),
        other => other.clone(),
    })
}

/// Returns the same rows in the columns of [`schema_without_views`].
pub(crate) fn without_views(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    let columns = batch.columns().iter().zip(schema.fields()).map(|(column, field)| cast(column, field.data_type()));
    let columns = columns.collect::<std::result::Result<_, _>>();
    remade(schema.clone(), columns.context(Kind::Query, || "cannot write the result".into())?, batch.num_rows())
}

fn text_for(schema: &Schema, when: impl Fn(&DataType) -> bool) -> SchemaRef {
    let fields = schema.fields().iter().map(|field| {
        if when(field.data_type()) { Arc::new(Field::new(field.name(), DataType::Utf8, true)) } else { field.clone() }
    });
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

fn remade(schema: SchemaRef, columns: Vec<ArrayRef>, rows: usize) -> Result<RecordBatch> {
    let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(schema, columns, &options)
        .context(Kind::Query, || "cannot show the result".into())
}

fn is_list(t: &DataType) -> bool {
    matches!(t, DataType::List(_) | DataType::LargeList(_) | DataType::FixedSizeList(..))
}

fn is_bytes(t: &DataType) -> bool {
    matches!(t, DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_))
}

fn is_text(t: &DataType) -> bool {
    matches!(t, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
}

fn text_of(column: &ArrayRef, row: usize) -> &str {
    match column.data_type() {
        DataType::Utf8 => column.as_string::<i32>().value(row),
        DataType::LargeUtf8 => column.as_string::<i64>().value(row),
        DataType::Utf8View => column.as_string_view().value(row),
        _ => "",
    }
}

/// Returns a text column with the result of `cell` for each row that is not null.
fn rows(column: &ArrayRef, cell: impl Fn(usize) -> Result<String>) -> Result<ArrayRef> {
    let texts = (0..column.len()).map(|row| column.is_valid(row).then(|| cell(row)).transpose());
    Ok(Arc::new(texts.collect::<Result<StringArray>>()?))
}

fn bytes_of(column: &ArrayRef, row: usize) -> usize {
    match column.data_type() {
        DataType::Binary => column.as_binary::<i32>().value(row).len(),
        DataType::LargeBinary => column.as_binary::<i64>().value(row).len(),
        DataType::BinaryView => column.as_binary_view().value(row).len(),
        DataType::FixedSizeBinary(width) => usize::try_from(*width).unwrap_or(0),
        _ => 0,
    }
}

/// Formats a size in the unit that leaves one to three digits before the decimal point.
fn size(bytes: usize) -> String {
    let mut value = bytes as f64;
    for unit in ["B", "kB", "MB", "GB"] {
        if value < 999.5 || unit == "GB" {
            return if unit == "B" { format!("<{bytes} B>") } else { format!("<{value:.1} {unit}>") };
        }
        value /= 1000.0;
    }
    format!("<{bytes} B>")
}

/// Returns a list's elements as text; only the first few and the length if it is longer than
/// `whole`.
fn list(column: &ArrayRef, row: usize, whole: usize) -> Result<String> {
    let items = match column.data_type() {
        DataType::FixedSizeList(..) => column.as_fixed_size_list().value(row),
        DataType::LargeList(_) => column.as_list::<i64>().value(row),
        _ => column.as_list::<i32>().value(row),
    };
    let shortened = items.len() > whole;
    let separator = if whole == usize::MAX { "," } else { ", " };
    let mut text = String::from("[");
    for i in 0..if shortened { SHOWN } else { items.len() } {
        if i > 0 {
            text.push_str(separator);
        }
        item(&items, i, whole, &mut text)?;
    }
    if shortened {
        let _ = write!(text, ", … {}", items.len());
    }
    text.push(']');
    Ok(text)
}

fn item(items: &ArrayRef, i: usize, whole: usize, text: &mut String) -> Result<()> {
    let in_full = whole == usize::MAX;
    match items.data_type() {
        _ if items.is_null(i) => text.push_str("null"),
        t if is_list(t) => text.push_str(&list(items, i, whole)?),
        DataType::Float32 if !in_full => number(f64::from(items.as_primitive::<Float32Type>().value(i)), text),
        DataType::Float64 if !in_full => number(items.as_primitive::<Float64Type>().value(i), text),
        DataType::Utf8 if in_full => quoted(items.as_string::<i32>().value(i), text)?,
        DataType::Utf8View if in_full => quoted(items.as_string_view().value(i), text)?,
        _ => {
            let formatter = ArrayFormatter::try_new(items, &FormatOptions::default());
            let formatter = formatter.context(Kind::Query, || "cannot show the result".into())?;
            let _ = write!(text, "{}", formatter.value(i));
        }
    }
    Ok(())
}

/// Appends a text in quotation marks.
fn quoted(item: &str, text: &mut String) -> Result<()> {
    text.push_str(&serde_json::to_string(item).context(Kind::Query, || "cannot show the result".into())?);
    Ok(())
}

/// Appends a number with up to four decimals, without trailing zeros.
fn number(value: f64, text: &mut String) {
    let rounded = format!("{value:.4}");
    let short = if value.is_finite() { rounded.trim_end_matches('0').trim_end_matches('.') } else { &rounded };
    text.push_str(if short == "-0" { "0" } else { short });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_short() {
        assert_eq!(size(0), "<0 B>");
        assert_eq!(size(999), "<999 B>");
        assert_eq!(size(8_100), "<8.1 kB>");
        assert_eq!(size(999_999), "<1.0 MB>");
    }

    #[test]
    fn numbers_are_short() {
        let shown = |value| {
            let mut text = String::new();
            number(value, &mut text);
            text
        };
        assert_eq!([0.5, -0.03, 1.0, -0.00001, 0.123456].map(shown), ["0.5", "-0.03", "1", "0", "0.1235"]);
        assert_eq!(shown(f64::NAN), "NaN");
    }
}
