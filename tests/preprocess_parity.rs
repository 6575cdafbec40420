//! Preprocessing against what torchvision, transformers and Pillow give for the same files
//! (`tests/golden/preprocess`).

use std::path::{Path, PathBuf};

use microclip_pipe::image::augment::Op;
use microclip_pipe::image::preprocess::{OPENAI_MEAN, OPENAI_STD};
use microclip_pipe::image::{Filter, Format, Limits, Preprocess, Reason, decode, probe};
use safetensors::SafeTensors;

fn golden(name: &str) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/preprocess").join(name);
    std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn ours(name: &str, preprocess: &Preprocess) -> Vec<u8> {
    let picture = decode(&golden(name), &Limits::default()).unwrap_or_else(|r| panic!("{name}: {r}"));
    preprocess.centre_view(&picture).unwrap()
}

/// Largest and mean absolute difference, in units of 1/255.
fn difference(ours: &[u8], theirs: &[u8]) -> (u8, f64) {
    assert_eq!(ours.len(), theirs.len());
    let differences: Vec<u8> = ours.iter().zip(theirs).map(|(a, b)| a.abs_diff(*b)).collect();
    let mean = differences.iter().map(|&d| f64::from(d)).sum::<f64>() / differences.len() as f64;
    (differences.into_iter().max().unwrap(), mean)
}

#[test]
fn every_kind_of_picture_is_seen_as_torchvision_sees_it() {
    let file = golden("expected_resize224_bicubic_centercrop.safetensors");
    let expected = SafeTensors::deserialize(&file).unwrap();
    assert_eq!(expected.len(), 14);
    let mut failures = Vec::new();
    for (name, tensor) in expected.iter() {
        let (most, mean) = difference(&ours(name, &Preprocess::openai(224)), tensor.data());
        println!("{name}: at most {most}, mean {mean:.4}");
        let (most_allowed, mean_allowed) = if name.ends_with(".png") { (1, 0.5) } else { (4, 0.5) };
        if most > most_allowed || mean >= mean_allowed {
            failures.push(format!("{name}: at most {most}, mean {mean:.4}"));
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
}

#[test]
fn pixel_values_are_those_of_transformers() {
    let file = golden("expected_hf_clip_pixel_values.safetensors");
    let expected = SafeTensors::deserialize(&file).unwrap();
    assert_eq!(expected.len(), 3);
    let preprocess = Preprocess::from_hf_json(&serde_json::json!({}), Path::new("preprocessor_config.json")).unwrap();
    for (name, tensor) in expected.iter() {
        assert_eq!(tensor.shape(), [3, 224, 224]);
        let values: Vec<f32> = tensor.data().as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect();
        // (channel, height, width), normalised, back to (height, width, channel) in 0..=255.
        let mut theirs = vec![0u8; 3 * 224 * 224];
        for (i, value) in values.iter().enumerate() {
            let (channel, place) = (i / (224 * 224), i % (224 * 224));
            let level = (value * OPENAI_STD[channel] + OPENAI_MEAN[channel]) * 255.0;
            theirs[place * 3 + channel] = level.round() as u8;
        }
        let (most, mean) = difference(&ours(name, &preprocess), &theirs);
        println!("{name}: at most {most}, mean {mean:.4}");
        let most_allowed = if name.ends_with(".png") { 1 } else { 4 };
        assert!(most <= most_allowed && mean < 0.5, "{name}: at most {most}, mean {mean:.4}");
    }
}

#[test]
fn bad_files_are_rejected_with_a_reason() {
    for (name, reason) in [
        ("bad_crc.png", Reason::Corrupt),
        ("bad_empty.png", Reason::Empty),
        ("bad_not_an_image.jpg", Reason::UnknownFormat),
        ("bad_truncated.jpg", Reason::Truncated),
    ] {
        let rejection = decode(&golden(name), &Limits::default()).expect_err(name);
        assert_eq!(rejection.reason, reason, "{name}: {rejection}");
        assert!(!rejection.detail.is_empty(), "{name}");
    }
}

#[test]
fn a_file_cut_anywhere_is_rejected_and_never_panics() {
    for name in
        ["photo_q90_640x480.jpg", "progressive_640x480.jpg", "cmyk_400x300.jpg", "rgb_150x220.png", "rgb_333x250.webp"]
    {
        let bytes = golden(name);
        for cut in (1..40).map(|i| bytes.len() * i / 40).chain([bytes.len() - 20, 1, 3, 12, 30]) {
            let result = decode(&bytes[..cut], &Limits::default());
            let rejection = result.expect_err(&format!("{name} cut at {cut} of {}", bytes.len()));
            assert_ne!(rejection.reason, Reason::DecoderPanicked, "{name} cut at {cut}: {rejection}");
        }
    }
}

#[test]
fn damage_inside_a_file_never_stops_the_program() {
    for name in ["photo_q90_640x480.jpg", "progressive_640x480.jpg", "palette_256x200.png", "rgb_333x250.webp"] {
        let bytes = golden(name);
        for i in 0..60usize {
            let mut damaged = bytes.clone();
            // Most places near the front, where the headers are.
            let place = if i < 40 { 12 + i * 17 } else { bytes.len() * (i - 39) / 22 };
            damaged[place] ^= (i * 37 + 1) as u8;
            // Either outcome is right; that there is one is the point.
            let _ = decode(&damaged, &Limits::default());
        }
    }
}

#[test]
fn limits_are_checked_on_the_header() {
    let bytes = golden("rgb_640x427.png");
    let header = probe(&bytes, &Limits::default()).unwrap();
    assert_eq!((header.format, header.width, header.height), (Format::Png, 640, 427));
    let reason = |limits: Limits| decode(&bytes, &limits).unwrap_err().reason;
    assert_eq!(reason(Limits { max_side: 639, ..Limits::default() }), Reason::SideTooLong);
    assert_eq!(reason(Limits { max_pixels: 640 * 427 - 1, ..Limits::default() }), Reason::TooManyPixels);
    assert_eq!(reason(Limits { max_bytes: bytes.len() as u64 - 1, ..Limits::default() }), Reason::TooLargeBytes);
    let exact = Limits { max_side: 640, max_pixels: 640 * 427, max_bytes: bytes.len() as u64 };
    assert!(decode(&bytes, &exact).is_ok());
}

#[test]
fn headers_of_all_formats_are_read() {
    for (name, format, width, height) in [
        ("exif_rot6_320x240.jpg", Format::Jpeg, 320, 240),
        ("cmyk_400x300.jpg", Format::Jpeg, 400, 300),
        ("rgb_333x250.webp", Format::WebP, 333, 250),
        ("tiny_9x5.png", Format::Png, 9, 5),
    ] {
        let header = probe(&golden(name), &Limits::default()).unwrap();
        assert_eq!((header.format, header.width, header.height), (format, width, height), "{name}");
    }
}

#[test]
fn unusual_kinds_of_file_decode_as_pillow_decodes_them() {
    let file = golden("expected_kinds.safetensors");
    let expected = SafeTensors::deserialize(&file).unwrap();
    assert_eq!(expected.len(), 16);
    for (name, tensor) in expected.iter() {
        let picture = decode(&golden(name), &Limits::default()).unwrap_or_else(|r| panic!("{name}: {r}"));
        assert_eq!([picture.height as usize, picture.width as usize, 3], tensor.shape(), "{name}");
        let (most, mean) = difference(&picture.pixels, tensor.data());
        println!("{name}: at most {most}, mean {mean:.4}");
        let (most_allowed, mean_allowed) = if name.ends_with(".jpg") { (4, 0.5) } else { (0, 0.1) };
        assert!(most <= most_allowed && mean < mean_allowed, "{name}: at most {most}, mean {mean:.4}");
    }
}

#[test]
fn augmentations_are_those_of_pillow() {
    let file = golden("augment_by_pillow.safetensors");
    let expected = SafeTensors::deserialize(&file).unwrap();
    let source = expected.tensor("source").unwrap().data().to_vec();
    let mut compared = 0;
    for (name, tensor) in expected.iter().filter(|(name, _)| *name != "source") {
        let (case, filter) = match name.split_once('/') {
            Some((case, "nearest")) => (case, Filter::Nearest),
            Some((case, "bilinear")) => (case, Filter::Bilinear),
            Some((case, _)) => (case, Filter::Bicubic),
            None => (name, Filter::Bicubic),
        };
        let (kind, amount) = match case.rsplit_once('_').map(|(kind, amount)| (kind, amount.parse::<f64>())) {
            Some((kind, Ok(amount))) => (kind, amount),
            _ => (case, f64::NAN),
        };
        let op = match kind {
            "rotate" => Op::Rotate(amount),
            "shear_x" => Op::ShearX(amount),
            "shear_y" => Op::ShearY(amount),
            "translate_x" => Op::TranslateX(amount),
            "translate_y" => Op::TranslateY(amount),
            "posterize" => Op::Posterize(amount as u32),
            "solarize" => Op::Solarize(amount as u32),
            "solarize_add" => Op::SolarizeAdd(amount as u32),
            "colour" => Op::Colour(amount),
            "contrast" => Op::Contrast(amount),
            "brightness" => Op::Brightness(amount),
            "sharpness" => Op::Sharpness(amount),
            "auto_contrast" => Op::AutoContrast,
            "equalize" => Op::Equalize,
            "invert" => Op::Invert,
            other => panic!("no operation {other}"),
        };
        let ours = op.apply(source.clone(), 40, filter, [123, 117, 104]);
        let (most, mean) = difference(&ours, tensor.data());
        println!("{name}: at most {most}, mean {mean:.4}");
        assert!(most <= 1 && mean < 0.01, "{name}: at most {most}, mean {mean:.4}");
        compared += 1;
    }
    assert_eq!(compared, expected.len() - 1);
}
