//! The types of columns as schemas write them, and as Arrow stores them.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, TimeUnit};
use serde::Deserialize;

use crate::error::{Error, Kind, Result};
use crate::table::dims::Length;

/// Metadata key of a tensor column: the shape of a row, e.g. `49,768`.
pub const SHAPE: &str = "shape";
/// Metadata key of a tensor column: the type of its numbers, `f16` or `u8`.
pub const DTYPE: &str = "dtype";

/// The type of a column.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum ColumnType {
    /// A type that Arrow itself has.
    Plain(DataType),
    /// `vector<f32, d>`: a list of f32, of the same length in the whole table.
    Vector(Length),
    /// `tensor<f16, N, D>`: the bytes of a row-major tensor, little endian.
    Tensor(Dtype, Vec<Length>),
}

/// Number type of a tensor column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dtype {
    /// IEEE half precision, 2 bytes.
    F16,
    /// Unsigned byte.
    U8,
}

impl Dtype {
    /// Returns the bytes of one number.
    pub fn size(self) -> usize {
        match self {
            Dtype::F16 => 2,
            Dtype::U8 => 1,
        }
    }
}

impl fmt::Display for Dtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Dtype::F16 => "f16",
            Dtype::U8 => "u8",
        })
    }
}

impl TryFrom<String> for ColumnType {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let plain = |t| Ok(ColumnType::Plain(t));
        match text.as_str() {
            "utf8" => return plain(DataType::Utf8),
            "int32" => return plain(DataType::Int32),
            "int64" => return plain(DataType::Int64),
            "float32" => return plain(DataType::Float32),
            "float64" => return plain(DataType::Float64),
            "binary" => return plain(DataType::Binary),
            "bool" => return plain(DataType::Boolean),
            "timestamp" => return plain(DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()))),
            "list<utf8>" => return plain(list_type(DataType::Utf8)),
            "list<int32>" => return plain(list_type(DataType::Int32)),
            "list<float32>" => return plain(list_type(DataType::Float32)),
            _ => {}
        }
        let unknown = || format!("unknown column type `{text}`");
        let (head, rest) = text.split_once('<').ok_or_else(unknown)?;
        let mut parts = rest.strip_suffix('>').ok_or_else(unknown)?.split(',').map(str::trim);
        let dtype = parts.next().ok_or_else(unknown)?;
        let lengths = parts.map(str::parse).collect::<Result<Vec<Length>, _>>()?;
        match (head, dtype, lengths.as_slice()) {
            ("vector", "f32", [length]) => Ok(ColumnType::Vector(length.clone())),
            ("tensor", "f16", [_, ..]) => Ok(ColumnType::Tensor(Dtype::F16, lengths)),
            ("tensor", "u8", [_, ..]) => Ok(ColumnType::Tensor(Dtype::U8, lengths)),
            _ => Err(unknown()),
        }
    }
}

impl fmt::Display for ColumnType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ColumnType::Plain(DataType::Timestamp(..)) => f.write_str("timestamp"),
            ColumnType::Plain(DataType::Boolean) => f.write_str("bool"),
            ColumnType::Plain(DataType::List(item)) => {
                write!(f, "list<{}>", item.data_type().to_string().to_lowercase())
            }
            ColumnType::Plain(t) => f.write_str(&t.to_string().to_lowercase()),
            ColumnType::Vector(length) => write!(f, "vector<f32, {length}>"),
            ColumnType::Tensor(dtype, lengths) => {
                write!(f, "tensor<{dtype}")?;
                lengths.iter().try_for_each(|l| write!(f, ", {l}"))?;
                f.write_str(">")
            }
        }
    }
}

/// Returns the Arrow type of a column of lists.
fn list_type(item: DataType) -> DataType {
    DataType::List(Arc::new(Field::new_list_field(item, true)))
}

/// Returns the Arrow type of a vector column of `width` f32.
pub fn vector_type(width: usize) -> DataType {
    DataType::new_fixed_size_list(DataType::Float32, i32::try_from(width).unwrap_or(i32::MAX), false)
}

/// Returns the Arrow field of a tensor column: one fixed-size binary per row, with shape and type
/// in the field's metadata.
///
/// # Errors
/// Returns [`Kind::Store`] if a row would be larger than Arrow allows (2 GiB).
pub fn tensor_field(name: &str, dtype: Dtype, shape: &[usize], nullable: bool) -> Result<Field> {
    let bytes = shape.iter().try_fold(dtype.size(), |product, n| product.checked_mul(*n));
    let width = bytes.and_then(|b| i32::try_from(b).ok()).ok_or_else(|| {
        Error::new(Kind::Store, format!("a row of column `{name}` with shape {shape:?} is too large"))
    })?;
    let shape: Vec<String> = shape.iter().map(ToString::to_string).collect();
    let metadata = HashMap::from([(SHAPE.into(), shape.join(",")), (DTYPE.into(), dtype.to_string())]);
    Ok(Field::new(name, DataType::FixedSizeBinary(width), nullable).with_metadata(metadata))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_print_as_they_are_written() {
        for text in ["utf8", "timestamp", "list<utf8>", "float32", "vector<f32, V*d>", "tensor<f16, N, D>", "bool"] {
            assert_eq!(ColumnType::try_from(text.to_owned()).unwrap().to_string(), text);
        }
        for bad in ["float", "vector<f16, d>", "tensor<f16>", "vector<f32, d", "vector<f32, d, e>"] {
            assert!(ColumnType::try_from(bad.to_owned()).is_err(), "{bad}");
        }
    }
}
