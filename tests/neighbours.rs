//! The table `neighbours` as the real binary makes it: when, for which pictures, and who shares it.

use serde_json::json;

use crate::pipeline::{Pipeline, entries};

const HEAD: [&str; 2] = ["--set", "adapt.tune=head"];

/// What holds of the rows, whatever the pictures.
const SUMMARY: &str = "SELECT count(*) AS rows, count(DISTINCT image_id) AS images, max(rank) AS k, \
    count(*) FILTER (WHERE image_id = other_id) AS own FROM neighbours";

/// The names of the table's partitions in the store.
fn partitions(pipeline: &Pipeline) -> Vec<String> {
    let name = |path: std::path::PathBuf| path.file_name().unwrap().to_str().unwrap().to_owned();
    entries(&pipeline.path("store/neighbours")).into_iter().map(name).collect()
}

#[test]
fn every_picture_has_its_nearest_ones_and_they_are_those_of_the_embeddings() {
    let pipeline = Pipeline::new(3, 2);
    pipeline.ok("embed", &[]);
    assert_eq!(pipeline.sql(SUMMARY), [json!({"rows": 150, "images": 15, "k": 10, "own": 0})]);
    let wrong = pipeline.sql(
        "SELECT * FROM (SELECT a.image_id, max(cosine(a.cls_feature, b.cls_feature)) AS most \
         FROM embeddings a JOIN embeddings b ON a.image_id <> b.image_id GROUP BY a.image_id) best \
         JOIN neighbours n ON n.image_id = best.image_id AND n.rank = 1 WHERE abs(n.cosine - best.most) > 1e-5",
    );
    assert!(wrong.is_empty(), "{wrong:?}");
    let unordered = pipeline.sql(
        "SELECT a.image_id FROM neighbours a JOIN neighbours b ON b.image_id = a.image_id AND b.rank = a.rank + 1 \
         WHERE b.cosine > a.cosine",
    );
    assert!(unordered.is_empty(), "{unordered:?}");
}

#[test]
fn another_picture_is_among_them_after_the_next_run() {
    let pipeline = Pipeline::new(2, 1);
    pipeline.ok("run", &HEAD);
    assert_eq!(pipeline.sql(SUMMARY), [json!({"rows": 72, "images": 9, "k": 8, "own": 0})]);
    pipeline.picture("pictures/train/red_rose/0100.png", 1, 100);
    pipeline.ok("run", &HEAD);
    assert_eq!(pipeline.sql(SUMMARY), [json!({"rows": 90, "images": 10, "k": 9, "own": 0})]);
    assert_eq!(partitions(&pipeline).len(), 2, "and those of the first nine stay until the store is cleared");
    pipeline.ok("cache gc", &["--unreferenced"]);
    assert_eq!((partitions(&pipeline).len(), pipeline.sql(SUMMARY)[0]["rows"].clone()), (1, json!(90)));
}

#[test]
fn pipelines_on_the_same_pictures_and_model_share_them_whatever_else_they_set() {
    let pipeline = Pipeline::new(2, 1);
    pipeline.ok("run", &HEAD);
    let found = partitions(&pipeline);
    for other in ["saliency.tau=0.4", "views.count=1", "seed=3", "dka.gamma=0.2"] {
        pipeline.ok("run", &[&HEAD[..], &["--set", other]].concat());
        assert_eq!(partitions(&pipeline), found, "{other}");
    }
    // How many there are of each picture is part of what they are, and of no run.
    let runs = entries(&pipeline.path("store/runs"));
    pipeline.ok("run", &[&HEAD[..], &["--set", "neighbours.k=3"]].concat());
    assert_eq!((partitions(&pipeline).len(), entries(&pipeline.path("store/runs"))), (2, runs));
    let three = pipeline.sql_in(SUMMARY, &["--set", "neighbours.k=3"]);
    assert_eq!(three, [json!({"rows": 27, "images": 9, "k": 3, "own": 0})]);
}

#[test]
fn a_finished_run_without_them_gets_them_and_until_then_sql_says_why_there_are_none() {
    let pipeline = Pipeline::new(2, 1);
    pipeline.ok("run", &HEAD);
    let statement = ["SELECT count(*) AS n FROM duplicates", "--format", "json"];
    let said = |pipeline: &Pipeline| String::from_utf8(pipeline.output("sql", &statement).stderr).unwrap();
    assert_eq!(said(&pipeline), "");
    std::fs::remove_dir_all(pipeline.path("store/neighbours")).unwrap();
    assert!(said(&pipeline).contains("neighbours and duplicates are left empty"), "{}", said(&pipeline));
    pipeline.ok("run", &HEAD);
    assert_eq!(pipeline.sql(SUMMARY)[0]["images"], json!(9));
    // Without the features they are made of, the run is finished all the same.
    std::fs::remove_dir_all(pipeline.path("store/neighbours")).unwrap();
    std::fs::remove_dir_all(pipeline.path("store/embeddings")).unwrap();
    pipeline.ok("run", &HEAD);
    assert!(partitions(&pipeline).is_empty());
}

#[test]
fn a_damaged_table_is_made_anew() {
    let pipeline = Pipeline::new(2, 1);
    pipeline.ok("run", &HEAD);
    let before = pipeline.sql("SELECT * FROM neighbours ORDER BY image_id, rank");
    let part = entries(&entries(&pipeline.path("store/neighbours"))[0]).remove(0);
    let mut bytes = std::fs::read(&part).unwrap();
    bytes[20] ^= 1;
    std::fs::write(&part, bytes).unwrap();
    pipeline.ok("run", &[&HEAD[..], &["--seed", "1"]].concat());
    assert_eq!(pipeline.sql("SELECT * FROM neighbours ORDER BY image_id, rank"), before);
}

#[test]
fn the_plan_has_them_and_the_cache_says_that_they_are_used() {
    let pipeline = Pipeline::new(2, 1);
    let row = |plan: String| plan.lines().find(|line| line.starts_with("neighbours")).map(str::to_owned);
    pipeline.ok("run", &HEAD);
    let plan = row(pipeline.ok("run", &[&HEAD[..], &["--dry-run"]].concat())).unwrap();
    assert_eq!(plan.split_whitespace().nth(2), Some("9"), "{plan}");
    let listed = row(pipeline.ok("cache ls", &HEAD)).unwrap();
    assert!(listed.contains("neighbours") && listed.ends_with("yes"), "{listed}");
}

#[test]
fn propagation_is_another_transduction_with_answers_of_its_own() {
    let pipeline = Pipeline::new(4, 2);
    let answers = |method: &str, alpha: &str| {
        let settings = ["adapt.tune=head", "transduction.predictions=true", method, alpha];
        let arguments: Vec<&str> = settings.iter().flat_map(|setting| ["--set", setting]).collect();
        let printed = pipeline.ok("run", &arguments);
        assert!(printed.contains("transductive") && printed.contains("predicted"), "{printed}");
        let newest = "SELECT image_id, confidence FROM predictions \
            WHERE run = (SELECT run FROM runs ORDER BY started DESC LIMIT 1) ORDER BY image_id";
        pipeline.sql_in(newest, &arguments)
    };
    let stata = answers("transduction.method=stata", "transduction.alpha=0.7");
    let propagated = answers("transduction.method=propagation", "transduction.alpha=0.7");
    let other = answers("transduction.method=propagation", "transduction.alpha=0.2");
    assert_ne!(stata, propagated);
    assert_ne!(propagated, other);
}
