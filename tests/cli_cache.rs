//! The verb `cache`: what it lists, what it removes, and what it leaves alone.

use std::fs::{self, File};
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use insta_cmd::assert_cmd_snapshot;

use crate::pipeline::{Pipeline, entries};

const NONE: [&str; 2] = ["--set", "adapt.tune=none"];

/// Snapshots that do not depend on where the folder is, when it was and what the ids are.
fn filters(pipeline: &Pipeline) -> insta::Settings {
    let mut settings = insta::Settings::clone_current();
    settings.add_filter(&regex_free(&pipeline.folder.path().display().to_string()), "DIR");
    settings.add_filter(r"\d{4}-\d\d-\d\d \d\d:\d\d", "TIME");
    settings.add_filter(r"-[0-9a-f]{16}\b", "-0123456789abcdef");
    settings.add_filter(r"-[0-9a-f]{8}\b", "-01234567");
    settings.add_filter(r"\d+(\.\d)? [kM]?B\b", "SIZE");
    settings.add_filter(r" +", " ");
    settings
}

fn regex_free(text: &str) -> String {
    text.replace('.', r"\.")
}

fn names(pipeline: &Pipeline, table: &str) -> Vec<String> {
    let found = entries(&pipeline.path("store").join(table));
    found.iter().map(|path| path.file_name().unwrap().to_str().unwrap().to_owned()).collect()
}

/// Makes everything of a name as old as that.
fn age(pipeline: &Pipeline, name: &str, days: u64) {
    for folder in entries(&pipeline.path("store")).iter().map(|table| table.join(name)).filter(|folder| folder.is_dir())
    {
        let then = SystemTime::now() - Duration::from_secs(86_400 * days + 60);
        File::open(folder).unwrap().set_modified(then).unwrap();
    }
}

fn every_file(folder: PathBuf) -> Vec<PathBuf> {
    entries(&folder).into_iter().flat_map(|path| if path.is_dir() { every_file(path) } else { vec![path] }).collect()
}

#[test]
fn ls_says_what_there_is_and_why_it_is_not_used() {
    let pipeline = Pipeline::new(2, 1);
    assert_cmd_snapshot!(pipeline.command("cache ls", &[]), @r"
    success: true
    exit_code: 0
    ----- stdout -----
    table  name  parts  rows  size  last use  used by the next run
    0 files, 0 B

    ----- stderr -----
    ");
    pipeline.ok("run", &["--set", "adapt.tune=head"]);
    pipeline.ok("run", &["--set", "adapt.tune=head", "--seed", "3", "--set", "views.count=1"]);
    let listed = pipeline.ok("cache ls", &["--set", "adapt.tune=head"]);
    let ends = |table: &str, end: &str| listed.lines().any(|line| line.starts_with(table) && line.ends_with(end));
    for (table, end) in [
        ("images", "  yes"),
        ("embeddings", "  yes"),
        ("composites", "  yes"),
        ("composites", "  no: other view"),
        ("runs", "  yes"),
        ("runs", "  no: an earlier run: seed, views.count differ"),
        ("passes", "  no: an earlier run"),
        ("checkpoints", "  yes"),
    ] {
        assert!(ends(table, end), "{table}: {end}\n{listed}");
    }
}

#[test]
fn verify_names_what_is_not_as_it_was_written() {
    let pipeline = Pipeline::new(2, 1);
    pipeline.ok("ingest", &[]);
    filters(&pipeline).bind(|| {
        assert_cmd_snapshot!("verify_whole", pipeline.command("cache verify", &[]));
        let classes = every_file(pipeline.path("store/classes")).remove(0);
        let mut bytes = fs::read(&classes).unwrap();
        bytes[10] ^= 1;
        fs::write(&classes, bytes).unwrap();
        let labels = every_file(pipeline.path("store/labels")).remove(0);
        fs::write(&labels, "").unwrap();
        assert_cmd_snapshot!("verify_damaged", pipeline.command("cache verify", &[]));
    });
}

#[test]
fn gc_wants_to_be_told_and_keeps_what_pipelines_refer_to() {
    let pipeline = Pipeline::new(2, 1);
    pipeline.ok("run", &NONE);
    pipeline.ok("run", &[&NONE[..], &["--set", "views.count=1"]].concat());
    let runs = names(&pipeline, "runs");
    let views = names(&pipeline, "composites");
    assert_eq!((runs.len(), views.len()), (2, 2));
    assert_cmd_snapshot!(pipeline.command("cache gc", &[]), @r"
    success: false
    exit_code: 2
    ----- stdout -----

    ----- stderr -----
    error: nothing says what is to go
    hint: name at least one of --unreferenced, --older-than DAYS and --max-size SIZE
    ");

    let before = every_file(pipeline.path("store"));
    let dry = pipeline.ok("cache gc", &[&NONE[..], &["--unreferenced", "--dry-run"]].concat());
    assert!(dry.contains("composites") && dry.contains("would remove 2 files"), "{dry}");
    assert_eq!(every_file(pipeline.path("store")), before, "a dry run removes nothing");

    // Another pipeline that is named keeps its own.
    let text = fs::read_to_string(pipeline.path("pipeline.toml")).unwrap();
    pipeline.write("other.toml", &text.replace("count = 2", "count = 1"));
    let other = pipeline.path("other.toml");
    let kept = pipeline.ok("cache gc", &[&NONE[..], &["--unreferenced", "--also", other.to_str().unwrap()]].concat());
    assert!(kept.contains("removed 0 files"), "{kept}");

    let gone = pipeline.ok("cache gc", &[&NONE[..], &["--unreferenced"]].concat());
    assert!(gone.contains("removed 2 files"), "{gone}");
    assert_eq!(names(&pipeline, "composites").len(), 1);
    assert_eq!(names(&pipeline, "runs"), runs, "all runs of the pipeline are its own");
    let another = pipeline.output("run", &[&NONE[..], &["--seed", "1"]].concat());
    assert!(String::from_utf8_lossy(&another.stderr).contains("cached: no forward pass"), "what it needs is there");
}

#[test]
fn gc_goes_by_age_and_by_size_the_longest_unused_first() {
    let pipeline = Pipeline::new(2, 1);
    pipeline.ok("run", &NONE);
    let first = names(&pipeline, "composites");
    for count in ["3", "4", "5"] {
        pipeline.ok("embed", &["--set", &format!("views.count={count}")]);
    }
    let others: Vec<String> = names(&pipeline, "composites").into_iter().filter(|name| !first.contains(name)).collect();
    age(&pipeline, &others[0], 40);
    age(&pipeline, &others[1], 20);
    let gc = |rest: &[&str]| pipeline.ok("cache gc", &[&NONE[..], rest].concat());
    let listed = gc(&["--older-than", "30"]);
    assert!(listed.contains(&others[0]) && !listed.contains(&others[1]), "{listed}");
    let bytes: u64 = every_file(pipeline.path("store")).iter().map(|path| path.metadata().unwrap().len()).sum();
    let listed = gc(&["--max-size", &(bytes - 100).to_string()]);
    assert!(listed.contains(&others[1]) && !listed.contains(&others[2]), "the longest unused is enough: {listed}");
    // What the pipeline uses stays, however small the store is to be.
    gc(&["--max-size", "0"]);
    assert_eq!(names(&pipeline, "composites"), first);
}

#[test]
fn rm_takes_names_and_leaves_what_it_did_not_write() {
    let pipeline = Pipeline::new(2, 1);
    pipeline.ok("run", &["--set", "adapt.tune=head"]);
    let run = names(&pipeline, "runs").remove(0);
    assert!(entries(&pipeline.path("store")).iter().filter(|table| table.join(&run).is_dir()).count() > 5);
    let typo = pipeline.output("cache rm", &[&run.replace("head", "haed")]);
    assert_eq!(typo.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&typo.stderr).contains(&format!("did you mean '{run}'?")));

    // Files that somebody else put there: of our extension, of another, and in a table's place.
    let passes = pipeline.path("store/passes").join(&run);
    let own = [passes.join("mine.parquet"), passes.join("notes.txt"), pipeline.path("store/mine.csv")];
    own.iter().for_each(|path| fs::write(path, "a user's own").unwrap());
    let output = pipeline.output("cache rm", &[&run]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("left alone") && said.contains("mine.parquet"), "{said}");
    assert!(own.iter().all(|path| path.exists()));
    assert!(!pipeline.path("store/checkpoints").join(&run).exists());
    assert!(!pipeline.path("store/fusion_logits").join(&run).exists());
    assert_eq!(pipeline.sql("SELECT (SELECT count(*) FROM runs) AS r, (SELECT count(*) FROM images) AS i").len(), 1);
    pipeline.ok("cache rm", &[&names(&pipeline, "images")[0], "--dry-run"]);
    assert!(!names(&pipeline, "images").is_empty());
}

#[test]
fn what_was_set_aside_can_be_removed() {
    let pipeline = Pipeline::new(2, 1);
    pipeline.ok("ingest", &[]);
    fs::write(every_file(pipeline.path("store/classes")).remove(0), "damaged").unwrap();
    pipeline.ok("ingest", &[]);
    assert_eq!(every_file(pipeline.path("store/quarantine")).len(), 1);
    assert!(pipeline.ok("cache ls", &[]).contains("quarantine"));
    assert!(pipeline.ok("cache rm", &["quarantine"]).contains("removed 1 file,"));
    assert!(every_file(pipeline.path("store/quarantine")).is_empty());
    pipeline.ok("cache verify", &[]);
}
