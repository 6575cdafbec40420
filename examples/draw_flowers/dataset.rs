//! Writes pictures as the Hugging Face `datasets` library does: one Parquet file a split, class
//! names in the metadata.

use arrow::array::{ArrayRef, BinaryArray, Int64Array, RecordBatch, StringArray, StructArray};
use arrow::datatypes::{DataType, Field, Fields, Schema};
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use serde_json::json;
use std::collections::HashMap;
use std::error::Error;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

/// An encoded picture and its class.
pub struct Picture {
    pub jpeg: Vec<u8>,
    pub label: i64,
}

/// Rows per row group: small, so that a reader can stream.
const ROW_GROUP: usize = 200;

/// Writes `image: struct<bytes, path>, label: int64`; returns the file's length in bytes.
pub fn write(file: &Path, split: &str, pictures: &[Picture], names: &[&str]) -> Result<u64, Box<dyn Error>> {
    let parts =
        Fields::from(vec![Field::new("bytes", DataType::Binary, true), Field::new("path", DataType::Utf8, true)]);
    let features = json!({"info": {"features": {
        "image": {"_type": "Image"},
        "label": {"names": names, "_type": "ClassLabel"},
    }}})
    .to_string();
    let schema = Arc::new(Schema::new_with_metadata(
        vec![Field::new("image", DataType::Struct(parts.clone()), true), Field::new("label", DataType::Int64, true)],
        HashMap::from([("huggingface".to_owned(), features.clone())]),
    ));
    // The pictures are compressed already, and no two are alike.
    let properties = WriterProperties::builder()
        .set_compression(Compression::UNCOMPRESSED)
        .set_dictionary_enabled(false)
        .set_max_row_group_row_count(Some(ROW_GROUP))
        .set_key_value_metadata(Some(vec![KeyValue::new("huggingface".to_owned(), features)]))
        .build();
    let output = File::create(file)?;
    let mut writer = ArrowWriter::try_new(output, schema.clone(), Some(properties))?;
    let bytes: ArrayRef = Arc::new(BinaryArray::from_iter_values(pictures.iter().map(|picture| &picture.jpeg)));
    // The path says nothing of the class.
    let paths = (0..pictures.len()).map(|index| format!("{split}_{index:04}.jpg"));
    let paths: ArrayRef = Arc::new(StringArray::from_iter_values(paths));
    let images = StructArray::new(parts, vec![bytes, paths], None);
    let labels = Int64Array::from_iter_values(pictures.iter().map(|picture| picture.label));
    let batch = RecordBatch::try_new(schema, vec![Arc::new(images), Arc::new(labels)])?;
    writer.write(&batch)?;
    writer.close()?;
    Ok(file.metadata()?.len())
}
