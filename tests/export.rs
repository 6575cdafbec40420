//! The real binary's `export`: a folder that has everything that answers are made with.

use std::path::{Path, PathBuf};

use microclip_pipe::clip::ModelSettings;
use microclip_pipe::clip::naming::Naming;
use microclip_pipe::clip::{Clip, ClipConfig, TextTower, VisionTower, Weights, hugging_face};
use microclip_pipe::dka::LOGIT_SCALE;
use microclip_pipe::fusion::design::{Design, Fusion, Sink, StartsFrom};
use microclip_pipe::fusion::foreground::Saliency;
use microclip_pipe::fusion::model::Model;
use microclip_pipe::image::{Limits, decode};
use microclip_pipe::stage::pixels::Normaliser;
use tch::{Device, Kind, Tensor};

use crate::pipeline::{CLASSES, Pipeline, entries};

fn open(folder: &Path) -> Clip {
    Clip::open(&ModelSettings::new(folder.to_owned())).unwrap()
}

/// The model that a folder and the paper's settings make, with nothing else of the run.
fn exported(folder: &Path) -> (Clip, Model) {
    let clip = open(folder);
    let weights = Weights::open(&folder.join("classifier.safetensors")).unwrap();
    let (width, joint) = (clip.config.vision.width, clip.config.joint);
    let head = weights.get("classifier", &[3, joint]).unwrap();
    let fusion = Fusion { sink: Sink::Learned, ..Fusion::default() };
    let design =
        Design { starts_from: StartsFrom::Features, saliency: Saliency::default(), fusion, scale: LOGIT_SCALE };
    let mut model = Model::new(&clip.vision().unwrap(), &head, design);
    let square = |name: &str| weights.get(name, &[width, width]).unwrap();
    let parts = ["query_proj.weight", "key_proj.weight", "value_proj.weight"].map(square);
    let [query, key, value] = parts;
    model.restore(&[query, key, value, weights.get("sink", &[width]).unwrap(), head]).unwrap();
    (clip, model)
}

/// The class and its probability at a temperature, by what the folder holds.
fn answer((clip, model): &(Clip, Model), picture: &Path, temperature: f64) -> (i64, f64) {
    let picture = decode(&std::fs::read(picture).unwrap(), &Limits::default()).unwrap();
    let pixels = clip.preprocess.centre_view(&picture).unwrap();
    let pixels = Normaliser::new(&clip.preprocess, Device::Cpu, Kind::Float).forward(&pixels).unwrap();
    let logits = tch::no_grad(|| {
        let seen = model.see(&pixels, &Tensor::zeros([1], (Kind::Int64, Device::Cpu)));
        model.logits(&model.tokens(&seen))
    });
    let (probability, class) = (logits / temperature).softmax(-1, Kind::Double).max_dim(1, false);
    (class.int64_value(&[0]), probability.double_value(&[0]))
}

#[test]
fn the_folder_alone_answers_as_the_run_does() {
    let pipeline = Pipeline::new(4, 1);
    pipeline.ok("run", &["--set", "adapt.epochs=1", "--set", "adapt.lr=0.01", "--set", "fusion.sink=learned"]);
    let folder = pipeline.path("exported");
    pipeline.ok("export", &["--output", folder.to_str().unwrap()]);
    let names: Vec<PathBuf> = entries(&folder);
    let names: Vec<&str> = names.iter().map(|path| path.file_name().unwrap().to_str().unwrap()).collect();
    assert_eq!(
        names,
        [
            "README.md",
            "classes.json",
            "classifier.safetensors",
            "config.json",
            "model.safetensors",
            "preprocessor_config.json",
            "tokenizer.json",
            "tokenizer_config.json"
        ]
    );

    let model = exported(&folder);
    let temperature = pipeline.sql("SELECT temperature FROM runs")[0]["temperature"].as_f64().unwrap();
    let test = pipeline.path("pictures/test");
    let rows = pipeline.ok("predict", &[test.to_str().unwrap(), "--format", "json", "--quiet"]);
    assert_eq!(rows.lines().count(), 3);
    for row in rows.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()) {
        let (class, probability) = answer(&model, Path::new(row["path"].as_str().unwrap()), temperature);
        assert_eq!(CLASSES[class as usize], row["class"], "{row}");
        assert!((probability - row["probability"].as_f64().unwrap()).abs() < 1e-4, "{probability}, not {row}");
    }

    let source = open(&PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("data/clip-flora"));
    tch::manual_seed(7);
    let side = source.config.vision.image_size;
    let pixels = Tensor::randn([2, 3, side, side], (Kind::Float, Device::Cpu));
    let seen = |clip: &Clip| clip.vision().unwrap().forward(&pixels).cls;
    assert!(!seen(&source).allclose(&seen(&model.0), 1e-4, 1e-4, false), "the LayerNorms are the adapted ones");
    let words = source.tokenizer.sequence("a red rose").unwrap().ids;
    let said = |clip: &Clip| clip.text().unwrap().forward(std::slice::from_ref(&words), Device::Cpu);
    assert!(said(&source).equal(&said(&model.0)), "the text tower is the source's");

    let classes = std::fs::read_to_string(folder.join("classes.json")).unwrap();
    assert_eq!(serde_json::from_str::<Vec<String>>(&classes).unwrap(), CLASSES);
    let card = std::fs::read_to_string(folder.join("README.md")).unwrap();
    let metrics =
        pipeline.sql("SELECT value FROM metrics WHERE model = 'adapted' AND split = 'test' AND metric = 'top1'");
    let figure = format!("{:.1}", 100.0 * metrics[0]["value"].as_f64().unwrap());
    assert!(card.lines().any(|line| line.starts_with("| adapted |") && line.contains(&figure)), "{card}");
    assert!(card.contains("adapt.epochs = 1\n") && !card.contains("adapt.weight_decay"), "{card}");
    assert!(card.contains("12 pictures without labels were trained on; 3 more"), "{card}");
    assert!(!card.contains(pipeline.path("").to_str().unwrap()), "no path of this machine: {card}");
}

#[test]
fn nothing_is_overwritten() {
    let pipeline = Pipeline::new(4, 1);
    let none = pipeline.output("export", &["--output", "exported"]);
    assert_eq!(none.status.code(), Some(2), "there is no run yet");
    assert!(String::from_utf8(none.stderr).unwrap().contains("has no run of pipeline 'small'"));
    let taken = pipeline.path("pictures");
    pipeline.ok("run", &["--set", "adapt.tune=head"]);
    let refused = pipeline.output("export", &["--output", taken.to_str().unwrap()]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8(refused.stderr).unwrap().contains("is there already, and not empty"));
}

#[test]
fn weights_in_openais_layout_are_renamed() {
    let source = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/clip_openai_layout.safetensors");
    let source = Weights::open(&source).unwrap();
    let config = ClipConfig::from_openai(&source).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    let renamed = hugging_face::tensors(&source, &config, Naming::OpenAi).unwrap();
    hugging_face::write(&path, &renamed, &[]).unwrap();
    std::fs::write(folder.path().join("config.json"), hugging_face::config(&config, 511).to_string()).unwrap();

    let written = Weights::open(&path).unwrap();
    assert_eq!(Naming::of(&written), Naming::HuggingFace);
    let read = ClipConfig::from_hugging_face(&folder.path().join("config.json")).unwrap();
    assert_eq!(read, config);
    let towers = |weights: &Weights, naming| {
        let vision = VisionTower::load(weights, &config.vision, config.joint, naming).unwrap();
        (vision, TextTower::load(weights, &config.text, config.joint, naming).unwrap())
    };
    let (before, after) = (towers(&source, Naming::OpenAi), towers(&written, Naming::HuggingFace));
    let side = config.vision.image_size;
    let pixels = Tensor::randn([2, 3, side, side], (Kind::Float, Device::Cpu));
    assert!(before.0.forward(&pixels).cls.allclose(&after.0.forward(&pixels).cls, 1e-6, 1e-6, false));
    let sentence = [vec![config.text.vocab - 2, 5, 6, config.text.vocab - 1]];
    let said = |tower: &TextTower| tower.forward(&sentence, Device::Cpu);
    assert!(said(&before.1).allclose(&said(&after.1), 1e-6, 1e-6, false));
}
