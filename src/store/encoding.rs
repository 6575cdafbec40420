//! Chooses how each type of column is written. Measured on this project's data, the writer's
//! defaults (dictionary for every column, row groups of 1,048,576 rows whatever their size) suit
//! neither vectors nor tensors.

use arrow::datatypes::{DataType, Field, Schema};
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesBuilder};
use parquet::schema::types::ColumnPath;

use crate::error::{Context, Kind, Result};

/// Maximum bytes of a row group: what a reader holds at a time, and a writer in memory before it
/// writes.
const ROW_GROUP_BYTES: usize = 32 << 20;

/// Maximum rows of a row group, for tables with small rows.
const ROW_GROUP_ROWS: usize = 1 << 17;

/// Assumed bytes of a value whose type does not give its size: an id, a path, a sentence.
const VARIABLE_BYTES: usize = 64;

/// Returns the writer properties for parts with this schema.
pub(super) fn properties(schema: &Schema, footer: Vec<KeyValue>) -> Result<WriterProperties> {
    let zstd = ZstdLevel::try_new(1).context(Kind::Store, || "cannot set the compression".into())?;
    let row: usize = schema.fields().iter().map(|f| row_bytes(f.data_type())).sum();
    let builder = WriterProperties::builder()
        .set_created_by(concat!("microclip-pipe ", env!("CARGO_PKG_VERSION")).to_owned())
        .set_key_value_metadata(Some(footer))
        .set_compression(Compression::ZSTD(zstd))
        .set_max_row_group_row_count(Some((ROW_GROUP_BYTES / row.max(1)).clamp(1, ROW_GROUP_ROWS)))
        // The schema does not give the size of pictures.
        .set_max_row_group_bytes(Some(ROW_GROUP_BYTES));
    let has_pictures = schema.fields().iter().any(|f| f.data_type() == &DataType::Binary);
    // A page ends only after a batch of values: one picture per page needs batches of one.
    let builder = if has_pictures { builder.set_write_batch_size(1) } else { builder };
    Ok(schema.fields().iter().fold(builder, |builder, field| column(builder, field)).build())
}

/// Adds the settings of one column. Paths are given as lists: a dotted string would be a single
/// name that matches nothing.
fn column(builder: WriterPropertiesBuilder, field: &Field) -> WriterPropertiesBuilder {
    let path = ColumnPath::new(vec![field.name().clone()]);
    match field.data_type() {
        DataType::FixedSizeList(item, _) if item.data_type() == &DataType::Float32 => {
            let path = ColumnPath::new(vec![field.name().clone(), "list".into(), item.name().clone()]);
            plain_bytes(builder, path)
        }
        DataType::FixedSizeBinary(_) => plain_bytes(builder, path),
        // Cosines are all different.
        DataType::List(item) if item.data_type() == &DataType::Float32 => {
            let path = ColumnPath::new(vec![field.name().clone(), "list".into(), item.name().clone()]);
            builder.set_column_dictionary_enabled(path, false)
        }
        // One picture per page, so that one can be read without its neighbours (see `pictures`).
        DataType::Binary => plain_bytes(builder, path.clone()).set_column_data_page_size_limit(path, 1),
        _ => builder,
    }
}

/// Neither half-precision tokens nor cosines shrink by much (10 % with byte streams under zstd),
/// and plain bytes are read in place, at the disk's speed (see [`super::column`]).
fn plain_bytes(builder: WriterPropertiesBuilder, path: ColumnPath) -> WriterPropertiesBuilder {
    builder
        .set_column_dictionary_enabled(path.clone(), false)
        .set_column_statistics_enabled(path.clone(), EnabledStatistics::None)
        .set_column_compression(path.clone(), Compression::UNCOMPRESSED)
        .set_column_encoding(path, Encoding::PLAIN)
}

fn row_bytes(data_type: &DataType) -> usize {
    match data_type {
        DataType::FixedSizeList(item, width) => row_bytes(item.data_type()).saturating_mul((*width).max(0) as usize),
        DataType::FixedSizeBinary(width) => (*width).max(0) as usize,
        other => other.primitive_width().unwrap_or(VARIABLE_BYTES),
    }
}
