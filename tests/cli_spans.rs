//! What a run did when: lines of `--verbose`, and a trace for Perfetto.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::pipeline::Pipeline;

/// The events of a trace, as Chrome's format has them.
fn events(pipeline: &Pipeline, name: &str) -> Vec<Value> {
    serde_json::from_str(&std::fs::read_to_string(pipeline.path(name)).unwrap()).unwrap()
}

#[test]
fn a_trace_shows_decoding_forward_passes_writing_and_statements_side_by_side() {
    let pipeline = Pipeline::new(6, 2);
    let trace = pipeline.path("run.json");
    pipeline.ok("run", &["--set", "adapt.tune=head", "--set", "embed.batch=4", "--trace", trace.to_str().unwrap()]);
    let events = events(&pipeline, "run.json");
    // Every span that begins on a thread ends on it, in the order of a stack.
    let mut open: BTreeMap<u64, Vec<&str>> = BTreeMap::new();
    let (mut names, mut threads) = (BTreeSet::new(), BTreeSet::new());
    for event in &events {
        let (thread, name) = (event["tid"].as_u64().unwrap(), event["name"].as_str().unwrap());
        match event["ph"].as_str().unwrap() {
            "B" => {
                names.insert(name);
                threads.insert(thread);
                open.entry(thread).or_default().push(name);
            }
            "E" => assert_eq!(open.get_mut(&thread).and_then(Vec::pop), Some(name)),
            _ => {}
        }
    }
    assert!(open.values().all(Vec::is_empty), "{open:?}");
    let expected = ["stage", "pass", "part", "statement", "decode", "cut", "forward", "write", "step"];
    assert_eq!(expected.iter().filter(|name| !names.contains(*name)).collect::<Vec<_>>(), Vec::<&&str>::new());
    assert!(threads.len() > 1, "all on one thread");
}

#[test]
fn a_statement_can_be_traced() {
    let pipeline = Pipeline::new(2, 1);
    pipeline.ok("ingest", &[]);
    let trace = pipeline.path("sql.json");
    pipeline.ok("sql", &["SELECT count(*) FROM images", "--trace", trace.to_str().unwrap()]);
    assert!(events(&pipeline, "sql.json").iter().any(|event| event["name"] == "statement"));
}

#[test]
fn verbose_says_how_long_stages_passes_and_statements_took() {
    let pipeline = Pipeline::new(2, 1);
    let output = pipeline.output("run", &["--set", "adapt.tune=head", "--verbose", "--log-format", "json"]);
    let said = String::from_utf8(output.stderr).unwrap();
    let lines: Vec<Value> = said.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let spans: Vec<&Value> = lines.iter().filter(|line| line["level"] == "span").collect();
    for name in ["stage", "pass", "part", "statement"] {
        let span = spans.iter().find(|span| span["span"] == name).unwrap_or_else(|| panic!("no {name}: {said}"));
        assert!(span["seconds"].as_f64().unwrap() >= 0.0 && span["fields"].is_object(), "{span}");
    }
    // Pictures and batches are for the trace: there are thousands.
    assert!(!spans.iter().any(|span| span["span"] == "decode"), "{said}");
    let quiet = pipeline.output("run", &["--set", "adapt.tune=head", "--seed", "1"]);
    assert!(!String::from_utf8(quiet.stderr).unwrap().contains("stage=adapt"));
}

#[test]
fn a_trace_that_cannot_be_written_is_refused_before_anything_is_done() {
    let pipeline = Pipeline::new(2, 1);
    let output = pipeline.output("run", &["--trace", "nowhere/trace.json"]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("cannot write the trace nowhere/trace.json"), "{said}");
    assert!(!pipeline.path("store").exists());
}
