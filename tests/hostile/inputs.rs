//! Every parser of what users bring, on thousands of spoilt files: each gives a result or an error
//! that says which file, and none panics.
//!
//! `MICROCLIP_SPOILT` says how many of each kind (150 if it does not), and `MICROCLIP_SEED` begins
//! another sequence.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use microclip_pipe::clip::{ClipConfig, Tokenizer, Weights};
use microclip_pipe::dka::Statement;
use microclip_pipe::error::{Error, Kind, Result};
use microclip_pipe::image::{Limits, Preprocess, decode, probe};
use microclip_pipe::source::{self, Dataset, SourceKind};
use microclip_pipe::stage::describe::Sentences;
use microclip_pipe::{ablation, config::load};
use rand::seq::IndexedRandom;
use rand::{Rng, RngCore, SeedableRng};
use rand_chacha::ChaCha8Rng;

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

/// What hostile numbers and words look like.
const WORDS: [&[u8]; 16] = [
    b"0",
    b"-1",
    b"18446744073709551616",
    b"1e999",
    b"NaN",
    b"null",
    b"\"",
    b"[[[[[[[[",
    b"{\"\":",
    b"\0",
    b"\xff\xfe",
    b"\n\n",
    b"../../etc/passwd",
    b"%s%n",
    b"\xf0\x9f\x8c\xb7",
    b"\xe2\x80\xae",
];

/// A whole file, spoilt in one or a few places.
fn spoilt(whole: &[u8], rng: &mut ChaCha8Rng) -> Vec<u8> {
    let mut bytes = whole.to_vec();
    for _ in 0..rng.random_range(1..5) {
        let at = rng.random_range(0..=bytes.len());
        let end = rng.random_range(at..=bytes.len().min(at + 40));
        match rng.random_range(0..7) {
            0 => bytes.truncate(at),
            1 if at < bytes.len() => bytes[at] ^= 1 << rng.random_range(0..8),
            2 if at < bytes.len() => bytes[at] = rng.random(),
            3 => drop(bytes.drain(at..end)),
            4 => {
                let again = bytes[at..end].to_vec();
                bytes.splice(at..at, again);
            }
            5 => drop(bytes.splice(at..end, WORDS.choose(rng).unwrap().iter().copied())),
            _ => {
                let mut noise = vec![0; rng.random_range(1..30)];
                rng.fill_bytes(&mut noise);
                bytes.splice(at..end, noise);
            }
        }
    }
    bytes
}

/// Spoils a file again and again and reads it; counts how often it was refused.
#[track_caller]
fn survives(name: &str, whole: &[u8], read: impl Fn(&Path) -> Result<()>) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    fs::write(&path, whole).unwrap();
    read(&path).unwrap_or_else(|error| panic!("{name} as it is: {error}"));
    let (rounds, seed) = (number("MICROCLIP_SPOILT", 150), number("MICROCLIP_SEED", 0));
    let mut refused = 0;
    for round in 0..rounds {
        let bytes = spoilt(whole, &mut ChaCha8Rng::seed_from_u64(seed << 32 | round));
        fs::write(&path, &bytes).unwrap();
        match catch_unwind(AssertUnwindSafe(|| read(&path))) {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                refused += 1;
                assert!(!error.to_string().trim().is_empty());
            }
            Err(_) => {
                let kept = std::env::temp_dir().join(format!("panics-{name}"));
                fs::write(&kept, &bytes).unwrap();
                panic!("{name}: round {round} of seed {seed} panics; the file is {}", kept.display());
            }
        }
    }
    assert!(refused > 0, "{name}: none of {rounds} spoilt files was refused");
    eprintln!("{name}: {refused} of {rounds} spoilt files refused");
}

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn bytes(name: &str) -> Vec<u8> {
    fs::read(data(name)).unwrap()
}

/// Everything that a source yields, and what the pictures in it decode to.
fn drained(spec: &Dataset) -> Result<()> {
    let source = source::open(spec)?;
    source.fingerprint()?;
    for item in source.items() {
        if let source::Origin::Embedded { bytes, .. } = item?.origin {
            let _ = probe(&bytes, &Limits::default());
        }
    }
    Ok(())
}

#[test]
fn pipeline_files() {
    let base = data("pipelines");
    let text =
        fs::read_to_string(base.join("flowers.toml")).unwrap().replace("../", &format!("{}/../", base.display()));
    let more =
        "\n[dka]\ngamma = 0.25\npolicy = \"revive\"\nk = 2\n[views]\nscale = [0.2, 0.5]\n[device]\nthreads = 1\n";
    survives("pipeline.toml", (text + more).as_bytes(), |path| load(path, &[]).map(drop));
}

#[test]
fn ablation_files() {
    let base = data("pipelines/ablations");
    let text =
        fs::read_to_string(base.join("flowers.toml")).unwrap().replace("../", &format!("{}/../", base.display()));
    survives("ablation.toml", text.as_bytes(), |path| ablation::load(path).map(drop));
}

#[test]
fn overrides() {
    let pipeline = data("pipelines/flowers.toml");
    survives("override", b"adapt.class_prior=uniform", |path| {
        let text = String::from_utf8_lossy(&fs::read(path).unwrap()).into_owned();
        load(&pipeline, &[text]).map(drop)
    });
}

#[test]
fn lists() {
    let list = b"path,label,split\n\"a, b.png\",rose,train\nc.png,aster,test\nd.png,,\n";
    survives("list.csv", list, |path| drained(&Dataset::new(SourceKind::List, path.to_owned())));
    let list =
        b"{\"file_name\":\"a.png\",\"label\":\"rose\"}\n{\"file_name\":\"b.png\",\"label\":1,\"split\":\"test\"}\n";
    survives("list.jsonl", list, |path| drained(&Dataset::new(SourceKind::List, path.to_owned())));
}

#[test]
fn descriptions() {
    let classes = ["rose".to_owned(), "aster".to_owned()];
    let json = br#"{"rose": ["it is red.", "it has thorns."], "aster": ["a star."]}"#;
    survives("words.json", json, |path| Sentences::read(path, &classes, &["a {}".to_owned()]).map(drop));
}

#[test]
fn hugging_face_parquet() {
    let whole = small_parquet();
    survives("train.parquet", &whole, |path| drained(&Dataset::new(SourceKind::HfParquet, path.to_owned())));
}

#[test]
fn shards() {
    let (one, two) = (crate::corpus::png(9, 8), crate::corpus::png(8, 9));
    let long = format!("{}.png", "n".repeat(200));
    let whole = crate::tars::tar(&[("0.png", &one), ("0.cls", b"1"), (&long, &two), ("1.json", b"{\"label\": 0}")]);
    survives("train.tar", &whole, |path| {
        let dataset = Dataset::new(SourceKind::WebDataset, path.to_owned());
        drained(&dataset)?;
        // What is wrong with a shard is an item of it; places are always within the file.
        for item in source::open(&dataset)?.items() {
            match item?.origin {
                source::Origin::Part { place, byte_len } => {
                    drop(source::Larger::open(&place.file)?.read(place.at, byte_len).unwrap());
                }
                source::Origin::Unreadable { detail } => return Err(Error::new(Kind::Input, detail)),
                source::Origin::File { .. } | source::Origin::Embedded { .. } => {}
            }
        }
        Ok(())
    });
}

/// Two pictures with labels, as `datasets` writes them.
fn small_parquet() -> Vec<u8> {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, BinaryArray, Int64Array, RecordBatch, StringArray, StructArray};
    use arrow::datatypes::{DataType, Field, Fields, Schema};

    let pictures = [crate::corpus::png(9, 8), crate::corpus::png(8, 9)];
    let bytes: ArrayRef = Arc::new(BinaryArray::from_iter_values(&pictures));
    let paths: ArrayRef = Arc::new(StringArray::from_iter_values(["a.png", "b.png"]));
    let fields =
        Fields::from(vec![Field::new("bytes", DataType::Binary, true), Field::new("path", DataType::Utf8, true)]);
    let images: ArrayRef = Arc::new(StructArray::new(fields, vec![bytes, paths], None));
    let labels: ArrayRef = Arc::new(Int64Array::from(vec![0, 1]));
    let features =
        r#"{"info":{"features":{"image":{"_type":"Image"},"label":{"names":["rose","aster"],"_type":"ClassLabel"}}}}"#;
    let schema = Schema::new(vec![
        Field::new("image", images.data_type().clone(), true),
        Field::new("label", DataType::Int64, true),
    ]);
    let schema = Arc::new(schema.with_metadata([("huggingface".to_owned(), features.to_owned())].into()));
    let mut file = Vec::new();
    let mut writer = parquet::arrow::ArrowWriter::try_new(&mut file, schema.clone(), None).unwrap();
    writer.write(&RecordBatch::try_new(schema, vec![images, labels]).unwrap()).unwrap();
    writer.close().unwrap();
    file
}

#[test]
fn safetensors_headers() {
    let tensors = [("a", [2, 3]), ("b.c", [1, 4])].map(|(name, shape)| {
        let data: &'static [u8] = vec![0; shape.iter().product::<usize>() * 4].leak();
        (name, safetensors::tensor::TensorView::new(safetensors::Dtype::F32, shape.to_vec(), data).unwrap())
    });
    let whole = safetensors::serialize(tensors, None).unwrap();
    survives("model.safetensors", &whole, |path| {
        let weights = Weights::open(path)?;
        weights.names().for_each(|name| drop(weights.get(name, &[2, 3])));
        weights.hash();
        Ok(())
    });
}

#[test]
fn configurations() {
    let whole = bytes("data/clip-flora/config.json");
    survives("config.json", &whole, |path| ClipConfig::from_hugging_face(path).map(drop));
}

#[test]
fn preprocessing() {
    let whole = bytes("data/clip-flora/preprocessor_config.json");
    survives("preprocessor_config.json", &whole, |path| {
        let Ok(json) = serde_json::from_slice(&fs::read(path).unwrap()) else {
            return Err(microclip_pipe::Error::new(microclip_pipe::error::Kind::Model, "not JSON"));
        };
        Preprocess::from_hf_json(&json, path).map(drop)
    });
}

#[test]
fn tokenizers() {
    let whole = bytes("data/clip-flora/tokenizer.json");
    survives("tokenizer.json", &whole, |path| {
        let tokenizer = Tokenizer::from_file(path, 77, 1 << 20)?;
        tokenizer.sequence("a photo of a rose, 花 and <|endoftext|>").map(drop)
    });
}

#[test]
fn statements() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let whole = bytes("src/dka/policies/revive.sql");
    survives("own.sql", &whole, |path| runtime.block_on(Statement::from_file(path)?.validate()));
}

#[test]
fn pictures() {
    let read = |path: &Path| {
        let (bytes, limits) = (fs::read(path).unwrap(), Limits::default());
        let decoded = probe(&bytes, &limits).and_then(|_| decode(&bytes, &limits));
        decoded.map(drop).map_err(|r| microclip_pipe::Error::new(microclip_pipe::error::Kind::Input, r.to_string()))
    };
    for name in [
        "kind_444.jpg",
        "kind_cmyk.jpg",
        "kind_interlaced.png",
        "kind_palette_2bit.png",
        "kind_animated.webp",
        "kind_rgba16.png",
    ] {
        survives(name, &bytes(&format!("tests/golden/preprocess/{name}")), read);
    }
}
