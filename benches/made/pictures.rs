//! Pictures of 8 x 8 pixels in a Parquet file, as `datasets` writes them.

use std::fs::File;
use std::io::BufWriter;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, BinaryArray, Int64Array, RecordBatch, StructArray};
use arrow::datatypes::{DataType, Field, Schema};
use image::codecs::png::PngEncoder;
use image::{ExtendedColorType, ImageEncoder};
use microclip_pipe::table::arrays;
use parquet::arrow::ArrowWriter;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::json;

/// The edge of a picture, in pixels.
const SIDE: usize = 8;
/// One picture of so many is for testing, as in ImageNet.
const TEST: usize = 26;
/// Rows made at once.
const ROWS: usize = 1 << 14;

/// Writes `count` pictures of `classes` classes, in columns `image`, `label` and `split`. The
/// classes are drawn, and a picture has the colour of its class.
pub fn write(file: &Path, count: usize, classes: i64) -> serde_json::Value {
    let bytes = Field::new("bytes", DataType::Binary, true);
    let schema = Arc::new(Schema::new(vec![
        Field::new("image", DataType::Struct(vec![bytes.clone()].into()), true),
        Field::new("label", DataType::Int64, true),
        Field::new("split", DataType::Utf8, true),
    ]));
    let names: Vec<String> = (0..classes).map(name).collect();
    let features = json!({"info": {"features": {
        "image": {"_type": "Image"}, "label": {"_type": "ClassLabel", "names": names}, "split": {"_type": "Value", "dtype": "string"},
    }}});
    let pairs = vec![KeyValue::new("huggingface".to_owned(), features.to_string())];
    let properties = WriterProperties::builder().set_key_value_metadata(Some(pairs)).build();
    let out = BufWriter::new(File::create(file).unwrap());
    let mut writer = ArrowWriter::try_new(out, schema.clone(), Some(properties)).unwrap();
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    for first in (0..count).step_by(ROWS) {
        let rows = first..(first + ROWS).min(count);
        let labels: Vec<i64> = rows.clone().map(|_| rng.random_range(0..classes)).collect();
        let pictures: ArrayRef =
            Arc::new(BinaryArray::from_iter_values(rows.clone().zip(&labels).map(|(n, &class)| png(n, class))));
        let columns: Vec<ArrayRef> = vec![
            Arc::new(StructArray::from(vec![(Arc::new(bytes.clone()), pictures)])),
            Arc::new(Int64Array::from(labels)),
            arrays::text(rows.map(|n| if n % TEST == TEST - 1 { "test" } else { "train" })),
        ];
        writer.write(&RecordBatch::try_new(schema.clone(), columns).unwrap()).unwrap();
    }
    writer.close().unwrap();
    json!({ "pictures": count, "classes": names })
}

/// Returns the name of a class, of five syllables: names that share few letters are told apart by a
/// text tower of random weights.
fn name(class: i64) -> String {
    let syllable = |byte: &u8| [b"bdfgklmnprstvwxz"[usize::from(byte % 16)], b"aeio"[usize::from(byte / 16 % 4)]];
    let letters = blake3::hash(&class.to_le_bytes()).as_bytes()[..5].iter().flat_map(syllable).collect();
    String::from_utf8(letters).unwrap()
}

/// Returns a picture of one colour, but for a pixel that says its number: no two have the same
/// bytes.
fn png(number: usize, class: i64) -> Vec<u8> {
    let colour = blake3::hash(&class.to_le_bytes());
    let mut pixels = colour.as_bytes()[..3].repeat(SIDE * SIDE);
    pixels[..4].copy_from_slice(&(number as u32).to_le_bytes());
    let mut bytes = Vec::new();
    PngEncoder::new(&mut bytes).write_image(&pixels, SIDE as u32, SIDE as u32, ExtendedColorType::Rgb8).unwrap();
    bytes
}
