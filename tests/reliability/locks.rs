//! Two processes on one store that want the same: one works, the other waits for its turn.

use std::io::{BufRead, BufReader, Read};
use std::process::Command;
use std::sync::Arc;

use crate::pipeline::Pipeline;
use microclip_pipe::store::{Store, Turn};

/// Holds the store in this process.
fn held(pipeline: &Pipeline, store: &str) -> Store {
    match Store::try_lock(pipeline.path(store), Arc::new(|_: &str| {})).unwrap() {
        Turn::Ours(store) => store,
        Turn::Busy(holder) => panic!("{holder} holds it"),
    }
}

#[test]
fn two_runs_at_once_leave_no_row_twice() {
    let pipeline = Pipeline::new(4, 1);
    let at = |name: &str| pipeline.path(name).to_str().unwrap().to_owned();
    pipeline.ok("run", &["--store", &at("alone")]);
    let children: Vec<_> = (0..3).map(|_| pipeline.start("run", &["--store", &at("shared")])).collect();
    let outputs: Vec<_> = children.into_iter().map(|child| child.wait_with_output().unwrap()).collect();
    let said: Vec<String> = outputs.iter().map(|o| String::from_utf8_lossy(&o.stderr).into_owned()).collect();
    assert!(outputs.iter().all(|output| output.status.success()), "{said:?}");
    assert!(
        said.iter().filter(|said| said.contains("waiting for process ")).count() >= 1,
        "who waits says so: {said:?}"
    );
    crate::rows::assert_same_rows(&pipeline.path("shared"), &pipeline.path("alone"));
    assert!(pipeline.weights("shared") == pipeline.weights("alone"));
}

#[test]
fn who_waits_says_for_whom_and_can_be_stopped() {
    let pipeline = Pipeline::new(2, 1);
    let store = held(&pipeline, "store");
    let mut child = pipeline.start("run", &[]);
    let mut lines = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    lines.read_line(&mut line).unwrap();
    let expected = format!("waiting for process {}, which works on the store", std::process::id());
    assert!(line.starts_with(&expected), "{line}");
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let mut rest = String::new();
    lines.read_to_string(&mut rest).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130), "{rest}");
    drop(store);
    pipeline.ok("run", &["--set", "adapt.tune=none"]);
}

#[test]
fn readers_do_not_wait() {
    let pipeline = Pipeline::new(2, 1);
    pipeline.ok("ingest", &[]);
    let _store = held(&pipeline, "store");
    assert_eq!(pipeline.sql("SELECT count(*) AS n FROM images"), [serde_json::json!({"n": 9})]);
    pipeline.ok("run", &["--dry-run"]);
    pipeline.ok("cache ls", &[]);
    pipeline.ok("cache verify", &[]);
    pipeline.ok("cache gc", &["--unreferenced", "--dry-run"]);
}

#[test]
fn a_process_holds_a_store_as_often_as_it_asks_and_a_dead_one_holds_nothing() {
    let pipeline = Pipeline::new(2, 1);
    let (one, two) = (held(&pipeline, "store"), held(&pipeline, "store"));
    drop(one);
    let mut child = pipeline.start("ingest", &[]);
    let mut first = [0; 11];
    child.stderr.as_mut().unwrap().read_exact(&mut first).unwrap();
    assert_eq!(&first, b"waiting for", "the second still holds it");
    drop(two);
    assert!(child.wait().unwrap().success());

    let mut killed = pipeline.start("run", &[]);
    let mut lines = BufReader::new(killed.stderr.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().contains("describe")), "it has begun, so it holds the store");
    killed.kill().unwrap();
    killed.wait().unwrap();
    drop(held(&pipeline, "store"));
}
