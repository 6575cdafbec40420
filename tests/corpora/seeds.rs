//! Small files of every kind that a target reads: whole ones, so that a fuzzer need not find out
//! what a whole one looks like, and some that are wrong in ways of their own.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{ArrayRef, BinaryArray, DictionaryArray, Int64Array, RecordBatch, StringArray, StructArray};
use arrow::datatypes::{DataType, Field, Fields, Int32Type, Schema};
use microclip_pipe::store::{Store, seal, temporary};
use microclip_pipe::table::{Dims, arrays, table};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::{WriterProperties, WriterVersion};
use safetensors::tensor::{Dtype, TensorView};

use crate::{hostile, target, tars};

/// A seed: its target, its name, its bytes.
type Seed = (&'static str, String, Vec<u8>);

pub fn all() -> Vec<Seed> {
    let mut seeds = texts();
    seeds.extend(pictures());
    seeds.extend(sentences());
    seeds.extend(parquet());
    seeds.extend(shards());
    seeds.extend(tensors());
    seeds.extend(store());
    seeds
}

fn project(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn text(path: &str) -> String {
    fs::read_to_string(project(path)).unwrap()
}

const HEAD: &str = "name = \"a\"\n[dataset]\nkind = \"folder\"\npath = \"pictures\"\n[model]\npath = \"model\"\n\
                    [text]\ndescriptions = \"words.json\"\n";

const EVERY_KEY: &str = r#"templates = ["a photo of a {}."]
[views]
count = 4
scale = [0.2, 0.5]
seed = 7
[embed]
batch = 8
part_rows = 16
[saliency]
tau = 0.1
affinity = "cosine"
threshold = "mean"
[fusion]
ratio = 0.4
[dka]
gamma = 0.25
policy = "revive"
k = 2
floor = 0.75
[adapt]
tune = "head"
epochs = 3
lr = 1e-4
min_lr = 2e-6
class_prior = "estimated"
[adapt.strong]
scale = [0.3, 1.0]
rand_augment = false
[predict]
gamma = 0.5
[transduction]
prior = true
[device]
kind = "cpu"
threads = 1
"#;

const ROWS: &str = "name = \"b\"\npipelines = [\"whole.toml\"]\nseeds = [0, 1]\nset = [\"dka.k=3\"]\n[[rows]]\nname = \"zero-shot\"\n\
                    model = \"zero_shot\"\nset = [\"adapt.tune=none\"]\n[[rows]]\nname = \"head\"\nset = [\"adapt.tune=head\"]\n";

fn texts() -> Vec<Seed> {
    let models = [
        ("whole", text("data/clip-flora/config.json")),
        ("of-transformers", text("tests/golden/hf-clip-tiny/config.json")),
        ("smallest", target::SMALLEST.to_owned()),
        ("defaults", "{\"vision_config\":{},\"text_config\":{}}".to_owned()),
        ("absurd", target::SMALLEST.replace("\"patch_size\":1", "\"patch_size\":9223372036854775807")),
    ];
    let old = r#"{"crop_size":224,"do_center_crop":true,"do_normalize":true,"do_resize":true,"resample":3,"size":224,
"image_mean":[0.48145466,0.4578275,0.40821073],"image_std":[0.26862954,0.26130258,0.27577711]}"#;
    let preparations = [
        ("whole", text("data/clip-flora/preprocessor_config.json")),
        ("old", old.to_owned()),
        ("square", r#"{"size":{"height":64,"width":64},"do_center_crop":false,"resample":2}"#.to_owned()),
        ("padded", r#"{"do_pad":true,"rescale_factor":0.00392156862745098}"#.to_owned()),
    ];
    let tokenizers = [
        ("whole", text("data/clip-flora/tokenizer.json")),
        ("marks", target::MARKS.to_owned()),
        ("parts", target::MARKS.replace("\"normalizer\":null,\"pre_tokenizer\":null", PARTS)),
        ("split", target::MARKS.replace("\"pre_tokenizer\":null", SPLIT)),
        (
            "word-piece",
            target::MARKS
                .replace("\"BPE\"", "\"WordPiece\"")
                .replace(",\"merges\":[]", ",\"unk_token\":\"<|endoftext|>\""),
        ),
    ];
    let grid = format!("{ROWS}[grid]\n\"dka.gamma\" = [0.25, 0.5]\n\"adapt.epochs\" = [1, 2]\n");
    let pipelines = [
        ("whole", HEAD.to_owned()),
        ("every-key", format!("{HEAD}{EVERY_KEY}")),
        (
            "list",
            HEAD.replace("folder", "list")
                .replace("\"pictures\"", "\"list.csv\"\nroot = \"pictures\"\nclasses = \"classes.txt\""),
        ),
        ("parquet", HEAD.replace("folder", "hf-parquet")),
        ("statement", format!("{HEAD}[dka]\nstatement = \"own.sql\"\n")),
        ("limits", format!("{HEAD}[dataset.limits]\nmax_side = 100\nmax_pixels = 1000\nmax_bytes = 10000\n")),
        ("shares", format!("{HEAD}[adapt]\nclass_prior = \"table\"\nclass_shares = \"words.json\"\n")),
        (
            "set",
            format!(
                "{HEAD}\0adapt.epochs=3\0views.scale=[0.4, 0.8]\0text.templates=[\"a {{}}\", 'the {{}}.']\0name=2024"
            ),
        ),
        ("misspelt", HEAD.replace("kind", "knid").replace("path = \"model\"", "path = 5")),
        ("out-of-range", format!("{HEAD}[adapt]\nlr = -1\nepochs = 1e999\n[dka]\ngamma = nan\n")),
    ];
    let lists = [
        ("whole", "path,label,split\n\"a, b.png\",rose,train\nc.png,aster,test\nd.png,,\n"),
        ("of-a-spreadsheet", "\u{feff}label,path\r\n\"blue \"\"bell\"\"\",a.png\r\n,b.png\r\n"),
        ("uneven", "path,label\na.png,rose,train\n"),
        ("misspelt", "paths,lable\na.png,rose\n"),
        ("open-quote", "path\n\"a.png\nb.png\n"),
        (
            "json",
            "{\"file_name\":\"a.png\",\"label\":\"rose\"}\n{\"file_name\":\"b.png\",\"label\":1,\"split\":\"test\"}\n",
        ),
        ("json-of-other-types", "{\"path\":\"a.png\",\"label\":[1.5,null]}\n{\"path\":{},\"label\":true}\n"),
    ];
    let sentences = [
        ("whole", r#"{"rose": ["it is red.", "it has thorns."], "Blue_Aster": ["a star."]}"#),
        ("empty", r#"{"rose": [" "], "blue aster": []}"#),
        ("nested", r#"{"rose": [["a"]], "blue aster": {"a": null}}"#),
        ("twice", r#"{"rose": ["a"], "ROSE": ["b"], "blue aster": ["\ud83c\udf37"]}"#),
    ];
    let indices = [
        (
            "whole",
            r#"{"metadata":{"total_size":0},"weight_map":{"a":"model-1.safetensors","b":"model-1.safetensors"}}"#,
        ),
        ("outside", r#"{"weight_map":{"a":"../model/model.safetensors"}}"#),
        ("lost", r#"{"weight_map":{"a":"model-2.safetensors"}}"#),
    ];
    let asked = [
        ("values", "VALUES (1), ($gamma), ($k)"),
        ("explain", "EXPLAIN ANALYZE SELECT image_id FROM prior_logits"),
        (
            "functions",
            "SELECT argmax(make_array(1.0, 2.0)), cosine(make_array(1), make_array(2)), top_k(make_array(1.0), 1)",
        ),
        ("drop", "DROP TABLE prior_logits"),
        ("copy", "COPY (SELECT 1) TO 'a.csv'"),
        ("explain-copy", "EXPLAIN COPY (SELECT 1) TO 'a.csv'"),
        ("two", "SELECT 1; DELETE FROM previous"),
        ("file", "SELECT * FROM '/etc/passwd'"),
        ("set", "SET datafusion.execution.batch_size = 1"),
        ("deep", "SELECT ((((((((((((((((1))))))))))))))))"),
    ];
    let chains = [
        ("many-operators", format!("SELECT 1{}", "+1".repeat(2_000))),
        ("many-unions", format!("SELECT 1{}", " UNION ALL SELECT 1".repeat(300))),
    ];
    let policies = ["agreement", "argmax", "balanced", "confident", "revive", "top_k_per_class"]
        .map(|name| (name, text(&format!("src/dka/policies/{name}.sql"))));
    let mut seeds: Vec<Seed> = Vec::new();
    let mut add = |target, name: &str, text: &str| seeds.push((target, name.to_owned(), text.as_bytes().to_vec()));
    models.iter().for_each(|(name, text)| add("config", name, text));
    preparations.iter().for_each(|(name, text)| add("preprocessor", name, text));
    tokenizers.iter().for_each(|(name, text)| add("tokenizer", name, text));
    pipelines.iter().for_each(|(name, text)| add("pipeline", name, text));
    [("whole", ROWS), ("grid", grid.as_str()), ("misspelt", &ROWS.replace("rows", "row"))]
        .iter()
        .for_each(|(name, text)| add("ablation", name, text));
    lists.iter().for_each(|(name, text)| add("list", name, text));
    sentences.iter().for_each(|(name, text)| add("descriptions", name, text));
    indices.iter().for_each(|(name, text)| add("shards", name, text));
    asked.iter().for_each(|(name, text)| add("statement", name, text));
    policies.iter().chain(&chains).for_each(|(name, text)| add("statement", name, text));
    seeds
}

/// What transformers puts around CLIP's vocabulary.
const PARTS: &str = r#""normalizer":{"type":"Sequence","normalizers":[{"type":"NFC"},{"type":"Replace","pattern":{"Regex":"\\s+"},
"content":" "},{"type":"Lowercase"}]},"pre_tokenizer":{"type":"ByteLevel","add_prefix_space":false,"trim_offsets":true,"use_regex":true}"#;

const SPLIT: &str = r#""pre_tokenizer":{"type":"Split","pattern":{"Regex":"'s|'t|[\\p{L}]+|[\\p{N}]|[^\\s\\p{L}\\p{N}]+"},
"behavior":"Removed","invert":true}"#;

fn pictures() -> Vec<Seed> {
    let golden = fs::read_dir(project("tests/golden/preprocess")).unwrap().map(|entry| entry.unwrap().path());
    let named = |path: PathBuf| (path.file_name().unwrap().to_str().unwrap().to_owned(), fs::read(path).unwrap());
    let small = |(name, bytes): &(String, Vec<u8>)| name.starts_with("kind_") && bytes.len() < 6_000;
    let hostile = hostile::corpus().into_iter().map(|hostile| (hostile.name, hostile.bytes));
    // Of the hostile ones those that are neither large nor named so that a file system might refuse
    // them.
    let plain = |(name, bytes): &(String, Vec<u8>)| {
        bytes.len() < 2_500 && name.len() < 40 && name.chars().all(|c| c.is_ascii_alphanumeric() || "-.".contains(c))
    };
    let formats = fs::read_dir(project("tests/golden/formats")).unwrap().map(|entry| entry.unwrap().path());
    let others = |path: &PathBuf| path.extension().is_some_and(|kind| ["gif", "bmp", "tif"].iter().any(|k| kind == *k));
    let all = golden.map(named).filter(small).chain(hostile.filter(plain)).chain(formats.filter(others).map(named));
    all.map(|(name, bytes)| ("picture", name, bytes)).collect()
}

fn sentences() -> Vec<Seed> {
    let cases: Vec<serde_json::Value> = serde_json::from_str(&text("tests/golden/tokenizer_cases.json")).unwrap();
    let texts = cases.iter().map(|case| case["text"].as_str().unwrap().to_owned());
    let more = [
        "<|startoftext|> twice <|endoftext|><|endoftext|>",
        "&amp;amp;lt;",
        "\u{0}\u{feff}\u{202e}",
        "e\u{301}\u{1f337}",
    ];
    let all = texts.chain(more.map(str::to_owned));
    (1..).zip(all).map(|(n, text)| ("sentence", format!("{n:02}"), text.into_bytes())).collect()
}

/// Two pictures with labels, as `datasets` writes them, in several ways of writing.
fn parquet() -> Vec<Seed> {
    let numbers: ArrayRef = Arc::new(Int64Array::from(vec![Some(0), None, Some(-1)]));
    let names: ArrayRef = Arc::new(StringArray::from(vec!["rose", "aster", "rose"]));
    let coded: ArrayRef = Arc::new(DictionaryArray::<Int32Type>::from_iter(["rose", "aster", "rose"]));
    let plain = WriterProperties::builder().set_dictionary_enabled(false);
    let ways = [
        ("numbers", &numbers, plain.clone()),
        ("names", &names, WriterProperties::builder().set_compression(Compression::SNAPPY)),
        ("coded", &coded, WriterProperties::builder().set_compression(Compression::ZSTD(ZstdLevel::default()))),
        (
            "version-2",
            &numbers,
            plain.set_writer_version(WriterVersion::PARQUET_2_0).set_max_row_group_row_count(Some(2)),
        ),
    ];
    let written = ways.map(|(name, labels, ways)| ("hf_parquet", name.to_owned(), parquet_of(labels, ways.build())));
    written.into_iter().collect()
}

/// Shards of two samples, in several ways of writing.
fn shards() -> Vec<Seed> {
    let png = hostile::png(1, 1);
    let long = format!("{}.png", "n".repeat(120));
    let numbers = tars::tar(&[("0.png", &png), ("0.cls", b"1"), ("1.png", b""), ("1.cls", b"-1")]);
    let json = tars::tar(&[("a/0.png", &png), ("a/0.json", b"{\"label\": \"rose\"}"), (&long, &png)]);
    let texts =
        tars::tar(&[("0.txt", b"rose"), ("0.png", &png), ("1.txt", b"aster"), ("1.png", &png), ("1.png", &png)]);
    let mut odd = tar::Builder::new(Vec::new());
    for (name, kind, claimed) in [
        (&b"0.png"[..], tar::EntryType::Symlink, 0),
        (b"../1.png", tar::EntryType::Regular, 0),
        (b"2.png", tar::EntryType::GNUSparse, 0),
        (b"3.png", tar::EntryType::Regular, 1 << 40),
    ] {
        tars::append_raw(&mut odd, name, kind, claimed, b"");
    }
    let mut records = tar::Builder::new(Vec::new());
    records.append_pax_extensions([("path", &b"long/0.png"[..]), ("size", b"3")]).unwrap();
    tars::append(&mut records, "0.png", b"abc");
    let named = [
        ("numbers", numbers),
        ("json", json),
        ("texts", texts),
        ("odd", odd.into_inner().unwrap()),
        ("records", records.into_inner().unwrap()),
    ];
    named.map(|(name, bytes)| ("webdataset", name.to_owned(), bytes)).into()
}

fn parquet_of(labels: &ArrayRef, ways: WriterProperties) -> Vec<u8> {
    let small = hostile::png(1, 1);
    let bytes: ArrayRef = Arc::new(BinaryArray::from_opt_vec(vec![Some(&small), None, Some(b"")]));
    let paths: ArrayRef = Arc::new(StringArray::from(vec![Some("a.png"), Some("b.png"), None]));
    let fields =
        Fields::from(vec![Field::new("bytes", DataType::Binary, true), Field::new("path", DataType::Utf8, true)]);
    let images: ArrayRef = Arc::new(StructArray::new(fields, vec![bytes, paths], None));
    let features =
        r#"{"info":{"features":{"image":{"_type":"Image"},"label":{"names":["rose","aster"],"_type":"ClassLabel"}}}}"#;
    let schema = Schema::new(vec![
        Field::new("image", images.data_type().clone(), true),
        Field::new("label", labels.data_type().clone(), true),
    ]);
    let schema = Arc::new(schema.with_metadata([("huggingface".to_owned(), features.to_owned())].into()));
    let mut file = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut file, schema.clone(), Some(ways)).unwrap();
    writer.write(&RecordBatch::try_new(schema, vec![images, labels.clone()]).unwrap()).unwrap();
    writer.close().unwrap();
    file
}

/// A file of tensors of zeros.
fn file_of(tensors: &[(String, Dtype, Vec<usize>)], metadata: Option<HashMap<String, String>>) -> Vec<u8> {
    let zeros = [0; 256];
    let views = tensors.iter().map(|(name, dtype, shape)| {
        let length = shape.iter().product::<usize>() * dtype.bitsize() / 8;
        (name.as_str(), TensorView::new(*dtype, shape.clone(), &zeros[..length]).unwrap())
    });
    safetensors::serialize(views, metadata).unwrap()
}

/// The tensors of [`target::SMALLEST`].
fn smallest() -> Vec<(String, Dtype, Vec<usize>)> {
    let mut tensors = vec![
        ("vision_model.embeddings.patch_embedding.weight".to_owned(), vec![2, 3, 1, 1]),
        ("vision_model.embeddings.class_embedding".to_owned(), vec![2]),
        ("vision_model.embeddings.position_embedding.weight".to_owned(), vec![5, 2]),
        ("text_model.embeddings.token_embedding.weight".to_owned(), vec![2, 2]),
        ("text_model.embeddings.position_embedding.weight".to_owned(), vec![3, 2]),
        ("visual_projection.weight".to_owned(), vec![2, 2]),
        ("text_projection.weight".to_owned(), vec![2, 2]),
    ];
    let mut pair = |name: &str, shape: &[usize]| {
        tensors.push((format!("{name}.weight"), shape.to_vec()));
        tensors.push((format!("{name}.bias"), vec![2]));
    };
    for norm in ["vision_model.pre_layrnorm", "vision_model.post_layernorm", "text_model.final_layer_norm"] {
        pair(norm, &[2]);
    }
    for tower in ["vision_model", "text_model"] {
        let at = format!("{tower}.encoder.layers.0");
        for part in
            ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.out_proj", "mlp.fc1", "mlp.fc2"]
        {
            pair(&format!("{at}.{part}"), &[2, 2]);
        }
        pair(&format!("{at}.layer_norm1"), &[2]);
        pair(&format!("{at}.layer_norm2"), &[2]);
    }
    tensors.into_iter().map(|(name, shape)| (name, Dtype::F16, shape)).collect()
}

fn tensors() -> Vec<Seed> {
    let header = |text: &str| [&(text.len() as u64).to_le_bytes()[..], text.as_bytes()].concat();
    let openai = [
        ("visual.conv1.weight", vec![2, 3, 1, 1]),
        ("visual.positional_embedding", vec![5, 2]),
        ("token_embedding.weight", vec![2, 2]),
        ("positional_embedding", vec![3, 2]),
        ("visual.transformer.resblocks.0.mlp.c_fc.weight", vec![2, 2]),
        ("transformer.resblocks.0.mlp.c_fc.weight", vec![2, 2]),
        ("visual.proj", vec![2, 2]),
    ];
    let openai: Vec<_> = openai.map(|(name, shape)| (name.to_owned(), Dtype::F32, shape)).into();
    let mixed = [Dtype::F32, Dtype::BF16, Dtype::F64, Dtype::I64, Dtype::BOOL];
    let mixed: Vec<_> = (0..).zip(mixed).map(|(n, dtype)| (format!("t{n}"), dtype, vec![n, 2])).collect();
    let files = [
        ("whole", file_of(&smallest(), None)),
        ("openai", file_of(&openai, None)),
        ("mixed", file_of(&mixed, Some([("format".to_owned(), "pt".to_owned())].into()))),
        ("empty", header("{}")),
        (
            "absurd-shape",
            header("{\"a\":{\"dtype\":\"F32\",\"shape\":[18446744073709551615,2],\"data_offsets\":[0,8]}}"),
        ),
        ("backwards", header("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[8,4]}}")),
        ("pickle", b"PK\x03\x04 a pickle in a zip".to_vec()),
    ];
    files.map(|(name, bytes)| ("weights", name.to_owned(), bytes)).into()
}

/// What a store holds: parts with a seal, of now and of before there were seals, and the state
/// after a pass.
fn store() -> Vec<Seed> {
    let folder = tempfile::tempdir().unwrap();
    let mut seeds: Vec<Seed> = Vec::new();

    let path = folder.path().join("checkpoint");
    for (name, tensors) in
        [("whole", vec![("adamw.step".to_owned(), Dtype::F32, vec![])]), ("larger", smallest()), ("none", vec![])]
    {
        // One pair: several come in no order.
        let pairs = [(seal::KEY.to_owned(), seal::blank())];
        temporary::write_sealed(&path, file_of(&tensors, Some(pairs.into()))).unwrap();
        seeds.push(("checkpoint", name.to_owned(), fs::read(&path).unwrap()));
    }
    let unsealed = file_of(&smallest()[..3], None);
    seeds.push(("checkpoint", "without-a-seal".to_owned(), unsealed));

    let store = Store::open(folder.path().join("store")).unwrap();
    let classes = table("classes").unwrap().arrow(&Dims::new()).unwrap();
    let prior = table("prior_logits").unwrap().arrow(&Dims::from([("C", 2)])).unwrap();
    let ids = ["a".repeat(64), "b".repeat(64)];
    let logits = arrays::fixed_list_f32(&[0.1, 0.2, 0.3, 0.4], 2).unwrap();
    let prior_rows =
        RecordBatch::try_new(prior.clone(), vec![arrays::repeated("r", 2), arrays::text(&ids), logits]).unwrap();
    for (name, of, schema, batches) in [
        ("classes-without-rows", "classes", classes, vec![]),
        ("prior-logits", "prior_logits", prior, vec![prior_rows]),
    ] {
        let written = store.partition(of, "p").unwrap().write_part("part", &schema, &batches, &[]).unwrap();
        seeds.push(("part", name.to_owned(), fs::read(written.path).unwrap()));
    }
    for (name, path) in [
        ("classes-of-version-2", "classes/old-44445af0/snapshot.parquet"),
        ("descriptions-of-version-2", "descriptions/old-44445af0/snapshot.parquet"),
    ] {
        let path = project("tests/reliability/store-of-version-2").join(path);
        seeds.push(("part", name.to_owned(), fs::read(path).unwrap()));
    }
    seeds
}
