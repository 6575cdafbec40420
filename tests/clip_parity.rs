//! Both towers and the tokenizer against OpenAI's code and Hugging Face transformers.

use microclip_pipe::clip::naming::Naming;
use microclip_pipe::clip::{ClipConfig, TextTower, Tokenizer, VisionTower, Weights};
use microclip_pipe::fusion::normalize;
use tch::{Device, Kind, Tensor};

use crate::common::{Golden, assert_close, golden, normalise_pixels, raw};

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
        let mut padded = tokenizer.sequence(&case.text).unwrap().ids;
        padded.resize(77, 0);
        let ids = tokenizer.ids(&case.text).unwrap();
        if ids != case.bpe || padded != case.padded_77_truncated {
            wrong.push(format!("{:?}: {ids:?} instead of {:?}", case.text, case.bpe));
        }
    }
    assert!(wrong.is_empty(), "{} of {} differ:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}
