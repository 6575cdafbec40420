//! A store that version 2 of the schemas wrote, before parts had checksums.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use microclip_pipe::store::{Store, Turn, reader};
use serde_json::json;

use crate::pipeline::{Pipeline, copy, entries};

fn stored() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reliability/store-of-version-2")
}

/// The old store as that of this pipeline: its dataset has the pipeline's id.
fn adopted() -> Pipeline {
    let pipeline = Pipeline::new(2, 1);
    pipeline.ok("ingest", &["--store", pipeline.path("new").to_str().unwrap()]);
    let id = entries(&pipeline.path("new/images"))[0].file_name().unwrap().to_owned();
    copy(&stored(), &pipeline.path("store"));
    for table in ["images", "rejected", "labels", "classes", "descriptions"] {
        let folder = pipeline.path("store").join(table);
        fs::rename(&entries(&folder)[0], folder.join(&id)).unwrap();
    }
    pipeline
}

#[test]
fn its_rows_can_still_be_asked() {
    let pipeline = adopted();
    assert_eq!(pipeline.sql("SELECT count(*) AS n, max(width) AS w FROM images"), [json!({"n": 4, "w": 40})]);
    let moments =
        pipeline.sql("SELECT count(*) AS n FROM images WHERE date_part('year', modified) BETWEEN 2025 AND 2026");
    assert_eq!(moments, [json!({"n": 4})], "a moment, though it is stored as a number");
    let names = pipeline.sql("SELECT name FROM classes ORDER BY class_id");
    assert_eq!(names, [json!({"name": "blue bell"}), json!({"name": "red rose"})]);
}

/// `text_features` had fewer columns once, in the same version of the schemas.
#[test]
fn features_of_sentences_without_their_tokens_are_used_and_completed() {
    let pipeline = Pipeline::new(2, 1);
    let arguments = ["--set", "adapt.tune=none"];
    pipeline.ok("run", &arguments);
    let store = Store::open(pipeline.path("store")).unwrap();
    let name = store.partitions("text_features").unwrap().remove(0);
    let partition = store.partition("text_features", &name).unwrap();
    let footer: Vec<_> = reader::footer(&partition.parts().unwrap()[0]).unwrap().pairs.into_iter().collect();
    let batch = reader::batches(&partition, None, 1024).unwrap().next().unwrap().unwrap();
    let old: Vec<usize> = (0..batch.num_columns())
        .filter(|&n| !["tokens", "cut"].contains(&batch.schema().field(n).name().as_str()))
        .collect();
    let batch = batch.project(&old).unwrap();
    partition.replace("features", &batch.schema(), &[batch], &footer).unwrap();
    let counted = "SELECT count(*) AS n, count(tokens) AS tokens, count(cut) AS cut FROM text_features";
    assert_eq!(pipeline.sql(counted), [json!({"n": 9, "tokens": 0, "cut": 0})]);

    // Another run: one that is finished reads no features.
    pipeline.ok("run", &[&arguments[..], &["--seed", "1"]].concat());
    let counts = pipeline.sql(counted);
    assert_eq!((&counts[0]["tokens"], &counts[0]["cut"]), (&json!(9), &json!(9)), "{counts:?}");
    let forwards = "SELECT text_forwards FROM runs ORDER BY started DESC LIMIT 1";
    assert_eq!(pipeline.sql(forwards), [json!({"text_forwards": 0})]);
    pipeline.ok("cache verify", &[]);
}

#[test]
fn verify_says_that_it_is_of_an_earlier_version() {
    let pipeline = adopted();
    let output = pipeline.output("cache verify", &[]);
    let named = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(named.lines().count(), 15);
    assert!(
        named.lines().all(|line| line.ends_with("of an earlier version: schema version 2, without a checksum")),
        "{named}"
    );
}

#[test]
fn a_run_sets_aside_what_it_meets_of_it_and_computes_it_anew() {
    let pipeline = adopted();
    let output = pipeline.output("run", &["--set", "adapt.tune=none"]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{said}");
    assert!(
        said.contains("is of an earlier version (schema version 2, without a checksum): it was set aside as"),
        "{said}"
    );
    assert_eq!(pipeline.sql("SELECT count(*) AS n FROM images"), [json!({"n": 9})]);
    // Spaces of another version have other names: they stay where they are until somebody clears
    // them.
    assert!(pipeline.path("store/embeddings/img-e4563c5cc3683bf7/part-00000.parquet").exists());
    let listed = pipeline.ok("cache ls", &[]);
    let old = listed.lines().find(|line| line.contains("img-e4563c5cc3683bf7")).unwrap();
    assert!(old.contains("no: other schema_version"), "{old}");
    pipeline.ok("cache gc", &["--unreferenced"]);
    assert!(!pipeline.path("store/embeddings/img-e4563c5cc3683bf7").exists());
    pipeline.ok("cache verify", &[]);
}

#[test]
fn what_a_later_version_wrote_is_refused_and_left_alone() {
    let pipeline = Pipeline::new(2, 1);
    pipeline.ok("ingest", &[]);
    let part = entries(&entries(&pipeline.path("store/classes"))[0]).remove(0);
    // As a later version would: with its own number in the seal, and a checksum that fits.
    let mut bytes = fs::read(&part).unwrap();
    let version = format!("microclip-pipe:v{}:blake3:", microclip_pipe::store::space::SCHEMA_VERSION);
    let at = bytes.windows(version.len()).rposition(|w| w == version.as_bytes()).unwrap();
    let digits = at + version.len()..at + version.len() + 64;
    bytes[at + "microclip-pipe:v".len()] = b'9';
    bytes[digits.clone()].fill(b'0');
    let digest = blake3::hash(&bytes).to_hex();
    bytes[digits].copy_from_slice(digest.as_bytes());
    fs::write(&part, &bytes).unwrap();

    let output = pipeline.output("run", &[]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        said.contains("was written by a later version of microclip-pipe (schema version 9")
            && said.contains("hint: update"),
        "{said}"
    );
    assert!(fs::read(&part).unwrap() == bytes);
    assert!(!pipeline.path("store/quarantine").exists());
}

#[test]
fn warnings_reach_whoever_holds_the_store() {
    let pipeline = adopted();
    let said: Arc<Mutex<Vec<String>>> = Arc::default();
    let heard = said.clone();
    let turn = Store::try_lock(
        pipeline.path("store"),
        Arc::new(move |text: &str| heard.lock().unwrap().push(text.to_owned())),
    );
    let Turn::Ours(store) = turn.unwrap() else { panic!("nobody else has it") };
    let name = store.partitions("embeddings").unwrap().remove(0);
    let partition = store.partition("embeddings", &name).unwrap();
    assert!(partition.parts().unwrap().is_empty());
    assert_eq!(reader::count_rows(&partition).unwrap(), 0);
    assert_eq!(said.lock().unwrap().len(), 1);
}
