//! Reads single pictures of a Parquet file again, in any order, after ingest has read them all.
//!
//! A picture takes one positioned read of the page that has it, and one of the dictionary if its
//! column has one, whatever the size of the row group. Pages may be large, though: pyarrow looks at
//! a page's size only after 1,024 values, so that one of its pages has up to as many pictures. Few
//! writers index the pages, so where no index is in the file, the headers of a group's pages are
//! walked the first time that one of its pictures is asked for; 24 bytes a page are kept of them.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use arrow::array::{Array, AsArray};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder, RowSelection, RowSelector,
};
use parquet::column::page::PageReader;
use parquet::errors::{ParquetError, Result as ParquetResult};
use parquet::file::metadata::{
    FileMetaData, OffsetIndexBuilder, PageIndexPolicy, ParquetMetaData, ParquetMetaDataBuilder, RowGroupMetaData,
};
use parquet::file::page_index::offset_index::OffsetIndexMetaData;
use parquet::file::reader::{ChunkReader, Length};
use parquet::file::serialized_reader::SerializedPageReader;

use super::guard::or_damaged;
use crate::error::{Context, Kind, Result};
use crate::source::place::Container;
use crate::store::positioned::{Bytes, From, Positioned};

/// The pictures of one file. May be shared between threads.
#[derive(Debug)]
pub struct Rows {
    container: Arc<Container>,
    path: PathBuf,
    file: Positioned,
    metadata: ParquetMetaData,
    /// The metadata of the whole file without what is in it for other programs.
    about: FileMetaData,
    /// The column of the pictures, among all leaves of the schema.
    leaf: usize,
    /// First row of each row group, then the total number of rows.
    starts: Vec<u64>,
    /// The pages of each row group, once they are known.
    pages: Vec<OnceLock<OffsetIndexMetaData>>,
}

impl Rows {
    /// Opens a file that was ingested.
    ///
    /// # Errors
    /// Returns [`Kind::Input`] if the file cannot be read, or has changed since.
    pub fn open(container: &Arc<Container>) -> Result<Rows> {
        let path = container.path.clone();
        let file = Positioned::new(container.open()?.0);
        let options = ArrowReaderOptions::new()
            .with_offset_index_policy(PageIndexPolicy::Optional)
            .with_column_index_policy(PageIndexPolicy::Skip);
        let metadata = or_damaged(&path, || {
            ArrowReaderMetadata::load(&file, options).at(Kind::Input, "cannot read as Parquet:", &path)
        });
        let metadata = metadata.map_err(|error| error.hint(container.again()))?.metadata().as_ref().clone();
        let column = container.column.as_deref().unwrap_or_default();
        let schema = metadata.file_metadata().schema_descr_ptr();
        let leaf = schema.columns().iter().position(|leaf| match leaf.path().parts() {
            [own] => own == column,
            [own, child] => own == column && child == "bytes",
            _ => false,
        });
        let leaf = leaf.ok_or_else(|| container.refused(&format!("has no column `{column}` any more")))?;
        let mut starts = vec![0];
        for group in metadata.row_groups() {
            starts.push(starts.last().copied().unwrap_or(0) + group.num_rows().max(0).cast_unsigned());
        }
        let pages = metadata.row_groups().iter().map(|_| OnceLock::new()).collect();
        let about = metadata.file_metadata();
        let about = FileMetaData::new(about.version(), about.num_rows(), None, None, schema, None);
        Ok(Rows { container: Arc::clone(container), path, file, metadata, about, leaf, starts, pages })
    }

    /// Returns the encoded picture of a row.
    ///
    /// # Errors
    /// Returns [`Kind::Input`] if the file has no such picture any more, or cannot be read.
    pub fn read(&self, row: u64) -> Result<Vec<u8>> {
        let group = self.starts.partition_point(|start| *start <= row);
        let found = match group.checked_sub(1).filter(|_| group < self.starts.len()) {
            Some(group) => {
                let read = || self.of_group(group, row - self.starts[group]);
                or_damaged(&self.path, || read().at(Kind::Input, "cannot read rows of Parquet file", &self.path))
            }
            None => Ok(None),
        };
        found
            .map_err(|error| error.hint(self.container.again()))?
            .ok_or_else(|| self.container.refused(&format!("has no picture in row {row} any more")))
    }

    fn of_group(&self, group: usize, row: u64) -> ParquetResult<Option<Vec<u8>>> {
        let columns = self.metadata.row_group(group).num_columns();
        let mut pages = vec![OffsetIndexBuilder::new().build(); columns];
        pages[self.leaf] = self.pages(group)?.clone();
        let metadata = ParquetMetaDataBuilder::new(self.about.clone())
            .add_row_group(self.metadata.row_group(group).clone())
            .set_offset_index(Some(vec![pages]))
            .build();
        let metadata = ArrowReaderMetadata::try_new(Arc::new(metadata), ArrowReaderOptions::new())?;
        let mask = ProjectionMask::leaves(metadata.parquet_schema(), [self.leaf]);
        let row = usize::try_from(row).map_err(|error| ParquetError::External(Box::new(error)))?;
        let mut reader = ParquetRecordBatchReaderBuilder::new_with_metadata(self.file.clone(), metadata)
            .with_projection(mask)
            .with_row_selection(RowSelection::from(vec![RowSelector::skip(row), RowSelector::select(1)]))
            .with_batch_size(1)
            .build()?;
        let Some(batch) = reader.next().transpose()?.filter(|batch| batch.num_rows() == 1) else { return Ok(None) };
        let mut column = batch.column(0).clone();
        while let Some(whole) = column.as_struct_opt() {
            let inner = whole.columns().first().filter(|_| whole.is_valid(0)).cloned();
            let Some(inner) = inner else { return Ok(None) };
            column = inner;
        }
        let bytes = cast(&column, &DataType::LargeBinary)?;
        Ok(bytes.is_valid(0).then(|| bytes.as_binary::<i64>().value(0).to_vec()))
    }

    /// Returns the pages of a row group.
    fn pages(&self, group: usize) -> ParquetResult<&OffsetIndexMetaData> {
        if let Some(known) = self.pages[group].get() {
            return Ok(known);
        }
        let stored = self.metadata.offset_index().and_then(|index| index.get(group)?.get(self.leaf));
        let found = match stored.filter(|index| !index.page_locations().is_empty()) {
            Some(stored) => stored.clone(),
            None => self.walked(self.metadata.row_group(group))?,
        };
        Ok(self.pages[group].get_or_init(|| found))
    }

    /// Finds the pages of a row group by their headers.
    fn walked(&self, group: &RowGroupMetaData) -> ParquetResult<OffsetIndexMetaData> {
        let chunk = group.column(self.leaf);
        let headers = Arc::new(Headers { file: self.file.clone(), last: AtomicU64::new(0) });
        let rows = usize::try_from(group.num_rows()).unwrap_or(0);
        let mut reader = SerializedPageReader::new(Arc::clone(&headers), chunk, rows, None)?;
        let (mut pages, mut left) = (Vec::new(), group.num_rows());
        while let Some(page) = reader.peek_next_page()? {
            if !page.is_dict {
                // The column is in no list, so that each of its levels is a row.
                let rows = page.num_rows.or(page.num_levels).map_or(0, |rows| rows as i64).min(left);
                left -= rows;
                pages.push((headers.last.load(Ordering::Relaxed), rows));
            }
            reader.skip_next_page()?;
        }
        let (start, length) = chunk.byte_range();
        let ends = pages.iter().skip(1).map(|(begin, _)| *begin).chain([start.saturating_add(length)]);
        let mut index = OffsetIndexBuilder::new();
        for ((begin, rows), end) in pages.iter().zip(ends) {
            let size = end.checked_sub(*begin).and_then(|size| i32::try_from(size).ok());
            let size = size.ok_or_else(|| ParquetError::General("a page is too large".to_owned()))?;
            index.append_row_count(*rows);
            index.append_offset_and_size(begin.cast_signed(), size);
        }
        Ok(index.build())
    }
}

/// A file that remembers where it was last read from: the reader of pages does not say where they
/// begin.
struct Headers {
    file: Positioned,
    last: AtomicU64,
}

impl Length for Headers {
    fn len(&self) -> u64 {
        self.file.len()
    }
}

impl ChunkReader for Headers {
    type T = std::io::BufReader<From>;

    fn get_read(&self, start: u64) -> ParquetResult<Self::T> {
        self.last.store(start, Ordering::Relaxed);
        self.file.get_read(start)
    }

    fn get_bytes(&self, start: u64, length: usize) -> ParquetResult<Bytes> {
        self.file.get_bytes(start, length)
    }
}
