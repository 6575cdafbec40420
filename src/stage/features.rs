//! Reading cached features back, in the order of the pictures.

use std::collections::HashMap;

use arrow::array::RecordBatch;
use tch::{Kind as Number, Tensor};

use crate::error::{Error, Kind, Result};
use crate::stage::pictures::Pictures;
use crate::store::layout::Partition;
use crate::store::reader;
use crate::table::{arrays, tensor};

/// One column of a partition, with a row for each of `wanted` pictures in that order.
///
/// # Errors
/// [`Kind::Store`] where a picture has no row, or a part cannot be read.
pub fn gather(
    partition: &Partition,
    column: &str,
    pictures: &Pictures,
    wanted: &[usize],
    read: fn(&RecordBatch, &str) -> Result<Tensor>,
) -> Result<Tensor> {
    let places: HashMap<&str, i64> =
        wanted.iter().zip(0..).map(|(&n, place)| (pictures.rows()[n].image_id.as_str(), place)).collect();
    let mut all: Option<Tensor> = None;
    let mut filled = 0;
    for batch in reader::batches(partition, Some(&["image_id", column]), 1024)? {
        let batch = batch?;
        let ids = arrays::strings(&batch, "image_id")?;
        let (from, to): (Vec<i64>, Vec<i64>) =
            (0..).zip(&ids).filter_map(|(row, id)| Some((row, *places.get(id)?))).unzip();
        if from.is_empty() {
            continue;
        }
        let rows = read(&batch, column)?.index_select(0, &Tensor::from_slice(&from));
        let all = all.get_or_insert_with(|| {
            let mut shape = rows.size();
            shape[0] = wanted.len() as i64;
            Tensor::zeros(shape, (rows.kind(), rows.device()))
        });
        let _ = all.index_copy_(0, &Tensor::from_slice(&to), &rows);
        filled += from.len();
    }
    match all {
        Some(all) if filled == wanted.len() => Ok(all),
        _ => Err(Error::new(
            Kind::Store,
            format!("{} has {filled} of {} pictures", partition.dir().display(), wanted.len()),
        )
        .hint("run the pipeline again: what is missing is computed")),
    }
}

/// Vectors (rows, d), fp32.
///
/// # Errors
/// As [`gather`].
pub fn vectors(partition: &Partition, column: &str, pictures: &Pictures, wanted: &[usize]) -> Result<Tensor> {
    gather(partition, column, pictures, wanted, tensor::from_vectors)
}

/// Crop features (rows, V, d), fp32.
///
/// # Errors
/// As [`gather`].
pub fn crops(partition: &Partition, pictures: &Pictures, wanted: &[usize], width: i64) -> Result<Tensor> {
    let flat = vectors(partition, "features", pictures, wanted)?;
    Ok(flat.view([wanted.len() as i64, -1, width]))
}

/// The mask (rows, N), bool.
///
/// # Errors
/// As [`gather`].
pub fn masks(partition: &Partition, pictures: &Pictures, wanted: &[usize]) -> Result<Tensor> {
    Ok(gather(partition, "mask", pictures, wanted, tensor::from_tensors)?.to_kind(Number::Bool))
}

/// Patch tokens (rows, N, D), fp16 as they are stored.
///
/// # Errors
/// As [`gather`].
pub fn patch_tokens(partition: &Partition, pictures: &Pictures, wanted: &[usize]) -> Result<Tensor> {
    gather(partition, "patch_tokens", pictures, wanted, tensor::from_tensors)
}

/// The input of a block (rows, 1 + N, D), fp16 as it is stored.
///
/// # Errors
/// As [`gather`].
pub fn block_tokens(partition: &Partition, pictures: &Pictures, wanted: &[usize]) -> Result<Tensor> {
    gather(partition, "tokens", pictures, wanted, tensor::from_tensors)
}
