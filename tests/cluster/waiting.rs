//! Processes may be started in any order, and executors may join at any time.

use std::time::{Duration, Instant};

use super::{Cluster, SMALL, assert_each_once, seen};
use crate::rows::assert_same_rows;

#[test]
fn a_driver_waits_for_the_first_executor_and_an_executor_for_the_scheduler() {
    let cluster = Cluster::new(9, 2);
    let mut executor = cluster.start_executor("one", &["--slots", "2"]);
    executor.until_it_says("waiting for the scheduler: ");
    let scheduler = cluster.scheduler(&[]);
    executor.until_it_says("takes 2 units at a time from");
    executor.kill();
    drop(scheduler);

    let scheduler = cluster.scheduler(&[]);
    let mut driver = cluster.driver("embed", &SMALL);
    driver.until_it_says("no executor is there: `microclip-pipe cluster executor` starts one; waiting for it");
    assert_eq!(scheduler.counted()["units_waiting"], 9);
    let executor = cluster.start_executor("two", &["--slots", "2"]);
    driver.end().well();
    assert_same_rows(&cluster.store(), &cluster.alone("embed", &SMALL));
    assert_each_once(&cluster.store());
    assert_eq!((seen(&[&executor]), executor.counted()["slots"]), (33, 2));
}

#[test]
fn whoever_waits_can_be_stopped() {
    let cluster = Cluster::new(2, 1);
    let mut executor = cluster.start_executor("one", &[]);
    executor.until_it_says("waiting for the scheduler: ");
    assert!(executor.monitored("/readyz").0.contains(" 503 "));
    let mut scheduler = cluster.scheduler(&[]);
    executor.until_it_says("at a time from");
    let stopped = executor.stop();
    let mut alone = cluster.driver("embed", &SMALL);
    alone.until_it_says("no executor is there");
    let mut forlorn = cluster.driver("embed", &[&SMALL[..], &["--set", "name=other"]].concat());
    forlorn.until_it_says("no executor is there");
    let alone = alone.stop();
    scheduler.kill();
    forlorn.until_it_says("does not answer: waiting for it, or another one there");
    let mut executor = cluster.start_executor("one", &[]);
    executor.until_it_says("waiting for the scheduler: ");
    for ended in [stopped, alone, forlorn.stop(), executor.stop()] {
        assert_eq!(ended.code, Some(130), "{}", ended.said);
    }
}

#[test]
fn drivers_of_one_pipeline_take_turns_and_of_several_share_the_executors() {
    let cluster = Cluster::new(9, 2);
    let scheduler = cluster.scheduler(&[]);
    let executors = ["one", "two"].map(|machine| cluster.executor(machine));
    let other = [&SMALL[..], &["--set", "name=other"]].concat();
    let drivers = [cluster.driver("embed", &SMALL), cluster.driver("embed", &SMALL), cluster.driver("embed", &other)];
    drivers.into_iter().for_each(|driver| drop(driver.end().well()));
    cluster.alone("embed", &SMALL);
    assert_same_rows(&cluster.store(), &cluster.alone("embed", &other));
    assert_each_once(&cluster.store());
    drop((scheduler, executors));
}

#[test]
fn an_executor_without_work_lets_go_of_the_store() {
    let cluster = Cluster::new(2, 1);
    let (scheduler, executor) = (cluster.scheduler(&[]), cluster.executor("one"));
    cluster.drive("embed", &SMALL).well();
    let until = Instant::now() + Duration::from_secs(60);
    let gc = || cluster.pipeline.command("cache gc", &["--older-than", "30"]).output().unwrap();
    while !gc().status.success() {
        assert!(Instant::now() < until, "{}", String::from_utf8_lossy(&gc().stderr));
        std::thread::sleep(Duration::from_secs(1));
    }
    drop((scheduler, executor));
}
