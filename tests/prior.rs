//! The prior, which depends on neither the seed nor training, is computed once and shared by all
//! runs that have the same.

use std::fs::{self, File};
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use arrow::array::RecordBatch;
use arrow::datatypes::Schema;
use microclip_pipe::store::{Store, reader};
use microclip_pipe::table::{self, Dims, arrays};
use serde_json::json;

use crate::pipeline::{Pipeline, entries};

const HEAD: [&str; 4] = ["--set", "adapt.tune=head", "--set", "dka.balance=auto"];

fn run(pipeline: &Pipeline, rest: &[&str]) {
    pipeline.ok("run", &[&HEAD[..], rest].concat());
}

/// The names of a table's partitions.
fn names(pipeline: &Pipeline, table: &str) -> Vec<String> {
    let folders = entries(&pipeline.path("store").join(table));
    folders.iter().map(|path| path.file_name().unwrap().to_str().unwrap().to_owned()).collect()
}

/// The only part of a prior.
fn part(pipeline: &Pipeline, prior: &str) -> PathBuf {
    entries(&pipeline.path("store/prior_logits").join(prior)).remove(0)
}

/// The newest run's id.
fn newest(pipeline: &Pipeline) -> String {
    pipeline.sql("SELECT run FROM runs ORDER BY started DESC LIMIT 1")[0]["run"].as_str().unwrap().to_owned()
}

#[test]
fn seeds_and_rows_of_an_ablation_share_it_and_a_statement_sees_it_in_each_run() {
    let pipeline = Pipeline::new(6, 2);
    run(&pipeline, &[]);
    let prior = names(&pipeline, "prior_logits");
    let [name] = prior.as_slice() else { panic!("{prior:?}") };
    let written = fs::metadata(part(&pipeline, name)).unwrap().modified().unwrap();
    let same = ["dka.policy=revive", "predict.gamma=0.25", "transduction.predictions=true", "adapt.epochs=2"];
    run(&pipeline, &["--seed", "1"]);
    let weights_of_one = newest(&pipeline);
    for setting in same {
        run(&pipeline, &["--set", setting]);
    }
    assert_eq!(names(&pipeline, "prior_logits"), prior);
    assert_eq!(fs::metadata(part(&pipeline, name)).unwrap().modified().unwrap(), written, "it is not written again");

    let counts =
        "SELECT count(*) AS n, count(DISTINCT run) AS runs, count(DISTINCT image_id) AS pictures FROM prior_logits";
    assert_eq!(pipeline.sql(counts), [json!({"n": 6 * 18, "runs": 6, "pictures": 18})]);
    assert_eq!(
        pipeline.sql("SELECT DISTINCT prior FROM runs"),
        [json!({"prior": name})],
        "the table `runs` says which is shared"
    );
    // As statements of users join it.
    let joined = "SELECT p.run, count(*) AS n FROM prior_logits p JOIN pseudo_labels s ON s.run = p.run AND \
                  s.image_id = p.image_id AND s.pass = 0 GROUP BY p.run";
    assert!(pipeline.sql(joined).iter().all(|row| row["n"] == json!(18)), "{:?}", pipeline.sql(joined));
    let one = format!("SELECT run, count(*) AS n FROM prior_logits WHERE run = '{weights_of_one}' GROUP BY run");
    assert_eq!(pipeline.sql(&one), [json!({"run": weights_of_one, "n": 18})]);
    let columns = pipeline.sql("SELECT * FROM prior_logits LIMIT 1")[0].as_object().unwrap().len();
    assert_eq!(columns, 3);
    let shown = pipeline.sql("SELECT count(*) AS n FROM all_runs.disagreements")[0]["n"].as_u64().unwrap();
    assert!(shown > 0, "views read it");

    // The run that found it is the run that would have computed it.
    let alone = pipeline.path("alone");
    run(&pipeline, &["--seed", "1", "--store", alone.to_str().unwrap()]);
    for table in ["class_bias", "prior_logits", "fusion_logits", "pseudo_labels", "predictions"] {
        let statement = format!("SELECT * FROM {table} WHERE run = '{weights_of_one}' ORDER BY 1, 2, 3");
        let (shared, own) =
            (pipeline.sql(&statement), pipeline.sql_in(&statement, &["--store", alone.to_str().unwrap()]));
        assert!(!own.is_empty() && shared == own, "{table}");
    }
}

#[test]
fn other_settings_of_the_prior_make_another() {
    let pipeline = Pipeline::new(4, 1);
    run(&pipeline, &[]);
    let other = ["dka.balance=0.5", "adapt.class_prior=estimated", "adapt.logit_scale=90", "transduction.prior=true"];
    for (n, setting) in other.into_iter().enumerate() {
        run(&pipeline, &["--set", setting]);
        assert_eq!(names(&pipeline, "prior_logits").len(), n + 2, "{setting}");
    }
    // Nor is a prior of other pictures or sentences taken for it.
    pipeline.picture("pictures/train/red_rose/0100.png", 1, 100);
    run(&pipeline, &[]);
    pipeline.write("sentences.json", "{\"blue bell\": [\"a\"], \"red rose\": [\"b\"], \"white lily\": [\"c\"]}");
    run(&pipeline, &[]);
    assert_eq!(names(&pipeline, "prior_logits").len(), other.len() + 3);
}

#[test]
fn a_damaged_one_is_set_aside_and_computed_anew() {
    let pipeline = Pipeline::new(4, 1);
    run(&pipeline, &[]);
    let name = names(&pipeline, "prior_logits").remove(0);
    let whole = pipeline.sql("SELECT * FROM prior_logits ORDER BY image_id");
    let part = part(&pipeline, &name);
    let mut bytes = fs::read(&part).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&part, bytes).unwrap();
    let said = pipeline.output("run", &[&HEAD[..], &["--seed", "1"]].concat());
    assert!(String::from_utf8_lossy(&said.stderr).contains("prior.parquet is damaged"));
    assert_eq!(
        pipeline.sql(&format!("SELECT * FROM prior_logits WHERE run <> '{}' ORDER BY image_id", newest(&pipeline))),
        whole
    );
}

/// Turns the store into one of a version whose runs had a prior each.
fn make_old(pipeline: &Pipeline) -> String {
    let store = Store::open(pipeline.path("store")).unwrap();
    let run = store.partitions("runs").unwrap().remove(0);
    let shared = store.partition("prior_logits", &store.partitions("prior_logits").unwrap()[0]).unwrap();
    let rows = reader::batches(&shared, None, 1024).unwrap().next().unwrap().unwrap();
    let schema = table::table("prior_logits").unwrap().arrow(&Dims::from([("C", 3)])).unwrap();
    let columns = [vec![arrays::repeated(&run, rows.num_rows())], rows.columns().to_vec()].concat();
    let rows = RecordBatch::try_new(schema.clone(), columns).unwrap();
    store.partition("prior_logits", &run).unwrap().write_part("prior", &schema, &[rows], &[]).unwrap();
    shared.clear().unwrap();
    let row = store.partition("runs", &run).unwrap();
    let batch = reader::batches(&row, None, 16).unwrap().next().unwrap().unwrap();
    let old: Vec<usize> = (0..batch.num_columns()).filter(|&n| batch.schema().field(n).name() != "prior").collect();
    let batch = batch.project(&old).unwrap();
    let schema = Schema::new(batch.schema().fields().clone());
    row.replace("run", &schema.into(), &[batch], &[]).unwrap();
    run
}

#[test]
fn a_store_whose_runs_have_one_each_is_read_as_before() {
    let pipeline = Pipeline::new(4, 1);
    run(&pipeline, &[]);
    let rows = "SELECT * FROM prior_logits ORDER BY run, image_id";
    let before = pipeline.sql(rows);
    let old = make_old(&pipeline);
    assert_eq!(names(&pipeline, "prior_logits"), [old.as_str()]);
    assert_eq!(pipeline.sql(rows), before);
    let said = pipeline.output("run", &HEAD);
    assert!(String::from_utf8_lossy(&said.stderr).contains("is finished: nothing had to be computed"));
    assert_eq!(names(&pipeline, "prior_logits"), [old.as_str()], "nothing is computed for it");
    assert_eq!(pipeline.sql("SELECT prior FROM runs"), [json!({"prior": null})]);

    // Another seed makes the one that both can read, without a forward pass.
    run(&pipeline, &["--seed", "1"]);
    assert_eq!(names(&pipeline, "prior_logits").len(), 2);
    assert_eq!(pipeline.sql("SELECT image_forwards AS n FROM runs ORDER BY started DESC LIMIT 1"), [json!({"n": 0})]);
    assert_eq!(
        pipeline.sql("SELECT count(*) AS n, count(DISTINCT run) AS runs FROM prior_logits"),
        [json!({"n": 24, "runs": 2})]
    );
    let kept = pipeline.ok("cache gc", &[&HEAD[..], &["--unreferenced"]].concat());
    assert!(kept.contains("removed 0 files"), "the old run reads its own: {kept}");
    run(&pipeline, &[]);
    let left = names(&pipeline, "prior_logits");
    assert!(left.len() == 1 && left[0] != old, "asked for again, it reads the shared one: {left:?}");
    let of_old = format!(
        "{:?}",
        pipeline.sql(&format!("SELECT * FROM prior_logits WHERE run = '{old}' ORDER BY run, image_id"))
    );
    assert_eq!(of_old, format!("{before:?}"));
    pipeline.ok("cache verify", &[]);
}

#[test]
fn gc_keeps_what_a_kept_run_reads_and_removes_what_none_does() {
    let pipeline = Pipeline::new(4, 1);
    run(&pipeline, &[]);
    let (first, prior) = (newest(&pipeline), names(&pipeline, "prior_logits").remove(0));
    run(&pipeline, &["--set", "dka.balance=0.5"]);
    let second = newest(&pipeline);
    assert_eq!(names(&pipeline, "prior_logits").len(), 2);
    let listed = pipeline.ok("cache ls", &[&HEAD[..], &["--set", "dka.balance=0.5"]].concat());
    let line = |name: &str| listed.lines().find(|line| line.contains(name)).unwrap_or_default().to_owned();
    assert!(line(&prior).contains("no: the prior of earlier runs: other settings"), "{listed}");

    // Both runs are the pipeline's, so that both priors stay, however long ago they were used.
    let gc = |rest: &[&str]| pipeline.ok("cache gc", &[&HEAD[..], &["--set", "dka.balance=0.5"], rest].concat());
    assert!(gc(&["--unreferenced"]).contains("removed 0 files"));
    // Those of another pipeline go with their last run, not before.
    let text = fs::read_to_string(pipeline.path("pipeline.toml")).unwrap();
    pipeline.write("pipeline.toml", &text.replace("name = \"small\"", "name = \"other\""));
    let old = SystemTime::now() - Duration::from_secs(40 * 86_400);
    File::open(pipeline.path("store/prior_logits").join(&prior)).unwrap().set_modified(old).unwrap();
    let gone = gc(&["--older-than", "30", "--dry-run"]);
    assert!(!gone.contains(&prior), "its run was used today: {gone}");
    pipeline.write("pipeline.toml", &text);

    pipeline.ok("cache rm", &[&first]);
    let gone = gc(&["--unreferenced"]);
    assert!(gone.contains(&prior) && gone.contains("removed 1 file,"), "{gone}");
    assert_eq!(names(&pipeline, "runs"), [second]);
    assert_eq!(names(&pipeline, "prior_logits").len(), 1);
    pipeline.ok("cache verify", &[]);
}
