//! Passes that balance their own mixture: the table `class_bias`, and the policy `balanced`.

use serde_json::json;

use crate::pipeline::Pipeline;

const BALANCED: [&str; 6] = ["--set", "adapt.tune=head", "--set", "dka.balance=0.8", "--set", "dka.policy=balanced"];

/// Sentences of which one fits everything, so that its class draws pictures of the others.
fn drawn_to_one_class() -> Pipeline {
    let pipeline = Pipeline::new(6, 1);
    let one = "a photo of a picture with many colours and a pattern of stripes";
    pipeline.write(
        "sentences.json",
        &json!({"blue bell": [one], "red rose": ["a night."], "white lily": ["a locomotive."]}).to_string(),
    );
    pipeline
}

#[test]
fn each_pass_balances_its_own_mixture_and_labels_by_it() {
    let pipeline = drawn_to_one_class();
    pipeline.ok("adapt", &BALANCED);
    let sql = "SELECT pass, count(*) AS classes, max(abs(bias)) > 0.01 AS biased, abs(sum(bias)) < 1e-9 AS centred, \
               max(pull) AS pull, max(mass_after) < max(mass_before) AS evener FROM class_bias GROUP BY pass ORDER BY pass";
    let row =
        |pass: i32| json!({"pass": pass, "classes": 3, "biased": true, "centred": true, "pull": 0.8, "evener": true});
    let rows = pipeline.sql(sql);
    assert_eq!(rows, [-1, 0, 1, 2].map(row));

    // The labels are those of the mixture and the pass's biases, which are logits: cosines times
    // 100.
    let sql = "WITH biases AS (SELECT pass, array_agg(CAST(bias / 100 AS FLOAT) ORDER BY class_id) AS bias FROM class_bias GROUP BY pass), \
               balanced AS (SELECT f.pass, f.image_id, softmax(add(mix(p.logits, f.logits, 0.5), b.bias), 100) AS probabilities \
               FROM prior_logits p JOIN fusion_logits f ON f.image_id = p.image_id JOIN biases b ON b.pass = f.pass) \
               SELECT count(*) AS labels, bool_and(s.class_id = argmax(probabilities)) AS same, \
               max(abs(s.confidence - max_of(probabilities))) < 1e-5 AS as_sure \
               FROM pseudo_labels s JOIN balanced b ON b.image_id = s.image_id AND b.pass = s.pass";
    assert_eq!(pipeline.sql(sql), [json!({"labels": 54, "same": true, "as_sure": true})]);
}

#[test]
fn a_pass_whose_biases_are_lost_is_made_again_and_ends_the_same() {
    let pipeline = drawn_to_one_class();
    pipeline.ok("adapt", &BALANCED);
    let rows = || pipeline.sql("SELECT * FROM class_bias ORDER BY pass, class_id");
    let (weights, biases) = (pipeline.weights("store"), rows());
    let folder = pipeline.path("store/class_bias");
    let run = std::fs::read_dir(&folder).unwrap().next().unwrap().unwrap().path();
    std::fs::remove_file(run.join("pass-0002.parquet")).unwrap();
    let output = pipeline.output("adapt", &BALANCED);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("pass 2:") && !said.contains("pass 1:"), "{said}");
    assert!(pipeline.weights("store") == weights, "other weights");
    assert_eq!(rows(), biases);
}

#[test]
fn without_a_pull_no_pass_has_biases_and_the_statement_gets_zeros() {
    let pipeline = drawn_to_one_class();
    pipeline.write(
        "own.sql",
        "SELECT image_id, argmax(add(logits, $bias)) AS class_id, max_of($bias) AS confidence FROM prior_logits",
    );
    let statement = format!("dka.statement={}", pipeline.path("own.sql").display());
    let of = |store: &str, set: &[&str]| {
        let store = pipeline.path(store).to_str().unwrap().to_owned();
        let set =
            ["--set", "dka.balance=0", "--set", &statement, "--store", &store].into_iter().chain(set.iter().copied());
        pipeline.ok("adapt", &set.collect::<Vec<_>>());
        let sql = "SELECT (SELECT count(*) FROM class_bias WHERE pass >= 0) AS biases, max(confidence) AS largest FROM pseudo_labels";
        pipeline.sql_in(sql, &["--store", &store])
    };
    let none = [json!({"biases": 0, "largest": 0.0})];
    assert_eq!(of("off", &["--set", "adapt.tune=head"]), none);
    // The released code's recipe makes labels of a batch at a time, which is not balanced.
    assert_eq!(of("reference", &["--set", "dka.balance=0.8", "--set", "adapt.tune=reference"]), none);
}
