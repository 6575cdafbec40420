//! Reads parts one after another.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{AsArray, BooleanArray, RecordBatch, RecordBatchReader};
use arrow::compute::concat_batches;
use arrow::datatypes::{Schema, SchemaRef};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder, RowSelection,
};
use parquet::file::metadata::PageIndexPolicy;
use parquet::file::reader::Length;

use crate::error::{Context, Error, Kind, Result};
use crate::panics::caught;
use crate::store::layout::Partition;
use crate::store::positioned::Positioned;
use crate::store::span::{Span, may_have};
use crate::store::{files, replica, seal};

/// The contents of a part's footer.
#[derive(Debug, Clone)]
pub struct Footer {
    /// Columns and their types.
    pub schema: SchemaRef,
    /// Rows in the part.
    pub rows: u64,
    /// Bytes of the file.
    pub bytes: u64,
    /// Metadata: the table, the schema's version, and what the writer added (e.g. the parts of the
    /// space).
    pub pairs: BTreeMap<String, String>,
    /// Whether the part has a seal; parts of version 2 of the schemas have none.
    pub sealed: bool,
}

/// Reads a part's footer.
///
/// # Errors
/// Returns [`Kind::Store`] if the file cannot be read or is not a Parquet file.
pub fn footer(part: &Path) -> Result<Footer> {
    let (file, metadata) = open(part)?;
    let bytes = file.len();
    let file = metadata.metadata().file_metadata();
    let pairs = || file.key_value_metadata().into_iter().flatten();
    Ok(Footer {
        sealed: pairs().any(|pair| pair.key == seal::KEY),
        schema: without_pairs(metadata.schema()),
        rows: u64::try_from(file.num_rows()).unwrap_or(0),
        bytes,
        pairs: pairs()
            .filter(|pair| pair.key != "ARROW:schema" && pair.key != seal::KEY)
            .map(|pair| (pair.key.clone(), pair.value.clone().unwrap_or_default()))
            .collect(),
    })
}

/// Returns the number of rows of a partition, from the footers alone.
///
/// # Errors
/// Returns [`Kind::Store`] if a footer cannot be read.
pub fn count_rows(partition: &Partition) -> Result<u64> {
    partition.listed()?.iter().try_fold(0, |sum, part| Ok(sum + footer(part)?.rows))
}

/// Passes the `image_id` of every row of a partition to `with`, so that the caller can store ids
/// compactly. Reads only that column, and verifies no checksums.
///
/// # Errors
/// Returns [`Kind::Store`] if a part cannot be read or has no such column.
pub fn each_image_id(partition: &Partition, with: impl FnMut(&str)) -> Result<()> {
    each_image_id_in(partition, None, with)
}

/// Like [`each_image_id`], but reads no part that has no id of a span. Other ids than those of the
/// span are passed, too.
///
/// # Errors
/// Fails like [`each_image_id`].
pub fn each_image_id_in(partition: &Partition, span: Option<&Span>, mut with: impl FnMut(&str)) -> Result<()> {
    for part in listed_in(partition, span)? {
        ids_of(partition, &part)?.iter().flatten().for_each(|id| with(id));
    }
    Ok(())
}

/// Returns the parts of a partition that may have an id of a span, or all of them.
///
/// # Errors
/// Returns [`Kind::Store`] if the partition cannot be listed.
pub(crate) fn listed_in(partition: &Partition, span: Option<&Span>) -> Result<Vec<PathBuf>> {
    let mut parts = partition.listed()?;
    parts.retain(|part| span.is_none_or(|span| may_have(part, span)));
    Ok(parts)
}

/// Returns the parts of a partition that have a row of a `wanted` picture, sorted by name. Reads
/// only ids, and verifies no checksums.
///
/// # Errors
/// Fails like [`each_image_id`].
pub fn parts_with(partition: &Partition, wanted: impl Fn(&str) -> bool) -> Result<Vec<PathBuf>> {
    let mut parts = Vec::new();
    for part in partition.listed()? {
        if ids_of(partition, &part)?.is_some_and(|ids| ids.iter().any(|id| wanted(id))) {
            parts.push(part);
        }
    }
    Ok(parts)
}

/// Returns the `image_id`s of a part, in order, or `None` if it turns out to be damaged and is set
/// aside.
///
/// # Errors
/// Returns [`Kind::Store`] if the part cannot be read or has no such column.
pub(crate) fn ids_of(partition: &Partition, part: &Path) -> Result<Option<Vec<String>>> {
    match read_ids(part) {
        // Until now only the footer was checked, so the part may be damaged.
        Err(error) if partition.verify(part)? => Err(error),
        Err(_) => Ok(None),
        Ok(ids) => Ok(Some(ids)),
    }
}

fn read_ids(part: &Path) -> Result<Vec<String>> {
    let mut ids = Vec::new();
    for batch in batches_of(vec![part.to_owned()], Some(&["image_id"]), 1 << 16) {
        let batch = batch?;
        let column = batch.column(0).as_string_opt::<i32>();
        let column =
            column.ok_or_else(|| Error::new(Kind::Store, format!("`image_id` in {} is not text", part.display())))?;
        ids.extend(column.iter().flatten().map(str::to_owned));
    }
    Ok(ids)
}

/// Like [`batches`], but reads only the parts that have a row of a `wanted` picture, including the
/// other rows of these parts.
///
/// # Errors
/// Fails like [`batches`] and [`each_image_id`].
pub fn batches_with(
    partition: &Partition,
    columns: Option<&[&str]>,
    batch_size: usize,
    wanted: impl Fn(&str) -> bool,
) -> Result<Batches> {
    let mut parts = Vec::new();
    for part in parts_with(partition, wanted)? {
        if partition.verify(&part)? {
            parts.push(part);
        }
    }
    Ok(batches_of(parts, columns, batch_size))
}

/// Returns the rows of `wanted` pictures alone, a batch for each part that has some: of the other
/// columns, only the pages of these rows are read.
///
/// # Errors
/// Fails like [`batches`] and [`each_image_id`].
pub fn rows_with(
    partition: &Partition,
    columns: &[&str],
    wanted: impl Fn(&str) -> bool,
) -> Result<impl Iterator<Item = Result<RecordBatch>>> {
    let mut chosen = Vec::new();
    for part in partition.listed()? {
        let ids = ids_of(partition, &part)?.unwrap_or_default();
        let filters = [BooleanArray::from_iter(ids.iter().map(|id| Some(wanted(id))))];
        let rows = RowSelection::from_filters(&filters);
        if rows.row_count() > 0 && partition.verify(&part)? {
            chosen.push((part, rows));
        }
    }
    let columns: Vec<String> = columns.iter().map(|&name| name.to_owned()).collect();
    Ok(chosen.into_iter().map(move |(part, rows)| selected(&part, &columns, rows)))
}

/// Reads some rows of a part as one batch.
fn selected(part: &Path, names: &[String], rows: RowSelection) -> Result<RecordBatch> {
    let file = Positioned::open(part)?;
    or_damaged(part, || {
        let options = ArrowReaderOptions::new().with_offset_index_policy(PageIndexPolicy::Optional);
        let metadata = ArrowReaderMetadata::load(&file, options).map_err(|cause| damaged(part).cause(cause))?;
        let mask = columns(&metadata, names, part)?;
        let count = rows.row_count();
        let reader = ParquetRecordBatchReaderBuilder::new_with_metadata(file.clone(), metadata)
            .with_projection(mask)
            .with_row_selection(rows)
            .with_batch_size(count)
            .build()
            .at(Kind::Store, "cannot read", part)?;
        let schema = without_pairs(&reader.schema());
        let batches = reader.collect::<std::result::Result<Vec<_>, _>>().map_err(|cause| damaged(part).cause(cause))?;
        let batch = concat_batches(&schema, &batches).at(Kind::Store, "cannot read", part)?;
        Ok(batch)
    })
}

/// Reads a partition's parts in the order of their names: all columns, or those of `columns` in the
/// order of the table. Batches have `batch_size` rows, except for the last of each part.
///
/// # Errors
/// Fails like [`Partition::parts`]. Errors while reading a part come with the batches.
pub fn batches(partition: &Partition, columns: Option<&[&str]>, batch_size: usize) -> Result<Batches> {
    Ok(batches_of(partition.parts()?, columns, batch_size))
}

/// Like [`batches`], but reads parts by their paths, in the order given.
pub fn batches_of(parts: Vec<PathBuf>, columns: Option<&[&str]>, batch_size: usize) -> Batches {
    Batches {
        parts: parts.into_iter(),
        columns: columns.map(|names| names.iter().map(|&name| name.to_owned()).collect()),
        batch_size: batch_size.max(1),
        current: None,
    }
}

/// Iterates over the batches of several parts; only one is open at a time. Ends after the first
/// error.
#[derive(Debug)]
pub struct Batches {
    parts: std::vec::IntoIter<PathBuf>,
    columns: Option<Vec<String>>,
    batch_size: usize,
    current: Option<(PathBuf, ParquetRecordBatchReader)>,
}

impl Batches {
    fn open(&self, part: &Path) -> Result<ParquetRecordBatchReader> {
        let (file, metadata) = open(part)?;
        let mask = match &self.columns {
            Some(names) => columns(&metadata, names, part)?,
            None => ProjectionMask::all(),
        };
        ParquetRecordBatchReaderBuilder::new_with_metadata(file, metadata)
            .with_projection(mask)
            .with_batch_size(self.batch_size)
            .build()
            .at(Kind::Store, "cannot read", part)
    }

    fn advance(&mut self) -> Result<Option<RecordBatch>> {
        loop {
            if let Some((part, reader)) = &mut self.current {
                match or_damaged(part, || Ok(reader.next()))? {
                    Some(batch) => {
                        let batch = batch.map_err(|cause| damaged(part).cause(cause))?;
                        let schema = without_pairs(batch.schema_ref());
                        let batch = RecordBatch::try_new(schema, batch.columns().to_vec());
                        return batch.at(Kind::Store, "cannot read", part).map(Some);
                    }
                    None => self.current = None,
                }
            }
            let Some(part) = self.parts.next() else { return Ok(None) };
            let reader = self.open(&part)?;
            self.current = Some((part, reader));
        }
    }
}

impl Iterator for Batches {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = self.advance();
        if next.is_err() {
            self.parts = Vec::new().into_iter();
            self.current = None;
        }
        next.transpose()
    }
}

/// Returns a schema without metadata. The Parquet reader puts the footer's pairs there, which would
/// make batches of different parts differ.
fn without_pairs(schema: &SchemaRef) -> SchemaRef {
    Arc::new(Schema::new(schema.fields().clone()))
}

pub(super) fn open(part: &Path) -> Result<(Positioned, ArrowReaderMetadata)> {
    let file = Positioned::open(part)?;
    let metadata = or_damaged(part, || {
        ArrowReaderMetadata::load(&file, ArrowReaderOptions::new()).map_err(|cause| damaged(part).cause(cause))
    })?;
    Ok((file, metadata))
}

/// Turns a panic of `read` into an error, since the Parquet reader panics on some damaged files.
pub(super) fn or_damaged<T>(part: &Path, read: impl FnOnce() -> Result<T>) -> Result<T> {
    caught(read).unwrap_or_else(|_| Err(damaged(part)))
}

pub(super) fn damaged(part: &Path) -> Error {
    let error = Error::new(Kind::Store, format!("cannot read {}", files::shown(part)));
    if replica::of(part).is_some() && !part.exists() {
        return error.hint("does the service that has the store answer? `cache verify` names files that are damaged");
    }
    error
        .hint("the file is damaged: the next run sets it aside and computes its rows anew; `cache verify` names all such files")
}

/// Returns the mask of the named top-level columns.
pub(super) fn columns<S: AsRef<str>>(
    metadata: &ArrowReaderMetadata,
    names: &[S],
    part: &Path,
) -> Result<ProjectionMask> {
    let schema = metadata.schema();
    let indices = names
        .iter()
        .map(|name| {
            let name = name.as_ref();
            schema
                .index_of(name)
                .map_err(|_| Error::new(Kind::Store, format!("there is no column `{name}` in {}", part.display())))
        })
        .collect::<Result<Vec<_>>>()?;
    Ok(ProjectionMask::roots(metadata.parquet_schema(), indices))
}
