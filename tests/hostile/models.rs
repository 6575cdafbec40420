//! Models: weights are compared with the configuration, tensor by tensor, before anything is
//! allocated.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use microclip_pipe::clip::Clip;
use microclip_pipe::clip::ModelSettings;
use microclip_pipe::error::Kind;
use safetensors::tensor::{Dtype, TensorView};
use serde_json::{Value, json};
use tempfile::TempDir;

type Tensors = BTreeMap<String, (Dtype, Vec<usize>, Vec<u8>)>;

/// The embedded model, to be spoilt.
struct Model(TempDir);

impl Model {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/clip-flora");
        for entry in fs::read_dir(source).unwrap() {
            let path = entry.unwrap().path();
            fs::copy(&path, folder.path().join(path.file_name().unwrap())).unwrap();
        }
        Model(folder)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn tensors(&self, change: impl FnOnce(&mut Tensors)) {
        let bytes = fs::read(self.path("model.safetensors")).unwrap();
        let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        let whole = |view: &TensorView<'_>| (view.dtype(), view.shape().to_vec(), view.data().to_vec());
        let mut tensors: Tensors = file.iter().map(|(name, view)| (name.to_owned(), whole(&view))).collect();
        change(&mut tensors);
        let views = tensors
            .iter()
            .map(|(name, (dtype, shape, data))| (name, TensorView::new(*dtype, shape.clone(), data).unwrap()));
        fs::write(self.path("model.safetensors"), safetensors::serialize(views, None).unwrap()).unwrap();
    }

    /// Sets keys of `config.json`, each named by its place.
    fn config(&self, place: &str, value: Value) {
        let mut config: Value = serde_json::from_slice(&fs::read(self.path("config.json")).unwrap()).unwrap();
        let (section, key) = place.split_once('.').map_or((None, place), |(section, key)| (Some(section), key));
        match section {
            Some(section) => config[section][key] = value,
            None => config[key] = value,
        }
        fs::write(self.path("config.json"), config.to_string()).unwrap();
    }

    fn open(&self) -> microclip_pipe::Result<Clip> {
        Clip::open(&ModelSettings::new(self.0.path().to_owned()))
    }

    #[track_caller]
    fn refusal(&self) -> String {
        let Err(error) = self.open() else { panic!("it opens") };
        assert_eq!(error.kind(), Kind::Model, "{error}");
        error.to_string().replace(&self.0.path().display().to_string(), "MODEL")
    }
}

#[test]
fn the_whole_model_opens() {
    Model::new().open().unwrap();
}

#[test]
fn a_missing_or_superfluous_tensor_is_named() {
    let model = Model::new();
    model.tensors(|tensors| drop(tensors.remove("vision_model.encoder.layers.1.mlp.fc2.bias")));
    assert_eq!(model.refusal(), "MODEL: tensor 'vision_model.encoder.layers.1.mlp.fc2.bias' is missing");

    let model = Model::new();
    model.tensors(|tensors| drop(tensors.insert("classifier.weight".into(), (Dtype::F32, vec![2, 2], vec![0; 16]))));
    assert_eq!(model.refusal(), "MODEL: tensor 'classifier.weight' is none of this model's");

    // What OpenAI's and older transformers' files have besides, and nobody needs.
    let model = Model::new();
    model.tensors(|tensors| {
        tensors.insert("text_model.embeddings.position_ids".into(), (Dtype::F32, vec![1], vec![0; 4]));
        tensors.insert("logit_bias".into(), (Dtype::F32, vec![1], vec![0; 4]));
    });
    model.open().unwrap();
}

#[test]
fn a_tensor_of_another_shape_is_named_with_both() {
    let model = Model::new();
    model.tensors(|tensors| {
        let (_, shape, _) = tensors.get_mut("vision_model.encoder.layers.0.mlp.fc1.weight").unwrap();
        shape.reverse();
    });
    let said = model.refusal();
    assert!(
        said.contains("'vision_model.encoder.layers.0.mlp.fc1.weight' has shape [")
            && said.contains("the configuration asks for ["),
        "{said}"
    );
}

#[test]
fn a_configuration_of_fewer_or_more_blocks_does_not_pass() {
    // Fewer would run, and give nonsense: the last blocks would be left out.
    for (layers, expected) in [(1, "none of this model's"), (99, "is missing"), (256, "are missing")] {
        let model = Model::new();
        model.config("vision_config.num_hidden_layers", json!(layers));
        let said = model.refusal();
        assert!(said.contains(expected) || said.contains("are missing"), "{layers}: {said}");
        assert!(said.contains("'vision_model.encoder.layers."), "{said}");
    }
}

#[test]
fn absurd_sizes_are_refused_by_key_before_anything_is_allocated() {
    let max = i64::MAX;
    for (place, value) in [
        ("vision_config.hidden_size", json!(max)),
        ("vision_config.hidden_size", json!(0)),
        ("vision_config.hidden_size", json!(-768)),
        ("vision_config.intermediate_size", json!(max)),
        ("vision_config.num_hidden_layers", json!(1_000_000_000)),
        ("vision_config.num_attention_heads", json!(0)),
        ("vision_config.num_attention_heads", json!(7)),
        ("vision_config.image_size", json!(1_000_000)),
        ("vision_config.patch_size", json!(0)),
        ("vision_config.patch_size", json!(max)),
        ("vision_config.layer_norm_eps", json!(-1.0)),
        ("vision_config.layer_norm_eps", json!(1e300)),
        ("text_config.vocab_size", json!(max)),
        ("text_config.max_position_embeddings", json!(max)),
        ("text_config.max_position_embeddings", json!(2)),
        ("text_config.hidden_size", json!(16_384)),
        ("projection_dim", json!(max)),
        ("projection_dim", json!("wide")),
        ("vision_config", json!([1, 2, 3])),
        ("text_config", json!(null)),
        ("vision_config.hidden_act", json!("rm -rf")),
    ] {
        let model = Model::new();
        model.config(place, value.clone());
        let said = model.refusal();
        assert!(said.contains("MODEL"), "{place} = {value}: {said}");
    }
}

#[test]
fn nested_endless_or_huge_configurations_are_refused() {
    let model = Model::new();
    for text in [
        "[".repeat(100_000),
        format!("{{\"a\":{}", "{\"a\":".repeat(50_000)),
        String::new(),
        " ".repeat(17 << 20),
        "1e999".into(),
    ] {
        for name in ["config.json", "preprocessor_config.json", "tokenizer.json"] {
            let whole = fs::read(model.path(name)).unwrap();
            fs::write(model.path(name), &text).unwrap();
            model.refusal();
            fs::write(model.path(name), whole).unwrap();
        }
    }
    model.open().unwrap();
}

#[test]
fn a_tokenizer_that_the_library_panics_on_is_refused() {
    let model = Model::new();
    let path = model.path("tokenizer.json");
    let whole = fs::read(&path).unwrap();
    // Bytes that are no text, in a place that the library takes apart a second time.
    let decoder = whole.windows(9).position(|bytes| bytes == b"use_regex").unwrap();
    let mut bytes = whole.clone();
    bytes[decoder] = 0xf5;
    fs::write(&path, bytes).unwrap();
    let said = model.refusal();
    assert!(said.starts_with("MODEL/tokenizer.json:") && said.contains(": not UTF-8 text"), "{said}");
}

#[test]
fn hostile_headers_of_weights_are_refused() {
    let model = Model::new();
    let header = |text: &str| [&(text.len() as u64).to_le_bytes()[..], text.as_bytes()].concat();
    let files: Vec<Vec<u8>> = vec![
        Vec::new(),
        vec![0; 7],
        vec![0; 8],
        u64::MAX.to_le_bytes().to_vec(),
        [&u64::MAX.to_le_bytes()[..], b"{}"].concat(),
        header("{}"),
        header("[]"),
        header("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}"),
        header("{\"a\":{\"dtype\":\"F32\",\"shape\":[18446744073709551615,2],\"data_offsets\":[0,8]}}"),
        header("{\"a\":{\"dtype\":\"F32\",\"shape\":[4294967296,4294967296],\"data_offsets\":[0,0]}}"),
        header("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[8,4]}}"),
        header("{\"a\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[18446744073709551612,18446744073709551615]}}"),
        header("{\"__metadata__\":{\"a\":1}}"),
        header(&format!("{{\"a\":{}", "[".repeat(100_000))),
        b"PK\x03\x04 a pickle in a zip".to_vec(),
        b"\x80\x04\x95 a pickle".to_vec(),
    ];
    for (n, bytes) in files.into_iter().enumerate() {
        fs::write(model.path("model.safetensors"), bytes).unwrap();
        let said = model.refusal();
        assert!(
            said.starts_with("not a safetensors file: MODEL")
                || said.contains("missing")
                || said.contains("cannot map"),
            "{n}: {said}"
        );
    }
}

#[test]
fn an_index_cannot_lead_out_of_its_folder() {
    for (shard, expected) in [
        ("../model.safetensors", "shard '../model.safetensors' is not a plain file name"),
        ("/etc/passwd", "is not a plain file name"),
        ("a/b.safetensors", "is not a plain file name"),
        ("..", "shard '..' is not a plain file name"),
        ("", "shard '' is not a plain file name"),
        ("model.bin", "is a Python pickle"),
        ("nowhere.safetensors", "cannot open"),
    ] {
        let model = Model::new();
        let index = json!({"weight_map": {"logit_scale": shard}});
        fs::write(model.path("model.safetensors.index.json"), index.to_string()).unwrap();
        let said = model.refusal();
        assert!(said.contains(expected), "{shard}: {said}");
    }
}
