//! The files beside a model's weights, as the versions of transformers write them.

use std::fs;
use std::path::{Path, PathBuf};

use microclip_pipe::clip::{Clip, ModelSettings};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::pipeline::Pipeline;

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

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

fn write(folder: &TempDir, name: &str, json: &Value) {
    fs::write(folder.path().join(name), json.to_string()).unwrap();
}

#[test]
fn processor_config_is_read_where_transformers_writes_that() {
    let (folder, mut preprocessor) = copy();
    preprocessor["image_mean"] = json!([0.1, 0.2, 0.3]);
    let processor = json!({"image_processor": preprocessor, "processor_class": "CLIPProcessor"});
    write(&folder, "processor_config.json", &processor);
    let clip = open(&folder);
    assert_eq!(clip.preprocess.mean, [0.1, 0.2, 0.3]);
    assert!(clip.notes.is_empty());
    // An older file that says the same is no news.
    write(&folder, "preprocessor_config.json", &preprocessor);
    assert!(open(&folder).notes.is_empty());
    // transformers 5 takes the newer where they differ.
    preprocessor["image_mean"] = json!([0.4, 0.5, 0.6]);
    write(&folder, "preprocessor_config.json", &preprocessor);
    let clip = open(&folder);
    assert_eq!(clip.preprocess.mean, [0.1, 0.2, 0.3]);
    assert_eq!(clip.notes.len(), 1);
    let end = "processor_config.json is used; preprocessor_config.json differs: mean is [0.1, 0.2, 0.3], there [0.4, 0.5, 0.6]";
    assert!(clip.notes[0].ends_with(end), "{:?}", clip.notes);
    // The one that the user names is the one that counts, in either shape.
    for name in ["preprocessor_config.json", "processor_config.json"] {
        let mut files = ModelSettings::new(folder.path().to_owned());
        files.preprocessor = Some(folder.path().join(name));
        let clip = Clip::open(&files).unwrap();
        assert!(clip.notes.is_empty());
        assert_eq!(clip.preprocess.mean[0], if name.starts_with("pre") { 0.4 } else { 0.1 });
    }
}

#[test]
fn a_processor_config_of_the_old_kind_says_nothing_of_pictures() {
    let (folder, mut preprocessor) = copy();
    write(&folder, "processor_config.json", &json!({"processor_class": "CLIPProcessor"}));
    let notes = open(&folder).notes;
    assert!(notes.len() == 1 && notes[0].contains("says how pictures are prepared"), "{notes:?}");
    preprocessor["image_std"] = json!(0.5);
    write(&folder, "preprocessor_config.json", &preprocessor);
    let clip = open(&folder);
    assert_eq!((clip.preprocess.std, clip.notes.len()), ([0.5; 3], 0));
}

/// The line of `run`, of `doctor`, and of the card of an exported model.
#[test]
fn a_model_with_neither_file_says_which_mean_and_deviation_are_in_use() {
    let (folder, _) = copy();
    assert_eq!(open(&folder).notes.len(), 1);
    let pipeline = Pipeline::new(1, 1);
    let file = fs::read_to_string(pipeline.path("pipeline.toml")).unwrap();
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/clip-flora");
    pipeline.write("pipeline.toml", &file.replace(model.to_str().unwrap(), folder.path().to_str().unwrap()));
    let said = text(&pipeline.output("run", &["--set", "adapt.epochs=1"]).stderr);
    let checked = pipeline.ok("doctor", &[]);
    let exported = pipeline.path("exported");
    pipeline.ok("export", &["--output", exported.to_str().unwrap()]);
    let card = fs::read_to_string(exported.join("README.md")).unwrap();
    for shown in [said, checked, card] {
        assert!(shown.contains("mean [0.48145467") && shown.contains("std [0.26862955"), "{shown}");
    }
    let written: Value = serde_json::from_slice(&fs::read(exported.join("preprocessor_config.json")).unwrap()).unwrap();
    assert_eq!(written["image_mean"], json!([0.48145467, 0.4578275, 0.40821072]));
}

#[test]
fn an_old_dict_replaces_a_towers_section_as_in_transformers() {
    let (folder, preprocessor) = copy();
    write(&folder, "preprocessor_config.json", &preprocessor);
    let path = folder.path().join("config.json");
    let whole: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    let mut config = whole.clone();
    config["text_config_dict"] = Value::Null;
    config["vision_config_dict"] = whole["vision_config"].clone();
    write(&folder, "config.json", &config);
    assert!(open(&folder).notes.is_empty());
    // What only the old section says counts, and so do its defaults for what it does not say.
    config["text_config_dict"] = whole["text_config"].clone();
    config["text_config_dict"]["layer_norm_eps"] = json!(1e-3);
    config["text_config_dict"].as_object_mut().unwrap().remove("hidden_act");
    config["text_config"]["hidden_act"] = json!("gelu");
    write(&folder, "config.json", &config);
    let clip = open(&folder);
    assert_eq!((clip.config.text.eps, clip.config.text.activation.as_str()), (1e-3, "quick_gelu"));
    let end = "text_config_dict and text_config differ in hidden_act, layer_norm_eps; text_config_dict is used, as in transformers";
    assert!(clip.notes.len() == 1 && clip.notes[0].ends_with(end), "{:?}", clip.notes);
}

#[test]
fn what_transformers_would_compute_otherwise_is_refused_by_name() {
    for (key, value, said) in [
        ("model_type", json!("siglip"), "model_type is 'siglip', not 'clip'"),
        ("text_config.eos_token_id", json!(919), "eos_token_id is 919, the tokenizer's end mark has id 920"),
        ("text_config.eos_token_id", json!([2, 920]), "eos_token_id is [2,920], not one number"),
        ("vision_config.hidden_act", json!("relu"), "unknown hidden_act 'relu'"),
        ("text_config", Value::Null, "text_config is missing"),
    ] {
        let (folder, _) = copy();
        let path = folder.path().join("config.json");
        let mut config: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        match key.split_once('.') {
            Some((section, key)) => config[section][key] = value,
            None => config[key] = value,
        }
        write(&folder, "config.json", &config);
        let error = Clip::open(&ModelSettings::new(folder.path().to_owned())).err().unwrap().to_string();
        assert!(error.contains(said), "{error}");
    }
}

#[test]
fn run_and_doctor_and_the_plan_say_which_sentence_spells_out_an_end_mark() {
    let pipeline = Pipeline::new(1, 1);
    pipeline.write(
        "sentences.json",
        "{\n\"blue bell\": [\"It is blue.\"],\n\"red rose\": [\"It is red.\",\n\"It \\\"is\\\" <|endoftext|> red.\"],\n\"white lily\": [\"It is white.\"]\n}",
    );
    let marked = "1 of 7 sentences spells out a mark of the tokenizer";
    let place = "sentences.json:4 ('red rose', <|endoftext|>)";
    let doctor = pipeline.ok("doctor", &[]);
    let said = |arguments: &[&str]| text(&pipeline.output("run", arguments).stderr);
    let plan = said(&["--dry-run"]);
    let run = text(&pipeline.output("run", &["--set", "adapt.tune=none"]).stderr);
    let again = said(&["--set", "adapt.tune=none", "--dry-run"]);
    for shown in [doctor, plan, run, again] {
        assert!(shown.contains(marked) && shown.contains(place), "{shown}");
    }
    let templates = "text.templates=[\"a {} <|startoftext|>\"]";
    let doctor = pipeline.ok("doctor", &["--set", templates, "--set", "text.prototypes=templates"]);
    assert!(
        doctor.contains("3 of 3 sentences spell out")
            && doctor.contains("'a blue bell <|startoftext|>' ('blue bell', "),
        "{doctor}"
    );
}
