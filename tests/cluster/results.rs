//! What a run on a cluster leaves is what it leaves on one machine, and nothing is computed twice.

use super::{Cluster, SMALL, assert_each_once, seen};
use crate::rows::assert_same_rows;

/// The pictures of the tests here.
const PICTURES: u64 = 33;

#[track_caller]
fn assert_as_on_one_machine(cluster: &Cluster) {
    let alone = cluster.alone("run", &SMALL);
    let scheduler = cluster.scheduler(&[]);
    let executors = ["one", "two"].map(|machine| cluster.executor(machine));
    let said = cluster.drive("run", &SMALL).well();
    let note = format!("frozen model: executors of {} saw {PICTURES} images", cluster.address());
    assert!(said.contains(&note), "{said}");
    assert!(said.contains(&format!("{PICTURES} images by executors (")), "{said}");
    let store = cluster.store();
    assert_same_rows(&store, &alone);
    assert_each_once(&store);
    assert_eq!(seen(&[&executors[0], &executors[1]]), PICTURES, "each picture is read once");
    let jobs = scheduler.counted()["jobs_total"];

    let said = cluster.drive("run", &SMALL).well();
    assert!(said.contains("nothing had to be computed, no forward pass of the frozen model"), "{said}");
    assert!(!said.contains("executors of"), "{said}");
    assert_eq!(seen(&[&executors[0], &executors[1]]), PICTURES);
    assert_eq!(scheduler.counted()["jobs_total"], jobs);
}

#[test]
fn a_run_on_two_executors_leaves_what_one_process_leaves() {
    assert_as_on_one_machine(&Cluster::new(9, 2));
}

#[test]
fn so_does_one_whose_machines_share_objects_alone() {
    assert_as_on_one_machine(&Cluster::on_objects(9, 2));
}

#[test]
fn what_a_change_of_settings_leaves_to_do_is_done_by_executors() {
    let cluster = Cluster::new(4, 1);
    cluster.alone("embed", &SMALL);
    let _scheduler = cluster.scheduler(&[]);
    let one = cluster.executor("one");
    cluster.drive("embed", &SMALL).well();
    assert_same_rows(&cluster.store(), &cluster.pipeline.path("alone"));
    // More views are other composites of the same pictures; a new picture lacks all.
    cluster.pipeline.picture("pictures/train/red_rose/0100.png", 1, 100);
    let more = [&SMALL[..], &["--set", "views.count=3"]].concat();
    let said = cluster.drive("embed", &more).well();
    assert!(said.contains("saw 16 images"), "{said}");
    cluster.alone("embed", &more);
    assert_same_rows(&cluster.store(), &cluster.pipeline.path("alone"));
    assert_eq!(seen(&[&one]), 15 + 16);
}

#[test]
fn crops_that_are_kept_are_made_by_executors_too() {
    let cluster = Cluster::new(4, 1);
    let kept = [&SMALL[..], &["--set", "views.keep=true"]].concat();
    let _scheduler = cluster.scheduler(&[]);
    let executors = ["one", "two"].map(|machine| cluster.executor(machine));
    cluster.drive("run", &kept).well();
    assert_same_rows(&cluster.store(), &cluster.alone("run", &kept));
    assert_each_once(&cluster.store());
    assert_eq!(seen(&[&executors[0], &executors[1]]), 15);
}
