//! Converts columns to tensors, and tensors to columns.

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::Field;
use tch::{Device, Kind as Type, Tensor};

use crate::error::{Context, Error, Kind, Result};
use crate::table::arrays;
use crate::table::column_type::{DTYPE, SHAPE};

/// Returns a vector column as a tensor: f32, shape (rows, width), on the CPU.
///
/// # Errors
/// Fails like [`arrays::rows_f32`], or with [`Kind::Torch`] if libtorch fails.
pub fn from_vectors(batch: &RecordBatch, column: &str) -> Result<Tensor> {
    let (values, width) = arrays::rows_f32(batch, column)?;
    let shape = [length(batch.num_rows())?, length(width)?];
    Tensor::f_from_slice(values).and_then(|t| t.f_reshape(shape)).context(Kind::Torch, || cannot_read(column))
}

/// Returns a vector column from a tensor of shape (rows, ...), of any type and on any device; all
/// dimensions after the first are flattened.
///
/// # Errors
/// Returns [`Kind::Store`] if the tensor is empty, and [`Kind::Torch`] if libtorch fails.
pub fn to_vectors(tensor: &Tensor) -> Result<ArrayRef> {
    let (width, flat) = flat(tensor, Type::Float)?;
    let values = Vec::<f32>::try_from(&flat).context(Kind::Torch, || "cannot copy a tensor".into())?;
    arrays::fixed_list_f32(&values, width)
}

/// Returns a tensor column, f16 or u8, as a tensor on the CPU. The column's metadata gives the
/// shape (rows, ...), e.g. (rows, N, D).
///
/// # Errors
/// Returns [`Kind::Store`] if the column is missing, has another type, contains null, or has no
/// shape in its metadata, and [`Kind::Torch`] if libtorch fails.
pub fn from_tensors(batch: &RecordBatch, column: &str) -> Result<Tensor> {
    let (bytes, _) = arrays::rows_bytes(batch, column)?;
    let schema = batch.schema_ref();
    of_bytes(schema.field_with_name(column).context(Kind::Store, || cannot_read(column))?, batch.num_rows(), bytes)
}

/// Like [`from_tensors`], from the bytes of so many rows of a column.
///
/// # Errors
/// Fails like [`from_tensors`].
pub fn of_bytes(field: &Field, rows: usize, bytes: &[u8]) -> Result<Tensor> {
    let (column, width) = (field.name(), bytes.len() / rows.max(1));
    let metadata = |key| {
        let missing = || Error::new(Kind::Store, format!("column `{column}` does not say its {key}"));
        field.metadata().get(key).ok_or_else(missing)
    };
    let (dtype, size) = match metadata(DTYPE)?.as_str() {
        "f16" => (Type::Half, 2),
        "u8" => (Type::Uint8, 1),
        other => {
            return Err(Error::new(Kind::Store, format!("column `{column}` has numbers of unknown type `{other}`")));
        }
    };
    let mut shape = vec![length(rows)?];
    for n in metadata(SHAPE)?.split(',') {
        shape.push(n.parse().context(Kind::Store, || format!("column `{column}` has a wrong shape `{n}`"))?);
    }
    if shape[1..].iter().product::<i64>() != length(width / size)? {
        let what = format!("column `{column}` has {width} bytes a row, which is not its shape {:?}", &shape[1..]);
        return Err(Error::new(Kind::Store, what));
    }
    Tensor::f_from_data_size(bytes, &shape, dtype).context(Kind::Torch, || cannot_read(column))
}

/// Returns all numbers of a tensor of any type and shape, on any device, row by row.
///
/// # Errors
/// Returns [`Kind::Torch`] if libtorch fails.
pub fn numbers(tensor: &Tensor) -> Result<Vec<f32>> {
    let flat = tensor
        .f_detach()
        .and_then(|t| t.f_to_device(Device::Cpu))
        .and_then(|t| t.f_to_kind(Type::Float))
        .and_then(|t| t.f_reshape([-1]));
    flat.and_then(Vec::<f32>::try_from).context(Kind::Torch, || "cannot copy a tensor".into())
}

/// Returns a half-precision column from a tensor (rows, N, D), of any type and on any device. The
/// field comes from the schema.
///
/// # Errors
/// Returns [`Kind::Store`] if the tensor is empty, and [`Kind::Torch`] if libtorch fails.
pub fn to_tensors_f16(tensor: &Tensor) -> Result<ArrayRef> {
    to_tensors(tensor, Type::Half, 2)
}

/// Returns a column of bytes from a tensor (rows, N), e.g. a mask of 0 and 1 (also as bool).
///
/// # Errors
/// Returns [`Kind::Store`] if the tensor is empty, and [`Kind::Torch`] if libtorch fails.
pub fn to_tensors_u8(tensor: &Tensor) -> Result<ArrayRef> {
    to_tensors(tensor, Type::Uint8, 1)
}

fn to_tensors(tensor: &Tensor, dtype: Type, size: usize) -> Result<ArrayRef> {
    let (width, flat) = flat(tensor, dtype)?;
    let mut bytes = vec![0u8; flat.numel() * size];
    flat.f_copy_data_u8(&mut bytes, flat.numel()).context(Kind::Torch, || "cannot copy a tensor".into())?;
    arrays::fixed_binary(bytes, width * size)
}

/// Returns how many numbers make a row of the column, and the tensor as one contiguous row of
/// numbers on the CPU.
fn flat(tensor: &Tensor, dtype: Type) -> Result<(usize, Tensor)> {
    let rows = usize::try_from(tensor.size().first().copied().unwrap_or(0)).unwrap_or(0);
    if rows == 0 || tensor.numel() == 0 {
        let what = format!("a tensor of shape {:?} has no rows to store", tensor.size());
        return Err(Error::new(Kind::Store, what));
    }
    let width = tensor.numel() / rows;
    let flat = tensor
        .f_detach()
        .and_then(|t| t.f_to_device(Device::Cpu))
        .and_then(|t| t.f_to_kind(dtype))
        .and_then(|t| t.f_contiguous())
        .and_then(|t| t.f_reshape([-1]))
        .context(Kind::Torch, || "cannot copy a tensor".into())?;
    Ok((width, flat))
}

fn length(n: usize) -> Result<i64> {
    i64::try_from(n).context(Kind::Store, || format!("{n} is too large for a tensor"))
}

fn cannot_read(column: &str) -> String {
    format!("cannot make a tensor of column `{column}`")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::datatypes::Schema;

    use super::*;
    use crate::table::column_type::{Dtype, tensor_field};

    #[test]
    fn patch_tokens_come_back_bit_for_bit() {
        let tokens = Tensor::arange(2 * 3 * 4, (Type::Float, Device::Cpu)).reshape([2, 3, 4]) / 7.0;
        let field = tensor_field("patch_tokens", Dtype::F16, &[3, 4], false).unwrap();
        let column = to_tensors_f16(&tokens).unwrap();
        let batch = RecordBatch::try_new(Arc::new(Schema::new(vec![field])), vec![column]).unwrap();
        let back = from_tensors(&batch, "patch_tokens").unwrap();
        assert_eq!((back.kind(), back.size()), (Type::Half, vec![2, 3, 4]));
        assert!(back.equal(&tokens.to_kind(Type::Half)));
        assert!(from_tensors(&batch.slice(1, 1), "patch_tokens").unwrap().equal(&back.narrow(0, 1, 1)));
    }

    #[test]
    fn masks_and_vectors_come_back() {
        let mask = Tensor::from_slice(&[1u8, 0, 0, 1]).reshape([2, 2]);
        let field = tensor_field("mask", Dtype::U8, &[2], false).unwrap();
        let column = to_tensors_u8(&mask.to_kind(Type::Bool)).unwrap();
        let batch = RecordBatch::try_new(Arc::new(Schema::new(vec![field])), vec![column]).unwrap();
        assert!(from_tensors(&batch, "mask").unwrap().equal(&mask));

        let vectors = Tensor::from_slice(&[0.5f32, -1.0, 2.0, 0.1, 0.2, 0.3]).reshape([3, 2]);
        // A transposed view is not contiguous: it is stored in the order of its indices, not of its
        // memory.
        let column = to_vectors(&vectors.tr()).unwrap();
        let batch = RecordBatch::try_from_iter([("v", column)]).unwrap();
        assert!(from_vectors(&batch, "v").unwrap().equal(&vectors.tr()));
    }

    #[test]
    fn an_empty_tensor_is_refused() {
        assert!(to_vectors(&Tensor::zeros([0, 4], (Type::Float, Device::Cpu))).is_err());
    }
}
