//! The real binary on a small folder of pictures: what a run does, reuses and survives.

use std::process::{Child, Command};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::pipeline::{CLASSES, Pipeline, entries};

#[test]
fn run_prints_accuracies_and_stores_them() {
    let pipeline = Pipeline::new(6, 2);
    let printed = pipeline.ok("run", &["--set", "adapt.tune=head"]);
    for model in ["zero-shot", "descriptions", "multi-view", "adapted"] {
        assert!(printed.contains(model), "no {model} in:\n{printed}");
    }
    let metrics = pipeline.sql("SELECT DISTINCT model, split, metric FROM metrics WHERE value BETWEEN 0 AND 1");
    assert_eq!(metrics.len(), 4 * 2 * 2);
    let run = &pipeline.sql("SELECT * FROM runs")[0];
    // 24 pictures with two crops each; 3 names and 6 sentences.
    assert_eq!((&run["images"], &run["image_forwards"], &run["text_forwards"]), (&json!(24), &json!(72), &json!(9)));
    assert_eq!(run["pipeline"], json!("small"));
    let counts = pipeline.sql(
        "SELECT (SELECT count(*) FROM images) AS images, (SELECT count(*) FROM embeddings) AS embeddings, \
         (SELECT count(*) FROM composites) AS composites, (SELECT count(*) FROM predictions) AS predictions, \
         (SELECT count(*) FROM prior_logits) AS prior, (SELECT count(*) FROM pseudo_labels) AS labels, \
         (SELECT count(*) FROM text_features) AS text, (SELECT count(*) FROM passes) AS passes",
    );
    let expected = json!({"images": 24, "embeddings": 24, "composites": 24, "predictions": 24, "prior": 18, "labels": 54,
        "text": 9, "passes": 3});
    assert_eq!(counts, [expected]);
}

#[test]
fn second_run_does_no_forward_and_new_pictures_are_embedded_alone() {
    let pipeline = Pipeline::new(4, 1);
    let head = ["--set", "adapt.tune=head"];
    pipeline.ok("run", &head);
    let plan = pipeline.ok("run", &["--dry-run", "--set", "adapt.tune=head"]);
    assert!(plan.lines().skip(1).all(|line| line.split_whitespace().nth(3) == Some("0")), "nothing to do:\n{plan}");

    let again = pipeline.output("run", &head);
    assert!(String::from_utf8_lossy(&again.stderr).contains("no forward pass"), "it says so");
    let forwards = "SELECT image_forwards, text_forwards, invocations FROM runs ORDER BY started DESC LIMIT 1";
    assert_eq!(pipeline.sql(forwards), [json!({"image_forwards": 0, "text_forwards": 0, "invocations": 2})]);

    // Another seed is another run on the same embeddings.
    pipeline.ok("run", &["--set", "adapt.tune=head", "--seed", "1"]);
    assert_eq!(pipeline.sql("SELECT count(*) AS n, sum(image_forwards) AS f FROM runs"), [json!({"n": 2, "f": 0})]);

    pipeline.picture("pictures/train/red_rose/0100.png", 1, 100);
    pipeline.picture("pictures/train/red_rose/0101.png", 1, 101);
    pipeline.ok("run", &head);
    let newest = pipeline.sql(forwards);
    assert_eq!(
        (&newest[0]["image_forwards"], &newest[0]["text_forwards"]),
        (&json!(6), &json!(0)),
        "2 pictures, 2 crops"
    );
}

#[test]
fn a_new_sentence_costs_one_sentence() {
    let pipeline = Pipeline::new(3, 1);
    let arguments = ["--set", "adapt.tune=none"];
    pipeline.ok("run", &arguments);
    let sentences = std::fs::read_to_string(pipeline.path("sentences.json")).unwrap();
    pipeline.write("sentences.json", &sentences.replacen("[\"a blue", "[\"it rings in the wind.\", \"a blue", 1));
    pipeline.ok("run", &arguments);
    let newest = pipeline.sql("SELECT image_forwards, text_forwards FROM runs ORDER BY started DESC LIMIT 1");
    assert_eq!(newest, [json!({"image_forwards": 0, "text_forwards": 1})]);
}

#[test]
fn same_seed_gives_the_same_bits_and_another_seed_others() {
    let pipeline = Pipeline::new(4, 1);
    for tune in ["head", "layernorm"] {
        let set = format!("adapt.tune={tune}");
        let store = |name: &str| format!("{tune}-{name}");
        for (name, seed) in [("a", "3"), ("b", "3"), ("c", "4")] {
            let store = pipeline.path(&store(name));
            pipeline.ok("adapt", &["--set", &set, "--seed", seed, "--store", store.to_str().unwrap()]);
        }
        assert!(pipeline.weights(&store("a")) == pipeline.weights(&store("b")), "{tune}: the same seed, other weights");
        assert!(
            pipeline.weights(&store("a")) != pipeline.weights(&store("c")),
            "{tune}: another seed, the same weights"
        );
    }
}

#[test]
fn weights_do_not_depend_on_labels() {
    let pipeline = Pipeline::new(4, 2);
    let at = |name: &str| pipeline.path(name).to_str().unwrap().to_owned();
    pipeline.ok("adapt", &["--store", &at("labelled")]);
    // The same pictures in the same order, from a list without labels; the classes from a file.
    let (mut list, mut wrong) = ("path,split\n".to_owned(), "path,split,label\n".to_owned());
    for split in ["test", "train"] {
        for class in CLASSES {
            for path in entries(&pipeline.path(&format!("pictures/{split}/{}", class.replace(' ', "_")))) {
                list += &format!("{},{split}\n", path.display());
                wrong += &format!("{},{split},{}\n", path.display(), CLASSES[0]);
            }
        }
    }
    pipeline.write("list.csv", &list);
    pipeline.write("wrong.csv", &wrong);
    pipeline.write("classes.txt", &CLASSES.join("\n"));
    for (name, file) in [("unlabelled", "list.csv"), ("mislabelled", "wrong.csv")] {
        pipeline.spec("small", &format!("kind = \"list\"\npath = \"{file}\"\nclasses = \"classes.txt\""));
        let printed = pipeline.ok("run", &["--store", &at(name)]);
        assert_eq!(printed.contains("adapted"), name == "mislabelled", "accuracies only with labels:\n{printed}");
        assert!(pipeline.weights(name) == pipeline.weights("labelled"), "{name} pictures gave other weights");
    }
}

#[test]
fn a_killed_run_goes_on_and_ends_with_the_same_weights() {
    let pipeline = Pipeline::new(5, 1);
    let at = |name: &str| pipeline.path(name).to_str().unwrap().to_owned();
    let epochs = ["--set", "adapt.epochs=6"];
    let undisturbed = at("undisturbed");
    pipeline.ok("run", &[&epochs[..], &["--store", &undisturbed]].concat());

    let killed = at("killed");
    let arguments = [&epochs[..], &["--store", &killed]].concat();
    let mut child = pipeline.start("run", &arguments);
    await_second_pass(&pipeline, "killed", &mut child);
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!pipeline.checkpoint("killed").ends_with("pass-0006.safetensors"), "it was killed in time");

    pipeline.ok("run", &arguments);
    assert!(pipeline.weights("killed") == pipeline.weights("undisturbed"), "other weights after a kill");
    let rows = "SELECT (SELECT count(*) FROM passes) AS passes, (SELECT count(*) FROM pseudo_labels) AS labels, \
                (SELECT count(*) FROM embeddings) AS embeddings, (SELECT count(*) FROM fusion_logits) AS fusion";
    let tables = pipeline.sql_in(rows, &["--store", &killed]);
    assert_eq!(tables, [json!({"passes": 6, "labels": 90, "embeddings": 18, "fusion": 90})]);
    assert_eq!(tables, pipeline.sql_in(rows, &["--store", &undisturbed]));
}

/// Waits for the checkpoint after the second pass of a run that was started.
fn await_second_pass(pipeline: &Pipeline, store: &str, child: &mut Child) {
    let folder = pipeline.path(store).join("checkpoints");
    let waiting = Instant::now();
    while !entries(&folder).iter().any(|run| entries(run).iter().any(|f| f.ends_with("pass-0002.safetensors"))) {
        assert!(waiting.elapsed() < Duration::from_secs(120), "no second checkpoint");
        assert!(child.try_wait().unwrap().is_none(), "it ended before it could be stopped");
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn an_interrupted_run_says_how_to_go_on_and_does() {
    let pipeline = Pipeline::new(5, 1);
    let arguments = ["--set", "adapt.epochs=200"];
    let mut child = pipeline.start("run", &arguments);
    await_second_pass(&pipeline, "store", &mut child);
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("run the same command again"), "{said}");

    let plan = pipeline.ok("run", &[&arguments[..], &["--dry-run"]].concat());
    let adapt: Vec<&str> = plan.lines().last().unwrap().split_whitespace().collect();
    let (done, todo): (u64, u64) = (adapt[2].parse().unwrap(), adapt[3].parse().unwrap());
    assert!(done >= 2 && done + todo == 200, "the plan knows what is done: {plan}");
}

#[test]
fn bad_files_become_rows_and_end_the_run_only_past_the_tolerance() {
    let pipeline = Pipeline::new(4, 1);
    let good = std::fs::read(pipeline.path("pictures/train/red_rose/0000.png")).unwrap();
    std::fs::write(pipeline.path("pictures/train/red_rose/cut.png"), &good[..good.len() / 2]).unwrap();
    pipeline.write("pictures/train/red_rose/text.jpg", "this is no picture");
    std::fs::write(pipeline.path("pictures/train/white_lily/twin.png"), &good).unwrap();

    let output = pipeline.output("ingest", &[]);
    assert_eq!(output.status.code(), Some(3), "2 of 17 is more than 5 %");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("dataset.tolerance") && said.contains("hint:"), "{said}");
    pipeline.ok("run", &["--set", "dataset.tolerance=0.2", "--set", "adapt.tune=none"]);
    let rejected = pipeline.sql("SELECT path, reason FROM rejected ORDER BY path");
    assert_eq!(rejected.len(), 2);
    assert!(rejected[0]["path"].as_str().unwrap().ends_with("cut.png") && rejected[0]["reason"] != json!(""));
    let twins = pipeline.sql("SELECT paths FROM images WHERE cardinality(paths) = 2");
    assert_eq!(twins.len(), 1, "the same bytes twice are one image with two paths");
}

#[test]
fn pictures_are_embedded_while_they_are_ingested_and_never_twice() {
    let pipeline = Pipeline::new(4, 1);
    let twin = std::fs::read(pipeline.path("pictures/train/red_rose/0000.png")).unwrap();
    std::fs::write(pipeline.path("pictures/train/white_lily/twin.png"), &twin).unwrap();
    let said = |output: std::process::Output| {
        assert!(output.status.success());
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    assert!(said(pipeline.output("embed", &[])).contains("15 images, 0 rejected, 15 embedded on the way"));
    let rows = "SELECT image_id, cls_feature FROM embeddings ORDER BY image_id";
    let whole = pipeline.sql(rows);

    // As a kill leaves it before the tables of the dataset are written; and a picture that was
    // whole once is no longer.
    std::fs::remove_dir_all(pipeline.path("store/images")).unwrap();
    assert!(said(pipeline.output("embed", &[])).contains("15 images, 0 rejected, 0 embedded on the way"));
    assert_eq!(pipeline.sql(rows), whole);
    std::fs::write(pipeline.path("pictures/train/white_lily/twin.png"), &twin[..twin.len() / 2]).unwrap();
    pipeline.picture("pictures/train/white_lily/0100.png", 2, 100);
    assert!(
        said(pipeline.output("embed", &["--set", "dataset.tolerance=1"])).contains("16 images, 1 rejected, 1 embedded")
    );

    // Batches and parts are those of embedding alone.
    let apart = Pipeline::new(4, 1);
    apart.ok("ingest", &[]);
    apart.ok("embed", &[]);
    assert_eq!(apart.sql(rows), whole);
}

#[test]
fn a_users_statement_decides_what_is_trained_on() {
    let pipeline = Pipeline::new(4, 1);
    pipeline.write(
        "confident.sql",
        "SELECT image_id, CAST(0 AS INT) AS class_id FROM prior_logits ORDER BY image_id LIMIT 5",
    );
    let statement = format!("dka.statement={}", pipeline.path("confident.sql").display());
    pipeline.ok("adapt", &["--set", "adapt.tune=head", "--set", &statement]);
    assert_eq!(
        pipeline.sql("SELECT images, dead_classes FROM passes WHERE pass = 0"),
        [json!({"images": 5, "dead_classes": 2})]
    );

    pipeline.write("confident.sql", "SELECT image_id, CAST(7 AS INT) AS class_id FROM prior_logits");
    let output = pipeline.output("adapt", &["--set", "adapt.tune=head", "--set", &statement]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("confident.sql"), "it names the statement");
}

#[test]
fn a_class_that_nothing_looks_like_is_dead_until_it_is_revived() {
    let pipeline = Pipeline::new(6, 1);
    // Two classes without a picture, and sentences that fit none.
    let strangers = ["grey locomotive", "unlit tunnel"];
    let classes = [&CLASSES[..], &strangers].concat();
    pipeline.write("classes.txt", &classes.join("\n"));
    let sentences: Vec<String> =
        classes.iter().map(|name| format!("\"{name}\": [\"a {name} has five petals.\"]")).collect();
    pipeline.write("sentences.json", &format!("{{{}}}", sentences.join(", ")));
    pipeline.spec("small", "kind = \"folder\"\npath = \"pictures\"\nclasses = \"classes.txt\"");
    let dead = |set: &[&str]| {
        let store = pipeline.path(&format!("store-{}", set.len()));
        let rest = ["--store", store.to_str().unwrap()];
        let set: Vec<&str> = set.iter().flat_map(|set| ["--set", set]).collect();
        pipeline.ok("adapt", &[&["--set", "adapt.tune=head"], &set[..], &rest].concat());
        let sql = "SELECT dead_classes, (SELECT count(DISTINCT class_id) FROM pseudo_labels l WHERE l.pass = p.pass) AS alive \
                   FROM passes p ORDER BY pass";
        let passes = pipeline.sql_in(sql, &rest);
        assert_eq!(passes.len(), 3);
        assert!(passes.iter().all(|p| p["dead_classes"].as_u64().unwrap() + p["alive"].as_u64().unwrap() == 5));
        passes.iter().map(|p| p["dead_classes"].as_u64().unwrap()).collect::<Vec<_>>()
    };
    let by_argmax = dead(&[]);
    assert!(by_argmax.iter().all(|dead| *dead > 0), "dead by argmax: {by_argmax:?}");
    assert_eq!(dead(&["dka.policy=revive", "dka.k=2"]), [0, 0, 0]);
}

#[test]
fn probabilities_and_floors_of_pseudo_labels_are_at_the_runs_own_scale() {
    let pipeline = Pipeline::new(6, 1);
    let at = |scale: &str, floor: &str| {
        let store = format!("{scale}-{floor}");
        let store = pipeline.path(&store).to_str().unwrap().to_owned();
        let keys = [format!("adapt.logit_scale={scale}"), format!("dka.floor={floor}")];
        let mut arguments = vec!["--set", "adapt.tune=head", "--set", "dka.policy=confident", "--store", &store];
        keys.iter().for_each(|key| arguments.extend(["--set", key.as_str()]));
        pipeline.ok("adapt", &arguments);
        let sql = format!(
            "SELECT s.pass, max_of(softmax(mix(p.logits, f.logits, 0.5), {scale})) AS expected, s.confidence AS found \
             FROM prior_logits p JOIN fusion_logits f ON f.image_id = p.image_id \
             LEFT JOIN pseudo_labels s ON s.image_id = f.image_id AND s.pass = f.pass WHERE f.pass = 0 ORDER BY 2"
        );
        let rows = pipeline.sql_in(&sql, &["--store", &store]);
        rows.iter().map(|row| (row["expected"].as_f64().unwrap(), row["found"].as_f64())).collect::<Vec<_>>()
    };
    let all = at("20", "0");
    assert_eq!(all.len(), 18);
    assert!(all.iter().all(|(expected, found)| Some(*expected) == *found), "{all:?}");
    let at_another_scale = at("100", "0");
    assert!(all.iter().zip(&at_another_scale).all(|((a, _), (b, _))| a + 1e-3 < *b), "{all:?}, {at_another_scale:?}");
    // A floor among the confidences at 20 leaves out those below it, and at 100 it would leave out
    // others.
    let floor = all[9].0 - 1e-6;
    let some = at("20", &floor.to_string());
    assert!(some.iter().all(|(expected, found)| found.is_some() == (*expected >= floor)), "floor {floor}: {some:?}");
    assert!(some.iter().any(|(_, found)| found.is_none()) && some.iter().any(|(_, found)| found.is_some()));
}

#[test]
fn a_users_wrong_statement_is_refused_with_its_row() {
    let pipeline = Pipeline::new(3, 1);
    let refusal = |sql: &str| {
        pipeline.write("own.sql", sql);
        let output = pipeline.output("adapt", &["--set", "adapt.tune=head", "--set", "dka.statement=own.sql"]);
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8(output.stderr).unwrap()
    };
    let rows = "SELECT image_id, CAST(row_number() OVER (ORDER BY image_id) - 1 AS INT) AS class_id FROM prior_logits ORDER BY image_id";
    let said = refusal(rows);
    let fourth = &pipeline.sql("SELECT image_id FROM prior_logits ORDER BY image_id LIMIT 1 OFFSET 3")[0]["image_id"];
    let expected = format!("own.sql: row 4: picture {} has class 3; the classes are 0 to 2", fourth.as_str().unwrap());
    assert!(said.contains(&expected), "{said}");
    let said = refusal("SELECT image_id, 0 AS class_id, 1 AS weight FROM prior_logits");
    assert!(said.contains("own.sql: it returns a column `weight`"), "{said}");
    let said = refusal("SELECT image_id, 0 AS class_id FROM prior_logits WHERE $floor > 1");
    assert!(said.contains("own.sql: it returns no row in pass 0") && said.contains("dka.floor"), "{said}");
}

#[test]
fn a_pickle_is_refused_with_the_way_to_convert_it() {
    let pipeline = Pipeline::new(1, 1);
    pipeline.write("model.pt", "not read");
    let model = format!("model.path={}", pipeline.path("model.pt").display());
    let output = pipeline.output("run", &["--set", &model]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1));
    assert!(said.contains("pickle") && said.contains("save_file"), "{said}");
}
