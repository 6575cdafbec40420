//! `ablate --choose` with the real binary: rows are ranked by what their runs answer, and labels
//! change nothing but the report.

use std::process::Output;

use serde_json::json;

use crate::pipeline::{CLASSES, Pipeline, entries};

/// A frozen row and two that are trained, each in its own way.
const ROWS: &str = r#"name = "rows"
store = "store"
pipelines = ["pipeline.toml"]
seeds = [0, 1]
set = ["adapt.epochs=2"]

[[rows]]
name = "multi-view"
model = "multi_view"
set = ["adapt.tune=none"]

[[rows]]
name = "head"
set = ["adapt.tune=head"]

[[rows]]
name = "balanced head"
model = "predicted"
set = ["adapt.tune=head", "dka.policy=top_k_per_class", "dka.k=2", "predict.gamma=0.5"]
"#;

fn ablate(pipeline: &Pipeline, rest: &[&str]) -> Output {
    pipeline.write("rows.toml", ROWS);
    pipeline.program(&[&["ablate", "rows.toml"], rest].concat())
}

#[track_caller]
fn ok(pipeline: &Pipeline, rest: &[&str]) -> String {
    let output = ablate(pipeline, rest);
    assert!(output.status.success(), "{rest:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_choice_is_the_same_without_labels_and_with_wrong_ones() {
    let pipeline = Pipeline::new(5, 4);
    // The same pictures with their labels, with those of other classes, and with none.
    let (mut right, mut wrong) = ("path,split,label\n".to_owned(), "path,split,label\n".to_owned());
    let mut none = "path,split\n".to_owned();
    for split in ["test", "train"] {
        for (n, class) in CLASSES.iter().enumerate() {
            for (at, path) in entries(&pipeline.path(&format!("pictures/{split}/{}", class.replace(' ', "_"))))
                .into_iter()
                .enumerate()
            {
                right += &format!("{},{split},{class}\n", path.display());
                wrong += &format!("{},{split},{}\n", path.display(), CLASSES[(n + at) % CLASSES.len()]);
                none += &format!("{},{split}\n", path.display());
            }
        }
    }
    pipeline.write("classes.txt", &CLASSES.join("\n"));
    let printed = [("right", right), ("wrong", wrong), ("none", none)].map(|(name, list)| {
        pipeline.write(&format!("{name}.csv"), &list);
        pipeline.spec("small", &format!("kind = \"list\"\npath = \"{name}.csv\"\nclasses = \"classes.txt\""));
        let table = ok(&pipeline, &["--choose", "--store", name]);
        (table, ok(&pipeline, &["--choose", "--format", "csv", "--store", name]))
    });
    let [(right, ranked), (wrong, by_wrong), (none, by_none)] = printed;
    assert_eq!(ranked, by_wrong, "wrong labels change a criterion");
    assert_eq!(ranked, by_none, "labels change a criterion");
    let chosen = |table: &str| -> Vec<String> {
        let rows = table.lines().skip(2).take(3);
        rows.map(|line| line.split('|').nth(1).unwrap().trim().to_owned()).collect()
    };
    assert_eq!(chosen(&right), chosen(&wrong));
    assert_eq!(chosen(&right), chosen(&none));
    assert!(chosen(&none)[0].ends_with(" (chosen)"), "{none}");
    assert!(right.contains("accuracy") && right.contains("regret"), "{right}");
    assert!(!none.contains("accuracy") && !none.contains("regret"), "{none}");

    // Figures are what the table without a choice is of.
    let output = ablate(&pipeline, &["--store", "none"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("small has no labels") && said.contains("--choose does not"), "{said}");
}

#[test]
fn finished_runs_are_judged_without_running_them_and_sql_can_ask() {
    let pipeline = Pipeline::new(5, 4);
    ok(&pipeline, &[]);
    let invocations = "SELECT count(*) AS runs, sum(invocations) AS invocations FROM runs";
    assert_eq!(pipeline.sql(invocations), [json!({"runs": 5, "invocations": 5})]);
    ok(&pipeline, &["--choose"]);
    assert_eq!(pipeline.sql(invocations), [json!({"runs": 5, "invocations": 5})], "none is run again");

    // Features that fit into no memory are read from where they lie, with the same values.
    let values = || pipeline.sql("SELECT row, criterion, value FROM criteria ORDER BY row, criterion");
    let in_memory = values();
    let file = pipeline.path("pipeline.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    pipeline.write("pipeline.toml", &format!("{text}memory = 0.000001\n"));
    ok(&pipeline, &["--choose"]);
    assert_eq!(values(), in_memory);

    let of = |what: &str| format!("SELECT {what} FROM criteria WHERE criterion = 'nearest-mean' ORDER BY rank, row");
    let found = pipeline.sql(&of("row, value, rank, standing, chosen"));
    assert_eq!(found.len(), 3, "{found:?}");
    // Of one pipeline, the standing is that of the rank; equal rows share both.
    let standing = |row: &serde_json::Value| (3.0 - row["rank"].as_f64().unwrap()) / 2.0;
    assert!(found.iter().all(|row| row["standing"].as_f64() == Some(standing(row))), "{found:?}");
    assert!(found[0]["standing"].as_f64() > found[2]["standing"].as_f64(), "{found:?}");
    assert!(found.iter().all(|row| (0.0..=1.0).contains(&row["value"].as_f64().unwrap())), "{found:?}");
    assert_eq!(pipeline.sql("SELECT count(*) AS n FROM criteria WHERE chosen AND criterion = 'spread'")[0]["n"], 1);
    // What a frozen model does not have is left out.
    let frozen = pipeline.sql("SELECT criterion FROM criteria WHERE row = 'multi-view'");
    assert!(!frozen.contains(&json!({"criterion": "seeds"})) && !frozen.contains(&json!({"criterion": "prior"})));
    // The share that the views of the store show, too.
    let alike = pipeline.sql(
        "SELECT avg(CASE WHEN a.class_id = b.class_id THEN 1.0 ELSE 0.0 END) AS share FROM predictions a \
         JOIN predictions b USING (image_id) JOIN ablations one ON one.run = a.run AND one.row = 'head' \
         JOIN ablations two ON two.run = b.run AND two.row = 'head' \
         WHERE one.seed = 0 AND two.seed = 1 AND a.split = 'test'",
    );
    let seeds = pipeline.sql("SELECT value AS share FROM criteria WHERE criterion = 'seeds' AND row = 'head'");
    let share = |rows: &[serde_json::Value]| rows[0]["share"].as_f64().unwrap();
    assert!((share(&seeds) - share(&alike)).abs() < 1e-9, "{seeds:?} {alike:?}");
}

#[test]
fn a_criterion_that_does_not_exist_is_refused_with_those_that_do() {
    let pipeline = Pipeline::new(1, 1);
    let output = ablate(&pipeline, &["--choose", "neighbors"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("neighbours") && said.contains("nearest-mean"), "{said}");
    assert!(!pipeline.path("store").exists());
}

#[test]
fn a_set_without_pictures_to_judge_by_is_refused() {
    let output = ablate(&Pipeline::new(4, 0), &["--choose"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("pipeline 'small' has no test pictures") && said.contains("split = \"train\""), "{said}");
}

#[test]
fn a_row_whose_logits_are_not_kept_says_that_it_has_no_information() {
    let pipeline = Pipeline::new(4, 4);
    let rows = ROWS.replace("name = \"head\"\nset = [", "name = \"head\"\nset = [\"adapt.keep=top:2\", ");
    pipeline.write("keep.toml", &rows.replace("seeds = [0, 1]", "seeds = [0]"));
    let output = pipeline.program(&["ablate", "keep.toml", "--choose"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let note =
        "row 'head' has no `information`: adapt.keep = \"top:2\" leaves of the last pass only the largest logits";
    assert_eq!(said.matches(note).count(), 1, "{said}");
    assert_eq!(said.matches("has no `information`").count(), 1, "{said}");
    let informed = pipeline.sql("SELECT row FROM criteria WHERE criterion = 'information' AND value IS NOT NULL");
    assert_eq!(informed, [json!({"row": "balanced head"})]);
}
