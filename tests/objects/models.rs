//! Models on stores of objects.

use std::fs;

use super::OnStore;
use crate::rows::assert_same_rows;

const WEIGHTS: &str = "models/flora/model.safetensors";

/// What of the model is read, besides the weights.
const COMPANIONS: [&str; 4] = ["config.json", "preprocessor_config.json", "tokenizer.json", "tokenizer_config.json"];

#[test]
fn a_model_of_a_bucket_is_the_one_on_disk_and_fetched_once() {
    let store = OnStore::new();
    store.ok("embed", &[]);
    let on_disk = store.pipeline.path("on-disk");
    fs::rename(store.pipeline.path("store"), &on_disk).unwrap();
    store.server.given();

    store.put_model();
    let plan = store.ok("run", &["--dry-run"]);
    assert!(plan.contains(super::MODEL) && plan.contains("5 files, "), "{plan}");
    store.ok("embed", &[]);
    assert_same_rows(&store.pipeline.path("store"), &on_disk);
    let mut given = store.server.given();
    given.dedup();
    given.sort_unstable();
    let wanted = COMPANIONS.map(|name| format!("models/flora/{name}"));
    let mut wanted: Vec<String> = wanted.into_iter().chain([WEIGHTS.to_owned()]).collect();
    wanted.sort_unstable();
    assert_eq!(given, wanted);

    store.ok("embed", &[]);
    assert_eq!(store.server.given(), [""; 0]);
    let checked = store.ok("doctor", &[]);
    assert!(checked.contains("ok    model      vision 4 blocks"), "{checked}");
}

#[test]
fn other_weights_at_the_address_are_another_model() {
    let store = OnStore::new();
    store.put_model();
    store.ok("embed", &["--without-views"]);
    let mut weights = store.server.object(WEIGHTS);
    let last = weights.len() - 1;
    weights[last] ^= 1;
    store.server.put(WEIGHTS, weights);
    store.server.given();
    let output = store.output("embed", &["--without-views"]);
    let said = super::said(&output);
    assert!(output.status.success() && said.contains("9 images through the vision tower"), "{said}");
    assert!(store.server.given().iter().all(|key| key == WEIGHTS), "nothing else has changed");
}

#[test]
fn an_address_without_a_model_is_refused() {
    let store = OnStore::new();
    store.pipeline.set_model("s3://birds/pictures");
    insta::assert_snapshot!(store.refused("run"), @r"
    error: there is nothing at s3://birds/pictures that makes a model
    hint: it must be the folder of a model of transformers or open_clip: docs/models.md
    exit code 1
    ");
    store.pipeline.replace("[model]\npath = \"s3://birds/pictures\"", "[model]\npath = \"s3://birds/nothing\"");
    insta::assert_snapshot!(store.refused("run"), @r"
    error: there is nothing at s3://birds/nothing
    hint: is that its name? Names of objects tell capital letters from small ones
    exit code 1
    ");
    store.pipeline.replace("s3://birds/nothing", "s3://birds/models/*");
    insta::assert_snapshot!(store.refused("run"), @r"
    error: DIR/pipeline.toml:7: 'model.path' is s3://birds/models/*, which is a pattern, and a model is one folder
    hint: a model is at s3://BUCKET/FOLDER, gs://BUCKET/FOLDER or az://CONTAINER/FOLDER
    exit code 2
    ");
    store.pipeline.replace("s3://birds/models/*", "https://example.org/clip");
    insta::assert_snapshot!(store.refused("run"), @r"
    error: DIR/pipeline.toml:7: 'model.path' is https://example.org/clip, which is an address, and no path
    hint: a model is read from folders and files of this machine, from stores of objects as s3://BUCKET/FOLDER, gs:// or az://, and from the hub as ORG/NAME: fetch it first
    exit code 2
    ");
    store.pipeline.replace("https://example.org/clip", "s3://me:secret@birds/clip");
    insta::assert_snapshot!(store.refused("run"), @r"
    error: DIR/pipeline.toml:7: 'model.path' is an address, which has a user or password in it: credentials are read from the environment
    hint: a model is at s3://BUCKET/FOLDER, gs://BUCKET/FOLDER or az://CONTAINER/FOLDER
    exit code 2
    ");
}
