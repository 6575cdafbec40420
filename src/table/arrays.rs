//! Converts rows to slices, and slices to columns.
//!
//! Readers name the column in every error; those that return slices copy nothing.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, FixedSizeBinaryArray, FixedSizeListArray, Float32Array, Int32Array,
    Int64Array, ListArray, ListBuilder, PrimitiveArray, RecordBatch, StringArray, StringBuilder,
};
use arrow::buffer::{Buffer, OffsetBuffer};
use arrow::datatypes::{DataType, Field, Float32Type, Float64Type, Int32Type, Int64Type};

use crate::error::{Context, Error, Kind, Result};

/// Returns a vector column from the concatenated values of its rows: `values.len() / width` rows.
///
/// # Errors
/// Returns [`Kind::Store`] if the values do not make whole rows.
pub fn fixed_list_f32(values: &[f32], width: usize) -> Result<ArrayRef> {
    whole_rows(values.len(), width)?;
    let field = Arc::new(Field::new_list_field(DataType::Float32, false));
    let values = Arc::new(Float32Array::from(values.to_vec()));
    let width = i32::try_from(width).context(Kind::Store, || format!("rows of {width} numbers are too long"))?;
    let array = FixedSizeListArray::try_new(field, width, values, None);
    Ok(Arc::new(array.context(Kind::Store, || "cannot make a vector column".into())?))
}

/// Returns a fixed-size binary column from the concatenated bytes of its rows:
/// `bytes.len() / width` rows.
///
/// # Errors
/// Returns [`Kind::Store`] if the bytes do not make whole rows.
pub fn fixed_binary(bytes: Vec<u8>, width: usize) -> Result<ArrayRef> {
    whole_rows(bytes.len(), width)?;
    let width = i32::try_from(width).context(Kind::Store, || format!("rows of {width} bytes are too long"))?;
    let array = FixedSizeBinaryArray::try_new(width, Buffer::from_vec(bytes), None);
    Ok(Arc::new(array.context(Kind::Store, || "cannot make a tensor column".into())?))
}

/// Returns a text column with the same value in `rows` rows, such as `run` or `space`.
pub fn repeated(value: &str, rows: usize) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(std::iter::repeat_n(value, rows)))
}

/// Returns a text column.
pub fn text<S: AsRef<str>>(values: impl IntoIterator<Item = S>) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(values))
}

/// Returns a text column that may contain null.
pub fn optional_text<S: AsRef<str>>(values: impl IntoIterator<Item = Option<S>>) -> ArrayRef {
    Arc::new(values.into_iter().collect::<StringArray>())
}

/// Returns a column of lists of text, such as `paths`.
pub fn text_lists<L, S>(rows: impl IntoIterator<Item = L>) -> ArrayRef
where
    L: IntoIterator<Item = S>,
    S: AsRef<str>,
{
    let mut lists = ListBuilder::new(StringBuilder::new());
    for row in rows {
        row.into_iter().for_each(|value| lists.values().append_value(value));
        lists.append(true);
    }
    Arc::new(lists.finish())
}

/// Returns a column of lists of numbers, all of the same length, such as `class_ids`.
///
/// # Errors
/// Returns [`Kind::Internal`] if the numbers do not make so many rows.
pub fn number_lists<T: ArrowPrimitiveType>(numbers: PrimitiveArray<T>, rows: usize) -> Result<ArrayRef> {
    let item = Arc::new(Field::new_list_field(numbers.data_type().clone(), true));
    let lengths = OffsetBuffer::from_repeated_length(numbers.len() / rows.max(1), rows);
    let lists = ListArray::try_new(item, lengths, Arc::new(numbers), None);
    Ok(Arc::new(lists.context(Kind::Internal, || "cannot make lists of numbers".to_owned())?))
}

/// Returns an `int32` column with the same value in `rows` rows, such as `pass`.
pub fn repeated_i32(value: i32, rows: usize) -> ArrayRef {
    Arc::new(Int32Array::from(vec![value; rows]))
}

/// Returns an `int64` column.
pub fn int64(values: Vec<i64>) -> ArrayRef {
    Arc::new(Int64Array::from(values))
}

/// Returns the concatenated rows of a vector column, and the width of a row. Copies nothing.
///
/// # Errors
/// Returns [`Kind::Store`] if the column is missing, has another type, or contains null.
pub fn rows_f32<'a>(batch: &'a RecordBatch, column: &str) -> Result<(&'a [f32], usize)> {
    let wanted = "a list of f32 of fixed length";
    let array = get(batch, column)?;
    let list = array.as_fixed_size_list_opt().ok_or_else(|| wrong_type(array, column, wanted))?;
    let values = list.values().as_primitive_opt::<Float32Type>().ok_or_else(|| wrong_type(array, column, wanted))?;
    no_null(list, column)?;
    no_null(values, column)?;
    Ok((values.values(), usize::try_from(list.value_length()).unwrap_or(0)))
}

/// Returns the concatenated rows of a tensor column, and the number of bytes of a row. Copies
/// nothing.
///
/// # Errors
/// Returns [`Kind::Store`] if the column is missing, has another type, or contains null.
pub fn rows_bytes<'a>(batch: &'a RecordBatch, column: &str) -> Result<(&'a [u8], usize)> {
    let array = get(batch, column)?;
    let rows = array.as_fixed_size_binary_opt().ok_or_else(|| wrong_type(array, column, "binary of fixed length"))?;
    no_null(rows, column)?;
    Ok((rows.value_data(), usize::try_from(rows.value_length()).unwrap_or(0)))
}

/// Returns a text column without null, in any of Arrow's three layouts.
///
/// # Errors
/// Returns [`Kind::Store`] if the column is missing, has another type, or contains null.
pub fn strings<'a>(batch: &'a RecordBatch, column: &str) -> Result<Vec<&'a str>> {
    no_null(get(batch, column)?, column)?;
    Ok(optional_strings(batch, column)?.into_iter().flatten().collect())
}

/// Returns a text column that may contain null.
///
/// # Errors
/// Returns [`Kind::Store`] if the column is missing or has another type.
pub fn optional_strings<'a>(batch: &'a RecordBatch, column: &str) -> Result<Vec<Option<&'a str>>> {
    let array = get(batch, column)?;
    match array.data_type() {
        DataType::Utf8 => Ok(array.as_string::<i32>().iter().collect()),
        DataType::LargeUtf8 => Ok(array.as_string::<i64>().iter().collect()),
        DataType::Utf8View => Ok(array.as_string_view().iter().collect()),
        _ => Err(wrong_type(array, column, "text")),
    }
}

/// Returns a binary column that may contain null.
///
/// # Errors
/// Returns [`Kind::Store`] if the column is missing or has another type.
pub fn optional_bytes<'a>(batch: &'a RecordBatch, column: &str) -> Result<Vec<Option<&'a [u8]>>> {
    let array = get(batch, column)?;
    match array.data_type() {
        DataType::Binary => Ok(array.as_binary::<i32>().iter().collect()),
        DataType::LargeBinary => Ok(array.as_binary::<i64>().iter().collect()),
        DataType::BinaryView => Ok(array.as_binary_view().iter().collect()),
        _ => Err(wrong_type(array, column, "binary")),
    }
}

/// Returns an `int32` column without null. Copies nothing.
///
/// # Errors
/// Returns [`Kind::Store`] if the column is missing, has another type, or contains null.
pub fn int32s<'a>(batch: &'a RecordBatch, column: &str) -> Result<&'a [i32]> {
    let array = get(batch, column)?;
    let values = array.as_primitive_opt::<Int32Type>().ok_or_else(|| wrong_type(array, column, "int32"))?;
    no_null(values, column)?;
    Ok(values.values())
}

/// Returns an `int32` column that may contain null.
///
/// # Errors
/// Returns [`Kind::Store`] if the column is missing or has another type.
pub fn optional_int32s(batch: &RecordBatch, column: &str) -> Result<Vec<Option<i32>>> {
    let array = get(batch, column)?;
    let values = array.as_primitive_opt::<Int32Type>().ok_or_else(|| wrong_type(array, column, "int32"))?;
    Ok(values.iter().collect())
}

/// Returns an `int64` column without null. Copies nothing.
///
/// # Errors
/// Returns [`Kind::Store`] if the column is missing, has another type, or contains null.
pub fn int64s<'a>(batch: &'a RecordBatch, column: &str) -> Result<&'a [i64]> {
    let array = get(batch, column)?;
    let values = array.as_primitive_opt::<Int64Type>().ok_or_else(|| wrong_type(array, column, "int64"))?;
    no_null(values, column)?;
    Ok(values.values())
}

/// Returns a `float32` or `float64` column as f64; null becomes `None`.
///
/// # Errors
/// Returns [`Kind::Store`] if the column is missing or has another type.
pub fn floats(batch: &RecordBatch, column: &str) -> Result<Vec<Option<f64>>> {
    let array = get(batch, column)?;
    match array.data_type() {
        DataType::Float32 => Ok(array.as_primitive::<Float32Type>().iter().map(|v| v.map(f64::from)).collect()),
        DataType::Float64 => Ok(array.as_primitive::<Float64Type>().iter().collect()),
        _ => Err(wrong_type(array, column, "float")),
    }
}

fn whole_rows(len: usize, width: usize) -> Result<()> {
    if width == 0 || !len.is_multiple_of(width) {
        return Err(Error::new(Kind::Store, format!("{len} values do not make whole rows of {width}")));
    }
    Ok(())
}

pub(super) fn get<'a>(batch: &'a RecordBatch, column: &str) -> Result<&'a ArrayRef> {
    batch.column_by_name(column).ok_or_else(|| {
        let schema = batch.schema();
        let names: Vec<&str> = schema.fields().iter().map(|f| f.name().as_str()).collect();
        Error::new(Kind::Store, format!("there is no column `{column}` among {}", names.join(", ")))
    })
}

fn wrong_type(array: &ArrayRef, column: &str, wanted: &str) -> Error {
    Error::new(Kind::Store, format!("column `{column}` is {}, not {wanted}", array.data_type()))
}

fn no_null(array: &dyn Array, column: &str) -> Result<()> {
    if array.null_count() == 0 {
        return Ok(());
    }
    match (0..array.len()).find(|row| array.is_null(*row)) {
        Some(row) => Err(Error::new(Kind::Store, format!("column `{column}` has no value in row {row}"))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
        RecordBatch::try_from_iter(columns).unwrap()
    }

    #[test]
    fn vectors_go_in_and_out_also_of_a_slice() {
        let values: Vec<f32> = (0..12).map(|v| v as f32).collect();
        let batch = batch(vec![("v", fixed_list_f32(&values, 3).unwrap())]);
        assert_eq!(rows_f32(&batch, "v").unwrap(), (&values[..], 3));
        assert_eq!(rows_f32(&batch.slice(1, 2), "v").unwrap(), (&values[3..9], 3));
    }

    #[test]
    fn bytes_go_in_and_out_also_of_a_slice() {
        let batch = batch(vec![("t", fixed_binary((0..12).collect(), 4).unwrap())]);
        assert_eq!(rows_bytes(&batch.slice(2, 1), "t").unwrap(), (&[8u8, 9, 10, 11][..], 4));
        assert!(fixed_binary(vec![0; 5], 4).unwrap_err().to_string().contains("5 values do not make whole rows of 4"));
    }

    #[test]
    fn errors_name_the_column_and_the_row() {
        let batch = batch(vec![("n", Arc::new(Int32Array::from(vec![Some(1), None]))), ("s", text(["a", "b"]))]);
        assert_eq!(int32s(&batch, "n").unwrap_err().to_string(), "column `n` has no value in row 1");
        assert_eq!(int64s(&batch, "n").unwrap_err().to_string(), "column `n` is Int32, not int64");
        assert_eq!(strings(&batch, "x").unwrap_err().to_string(), "there is no column `x` among n, s");
        assert!(rows_f32(&batch, "s").unwrap_err().to_string().contains("not a list of f32"));
        assert_eq!(optional_int32s(&batch, "n").unwrap(), [Some(1), None]);
        assert_eq!(int32s(&batch.slice(0, 1), "n").unwrap(), [1]);
    }
}
