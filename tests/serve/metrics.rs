//! What Prometheus reads.

use super::{Server, ingested, rows};

#[tokio::test(flavor = "multi_thread")]
async fn statements_rows_and_tables_are_counted() {
    let pipeline = ingested();
    let server = Server::start(&pipeline, &[]);
    let before = server.counted();
    assert_eq!(before["microclip_table_rows{pipeline=\"small\",table=\"images\"}"], 9.0);
    assert_eq!(before["microclip_table_parts{pipeline=\"small\",table=\"embeddings\"}"], 0.0);
    assert_eq!(before["microclip_statements_total{outcome=\"done\"}"], 0.0);
    let mut client = server.client().await;
    rows(&mut client, "SELECT path FROM images").await;
    let after = server.wait_until(|counted| counted["microclip_statements_total{outcome=\"done\"}"] == 1.0);
    assert_eq!(after["microclip_rows_sent_total"], 9.0);
    assert!(after["microclip_bytes_sent_total"] > 100.0);
    assert_eq!((after["microclip_connections"], after["microclip_connections_total"]), (1.0, 1.0));
    assert_eq!(after["microclip_statement_seconds_count"], 1.0);
    // What a run writes is there at the next look.
    pipeline.ok("embed", &[]);
    let embedded = server.counted();
    assert_eq!(embedded["microclip_table_rows{pipeline=\"small\",table=\"embeddings\"}"], 9.0);
    assert!(embedded["microclip_opening_seconds_count"] >= 2.0);
}

#[test]
fn a_monitor_learns_whether_the_server_lives_and_can_answer() {
    let pipeline = ingested();
    let server = Server::start(&pipeline, &[]);
    let (head, body) = server.monitored("/metrics");
    assert!(head.starts_with("HTTP/1.1 200") && head.contains("text/plain; version=0.0.4"), "{head}");
    assert!(body.contains("# TYPE microclip_connections gauge"), "{body}");
    assert_eq!(server.monitored("/healthz").1, "ok\n");
    assert_eq!(server.monitored("/readyz").1, "ready\n");
    assert!(server.monitored("/").0.starts_with("HTTP/1.1 404"));
    // A part that cannot be read: it lives, and cannot answer.
    let part =
        pipeline.path("store/images").read_dir().unwrap().next().unwrap().unwrap().path().join("part-99999.parquet");
    std::fs::write(part, "no Parquet").unwrap();
    let (head, body) = server.monitored("/readyz");
    assert!(head.starts_with("HTTP/1.1 503") && body.contains("part-99999.parquet"), "{head} {body}");
    assert_eq!(server.monitored("/healthz").1, "ok\n");
    assert!(server.monitored("/metrics").1.contains("microclip_statements_total"));
}
