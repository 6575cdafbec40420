//! Reads any rows of a column whose rows all have the same number of bytes, such as patch tokens or
//! logits: training draws pictures in shuffled order, and a table of logits is read many times.
//!
//! Such columns are plain and uncompressed ([`super::encoding`]), so the bytes of a page's rows lie
//! at its end, one row after the other. The pages' places are loaded once; a row is then one
//! positioned read, which takes it out of the kernel's cache of the file. Nothing is held in
//! memory.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use arrow::datatypes::{DataType, Field, FieldRef};
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use parquet::basic::{Compression, Encoding};
use parquet::file::metadata::{ColumnChunkMetaData, PageIndexPolicy};

use crate::error::{Context, Error, Kind, Result};
use crate::store::{files, reader};

/// The rows of a column of several parts, in the order of the parts. May be shared between threads.
#[derive(Debug)]
pub struct Column {
    parts: Vec<Part>,
    /// The column in the last part's schema.
    field: Option<FieldRef>,
    width: usize,
    rows: u64,
}

/// A part, open for reading.
#[derive(Debug)]
struct Part {
    path: PathBuf,
    file: File,
    pages: Vec<Page>,
}

/// A page's rows.
#[derive(Debug, Clone, Copy)]
struct Page {
    /// The first row, counted over all parts.
    first: u64,
    /// The number of rows.
    rows: u64,
    /// Where the first row's bytes begin in the file.
    at: u64,
}

impl Column {
    /// Opens a column of parts, in their order; `None` if one was not written plainly, as vectors
    /// of earlier versions of this program were not. All must have rows of the same length.
    ///
    /// # Errors
    /// Returns [`Kind::Store`] if a part cannot be read or has no such column.
    pub fn open(parts: &[PathBuf], column: &str) -> Result<Option<Column>> {
        let mut opened = Column { parts: Vec::with_capacity(parts.len()), field: None, width: 0, rows: 0 };
        for path in parts {
            let Some((part, field, width)) = reader::or_damaged(path, || open(path, column, opened.rows))? else {
                return Ok(None);
            };
            if !opened.parts.is_empty() && width != opened.width {
                let what = format!("`{column}` has rows of {width} bytes in {}, not {}", path.display(), opened.width);
                return Err(Error::new(Kind::Store, what));
            }
            (opened.field, opened.width) = (Some(field), width);
            opened.rows += part.pages.iter().map(|page| page.rows).sum::<u64>();
            opened.parts.push(part);
        }
        Ok(Some(opened))
    }

    /// Returns the number of rows.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Returns the column's type and metadata; `None` if there is no part.
    pub fn field(&self) -> Option<&Field> {
        self.field.as_deref()
    }

    /// Returns the bytes of a row; 0 if there is no part.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Reads consecutive rows, from this one on, into whole rows of bytes.
    ///
    /// # Errors
    /// Returns [`Kind::Store`] if there are no such rows, or a part cannot be read.
    pub fn read(&self, mut row: u64, mut into: &mut [u8]) -> Result<()> {
        while !into.is_empty() {
            let none = || Error::new(Kind::Store, format!("there is no row {row} among {}", self.rows));
            let starts = |part: &Part| part.pages.first().is_none_or(|page| page.first <= row);
            let part = self.parts.partition_point(starts).checked_sub(1).ok_or_else(none)?;
            let Part { path, file, pages } = &self.parts[part];
            let page = pages.partition_point(|page| page.first <= row).checked_sub(1).ok_or_else(none)?;
            let Page { first, rows, at } = pages[page];
            if row >= first + rows {
                return Err(none());
            }
            let width = self.width as u64;
            let bytes = ((first + rows - row) * width).min(into.len() as u64) as usize;
            let (these, rest) = into.split_at_mut(bytes);
            file.read_exact_at(these, at + (row - first) * width).at(Kind::Store, "cannot read", path)?;
            row += bytes as u64 / width;
            into = rest;
        }
        Ok(())
    }
}

/// Opens a part whose first row is the row `first` of all parts, and returns the column and the
/// bytes of a row, too; `None` if it was not written plainly.
fn open(path: &Path, column: &str, first: u64) -> Result<Option<(Part, FieldRef, usize)>> {
    let refuse = |what: &str| Error::new(Kind::Store, format!("`{column}` of {} {what}", path.display()));
    let file = files::open(path)?;
    let options = ArrowReaderOptions::new()
        .with_offset_index_policy(PageIndexPolicy::Required)
        .with_column_index_policy(PageIndexPolicy::Skip);
    let metadata = ArrowReaderMetadata::load(&file, options).at(Kind::Store, "cannot read", path)?;
    let (_, field) = metadata.schema().fields().find(column).ok_or_else(|| refuse("does not exist"))?;
    let width = width(field).ok_or_else(|| refuse("has rows of different lengths"))?;
    let leaves = metadata.parquet_schema().columns();
    let leaf = leaves.iter().position(|leaf| leaf.path().parts().first().is_some_and(|name| name == column));
    let leaf = leaf.ok_or_else(|| refuse("does not exist"))?;
    let groups = metadata.metadata().row_groups();
    let index = metadata.metadata().offset_index().map_or(&[][..], Vec::as_slice);
    if index.len() < groups.len() {
        return Err(refuse("has no index of its pages"));
    }

    let mut pages = Vec::new();
    let mut before = first;
    for (group, index) in groups.iter().zip(index) {
        if !is_plain(group.column(leaf)) {
            return Ok(None);
        }
        let locations = index.get(leaf).map(|index| index.page_locations().as_slice()).unwrap_or_default();
        let ends = locations.iter().skip(1).map(|next| next.first_row_index).chain([group.num_rows()]);
        for (location, end) in locations.iter().zip(ends) {
            let rows = u64::try_from(end - location.first_row_index).unwrap_or(0);
            let page_end = location.offset + i64::from(location.compressed_page_size);
            let at = u64::try_from(page_end).ok().and_then(|end| end.checked_sub(rows * width as u64));
            let at =
                at.filter(|at| *at > location.offset.cast_unsigned()).ok_or_else(|| refuse("has pages too short"))?;
            pages.push(Page { first: before + location.first_row_index.cast_unsigned(), rows, at });
        }
        before += group.num_rows().cast_unsigned();
    }
    Ok(Some((Part { path: path.to_owned(), file, pages }, field.clone(), width)))
}

/// Returns the bytes of a row of a column without nulls; `None` if rows differ in length.
fn width(field: &Field) -> Option<usize> {
    match field.data_type() {
        _ if field.is_nullable() => None,
        DataType::FixedSizeBinary(width) => usize::try_from(*width).ok(),
        DataType::FixedSizeList(item, length) if !item.is_nullable() => {
            Some(item.data_type().primitive_width()? * usize::try_from(*length).ok()?)
        }
        _ => None,
    }
    .filter(|width| *width > 0)
}

/// Returns whether the values of a column's pages are there as they are. Lengths of lists are
/// run-length encoded, in front of the values.
fn is_plain(chunk: &ColumnChunkMetaData) -> bool {
    chunk.compression() == Compression::UNCOMPRESSED
        && chunk.dictionary_page_offset().is_none()
        && chunk.encodings().all(|encoding| matches!(encoding, Encoding::PLAIN | Encoding::RLE))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    use arrow::array::{ArrayRef, FixedSizeBinaryArray, FixedSizeListArray, Float32Array, RecordBatch, StringArray};
    use arrow::buffer::Buffer;
    use arrow::datatypes::Schema;

    use crate::store::Store;

    /// Writes parts of `rows` rows each, whose numbers count on from part to part.
    fn written(rows: &[usize], width: usize) -> (tempfile::TempDir, Vec<PathBuf>) {
        let dir = tempfile::tempdir().unwrap();
        let partition = Store::open(dir.path()).unwrap().partition("numbers", "all").unwrap();
        let mut next = 0;
        let parts = rows.iter().enumerate().map(|(part, rows)| {
            let numbers: Vec<f32> = (next..next + rows * width).map(|n| n as f32).collect();
            next += rows * width;
            let bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
            let ids: ArrayRef = Arc::new(StringArray::from_iter_values((0..*rows).map(|row| format!("{part}-{row}"))));
            let item = Arc::new(Field::new_list_field(DataType::Float32, false));
            let lists = FixedSizeListArray::new(item, width as i32, Arc::new(Float32Array::from(numbers)), None);
            let tokens = FixedSizeBinaryArray::new(4 * width as i32, Buffer::from_vec(bytes), None);
            let (lists, tokens): (ArrayRef, ArrayRef) = (Arc::new(lists), Arc::new(tokens));
            let fields = [("image_id", &ids), ("logits", &lists), ("tokens", &tokens)];
            let schema =
                Schema::new(fields.map(|(name, array)| Field::new(name, array.data_type().clone(), false)).to_vec());
            let batch = RecordBatch::try_new(Arc::new(schema), vec![ids, lists, tokens]).unwrap();
            partition.write_part(&format!("part-{part:05}"), &batch.schema(), &[batch], &[]).unwrap().path
        });
        let parts = parts.collect();
        (dir, parts)
    }

    fn rows(column: &Column, from: u64, rows: usize) -> Vec<f32> {
        let mut bytes = vec![0; rows * column.width()];
        column.read(from, &mut bytes).unwrap();
        bytes.chunks_exact(4).map(|number| f32::from_le_bytes(number.try_into().unwrap())).collect()
    }

    #[test]
    fn any_rows_are_read_across_pages_groups_and_parts() {
        // Rows of 8 kB: pages of 1 MB, and groups of 2,000 rows.
        let (_dir, parts) = written(&[5_000, 1, 300], 2_000);
        for name in ["logits", "tokens"] {
            let column = Column::open(&parts, name).unwrap().unwrap();
            assert_eq!((column.rows(), column.width()), (5_301, 8_000));
            assert!(column.parts[0].pages.len() > 2, "{name}: {} pages", column.parts[0].pages.len());
            for (from, count) in [(0, 1), (4_999, 3), (1_999, 2), (130, 700), (5_300, 1), (0, 5_301)] {
                let found = rows(&column, from, count);
                assert!(found.iter().zip(from * 2_000..).all(|(found, n)| *found == n as f32), "{name} {from} {count}");
            }
            assert!(column.read(5_300, &mut vec![0; 16_000]).is_err());
            assert!(column.read(9_999, &mut [0; 8_000]).is_err());
        }
    }

    #[test]
    fn columns_of_other_kinds_are_refused() {
        let (_dir, parts) = written(&[3], 2);
        for (name, what) in [("image_id", "rows of different lengths"), ("logit", "does not exist")] {
            let error = Column::open(&parts, name).unwrap_err().to_string();
            assert!(error.contains(what), "{error}");
        }
        assert_eq!(Column::open(&[], "logits").unwrap().unwrap().rows(), 0);
    }
}
