//! The real binary's `predict`: the answers of the table `predictions`, for pictures that are read
//! from their files.

use std::collections::BTreeMap;

use crate::pipeline::{Pipeline, copy, entries};

/// Path, class and probability of each picture, as `predict --format json` gives them.
fn predicted(pipeline: &Pipeline, arguments: &[&str]) -> BTreeMap<String, (String, f64)> {
    let arguments = [arguments, &["--format", "json", "--quiet"]].concat();
    let rows = pipeline.ok("predict", &arguments);
    let rows = rows.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    rows.map(|row| {
        let text = |column: &str| row[column].as_str().unwrap().to_owned();
        (text("path"), (text("class"), row["probability"].as_f64().unwrap()))
    })
    .collect()
}

/// The same of the table `predictions`, for the test split, with confidences as the table has them.
fn stored(pipeline: &Pipeline) -> BTreeMap<String, (String, f64)> {
    let rows = pipeline.sql(
        "SELECT i.path, class_name(p.class_id) AS class, p.confidence FROM predictions p JOIN images i USING (image_id) \
         WHERE p.split = 'test' AND p.run = (SELECT run FROM runs ORDER BY started DESC LIMIT 1)",
    );
    rows.iter()
        .map(|row| {
            let text = |column: &str| row[column].as_str().unwrap().to_owned();
            (text("path"), (text("class"), row["confidence"].as_f64().unwrap()))
        })
        .collect()
}

#[test]
fn pictures_are_answered_as_in_the_table_of_predictions() {
    let pipeline = Pipeline::new(6, 3);
    let test = pipeline.path("pictures/test");
    for settings in [
        vec!["adapt.tune=head"],
        vec!["adapt.tune=head", "fusion.coarse=composite", "predict.gamma=0.5"],
        vec!["adapt.tune=layernorm", "adapt.epochs=1", "fusion.query=random"],
        vec!["adapt.tune=layernorm", "adapt.from_block=2", "adapt.epochs=1"],
    ] {
        let set: Vec<&str> = settings.iter().flat_map(|setting| ["--set", *setting]).collect();
        pipeline.ok("run", &set);
        // Confidences of the table are not calibrated: a temperature moves them all the same way,
        // and no answer.
        let temperature = pipeline.sql("SELECT temperature FROM runs ORDER BY started DESC LIMIT 1");
        let temperature = temperature[0]["temperature"].as_f64().expect("the run was measured");
        let answers = predicted(&pipeline, &[test.to_str().unwrap()]);
        let table = stored(&pipeline);
        assert_eq!(answers.len(), 9);
        for (path, (class, confidence)) in &table {
            let (answer, probability) = &answers[path];
            assert_eq!(answer, class, "{settings:?}: {path}");
            let ordered = (probability - confidence) * (1.0 - temperature);
            assert!(ordered >= -1e-4, "{settings:?}: {path}: {probability} at {temperature}, {confidence} at 1");
        }
    }
}

#[test]
fn lists_files_and_folders_are_answered_and_bad_files_are_named() {
    let pipeline = Pipeline::new(4, 2);
    pipeline.ok("run", &["--set", "adapt.tune=head"]);
    let rose = entries(&pipeline.path("pictures/test/red_rose")).remove(0);
    std::fs::create_dir(pipeline.path("new")).unwrap();
    pipeline.write("new/list.csv", &format!("path\n{}\n", rose.display()));
    pipeline.write("new/broken.png", "no picture");
    let whole = pipeline.output("predict", &[rose.to_str().unwrap(), "--top", "2", "--format", "csv"]);
    let text = String::from_utf8(whole.stdout).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!((lines.len(), lines[0]), (3, "path,rank,class,probability"));
    assert!(lines[1].starts_with(&format!("{},1,", rose.display())), "{text}");
    assert!(lines[2].starts_with(&format!("{},2,", rose.display())), "{text}");
    let note = String::from_utf8(whole.stderr).unwrap();
    assert!(note.contains("fitted on pseudo-labels, not on true labels"), "{note}");

    let (folder, list) = (pipeline.path("new"), pipeline.path("new/list.csv"));
    let mixed = pipeline.output("predict", &[list.to_str().unwrap(), folder.to_str().unwrap(), "--format", "json"]);
    assert_eq!(mixed.status.code(), Some(3), "one of two is more than dataset.tolerance allows");
    assert_eq!(String::from_utf8(mixed.stdout).unwrap().lines().count(), 1, "the good one is answered");
    let said = String::from_utf8(mixed.stderr).unwrap();
    assert!(said.contains("broken.png: unknown_format: "), "{said}");

    let nowhere = pipeline.output("predict", &["nowhere.jpg"]);
    assert_eq!(nowhere.status.code(), Some(1));
    assert!(String::from_utf8(nowhere.stderr).unwrap().contains("there is no picture, folder or list nowhere.jpg"));
}

#[test]
fn a_picture_beyond_a_limit_is_answered_once_the_pipeline_file_has_the_key_that_the_rejection_names() {
    let pipeline = Pipeline::new(4, 1);
    let limits = |side: u32| format!("\n[dataset.limits]\nmax_side = {side}\n");
    let file = std::fs::read_to_string(pipeline.path("pipeline.toml")).unwrap();
    pipeline.write("pipeline.toml", &(file.clone() + &limits(500)));
    pipeline.ok("run", &["--set", "adapt.tune=head"]);
    image::RgbImage::from_fn(700, 40, |x, y| image::Rgb([x as u8, y as u8, 9]))
        .save(pipeline.path("wide.bmp"))
        .unwrap();
    let wide = pipeline.path("wide.bmp");
    let refused = pipeline.output("predict", &[wide.to_str().unwrap()]);
    let said = String::from_utf8(refused.stderr).unwrap();
    let detail =
        "wide.bmp: side_too_long: 700 x 40 pixels, longer than dataset.limits.max_side = 500; a larger value admits";
    assert!(said.contains(detail), "{said}");
    pipeline.write("pipeline.toml", &(file + &limits(900)));
    assert!(pipeline.ok("predict", &[wide.to_str().unwrap(), "--format", "csv"]).contains("wide.bmp"));
}

#[test]
fn a_run_is_found_by_the_beginning_or_the_end_of_its_id_alone() {
    let pipeline = Pipeline::new(4, 1);
    for seed in ["0", "1"] {
        pipeline.ok("run", &["--set", "adapt.tune=head", "--seed", seed]);
    }
    let store = pipeline.path("store");
    let test = pipeline.path("pictures/test");
    let predict = |run: &str| {
        let arguments = ["predict", run, test.to_str().unwrap(), "--store", store.to_str().unwrap(), "--quiet"];
        pipeline.program(&arguments)
    };
    assert!(predict("small-head-s0").status.success());
    let run = pipeline.sql("SELECT run FROM runs WHERE seed = 1")[0]["run"].as_str().unwrap().to_owned();
    assert!(predict(&run[run.len() - 8..]).status.success());
    for (name, said) in
        [("small", "2 runs begin or end with 'small'"), ("other", "no run that begins or ends with 'other'")]
    {
        let refused = predict(name);
        assert_eq!(refused.status.code(), Some(2));
        let text = String::from_utf8(refused.stderr).unwrap();
        assert!(text.contains(said) && text.contains(&run), "{text}");
    }
}

#[test]
fn a_run_without_a_model_and_a_changed_model_are_refused() {
    let pipeline = Pipeline::new(4, 1);
    pipeline.ok("run", &["--set", "adapt.tune=none"]);
    let test = pipeline.path("pictures/test");
    let refused = pipeline.output("predict", &[test.to_str().unwrap()]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8(refused.stderr).unwrap().contains("it has no adapted model"));
}

/// Classes are known by their order, and a frozen classifier by its sentences: what they are now
/// decides what an answer says.
#[test]
fn classes_and_sentences_that_the_run_was_not_made_from_are_refused() {
    let pipeline = Pipeline::new(4, 1);
    let test = pipeline.path("pictures/test");
    let test = test.to_str().unwrap();
    let mixed = ["--set", "adapt.tune=head", "--set", "predict.gamma=0.5"];
    pipeline.ok("run", &["--set", "adapt.tune=head", "--seed", "1"]);
    pipeline.ok("run", &mixed);
    let predict = |run: &str| pipeline.program(&["predict", run, test, "--store", "store", "--quiet"]);
    let refused = |run: &str, what: &str| {
        let output = predict(run);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains(what) && said.contains("are not those that run 'small-head-"), "{said}");
    };
    assert!(predict("small-head-s0").status.success() && predict("small-head-s1").status.success());

    let sentences = std::fs::read_to_string(pipeline.path("sentences.json")).unwrap();
    pipeline.write("sentences.json", &sentences.replacen("flower", "plant", 1));
    refused("small-head-s0", "the sentences about the classes, now in");
    assert!(predict("small-head-s1").status.success(), "a learned classifier answers without sentences");
    std::fs::remove_file(pipeline.path("sentences.json")).unwrap();
    assert!(predict("small-head-s1").status.success(), "also where they are gone");
    pipeline.write("sentences.json", "{}");
    let asked = pipeline.output("sql", &["SELECT count(*) FROM images"]);
    let said = String::from_utf8(asked.stderr).unwrap();
    assert!(asked.status.success() && said.contains("text_features is left empty"), "{said}");

    // The same three classes, another name for one of them: ids go by the alphabet, so all move.
    pipeline.write("sentences.json", &sentences.replace("red rose", "a rose"));
    for split in ["train", "test"] {
        let folder = pipeline.path("pictures").join(split);
        std::fs::rename(folder.join("red_rose"), folder.join("a_rose")).unwrap();
    }
    pipeline.ok("ingest", &[]);
    for run in ["small-head-s0", "small-head-s1"] {
        refused(run, "the classes of the dataset at");
        let report = pipeline.output("report", &["--run", run]);
        let said = String::from_utf8(report.stderr).unwrap();
        assert!(report.status.code() == Some(1) && said.contains("the classes of the dataset at"), "{said}");
    }
    let asked = pipeline.output("sql", &["SELECT * FROM per_class"]);
    let said = String::from_utf8(asked.stderr).unwrap();
    assert!(asked.status.success() && said.contains("warning: the dataset had other classes when runs"), "{said}");

    // A run of today's classes has nothing to do with it.
    pipeline.ok("run", &["--set", "adapt.tune=head", "--seed", "3"]);
    let page = pipeline.path("page.html");
    pipeline.ok("report", &["--run", "small-head-s3", "--output", page.to_str().unwrap()]);
    assert!(!std::fs::read_to_string(page).unwrap().contains("had other classes"));

    // Without any, there is nothing to name answers by.
    std::fs::remove_dir_all(pipeline.path("store/classes")).unwrap();
    let none = predict("small-head-s1");
    let said = String::from_utf8(none.stderr).unwrap();
    assert!(none.status.code() == Some(1) && said.contains("the store has no classes of dataset"), "{said}");
}

/// What a model is besides its weights decides what it computes.
#[test]
fn another_configuration_of_the_same_weights_is_another_model() {
    let pipeline = Pipeline::new(4, 1);
    let from = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("data/clip-flora");
    copy(&from, &pipeline.path("model"));
    let model = ["--set", "model.path=model", "--set", "adapt.tune=head"];
    let first = pipeline.ok("run", &model);
    let test = pipeline.path("pictures/test");
    let predict =
        || pipeline.program(&["predict", "small-head-s0", test.to_str().unwrap(), "--store", "store", "--quiet"]);
    assert!(predict().status.success());
    for (file, was, is) in [("preprocessor_config.json", "0.4814", "0.3814"), ("config.json", "quick_gelu", "gelu")] {
        let path = pipeline.path("model").join(file);
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains(was), "{file}");
        std::fs::write(&path, text.replace(was, is)).unwrap();
        let said = String::from_utf8(predict().stderr).unwrap();
        assert!(said.contains("of the model at") && said.contains("are not those that run"), "{said}");
        std::fs::write(&path, &text).unwrap();
    }
    let config = pipeline.path("model/config.json");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, text.replace("quick_gelu", "gelu")).unwrap();
    let again = pipeline.output("run", &model);
    let said = String::from_utf8(again.stderr).unwrap();
    assert!(!said.contains("is finished"), "{said}");
    let anew = pipeline.path("anew");
    let anew = [&model[..], &["--store", anew.to_str().unwrap()]].concat();
    assert_eq!(String::from_utf8(again.stdout).unwrap(), pipeline.ok("run", &anew), "as from nothing");
    assert!(!first.is_empty());
}
