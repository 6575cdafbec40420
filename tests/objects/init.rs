//! A first pipeline for pictures on a store.

use std::process::Command;

use super::{MODEL, OnStore, ok, said};

#[test]
fn init_fetches_what_it_looks_at_and_names_it_by_its_address() {
    let store = OnStore::new();
    let init_with = |pictures: &str, file: &str, model: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_microclip-pipe"));
        command.args(["init", pictures, "--output", file, "--model", model]).env("NO_COLOR", "1");
        command.current_dir(store.pipeline.folder.path());
        store.server.environment(&mut command, &store.cache()).output().unwrap()
    };
    let init =
        |pictures: &str, file: &str| init_with(pictures, file, concat!(env!("CARGO_MANIFEST_DIR"), "/data/clip-flora"));
    let output = init("s3://birds/pictures/", "ours.toml");
    assert!(ok(&output).starts_with("ours.toml\n"));
    let text = std::fs::read_to_string(store.pipeline.path("ours.toml")).unwrap();
    assert!(text.contains("path = \"s3://birds/pictures\"") && text.contains("name = \"pictures\""), "{text}");
    assert!(said(&output).contains("3 classes") && !said(&output).contains("cache/objects"), "{}", said(&output));
    assert_eq!(store.server.given().len(), 9);
    let mut run = Command::new(env!("CARGO_BIN_EXE_microclip-pipe"));
    run.args(["ingest", "ours.toml"]).current_dir(store.pipeline.folder.path());
    ok(&store.server.environment(&mut run, &store.cache()).output().unwrap());
    assert_eq!(store.server.given(), [""; 0]);
    let nothing = init("s3://birds/none", "none.toml");
    assert!(said(&nothing).contains("there is nothing at s3://birds/none"), "{}", said(&nothing));
    ok(&init_with("s3://birds/pictures", "model.toml", MODEL));
    let text = std::fs::read_to_string(store.pipeline.path("model.toml")).unwrap();
    assert!(text.contains(&format!("path = \"{MODEL}\"")), "{text}");
    for (address, why) in [
        ("s3://", "which names no bucket"),
        ("s3://birds/models/*", "which is a pattern"),
        ("https://example.org/clip", "and a server of HTTP does not say which files it has"),
    ] {
        let wrong = init_with("s3://birds/pictures", "wrong.toml", address);
        assert!(said(&wrong).contains(&format!("--model is '{address}', {why}")), "{}", said(&wrong));
    }
}
