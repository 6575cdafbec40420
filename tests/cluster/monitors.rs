//! What Prometheus reads of schedulers and executors.

use super::{Cluster, SMALL};

#[test]
fn units_and_pictures_are_counted_by_scheduler_and_executor() {
    let cluster = Cluster::new(9, 2);
    let scheduler = cluster.scheduler(&[]);
    let (head, body) = scheduler.monitored("/readyz");
    assert!(head.starts_with("HTTP/1.1 503") && body == "no executor is there\n", "{head} {body}");
    assert_eq!(scheduler.monitored("/healthz").1, "ok\n");
    let executor = cluster.executor("one");
    scheduler.until_it_counts(|counted| counted["executors"] == 1);
    assert_eq!(scheduler.monitored("/readyz").1, "ready\n");
    assert_eq!(
        (executor.monitored("/readyz").1.as_str(), executor.monitored("/healthz").1.as_str()),
        ("ready\n", "ok\n")
    );
    assert!(executor.monitored("/").0.starts_with("HTTP/1.1 404"));
    cluster.drive("embed", &SMALL).well();
    // Units that are done are reported with the next question for work.
    let counted = scheduler.until_it_counts(|counted| counted["jobs"] == 0);
    let expected = [
        ("executors", 1),
        ("jobs", 0),
        ("units_waiting", 0),
        ("units_running", 0),
        ("units_total{outcome=\"done\"}", 9),
        ("units_total{outcome=\"failed\"}", 0),
        ("units_total{outcome=\"lost\"}", 0),
        ("jobs_total", 1),
        ("jobs_abandoned_total", 0),
        ("unauthenticated_total", 0),
    ];
    assert_eq!(counted, expected.map(|(name, count)| (name.to_owned(), count)).into());
    let counted = executor.counted();
    assert_eq!((counted["slots"], counted["units_running"], counted["units_total{outcome=\"done\"}"]), (1, 0, 9));
    assert_eq!((counted["units_total{outcome=\"failed\"}"], counted["items_total{stage=\"embed\"}"]), (0, 33));
    // A part of each table for each unit; what was set aside for pictures is given back.
    let queued = ["encoded", "decoded"].map(|queue| counted[&format!("queue_bytes{{queue=\"{queue}\"}}")]);
    assert_eq!((counted["parts_total"], queued), (2 * 9, [0, 0]), "{counted:?}");
    for process in [&scheduler, &executor] {
        let (head, body) = process.monitored("/metrics");
        assert!(head.starts_with("HTTP/1.1 200") && head.contains("text/plain; version=0.0.4"), "{head}");
        assert!(body.contains("# TYPE microclip_cluster_units_running gauge"), "{body}");
        assert!(body.contains("# TYPE microclip_cluster_units_total counter"), "{body}");
    }
}
