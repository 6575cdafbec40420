//! Reads cached features back, in the order of the pictures.

use std::collections::HashMap;
use std::path::PathBuf;

use tch::Tensor;

use crate::error::{Error, Kind, Result};
use crate::fusion::matrix::Matrix;
use crate::stage::pictures::Pictures;
use crate::stage::stored_tensors::StoredTensors;
use crate::stop::Stop;
use crate::store::layout::Partition;
use crate::store::{files, reader};
use crate::table::tensor;

/// Returns vectors (rows, d), with a row for each picture in their order. They are read from the
/// store where they are needed if they are too large for memory.
///
/// # Errors
/// Returns [`Kind::Store`] if a picture has no row or a part cannot be read, and
/// [`Kind::Interrupted`] if a stop was requested.
pub fn vectors(partition: &Partition, column: &str, pictures: &Pictures, stop: &Stop) -> Result<Matrix> {
    let (parts, rows) = rows_of(partition, pictures, stop)?;
    let rows = Tensor::from_slice(&rows);
    match Matrix::stored(&parts, column)? {
        Some(stored) => stored.picked(&rows).in_memory_if_small(stop),
        None => Ok(whole(parts, column, stop)?.index_select(0, &rows).into()),
    }
}

/// Returns the parts of a partition that have rows of the pictures, and each picture's row among
/// those of these parts. The space may hold pictures of other datasets too.
fn rows_of(partition: &Partition, pictures: &Pictures, stop: &Stop) -> Result<(Vec<PathBuf>, Vec<i64>)> {
    let wanted = pictures.rows();
    let places: HashMap<&str, usize> = wanted.iter().map(|picture| picture.image_id.as_str()).zip(0..).collect();
    let (mut parts, mut rows, mut before) = (Vec::new(), vec![-1; wanted.len()], 0);
    for part in partition.listed()? {
        stop.check()?;
        let ids = reader::ids_of(partition, &part)?.unwrap_or_default();
        let found: Vec<(usize, i64)> =
            ids.iter().zip(before..).filter_map(|(id, row)| Some((*places.get(id.as_str())?, row))).collect();
        if !found.is_empty() && partition.verify(&part)? {
            found.into_iter().for_each(|(place, row)| rows[place] = row);
            before += ids.len() as i64;
            parts.push(part);
        }
    }
    match rows.iter().filter(|row| **row >= 0).count() {
        found if found == wanted.len() => Ok((parts, rows)),
        found => Err(Error::new(
            Kind::Store,
            format!("{} has {found} of {} pictures", files::shown(partition.dir()), wanted.len()),
        )
        .hint("run the pipeline again: what is missing is computed")),
    }
}

/// Returns all rows of a column of vectors, which earlier versions of this program compressed.
fn whole(parts: Vec<PathBuf>, column: &str, stop: &Stop) -> Result<Tensor> {
    let mut all = Vec::new();
    for batch in reader::batches_of(parts, Some(&[column]), 1024) {
        stop.check()?;
        all.push(tensor::from_vectors(&batch?, column)?);
    }
    Ok(Tensor::cat(&all, 0))
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
    StoredTensors::open(&parts, column, rows)?.in_memory_if_small(stop)
}
