//! Tables of a store on objects, which another machine fills.

use super::{Server, json, rows};
use crate::objects::server::Server as Objects;
use crate::pipeline::Pipeline;

#[tokio::test(flavor = "multi_thread")]
async fn what_another_machine_commits_is_seen_by_the_next_statement() {
    let (objects, pipeline) = (Objects::start(), Pipeline::new(2, 1));
    let on = |machine: &str, verb: &str| {
        let mut command = pipeline.command(verb, &["--store", "s3://birds/results"]);
        objects.environment(&mut command, &pipeline.path(machine));
        command
    };
    let server = Server::of(on("one", "serve"));
    let mut client = server.client().await;
    let counted = "SELECT count(*) AS n FROM images";
    assert_eq!(json(&rows(&mut client, counted).await), "{\"n\":0}\n");
    let ingested = on("two", "ingest").output().unwrap();
    assert!(ingested.status.success(), "{}", String::from_utf8_lossy(&ingested.stderr));
    assert_eq!(json(&rows(&mut client, counted).await), "{\"n\":9}\n");
    assert_eq!(
        json(&rows(&mut client, "SELECT name FROM classes ORDER BY class_id LIMIT 1").await),
        "{\"name\":\"blue bell\"}\n"
    );
}
