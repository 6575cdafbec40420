//! The real binary: every recipe and every part of the method that a pipeline file can choose.

use serde_json::json;

use crate::pipeline::Pipeline;

/// `--set` for each of these.
fn set<'a>(settings: &[&'a str]) -> Vec<&'a str> {
    settings.iter().flat_map(|setting| ["--set", setting]).collect()
}

fn adapt_into(pipeline: &Pipeline, store: &str, settings: &[&str]) {
    let store = pipeline.path(store);
    pipeline.ok("adapt", &[&["--store", store.to_str().unwrap()], &set(settings)[..]].concat());
}

#[test]
fn the_reference_recipe_makes_the_tables_of_a_pass_and_is_reproducible() {
    let pipeline = Pipeline::new(4, 1);
    let settings = set(&["adapt.tune=reference", "adapt.epochs=2", "saliency.orientation=raw"]);
    pipeline.ok("run", &settings);
    let counts = "SELECT (SELECT count(*) FROM pseudo_labels) AS labels, (SELECT count(*) FROM fusion_logits) AS logits, \
         (SELECT sum(steps) FROM passes) AS steps, (SELECT count(*) FROM predictions) AS predictions";
    assert_eq!(pipeline.sql(counts), [json!({"labels": 24, "logits": 24, "steps": 6, "predictions": 15})]);
    // Live labels are of the model as it then stood: the labels of a pass are not those that its
    // logits and the fixed prior would give, but each is the best class of what its own step saw,
    // with a confidence.
    let filled =
        "SELECT count(*) AS n FROM pseudo_labels WHERE confidence > 0 AND pass = 1 AND previous_class_id IS NOT NULL";
    assert_eq!(pipeline.sql(filled), [json!({"n": 12})]);
    for store in ["a", "b"] {
        adapt_into(&pipeline, store, &["adapt.tune=reference", "adapt.epochs=2", "saliency.orientation=raw"]);
    }
    assert!(pipeline.weights("a") == pipeline.weights("b"), "the same seed, other weights");
    let names: Vec<String> = pipeline.weights("a").into_iter().map(|(name, _)| name).collect();
    assert!(names.iter().any(|name| name == "visual.ln_pre.weight"), "every LayerNorm is trained: {names:?}");
}

#[test]
fn a_later_block_is_adapted_on_cached_tokens() {
    let pipeline = Pipeline::new(4, 1);
    adapt_into(&pipeline, "whole", &["adapt.tune=layernorm"]);
    adapt_into(&pipeline, "zero", &["adapt.tune=layernorm", "adapt.from_block=0"]);
    assert!(pipeline.weights("whole") == pipeline.weights("zero"), "from_block = 0 is layernorm");

    let settings = set(&["adapt.from_block=2"]);
    pipeline.ok("run", &settings);
    let run = "SELECT image_forwards FROM runs ORDER BY started DESC LIMIT 1";
    // 15 pictures, two crops of each, and the first two blocks of each.
    assert_eq!(pipeline.sql(run), [json!({"image_forwards": 60})]);
    assert_eq!(pipeline.sql_in("SELECT count(*) AS n FROM block_tokens", &settings), [json!({"n": 15})]);
    let names: Vec<String> = pipeline.weights("store").into_iter().map(|(name, _)| name).collect();
    let trained = |part: &str| names.iter().any(|name| name.starts_with(&format!("visual.{part}")));
    assert!(!trained("ln_pre") && !trained("transformer.resblocks.1") && trained("transformer.resblocks.2"));
    // Pixels are needed no more: another seed does no forward of the frozen tower.
    pipeline.ok("run", &[&["--seed", "1"], &settings[..]].concat());
    assert_eq!(pipeline.sql(run), [json!({"image_forwards": 0})]);

    let refused = pipeline.output("run", &set(&["adapt.from_block=4"]));
    assert_eq!(refused.status.code(), Some(2));
    let message = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(message.contains("adapt.from_block = 4: the vision tower has 4 blocks, 0 to 3"), "{message}");
}

#[test]
fn every_part_of_the_fusion_makes_a_difference() {
    let pipeline = Pipeline::new(4, 1);
    // More of one class, for the class prior to find.
    (100..108).for_each(|n| pipeline.picture(&format!("pictures/train/red_rose/{n:04}.png"), 1, n));
    let variants = [
        "fusion.ratio=0.5",
        "fusion.query=all",
        "fusion.query=cls",
        "fusion.query=random",
        "fusion.pooling=mean",
        "fusion.pooling=foreground_mean",
        "fusion.sink=learned",
        "fusion.coarse=composite",
        "fusion.heads=frozen",
        "fusion.heads=learnable",
        "fusion.ratio=0.2",
        "dka.gamma=0.9",
        "views.count=3",
        "views.scale=[0.2,0.4]",
        "text.prototypes=templates",
        "adapt.class_prior=estimated",
        "adapt.head_lr_factor=10",
        "transduction.prior=true",
    ];
    for setting in variants {
        // Enough passes for the class prior to be estimated.
        adapt_into(&pipeline, setting, &["adapt.tune=head", "adapt.epochs=5", setting]);
    }
    // What the pass before last left: weights, by the names that two variants share, and the
    // confidence of every label, which moves where a setting changes the pseudo-logits but no
    // label.
    let confidences = |store: &str| {
        let store = pipeline.path(store);
        let statement = "SELECT image_id, pass, confidence FROM pseudo_labels ORDER BY pass, image_id";
        pipeline.sql_in(statement, &["--store", store.to_str().unwrap()])
    };
    let made: Vec<_> = variants.iter().map(|name| (pipeline.weights(name), confidences(name))).collect();
    for a in 0..variants.len() {
        for b in 0..a {
            let ((ours, our_labels), (theirs, their_labels)) = (&made[a], &made[b]);
            let of_both = |name: &String| theirs.iter().any(|(other, _)| other == name);
            let differ = ours.iter().any(|entry| of_both(&entry.0) && !theirs.contains(entry));
            assert!(differ || our_labels != their_labels, "{} does what {} does", variants[a], variants[b]);
        }
    }
    let names =
        |variant: &str| -> Vec<String> { pipeline.weights(variant).into_iter().map(|(name, _)| name).collect() };
    assert!(names("fusion.sink=learned").contains(&"sink".to_owned()));
    assert!(!names("fusion.heads=frozen").contains(&"classifier".to_owned()));
}

#[test]
fn transduction_and_the_prior_at_prediction_are_rows_of_their_own() {
    let pipeline = Pipeline::new(6, 3);
    let settings = set(&["adapt.tune=head", "transduction.predictions=true", "predict.gamma=0.5"]);
    let printed = pipeline.ok("run", &settings);
    assert!(printed.contains("transductive") && printed.contains("predicted"), "{printed}");
    let models = pipeline.sql("SELECT count(DISTINCT model) AS n FROM metrics");
    assert_eq!(models, [json!({"n": 6})]);
    // Predictions are the answers that were measured.
    let right = "SELECT count(*) FILTER (WHERE predictions.class_id = labels.class_id) / CAST(count(*) AS DOUBLE) AS top1, \
         (SELECT value FROM metrics WHERE model = 'predicted' AND metric = 'top1' AND split = 'test') AS stored \
         FROM predictions JOIN labels USING (image_id) WHERE split = 'test'";
    let row = &pipeline.sql(right)[0];
    assert!((row["top1"].as_f64().unwrap() - row["stored"].as_f64().unwrap()).abs() < 1e-9, "{row}");
}

#[test]
fn class_shares_are_read_by_name_and_mistakes_are_named() {
    let pipeline = Pipeline::new(4, 1);
    let settings = set(&["adapt.tune=head", "adapt.class_prior=table", "adapt.class_shares=shares.json"]);
    let refused = |text: &str| {
        pipeline.write("shares.json", text);
        let output = pipeline.output("run", &settings);
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let message = refused("{\"blue bell\": 3, \"red rose\": 1}");
    assert!(message.contains("shares.json: no share of class 'white lily'"), "{message}");
    let message = refused("{\"blue bell\": 3, \"red rose\": 1, \"white lily\": 0}");
    assert!(message.contains("the share of 'white lily' is 0"), "{message}");
    let message = refused("{\"blue bell\": 1e308, \"red rose\": 1e308, \"white lily\": 1}");
    assert!(message.contains("the share of 'blue bell' is 1e308: nothing beside the sum of inf"), "{message}");
    let message = refused("{\"blue bell\": 3, \"red rose\": 1, \"white lily\": 1, \"tulip\": 1}");
    assert!(message.contains("'tulip' is no class of the dataset"), "{message}");
    let message = refused("{\"blue bell\": 3, \"Blue_Bell\": 3, \"red rose\": 1, \"white lily\": 1}");
    assert!(message.contains("4 shares of 3 classes"), "{message}");
    // Names are compared as everywhere: in any case, and with spaces for underscores.
    pipeline.write("shares.json", "{\"Blue_bell\": 3, \"red rose\": 1, \"white_lily\": 1}");
    pipeline.ok("run", &settings);
    // What the file says is part of the run: other shares are another run.
    pipeline.write("shares.json", "{\"blue bell\": 1, \"red rose\": 1, \"white lily\": 1}");
    pipeline.ok("run", &settings);
    assert_eq!(pipeline.sql("SELECT count(*) AS n FROM runs WHERE finished IS NOT NULL"), [json!({"n": 2})]);
}
