//! The files beside a model's weights, as the versions of transformers write them.

use std::fs;
use std::path::{Path, PathBuf};

use microclip_pipe::clip::{Clip, ModelSettings};
use serde_json::{Value, json};
use tempfile::TempDir;

/// A copy of the embedded model without its `preprocessor_config.json`, and what that file says.
fn copy() -> (TempDir, Value) {
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/clip-flora");
    let folder = tempfile::tempdir().unwrap();
    let mut preprocessor = Value::Null;
    for entry in fs::read_dir(model).unwrap() {
        let path: PathBuf = entry.unwrap().path();
        match path.file_name().unwrap().to_str().unwrap() {
            "preprocessor_config.json" => {
                preprocessor = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
            }
            name => drop(fs::copy(&path, folder.path().join(name)).unwrap()),
        }
    }
    (folder, preprocessor)
}

fn open(folder: &TempDir) -> Clip {
    Clip::open(&ModelSettings::new(folder.path().to_owned())).unwrap()
}

#[test]
fn processor_config_is_read_where_transformers_writes_that() {
    let (folder, mut preprocessor) = copy();
    preprocessor["image_mean"] = json!([0.1, 0.2, 0.3]);
    let processor = json!({"image_processor": preprocessor, "processor_class": "CLIPProcessor"});
    fs::write(folder.path().join("processor_config.json"), processor.to_string()).unwrap();
    let clip = open(&folder);
    assert_eq!(clip.preprocess.mean, [0.1, 0.2, 0.3]);
    assert!(clip.notes.is_empty());
    // The older file says it where both are there.
    preprocessor["image_mean"] = json!([0.4, 0.5, 0.6]);
    fs::write(folder.path().join("preprocessor_config.json"), preprocessor.to_string()).unwrap();
    assert_eq!(open(&folder).preprocess.mean, [0.4, 0.5, 0.6]);
}

#[test]
fn a_model_with_neither_file_says_which_mean_and_deviation_are_in_use() {
    let (folder, _) = copy();
    let clip = open(&folder);
    assert_eq!(clip.notes.len(), 1);
    assert!(
        clip.notes[0].contains("mean [0.48145467") && clip.notes[0].contains("std [0.26862955"),
        "{:?}",
        clip.notes
    );
}
