//! Reads cached features back, in the order of the pictures.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;

use arrow::array::RecordBatch;
use tch::Tensor;

use crate::error::{Error, Kind, Result};
use crate::fusion::matrix::Matrix;
use crate::memory;
use crate::stage::pictures::Pictures;
use crate::stage::stored_tensors::StoredTensors;
use crate::stop::Stop;
use crate::store::column::Column;
use crate::store::layout::Partition;
use crate::store::reader;
use crate::table::{arrays, tensor};

/// Returns the rows of all pictures in a partition, in the pictures' order. `make` gets a batch of
/// the store and which of its rows are theirs; it returns the result's rows.
fn gather(
    partition: &Partition,
    column: &str,
    pictures: &Pictures,
    stop: &Stop,
    make: impl Fn(&RecordBatch, &Tensor) -> Result<Tensor>,
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
        let rows = make(&batch, &Tensor::from_slice(&from))?;
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
        _ => Err(missing(partition, filled.len(), wanted.len())),
    }
}

/// Returns vectors (rows, d), with a row for each picture in their order. They are read from the
/// store where they are needed if they are too large for memory.
///
/// # Errors
/// Returns [`Kind::Store`] if a picture has no row or a part cannot be read, and
/// [`Kind::Interrupted`] if a stop was requested.
pub fn vectors(partition: &Partition, column: &str, pictures: &Pictures, stop: &Stop) -> Result<Matrix> {
    let (parts, rows) = rows_of(partition, pictures, stop)?;
    if Column::is_plain(&parts, column)? {
        return Matrix::stored(&parts, column)?.picked(&Tensor::from_slice(&rows)).in_memory_if_small(stop);
    }
    let gathered = gather(partition, column, pictures, stop, |batch, rows| {
        Ok(tensor::from_vectors(batch, column)?.index_select(0, rows))
    });
    Ok(gathered?.into())
}

/// Returns the parts of a partition that have rows of the pictures, and each picture's row among
/// those of these parts.
fn rows_of(partition: &Partition, pictures: &Pictures, stop: &Stop) -> Result<(Vec<PathBuf>, Vec<i64>)> {
    let wanted = pictures.rows();
    let places: HashMap<&str, usize> = wanted.iter().map(|picture| picture.image_id.as_str()).zip(0..).collect();
    let parts = reader::sound_parts_with(partition, |id| places.contains_key(id))?;
    let mut rows = vec![-1; wanted.len()];
    let mut row = 0;
    for batch in reader::batches_of(parts.clone(), Some(&["image_id"]), 1 << 14) {
        stop.check()?;
        for id in arrays::strings(&batch?, "image_id")? {
            if let Some(&place) = places.get(id) {
                rows[place] = row;
            }
            row += 1;
        }
    }
    match rows.iter().filter(|row| **row >= 0).count() {
        found if found == wanted.len() => Ok((parts, rows)),
        found => Err(missing(partition, found, wanted.len())),
    }
}

/// Returns the error for a partition that lacks rows of pictures.
fn missing(partition: &Partition, found: usize, wanted: usize) -> Error {
    Error::new(Kind::Store, format!("{} has {found} of {wanted} pictures", partition.dir().display()))
        .hint("run the pipeline again: what is missing is computed")
}

/// Returns the composite (rows, d) of each picture's crops, of unit length, from a partition of
/// `composites`.
///
/// # Errors
/// Fails as [`vectors`] does.
pub fn composites(partition: &Partition, pictures: &Pictures, stop: &Stop) -> Result<Matrix> {
    vectors(partition, "composite", pictures, stop)
}

/// Returns the composites of the two halves of each picture's crops, (rows, d) each and of unit
/// length. Of a single crop, one half is the crop and the other the whole picture.
///
/// # Errors
/// Fails as [`vectors`] does.
pub fn half_composites(partition: &Partition, pictures: &Pictures, stop: &Stop) -> Result<[Matrix; 2]> {
    let half = |column| vectors(partition, column, pictures, stop);
    Ok([half("first_half")?, half("second_half")?])
}

/// Returns tensors of a column, with a row for each picture in their order. They are read from the
/// store where they are needed if they are too large for memory.
///
/// # Errors
/// Fails as [`vectors`] does.
pub fn tensors(partition: &Partition, column: &str, pictures: &Pictures, stop: &Stop) -> Result<StoredTensors> {
    let (parts, rows) = rows_of(partition, pictures, stop)?;
    let stored = StoredTensors::open(&parts, column, rows)?;
    if stored.bytes() > memory::of_a_table() {
        return Ok(stored);
    }
    let all = gather(partition, column, pictures, stop, |batch, rows| {
        Ok(tensor::from_tensors(batch, column)?.index_select(0, rows))
    });
    Ok(StoredTensors::Memory(all?))
}
