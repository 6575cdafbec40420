//! A run that is finished is not done again: its outcome is read, and nothing that it was computed
//! from.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use crate::pipeline::{CLASSES, Pipeline, copy, entries};
use arrow::array::RecordBatch;
use microclip_pipe::store::{Store, reader};
use serde_json::json;

const HEAD: [&str; 2] = ["--set", "adapt.tune=head"];
const SAID: &str = "is finished: nothing had to be computed, no forward pass of the frozen model";

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn printed(output: &Output) -> String {
    assert!(output.status.success(), "{}", said(output));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// All parts of a table.
fn parts(store: &Path, table: &str) -> Vec<PathBuf> {
    entries(&store.join(table)).iter().flat_map(|partition| entries(partition)).collect()
}

/// Puts as many bytes of no meaning into the place of each.
fn overwrite(parts: &[PathBuf]) {
    assert!(!parts.is_empty());
    for part in parts {
        fs::write(part, vec![0xa5; fs::metadata(part).unwrap().len() as usize]).unwrap();
    }
}

fn flip_the_middle(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(path, bytes).unwrap();
}

#[test]
fn it_prints_its_table_from_its_outcome_alone() {
    let pipeline = Pipeline::new(4, 2);
    let mixed = [&HEAD[..], &["--set", "predict.gamma=0.5", "--set", "transduction.prior=true"]].concat();
    let first = pipeline.ok("run", &mixed);
    for model in ["transductive", "adapted", "predicted"] {
        assert!(first.contains(model), "{first}");
    }
    let store = pipeline.path("store");
    let temperature = pipeline.sql("SELECT temperature FROM runs");
    assert_ne!(temperature, [json!({"temperature": null})]);
    // Whoever reads any of these sets them aside; an overwritten part is no Parquet file.
    let tables = ["embeddings", "composites", "text_features"];
    let computed_from: Vec<PathBuf> = tables.iter().flat_map(|table| parts(&store, table)).collect();
    overwrite(&computed_from);
    for (verb, prints) in [("run", true), ("evaluate", true), ("adapt", false)] {
        let again = pipeline.output(verb, &mixed);
        assert!(said(&again).contains(SAID), "{}", said(&again));
        assert_eq!(printed(&again), if prints { first.as_str() } else { "" }, "{verb}");
    }
    let plan = pipeline.ok("run", &[&mixed[..], &["--dry-run"]].concat());
    assert!(plan.lines().skip(1).all(|line| line.split_whitespace().nth(3) == Some("0")), "nothing to do:\n{plan}");
    assert!(plan.contains("not needed: the run is finished"), "{plan}");
    assert!(computed_from.iter().all(|part| part.exists()) && !store.join("quarantine").exists());

    tables.iter().for_each(|table| fs::remove_dir_all(store.join(table)).unwrap());
    assert_eq!(pipeline.ok("run", &mixed), first, "its features are gone, and its outcome stands");
    // The row counts what it was asked for, and keeps what it found.
    assert_eq!(pipeline.sql("SELECT temperature FROM runs"), temperature);
    assert_eq!(
        pipeline.sql("SELECT finished IS NOT NULL AS finished, invocations, images, image_forwards FROM runs"),
        [json!({"finished": true, "invocations": 5, "images": 18, "image_forwards": 0})]
    );
}

#[test]
fn what_is_missing_or_damaged_of_its_outcome_is_computed_again() {
    let pipeline = Pipeline::new(4, 1);
    let first = pipeline.ok("run", &HEAD);
    let whole = pipeline.path("whole");
    copy(&pipeline.path("store"), &whole);
    let damaged = ["runs", "metrics", "predictions", "passes", "checkpoints"].map(|table| (table, true));
    let removed =
        ["prior_logits", "fusion_logits", "pseudo_labels", "metrics", "predictions"].map(|table| (table, false));
    for (n, (table, flipped)) in damaged.into_iter().chain(removed).enumerate() {
        let store = pipeline.path(&format!("store-{n}"));
        copy(&whole, &store);
        let part = parts(&store, table).pop().unwrap();
        if flipped {
            flip_the_middle(&part);
        } else {
            fs::remove_file(&part).unwrap();
        }
        let rest = [&HEAD[..], &["--store", store.to_str().unwrap()]].concat();
        let again = pipeline.output("run", &rest);
        assert_eq!(printed(&again), first, "{table}");
        assert!(!said(&again).contains(SAID), "{table}: {}", said(&again));
        let warned = format!("warning: {} is damaged", part.display());
        assert_eq!(said(&again).contains(&warned), flipped, "{table}: {}", said(&again));
        assert!(said(&pipeline.output("run", &rest)).contains(SAID), "{table} is there again");
        assert!(part.exists());
        crate::rows::assert_same_rows(&store, &whole);
    }
}

#[test]
fn each_verb_ends_early_only_where_its_own_work_is_done() {
    let pipeline = Pipeline::new(4, 1);
    pipeline.ok("adapt", &HEAD);
    assert!(said(&pipeline.output("adapt", &HEAD)).contains(SAID));
    let measured = pipeline.output("run", &HEAD);
    assert!(printed(&measured).contains("adapted"));
    assert!(!said(&measured).contains(SAID), "it was not measured before");
    assert!(said(&pipeline.output("evaluate", &HEAD)).contains(SAID));

    // A pass that is made anew is measured anew.
    flip_the_middle(&pipeline.checkpoint("store"));
    assert!(!said(&pipeline.output("adapt", &HEAD)).contains(SAID));
    let again = pipeline.output("run", &HEAD);
    assert_eq!(printed(&again), printed(&measured));
    assert!(!said(&again).contains(SAID), "{}", said(&again));

    // What is embedded is not what a finished run needs, but what `embed` is for.
    fs::remove_dir_all(pipeline.path("store/composites")).unwrap();
    assert!(said(&pipeline.output("run", &HEAD)).contains(SAID));
    assert!(said(&pipeline.output("embed", &HEAD)).contains("30 image forwards"));
}

#[test]
fn other_labels_are_measured_anew() {
    let pipeline = Pipeline::new(4, 1);
    let list = |wrong: bool| {
        let mut text = "path,split,label\n".to_owned();
        for split in ["train", "test"] {
            for (n, class) in CLASSES.iter().enumerate() {
                let label = if wrong { CLASSES[(n + 1) % CLASSES.len()] } else { class };
                for path in entries(&pipeline.path(&format!("pictures/{split}/{}", class.replace(' ', "_")))) {
                    text += &format!("{},{split},{label}\n", path.display());
                }
            }
        }
        pipeline.write("list.csv", &text);
    };
    pipeline.spec("small", "kind = \"list\"\npath = \"list.csv\"");
    let none = ["--set", "adapt.tune=none"];
    list(false);
    let right = pipeline.ok("run", &none);
    list(true);
    let wrong = pipeline.output("run", &none);
    assert_ne!(printed(&wrong), right);
    assert!(!said(&wrong).contains(SAID));
    list(false);
    assert_eq!(pipeline.ok("run", &none), right);
}

#[test]
fn it_ends_and_says_the_same_as_the_first_time() {
    // Without labels.
    let pipeline = Pipeline::new(3, 0);
    let pictures: Vec<PathBuf> = CLASSES
        .iter()
        .flat_map(|class| entries(&pipeline.path(&format!("pictures/train/{}", class.replace(' ', "_")))))
        .collect();
    let list: Vec<String> = pictures.iter().map(|path| path.display().to_string()).collect();
    pipeline.write("list.csv", &format!("path\n{}\n", list.join("\n")));
    pipeline.write("classes.txt", &CLASSES.join("\n"));
    pipeline.spec("small", "kind = \"list\"\npath = \"list.csv\"\nclasses = \"classes.txt\"");
    for first in [true, false] {
        let output = pipeline.output("run", &HEAD);
        assert_eq!(printed(&output), "");
        assert!(said(&output).contains("no labels: nothing to measure"), "{}", said(&output));
        assert_eq!(said(&output).contains(SAID), !first);
    }

    // With more rejected files than are tolerated.
    let pipeline = Pipeline::new(3, 1);
    pipeline.write("pictures/train/red_rose/text.jpg", "this is no picture");
    let none = ["--set", "adapt.tune=none"];
    let [first, again] = [0, 1].map(|_| pipeline.output("run", &none));
    assert_eq!((first.status.code(), again.status.code()), (Some(3), Some(3)));
    assert_eq!(first.stdout, again.stdout);
    let error = |output: &Output| said(output).lines().skip_while(|l| !l.starts_with("error:")).collect::<String>();
    assert!(error(&first).contains("1 of 13 files were rejected"), "{}", error(&first));
    assert_eq!(error(&again), error(&first));
    let tolerated = pipeline.output("run", &[&none[..], &["--set", "dataset.tolerance=0.5"]].concat());
    assert!(
        printed(&tolerated).contains("zero-shot") && said(&tolerated).contains(SAID),
        "it was finished all the same"
    );
    assert!(said(&tolerated).contains("1 of 13 files rejected"));
}

#[test]
fn one_that_an_older_version_measured_is_measured_once_more() {
    let pipeline = Pipeline::new(3, 1);
    let none = ["--set", "adapt.tune=none"];
    let first = pipeline.ok("run", &none);
    // Older versions did not say on how many pictures.
    let store = Store::open(pipeline.path("store")).unwrap();
    let metrics = store.partition("metrics", &store.partitions("metrics").unwrap()[0]).unwrap();
    let batch: RecordBatch = reader::batches(&metrics, None, 1024).unwrap().next().unwrap().unwrap();
    let older = batch.project(&[0, 1, 2, 3, 4, 5]).unwrap();
    metrics.replace("metrics", &older.schema(), &[older], &[]).unwrap();
    assert_eq!(pipeline.sql("SELECT count(images) AS n FROM metrics"), [json!({"n": 0})]);
    for finished in [false, true] {
        let again = pipeline.output("run", &none);
        assert_eq!(printed(&again), first);
        assert_eq!(said(&again).contains(SAID), finished);
    }
    assert_eq!(
        pipeline.sql("SELECT DISTINCT split, images FROM metrics ORDER BY split"),
        [json!({"split": "test", "images": 3}), json!({"split": "train", "images": 9})]
    );
}
