//! What the default run needs lies in the repository, whole and small: pictures, class names,
//! sentences, a CLIP.

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::Int64Type;
use microclip_pipe::clip::Clip;
use microclip_pipe::clip::ModelSettings;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::Value;
use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::path::{Path, PathBuf};

const MEGABYTE: u64 = 1_000_000;

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("data").join(name)
}

fn folder_bytes(folder: &Path) -> u64 {
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len()).sum()
}

/// A split of the data set: class names as the file's metadata has them, and (encoded picture,
/// label) by row.
struct Split {
    names: Vec<String>,
    pictures: Vec<(Vec<u8>, i64)>,
}

fn read(split: &str) -> Split {
    let file = File::open(data("flowers").join(format!("{split}-00000-of-00001.parquet"))).unwrap();
    let builder = ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
    let footer = builder.metadata().file_metadata().key_value_metadata().unwrap().clone();
    let features = footer.iter().find(|entry| entry.key == "huggingface").expect("no `huggingface` in the footer");
    let features: Value = serde_json::from_str(features.value.as_ref().unwrap()).unwrap();
    let features = &features["info"]["features"];
    assert_eq!(features["image"]["_type"], "Image");
    assert_eq!(features["label"]["_type"], "ClassLabel");
    let names = features["label"]["names"].as_array().unwrap();
    let names = names.iter().map(|name| name.as_str().unwrap().to_owned()).collect();

    let mut pictures = Vec::new();
    for batch in builder.build().unwrap() {
        let batch: RecordBatch = batch.unwrap();
        let images = batch.column_by_name("image").unwrap().as_struct();
        let bytes = images.column_by_name("bytes").unwrap().as_binary::<i32>();
        assert_eq!(images.column_by_name("path").unwrap().as_string::<i32>().null_count(), 0);
        let labels = batch.column_by_name("label").unwrap().as_primitive::<Int64Type>();
        pictures
            .extend(bytes.iter().zip(labels.iter()).map(|(bytes, label)| (bytes.unwrap().to_vec(), label.unwrap())));
    }
    Split { names, pictures }
}

#[test]
fn flowers_have_the_promised_numbers_and_sizes() {
    assert!(folder_bytes(&data("flowers")) < 15 * MEGABYTE);
    for (split, each) in [("train", 50), ("test", 20)] {
        let Split { names, pictures } = read(split);
        assert!(names.len() >= 24, "{} classes", names.len());
        let mut per_class = HashMap::<i64, usize>::new();
        for (bytes, label) in &pictures {
            assert!((0..names.len() as i64).contains(label), "label {label} of {split} has no name");
            *per_class.entry(*label).or_default() += 1;
            assert!(bytes.len() < 50_000, "a picture of {} bytes", bytes.len());
        }
        assert_eq!(per_class.len(), names.len());
        assert!(per_class.values().all(|&count| count == each), "{split}: {per_class:?}");
    }
}

#[test]
fn flowers_are_pictures_of_about_96_pixels() {
    for (bytes, _) in read("test").pictures.iter().step_by(17) {
        let picture = image::load_from_memory(bytes).unwrap();
        let (short, long) = (picture.width().min(picture.height()), picture.width().max(picture.height()));
        assert!((96..=128).contains(&short) && long <= 160, "{short} x {long}");
    }
}

#[test]
fn no_picture_is_there_twice() {
    let mut seen = HashSet::new();
    for split in ["train", "test"] {
        for (bytes, _) in read(split).pictures {
            assert!(seen.insert(blake3::hash(&bytes)), "a picture of {split} is there twice");
        }
    }
}

#[test]
fn both_splits_name_the_same_species_and_each_has_sentences() {
    let names = read("train").names;
    assert_eq!(names, read("test").names);
    let sentences: HashMap<String, Vec<String>> =
        serde_json::from_slice(&fs::read(data("flowers").join("descriptions.json")).unwrap()).unwrap();
    assert_eq!(sentences.len(), names.len());
    let mut seen = HashSet::new();
    for name in &names {
        let own = sentences.get(name).unwrap_or_else(|| panic!("no sentences for {name}"));
        assert!(own.len() >= 8, "{} sentences for {name}", own.len());
        assert!(own.iter().all(|sentence| seen.insert(sentence)), "a sentence of {name} is there twice");
    }
}

#[test]
fn clip_flora_is_small_and_opens() {
    let folder = data("clip-flora");
    assert!(folder_bytes(&folder) < 10 * MEGABYTE);
    let clip = Clip::open(&ModelSettings::new(folder)).unwrap();
    assert_eq!(clip.config.vision.image_size, 96);
    clip.vision().unwrap();
    clip.text().unwrap();
}

#[test]
fn clip_flora_reads_every_sentence_whole() {
    let clip = Clip::open(&ModelSettings::new(data("clip-flora"))).unwrap();
    let sentences: HashMap<String, Vec<String>> =
        serde_json::from_slice(&fs::read(data("flowers").join("descriptions.json")).unwrap()).unwrap();
    let room = clip.config.text.context as usize - 2;
    let lengths = sentences.values().flatten().map(|sentence| clip.tokenizer.ids(sentence).unwrap().len());
    let cut = lengths.filter(|&length| length > room).count();
    // Words that no caption has fall apart into letters; a few sentences may lose their end to
    // that.
    assert!(cut * 20 <= sentences.values().flatten().count(), "{cut} sentences are cut");
}
