//! Both towers and the tokenizer against OpenAI's code and Hugging Face transformers.

use std::fs;
use std::path::{Path, PathBuf};

use microclip_pipe::clip::hugging_face::{self, Named};
use microclip_pipe::clip::naming::Naming;
use microclip_pipe::clip::{Clip, ClipConfig, ModelSettings, ReadAt, TextTower, Tokenizer, VisionTower, Weights};
use microclip_pipe::fusion::normalize;
use microclip_pipe::image::Rgb;
use tch::{Device, Kind, Tensor};
use tempfile::TempDir;

use crate::common::{Golden, assert_close, by_formula, golden, mixed, normalise_pixels, raw};

/// Token rows as sequences that end with their end mark.
fn sequences(ids: &Tensor, end: i64) -> Vec<Vec<i64>> {
    (0..ids.size()[0])
        .map(|row| {
            let row: Vec<i64> = Vec::try_from(ids.get(row)).unwrap();
            let stop = row.iter().position(|&id| id == end).unwrap();
            row[..=stop].to_vec()
        })
        .collect()
}

#[test]
fn openai_towers_match_the_released_code() {
    let weights = Weights::open(&golden("clip_openai_layout.safetensors")).unwrap();
    let expected = Golden::open("microclip.safetensors");
    let config = ClipConfig::from_openai(&weights).unwrap();
    assert_eq!((config.vision.heads, config.vision.image_size, config.text.vocab), (2, 64, 512));

    let vision = VisionTower::load(&weights, &config.vision, config.joint, Naming::of(&weights)).unwrap();
    let seen = vision.forward(&normalise_pixels(&expected.get("images/weak", 4)));
    assert_close("visual/cls_feature", &normalize(&seen.cls), &normalize(&expected.get("visual/cls_feature", 2)));
    assert_close("visual/patch_tokens", &seen.patch_tokens, &expected.get("visual/patch_tokens", 3));

    let text = TextTower::load(&weights, &config.text, config.joint, Naming::of(&weights)).unwrap();
    let ids = raw("microclip.safetensors", "text/token_ids", Kind::Int64);
    let end = ids.max().int64_value(&[]);
    let features = text.forward(&sequences(&ids, end), Device::Cpu);
    assert_close("text/features", &normalize(&features), &normalize(&expected.get("text/features", 2)));
}

#[test]
fn hugging_face_directory_matches_transformers() {
    let directory = golden("hf-clip-tiny");
    let weights = Weights::open(&directory).unwrap();
    let expected = Golden::open("hf-clip-tiny/expected.safetensors");
    let config = ClipConfig::from_hugging_face(&directory.join("config.json")).unwrap();
    let naming = Naming::of(&weights);
    assert_eq!(naming, Naming::HuggingFace);

    let vision = VisionTower::load(&weights, &config.vision, config.joint, naming).unwrap();
    let images = vision.forward(&expected.get("pixel_values", 4)).cls;
    assert_close("image_features", &images, &expected.get("image_features", 2));

    let text = TextTower::load(&weights, &config.text, config.joint, naming).unwrap();
    let ids = raw("hf-clip-tiny/expected.safetensors", "input_ids", Kind::Int64);
    let sentences = text.forward(&sequences(&ids, 511), Device::Cpu);
    assert_close("text_features", &sentences, &expected.get("text_features", 2));
}

#[test]
fn tokenizer_matches_openai() {
    #[derive(serde::Deserialize)]
    struct Case {
        text: String,
        bpe: Vec<i64>,
        padded_77_truncated: Vec<i64>,
    }
    let cases: Vec<Case> =
        serde_json::from_str(&std::fs::read_to_string(golden("tokenizer_cases.json")).unwrap()).unwrap();
    let tokenizer = Tokenizer::openai(77, 49_408).unwrap();
    let mut wrong = Vec::new();
    for case in &cases {
        // Their tower reads the feature at the first end mark.
        let end = case.padded_77_truncated.iter().position(|id| *id == 49_407).unwrap();
        let sequence = tokenizer.sequence(&case.text).unwrap().ids;
        let ids = tokenizer.ids(&case.text).unwrap();
        if ids != case.bpe || sequence != case.padded_77_truncated[..=end] {
            wrong.push(format!("{:?}: {ids:?} instead of {:?}", case.text, case.bpe));
        }
    }
    assert!(wrong.is_empty(), "{} of {} differ:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

/// All tensors of a model, in open_clip's naming.
fn tensors(config: &ClipConfig) -> Named {
    let (v, t, joint) = (&config.vision, &config.text, config.joint);
    let mut shapes = vec![
        ("visual.class_embedding".to_owned(), vec![v.width]),
        ("visual.positional_embedding".to_owned(), vec![v.patches() + 1, v.width]),
        ("visual.conv1.weight".to_owned(), vec![v.width, 3, v.patch, v.patch]),
        ("visual.proj".to_owned(), vec![v.width, joint]),
        ("token_embedding.weight".to_owned(), vec![t.vocab, t.width]),
        ("positional_embedding".to_owned(), vec![t.context, t.width]),
        ("text_projection".to_owned(), vec![t.width, joint]),
    ];
    let mut pair = |name: String, shape: &[i64]| {
        let weight = if name.ends_with("in_proj") { "_" } else { "." };
        shapes.push((format!("{name}{weight}weight"), shape.to_vec()));
        shapes.push((format!("{name}{weight}bias"), shape[..1].to_vec()));
    };
    for (norm, width) in [("visual.ln_pre", v.width), ("visual.ln_post", v.width), ("ln_final", t.width)] {
        pair(norm.to_owned(), &[width]);
    }
    for (tower, layers, width, mlp) in
        [("visual.transformer", v.layers, v.width, v.mlp), ("transformer", t.layers, t.width, t.mlp)]
    {
        for block in (0..layers).map(|n| format!("{tower}.resblocks.{n}")) {
            pair(format!("{block}.attn.in_proj"), &[3 * width, width]);
            pair(format!("{block}.attn.out_proj"), &[width, width]);
            pair(format!("{block}.mlp.c_fc"), &[mlp, width]);
            pair(format!("{block}.mlp.c_proj"), &[width, mlp]);
            pair(format!("{block}.ln_1"), &[width]);
            pair(format!("{block}.ln_2"), &[width]);
        }
    }
    shapes.into_iter().map(|(name, shape)| (name.clone(), by_formula(&name, &shape))).collect()
}

fn folder(files: &[PathBuf]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for file in files {
        fs::copy(file, folder.path().join(file.file_name().unwrap())).unwrap();
    }
    folder
}

fn open(folder: &TempDir) -> Clip {
    let clip = Clip::open(&ModelSettings::new(folder.path().to_owned())).unwrap();
    assert!(clip.notes.is_empty(), "{:?}", clip.notes);
    clip
}

/// Features of the pictures and sentences of generate.py, from files to numbers.
fn features(clip: &Clip) -> [(&'static str, Tensor); 2] {
    let _no_grad = tch::no_grad_guard();
    let preprocess = &clip.preprocess;
    let side = preprocess.crop;
    let channels = |numbers: [f32; 3]| Tensor::from_slice(&numbers).view([3, 1, 1]);
    let pictures: Vec<Tensor> = (0..2)
        .map(|number| {
            let bytes = mixed(&format!("picture {number}")).map(|number| (number >> 24) as u8);
            let picture = Rgb::new(side, side, bytes.take((side * side * 3) as usize).collect()).unwrap();
            let seen = Tensor::from_slice(&preprocess.centre_view(&picture).unwrap());
            let seen = seen.view([i64::from(side), i64::from(side), 3]).permute([2, 0, 1]).to_kind(Kind::Float) / 255.0;
            (seen - channels(preprocess.mean)) / channels(preprocess.std)
        })
        .collect();
    let images = clip.vision().unwrap().forward(&Tensor::stack(&pictures, 0)).cls;
    let sentences: Vec<Vec<i64>> =
        sentences().iter().map(|(text, _)| clip.tokenizer.sequence(text).unwrap().ids).collect();
    [("image", images), ("text", clip.text().unwrap().forward(&sentences, Device::Cpu))]
}

/// The sentences of generate.py, with their ids by transformers.
fn sentences() -> Vec<(String, Vec<i64>)> {
    #[derive(serde::Deserialize)]
    struct Sentence {
        text: String,
        ids: Vec<i64>,
    }
    let text = fs::read_to_string(golden("models/sentences.json")).unwrap();
    let all: Vec<Sentence> = serde_json::from_str(&text).unwrap();
    all.into_iter().map(|sentence| (sentence.text, sentence.ids)).collect()
}

/// The lowest cosine of two tables' rows.
fn cosine(a: &Tensor, b: &Tensor) -> f64 {
    Tensor::cosine_similarity(&a.to_kind(Kind::Double), &b.to_kind(Kind::Double), 1, 1e-12).min().double_value(&[])
}

/// Wide heads, both GELUs and other epsilons; each as open_clip's files and as transformers'.
#[test]
fn models_of_open_clip_and_transformers_give_those_libraries_features() {
    let tokenizer = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/clip-flora/tokenizer.json");
    for case in ["gelu-80", "quick-gelu-80", "gelu-88", "gelu-104", "tanh-eps-80"] {
        let file = |name: &str| golden(&format!("models/{case}/{name}"));
        let expected = Golden::open(&format!("models/{case}/expected.safetensors"));
        let weights = tensors(&ClipConfig::from_hugging_face(&file("config.json")).unwrap());

        let theirs = folder(&[file("open_clip_config.json"), tokenizer.clone()]);
        hugging_face::write(&theirs.path().join("open_clip_model.safetensors"), &weights, &[]).unwrap();
        let open_clip = open(&theirs);
        let ours = folder(&[file("config.json"), golden("models/processor_config.json"), tokenizer.clone()]);
        let renamed = open_clip.tensors().unwrap();
        hugging_face::write(&ours.path().join("model.safetensors"), &renamed, &[]).unwrap();
        let transformers = open(&ours);
        assert_eq!(open_clip.config, transformers.config);

        for (library, clip) in [("open_clip", &open_clip), ("transformers", &transformers)] {
            for (kind, found) in features(clip) {
                let expected = expected.get(&format!("{library}/{kind}"), 2);
                let alike = cosine(&found, &expected);
                assert!(alike > 1.0 - 1e-5, "{case}, {library}, {kind}: cosine {alike}");
                let apart = (&found - &expected).abs().max().double_value(&[]);
                assert!(apart < 1e-4, "{case}, {library}, {kind}: {apart} apart");
            }
        }
    }
    // That the two nonlinearities are told apart at all.
    let features =
        |case: &str| Golden::open(&format!("models/{case}/expected.safetensors")).get("transformers/image", 2);
    assert!((features("gelu-80") - features("quick-gelu-80")).abs().max().double_value(&[]) > 1e-2);
}

#[test]
fn open_clips_own_file_counts_for_weights_in_its_naming() {
    let tokenizer = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/clip-flora/tokenizer.json");
    let file = |name: &str| golden(&format!("models/gelu-80/{name}"));
    let folder = folder(&[file("open_clip_config.json"), golden("models/processor_config.json"), tokenizer]);
    let weights = tensors(&ClipConfig::from_hugging_face(&file("config.json")).unwrap());
    hugging_face::write(&folder.path().join("open_clip_model.safetensors"), &weights, &[]).unwrap();
    open(&folder);
    // transformers' file says otherwise, and open_clip would not read it.
    let other = r#"{"size": [24, 24], "do_center_crop": false, "image_mean": 0.5, "image_std": [0.2, 0.25, 0.3]}"#;
    fs::write(folder.path().join("preprocessor_config.json"), other).unwrap();
    let clip = Clip::open(&ModelSettings::new(folder.path().to_owned())).unwrap();
    assert_eq!((clip.preprocess.squash, clip.preprocess.mean), (false, [0.5, 0.4, 0.3]));
    let end = "open_clip_config.json is used; preprocessor_config.json differs: size is 24, there 24 x 24, \
               mean is [0.5, 0.4, 0.3], there [0.5, 0.5, 0.5]";
    assert!(clip.notes.len() == 1 && clip.notes[0].ends_with(end), "{:?}", clip.notes);
}

/// Towers from timm have tensors under names that are neither library's plain ones.
#[test]
fn a_tower_of_another_kind_is_refused_by_its_key_and_not_for_a_missing_file() {
    let models = fs::read_to_string(golden("models/open_clip_models.jsonl")).unwrap();
    let siglip = models.lines().find(|line| line.starts_with(r#"{"name":"ViT-B-16-SigLIP","#)).unwrap();
    let siglip: serde_json::Value = serde_json::from_str(siglip).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let config = serde_json::json!({"model_cfg": siglip["config"]});
    fs::write(folder.path().join("open_clip_config.json"), config.to_string()).unwrap();
    let weights =
        Named::from([("visual.trunk.pos_embed".to_owned(), Tensor::zeros([1, 196, 768], (Kind::Float, Device::Cpu)))]);
    hugging_face::write(&folder.path().join("open_clip_model.safetensors"), &weights, &[]).unwrap();
    let error = Clip::open(&ModelSettings::new(folder.path().to_owned())).err().unwrap().to_string();
    let said = r#"vision_cfg.timm_model_name is "vit_base_patch16_siglip_224", which the towers here cannot do"#;
    assert!(error.contains(said), "{error}");
}

#[test]
fn a_sentence_ends_at_the_end_mark_that_it_spells_out_as_in_transformers() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/clip-flora/tokenizer.json");
    let tokenizer = Tokenizer::from_file(&path, 16, 921).unwrap();
    for (text, ids) in sentences() {
        let end = ids.iter().position(|id| *id == tokenizer.end()).unwrap();
        let sequence = tokenizer.sequence(&text).unwrap();
        assert_eq!((sequence.ids.as_slice(), sequence.tokens), (&ids[..=end], end + 1), "{text}");
        let mark = ["<|endoftext|>", "<|startoftext|>"].into_iter().find(|mark| text.contains(mark));
        assert_eq!(tokenizer.mark_in(&text).unwrap(), mark);
    }
    // With a token behind the end mark, files of before 2023 mean the largest id.
    let mut json: serde_json::Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    let mut added = json["added_tokens"][1].clone();
    (added["content"], added["id"]) = ("<rare>".into(), 921.into());
    json["added_tokens"].as_array_mut().unwrap().push(added);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokenizer.json");
    fs::write(&path, json.to_string()).unwrap();
    let longer = || Tokenizer::from_file(&path, 16, 922).unwrap();
    let (at_end, at_largest) = (longer().read_at(ReadAt::End), longer().read_at(ReadAt::Largest));
    let last = |tokenizer: &Tokenizer| *tokenizer.sequence("a <rare> flower").unwrap().ids.last().unwrap();
    assert_eq!((last(&at_end), last(&at_largest)), (920, 921));
    assert_ne!(at_end.identity(), at_largest.identity());
    assert_eq!(tokenizer.identity(), tokenizer.read_at(ReadAt::Largest).identity());
}
