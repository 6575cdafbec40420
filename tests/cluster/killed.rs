//! Any process may be killed or held up at any moment: the rows are those of an undisturbed run,
//! none is there twice, and what was committed is not computed again.

use std::time::Duration;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::{Cluster, SMALL, assert_each_once, seen};
use crate::rows::assert_same_rows;

const PICTURES: u64 = 30;
/// Pictures of a unit.
const UNIT: u64 = 4;

fn cluster() -> Cluster {
    Cluster::new(8, 2)
}

#[track_caller]
fn assert_as_undisturbed(cluster: &Cluster) {
    let store = cluster.store();
    assert_same_rows(&store, &cluster.alone("embed", &SMALL));
    assert_each_once(&store);
}

#[test]
fn the_units_of_an_executor_that_is_killed_are_done_by_another() {
    let cluster = cluster();
    let scheduler = cluster.scheduler(&[]);
    let mut killed = cluster.executor("one");
    let mut driver = cluster.driver("embed", &SMALL);
    cluster.freeze_with_a_unit(&scheduler, &killed);
    let other = cluster.executor("two");
    killed.kill();
    assert!(driver.is_running());
    driver.end().well();
    assert_as_undisturbed(&cluster);
    let counted = scheduler.counted();
    assert_eq!((counted["units_total{outcome=\"lost\"}"], counted["executors"]), (1, 1), "{counted:?}");
    let rest = seen(&[&other]);
    assert!((UNIT..=PICTURES - UNIT).contains(&rest), "{rest} pictures were done by the other");
}

#[test]
fn an_executor_that_was_held_up_writes_nothing_twice_and_is_given_work_again() {
    let cluster = cluster();
    let scheduler = cluster.scheduler(&[]);
    let held = cluster.executor("one");
    let driver = cluster.driver("embed", &SMALL);
    cluster.freeze_with_a_unit(&scheduler, &held);
    let mut other = cluster.executor("two");
    driver.end().well();
    let parts = cluster.parts("composites");
    held.signal(libc::SIGCONT);
    held.until_it_counts(|counted| counted["units_running"] == 0);
    assert_eq!(cluster.parts("composites"), parts);
    assert_as_undisturbed(&cluster);
    other.kill();
    let before = seen(&[&held]);
    cluster.drive("embed", &[&SMALL[..], &["--set", "views.count=3"]].concat()).well();
    assert_eq!(seen(&[&held]) - before, PICTURES);
}

#[test]
fn a_driver_that_is_killed_is_followed_by_one_that_goes_on() {
    let cluster = cluster();
    let scheduler = cluster.scheduler(&[]);
    let executor = cluster.executor("one");
    let mut killed = cluster.driver("embed", &SMALL);
    cluster.freeze_with_a_unit(&scheduler, &executor);
    killed.kill();
    let driver = cluster.driver("embed", &SMALL);
    let counted = scheduler.until_it_counts(|counted| counted["jobs_total"] == 2);
    assert_eq!((counted["jobs"], counted["jobs_abandoned_total"]), (1, 0), "the first is cancelled");
    executor.signal(libc::SIGCONT);
    let said = driver.end().well();
    assert!(!said.contains(&format!("saw {PICTURES} images")), "some were done: {said}");
    assert_as_undisturbed(&cluster);
    // The unit in hand may be done twice, and is kept once.
    let seen = seen(&[&executor]);
    assert!((PICTURES..=PICTURES + UNIT).contains(&seen), "{seen}");
}

#[test]
fn the_job_of_a_driver_that_is_gone_for_good_is_cancelled() {
    let cluster = cluster();
    let mut scheduler = cluster.scheduler(&["--driver-timeout", "5"]);
    let executor = cluster.executor("one");
    let mut killed = cluster.driver("embed", &SMALL);
    cluster.freeze_with_a_unit(&scheduler, &executor);
    killed.kill();
    scheduler.until_it_says("is cancelled: its driver is gone");
    let counted = scheduler.until_it_counts(|counted| counted["jobs"] == 0);
    assert_eq!((counted["jobs_abandoned_total"], counted["units_waiting"]), (1, 0));
    executor.signal(libc::SIGCONT);
    executor.until_it_counts(|counted| counted["units_running"] == 0);
    let parts = cluster.parts("composites");
    assert!(parts < usize::try_from(PICTURES / UNIT).unwrap(), "{parts}");
}

#[test]
fn a_scheduler_that_is_killed_is_waited_for() {
    let cluster = cluster();
    let mut killed = cluster.scheduler(&[]);
    let mut executor = cluster.executor("one");
    let mut driver = cluster.driver("embed", &SMALL);
    cluster.freeze_with_a_unit(&killed, &executor);
    killed.kill();
    executor.signal(libc::SIGCONT);
    driver.until_it_says(&format!("the scheduler {} does not answer: waiting for it", cluster.address()));
    executor.until_it_says("asking again until it does");
    assert!(executor.monitored("/readyz").0.contains(" 503 "));
    let scheduler = cluster.scheduler(&[]);
    let said = driver.end().well();
    assert!(said.contains("the scheduler was started anew: asking for what is missing"), "{said}");
    executor.until_it_says("the scheduler answers again");
    assert_as_undisturbed(&cluster);
    assert_eq!((scheduler.counted()["jobs_total"], seen(&[&executor])), (1, PICTURES), "nothing is done twice");
}

/// `MICROCLIP_KILLS` says how often (3 if it does not); `MICROCLIP_SEED` begins another sequence of
/// moments and processes.
#[test]
fn whichever_process_is_killed_at_whatever_moment_nothing_is_lost_or_twice() {
    let number = |name: &str, default: u64| std::env::var(name).map_or(default, |text| text.parse().unwrap());
    let (kills, seed) = (number("MICROCLIP_KILLS", 3), number("MICROCLIP_SEED", 0));
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let cluster = cluster();
    let alone = cluster.alone("embed", &SMALL);
    let mut scheduler = cluster.scheduler(&[]);
    let mut executors = ["one", "two"].map(|machine| cluster.executor(machine));
    let mut killed = [0, 0, 0];
    for n in 0..kills {
        let store = cluster.pipeline.path(&format!("store-{n}"));
        let arguments = [&SMALL[..], &["--store", store.to_str().unwrap()]].concat();
        let mut driver = cluster.driver("embed", &arguments);
        // One that does not find a scheduler at first does not wait for it.
        driver.until_it_says("image");
        // It takes some two seconds if it is left alone.
        std::thread::sleep(Duration::from_millis(rng.random_range(0..2_500)));
        let which = rng.random_range(0..3);
        match which {
            0 => {
                let one = rng.random_range(0..2);
                executors[one].kill();
                executors[one] = cluster.executor(["one", "two"][one]);
            }
            1 => {
                driver.kill();
                driver = cluster.driver("embed", &arguments);
            }
            _ => {
                scheduler.kill();
                scheduler = cluster.scheduler(&[]);
            }
        }
        killed[which] += 1;
        driver.end().well();
        assert_same_rows(&store, &alone);
        assert_each_once(&store);
        std::fs::remove_dir_all(&store).unwrap();
    }
    let [executors, drivers, schedulers] = killed;
    println!("killed {executors} executors, {drivers} drivers and {schedulers} schedulers");
}
