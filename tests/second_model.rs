//! The real binary with a second vision model: its table, its row of `metrics`, what other verbs
//! say of it, and that nothing changes without it.

use tempfile::TempDir;

use crate::dino_parity::folder;
use crate::pipeline::Pipeline;
use crate::predict::{predicted, stored};

/// A pipeline beside a second model, and the arguments that name it.
fn with_second() -> (Pipeline, TempDir, Vec<String>) {
    let second = folder("dinov2-registers", 28);
    let path = format!("model.second.path={}", second.path().display());
    let set = ["adapt.tune=head", "dka.balance=0.8", "predict.gamma=0.5", &path];
    let set = set.iter().flat_map(|setting| ["--set".to_owned(), (*setting).to_owned()]).collect();
    (Pipeline::new(6, 3), second, set)
}

fn slices(set: &[String]) -> Vec<&str> {
    set.iter().map(String::as_str).collect()
}

fn count(pipeline: &Pipeline, set: &[&str], statement: &str) -> u64 {
    pipeline.sql_in(statement, set)[0]["n"].as_u64().unwrap()
}

#[test]
fn its_features_are_computed_once_and_its_answers_are_measured_and_mixed_in() {
    let (pipeline, _second, set) = with_second();
    let set = slices(&set);
    pipeline.ok("run", &set);
    assert_eq!(count(&pipeline, &set, "SELECT count(*) AS n FROM second_features WHERE cardinality(cls) = 32"), 27);
    assert_eq!(count(&pipeline, &set, "SELECT count(*) AS n FROM second_classes"), 3);
    let shares = pipeline.sql_in("SELECT sum(mass) AS n, sum(bias) AS b FROM second_classes", &set);
    assert!((shares[0]["n"].as_f64().unwrap() - 1.0).abs() < 1e-4 && shares[0]["b"].as_f64().unwrap().abs() < 1e-6);
    assert_eq!(
        count(&pipeline, &set, "SELECT count(*) AS n FROM metrics WHERE model = 'second' AND metric = 'top1'"),
        2
    );

    // `predict` answers as the table, from the training pictures' classes alone.
    let answers = predicted(&pipeline, &[pipeline.path("pictures/test").to_str().unwrap()]);
    let table = stored(&pipeline);
    assert_eq!((answers.len(), table.len()), (9, 9));
    for (path, (class, _)) in &table {
        assert_eq!(&answers[path].0, class, "{path}");
    }

    let card = pipeline.path("exported");
    pipeline.ok("export", &["--output", card.to_str().unwrap()]);
    let card = std::fs::read_to_string(card.join("README.md")).unwrap();
    assert!(card.contains("drew on a second vision model"), "{card}");

    // Only what is missing is computed: one more picture, and its crops.
    pipeline.picture("pictures/train/red_rose/0099.png", 1, 99);
    let again = pipeline.output("run", &set);
    let said = String::from_utf8_lossy(&again.stderr).into_owned();
    assert!(again.status.success() && said.contains("1 embedded on the way"), "{said}");
    assert_eq!(count(&pipeline, &set, "SELECT count(*) AS n FROM second_features"), 28);

    let other = pipeline.output("run", &[&set[..], &["--set", "model.second.features=cls"]].concat());
    assert!(String::from_utf8_lossy(&other.stderr).contains("all cached: no forward pass"));
}

#[test]
fn nothing_of_it_is_there_without_it_and_other_features_are_shared() {
    let (pipeline, _second, set) = with_second();
    let plain = &slices(&set)[..6];
    pipeline.ok("run", plain);
    for table in ["second_features", "second_classes", "metrics WHERE model = 'second'"] {
        assert_eq!(count(&pipeline, plain, &format!("SELECT count(*) AS n FROM {table}")), 0, "{table}");
    }
    let rows = |rest: &[&str]| pipeline.ok("run", &[rest, &["--dry-run"]].concat());
    assert!(!rows(plain).contains("second"));
    let with = rows(&slices(&set));
    let second = with.lines().find(|line| line.contains("second-")).unwrap_or_else(|| panic!("{with}"));
    assert!(second.contains("27"), "{second}");
    // The CLIP's tower is not asked for what is there already.
    let run = pipeline.output("run", &slices(&set));
    assert!(String::from_utf8_lossy(&run.stderr).contains("27 images through the vision tower (second)"));
    let holdings = pipeline.ok("cache ls", &[]);
    assert!(holdings.contains("second_features"), "{holdings}");
}

#[test]
fn one_that_cannot_be_used_is_broken_before_anything_runs_and_a_changed_one_is_refused() {
    let (pipeline, second, set) = with_second();
    let set = slices(&set);
    let doctor = pipeline.ok("doctor", &set);
    let found = doctor.lines().find(|line| line.contains("second model")).unwrap_or_else(|| panic!("{doctor}"));
    assert!(found.contains("dinov2_with_registers, 2 blocks of 32 on 16 patches, 4 registers"), "{found}");
    pipeline.ok("run", &set);

    // Other colours are another model.
    let path = second.path().join("preprocessor_config.json");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace("\"image_mean\":0.5", "\"image_mean\":0.4")).unwrap();
    let test = pipeline.path("pictures/test");
    let said = |verb: &str, rest: &[&str]| String::from_utf8(pipeline.output(verb, rest).stderr).unwrap();
    let refused = said("predict", &[test.to_str().unwrap()]);
    assert!(refused.contains("the files of the second model at"), "{refused}");

    std::fs::remove_file(&path).unwrap();
    for (verb, rest) in [("run", &[][..]), ("run", &["--dry-run"]), ("doctor", &[])] {
        let output = pipeline.output(verb, &[&set[..], rest].concat());
        let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(!output.status.success() && said.contains("no preprocessor_config.json in"), "{verb}: {said}");
    }
}
