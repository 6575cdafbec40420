//! The second vision model against transformers' `Dinov2Model`, `Dinov2WithRegistersModel` and
//! `DINOv3ViTModel`, and what it refuses.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use microclip_pipe::clip::hugging_face::{self, Named};
use microclip_pipe::dino::Dino;
use tch::{Kind, Tensor};
use tempfile::TempDir;

use crate::common::{Golden, by_formula, golden, mixed};

/// Writes a model of tests/golden/dino for pictures of `side` pixels.
pub fn folder(case: &str, side: i64) -> TempDir {
    let file = |name: &str| golden(&format!("dino/{case}/{name}"));
    let folder = tempfile::tempdir().unwrap();
    fs::copy(file("config.json"), folder.path().join("config.json")).unwrap();
    let shapes: BTreeMap<String, Vec<i64>> =
        serde_json::from_str(&fs::read_to_string(file("tensors.json")).unwrap()).unwrap();
    let tensors: Named = shapes.iter().map(|(name, shape)| (name.clone(), by_formula(name, shape))).collect();
    hugging_face::write(&folder.path().join("model.safetensors"), &tensors, &[]).unwrap();
    let preprocessor = serde_json::json!({"image_processor_type": "BitImageProcessor", "size": {"shortest_edge": side},
        "crop_size": {"height": side, "width": side}, "image_mean": 0.5, "image_std": 0.5});
    fs::write(folder.path().join("preprocessor_config.json"), preprocessor.to_string()).unwrap();
    folder
}

/// The pictures of generate.py, (2, 3, side, side), normalised.
fn pictures(side: i64) -> Tensor {
    let picture = |number: usize| {
        let bytes = mixed(&format!("picture {number}")).map(|number| (number >> 24) as u8);
        let bytes: Vec<u8> = bytes.take((side * side * 3) as usize).collect();
        Tensor::from_slice(&bytes).view([side, side, 3]).permute([2, 0, 1]).to_kind(Kind::Float)
    };
    (Tensor::stack(&[picture(0), picture(1)], 0) / 255.0 - 0.5) / 0.5
}

/// Learned positions at their own size, at a larger one and at one that no whole number of patches
/// covers; SwiGLU; registers; rotary positions; a gated MLP without offsets.
#[test]
fn features_are_those_of_transformers() {
    let cases: [(&str, &[i64]); 5] = [
        ("dinov2", &[28, 42, 23]),
        ("dinov2-swiglu", &[28, 35]),
        ("dinov2-registers", &[28, 42, 23]),
        ("dinov3", &[32, 48]),
        ("dinov3-gated", &[32]),
    ];
    let _no_grad = tch::no_grad_guard();
    for (case, sides) in cases {
        let expected = Golden::open(&format!("dino/{case}/expected.safetensors"));
        for &side in sides {
            let seen = Dino::open(folder(case, side).path(), None).unwrap().tower().unwrap().forward(&pictures(side));
            let mean = seen.patches.mean_dim([1i64].as_slice(), false, Kind::Float);
            for (kind, found) in [("cls", seen.cls), ("patches", mean)] {
                let apart = (&found - expected.get(&format!("{side}/{kind}"), 2)).abs().max().double_value(&[]);
                assert!(apart < 1e-4, "{case} at {side} px, {kind}: {apart} apart");
            }
        }
    }
}

fn refused(folder: &Path) -> String {
    Dino::open(folder, None).err().unwrap().to_string()
}

#[test]
fn a_setting_that_is_not_known_is_refused_by_its_key() {
    let folder = folder("dinov2", 28);
    let path = folder.path().join("config.json");
    let plain: serde_json::Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    for (key, value, said) in [
        ("window_size", serde_json::json!(14), "`window_size` is 14: a setting that is not known here"),
        ("model_type", serde_json::json!("clip"), "model_type is 'clip', not one of 'dinov2', 'dinov2_with_registers'"),
        ("patch_size", serde_json::json!([7, 14]), "`patch_size` is [7,14]: it must be a number of pixels"),
        ("hidden_act", serde_json::json!("relu6"), "unknown hidden_act 'relu6'"),
        ("num_attention_heads", serde_json::json!(5), "5 heads do not divide a width of 32"),
        ("hidden_size", serde_json::json!(i64::MAX), "hidden_size is 9223372036854775807, not within 1 to 16384"),
        ("mlp_ratio", serde_json::json!(1e300), "the width within the MLPs is"),
        ("num_channels", serde_json::json!(1), "`num_channels`: pictures have 3 channels here"),
        ("layer_norm_eps", serde_json::json!(0), "layer_norm_eps is 0, not between 0 and 1"),
        ("use_swiglu_ffn", serde_json::json!(true), "are missing"),
        ("num_hidden_layers", serde_json::json!(1), "are none of this model's"),
    ] {
        let mut changed = plain.clone();
        changed[key] = value;
        fs::write(&path, changed.to_string()).unwrap();
        let message = refused(folder.path());
        assert!(message.contains(said), "{key}: {message}");
    }
}

#[test]
fn a_folder_that_says_not_how_pictures_are_prepared_is_refused() {
    let folder = folder("dinov2", 28);
    let path = folder.path().join("preprocessor_config.json");
    for (text, said) in [
        (r#"{"image_processor_type": "ViTImageProcessor"}"#, "only a BitImageProcessor (DINOv2's) or a DINOv3ViT"),
        (r#"{"crop_size": 6, "size": 6}"#, "pictures of 6 px have no patch of 7 px"),
    ] {
        fs::write(&path, text).unwrap();
        let message = refused(folder.path());
        assert!(message.contains(said), "{message}");
    }
    // DINOv3's processor has other defaults: ImageNet's colours, and no crop.
    fs::write(&path, r#"{"image_processor_type": "DINOv3ViTImageProcessorFast"}"#).unwrap();
    let prepared = Dino::open(folder.path(), None).unwrap().preprocess;
    assert_eq!((prepared.squash, prepared.crop, prepared.mean), (true, 224, [0.485, 0.456, 0.406]));
    fs::remove_file(&path).unwrap();
    assert!(refused(folder.path()).contains("no preprocessor_config.json"));
}
