//! The verb `sql` on clusters of all kinds.

use super::super::access::{own, secret};
use super::super::processes::{Ended, Process};
use super::super::{Cluster, SMALL, TOKEN};

/// Statements whose rows go from executor to executor, and from there to the driver.
const STATEMENTS: [&str; 4] = [
    "SELECT class_id, count(*) AS n FROM labels GROUP BY class_id ORDER BY class_id",
    "SELECT l.class_id, count(DISTINCT e.image_id) AS n FROM labels l JOIN embeddings e USING (image_id) GROUP BY 1 ORDER BY 1",
    "SELECT image_id FROM embeddings ORDER BY image_id DESC LIMIT 5",
    "SELECT i.split, max(i.width) AS widest FROM images i JOIN composites c USING (image_id) GROUP BY 1 ORDER BY 1",
];

/// What `sql` gives.
fn asked(cluster: &Cluster, statement: &str, rest: &[&str]) -> Ended {
    let arguments = [&[statement, "--format", "csv"], rest].concat();
    Process::start(&mut cluster.on("driver", cluster.pipeline.command("sql", &arguments))).end()
}

/// Checks that executors answer as one process does, and at the first try.
#[track_caller]
fn assert_as_here(cluster: &Cluster, store: &[&str], with: &[&str]) {
    for statement in STATEMENTS {
        let here = asked(cluster, statement, store);
        let there = asked(cluster, statement, &[store, with, &["--cluster-rows", "1"]].concat());
        assert_eq!((there.code, there.said.as_str()), (Some(0), ""), "{statement}");
        assert_eq!(there.printed, here.printed, "{statement}");
    }
}

#[test]
fn executors_fetch_rows_from_one_another_through_tls() {
    let cluster = Cluster::new(4, 1);
    cluster.pipeline.ok("embed", &SMALL);
    let token = secret(&cluster.pipeline, "token", TOKEN);
    let (token, port) = (token.to_str().unwrap(), cluster.port.to_string());
    let (certificate, key, authority) = (own("server.pem"), own("server.key"), own("ca.pem"));
    let certified = ["--tls-cert", &certificate, "--tls-key", &key];
    let scheduler = [&["scheduler", "--port", &port, "--token-file", token], &certified[..]].concat();
    let mut scheduler = Process::start(&mut cluster.command("scheduler", &scheduler));
    let address = scheduler.address();
    assert!(address.starts_with("df+tls://"), "{address}");
    let joining = ["--cluster-token-file", token, "--cluster-ca", &authority];
    let executor = [&["executor", &address], &joining[..], &certified].concat();
    let mut executors = ["one", "two"].map(|machine| Process::start(&mut cluster.command(machine, &executor)));
    executors.iter_mut().for_each(|executor| executor.until_it_says("at a time from"));
    let with = [&["--cluster", &address], &joining[..]].concat();
    // Which executor gets which piece is left to chance.
    for _ in 0..3 {
        assert_as_here(&cluster, &[], &with);
    }
}

#[test]
fn executors_read_stores_of_objects() {
    let cluster = Cluster::on_objects(4, 1);
    let _scheduler = cluster.scheduler(&[]);
    let _executors = ["one", "two"].map(|machine| cluster.executor(machine));
    cluster.drive("embed", &SMALL).well();
    assert_as_here(&cluster, &["--store", super::super::PLACE], &["--cluster", &cluster.address()]);
}

#[test]
fn a_statement_that_needs_more_memory_than_executors_give_says_so() {
    let cluster = Cluster::new(8, 4);
    cluster.pipeline.ok("embed", &[]);
    let _scheduler = cluster.scheduler(&[]);
    let mut executor = cluster.start_executor("one", &["--memory-limit", "1MB"]);
    executor.until_it_says("at a time from");
    let sorted = "SELECT image_id, patch_tokens FROM embeddings ORDER BY image_id DESC";
    let ended = asked(&cluster, sorted, &["--cluster", &cluster.address(), "--cluster-rows", "1"]);
    assert_eq!(ended.code, Some(1), "{}", ended.said);
    assert!(ended.said.contains("error: the statement needs more memory than an executor has for"), "{}", ended.said);
    assert!(ended.said.contains("hint: ask for fewer rows or columns at once, or allow executors"), "{}", ended.said);
}
