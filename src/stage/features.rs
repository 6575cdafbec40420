//! Reads cached features back, in the order of the pictures.

use std::collections::{HashMap, HashSet};

use arrow::array::RecordBatch;
use tch::{Kind as Number, Tensor};

use crate::error::{Error, Kind, Result};
use crate::fusion::composite::composite;
use crate::stage::pictures::Pictures;
use crate::stop::Stop;
use crate::store::layout::Partition;
use crate::store::reader;
use crate::table::{arrays, tensor};

/// Returns the rows of all pictures in a partition, in the pictures' order. `make` gets a batch of
/// the store, which of its rows are theirs, and their places in the result; it returns the result's
/// rows.
fn gather(
    partition: &Partition,
    column: &str,
    pictures: &Pictures,
    stop: &Stop,
    make: impl Fn(&RecordBatch, &Tensor, &Tensor) -> Result<Tensor>,
) -> Result<Tensor> {
    let wanted = pictures.rows();
    let places: HashMap<&str, i64> = wanted.iter().map(|picture| picture.image_id.as_str()).zip(0..).collect();
    let mut all: Option<Tensor> = None;
    let mut filled = HashSet::new();
    // The space may hold pictures of other datasets too.
    for batch in reader::batches_with(partition, Some(&["image_id", column]), 1024, |id| places.contains_key(id))? {
        stop.check()?;
        let batch = batch?;
        let ids = arrays::strings(&batch, "image_id")?;
        let (from, to): (Vec<i64>, Vec<i64>) =
            (0..).zip(&ids).filter_map(|(row, id)| Some((row, *places.get(id)?))).unzip();
        if from.is_empty() {
            continue;
        }
        let index = Tensor::from_slice(&to);
        let rows = make(&batch, &Tensor::from_slice(&from), &index)?;
        let all = all.get_or_insert_with(|| {
            let mut shape = rows.size();
            shape[0] = wanted.len() as i64;
            Tensor::zeros(shape, (rows.kind(), rows.device()))
        });
        let _ = all.index_copy_(0, &index, &rows);
        filled.extend(to);
    }
    match all {
        Some(all) if filled.len() == wanted.len() => Ok(all),
        _ => Err(Error::new(
            Kind::Store,
            format!("{} has {} of {} pictures", partition.dir().display(), filled.len(), wanted.len()),
        )
        .hint("run the pipeline again: what is missing is computed")),
    }
}

/// Returns vectors (rows, d), fp32, with a row for each picture in their order.
///
/// # Errors
/// Returns [`Kind::Store`] if a picture has no row or a part cannot be read, and
/// [`Kind::Interrupted`] if a stop was requested.
pub fn vectors(partition: &Partition, column: &str, pictures: &Pictures, stop: &Stop) -> Result<Tensor> {
    gather(partition, column, pictures, stop, |batch, rows, _| {
        Ok(tensor::from_vectors(batch, column)?.index_select(0, rows))
    })
}

/// Returns the composite (rows, d) of each picture's crops, of unit length, from the features of
/// the whole pictures (rows, d). The crops, which are several times as large, are never all in
/// memory.
///
/// # Errors
/// Fails as [`vectors`] does.
pub fn composites(partition: &Partition, pictures: &Pictures, whole: &Tensor, stop: &Stop) -> Result<Tensor> {
    gather(partition, "features", pictures, stop, |batch, rows, places| {
        let crops = tensor::from_vectors(batch, "features")?.index_select(0, rows);
        let crops = crops.view([rows.size()[0], -1, whole.size()[1]]);
        Ok(composite(&crops, &whole.index_select(0, places)))
    })
}

/// Returns the composites of the two halves of each picture's crops, (rows, d) each and of unit
/// length. Of a single crop, one half is the crop and the other the whole picture.
///
/// # Errors
/// Fails as [`vectors`] does.
pub fn half_composites(partition: &Partition, pictures: &Pictures, whole: &Tensor, stop: &Stop) -> Result<[Tensor; 2]> {
    let both = gather(partition, "features", pictures, stop, |batch, rows, places| {
        let crops = tensor::from_vectors(batch, "features")?.index_select(0, rows);
        let crops = crops.view([rows.size()[0], -1, whole.size()[1]]);
        let (count, whole) = (crops.size()[1], whole.index_select(0, places));
        Ok(match count {
            1 => Tensor::stack(&[crops.squeeze_dim(1), whole], 1),
            _ => {
                let half = |from, count| composite(&crops.narrow(1, from, count), &whole);
                Tensor::stack(&[half(0, count / 2), half(count / 2, count - count / 2)], 1)
            }
        })
    })?;
    Ok([both.select(1, 0), both.select(1, 1)])
}

/// Returns the foreground masks (rows, N), bool.
///
/// # Errors
/// Fails as [`vectors`] does.
pub fn masks(partition: &Partition, pictures: &Pictures, stop: &Stop) -> Result<Tensor> {
    Ok(tensors(partition, "mask", pictures, stop)?.to_kind(Number::Bool))
}

/// Returns patch tokens (rows, N, D), fp16 as they are stored.
///
/// # Errors
/// Fails as [`vectors`] does.
pub fn patch_tokens(partition: &Partition, pictures: &Pictures, stop: &Stop) -> Result<Tensor> {
    tensors(partition, "patch_tokens", pictures, stop)
}

/// Returns the input of a block (rows, 1 + N, D), fp16 as it is stored.
///
/// # Errors
/// Fails as [`vectors`] does.
pub fn block_tokens(partition: &Partition, pictures: &Pictures, stop: &Stop) -> Result<Tensor> {
    tensors(partition, "tokens", pictures, stop)
}

fn tensors(partition: &Partition, column: &str, pictures: &Pictures, stop: &Stop) -> Result<Tensor> {
    gather(partition, column, pictures, stop, |batch, rows, _| {
        Ok(tensor::from_tensors(batch, column)?.index_select(0, rows))
    })
}
