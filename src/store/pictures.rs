//! Reads one picture at a time from an `images` part: training draws pictures in shuffled order.
//!
//! Parts have one page per picture in the column `bytes`, plain and uncompressed
//! ([`super::encoding`]). The page index is loaded once; a picture then takes one positioned read,
//! whatever the part's size.

use std::path::{Path, PathBuf};

use arrow::array::{Array, AsArray};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder, RowSelection, RowSelector,
};
use parquet::file::metadata::PageIndexPolicy;

use crate::error::{Context, Error, Kind, Result};
use crate::store::positioned::Positioned;
use crate::store::{files, reader};

/// Reads pictures of one part by row. May be shared between threads.
#[derive(Debug)]
pub struct PictureReader {
    path: PathBuf,
    file: Positioned,
    metadata: ArrowReaderMetadata,
    mask: ProjectionMask,
    /// First row of each row group, then the total number of rows.
    starts: Vec<usize>,
}

impl PictureReader {
    /// Opens a part of `images` and loads its page index.
    ///
    /// # Errors
    /// Returns [`Kind::Store`] if the part cannot be read or has no column `bytes` of type binary.
    pub fn open(part: &Path) -> Result<PictureReader> {
        let file = Positioned::new(files::open(part)?);
        let options = ArrowReaderOptions::new()
            .with_offset_index_policy(PageIndexPolicy::Optional)
            .with_column_index_policy(PageIndexPolicy::Skip);
        let metadata = ArrowReaderMetadata::load(&file, options).at(Kind::Store, "cannot read", part)?;
        let column = metadata
            .schema()
            .index_of("bytes")
            .ok()
            .filter(|i| metadata.schema().field(*i).data_type() == &arrow::datatypes::DataType::Binary)
            .ok_or_else(|| Error::new(Kind::Store, format!("{} has no column `bytes` of pictures", part.display())))?;
        let mask = ProjectionMask::roots(metadata.parquet_schema(), [column]);
        let mut starts = vec![0];
        for group in metadata.metadata().row_groups() {
            let rows = usize::try_from(group.num_rows()).context(Kind::Store, || "a row group is too large".into())?;
            starts.push(starts.last().copied().unwrap_or(0) + rows);
        }
        Ok(PictureReader { path: part.to_owned(), file, metadata, mask, starts })
    }

    /// Returns the number of rows in the part.
    pub fn rows(&self) -> usize {
        self.starts.last().copied().unwrap_or(0)
    }

    /// Returns the encoded picture of a row, or `None` if the row has none (its source is a
    /// separate file).
    ///
    /// # Errors
    /// Returns [`Kind::Store`] if there is no such row, or the part cannot be read.
    pub fn read(&self, row: usize) -> Result<Option<Vec<u8>>> {
        let group = self.starts.partition_point(|start| *start <= row);
        if group == 0 || group >= self.starts.len() {
            let what = format!("there is no row {row} in {}: it has {}", self.path.display(), self.rows());
            return Err(Error::new(Kind::Store, what));
        }
        reader::or_damaged(&self.path, || self.read_from(group - 1, row))
    }

    fn read_from(&self, group: usize, row: usize) -> Result<Option<Vec<u8>>> {
        let before = row - self.starts[group];
        let selection = RowSelection::from(vec![RowSelector::skip(before), RowSelector::select(1)]);
        let reader = ParquetRecordBatchReaderBuilder::new_with_metadata(self.file.clone(), self.metadata.clone())
            .with_row_groups(vec![group])
            .with_projection(self.mask.clone())
            .with_row_selection(selection)
            .with_batch_size(1)
            .build()
            .at(Kind::Store, "cannot read", &self.path)?;
        for batch in reader {
            let batch = batch.at(Kind::Store, "cannot read", &self.path)?;
            if let Some(pictures) = batch.column(0).as_binary_opt::<i32>().filter(|p| p.len() == 1) {
                return Ok(pictures.is_valid(0).then(|| pictures.value(0).to_vec()));
            }
        }
        Err(Error::new(Kind::Store, format!("row {row} of {} could not be read", self.path.display())))
    }
}
