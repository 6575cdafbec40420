//! The verb `ablate` with the real binary: a grid of runs on a small folder of pictures, what it
//! reuses and survives.

use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use insta::assert_snapshot;
use serde_json::json;

use crate::pipeline::{Pipeline, entries};

/// Two baselines of one run, and two rows that are trained: 2 + 1 × 2 seeds × 2 points of the grid.
pub const GRID: &str = r#"name = "tuning"
store = "store"
pipelines = ["pipeline.toml"]
seeds = [0, 1]
set = ["adapt.epochs=2"]

[[rows]]
name = "zero-shot"
model = "zero_shot"
set = ["adapt.tune=none"]

[[rows]]
name = "head"
set = ["adapt.tune=head"]

[grid]
"dka.gamma" = [0.0, 0.5]
"#;

pub fn command(pipeline: &Pipeline, rest: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_microclip-pipe"));
    command.current_dir(pipeline.folder.path()).args(["ablate", "grid.toml"]).args(rest);
    command.env("NO_COLOR", "1").stdin(Stdio::null());
    command
}

fn ablate(pipeline: &Pipeline, file: &str, rest: &[&str]) -> Output {
    pipeline.write("grid.toml", file);
    command(pipeline, rest).output().unwrap()
}

#[track_caller]
fn ok(pipeline: &Pipeline, file: &str, rest: &[&str]) -> String {
    let output = ablate(pipeline, file, rest);
    assert!(output.status.success(), "{rest:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// What a user reads who made a mistake, with the exit code.
fn mistake(pipeline: &Pipeline, file: &str) -> String {
    let output = ablate(pipeline, file, &[]);
    let folder = pipeline.folder.path().canonicalize().unwrap().display().to_string();
    let said = String::from_utf8_lossy(&output.stderr).replace(&folder, "DIR");
    assert!(output.stdout.is_empty() && !pipeline.path("store").exists(), "nothing was started");
    format!("{}\n{said}", output.status.code().unwrap())
}

const INVOCATIONS: &str = "SELECT count(*) AS runs, sum(invocations) AS invocations FROM runs";

#[test]
fn the_grid_is_run_once_and_printed_as_a_table() {
    let pipeline = Pipeline::new(4, 4);
    let plan = ok(&pipeline, GRID, &["--dry-run"]);
    assert_eq!(plan.lines().filter(|line| line.ends_with("to do")).count(), 6, "{plan}");
    assert!(!pipeline.path("store").exists(), "a plan writes nothing");

    let output = ablate(&pipeline, GRID, &[]);
    let (said, printed) = (String::from_utf8_lossy(&output.stderr), String::from_utf8_lossy(&output.stdout));
    assert!(output.status.success(), "{said}");
    assert!(said.contains("cell 4 of 6: head, dka.gamma = 0.0, small, seed 1"), "{said}");
    let cells: Vec<Vec<&str>> = printed.lines().map(|line| line.split('|').map(str::trim).collect()).collect();
    let names: Vec<&str> = cells.iter().map(|line| line[1].trim_matches('-')).collect();
    let rows =
        ["zero-shot, dka.gamma = 0.0", "zero-shot, dka.gamma = 0.5", "head, dka.gamma = 0.0", "head, dka.gamma = 0.5"];
    assert_eq!(names, [&["", ""], &rows[..]].concat(), "{printed}");
    assert_eq!(cells[0][2], "small");
    assert!(!cells[2][2].contains('±') && cells[4][2].contains('±'), "only seeds have a deviation:\n{printed}");

    // The table is what `run` measures, on the same settings.
    let figures = pipeline.sql(
        "SELECT a.row, a.seed, a.value AS shown, m.value AS measured FROM ablations a JOIN metrics m ON m.run = a.run \
         AND m.model = a.model AND m.split = 'test' AND m.metric = 'top1' ORDER BY 1, 2",
    );
    assert_eq!(figures.len(), 6);
    assert!(figures.iter().all(|figure| figure["shown"] == figure["measured"]), "{figures:?}");
    let settings = pipeline.sql("SELECT settings FROM ablations WHERE row = 'head, dka.gamma = 0.5' AND seed = 1");
    assert_eq!(settings, [json!({"settings": "adapt.epochs=2; adapt.tune=head; dka.gamma=0.5"})]);
    let seconds = pipeline.sql("SELECT run, seconds FROM ablations ORDER BY run");

    assert_eq!(pipeline.sql(INVOCATIONS), [json!({"runs": 6, "invocations": 6})]);
    assert_eq!(ok(&pipeline, GRID, &["--quiet"]), printed, "a second time, the same");
    assert_eq!(pipeline.sql(INVOCATIONS), [json!({"runs": 6, "invocations": 6})], "and nothing was run");
    let plan = ok(&pipeline, GRID, &["--dry-run"]);
    assert_eq!(plan.lines().filter(|line| line.ends_with("cached")).count(), 6, "{plan}");

    // Looking at a run again takes less time, which is not what it cost.
    pipeline.ok("run", &["--set", "adapt.epochs=2", "--set", "adapt.tune=head", "--set", "dka.gamma=0.5"]);
    assert_eq!(pipeline.sql(INVOCATIONS), [json!({"runs": 6, "invocations": 7})], "`run` finds the ablation's run");
    ok(&pipeline, GRID, &[]);
    assert_eq!(pipeline.sql("SELECT run, seconds FROM ablations ORDER BY run"), seconds);

    let csv = ok(&pipeline, GRID, &["--format", "csv"]);
    assert_eq!(csv.lines().count(), 7);
    assert!(csv.starts_with("ablation,pipeline,row,seed,model,split,metric,settings,run,value,seconds\n"), "{csv}");
    let json = ok(&pipeline, GRID, &["--format", "json"]);
    assert_eq!(serde_json::from_str::<serde_json::Value>(json.lines().next().unwrap()).unwrap()["model"], "zero_shot");
}

#[test]
fn rows_with_the_same_settings_are_one_run_and_pipelines_are_columns() {
    let pipeline = Pipeline::new(3, 2);
    let other = std::fs::read_to_string(pipeline.path("pipeline.toml")).unwrap().replace("\"small\"", "\"other\"");
    pipeline.write("other.toml", &other.replace("store = \"store\"", "store = \"elsewhere\""));
    let row = |model: &str| format!("[[rows]]\nname = '{model}'\nmodel = '{model}'\nset = ['adapt.tune=none']\n");
    let file = format!(
        "name = 'baselines'\nstore = 'store'\npipelines = ['pipeline.toml', 'other.toml']\nmetric = 'mean_class'\n\
         split = 'train'\n{}{}{}",
        row("zero_shot"),
        row("descriptions"),
        row("multi_view"),
    );
    let printed = ok(&pipeline, &file, &[]);
    let head: Vec<&str> = printed.lines().next().unwrap().split('|').map(str::trim).collect();
    assert_eq!(head, ["", "", "small", "other", "mean", ""], "{printed}");
    let line: Vec<f64> = printed.lines().nth(2).unwrap().split('|').skip(2).flat_map(|c| c.trim().parse()).collect();
    assert!(
        line.len() == 3 && line[0] == line[1] && line[0] == line[2],
        "the same pictures, the same figures: {printed}"
    );

    assert_eq!(
        pipeline.sql("SELECT count(DISTINCT run) AS runs, count(*) AS cells FROM ablations"),
        [json!({"runs": 2, "cells": 6})]
    );
    let others = "SELECT pipeline, invocations FROM runs";
    assert_eq!(pipeline.sql(others), [json!({"pipeline": "small", "invocations": 1})], "run once, read thrice");
    assert!(!pipeline.path("elsewhere").exists(), "one store for all runs");
}

#[test]
fn an_interrupted_ablation_keeps_what_is_done_and_goes_on() {
    let pipeline = Pipeline::new(4, 2);
    let long = GRID.replace("adapt.epochs=2", "adapt.epochs=3");
    let whole = ok(&pipeline, &long, &["--store", "whole", "--quiet"]);

    pipeline.write("grid.toml", &long);
    let child = command(&pipeline, &[]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let child = await_a_trained_cell(&pipeline, child);
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(130), "{said}");
    assert!(said.contains("error: cell ") && said.contains("run the same command again"), "{said}");
    assert!(output.stdout.is_empty());
    let kept = pipeline.sql("SELECT run FROM ablations").len();
    assert!((2..6).contains(&kept), "{kept} of 6 cells are kept");
    let plan = ok(&pipeline, &long, &["--dry-run"]);
    assert_eq!(plan.lines().filter(|line| line.ends_with("cached")).count(), kept, "{plan}");

    assert_eq!(ok(&pipeline, &long, &["--quiet"]), whole, "the same table as if it had not stopped");
    let twice = pipeline.sql("SELECT count(*) AS n FROM runs WHERE invocations > 1");
    assert!(
        [json!({"n": 0}), json!({"n": 1})].contains(&twice[0]),
        "only the run that was cut short goes on: {twice:?}"
    );

    // A table that was lost is made again from the runs.
    std::fs::remove_dir_all(pipeline.path("store/ablations")).unwrap();
    assert_eq!(ok(&pipeline, &long, &["--quiet"]), whole);
    assert_eq!(pipeline.sql("SELECT count(*) AS n FROM runs WHERE invocations > 1"), twice, "without running any");
}

/// Waits until a trained run has its first checkpoint.
fn await_a_trained_cell(pipeline: &Pipeline, mut child: Child) -> Child {
    let waiting = Instant::now();
    while entries(&pipeline.path("store/checkpoints")).iter().all(|run| entries(run).is_empty()) {
        assert!(waiting.elapsed() < Duration::from_secs(240), "no checkpoint");
        assert!(child.try_wait().unwrap().is_none(), "it ended before it could be stopped");
        std::thread::sleep(Duration::from_millis(2));
    }
    child
}

#[test]
fn new_pictures_make_new_runs() {
    let pipeline = Pipeline::new(3, 1);
    let file = "name = 'a'\nstore = 'store'\npipelines = ['pipeline.toml']\n[[rows]]\nname = 'b'\nmodel = 'zero_shot'\n\
                set = ['adapt.tune=none']\n";
    ok(&pipeline, file, &[]);
    pipeline.picture("pictures/train/red_rose/0100.png", 1, 100);
    assert!(ok(&pipeline, file, &["--dry-run"]).lines().nth(1).unwrap().ends_with("to do"));
    ok(&pipeline, file, &[]);
    assert_eq!(pipeline.sql(INVOCATIONS), [json!({"runs": 2, "invocations": 2})]);
}

#[test]
fn a_model_that_a_run_does_not_give_is_told_which_there_are() {
    let pipeline = Pipeline::new(3, 1);
    let file = GRID.replace("\"zero_shot\"", "\"zeroshot\"");
    let output = ablate(&pipeline, &file, &[]);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr);
    let told = "error: grid.toml:7: row 'zero-shot, dka.gamma = 0.0' shows the model 'zeroshot', which its run does not \
                give\nhint: it gives zero_shot, descriptions, multi_view\n";
    assert!(said.ends_with(told), "{said}");
}

#[test]
fn a_cell_that_fails_is_named() {
    let pipeline = Pipeline::new(3, 1);
    pipeline.write("nothing.sql", "SELECT image_id, CAST(7 AS INT) AS class_id FROM prior_logits");
    let file = format!("{GRID}\"dka.statement\" = [\"nothing.sql\"]\n");
    let output = ablate(&pipeline, &file, &[]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    let title = "error: cell 3 of 6: head, dka.gamma = 0.0, dka.statement = nothing.sql, small, seed 0: ";
    assert!(said.contains(title), "{said}");
    assert_eq!(pipeline.sql("SELECT count(*) AS n FROM ablations"), [json!({"n": 2})], "what is done is kept");
}

#[test]
fn mistakes_in_the_file_are_named_by_line_and_all_at_once() {
    let pipeline = Pipeline::new(1, 1);
    let file = r#"name = "Tuning"
pipelines = ["pipeline.toml", "none.toml"]
seeds = [0, -1, 0]
set = ["adapt.epoch=3", "seed=4"]
metrics = "top1"
split = "tset"
[[rows]]
name = "head"
set = ["adapt.tune=heads", "dka.gamma=0.1"]
[[rows]]
name = "head"
modle = "adapted"
[[rows]]
set = "adapt.tune=head"
[grid]
"dka.gamma" = [0.0, 2, 0.0]
dka.gama = [1]
"views.count" = []
"#;
    assert_snapshot!(mistake(&pipeline, file), @r#"
    2
    error: 18 mistakes in grid.toml
      grid.toml:1: 'name' must be a name of lower-case letters, digits and hyphens, not "Tuning"
      grid.toml:2: 'pipelines' names none.toml, which does not exist (looked for DIR/none.toml; relative paths start at the ablation file)
      grid.toml:3: 'seeds[1]' must be a whole number of at least 0, not -1
      grid.toml:3: seed 0 is listed twice
      grid.toml:4: unknown key 'adapt.epoch' (did you mean 'adapt.epochs'?)
      grid.toml:4: 'seed' cannot be set in an ablation (`seeds` at the top of the file lists them)
      grid.toml:5: unknown key 'metrics' (did you mean 'metric'?)
      grid.toml:6: unknown value 'tset' for split; one of train, validation, test (did you mean 'test'?)
      grid.toml:9: unknown value 'heads' for adapt.tune; one of layernorm, head, reference, none (did you mean 'head'?)
      grid.toml:9: 'rows[0].set' sets dka.gamma, which the grid varies (take it out of one of them)
      grid.toml:11: two rows are named 'head'
      grid.toml:12: unknown key 'rows[1].modle' (did you mean 'model'?)
      grid.toml:13: missing key 'rows[2].name' (add name: what the table calls it)
      grid.toml:14: 'rows[2].set' must be a list of overrides, e.g. ["adapt.epochs=3"], not "adapt.tune=head"
      grid.toml:16: 'dka.gamma' must be a number in [0, 1], not 2
      grid.toml:16: dka.gamma has the value 0.0 twice
      grid.toml:17: unknown key 'dka.gama' in the grid (did you mean 'dka.gamma'?)
      grid.toml:18: 'grid."views.count"' must be a list of values, but is empty
    hint: `microclip-pipe schema --settings` lists every key, and --help every argument
    "#);
    assert_snapshot!(mistake(&pipeline, "name = 'a'\npipeline = ['pipeline.toml']\nrows = []\n"), @r"
    2
    error: 2 mistakes in grid.toml
      grid.toml:2: unknown key 'pipeline' (did you mean 'pipelines'?)
      grid.toml:3: 'rows' must be a list of tables, each of which begins with a line [[rows]], but is empty
    hint: `microclip-pipe schema --settings` lists every key, and --help every argument
    ");
    assert_snapshot!(mistake(&pipeline, "name = a\n"), @r#"
    2
    error: grid.toml:1: not valid TOML: string values must be quoted, expected literal string
    hint: text stands in quotes: name = "flowers"
    "#);
    assert_snapshot!(mistake(&pipeline, &GRID.replace("0.5]", "0.5]\nname = ['a']")), @r"
    2
    error: grid.toml:18: 'name' cannot be set in an ablation
    hint: the pipeline's name heads its column
    ");
}

#[test]
fn mistakes_that_show_only_beside_the_pipelines_are_named_before_the_first_run() {
    let pipeline = Pipeline::new(1, 1);
    // Of a row on a pipeline.
    assert_snapshot!(mistake(&pipeline, &GRID.replace("tune=head\"", "tune=head\", \"adapt.lr=1e-7\"")), @r"
    2
    error: grid.toml:12: row 'head, dka.gamma = 0.0' of DIR/pipeline.toml: --set adapt.lr=1e-7: 'adapt.min_lr' (2e-6) must not exceed 'adapt.lr' (1e-7)
    hint: `microclip-pipe schema --settings` lists every key, and --help every argument
    ");
    // Of the pipeline file itself.
    let whole = std::fs::read_to_string(pipeline.path("pipeline.toml")).unwrap();
    pipeline.write("slip.toml", &whole.replace("[views]\ncount", "[views]\ncuont"));
    assert_snapshot!(mistake(&pipeline, &GRID.replace("\"pipeline.toml\"", "\"slip.toml\"")), @r"
    2
    error: DIR/slip.toml:14: unknown key 'views.cuont'
    hint: did you mean 'views.count'?
    ");
    // Of two of them.
    assert_snapshot!(mistake(&pipeline, &GRID.replace("[\"pipe", "[\"./pipeline.toml\", \"pipe")), @r"
    2
    error: grid.toml: two pipelines are named 'small'
    hint: a pipeline's name heads its column: give one of the files another `name`
    ");
    // Of a row that would show a model where none is trained.
    assert_snapshot!(mistake(&pipeline, &GRID.replace("model = \"zero_shot\"\n", "")), @r#"
    2
    error: grid.toml:7: row 'zero-shot' shows the model 'adapted', but with adapt.tune = none there is none
    hint: say which of the others the row shows, e.g. model = "zero_shot"
    "#);
}

#[test]
fn published_figures_have_a_source_and_are_per_cents() {
    let pipeline = Pipeline::new(1, 1);
    let slips = GRID
        .replacen('\n', "\nmissing = 'skp'\n", 1)
        .replace("[grid]", "[[published]]\nname = 'theirs'\nfigures = { small = 120 }\n[grid]");
    let said = mistake(&pipeline, &slips);
    assert!(said.contains("unknown value 'skp' for missing"), "{said}");
    assert!(said.contains("missing key 'published[0].source'"), "{said}");
    assert!(said.contains("'published[0].figures.small' must be a number in [0, 100], not 120"), "{said}");
}

#[test]
fn the_ablation_of_the_repository_has_its_files() {
    let (root, store) = (env!("CARGO_MANIFEST_DIR"), tempfile::tempdir().unwrap());
    let mut command = Command::new(env!("CARGO_BIN_EXE_microclip-pipe"));
    command.current_dir(root).args(["ablate", "pipelines/ablations/flowers.toml", "--dry-run", "--store"]);
    let output = command.arg(store.path().join("none")).output().unwrap();
    // Four rows of runs that train nothing, and four that are trained with three seeds.
    assert_snapshot!(String::from_utf8(output.stdout).unwrap(), @r"
    row                     pipeline  seed
    zero-shot               flowers      0  to do
    descriptions            flowers      0  to do
    multi-view              flowers      0  to do
    multi-view, transduced  flowers      0  to do
    head                    flowers      0  to do
    head                    flowers      1  to do
    head                    flowers      2  to do
    layernorm               flowers      0  to do
    layernorm               flowers      1  to do
    layernorm               flowers      2  to do
    reference               flowers      0  to do
    reference               flowers      1  to do
    reference               flowers      2  to do
    recommended             flowers      0  to do
    recommended             flowers      1  to do
    recommended             flowers      2  to do
    ");
}
