//! Refuses pages that are unsafe to decode. For two encodings the Parquet reader allocates memory
//! for as many values as a page claims before it looks for them: thirty bytes can ask for more than
//! there is, which ends the process, and no caller can prevent that. Writers use these encodings
//! only when asked to.

use std::fs::File;
use std::sync::Arc;

use arrow::datatypes::Schema;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, RowGroups};
use parquet::arrow::{ProjectionMask, parquet_to_arrow_field_levels, parquet_to_arrow_schema};
use parquet::basic::Encoding;
use parquet::column::page::{Page, PageIterator, PageMetadata, PageReader};
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::{FileMetaData, ParquetMetaData, RowGroupMetaData};
use parquet::file::reader::FileReader;
use parquet::file::serialized_reader::SerializedFileReader;

use super::types::{self, Pictures};

/// An open file whose pages are checked before they are decoded.
pub(super) struct Pages {
    file: Arc<dyn FileReader>,
    schema: Schema,
}

impl Pages {
    /// Opens a file and reads its footer.
    ///
    /// # Errors
    /// Fails if the file is not Parquet.
    pub(super) fn open(file: File) -> Result<Self> {
        let file = SerializedFileReader::new(file)?;
        let footer = file.metadata().file_metadata();
        let schema = parquet_to_arrow_schema(footer.schema_descr(), footer.key_value_metadata())?;
        Ok(Pages { file: Arc::new(file), schema })
    }

    /// Returns the file's columns, as Arrow types.
    pub(super) fn schema(&self) -> &Schema {
        &self.schema
    }

    /// Returns the footer's metadata of the whole file.
    pub(super) fn footer(&self) -> &FileMetaData {
        self.metadata().file_metadata()
    }

    /// Reads batches of at most `rows` rows, of these columns only; a column that the file lacks is
    /// left out.
    ///
    /// # Errors
    /// Fails if the footer contradicts itself.
    pub(super) fn read(&self, columns: &[&str], rows: usize) -> Result<ParquetRecordBatchReader> {
        let places = columns.iter().filter_map(|name| self.schema.index_of(name).ok());
        self.read_masked(ProjectionMask::roots(self.footer().schema_descr(), places), rows)
    }

    /// Reads the paths of a column of pictures, without the pictures.
    ///
    /// # Errors
    /// Fails if the footer contradicts itself.
    pub(super) fn read_paths(&self, image: &str, rows: usize) -> Result<ParquetRecordBatchReader> {
        self.read_masked(ProjectionMask::leaves(self.footer().schema_descr(), self.leaves(image, "path")), rows)
    }

    /// Returns whether some pictures of a column may be files of their own: whether it has paths,
    /// and not bytes in every row.
    pub(super) fn may_be_elsewhere(&self, image: &str) -> bool {
        if self.leaves(image, "path").is_empty() {
            return false;
        }
        let missing = |leaf: usize, group: &RowGroupMetaData| {
            let statistics = group.columns().get(leaf).and_then(|column| column.statistics());
            statistics.and_then(|statistics| statistics.null_count_opt()) != Some(0)
        };
        let bytes = self.leaves(image, "bytes");
        bytes.is_empty() || bytes.iter().any(|leaf| self.row_groups().any(|group| missing(*leaf, group)))
    }

    /// Returns the places of the field of a column, or of the column itself if it is text.
    fn leaves(&self, column: &str, field: &str) -> Vec<usize> {
        let leaves = self.footer().schema_descr().columns().iter().enumerate();
        let is = |parts: &[String]| match parts {
            [own] => own == column && field == "path" && self.holds_paths(column),
            [own, child] => own == column && child == field,
            _ => false,
        };
        leaves.filter(|(_, leaf)| is(leaf.path().parts())).map(|(place, _)| place).collect()
    }

    fn holds_paths(&self, column: &str) -> bool {
        let field = self.schema.field_with_name(column);
        field.is_ok_and(|field| types::pictures(field.data_type()) == Some(Pictures::Paths))
    }

    fn read_masked(&self, mask: ProjectionMask, rows: usize) -> Result<ParquetRecordBatchReader> {
        let fields = parquet_to_arrow_field_levels(self.footer().schema_descr(), mask, Some(self.schema.fields()))?;
        ParquetRecordBatchReader::try_new_with_row_groups(&fields, self, rows, None)
    }
}

impl RowGroups for Pages {
    fn num_rows(&self) -> usize {
        self.file.num_rows()
    }

    fn column_chunks(&self, column: usize) -> Result<Box<dyn PageIterator>> {
        Ok(Box::new(Chunks(self.file.column_chunks(column)?)))
    }

    fn row_groups(&self) -> Box<dyn Iterator<Item = &RowGroupMetaData> + '_> {
        self.file.row_groups()
    }

    fn metadata(&self) -> &ParquetMetaData {
        FileReader::metadata(self.file.as_ref())
    }
}

struct Chunks(Box<dyn PageIterator>);

impl Iterator for Chunks {
    type Item = Result<Box<dyn PageReader>>;

    fn next(&mut self) -> Option<Self::Item> {
        let pages = self.0.next()?;
        Some(pages.map(|pages| Box::new(Checked(pages)) as Box<dyn PageReader>))
    }
}

impl PageIterator for Chunks {}

struct Checked(Box<dyn PageReader>);

impl Iterator for Checked {
    type Item = Result<Page>;

    fn next(&mut self) -> Option<Self::Item> {
        self.get_next_page().transpose()
    }
}

impl PageReader for Checked {
    fn get_next_page(&mut self) -> Result<Option<Page>> {
        let page = self.0.get_next_page()?;
        match page.as_ref().map(Page::encoding) {
            Some(encoding @ (Encoding::DELTA_LENGTH_BYTE_ARRAY | Encoding::DELTA_BYTE_ARRAY)) => Err(
                ParquetError::NYI(format!("{encoding} is not read here, write the file with PLAIN or a dictionary")),
            ),
            _ => Ok(page),
        }
    }

    fn peek_next_page(&mut self) -> Result<Option<PageMetadata>> {
        self.0.peek_next_page()
    }

    fn skip_next_page(&mut self) -> Result<()> {
        self.0.skip_next_page()
    }

    fn at_record_boundary(&mut self) -> Result<bool> {
        self.0.at_record_boundary()
    }
}
