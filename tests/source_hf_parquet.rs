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
use microclip_pipe::source::{At, Dataset, Item, Larger, Origin, SourceKind, Split, open};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, Encoding};
use parquet::file::properties::{WriterProperties, WriterVersion};

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

pub(crate) fn write(path: &Path, columns: Vec<(&str, ArrayRef)>, features: Option<&str>) {
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

pub(crate) fn plain_images(count: u8) -> ArrayRef {
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
        let Origin::Embedded { bytes, .. } = &item.origin else { panic!("{item:?}") };
        assert_eq!(decode(bytes, &Limits::default()).unwrap().pixels[0], i as u8);
    }
}

#[test]
fn two_classes_of_one_name_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("train.parquet");
    let names = NAMES.replace("\"aster\"", "\"aster\",\"rose\"");
    write(&path, vec![("image", plain_images(3)), ("label", numbers(&[0, 1, 2]))], Some(&names));
    assert_eq!(error(&path), format!("{} calls the classes 0 and 2 'rose'", path.display()));
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
        let Origin::Embedded { bytes, .. } = &items[2].origin else { panic!("{items:?}") };
        assert_eq!(*bytes, picture(2));
    }
}

/// What is read again of a row is what was read of it, whatever the writer made of pages.
#[test]
fn a_picture_is_read_again_by_its_row() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.parquet");
    // Some occur twice, so that the dictionary is of use.
    let mut rows: Vec<Option<Vec<u8>>> = (0..200).map(|n| Some(picture(n % 150))).collect();
    rows[7] = None;
    let small = || {
        let pages = WriterProperties::builder().set_data_page_row_count_limit(5).set_write_batch_size(1);
        pages.set_max_row_group_row_count(Some(64)).set_dictionary_page_size_limit(2000)
    };
    let kinds = [
        WriterProperties::builder().set_offset_index_disabled(true).build(),
        small().set_offset_index_disabled(true).build(),
        small().set_offset_index_disabled(true).set_compression(Compression::SNAPPY).build(),
        small()
            .set_offset_index_disabled(true)
            .set_writer_version(WriterVersion::PARQUET_2_0)
            .set_encoding(Encoding::PLAIN)
            .build(),
        small().set_offset_index_disabled(true).set_dictionary_enabled(false).build(),
        small().set_compression(Compression::ZSTD(Default::default())).build(),
    ];
    let plain: ArrayRef = Arc::new(rows.iter().map(|bytes| bytes.as_deref()).collect::<BinaryArray>());
    for (n, properties) in kinds.into_iter().enumerate() {
        for column in [images(&rows, &DataType::BinaryView, &DataType::Utf8), plain.clone()] {
            write_with(&path, vec![("image", column)], None, Some(properties.clone()));
            let items = items(&path);
            let places: Vec<_> = items
                .iter()
                .filter_map(|item| match &item.origin {
                    Origin::Embedded { bytes, place } => Some((bytes, place.as_ref().unwrap())),
                    _ => None,
                })
                .collect();
            assert_eq!(places.len(), 199, "{n}");
            let again = Larger::open(&places[0].1.file).unwrap();
            for (bytes, place) in places.iter().rev() {
                assert!(again.read(place.at, 0).unwrap() == **bytes, "{n}: {:?}", place.at);
            }
            for row in [7, 200, u64::MAX] {
                let error = again.read(At::Row(row), 0).unwrap_err();
                assert!(error.to_string().ends_with(&format!("no picture in row {row} any more")), "{error}");
            }
        }
    }
}

#[test]
fn a_row_without_bytes_is_one_unreadable_picture() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.parquet");
    let rows = [Some(picture(1)), None, Some(picture(2))];
    write(&path, vec![("image", images(&rows, &DataType::Binary, &DataType::Utf8))], None);
    let items = items(&path);
    let why = "the row holds no bytes, and its path leads nowhere: No such file";
    assert!(matches!(&items[1].origin, Origin::Unreadable { detail } if detail.starts_with(why)), "{items:?}");
    assert!(items[1].path.ends_with("a.parquet#1/image_1.png"));
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

pub(crate) fn texts(words: &[&str]) -> ArrayRef {
    Arc::new(StringArray::from(words.to_vec()))
}

/// Opens a file of these columns as a pipeline that chooses its image and label columns.
fn chosen(columns: Vec<(&str, ArrayRef)>, image: &str, label: &str) -> Result<(Vec<String>, Vec<String>), String> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("train.parquet");
    write(&path, columns, None);
    let given = |name: &str| (!name.is_empty()).then(|| name.to_owned());
    let spec = Dataset { image_column: given(image), label_column: given(label), ..spec(&path) };
    let shown = |error: microclip_pipe::Error| {
        let message = format!("{error} | {}", error.hint_text().unwrap_or("-"));
        message.replace(&format!("{}/", dir.path().display()), "")
    };
    let source = open(&spec).map_err(shown)?;
    let listing = source.listing().clone();
    let said = listing.notes.into_iter().chain(listing.unlabelled).collect();
    source.items().collect::<Result<Vec<_>, _>>().map_err(shown)?;
    Ok((listing.classes, said))
}

#[test]
fn a_column_of_labels_is_chosen_or_the_only_one_that_may_be() {
    let species = || ("species", texts(&["rose", "aster", "rose"]));
    let image = || ("image", plain_images(3));
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let (classes, said) = chosen(vec![image(), species()], "", "").unwrap();
    assert_eq!((classes, said.len()), (names(&["aster", "rose"]), 1), "{said:?}");
    // Ids, addresses, captions and sizes are no labels.
    let others = || {
        vec![
            ("image_id", texts(&["a", "b", "c"])),
            image(),
            ("photoUrl", texts(&["http://a", "http://b", "http://c"])),
            ("caption", texts(&["a rose", "an aster", "a rose"])),
            ("width", numbers(&[5, 5, 5])),
            ("licence", texts(&["CC", "CC", "CC0"])),
            ("country", texts(&["NZ", "NZ", "NZ"])),
            species(),
        ]
    };
    assert_eq!(chosen(others(), "", "").unwrap().0, names(&["aster", "rose"]));
    let two = || vec![image(), species(), ("region", texts(&["north", "south", "south"]))];
    let (classes, said) = chosen(two(), "", "").unwrap();
    assert!(classes.is_empty(), "{classes:?}");
    assert_eq!(said, ["labels may be in any of the columns `species`, `region`: choose one with dataset.label_column"]);
    assert_eq!(chosen(two(), "", "region").unwrap().0, names(&["north", "south"]));
    assert_eq!(chosen(two(), "", "Region").unwrap().0, names(&["north", "south"]), "case does not matter");
    let slip = chosen(two(), "", "regoin").unwrap_err();
    assert_eq!(slip, "train.parquet has no column `regoin`, which dataset.label_column names | did you mean `region`?");
    let (classes, said) =
        chosen(vec![image(), ("label", numbers(&[7, 8, 7])), ("class_name", species().1)], "", "").unwrap();
    assert_eq!(classes, ["7", "8"]);
    assert!(said[0].contains("column `label`, not of `class_name` (string)"), "{said:?}");
}

#[test]
fn text_that_differs_in_every_row_is_no_label() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("train.parquet");
    let notes: Vec<String> = (0..30).map(|n| format!("seen {n} times")).collect();
    let notes = texts(&notes.iter().map(String::as_str).collect::<Vec<_>>());
    write(&path, vec![("image", plain_images(30)), ("remark", notes)], None);
    let listing = open(&spec(&path)).unwrap().listing().clone();
    let why = "no column is known to hold labels: dataset.label_column chooses one of `remark` (string)";
    assert_eq!((listing.classes.len(), listing.unlabelled.as_deref()), (0, Some(why)));
}

#[test]
fn a_column_of_pictures_is_chosen_or_known_by_its_type_and_name() {
    let bytes = || -> ArrayRef { Arc::new(BinaryArray::from_iter(pictures(2))) };
    let label = || ("label", texts(&["rose", "aster"]));
    for name in ["image", "img", "jpg", "content", "Picture", "x"] {
        assert_eq!(chosen(vec![(name, bytes()), label()], "", "").unwrap().0.len(), 2, "{name}");
    }
    for binary in [DataType::LargeBinary, DataType::BinaryView] {
        chosen(vec![("image", cast(&bytes(), &binary).unwrap()), label()], "", "").unwrap();
    }
    let two = || vec![("before", plain_images(2)), ("after", plain_images(2)), label()];
    assert_eq!(
        chosen(two(), "", "").unwrap_err(),
        "train.parquet: several columns may hold the pictures: `before` (struct<bytes: binary, path: string>), `after` \
         (struct<bytes: binary, path: string>) | choose one: dataset.image_column = \"before\""
    );
    chosen(two(), "after", "").unwrap();
    let (_, said) = chosen(vec![("mask", plain_images(2)), ("image", plain_images(2)), label()], "", "").unwrap();
    assert!(said[0].starts_with("pictures are those of column `image`, not of `mask`"), "{said:?}");
    let refused = chosen(two(), "label_id", "").unwrap_err();
    assert!(
        refused.starts_with("train.parquet has no column `label_id`, which dataset.image_column names"),
        "{refused}"
    );
    let refused = chosen(vec![label(), ("width", numbers(&[1, 2]))], "width", "").unwrap_err();
    assert!(
        refused.contains("column `width` (int64), which dataset.image_column names, does not hold pictures"),
        "{refused}"
    );
    let refused = chosen(vec![label(), ("width", numbers(&[1, 2]))], "", "").unwrap_err();
    assert!(refused.contains("no column of pictures among `label` (string), `width` (int64)"), "{refused}");
}

#[test]
fn labels_of_every_type_are_read_or_refused_by_name() {
    let labels = |column: ArrayRef| {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.parquet");
        write(&path, vec![("image", plain_images(4)), ("label", column)], None);
        items(&path).into_iter().map(|item| item.label.unwrap_or("-".to_owned())).collect::<Vec<_>>()
    };
    let whole = numbers(&[2, 0, 2, 1]);
    let integers =
        [DataType::Int8, DataType::UInt8, DataType::Int16, DataType::UInt16, DataType::Int32, DataType::UInt32];
    for data_type in
        integers.into_iter().chain([DataType::UInt64, DataType::Float16, DataType::Float32, DataType::Float64])
    {
        assert_eq!(labels(cast(&whole, &data_type).unwrap()), ["2", "0", "2", "1"], "{data_type}");
    }
    let missing = [Some(1.0), None, Some(f64::NAN), Some(0.0)];
    assert_eq!(labels(Arc::new(arrow::array::Float64Array::from(missing.to_vec()))), ["1", "-", "-", "0"]);
    let truth = vec![Some(true), Some(false), None, Some(true)];
    assert_eq!(labels(Arc::new(arrow::array::BooleanArray::from(truth))), ["1", "0", "-", "1"]);
    assert_eq!(labels(texts(&["rose", "", " ", "aster "])), ["rose", "-", "-", "aster"]);
    assert_eq!(
        labels(numbers(&[-1, 0, 1, -1])),
        ["-", "0", "1", "-"],
        "-1 means none where no names are declared, too"
    );

    let image = || ("image", plain_images(2));
    let half: ArrayRef = Arc::new(arrow::array::Float64Array::from(vec![1.0, 0.5]));
    let refused = chosen(vec![image(), ("label", half)], "", "").unwrap_err();
    assert!(
        refused.starts_with("train.parquet: `label` is 0.5 in row 1, and no whole number | each picture has one class"),
        "{refused}"
    );
    let lists = arrow::array::ListArray::from_iter_primitive::<arrow::datatypes::Int64Type, _, _>(vec![
        Some(vec![Some(0), Some(1)]),
        Some(vec![Some(2)]),
    ]);
    let lists: ArrayRef = Arc::new(lists);
    let (classes, said) = chosen(vec![image(), ("labels", Arc::clone(&lists))], "", "").unwrap();
    assert!(classes.is_empty() && said[0].starts_with("`labels` (list<int64>) cannot hold labels"), "{said:?}");
    let refused = chosen(vec![image(), ("labels", lists)], "", "labels").unwrap_err();
    assert!(refused.contains("column `labels` (list<int64>), which dataset.label_column names"), "{refused}");
    let huge: ArrayRef = Arc::new(arrow::array::UInt64Array::from(vec![u64::MAX, 0]));
    assert!(chosen(vec![image(), ("label", huge)], "", "").is_err(), "never taken for unlabelled");
}

#[test]
fn pictures_may_be_files_of_their_own() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("pics")).unwrap();
    for shade in 0..2 {
        fs::write(dir.path().join(format!("pics/{shade}.png")), picture(shade)).unwrap();
    }
    let paths = texts(&["pics/0.png", "https://example.org/1.png", dir.path().join("pics/1.png").to_str().unwrap()]);
    let none: ArrayRef = Arc::new(BinaryArray::from_iter([None::<&[u8]>; 3]));
    let fields = vec![Field::new("bytes", DataType::Binary, true), Field::new("path", DataType::Utf8, true)];
    let without: ArrayRef = Arc::new(StructArray::new(fields.into(), vec![none, Arc::clone(&paths)], None));
    let alone = Fields::from(vec![Field::new("path", DataType::Utf8, true)]);
    let alone: ArrayRef = Arc::new(StructArray::new(alone, vec![Arc::clone(&paths)], None));
    let table = dir.path().join("train.parquet");
    for (name, column) in [("file_name", paths), ("image", without), ("image", alone)] {
        write(&table, vec![(name, column), ("label", texts(&["a", "b", "a"]))], None);
        let found = items(&table);
        for (row, file) in [(0, "pics/0.png"), (2, "pics/1.png")] {
            let Origin::File { path, byte_len, .. } = &found[row].origin else { panic!("{found:?}") };
            assert!(path.ends_with(file) && *byte_len > 0 && found[row].path.ends_with(file));
        }
        assert!(
            matches!(&found[1].origin, Origin::Unreadable { detail } if detail.contains("`https://` is an address")),
            "{found:?}"
        );
        // What the table says is the same, but a picture has changed.
        let print = || open(&spec(&table)).unwrap().fingerprint().unwrap();
        let before = print();
        assert_eq!(before, print());
        fs::write(dir.path().join("pics/0.png"), [picture(0), vec![0]].concat()).unwrap();
        assert_ne!(before, print());
        fs::write(dir.path().join("pics/0.png"), picture(0)).unwrap();
    }
    fs::create_dir(dir.path().join("elsewhere")).unwrap();
    fs::rename(dir.path().join("pics"), dir.path().join("elsewhere/pics")).unwrap();
    let moved = Dataset { root: Some(dir.path().join("elsewhere")), ..spec(&table) };
    let found: Vec<Item> = open(&moved).unwrap().items().map(Result::unwrap).collect();
    assert!(matches!(&found[0].origin, Origin::File { .. }), "{found:?}");
}

#[test]
fn a_column_says_the_split_if_its_words_are_splits() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("flowers.parquet");
    let splits = |words: &[&str], key: Option<&str>| {
        write(
            &path,
            vec![
                ("image", plain_images(words.len() as u8)),
                ("label", texts(&vec!["a"; words.len()])),
                ("subset", texts(words)),
            ],
            None,
        );
        let spec = Dataset { split_column: key.map(str::to_owned), ..spec(&path) };
        let source = open(&spec).map_err(|error| error.to_string())?;
        let notes = source.listing().notes.clone();
        let splits = source.items().map(|item| item.unwrap().split.unwrap().name()).collect::<Vec<_>>();
        Ok::<_, String>((splits, notes))
    };
    assert_eq!(splits(&["train", "val", "test"], None).unwrap().0, ["train", "validation", "test"]);
    assert_eq!(splits(&["", "val", "test"], None).unwrap().0, ["train", "validation", "test"]);
    let (found, notes) = splits(&["gold", "silver", "gold"], None).unwrap();
    assert_eq!(found, ["train"; 3]);
    assert!(notes[0].ends_with("is left aside: its words are gold, silver"), "{notes:?}");
    let many: Vec<String> = (0..20).map(|n| format!("w{n:02}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let (_, notes) = splits(&many, None).unwrap();
    assert!(notes[0].ends_with("w10, w11 and more"), "{notes:?}");
    assert!(splits(&["train", "holdout", "test"], None).unwrap_err().ends_with("`subset` is `holdout` in row 1"));
    assert!(splits(&["gold", "gold", "gold"], Some("subset")).unwrap_err().ends_with("`subset` is `gold` in row 0"));
}

#[test]
fn names_of_files_mean_splits_all_of_them_or_none() {
    let dir = tempfile::tempdir().unwrap();
    let put = |place: &str| write(&dir.path().join(place), vec![("image", plain_images(1))], None);
    put("extra.parquet");
    put("more.parquet");
    assert!(items(dir.path()).iter().all(|item| item.split == Some(Split::Train)));
    put("sub/dev.parquet");
    let refused = error(dir.path());
    assert!(
        refused.contains("extra.parquet names no split, and ") && refused.ends_with("sub/dev.parquet does"),
        "{refused}"
    );
    fs::remove_file(dir.path().join("extra.parquet")).unwrap();
    fs::remove_file(dir.path().join("more.parquet")).unwrap();
    put("test/part-1/0.parquet");
    let splits: Vec<&str> = items(dir.path()).iter().map(|item| item.split.unwrap().name()).collect();
    assert_eq!(splits, ["validation", "test"]);
}

#[test]
fn configurations_of_the_hub_are_not_mixed() {
    let dir = tempfile::tempdir().unwrap();
    let put = |place: &str| write(&dir.path().join(place), vec![("image", plain_images(1))], None);
    put("large/train/0000.parquet");
    put("large/partial-test/0000.parquet");
    assert_eq!(items(dir.path()).len(), 2);
    // What tools keep in hidden folders is no part of it.
    put(".store/images/train.parquet");
    assert_eq!(items(dir.path()).len(), 2);
    put("small/train-00000-of-00001.parquet");
    let refused = open(&spec(dir.path())).err().unwrap();
    assert!(
        refused
            .to_string()
            .ends_with("holds several data sets with the same splits, in large, small: they would be mixed")
    );
    assert!(refused.hint_text().unwrap().ends_with("/large\""), "{:?}", refused.hint_text());
    assert_eq!(items(&dir.path().join("small")).len(), 1);
}

#[test]
fn a_range_of_labels_is_checked_before_any_picture_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("train.parquet");
    write(&path, vec![("image", plain_images(3)), ("label", numbers(&[0, 1, 2]))], Some(NAMES));
    let refused = open(&spec(&path)).err().unwrap().to_string();
    assert!(refused.ends_with("train.parquet: label 2 in row 2, but there are 2 classes"), "{refused}");
}

/// What `predict` reads: the run's column if there is one, and no word of keys.
#[test]
fn pictures_alone_are_found_by_the_runs_column_and_hints_name_no_keys() {
    let dir = tempfile::tempdir().unwrap();
    let two = || -> ArrayRef { Arc::new(BinaryArray::from_iter(pictures(2))) };
    let of = |place: &str, column: Option<&str>| {
        let run = Dataset { image_column: column.map(str::to_owned), ..spec(Path::new("elsewhere")) };
        let found = microclip_pipe::source::inputs::pictures(&dir.path().join(place), &run);
        found.map(|found| (found.count, found.notes)).map_err(|error| {
            let said = format!("{error} | {}", error.hint_text().unwrap());
            assert!(!said.contains("dataset."), "{said}");
            said
        })
    };
    write(&dir.path().join("two.parquet"), vec![("full", two()), ("small", two())], None);
    assert_eq!(of("two.parquet", Some("full")).unwrap(), (2, Vec::new()));
    let several = of("two.parquet", Some("photo")).unwrap_err();
    assert!(several.contains("several columns may hold the pictures") && several.contains("leave out"), "{several}");
    write(&dir.path().join("both.parquet"), vec![("image", two()), ("jpg", two())], None);
    let (_, notes) = of("both.parquet", None).unwrap();
    assert!(notes.len() == 1 && notes[0].ends_with("not of `jpg` (binary)"), "{notes:?}");
    write(&dir.path().join("none.parquet"), vec![("label", numbers(&[1, 2]))], None);
    assert!(of("none.parquet", None).unwrap_err().contains("has no column of pictures"));
    for place in ["hub/large/train/0.parquet", "hub/small/train/0.parquet"] {
        write(&dir.path().join(place), vec![("image", two())], None);
    }
    let mixed = of("hub", None).unwrap_err();
    assert!(mixed.contains("name one of them, such as "), "{mixed}");
}
