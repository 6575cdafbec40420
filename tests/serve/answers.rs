//! What a client gets is what `sql` prints.

use microclip_pipe::config;
use microclip_pipe::runs::sql_scope::{SqlScope, scope};
use microclip_pipe::table::format::{self, Format};
use microclip_pipe::table::sql_views::{ALL_RUNS, VIEWS};
use microclip_pipe::table::{self, schema};
use tonic::Code;

use super::{Server, fetched, ingested, json, refused, rows, status};
use crate::pipeline::Pipeline;

/// The statements that a page shows.
fn shown(page: &str) -> Vec<String> {
    let mut fenced = page.split("```sql\n").skip(1);
    let statements: Vec<String> = fenced.by_ref().map(|rest| rest.split("```").next().unwrap().to_owned()).collect();
    assert!(statements.len() >= 15, "{} statements", statements.len());
    statements
}

#[tokio::test(flavor = "multi_thread")]
async fn every_statement_of_the_cookbook_and_every_view_is_answered_as_by_sql() {
    let pipeline = Pipeline::new(4, 2);
    pipeline.ok("run", &[]);
    let server = Server::start(&pipeline, &[]);
    let mut client = server.client().await;
    // What `sql` does, without a process for each statement.
    let spec = config::load_without_sentences(&pipeline.path("pipeline.toml"), &[]).unwrap();
    let SqlScope { store, visible, .. } = scope(&spec).unwrap();
    let session = table::session(&store, &visible).await.unwrap();
    let views = VIEWS
        .iter()
        .flat_map(|view| [format!("SELECT * FROM {}", view.name), format!("SELECT * FROM {ALL_RUNS}.{}", view.name)]);
    let tables = schema::all().iter().map(|table| format!("SELECT * FROM {}", table.name()));
    let mut filled = 0;
    for statement in shown(include_str!("../../docs/sql.md")).into_iter().chain(views).chain(tables) {
        let mut expected = Vec::new();
        format::write(table::query(&session, &statement).await.unwrap(), Format::Json, &mut expected).await.unwrap();
        let expected = String::from_utf8(expected).unwrap();
        let given = json(&rows(&mut client, &statement).await);
        // Some leave the order of their rows open.
        let sorted = |text: &str| {
            let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
            lines.sort();
            lines
        };
        assert_eq!(sorted(&given), sorted(&expected), "{statement}");
        filled += usize::from(!given.is_empty());
    }
    assert!(filled > 30, "only {filled} statements have rows");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_committed_meanwhile_is_seen() {
    let pipeline = Pipeline::new(2, 1);
    let server = Server::start(&pipeline, &[]);
    let mut client = server.client().await;
    let count = "SELECT count(*) AS images, count(DISTINCT split) AS splits FROM images";
    assert_eq!(json(&rows(&mut client, count).await), "{\"images\":0,\"splits\":0}\n");
    // A ticket is about the tables as they were when it was given.
    let early = client.execute("SELECT count(*) AS images FROM images".to_owned(), None).await.unwrap();
    pipeline.ok("ingest", &[]);
    assert_eq!(json(&rows(&mut client, count).await), "{\"images\":9,\"splits\":2}\n");
    assert_eq!(json(&fetched(&mut client, early).await.unwrap()), "{\"images\":0}\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_were_removed_meanwhile_are_not_taken_for_none() {
    let pipeline = ingested();
    let server = Server::start(&pipeline, &[]);
    let mut client = server.client().await;
    let sql = "SELECT count(DISTINCT path) AS paths FROM images";
    let info = client.execute(sql.to_owned(), None).await.unwrap();
    std::fs::remove_dir_all(pipeline.path("store/images")).unwrap();
    let (code, said) = status(fetched(&mut client, info).await.unwrap_err());
    assert!(
        code == Code::Aborted && said.contains("removed rows after the statement was planned: ask again"),
        "{code} {said}"
    );
    assert_eq!(json(&rows(&mut client, sql).await), "{\"paths\":0}\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mistake_is_answered_with_what_to_do() {
    let pipeline = ingested();
    let server = Server::start(&pipeline, &[]);
    let mut client = server.client().await;
    let expected = "there is no table `metric`\nhint: did you mean `metrics`?".to_owned();
    assert_eq!(refused(&mut client, "SELECT * FROM metric").await, (Code::InvalidArgument, expected));
    let (code, said) = refused(&mut client, "SELECT 1 / (count(*) - 9) FROM images").await;
    assert!(code == Code::InvalidArgument && said.to_lowercase().contains("divide by zero"), "{code} {said}");
    assert_eq!(server.ended("failed"), 2.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_but_reading_is_possible() {
    let pipeline = ingested();
    let server = Server::start(&pipeline, &[]);
    let mut client = server.client().await;
    for statement in [
        "DROP TABLE images",
        "CREATE TABLE t AS SELECT 1",
        "CREATE EXTERNAL TABLE t STORED AS CSV LOCATION '/etc/passwd'",
        "INSERT INTO images SELECT * FROM images",
        "DELETE FROM images",
        "COPY images TO '/tmp/images.parquet'",
        "SET datafusion.execution.target_partitions = 1",
        "PREPARE p AS SELECT 1",
        "BEGIN",
        "EXPLAIN ANALYZE INSERT INTO images SELECT * FROM images",
        "SELECT * FROM '/etc/passwd'",
        "SELECT * FROM read_parquet('/etc/passwd')",
    ] {
        let (code, said) = refused(&mut client, statement).await;
        assert_eq!(code, Code::InvalidArgument, "{statement}: {said}");
    }
    let error = client.execute_update("DROP TABLE images".to_owned(), None).await.unwrap_err();
    assert!(error.to_string().contains("tables can only be read here"), "{error}");
    assert_eq!(json(&rows(&mut client, "SELECT count(*) AS n FROM images").await), "{\"n\":9}\n");
}
