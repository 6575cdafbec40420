//! Several processes on one store: shards of one dataset, datasets that have pictures in common,
//! and runs of other seeds. Nothing is lost, nothing is there twice, and who would write the same
//! is kept apart.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Output};
use std::sync::Arc;
use std::time::Duration;

use crate::pipeline::{Pipeline, entries};
use crate::rows::{assert_same_rows, rows};
use microclip_pipe::store::{Claim, Claimed, Store, Turn, Work};

/// Works on the store in this process, together with others.
fn shared(pipeline: &Pipeline) -> Store {
    match Store::try_share(pipeline.path("store"), Arc::new(|_: &str| {})).unwrap() {
        Turn::Ours(store) => store,
        Turn::Busy(holder) => panic!("{holder} holds it"),
    }
}

fn claimed(store: &Store, work: Work) -> Vec<Claim> {
    match store.try_claim(&[work]).unwrap() {
        Claimed::Ours(claims) => claims,
        Claimed::Busy(holder) => panic!("{holder}{} holds it", holder.details()),
    }
}

/// The name of the only dataset in the store.
fn dataset(pipeline: &Pipeline) -> String {
    let datasets = entries(&pipeline.path("store/images"));
    assert_eq!(datasets.len(), 1);
    datasets[0].file_name().unwrap().to_str().unwrap().to_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[track_caller]
fn end(child: Child) -> String {
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    stderr(&output)
}

/// How many rows there are of each picture that has not exactly one, in a table of a space.
fn not_once(store: &Path, table: &str) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for row in &rows(store)[table] {
        *counts.entry(row.split(" | ").nth(1).unwrap().to_owned()).or_default() += 1;
    }
    assert!(!counts.is_empty());
    counts.retain(|_, count| *count != 1);
    counts
}

#[test]
fn two_shards_at_once_leave_what_one_process_leaves() {
    let pipeline = Pipeline::new(9, 2);
    let at = |name: &str| pipeline.path(name).to_str().unwrap().to_owned();
    pipeline.ok("embed", &["--store", &at("alone")]);
    let children = ["1/2", "2/2"].map(|shard| pipeline.start("embed", &["--shard", shard, "--store", &at("store")]));
    let said = children.map(end);
    let one_did = |what: &str| said.iter().filter(|said| said.contains(what)).count() == 1;
    assert!(one_did("33 images, 0 rejected\n") || one_did("unchanged: "), "the dataset is ingested once: {said:?}");
    assert_same_rows(&pipeline.path("store"), &pipeline.path("alone"));

    let again = stderr(&pipeline.output("embed", &[]));
    assert!(again.contains("every embedding was cached: no forward pass of the frozen model"), "{again}");
    assert!(!again.contains("neighbours"), "these were found by the last shard: {again}");
    pipeline.ok("run", &["--store", &at("alone")]);
    pipeline.ok("run", &[]);
    assert_same_rows(&pipeline.path("store"), &pipeline.path("alone"));
    assert!(pipeline.weights("store") == pipeline.weights("alone"));
}

#[test]
fn a_shard_that_is_killed_goes_on_when_it_is_begun_again() {
    let pipeline = Pipeline::new(12, 2);
    let at = |name: &str| pipeline.path(name).to_str().unwrap().to_owned();
    pipeline.ok("embed", &["--store", &at("alone")]);
    for kept in ["false", "true"] {
        let crops = format!("views.keep={kept}");
        let shard = |shard: &str| pipeline.start("embed", &["--shard", shard, "--set", &crops]);
        let other = shard("2/3");
        for delay in [150, 400, 650, 900] {
            let mut killed = shard("1/3");
            std::thread::sleep(Duration::from_millis(delay));
            killed.kill().unwrap();
            killed.wait().unwrap();
        }
        pipeline.ok("cache verify", &[]);
        let (again, last) = (shard("1/3"), shard("3/3"));
        [other, again, last].into_iter().for_each(|child| drop(end(child)));
        for table in ["embeddings", "composites"] {
            assert_eq!(not_once(&pipeline.path("store"), table), BTreeMap::new(), "{table}, crops kept: {kept}");
        }
        if kept == "false" {
            assert_same_rows(&pipeline.path("store"), &pipeline.path("alone"));
        }
        assert!(stderr(&pipeline.output("embed", &["--set", &crops])).contains("no forward pass of the frozen model"));
        std::fs::remove_dir_all(pipeline.path("store")).unwrap();
    }
}

#[test]
fn who_would_embed_the_same_pictures_is_refused_or_waits() {
    let pipeline = Pipeline::new(3, 1);
    pipeline.ok("ingest", &[]);
    let (store, dataset) = (shared(&pipeline), dataset(&pipeline));
    let first = claimed(&store, Work::Shard(dataset.clone(), "1/2".parse().unwrap()));
    let who = format!("process {} works on the store {}", std::process::id(), pipeline.path("store").display());
    let refused = |verb: &str, rest: &[&str], hint: &str| {
        let output = pipeline.output(verb, rest);
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(1), "{said}");
        let held = format!("error: {who} (shard 1/2 of dataset {dataset}, since 20");
        assert!(said.contains(&held) && said.contains(hint), "{said}");
    };
    refused("embed", &["--shard", "1/2"], "hint: each shard is for one process");
    refused("embed", &["--shard", "2/3"], "hint: shards are dealt anew for another number of processes");
    let everything = ["--unreferenced"];
    refused("cache gc", &everything, "hint: nothing was changed; try again once it has ended");
    refused("cache rm", &[&dataset], "hint: nothing was changed; try again once it has ended");
    pipeline.ok("cache gc", &["--unreferenced", "--dry-run"]);
    let said = stderr(&pipeline.output("embed", &["--shard", "2/2"]));
    assert!(
        said.contains(" of other shards to embed: `embed` without --shard, or `run`, embeds what is left"),
        "{said}"
    );

    // A process for all pictures waits for the shards, and then embeds what they have left.
    let mut whole = pipeline.start("embed", &[]);
    let mut lines = BufReader::new(whole.stderr.take().unwrap());
    let mut line = String::new();
    lines.read_line(&mut line).unwrap();
    assert!(
        line.starts_with(&format!("waiting for process {}, which works on the store", std::process::id())),
        "{line}"
    );
    assert!(line.contains(&format!("(shard 1/2 of dataset {dataset}, since 20")), "{line}");
    drop(first);
    let mut rest = String::new();
    lines.read_to_string(&mut rest).unwrap();
    assert!(whole.wait().unwrap().success(), "{rest}");
    assert_eq!(not_once(&pipeline.path("store"), "composites"), BTreeMap::new());
    drop(store);
    pipeline.ok("cache gc", &everything);
    assert!(entries(&pipeline.path("store/locks")).is_empty(), "claims are given up");
}

#[test]
fn a_shard_that_there_is_not_is_refused_with_what_is_right() {
    let pipeline = Pipeline::new(1, 1);
    for (text, right) in [
        ("0/2", "the shards are 1/2 to 2/2"),
        ("3/2", "the shards are 1/2 to 2/2"),
        ("1/0", "there is at least one shard: 1/1"),
        ("a/b", "write I/N, two whole numbers: 1/8 is the first of eight shards"),
        ("1", "write I/N, two whole numbers: 1/8 is the first of eight shards"),
    ] {
        let output = pipeline.output("embed", &["--shard", text]);
        assert_eq!(output.status.code(), Some(2));
        let said = stderr(&output);
        assert!(said.contains(&format!("error: invalid value '{text}' for '--shard <I/N>': {right}\n")), "{said}");
    }
}

/// The second process works out what is missing while the first computes it.
#[test]
fn two_datasets_with_the_same_pictures_are_embedded_at_once_and_each_picture_is_kept_once() {
    let pipeline = Pipeline::new(9, 2);
    let at = |name: &str| pipeline.path(name).to_str().unwrap().to_owned();
    let other = ["--set", "name=other"];
    pipeline.ok("embed", &["--store", &at("apart")]);
    pipeline.ok("embed", &[&other[..], &["--store", &at("apart")]].concat());
    let children = [pipeline.start("embed", &[]), pipeline.start("embed", &other)];
    children.into_iter().for_each(|child| drop(end(child)));
    for table in ["embeddings", "composites"] {
        assert_eq!(not_once(&pipeline.path("store"), table), BTreeMap::new(), "{table}");
    }
    assert_same_rows(&pipeline.path("store"), &pipeline.path("apart"));
}

#[test]
fn runs_of_two_seeds_are_made_at_once_as_one_after_the_other() {
    let pipeline = Pipeline::new(4, 1);
    let at = |name: &str| pipeline.path(name).to_str().unwrap().to_owned();
    for seed in ["0", "1"] {
        pipeline.ok("run", &["--store", &at("apart"), "--seed", seed]);
    }
    let children = ["0", "1"].map(|seed| pipeline.start("run", &["--seed", seed]));
    children.into_iter().for_each(|child| drop(end(child)));
    assert_same_rows(&pipeline.path("store"), &pipeline.path("apart"));
}

#[test]
fn pictures_are_not_replaced_under_a_run_that_relies_on_them() {
    let pipeline = Pipeline::new(2, 1);
    pipeline.ok("ingest", &[]);
    let (store, dataset) = (shared(&pipeline), dataset(&pipeline));
    let relying = claimed(&store, Work::Relying(dataset));
    let unchanged = stderr(&pipeline.output("ingest", &[]));
    assert!(unchanged.contains("unchanged"), "nothing is replaced, so nothing is waited for: {unchanged}");
    pipeline.picture("pictures/train/red_rose/9999.png", 1, 77);
    let mut child = pipeline.start("ingest", &[]);
    let mut first = [0; 11];
    child.stderr.as_mut().unwrap().read_exact(&mut first).unwrap();
    assert_eq!(&first, b"waiting for");
    assert_eq!(pipeline.sql("SELECT count(*) AS n FROM images"), [serde_json::json!({"n": 9})]);
    drop(relying);
    assert!(child.wait().unwrap().success());
    assert_eq!(pipeline.sql("SELECT count(*) AS n FROM images"), [serde_json::json!({"n": 10})]);
}
