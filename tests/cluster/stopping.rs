//! Ctrl-C and SIGTERM: what was made is kept, and others do the rest.

use super::{Cluster, SMALL, assert_each_once, seen};
use crate::rows::{assert_same_rows, rows};

const PICTURES: u64 = 30;

#[test]
fn an_executor_that_is_asked_to_stop_keeps_what_it_has_made_of_its_unit() {
    let cluster = Cluster::new(8, 2);
    let large = ["--set", "embed.part_rows=30", "--set", "embed.batch=2"];
    let scheduler = cluster.scheduler(&[]);
    let stopped = cluster.executor("one");
    let driver = cluster.driver("embed", &large);
    let counted =
        |counted: &std::collections::BTreeMap<String, u64>| counted.get("items_total{stage=\"embed\"}").copied();
    stopped.until_it_counts(|of| counted(of).is_some_and(|pictures| pictures >= 8));
    assert_eq!(cluster.parts("composites"), 0, "it is in the middle of the only unit");
    let ended = stopped.stop();
    assert_eq!(ended.code, Some(130), "{}", ended.said);
    assert!(ended.said.contains("stopping after the part in hand"), "{}", ended.said);
    let kept = rows(&cluster.store())["embeddings"].len() as u64;
    assert!((1..PICTURES).contains(&kept), "{kept} pictures are kept");
    assert_eq!(scheduler.counted()["executors"], 0, "it has said goodbye");
    let other = cluster.executor("two");
    driver.end().well();
    assert!(seen(&[&other]) < PICTURES, "what was kept is not done again");
    let store = cluster.store();
    assert_same_rows(&store, &cluster.alone("embed", &large));
    assert_each_once(&store);
}

#[test]
fn a_driver_that_is_asked_to_stop_has_no_unit_begun_and_goes_on_when_it_is_asked_again() {
    let cluster = Cluster::new(8, 2);
    let scheduler = cluster.scheduler(&[]);
    let executor = cluster.executor("one");
    let driver = cluster.driver("embed", &SMALL);
    cluster.freeze_with_a_unit(&scheduler, &executor);
    driver.signal(libc::SIGINT);
    let ended = driver.end();
    assert_eq!(ended.code, Some(130), "{}", ended.said);
    assert!(ended.said.contains("run again") || ended.said.contains("same command again"), "{}", ended.said);
    let counted = scheduler.counted();
    assert_eq!((counted["jobs"], counted["units_waiting"]), (0, 0));
    executor.signal(libc::SIGCONT);
    executor.until_it_counts(|counted| counted["units_running"] == 0);
    let parts = cluster.parts("composites");
    // It has asked for work by then, more than once.
    std::thread::sleep(std::time::Duration::from_secs(1));
    assert_eq!(cluster.parts("composites"), parts);
    let before = seen(&[&executor]);
    let said = cluster.drive("embed", &SMALL).well();
    assert!(said.contains(&format!("saw {} images", PICTURES - before)), "{before} were done: {said}");
    assert_same_rows(&cluster.store(), &cluster.alone("embed", &SMALL));
    assert_each_once(&cluster.store());
    assert_eq!(seen(&[&executor]), PICTURES);
}

#[test]
fn a_scheduler_that_is_asked_to_stop_ends_at_once() {
    let cluster = Cluster::new(1, 0);
    let scheduler = cluster.scheduler(&[]);
    let executor = cluster.executor("one");
    for process in [scheduler, executor] {
        let ended = process.stop();
        assert_eq!(ended.code, Some(130), "{}", ended.said);
        assert!(ended.said.contains("stopped on request"), "{}", ended.said);
    }
}
