//! What the real binary says of mistakes: one snapshot of many, so that they can be read side by
//! side. Each says what was wrong and where, and what to do about it.

use std::fmt::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use insta::assert_snapshot;

use crate::pipeline::Pipeline;

/// Mistakes made in one folder, and what was said of each.
struct Mistakes {
    pipeline: Pipeline,
    said: String,
}

impl Mistakes {
    /// In the folder of a small pipeline.
    fn new() -> Self {
        Mistakes { pipeline: Pipeline::new(2, 1), said: String::new() }
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        let path = self.pipeline.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }

    /// Runs a command line that must fail, and adds it with what it said.
    #[track_caller]
    fn make(&mut self, line: &str) {
        let folder = self.pipeline.folder.path();
        let mut command = Command::new(env!("CARGO_BIN_EXE_microclip-pipe"));
        let arguments = words(line);
        command.args(&arguments).current_dir(folder).stdin(Stdio::null()).env_remove("COLUMNS");
        let done = command.env("RUST_BACKTRACE", "full").arg("--quiet").output().unwrap();
        let said = String::from_utf8(done.stderr).unwrap();
        assert!(!done.status.success(), "{line}");
        let last = said.lines().rev().find(|line| !line.is_empty()).unwrap_or_default();
        assert!(said.contains("error: "), "{line}: {said}");
        // Of the command line it is clap that tells, in its own form.
        let helps = last.starts_with("hint: ") || last == "For more information, try '--help'.";
        assert!(helps, "a hint ends what is said of {line}: {said}");
        for debug in ["panicked", "Error(", "Err(", "Some(", "backtrace", ".rs:"] {
            assert!(!said.contains(debug), "{line}: {said}");
        }
        let said = said.replace(folder.canonicalize().unwrap().to_str().unwrap(), "DIR");
        let said = said.replace(folder.to_str().unwrap(), "DIR").replace(env!("CARGO_MANIFEST_DIR"), "ROOT");
        writeln!(self.said, "$ microclip-pipe {line}\n{said}[{}]\n", done.status.code().unwrap()).unwrap();
    }

    /// Writes each file, and runs the line with its name for `{}`.
    #[track_caller]
    fn make_with(&mut self, line: &str, files: &[(&str, &str)]) {
        for (name, text) in files {
            self.write(name, text);
            self.make(&line.replace("{}", name));
        }
    }

    /// The same for a verb, with one key of the pipeline file set.
    #[track_caller]
    fn set(&mut self, verb: &str, setting: &str) {
        self.make(&format!("{verb} pipeline.toml --set '{setting}'"));
    }
}

/// The words of a command line; what stands in single quotes is one.
fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quoted = false;
    for c in line.chars() {
        match c {
            '\'' => quoted = !quoted,
            ' ' if !quoted => words.push(String::new()),
            c => words.last_mut().unwrap().push(c),
        }
    }
    words
}

#[test]
fn mistakes_about_pictures_and_words() {
    let mut m = Mistakes::new();
    std::fs::create_dir(m.pipeline.path("empty")).unwrap();
    m.set("ingest", "dataset.path=empty");
    m.write("flat/rose.png", "no picture");
    m.set("ingest", "dataset.path=flat");
    std::fs::copy(m.pipeline.path("pictures/train/red_rose/0000.png"), m.pipeline.path("a.png")).unwrap();
    m.write("one.txt", "rose\n");
    m.set("ingest", "dataset.classes=one.txt");
    m.write("twice.txt", "rose\nlily\nrose\n");
    m.set("ingest", "dataset.classes=twice.txt");
    m.write("latin.txt", b"rose\nt\xfclip\n");
    m.set("ingest", "dataset.classes=latin.txt");
    m.make_with(
        "ingest pipeline.toml --set dataset.kind=list --set dataset.path={}",
        &[
            ("empty.csv", ""),
            ("no_path.csv", "number,label\na.png,rose\n"),
            ("no_rows.csv", "path,label\n"),
            ("blank.csv", "path,label\n,rose\n"),
            ("split.csv", "path,label,split\na.png,rose,holdout\n"),
            ("short.csv", "path,label\na.png\n"),
        ],
    );
    m.write("pictures.parquet", "PAR1 and no more");
    m.make("ingest pipeline.toml --set dataset.kind=hf-parquet --set dataset.path=pictures.parquet");
    m.write("broken/train/blue_bell/1.png", "no picture");
    m.write("broken/train/red_rose/1.png", "no picture");
    m.set("ingest", "dataset.path=broken");
    m.make_with(
        "embed pipeline.toml --set 'text.descriptions={}'",
        &[("list.json", "[1, 2]"), ("cut.json", "{\"red rose\": [\"a"), ("few.json", "{\"red rose\": [\"red\"]}")],
    );
    m.set("embed", "text.descriptions=/dev/zero");
    assert_snapshot!("pictures_and_words", m.said);
}

#[test]
fn mistakes_about_models() {
    let mut m = Mistakes::new();
    let clip = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/clip-flora");
    let weights = std::fs::read(clip.join("model.safetensors")).unwrap();
    let config = std::fs::read_to_string(clip.join("config.json")).unwrap();
    let copy = |m: &Mistakes, name: &str| {
        for file in std::fs::read_dir(&clip).unwrap() {
            let file = file.unwrap();
            m.write(&format!("{name}/{}", file.file_name().to_str().unwrap()), std::fs::read(file.path()).unwrap());
        }
    };
    std::fs::create_dir(m.pipeline.path("nothing")).unwrap();
    m.set("embed", "model.path=nothing");
    m.write("pickle/config.json", &config);
    m.write("pickle/pytorch_model.bin", "any code at all");
    m.set("embed", "model.path=pickle");
    copy(&m, "cut");
    m.write("cut/model.safetensors", &weights[..weights.len() / 2]);
    m.set("embed", "model.path=cut");
    copy(&m, "no_json");
    m.write("no_json/config.json", &config[..config.len() / 2]);
    m.set("embed", "model.path=no_json");
    copy(&m, "deeper");
    let mut deeper: serde_json::Value = serde_json::from_str(&config).unwrap();
    deeper["vision_config"]["num_hidden_layers"] = 40.into();
    m.write("deeper/config.json", deeper.to_string());
    m.set("embed", "model.path=deeper");
    copy(&m, "wider");
    deeper["vision_config"]["num_hidden_layers"] = 1.into();
    deeper["vision_config"]["hidden_size"] = 77_777_777_777_i64.into();
    m.write("wider/config.json", deeper.to_string());
    m.set("embed", "model.path=wider");
    copy(&m, "mute");
    m.write("mute/tokenizer.json", "{}");
    m.set("embed", "model.path=mute");
    assert_snapshot!("models", m.said);
}

#[test]
fn mistakes_about_training() {
    let mut m = Mistakes::new();
    m.set("adapt", "dka.statement=nowhere.sql");
    m.make_with("adapt pipeline.toml --set 'dka.statement={}'", &[
        ("empty.sql", ""),
        ("columns.sql", "SELECT image_id FROM prior_logits"),
        ("type.sql", "SELECT image_id, 0.5 AS class_id FROM prior_logits"),
        ("writes.sql", "DROP TABLE prior_logits"),
        ("labels.sql", "SELECT image_id, class_id FROM labels"),
        ("none.sql", "SELECT image_id, CAST(0 AS INT) AS class_id FROM prior_logits WHERE false"),
        (
            "twice.sql",
            "SELECT image_id, CAST(0 AS INT) AS class_id FROM prior_logits UNION ALL SELECT image_id, CAST(1 AS INT) FROM prior_logits",
        ),
        ("unknown.sql", "SELECT image_id, CAST(99 AS INT) AS class_id FROM prior_logits"),
    ]);
    m.make_with(
        "adapt pipeline.toml --set adapt.class_prior=table --set adapt.class_shares={}",
        &[
            ("shares.json", "[0.5, 0.5]"),
            ("zero.json", "{\"red rose\": 0, \"blue bell\": 1, \"white lily\": 1}"),
            ("other.json", "{\"red rose\": 1, \"blue bell\": 1, \"thistle\": 1}"),
            ("part.json", "{\"red rose\": 1, \"blue bell\": 1}"),
        ],
    );
    m.write("grid.toml", "pipelines = [\"pipeline.toml\"]\nseeds = []\n");
    m.make("ablate grid.toml");
    m.make("ablate nowhere.toml");
    m.set("run", "adapt.epochs=0");
    m.set("run", "adapt.epohcs=3");
    assert_snapshot!("training", m.said);
}

#[test]
fn mistakes_about_what_was_computed() {
    let mut m = Mistakes::new();
    m.make("predict pipeline.toml pictures");
    m.make("report pipeline.toml");
    m.make("export pipeline.toml --output out");
    m.make("runs pipeline.toml --compare a b");
    m.make("sql pipeline.toml ''");
    m.make("sql pipeline.toml 'SELECT * FROM pseudo_label'");
    m.make("sql pipeline.toml 'SELECT imageid FROM images'");
    m.make("sql pipeline.toml 'SELECT * FORM images'");
    m.make("sql pipeline.toml 'SELECT argmax(1, 2)'");
    m.make("sql pipeline.toml 'SELECT 1/0'");
    m.make("sql pipeline.toml 'DROP TABLE images'");
    m.make("sql pipeline.toml 'SELECT 1' --output nowhere/rows.csv");
    m.make("sql pipeline.toml 'SELECT 1' --memory-limit lots");
    m.make("cache rm pipeline.toml everything");
    m.make("cache gc pipeline.toml");
    m.make("cache gc pipeline.toml --max-size tiny");
    m.make("schema lables");
    m.make("init pictures --model nowhere");
    m.make("init nowhere --model nowhere");
    m.write("file", "no folder");
    m.make("run pipeline.toml --store file");
    m.make("run nowhere.toml");
    m.make("run pictures");
    m.write("garbage.toml", "name = flowers\n");
    m.make("run garbage.toml");
    m.make("rnu pipeline.toml");
    m.make("run pipeline.toml --dry");
    m.pipeline.ok("run", &["--set", "adapt.tune=none", "--quiet"]);
    m.make("predict pipeline.toml pictures");
    m.make("predict no-such-run pictures");
    m.make("predict no-such-run pictures --store store");
    m.make("export pipeline.toml --output out");
    m.pipeline.ok("run", &["--set", "adapt.tune=head", "--quiet"]);
    m.make("predict pipeline.toml nowhere.png");
    m.make("predict pipeline.toml pictures --top 0");
    m.make("export pipeline.toml --output pictures");
    m.make("runs pipeline.toml --compare none none");
    // The id of a run hangs on where its pictures lie.
    insta::with_settings!({filters => [("-s0-[0-9a-f]{8}", "-s0-ID")]}, { assert_snapshot!("computed", m.said) });
}
