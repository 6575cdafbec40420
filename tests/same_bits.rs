//! What results do not depend on: what pictures are batched with, and how many cores compute.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, dead_code)]

#[path = "common/pipeline.rs"]
mod pipeline;

use std::path::PathBuf;

use microclip_pipe::clip::Clip;
use microclip_pipe::clip::model::ModelFiles;
use microclip_pipe::stage::frozen::FrozenTower;
use microclip_pipe::stage::pixels::Normaliser;
use pipeline::Pipeline;
use tch::{Device, Kind, Tensor};

const RECIPES: [&str; 4] = ["adapt.tune=head", "adapt.tune=layernorm", "adapt.from_block=2", "adapt.tune=reference"];

/// Eighteen training pictures and six for tests: batches of four do not come out even.
fn pictures() -> Pipeline {
    Pipeline::new(6, 2)
}

/// The weights that a recipe adapts in a store of its own.
fn weights(pipeline: &Pipeline, store: &str, recipe: &str, rest: &[&str]) -> Vec<(String, Vec<u8>)> {
    let store = format!("{store}-{}", recipe.replace(['.', '='], "-"));
    let folder = pipeline.path(&store);
    pipeline.ok("adapt", &[&["--set", recipe, "--store", folder.to_str().unwrap()], rest].concat());
    pipeline.weights(&store)
}

#[test]
fn the_number_of_cores_changes_no_bit() {
    let pipeline = pictures();
    let features = |store: &str| {
        let store = pipeline.path(store);
        let rest = ["--store", store.to_str().unwrap()];
        let of = |table: &str| pipeline.sql_in(&format!("SELECT * FROM {table} ORDER BY image_id"), &rest);
        [of("embeddings"), of("view_features"), of("prior_logits"), of("predictions")]
    };
    let outcome = |threads: &str| {
        let weights: Vec<_> = RECIPES
            .iter()
            .map(|recipe| weights(&pipeline, &format!("on-{threads}"), recipe, &["--threads", threads]))
            .collect();
        let store = format!("on-{threads}-run");
        let folder = pipeline.path(&store).to_str().unwrap().to_owned();
        let head = ["--set", "adapt.tune=head", "--set", "transduction.predictions=true"];
        pipeline.ok("run", &[&head[..], &["--store", &folder, "--threads", threads]].concat());
        let answers = pipeline.ok("predict", &["pictures", "--store", &folder]);
        (weights, features(&store), answers)
    };
    let on_one = outcome("1");
    for threads in ["2", "4"] {
        let more = outcome(threads);
        for (recipe, (one, other)) in RECIPES.iter().zip(on_one.0.iter().zip(&more.0)) {
            assert!(one == other, "{recipe}: other weights on {threads} cores");
        }
        let runs = |tables: &[Vec<serde_json::Value>; 4]| format!("{tables:?}");
        assert!(runs(&on_one.1) == runs(&more.1), "other features on {threads} cores");
        assert_eq!(on_one.2, more.2, "other answers on {threads} cores");
    }
}

#[test]
fn a_pictures_features_do_not_depend_on_what_is_batched_with_it() {
    const BATCH: usize = 16;
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("data/clip-flora");
    let clip = Clip::open(&ModelFiles { path: folder, tokenizer: None, preprocessor: None }).unwrap();
    let size = (clip.preprocess.crop * clip.preprocess.crop * 3) as usize;
    let picture = |n: usize| -> Vec<u8> { (0..size).map(|i| ((i * (7 + n) + i / (n + 3)) % 251) as u8).collect() };
    for number in [Kind::Float, Kind::BFloat16] {
        let tower = clip.vision().unwrap().map(&|t| t.to_kind(number));
        let tower = FrozenTower::new(tower, Normaliser::new(&clip.preprocess, Device::Cpu, number));
        let rows = |places: &[usize]| {
            let _no_grad = tch::no_grad_guard();
            microclip_pipe::cores::one_thread_a_kernel();
            let pixels: Vec<u8> = places.iter().flat_map(|&n| picture(n)).collect();
            let seen = tower.see(&pixels, BATCH).unwrap();
            let flat = |t: &Tensor| t.flatten(1, -1).to_kind(Kind::Float);
            Tensor::cat(&[flat(&seen.cls), flat(&seen.cls_token), flat(&seen.patch_tokens)], 1)
        };
        let forwards: Vec<usize> = (0..40).collect();
        let all = rows(&forwards);
        let backwards: Vec<usize> = (0..40).rev().collect();
        assert!(rows(&backwards).flip([0]).equal(&all), "{number:?}: another order gives other bits");
        for count in [1, 5, 16, 17] {
            let places: Vec<usize> = (20..20 + count).collect();
            assert!(rows(&places).equal(&all.narrow(0, 20, count as i64)), "{number:?}: {count} pictures");
        }
    }
}
