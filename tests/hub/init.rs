//! A pipeline file for a data set on the hub.

use std::fs;
use std::process::Command;

use super::{OnHub, clip, ok, said};
use crate::source_hf_parquet::{plain_images, texts, write};

fn table(hub: &OnHub, labels: &[&str]) -> Vec<u8> {
    let path = hub.pipeline.path("table.parquet");
    write(&path, vec![("image", plain_images(labels.len() as u8)), ("label", texts(labels))], None);
    let bytes = fs::read(&path).unwrap();
    fs::remove_file(path).unwrap();
    bytes
}

/// The program in the folder of the pipeline, with this hub alone.
fn program(hub: &OnHub, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_microclip-pipe"));
    command.args(arguments).current_dir(hub.pipeline.folder.path()).env("NO_COLOR", "1");
    hub.server.environment(&mut command, &hub.home());
    command
}

#[test]
fn init_writes_a_file_for_a_data_set_that_a_run_fetches() {
    let hub = OnHub::new();
    let files = [
        ("data/train-00000-of-00001.parquet", table(&hub, &["rose", "aster", "rose"])),
        ("data/test-00000-of-00001.parquet", table(&hub, &["aster"])),
    ];
    hub.server.commit("datasets/tiny/garden_flowers", "main", &files);
    let model = clip().display().to_string();
    let line = ["init", "hf://datasets/tiny/garden_flowers", "--model", &model];
    let first = program(&hub, &line).output().unwrap();
    assert_eq!(ok(&first), "garden-flowers.toml\ngarden-flowers-sentences.json\n");
    let notes = said(&first);
    assert!(notes.contains("its classes and splits are known when it has been fetched"), "{notes}");
    assert!(notes.contains("describe.domain = \"flowers\", and a prompt to fit"), "{notes}");
    assert!(notes.contains("\nnext:\n  microclip-pipe ingest garden-flowers.toml\n"), "{notes}");
    assert!(!notes.contains("would be refused"), "{notes}");
    let file = fs::read_to_string(hub.pipeline.path("garden-flowers.toml")).unwrap();
    assert!(file.contains("kind = \"hf-parquet\"\npath = \"hf://datasets/tiny/garden_flowers\"\n"), "{file}");
    assert!(!hub.server.paths().iter().any(|path| path.contains("/resolve/")), "nothing is fetched");

    ok(&program(&hub, &["ingest", "garden-flowers.toml"]).output().unwrap());
    let rows = [
        "sql",
        "garden-flowers.toml",
        "SELECT split, count(*) AS n FROM images GROUP BY 1 ORDER BY 1",
        "--format",
        "csv",
    ];
    assert_eq!(ok(&program(&hub, &rows).output().unwrap()), "split,n\ntest,1\ntrain,2\n");

    // Once it is in the cache, it is looked into as on this disk, even without a network.
    let again = [&line[..], &["--force"]].concat();
    let second = program(&hub, &again).env("HF_HUB_OFFLINE", "1").output().unwrap();
    ok(&second);
    assert!(said(&second).contains("4 files of 2 classes"), "{}", said(&second));
    let sentences = fs::read_to_string(hub.pipeline.path("garden-flowers-sentences.json")).unwrap();
    assert!(sentences.contains("\"aster\": []"), "{sentences}");
}

#[test]
fn init_says_what_a_run_of_a_data_set_on_the_hub_would_refuse() {
    let hub = OnHub::new();
    let model = clip().display().to_string();
    let files = [
        ("large/train-00000-of-00001.parquet", table(&hub, &["rose", "aster"])),
        ("small/train-00000-of-00001.parquet", table(&hub, &["rose", "lily"])),
    ];
    hub.server.commit("datasets/tiny/two", "main", &files);
    for (name, why) in [
        ("hf://datasets/tiny/two", "dataset.config = \"large\""),
        ("hf://datasets/tiny/none", "hf://datasets/tiny/none"),
    ] {
        let output = program(&hub, &["init", name, "--model", &model]).output().unwrap();
        ok(&output);
        let notes = said(&output);
        let refusal = notes.lines().find(|line| line.starts_with("as it is, a run would be refused: ")).expect(&notes);
        assert!(refusal.contains(why), "{notes}");
    }
    // A model is no data set, and what is no name is no file.
    for (name, why) in [("hf://tiny/clip", "hf://datasets/tiny/clip"), ("hf://datasets/", "no name of a repository")] {
        let output = program(&hub, &["init", name, "--model", &model]).output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        assert!(said(&output).contains(why), "{}", said(&output));
    }
}
