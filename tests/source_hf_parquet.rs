//! Hugging Face Parquet, as `datasets` writes it.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::Cursor;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, BinaryArray, Int64Array, RecordBatch, StringArray, StructArray};
use arrow::buffer::NullBuffer;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Fields, Schema};
use microclip_pipe::image::{Limits, decode};
use microclip_pipe::source::{Dataset, Item, Origin, SourceKind, Split, open};
use parquet::arrow::ArrowWriter;
use parquet::basic::Encoding;
use parquet::file::properties::WriterProperties;

fn picture(shade: u8) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    let picture = image::RgbImage::from_pixel(5, 4, image::Rgb([shade, 0, 0]));
    picture.write_to(&mut bytes, image::ImageFormat::Png).unwrap();
    bytes.into_inner()
}

/// A column of pictures with these types of `bytes` and `path`; `None` is a row without bytes.
fn images(pictures: &[Option<Vec<u8>>], bytes_type: &DataType, path_type: &DataType) -> ArrayRef {
    let bytes: BinaryArray = pictures.iter().map(|p| p.as_deref()).collect();
    let paths: StringArray = (0..pictures.len()).map(|i| Some(format!("image_{i}.png"))).collect();
    let children = vec![cast(&bytes, bytes_type).unwrap(), cast(&paths, path_type).unwrap()];
    let fields =
        Fields::from(vec![Field::new("bytes", bytes_type.clone(), true), Field::new("path", path_type.clone(), true)]);
    Arc::new(StructArray::new(fields, children, Some(NullBuffer::new_valid(pictures.len()))))
}

fn write(path: &Path, columns: Vec<(&str, ArrayRef)>, features: Option<&str>) {
    write_with(path, columns, features, None);
}

fn write_with(
    path: &Path,
    columns: Vec<(&str, ArrayRef)>,
    features: Option<&str>,
    properties: Option<WriterProperties>,
) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let fields: Vec<Field> = columns.iter().map(|(name, a)| Field::new(*name, a.data_type().clone(), true)).collect();
    let metadata: HashMap<String, String> =
        features.map(|f| ("huggingface".to_owned(), f.to_owned())).into_iter().collect();
    let schema = Arc::new(Schema::new_with_metadata(fields, metadata));
    let batch = RecordBatch::try_new(Arc::clone(&schema), columns.into_iter().map(|(_, a)| a).collect()).unwrap();
    let mut writer = ArrowWriter::try_new(File::create(path).unwrap(), schema, properties).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

fn pictures(count: u8) -> Vec<Option<Vec<u8>>> {
    (0..count).map(|i| Some(picture(i))).collect()
}

fn plain_images(count: u8) -> ArrayRef {
    images(&pictures(count), &DataType::Binary, &DataType::Utf8)
}

fn numbers(values: &[i64]) -> ArrayRef {
    Arc::new(Int64Array::from(values.to_vec()))
}

const NAMES: &str =
    r#"{"info":{"features":{"image":{"_type":"Image"},"label":{"names":["rose","aster"],"_type":"ClassLabel"}}}}"#;

fn spec(path: &Path) -> Dataset {
    Dataset::new(SourceKind::HfParquet, path.to_path_buf())
}

fn items(path: &Path) -> Vec<Item> {
    open(&spec(path)).unwrap().items().map(Result::unwrap).collect()
}

fn error(path: &Path) -> String {
    match open(&spec(path)) {
        Err(error) => error.to_string(),
        Ok(source) => source.items().find_map(Result::err).expect("an error").to_string(),
    }
}

#[test]
fn class_names_come_from_the_schema_and_splits_from_the_files_names() {
    let dir = tempfile::tempdir().unwrap();
    let train = dir.path().join("data/train-00000-of-00001.parquet");
    write(
        &train,
        vec![("image", plain_images(40)), ("label", numbers(&[vec![1; 39], vec![-1]].concat()))],
        Some(NAMES),
    );
    let test = dir.path().join("data/test-00000-of-00001.parquet");
    write(&test, vec![("image", plain_images(2)), ("label", numbers(&[0, 1]))], Some(NAMES));
    let source = open(&spec(dir.path())).unwrap();
    assert_eq!(source.listing().classes, ["rose", "aster"]);
    assert!(source.listing().has_labels);

    let items = items(dir.path());
    assert_eq!(items.len(), 42);
    assert_eq!(items[0].path, format!("{}#0/image_0.png", test.display()));
    assert_eq!((items[0].split, items[0].label.as_deref()), (Some(Split::Test), Some("rose")));
    assert_eq!(items[2 + 37].path, format!("{}#37/image_37.png", train.display()));
    assert_eq!((items[39].split, items[39].label.as_deref()), (Some(Split::Train), Some("aster")));
    assert_eq!(items[41].label, None, "-1 is a hidden label");
    for (i, item) in items.iter().skip(2).enumerate() {
        let Origin::Embedded { bytes } = &item.origin else { panic!("{item:?}") };
        assert_eq!(decode(bytes, &Limits::default()).unwrap().pixels[0], i as u8);
    }
}

#[test]
fn folders_name_splits_too() {
    let dir = tempfile::tempdir().unwrap();
    for split in ["train", "validation"] {
        let path = dir.path().join(split).join("0000.parquet");
        write(&path, vec![("image", plain_images(1)), ("label", numbers(&[0]))], Some(NAMES));
    }
    let splits: Vec<&str> = items(dir.path()).iter().map(|i| i.split.unwrap().name()).collect();
    assert_eq!(splits, ["train", "validation"]);
}

#[test]
fn labels_may_be_text_or_bare_numbers_or_absent() {
    let dir = tempfile::tempdir().unwrap();
    let text = dir.path().join("text.parquet");
    let words: ArrayRef = Arc::new(StringArray::from(vec!["tulip", "aster", "tulip"]));
    let dictionary = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
    for data_type in [DataType::Utf8, DataType::LargeUtf8, DataType::Utf8View, dictionary] {
        let words = cast(&words, &data_type).unwrap();
        write(&text, vec![("image", plain_images(3)), ("label", words)], None);
        assert_eq!(open(&spec(&text)).unwrap().listing().classes, ["aster", "tulip"]);
        assert_eq!(items(&text)[2].label.as_deref(), Some("tulip"));
    }

    let bare = dir.path().join("bare.parquet");
    write(&bare, vec![("image", plain_images(3)), ("label", numbers(&[10, 9, 10]))], None);
    assert_eq!(open(&spec(&bare)).unwrap().listing().classes, ["9", "10"]);
    assert_eq!(items(&bare)[0].label.as_deref(), Some("10"));

    let none = dir.path().join("none.parquet");
    write(&none, vec![("picture", plain_images(2))], None);
    let source = open(&spec(&none)).unwrap();
    assert!(!source.listing().has_labels && source.listing().classes.is_empty());
    assert_eq!(items(&none)[1].label, None);
}

#[test]
fn every_width_of_binary_and_text_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.parquet");
    for (bytes, text) in [
        (DataType::Binary, DataType::Utf8),
        (DataType::LargeBinary, DataType::LargeUtf8),
        (DataType::BinaryView, DataType::Utf8View),
    ] {
        write(&path, vec![("image", images(&pictures(3), &bytes, &text))], None);
        let items = items(&path);
        assert_eq!(items.len(), 3, "{bytes:?}");
        assert!(items[2].path.ends_with("#2/image_2.png"));
        assert_eq!(items[2].origin, Origin::Embedded { bytes: picture(2) });
    }
}

#[test]
fn a_row_without_bytes_is_one_unreadable_picture() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.parquet");
    let rows = [Some(picture(1)), None, Some(picture(2))];
    write(&path, vec![("image", images(&rows, &DataType::Binary, &DataType::Utf8))], None);
    let items = items(&path);
    assert!(matches!(&items[1].origin, Origin::Unreadable { detail } if detail == "the row holds no bytes"));
    assert!(matches!(&items[2].origin, Origin::Embedded { .. }));
}

#[test]
fn faults_name_the_file() {
    let dir = tempfile::tempdir().unwrap();
    assert!(error(&dir.path().join("gone")).ends_with("gone does not exist"));
    assert!(error(dir.path()).starts_with("no Parquet file in "));

    let text = dir.path().join("text.parquet");
    fs::write(&text, "this is not Parquet").unwrap();
    assert!(error(&text).contains("text.parquet"), "{}", error(&text));

    let beyond = dir.path().join("beyond.parquet");
    write(&beyond, vec![("image", plain_images(2)), ("label", numbers(&[0, 2]))], Some(NAMES));
    assert!(error(&beyond).ends_with("beyond.parquet: label 2 in row 1, but there are 2 classes"));

    let stranger = dir.path().join("stranger.parquet");
    let words: ArrayRef = Arc::new(StringArray::from(vec!["rose", "nettle"]));
    write(&stranger, vec![("image", plain_images(2)), ("label", words)], Some(NAMES));
    assert!(error(&stranger).ends_with("stranger.parquet: label 'nettle' in row 1 is none of the 2 classes"));

    let other = dir.path().join("two/other.parquet");
    write(&other, vec![("image", plain_images(1)), ("label", numbers(&[0]))], Some(&NAMES.replace("rose", "lily")));
    write(&dir.path().join("two/one.parquet"), vec![("image", plain_images(1)), ("label", numbers(&[0]))], Some(NAMES));
    assert!(error(&dir.path().join("two")).contains("have different classes"));
}

#[test]
fn a_damaged_file_is_an_error_and_the_last_thing_seen() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.parquet");
    write(&path, vec![("image", plain_images(60))], None);
    let whole = fs::read(&path).unwrap();
    let cut = dir.path().join("cut.parquet");
    fs::write(&cut, &whole[..whole.len() / 2]).unwrap();
    assert!(error(&cut).contains("cut.parquet"), "{}", error(&cut));

    // The pages' headers overwritten, the footer whole: it opens, and then cannot be read.
    let mut holed = whole.clone();
    holed[4..64].fill(0xff);
    let hole = dir.path().join("hole.parquet");
    fs::write(&hole, &holed).unwrap();
    let read: Vec<_> = open(&spec(&hole)).unwrap().items().collect();
    assert!(read.last().unwrap().is_err() && read.iter().filter(|i| i.is_err()).count() == 1);
    assert!(error(&hole).contains("hole.parquet"), "{}", error(&hole));
}

#[test]
fn encodings_whose_counts_are_believed_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("train.parquet");
    let write = |encoding: Encoding| {
        let properties = WriterProperties::builder().set_dictionary_enabled(false).set_encoding(encoding).build();
        let columns =
            vec![("image", plain_images(3)), ("label", Arc::new(StringArray::from(vec!["a", "b", "a"])) as _)];
        write_with(&path, columns, None, Some(properties));
    };
    for encoding in [Encoding::DELTA_LENGTH_BYTE_ARRAY, Encoding::DELTA_BYTE_ARRAY] {
        write(encoding);
        let error = error(&path);
        assert!(error.contains("train.parquet"), "{error}");
        assert!(error.contains(&format!("{encoding} is not read here, write the file with PLAIN")), "{error}");
    }
    write(Encoding::PLAIN);
    assert_eq!(items(&path).len(), 3);
}

#[test]
fn the_fingerprint_changes_with_the_files() {
    let dir = tempfile::tempdir().unwrap();
    write(&dir.path().join("a.parquet"), vec![("image", plain_images(2))], None);
    let print = || open(&spec(dir.path())).unwrap().fingerprint().unwrap();
    let first = print();
    assert_eq!(first, print());
    write(&dir.path().join("b.parquet"), vec![("image", plain_images(1))], None);
    assert_ne!(first, print());
}

#[test]
fn damage_anywhere_is_an_error_and_never_a_panic() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.parquet");
    write(&path, vec![("image", plain_images(20)), ("label", numbers(&[1; 20]))], Some(NAMES));
    let whole = fs::read(&path).unwrap();
    let mut draw = 1u64;
    let mut below = |limit: usize| {
        draw = draw.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (draw >> 33) as usize % limit
    };
    for _ in 0..400 {
        let mut damaged = whole.clone();
        // Half of the hits in the footer, where the reader believes what it reads.
        let place = if below(2) == 0 { below(whole.len()) } else { whole.len() - 1 - below(1500) };
        damaged[place] = below(256) as u8;
        fs::write(&path, &damaged).unwrap();
        match open(&spec(&path)) {
            Ok(source) => drop(source.items().collect::<Vec<_>>()),
            Err(error) => assert!(error.to_string().contains("a.parquet"), "{error}"),
        }
    }
}
