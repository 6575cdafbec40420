//! What a name in the place of a path means.

use super::server::Fault;
use super::{OnHub, clip, ok, said};
use crate::pipeline::copy;

#[test]
fn a_folder_comes_before_a_name_on_the_hub() {
    let hub = OnHub::new();
    copy(&clip(), &hub.pipeline.path("tiny/clip"));
    ok(&hub.command("embed", &["--without-views"]).output().unwrap());
    assert_eq!(hub.server.paths(), [""; 0]);
}

#[test]
fn what_is_no_folder_and_no_name_says_so() {
    let hub = OnHub::new();
    let refused = |set: &str| hub.refused(&mut hub.command("run", &["--set", set]));
    insta::assert_snapshot!(refused("model.path=clip"), @r"
    error: --set model.path=clip: 'model.path' names clip, which does not exist
    hint: looked for DIR/clip; relative paths start at the pipeline file, and it is no name on the hub, which is ORG/NAME
    exit code 2
    ");
    insta::assert_snapshot!(refused("model.path=hf://tiny"), @r"
    error: --set model.path=hf://tiny: 'model.path' is hf://tiny, which is no name of a repository: hf://ORG/NAME, or hf://ORG/NAME@REVISION
    hint: a model is hf://ORG/NAME or hf://ORG/NAME@REVISION
    exit code 2
    ");
    insta::assert_snapshot!(refused("model.path=hf://datasets/tiny/flowers"), @r"
    error: --set model.path=hf://datasets/tiny/flowers: 'model.path' is hf://datasets/tiny/flowers, which is a data set
    hint: a model is hf://ORG/NAME or hf://ORG/NAME@REVISION
    exit code 2
    ");
    insta::assert_snapshot!(refused("model.second.path=hf://spaces/tiny/demo"), @r"
    error: --set model.second.path=hf://spaces/tiny/demo: 'model.second.path' is hf://spaces/tiny/demo, which is of spaces, not of models or data sets
    hint: a model is hf://ORG/NAME or hf://ORG/NAME@REVISION
    exit code 2
    ");
    insta::assert_snapshot!(refused("dataset.path=hf://datasets/tiny/flowers"), @r#"
    error: --set dataset.path=hf://datasets/tiny/flowers: 'dataset.path' must be on this disk for kind = "folder"
    hint: kind = "hf-parquet" reads data sets of the hub
    exit code 2
    "#);
    insta::assert_snapshot!(refused("dataset.path=hf://tiny/clip"), @r"
    error: --set dataset.path=hf://tiny/clip: 'dataset.path' is hf://tiny/clip, which is a model
    hint: a data set is hf://datasets/ORG/NAME or hf://datasets/ORG/NAME@REVISION
    exit code 2
    ");
    insta::assert_snapshot!(refused("dataset.config=large"), @r#"
    error: --set dataset.config=large: 'dataset.config' is for kind = "hf-parquet", not for "folder"
    hint: remove it
    exit code 2
    "#);
    assert_eq!(hub.server.paths(), [""; 0]);
    insta::assert_snapshot!(hub.refused(&mut hub.program(&["model", "pull", "clip"])), @r"
    error: 'clip' is no model on the hub
    hint: name it ORG/NAME, as in openai/clip-vit-base-patch32, or hf://ORG/NAME@REVISION
    exit code 2
    ");
    insta::assert_snapshot!(hub.refused(&mut hub.program(&["model", "pull", "hf://datasets/tiny/flowers"])), @r"
    error: 'hf://datasets/tiny/flowers' is no model on the hub, but a data set, which a run fetches
    hint: name it ORG/NAME, as in openai/clip-vit-base-patch32, or hf://ORG/NAME@REVISION
    exit code 2
    ");
    let said = refused("model.path=clips/vit");
    assert!(said.contains("if a folder was meant, there is none of that name"), "{said}");
}

#[test]
fn init_writes_the_name() {
    let hub = OnHub::new();
    ok(&hub.program(&["init", "pictures/train", "--model", "tiny/clip", "--output", "new.toml"]).output().unwrap());
    let file = std::fs::read_to_string(hub.pipeline.path("new.toml")).unwrap();
    assert!(file.contains("[model]\npath = \"hf://tiny/clip\"\n"), "{file}");
    ok(&hub.program(&["embed", "new.toml", "--without-views", "--device", "cpu"]).output().unwrap());
}

#[test]
fn without_the_network_sql_and_report_read_what_there_is() {
    let hub = OnHub::new();
    ok(&hub.command("embed", &["--without-views"]).output().unwrap());
    hub.server.asked();
    let rows = ok(&hub.command("sql", &["SELECT count(*) AS n FROM embeddings", "--format", "csv"]).output().unwrap());
    assert_eq!(rows, "n\n9\n");
    let held = ok(&hub.command("cache ls", &[]).output().unwrap());
    assert!(held.lines().any(|line| line.starts_with("embeddings") && line.ends_with("yes")), "{held}");
    assert_eq!(hub.server.paths(), [""; 0]);
}

#[test]
fn a_model_that_has_come_in_part_is_still_to_be_fetched() {
    let hub = OnHub::new();
    let commit = hub.server.model("tiny/clip", &clip());
    hub.name(&format!("hf://tiny/clip@{commit}"));
    hub.server.fail("/large/", 1, Fault::Status(403, "", None));
    assert!(!hub.command("embed", &[]).output().unwrap().status.success());
    assert!(hub.cached(&format!("snapshots/{commit}/config.json")).exists());
    let grid = "name = \"tuning\"\nstore = \"store\"\npipelines = [\"pipeline.toml\"]\nseeds = [0]\n\
                [[rows]]\nname = \"zero-shot\"\nmodel = \"zero_shot\"\nset = [\"adapt.tune=none\"]\n";
    hub.pipeline.write("grid.toml", grid);
    let planned = ok(&hub.program(&["ablate", "grid.toml", "--dry-run"]).output().unwrap());
    assert!(planned.contains("to do"), "{planned}");
}

#[test]
fn a_report_fetches_the_model_that_the_run_was_made_with() {
    let hub = OnHub::new();
    ok(&hub.command("run", &["--set", "adapt.epochs=1"]).output().unwrap());
    std::fs::remove_dir_all(hub.home()).unwrap();
    let offline = hub.command("report", &[]).env("HF_HUB_OFFLINE", "1").output().unwrap();
    ok(&offline);
    assert!(said(&offline).contains("left out"), "{}", said(&offline));
    let made = hub.command("report", &[]).output().unwrap();
    ok(&made);
    assert!(!said(&made).contains("left out"), "{}", said(&made));
    assert!(hub.cached("blobs").exists());
}
