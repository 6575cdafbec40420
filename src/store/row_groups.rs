//! Reads single rows of a part, a row group at a time: rows that are asked for in about the order
//! in which they were written cost one reading of each group.

use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ParquetRecordBatchReaderBuilder};

use crate::error::{Context, Error, Kind, Result};
use crate::store::positioned::Positioned;
use crate::store::reader;

/// Some columns of one part, of which one row group is in memory.
#[derive(Debug)]
pub struct RowGroups {
    path: PathBuf,
    file: Positioned,
    metadata: ArrowReaderMetadata,
    mask: ProjectionMask,
    /// First row of each row group, then the total number of rows.
    starts: Vec<usize>,
    /// The group that was read last, by its number.
    read: Option<(usize, RecordBatch)>,
}

impl RowGroups {
    /// Opens a part for reading these columns.
    ///
    /// # Errors
    /// Returns [`Kind::Store`] if the part cannot be read or lacks a column.
    pub fn open(part: &Path, columns: &[&str]) -> Result<RowGroups> {
        let (file, metadata) = reader::open(part)?;
        let mask = reader::columns(&metadata, columns, part)?;
        let mut starts = vec![0];
        for group in metadata.metadata().row_groups() {
            let rows = usize::try_from(group.num_rows()).context(Kind::Store, || "a row group is too large".into())?;
            starts.push(starts.last().copied().unwrap_or(0) + rows);
        }
        Ok(RowGroups { path: part.to_owned(), file, metadata, mask, starts, read: None })
    }

    /// Returns the row group that has a row, and the row's place in it.
    ///
    /// # Errors
    /// Returns [`Kind::Store`] if there is no such row, or the part cannot be read.
    pub fn with_row(&mut self, row: usize) -> Result<(&RecordBatch, usize)> {
        let group = self.starts.partition_point(|start| *start <= row);
        if group == 0 || group >= self.starts.len() {
            let rows = self.starts.last().copied().unwrap_or(0);
            let what = format!("there is no row {row} in {}: it has {rows}", self.path.display());
            return Err(Error::new(Kind::Store, what));
        }
        let (group, before) = (group - 1, row - self.starts[group - 1]);
        let batch = match self.read.take() {
            Some((number, batch)) if number == group => batch,
            _ => reader::or_damaged(&self.path, || self.group(group))?,
        };
        Ok((&self.read.insert((group, batch)).1, before))
    }

    fn group(&self, group: usize) -> Result<RecordBatch> {
        let rows = self.starts[group + 1] - self.starts[group];
        let mut batches = ParquetRecordBatchReaderBuilder::new_with_metadata(self.file.clone(), self.metadata.clone())
            .with_row_groups(vec![group])
            .with_projection(self.mask.clone())
            .with_batch_size(rows)
            .build()
            .at(Kind::Store, "cannot read", &self.path)?;
        match batches.next() {
            Some(Ok(batch)) if batch.num_rows() == rows => Ok(batch),
            Some(Err(cause)) => Err(reader::damaged(&self.path).cause(cause)),
            _ => Err(reader::damaged(&self.path)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, AsArray, Int32Array};
    use arrow::datatypes::Int32Type;
    use parquet::arrow::ArrowWriter;
    use parquet::file::properties::WriterProperties;

    use super::*;

    #[test]
    fn any_row_is_found_in_any_order() {
        let part = tempfile::NamedTempFile::new().unwrap();
        let column: ArrayRef = Arc::new(Int32Array::from_iter_values(0..25));
        let batch = RecordBatch::try_from_iter([("other", column.clone()), ("number", column)]).unwrap();
        let properties = WriterProperties::builder().set_max_row_group_row_count(Some(10)).build();
        let mut writer = ArrowWriter::try_new(part.reopen().unwrap(), batch.schema(), Some(properties)).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();

        let mut groups = RowGroups::open(part.path(), &["number"]).unwrap();
        for row in [0, 9, 10, 24, 3, 19, 20] {
            let (batch, place) = groups.with_row(row).unwrap();
            assert_eq!(batch.column(0).as_primitive::<Int32Type>().value(place), row as i32);
            assert_eq!(batch.num_columns(), 1);
        }
        assert!(groups.with_row(25).unwrap_err().to_string().contains("no row 25"));
        assert!(RowGroups::open(part.path(), &["none"]).is_err());
    }
}
