//! Gives the functions lists of f32 as one flat buffer, whatever Arrow's layout.

use std::fmt::Display;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, FixedSizeListArray, Float32Array, ListArray};
use arrow::buffer::{NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{DataType, Field, FieldRef, Float32Type};
use datafusion::common::{Result, exec_err, plan_err};
use datafusion::logical_expr::ColumnarValue;

/// Returns the type that a list argument is cast to: lists of other numbers, and null, become lists
/// of f32.
pub(super) fn list_type(function: &str, given: &DataType) -> Result<DataType> {
    match given {
        DataType::FixedSizeList(item, _) | DataType::List(item) if item.data_type() == &DataType::Float32 => {
            Ok(given.clone())
        }
        DataType::FixedSizeList(item, width) if is_number(item.data_type()) => {
            Ok(DataType::FixedSizeList(item_field(), *width))
        }
        DataType::List(item) | DataType::LargeList(item) if is_number(item.data_type()) => {
            Ok(DataType::List(item_field()))
        }
        DataType::Null => Ok(DataType::List(item_field())),
        other => plan_err!("{function} needs a list of numbers, not {other}"),
    }
}

/// Returns the type that a number argument is cast to. An untyped parameter (`$gamma`) has type
/// null until its value is bound.
pub(super) fn number_type(function: &str, given: &DataType, wanted: DataType) -> Result<DataType> {
    if is_number(given) { Ok(wanted) } else { plan_err!("{function} needs a number, not {given}") }
}

/// Checks the number of a function's arguments.
pub(super) fn expect_arguments(function: &str, given: usize, wanted: usize, usage: &str) -> Result<()> {
    if given == wanted { Ok(()) } else { plan_err!("{function} has {wanted} arguments, not {given}: {usage}") }
}

/// Rejects two list types of different fixed lengths.
pub(super) fn expect_same_width(function: &str, a: &DataType, b: &DataType) -> Result<()> {
    match (a, b) {
        (DataType::FixedSizeList(_, a), DataType::FixedSizeList(_, b)) if a != b => {
            plan_err!("{}", unequal(function, a, b))
        }
        _ => Ok(()),
    }
}

/// Rejects two lists of different lengths.
pub(super) fn expect_same_length(function: &str, a: &[f32], b: &[f32]) -> Result<()> {
    if a.len() == b.len() { Ok(()) } else { exec_err!("{}", unequal(function, a.len(), b.len())) }
}

fn unequal(function: &str, a: impl Display, b: impl Display) -> String {
    format!("{function} needs lists of the same length, not of {a} and {b}")
}

fn is_number(given: &DataType) -> bool {
    given.is_numeric() || given == &DataType::Null
}

/// Returns the field of the elements in results.
pub(super) fn item_field() -> FieldRef {
    Arc::new(Field::new_list_field(DataType::Float32, true))
}

/// Returns the type of a result with lists of the same length as the argument's.
pub(super) fn like(argument: &DataType) -> DataType {
    match argument {
        DataType::FixedSizeList(_, width) => DataType::FixedSizeList(item_field(), *width),
        _ => DataType::List(item_field()),
    }
}

/// Returns the type of a result that is made of two lists element by element.
pub(super) fn like_both(function: &str, a: &DataType, b: &DataType) -> Result<DataType> {
    expect_same_width(function, a, b)?;
    Ok(match (a, b) {
        (DataType::FixedSizeList(..), DataType::FixedSizeList(..)) => like(a),
        _ => like(&DataType::Null),
    })
}

/// A list argument, by rows.
pub(super) struct Lists {
    values: ScalarBuffer<f32>,
    bounds: Bounds,
    nulls: Option<NullBuffer>,
    /// Whether one list stands for every row.
    constant: bool,
}

enum Bounds {
    Width(usize),
    Offsets(OffsetBuffer<i32>),
}

impl Lists {
    pub(super) fn new(argument: &ColumnarValue) -> Result<Lists> {
        let (array, constant) = match argument {
            ColumnarValue::Array(array) => (array.clone(), false),
            ColumnarValue::Scalar(scalar) => (scalar.to_array_of_size(1)?, true),
        };
        let (values, bounds) = match array.data_type() {
            DataType::FixedSizeList(_, width) => {
                (array.as_fixed_size_list().values().clone(), Bounds::Width(usize::try_from(*width).unwrap_or(0)))
            }
            DataType::List(_) => {
                let lists = array.as_list::<i32>();
                (lists.values().clone(), Bounds::Offsets(lists.offsets().clone()))
            }
            other => return exec_err!("expected lists of numbers, not {other}"),
        };
        let Some(values) = values.as_primitive_opt::<Float32Type>() else {
            return exec_err!("expected lists of Float32, not of {}", values.data_type());
        };
        Ok(Lists { values: without_null(values), bounds, nulls: array.nulls().cloned(), constant })
    }

    /// Returns the row's elements, or `None` if the row is null.
    pub(super) fn row(&self, row: usize) -> Option<&[f32]> {
        let row = if self.constant { 0 } else { row };
        if self.nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)) {
            return None;
        }
        Some(match &self.bounds {
            Bounds::Width(width) => &self.values[row * width..(row + 1) * width],
            Bounds::Offsets(offsets) => &self.values[offsets[row] as usize..offsets[row + 1] as usize],
        })
    }
}

/// Returns the elements, with NaN for those that are null.
fn without_null(values: &Float32Array) -> ScalarBuffer<f32> {
    if values.null_count() == 0 {
        return values.values().clone();
    }
    values.iter().map(|v| v.unwrap_or(f32::NAN)).collect()
}

/// Collects lists as rows of a result.
pub(super) struct Rows {
    width: Option<i32>,
    values: Vec<f32>,
    lengths: Vec<usize>,
    valid: Vec<bool>,
}

impl Rows {
    /// Creates a result of the type that [`like`] returned.
    pub(super) fn new(result: &DataType, rows: usize) -> Rows {
        let width = match result {
            DataType::FixedSizeList(_, width) => Some(*width),
            _ => None,
        };
        let values = Vec::with_capacity(rows * width.map_or(0, |w| usize::try_from(w).unwrap_or(0)));
        Rows { width, values, lengths: Vec::with_capacity(rows), valid: Vec::with_capacity(rows) }
    }

    /// Adds a row, or null.
    pub(super) fn push(&mut self, row: Option<impl Iterator<Item = f32>>) {
        self.valid.push(row.is_some());
        let before = self.values.len();
        match (row, self.width) {
            (Some(row), _) => self.values.extend(row),
            (None, Some(width)) => self.values.extend(std::iter::repeat_n(0.0, usize::try_from(width).unwrap_or(0))),
            (None, None) => {}
        }
        self.lengths.push(self.values.len() - before);
    }

    pub(super) fn finish(self) -> Result<ColumnarValue> {
        let nulls = NullBuffer::from(self.valid);
        let nulls = (nulls.null_count() > 0).then_some(nulls);
        let rows = self.lengths.len();
        let values = Arc::new(Float32Array::from(self.values));
        let array: ArrayRef = match self.width {
            Some(width) => Arc::new(FixedSizeListArray::try_new_with_length(item_field(), width, values, nulls, rows)?),
            None => {
                Arc::new(ListArray::try_new(item_field(), OffsetBuffer::from_lengths(self.lengths), values, nulls)?)
            }
        };
        Ok(ColumnarValue::Array(array))
    }
}
