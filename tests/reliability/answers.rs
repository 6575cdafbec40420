//! `predict`, `export` and `report` answer by models that are whole: what is damaged is refused,
//! and what is not finished is only taken when it is asked for.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::Arc;

use microclip_pipe::error::Kind;
use microclip_pipe::pipeline::run::{Options, run};
use microclip_pipe::runs::lookup::Upto;
use microclip_pipe::stage::progress::Progress;
use microclip_pipe::stop::Stop;

use crate::pipeline::{Pipeline, entries};

const HEAD: [&str; 2] = ["--set", "adapt.tune=head"];

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Answers by the newest run, or another one.
fn predict(pipeline: &Pipeline, run: Option<&str>) -> Output {
    let (test, store) = (pipeline.path("pictures/test"), pipeline.path("store"));
    let rest = [test.to_str().unwrap(), "--store", store.to_str().unwrap(), "--format", "csv"];
    match run {
        None => pipeline.output("predict", &rest),
        Some(run) => pipeline.program(&[&["predict", run], &rest[..]].concat()),
    }
}

fn export(pipeline: &Pipeline, run: Option<&str>, folder: &str) -> Output {
    let (folder, store) = (pipeline.path(folder), pipeline.path("store"));
    let rest = ["--output", folder.to_str().unwrap(), "--store", store.to_str().unwrap()];
    match run {
        None => pipeline.output("export", &rest),
        Some(run) => pipeline.program(&[&["export", run], &rest[..]].concat()),
    }
}

/// The page, and what came of making it.
fn report(pipeline: &Pipeline, run: Option<&str>) -> (String, Output) {
    let page = pipeline.path("page.html");
    let _ = fs::remove_file(&page);
    let mut rest = vec!["--output", page.to_str().unwrap()];
    rest.extend(run.iter().flat_map(|run| ["--run", *run]));
    let output = pipeline.output("report", &rest);
    (fs::read_to_string(page).unwrap_or_default(), output)
}

/// The only part of a table.
fn part_of(pipeline: &Pipeline, table: &str) -> PathBuf {
    let mut partitions = entries(&pipeline.path("store").join(table));
    assert_eq!(partitions.len(), 1, "{table}");
    entries(&partitions.remove(0)).remove(0)
}

/// Flips the lowest bit of 40 bytes in the middle of a file.
fn damage(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle..middle + 40].iter_mut().for_each(|byte| *byte ^= 1);
    fs::write(path, bytes).unwrap();
}

#[track_caller]
fn assert_refused(output: &Output, path: &Path) {
    let said = said(output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(output.stdout.is_empty(), "nothing is answered");
    assert!(said.contains(path.to_str().unwrap()) && said.contains("damaged") && said.contains("run"), "{said}");
}

#[test]
fn a_damaged_model_answers_nothing_until_a_run_has_mended_it() {
    let pipeline = Pipeline::new(4, 2);
    pipeline.ok("run", &HEAD);
    let before = predict(&pipeline, None);
    assert!(before.status.success());
    let files = [pipeline.checkpoint("store"), part_of(&pipeline, "classes"), part_of(&pipeline, "runs")];
    for path in &files {
        let whole = fs::read(path).unwrap();
        damage(path);
        assert_refused(&predict(&pipeline, None), path);
        assert_refused(&predict(&pipeline, Some("small-head")), path);
        assert_refused(&export(&pipeline, None, "exported"), path);
        assert!(!pipeline.path("exported").exists());
        assert_eq!(
            fs::read_dir(pipeline.path("store"))
                .unwrap()
                .filter(|e| e.as_ref().unwrap().file_name() == "quarantine")
                .count(),
            0
        );
        fs::write(path, whole).unwrap();
    }
    let metrics = part_of(&pipeline, "metrics");
    let whole = fs::read(&metrics).unwrap();
    damage(&metrics);
    assert_refused(&export(&pipeline, None, "exported"), &metrics);
    fs::write(&metrics, whole).unwrap();

    damage(&files[0]);
    let said_of_it =
        format!("error: {} is damaged: its checksum does not match\nhint: run the pipeline again", files[0].display());
    assert!(said(&predict(&pipeline, None)).contains(&said_of_it));
    let (page, output) = report(&pipeline, None);
    assert!(output.status.success(), "what the tables have is shown");
    let why = format!("the map and the attention are left out: {} is damaged", files[0].display());
    assert!(said(&output).contains(&format!("warning: {why}")), "{}", said(&output));
    assert!(page.contains("the map and the attention are left out") && !page.contains(" id=\"looks\""));
    pipeline.ok("run", &HEAD);
    assert_eq!(predict(&pipeline, None).stdout, before.stdout);
    assert!(report(&pipeline, None).0.contains(" id=\"looks\""));
}

#[test]
fn sentences_whose_features_are_damaged_are_embedded_anew() {
    let pipeline = Pipeline::new(4, 2);
    pipeline.ok("run", &[&HEAD[..], &["--set", "predict.gamma=0.5"]].concat());
    let before = predict(&pipeline, None);
    let features = part_of(&pipeline, "text_features");
    damage(&features);
    let damaged = fs::read(&features).unwrap();
    let after = predict(&pipeline, None);
    assert!(after.status.success(), "{}", said(&after));
    assert_eq!(after.stdout, before.stdout);
    assert!(fs::read(&features).unwrap() == damaged, "nothing is written to the store");
}

/// Asks a run to stop after its first pass.
struct AfterOnePass(Stop);

impl Progress for AfterOnePass {
    fn begin(&self, _: &str, _: &'static str, _: u64, _: u64) {}
    fn advance(&self, _: u64) {}
    fn end(&self, _: &str) {}
    fn say(&self, line: &str) {
        if line.starts_with("pass 0") {
            self.0.request();
        }
    }
}

/// A run that is stopped after the first of three passes; gives its id.
fn stopped(pipeline: &Pipeline, seed: u64) -> String {
    let set = ["adapt.tune=head".to_owned(), format!("seed={seed}")];
    let spec = microclip_pipe::config::load(&pipeline.path("pipeline.toml"), &set).unwrap();
    let stop = Stop::default();
    let progress = Arc::new(AfterOnePass(stop.clone()));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let ended = runtime.block_on(run(&spec, Upto::Evaluate, &Options { stop, progress, cluster: None }));
    assert_eq!(ended.unwrap_err().kind(), Kind::Interrupted);
    let runs = pipeline.sql(&format!("SELECT run FROM runs WHERE seed = {seed}"));
    runs[0]["run"].as_str().unwrap().to_owned()
}

#[test]
fn an_unfinished_run_is_only_taken_when_it_is_asked_for() {
    let pipeline = Pipeline::new(4, 2);
    let run = stopped(&pipeline, 0);
    let refused = format!("has no finished run of pipeline 'small': '{run}' stopped after 1 of 3 passes");
    let (page, of_report) = report(&pipeline, None);
    assert!(page.is_empty());
    let store = pipeline.path("store");
    let by_id = format!("{run} --store {} in place of the pipeline file", store.display());
    for (output, asking) in [
        (predict(&pipeline, None), &by_id),
        (export(&pipeline, None, "exported"), &by_id),
        (of_report, &format!("--run {run}")),
    ] {
        let said = said(&output);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(&refused) && said.contains("hint: microclip-pipe run finishes it"), "{said}");
        assert!(said.contains(&format!("ask for it with {asking}")), "{said}");
    }
    assert!(!pipeline.path("exported").exists());

    let warning = format!("warning: run '{run}' is not finished: this is what it came to after 1 of 3 passes");
    let answered = predict(&pipeline, Some(&run));
    assert!(answered.status.success() && said(&answered).contains(&warning), "{}", said(&answered));
    assert!(said(&answered).contains("probabilities are not calibrated"), "{}", said(&answered));
    let exported = export(&pipeline, Some(&run), "exported");
    assert!(exported.status.success() && said(&exported).contains(&warning), "{}", said(&exported));
    let card = fs::read_to_string(pipeline.path("exported/README.md")).unwrap();
    assert!(
        card.contains(&format!("Run `{run}` after 1 of 3 passes")) && card.contains("It was not measured"),
        "{card}"
    );
    let (page, output) = report(&pipeline, Some(&run));
    assert!(output.status.success() && said(&output).contains(&warning), "{}", said(&output));
    assert!(page.contains("the run is not finished: this is what it came to after 1 of 3 passes"));
    assert!(page.contains("1 of 3 passes") && page.contains("The run was not measured."));

    // The same run, once it is finished.
    pipeline.ok("run", &HEAD);
    let whole = predict(&pipeline, None);
    assert!(said(&whole).contains(&format!("run {run}, after 3 passes")), "{}", said(&whole));
    assert_ne!(whole.stdout, answered.stdout);
}

#[test]
fn a_finished_run_is_taken_before_a_newer_one_that_is_not_and_that_is_said() {
    let pipeline = Pipeline::new(4, 2);
    pipeline.ok("run", &HEAD);
    let newer = stopped(&pipeline, 1);
    let answered = predict(&pipeline, None);
    assert!(answered.status.success() && said(&answered).contains("run small-head-s0-"), "{}", said(&answered));
    let note = format!("run '{newer}' is newer, but not finished (after 1 of 3 passes): it is left out");
    assert!(said(&answered).contains(&note), "{}", said(&answered));

    let listed = pipeline.ok("runs", &["--format", "csv"]);
    let line = |run: &str| listed.lines().find(|line| line.starts_with(run)).unwrap().to_owned();
    assert!(line("small-head-s0-").contains(",finished,") && line(&newer).contains(",unfinished,"), "{listed}");
    let compared = pipeline.ok("runs", &["--compare", "small-head-s0", &newer, "--format", "csv"]);
    let metric = compared.lines().find(|line| line.starts_with("metric,adapted test top1,")).unwrap();
    assert!(metric.ends_with(','), "of what is not finished nothing was measured: {compared}");
}

#[test]
fn an_earlier_checkpoint_does_not_stand_in_for_the_last_one() {
    let pipeline = Pipeline::new(4, 2);
    pipeline.ok("run", &HEAD);
    let before = predict(&pipeline, None);
    fs::remove_file(pipeline.checkpoint("store")).unwrap();
    for output in [predict(&pipeline, None), export(&pipeline, None, "exported")] {
        let said = said(&output);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains("ended, but its newest checkpoint is after 2 of 3 passes"), "{said}");
    }
    let asked = predict(&pipeline, Some("small-head"));
    assert!(asked.status.success(), "{}", said(&asked));
    let warned = said(&asked);
    assert!(warned.contains("warning: run 'small-head-s0-"), "{warned}");
    assert!(warned.contains("ended, but its newest checkpoint is after 2 of 3 passes"), "{warned}");
    assert!(warned.contains("probabilities are not calibrated"), "the temperature is that of the last pass: {warned}");
    pipeline.ok("run", &HEAD);
    assert_eq!(predict(&pipeline, None).stdout, before.stdout);
}

/// A file that is whole, and was copied to where another one belongs, is not taken for that.
#[test]
fn what_is_of_another_run_or_pass_is_refused_or_computed_anew() {
    let pipeline = Pipeline::new(4, 1);
    let settings = ["--set", "adapt.tune=head", "--set", "adapt.epochs=2"];
    let other = ["--seed", "2", "--set", "adapt.lr=0.1"];
    pipeline.ok("run", &settings);
    let ours = entries(&pipeline.path("store/checkpoints")).remove(0);
    let accuracy = pipeline.ok("run", &settings);
    pipeline.ok("run", &[&settings[..], &other[..]].concat());
    let theirs = entries(&pipeline.path("store/checkpoints")).into_iter().find(|folder| *folder != ours).unwrap();
    let run = ours.file_name().unwrap().to_str().unwrap();
    let test = pipeline.path("pictures/test");
    let predict = || pipeline.program(&["predict", run, test.to_str().unwrap(), "--store", "store", "--quiet"]);
    let answers = predict().stdout;
    let ends = [theirs.join("pass-0002.safetensors"), ours.join("pass-0001.safetensors")];
    for (other, why) in ends.iter().zip(["in the place of run", "under the number of another"]) {
        fs::copy(other, ours.join("pass-0002.safetensors")).unwrap();
        let refused = predict();
        let said = String::from_utf8(refused.stderr).unwrap();
        assert!(refused.status.code() == Some(1) && said.contains(why), "{said}");
        assert_eq!(pipeline.ok("run", &settings), accuracy);
        assert!(!answers.is_empty() && predict().stdout == answers);
    }

    for table in ["metrics", "runs"] {
        let place = |run: &Path| pipeline.path("store").join(table).join(run.file_name().unwrap());
        let (from, to) = (entries(&place(&theirs)).remove(0), entries(&place(&ours)).remove(0));
        fs::copy(from, to).unwrap();
        assert_eq!(pipeline.ok("run", &settings), accuracy, "{table}");
    }
}
