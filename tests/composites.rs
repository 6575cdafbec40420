//! The table `composites`: what runs read of the crops, and that the crops themselves are kept only
//! where they are asked for.

use std::fs;
use std::path::Path;

use microclip_pipe::fusion::composite::{composite, halves};
use serde_json::{Value, json};
use tch::{Device, Kind, Tensor};

use crate::pipeline::{Pipeline, copy, entries};

const NONE: [&str; 2] = ["--set", "adapt.tune=none"];
const KEEP: [&str; 2] = ["--set", "views.keep=true"];
const AUTO: [&str; 2] = ["--set", "dka.balance=auto"];

/// The arguments of a verb on a store of its own.
fn on<'a>(store: &'a str, sets: &[&[&'a str]]) -> Vec<&'a str> {
    [&sets.concat()[..], &["--store", store]].concat()
}

fn at(pipeline: &Pipeline, store: &str) -> String {
    pipeline.path(store).to_str().unwrap().to_owned()
}

/// Every composite, by picture.
fn composites(pipeline: &Pipeline, store: &str) -> Vec<Value> {
    pipeline.sql_in(
        "SELECT image_id, composite, first_half, second_half FROM composites ORDER BY image_id",
        &["--store", store],
    )
}

/// What came of a verb that must succeed: its table, and what it said.
#[track_caller]
fn outcome(pipeline: &Pipeline, verb: &str, arguments: &[&str]) -> (String, String) {
    let output = pipeline.output(verb, arguments);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    (String::from_utf8(output.stdout).unwrap(), said)
}

fn numbers(value: &Value) -> Tensor {
    let numbers: Vec<f64> = value.as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).collect();
    Tensor::from_slice(&numbers).to_kind(Kind::Float)
}

/// The rows of an earlier version: crops, and no composites.
fn as_an_earlier_version(store: &Path) {
    fs::remove_dir_all(store.join("composites")).unwrap();
}

#[test]
fn they_are_those_of_the_crops_and_of_the_whole_picture() {
    for count in ["1", "2", "3"] {
        let pipeline = Pipeline::new(3, 1);
        let crops = format!("views.count={count}");
        pipeline.ok("embed", &[&KEEP[..], &["--set", &crops]].concat());
        let rows = pipeline.sql_in(
            "SELECT cls_feature, features, composite, first_half, second_half FROM embeddings \
             JOIN view_features USING (image_id) JOIN composites USING (image_id)",
            &["--set", &crops],
        );
        assert_eq!(rows.len(), 12);
        for row in rows {
            let whole = numbers(&row["cls_feature"]).unsqueeze(0);
            let crops = numbers(&row["features"]).view([1, -1, whole.size()[1]]);
            let near = |found: &Tensor, column: &str| (found.flatten(0, -1) - numbers(&row[column])).abs().max();
            assert!(near(&composite(&crops, &whole), "composite").double_value(&[]) < 1e-6);
            let [first, second] = halves(&crops, &whole);
            assert!(near(&first, "first_half").double_value(&[]) < 1e-6);
            assert!(near(&second, "second_half").double_value(&[]) < 1e-6);
        }
    }
}

#[test]
fn crops_are_kept_where_they_are_asked_for_and_change_nothing() {
    let pipeline = Pipeline::new(4, 1);
    let (plain, keeping) = (at(&pipeline, "plain"), at(&pipeline, "keeping"));
    let (table, said) = outcome(&pipeline, "run", &on(&plain, &[&NONE, &AUTO]));
    assert!(said.contains("45 image forwards"), "{said}");
    let (kept, said) = outcome(&pipeline, "run", &on(&keeping, &[&NONE, &AUTO, &KEEP]));
    assert!(said.contains("45 image forwards"), "the crops are seen once: {said}");
    assert_eq!(kept, table);
    assert_eq!(composites(&pipeline, &keeping), composites(&pipeline, &plain));
    let count = "SELECT count(*) AS n, (SELECT count(*) FROM composites) AS c FROM view_features";
    assert_eq!(pipeline.sql_in(count, &["--store", &plain]), [json!({"n": 0, "c": 15})]);
    assert_eq!(pipeline.sql_in(count, &["--store", &keeping]), [json!({"n": 15, "c": 15})]);
    // The key is no part of a run's id.
    let runs = |store: &str| pipeline.sql_in("SELECT run FROM runs", &["--store", store]);
    assert_eq!(runs(&keeping), runs(&plain));

    // Whoever wants them later pays for them then.
    let (_, said) = outcome(&pipeline, "embed", &on(&plain, &[&KEEP]));
    assert!(said.contains("30 image forwards"), "{said}");
    assert_eq!(pipeline.sql_in(count, &["--store", &plain]), [json!({"n": 15, "c": 15})]);
}

#[test]
fn those_of_an_earlier_versions_crops_take_no_forward_pass() {
    let pipeline = Pipeline::new(4, 1);
    let (new, old) = (at(&pipeline, "new"), at(&pipeline, "old"));
    pipeline.ok("embed", &on(&new, &[&KEEP]));
    copy(&pipeline.path("new"), &pipeline.path("old"));
    as_an_earlier_version(&pipeline.path("old"));
    // More pictures than the crops that are kept: those alone are seen.
    pipeline.picture("pictures/train/red_rose/0100.png", 1, 100);

    let plan = pipeline.ok("embed", &on(&old, &[]));
    assert_eq!(plan, "");
    assert_eq!(composites(&pipeline, &old).len(), 16);
    let crops = pipeline.sql_in("SELECT count(*) AS n FROM view_features", &["--store", &old]);
    assert_eq!(crops, [json!({"n": 15})]);
    let forwards = pipeline.ok("embed", &on(&new, &[&KEEP]));
    assert_eq!(forwards, "");
    assert_eq!(composites(&pipeline, &old), composites(&pipeline, &new));
}

#[test]
fn what_will_be_made_of_stored_crops_is_said_before_and_after() {
    let pipeline = Pipeline::new(4, 1);
    let store = at(&pipeline, "store");
    pipeline.ok("embed", &KEEP);
    as_an_earlier_version(&pipeline.path("store"));
    let listed = |pipeline: &Pipeline| {
        let listed = pipeline.ok("cache ls", &NONE);
        listed.lines().find(|line| line.starts_with("view_features")).unwrap().to_owned()
    };
    assert!(listed(&pipeline).ends_with("  yes"), "the next run reads them");
    let plan = pipeline.ok("run", &[&NONE[..], &["--dry-run"]].concat());
    assert!(plan.contains("15 of stored crops, without a forward pass"), "{plan}");
    let (_, said) = outcome(&pipeline, "run", &NONE);
    assert!(said.contains("those of 15 images made of stored crops: no forward pass"), "{said}");
    assert!(said.contains("every embedding was cached"), "{said}");

    // From then on nothing but the key keeps them.
    assert!(listed(&pipeline).ends_with("`composites` has what runs read of it; `views.keep` keeps it"));
    let kept = pipeline.ok("cache gc", &[&NONE[..], &KEEP, &["--unreferenced"]].concat());
    assert!(kept.contains("removed 0 files"), "{kept}");
    let gone = pipeline.ok("cache gc", &[&NONE[..], &["--unreferenced"]].concat());
    assert!(gone.contains("view_features") && gone.contains("removed 2 files"), "{gone}");
    assert_eq!(composites(&pipeline, &store).len(), 15);
    pipeline.ok("cache verify", &[]);
}

#[test]
fn damaged_crops_are_seen_again() {
    let pipeline = Pipeline::new(4, 1);
    pipeline.ok("embed", &KEEP);
    let store = pipeline.path("store");
    let before = composites(&pipeline, &at(&pipeline, "store"));
    as_an_earlier_version(&store);
    let part = entries(&entries(&store.join("view_features"))[0]).remove(0);
    let mut bytes = fs::read(&part).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&part, bytes).unwrap();
    let (_, said) = outcome(&pipeline, "embed", &[]);
    assert!(said.contains(&format!("warning: {} is damaged", part.display())), "{said}");
    assert!(said.contains("16 image forwards"), "two crops of each of the part's eight pictures: {said}");
    assert_eq!(composites(&pipeline, &at(&pipeline, "store")), before);
}

#[test]
fn whole_pictures_that_are_embedded_are_not_seen_again() {
    let pipeline = Pipeline::new(4, 1);
    let (apart, together) = (at(&pipeline, "apart"), at(&pipeline, "together"));
    let (_, said) = outcome(&pipeline, "embed", &on(&apart, &[&["--without-views"]]));
    assert!(said.contains("15 image forwards"), "{said}");
    // Another cut of the patch graphs is another space of whole pictures, and the same of crops.
    let (_, said) = outcome(&pipeline, "embed", &on(&apart, &[]));
    assert!(said.contains("30 image forwards"), "{said}");
    let (_, said) = outcome(&pipeline, "embed", &on(&apart, &[&["--set", "saliency.tau=0.3"]]));
    assert!(said.contains("15 image forwards"), "{said}");
    pipeline.ok("embed", &on(&together, &[]));
    assert_eq!(composites(&pipeline, &apart), composites(&pipeline, &together));
}

/// They are made in batches of any size: of what streams, of crops that were kept, of one picture.
#[test]
fn a_composite_does_not_depend_on_what_is_computed_with_it() {
    let options = (Kind::Float, Device::Cpu);
    tch::manual_seed(5);
    microclip_pipe::cores::one_thread_a_kernel();
    for (count, width) in [(1, 64), (2, 512), (8, 128), (8, 512), (9, 768)] {
        let unit = |shape: &[i64]| microclip_pipe::fusion::normalize(&Tensor::randn(shape, options));
        let (crops, whole) = (unit(&[300, count, width]), unit(&[300, width]));
        let of = |crops: &Tensor, whole: &Tensor| {
            let [first, second] = halves(crops, whole);
            Tensor::stack(&[composite(crops, whole), first, second], 1)
        };
        let all = of(&crops, &whole);
        for rows in [1, 7, 8, 64] {
            let (crops, whole) = (crops.narrow(0, 100, rows), whole.narrow(0, 100, rows));
            let most = (all.narrow(0, 100, rows) - of(&crops, &whole)).abs().max().double_value(&[]);
            assert!(most == 0.0, "{rows} rows of {count} crops of {width}: {most:e}");
        }
    }
}
