//! What each target does with its bytes: it hands them to the parser as a user would, and asks of
//! what comes back what must hold. An error is a good answer; a panic, a hang or a gigabyte of
//! memory is not.
//!
//! The fuzzers and `tests/corpora.rs` call the same functions.

use std::cell::OnceCell;
use std::fs;
use std::path::{Path, PathBuf};

use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::logical_expr::LogicalPlan;
use microclip_pipe::clip::ModelSettings;
use microclip_pipe::clip::{Clip, ClipConfig, Tokenizer, Weights};
use microclip_pipe::dka::Statement;
use microclip_pipe::image::{Limits, Preprocess, decode, probe};
use microclip_pipe::source::{self, Dataset, Larger, Origin, SourceKind};
use microclip_pipe::stage::describe::Sentences;
use microclip_pipe::store::{inventory, reader};
use microclip_pipe::table::{query, session::bare_session};
use microclip_pipe::{ablation as grid, config::load};
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

/// A target and its name, which is also that of its corpus.
type Target = (&'static str, fn(&[u8]));

/// Every target.
pub const ALL: [Target; 16] = [
    ("ablation", ablation),
    ("checkpoint", checkpoint),
    ("config", config),
    ("descriptions", descriptions),
    ("hf_parquet", hf_parquet),
    ("list", list),
    ("part", part),
    ("picture", picture),
    ("pipeline", pipeline),
    ("preprocessor", preprocessor),
    ("sentence", sentence),
    ("shards", shards),
    ("statement", statement),
    ("tokenizer", tokenizer),
    ("webdataset", webdataset),
    ("weights", weights),
];

/// A tokenizer of nothing but the two marks that CLIP's needs.
pub const MARKS: &str = r#"{"version":"1.0","added_tokens":[
{"id":0,"content":"<|startoftext|>","single_word":false,"lstrip":false,"rstrip":false,"normalized":false,"special":true},
{"id":1,"content":"<|endoftext|>","single_word":false,"lstrip":false,"rstrip":false,"normalized":false,"special":true}],
"normalizer":null,"pre_tokenizer":null,"post_processor":null,"decoder":null,
"model":{"type":"BPE","vocab":{"<|startoftext|>":0,"<|endoftext|>":1},"merges":[]}}"#;

/// The smallest CLIP that there can be, in Hugging Face's naming.
pub const SMALLEST: &str = r#"{"projection_dim":2,
"vision_config":{"hidden_size":2,"intermediate_size":2,"num_hidden_layers":1,"num_attention_heads":1,"image_size":2,"patch_size":1},
"text_config":{"hidden_size":2,"intermediate_size":2,"num_hidden_layers":1,"num_attention_heads":1,"vocab_size":2,
"max_position_embeddings":3}}"#;

thread_local! {
    static FOLDER: TempDir = folder();
    static RUNTIME: Runtime = Builder::new_current_thread().build().expect("a runtime");
    static TOKENIZERS: OnceCell<[Tokenizer; 2]> = const { OnceCell::new() };
}

/// A folder with everything that a pipeline file may name.
fn folder() -> TempDir {
    // In memory where there is such a place: a target runs some thousand times a second.
    let memory = Path::new("/dev/shm");
    let folder = if memory.is_dir() { TempDir::new_in(memory) } else { TempDir::new() }.expect("a temporary folder");
    for name in ["pictures", "model", "shards"] {
        fs::create_dir(folder.path().join(name)).expect("a folder");
    }
    let pipeline = "name = \"a\"\n[dataset]\nkind = \"folder\"\npath = \"pictures\"\n[model]\npath = \"model\"\n\
                    [text]\ndescriptions = \"words.json\"\n";
    for (name, text) in [
        ("words.json", "{}"),
        ("classes.txt", "rose\naster\n"),
        ("own.sql", "SELECT 1"),
        ("list.csv", "path\n"),
        ("whole.toml", pipeline),
        ("model/config.json", SMALLEST),
        ("model/tokenizer.json", MARKS),
        ("model/preprocessor_config.json", r#"{"size":2,"crop_size":2}"#),
        ("shards/model-1.safetensors", "\x02\0\0\0\0\0\0\0{}"),
    ] {
        fs::write(folder.path().join(name), text).expect("a file");
    }
    folder
}

/// The path of a file with these bytes.
fn file(name: &str, bytes: &[u8]) -> PathBuf {
    let path = FOLDER.with(|folder| folder.path().join(name));
    fs::write(&path, bytes).expect("a file in the temporary folder");
    path
}

/// A pipeline file; after the first byte 0 come values of `--set`, each after another 0. What loads
/// is the same when it is written and loaded again.
pub fn pipeline(bytes: &[u8]) {
    let mut parts = bytes.split(|byte| *byte == 0);
    let path = file("pipeline.toml", parts.next().unwrap_or_default());
    let overrides: Vec<String> = parts.map(|part| String::from_utf8_lossy(part).into_owned()).collect();
    let Ok(spec) = load(&path, &overrides) else { return };
    let text = toml::to_string(&spec).expect("a specification is TOML");
    let again = load(&file("again.toml", text.as_bytes()), &[]);
    assert_eq!(again.map_err(|error| format!("{error}\n{text}")), Ok(spec));
}

/// A file of ablations, and the runs that it asks for.
pub fn ablation(bytes: &[u8]) {
    let Ok(ablation) = grid::load(&file("ablation.toml", bytes)) else { return };
    assert!(!ablation.rows.is_empty() && !ablation.pipelines.is_empty());
}

/// A list, as CSV or JSON Lines, and every picture that it names.
pub fn list(bytes: &[u8]) {
    drain(&Dataset::new(SourceKind::List, file("list.csv", bytes)));
}

/// Pictures in Parquet, as Hugging Face's `datasets` writes them.
pub fn hf_parquet(bytes: &[u8]) {
    drain(&Dataset::new(SourceKind::HfParquet, file("train.parquet", bytes)));
}

/// A shard of WebDataset, with its labels, and every picture in it.
pub fn webdataset(bytes: &[u8]) {
    drain(&Dataset::new(SourceKind::WebDataset, file("train.tar", bytes)));
}

/// All items of a source; an error is the last of them.
fn drain(spec: &Dataset) {
    let Ok(source) = source::open(spec) else { return };
    let listing = source.listing().clone();
    // Paths in a table are read for it, and may be damaged.
    assert!(
        source.fingerprint().is_ok_and(|fingerprint| fingerprint.len() == 64) || spec.kind == SourceKind::HfParquet
    );
    let mut ended = false;
    for item in source.items() {
        assert!(!ended, "an error is the last item");
        let Ok(item) = item else {
            ended = true;
            continue;
        };
        assert!(item.label.is_none_or(|label| listing.classes.contains(&label)));
        match item.origin {
            Origin::Embedded { bytes, .. } => drop(probe(&bytes, &Limits::default())),
            Origin::Part { place, byte_len } => {
                let read = Larger::open(&place.file).and_then(|file| file.read(place.at, byte_len));
                let bytes = read.expect("a place within the file");
                drop(probe(&bytes, &Limits::default()));
            }
            Origin::File { .. } | Origin::Unreadable { .. } => {}
        }
    }
}

/// Sentences about two classes.
pub fn descriptions(bytes: &[u8]) {
    let classes = ["rose".to_owned(), "blue aster".to_owned()];
    let Ok(read) = Sentences::read(&file("words.json", bytes), &classes, &["a {}".to_owned()]) else { return };
    assert_eq!(read.descriptions.len(), classes.len());
    assert!(read.descriptions.iter().all(|of_class| of_class.iter().any(|sentence| !sentence.trim().is_empty())));
}

/// A picture of any format. The limit on pixels is a low one, so that many small pictures are tried
/// and not a few large ones.
pub fn picture(bytes: &[u8]) {
    let limits = Limits { max_pixels: 1 << 20, ..Limits::default() };
    let header = probe(bytes, &limits);
    let decoded = decode(bytes, &limits);
    if let Ok(picture) = decoded {
        let header = header.expect("what decodes has a header");
        assert_eq!((picture.width, picture.height), (header.width, header.height));
        assert_eq!(picture.pixels.len(), header.width as usize * header.height as usize * 3);
    }
}

/// Weights beside the configuration of the smallest CLIP: what opens can be built.
pub fn weights(bytes: &[u8]) {
    let path = file("model/model.safetensors", bytes);
    let _ = Weights::open(&path).map(|weights| weights.hash());
    let folder = path.parent().unwrap_or(&path).to_owned();
    let Ok(clip) = Clip::open(&ModelSettings::new(folder)) else { return };
    let _ = (clip.vision().map(drop), clip.text().map(drop));
}

/// The index of a model in several files.
pub fn shards(bytes: &[u8]) {
    let path = file("shards/model.safetensors.index.json", bytes);
    let _ = Weights::open(path.parent().unwrap_or(&path));
}

/// A model's `config.json`.
pub fn config(bytes: &[u8]) {
    let Ok(config) = ClipConfig::from_hugging_face(&file("config.json", bytes)) else { return };
    assert!(config.vision.patches() > 0 && config.vision.width % config.vision.heads == 0);
    assert!(config.text.context > 2 && config.text.width % config.text.heads == 0);
}

/// A model's `preprocessor_config.json`.
pub fn preprocessor(bytes: &[u8]) {
    let Ok(json) = serde_json::from_slice(bytes) else { return };
    let Ok(read) = Preprocess::from_hf_json(&json, Path::new("preprocessor_config.json")) else { return };
    assert!(read.crop > 0 && read.shortest_edge > 0 && read.std.iter().all(|std| *std > 0.0));
}

/// A `tokenizer.json`, and a sentence through it.
pub fn tokenizer(bytes: &[u8]) {
    let Ok(tokenizer) = Tokenizer::from_file(&file("tokenizer.json", bytes), 77, 49_408) else { return };
    if let Ok(sequence) = tokenizer.sequence("a photo of a rose, 花 and <|endoftext|>") {
        assert!((2..=77).contains(&sequence.ids.len()) && sequence.ids.iter().all(|id| (0..49_408).contains(id)));
    }
}

/// A sentence, through OpenAI's vocabulary and through a `tokenizer.json`.
pub fn sentence(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    TOKENIZERS.with(|tokenizers| {
        let tokenizers = tokenizers.get_or_init(|| {
            // This file is compiled from two folders of the project.
            let above = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
            let path = above.map(|folder| folder.join("data/clip-flora/tokenizer.json")).find(|path| path.exists());
            let path = path.expect("the embedded model");
            let own = Tokenizer::from_file(&path, 77, 49_408).expect("the embedded model's tokenizer");
            [Tokenizer::openai(77, 49_408).expect("OpenAI's vocabulary"), own]
        });
        for tokenizer in tokenizers {
            let sequence = tokenizer.sequence(&text).expect("any text can be turned into tokens");
            assert!((2..=77).contains(&sequence.ids.len()) && sequence.ids.iter().all(|id| (0..49_408).contains(id)));
        }
    });
}

/// SQL, as a statement of DKA and as one that a user asks: whatever is planned does no more than
/// read.
pub fn statement(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    RUNTIME.with(|runtime| {
        runtime.block_on(async {
            let _ = Statement::new("own.sql", &text).validate().await;
            let Ok(frame) = query(&bare_session(), &text).await else { return };
            let reads = |plan: &LogicalPlan| {
                let writes = matches!(
                    plan,
                    LogicalPlan::Dml(_) | LogicalPlan::Ddl(_) | LogicalPlan::Copy(_) | LogicalPlan::Statement(_)
                );
                assert!(!writes, "planned: {}", plan.display());
                Ok(TreeNodeRecursion::Continue)
            };
            frame.logical_plan().apply_with_subqueries(reads).expect("nothing in it fails");
        });
    });
}

/// A part of the store.
pub fn part(bytes: &[u8]) {
    let path = file("part-00000.parquet", bytes);
    let _ = inventory::examine(&path);
    let _ = reader::footer(&path);
    let mut rows = 0;
    for batch in reader::batches_of(vec![path], None, 64) {
        let Ok(batch) = batch else { break };
        rows += batch.num_rows();
        // A run of one value can claim any number of rows.
        if rows > 100_000 {
            break;
        }
    }
}

/// The state after a pass.
pub fn checkpoint(bytes: &[u8]) {
    let path = file("pass-0001.safetensors", bytes);
    let _ = inventory::examine(&path);
    let Ok(weights) = Weights::open(&path) else { return };
    for name in weights.names() {
        for rank in 0..3 {
            if let Ok(shape) = weights.shape_of(name, rank) {
                let _ = weights.get(name, shape);
            }
        }
    }
}
