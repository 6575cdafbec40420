//! Prepared statements.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};

use super::{Server, fetched, ingested, json, status};

fn row(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    RecordBatch::try_from_iter(columns).unwrap()
}

fn text(values: &[&str]) -> ArrayRef {
    Arc::new(StringArray::from(values.to_vec()))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prepared_statement_is_answered_for_each_row_that_is_bound() {
    let pipeline = ingested();
    let server = Server::start(&pipeline, &[]);
    let mut client = server.client().await;
    for sql in [
        "SELECT split, count(*) AS n FROM images WHERE split = ? AND width > ? GROUP BY split",
        "SELECT split, count(*) AS n FROM images WHERE split = $1 AND width > $2 GROUP BY split",
    ] {
        let mut prepared = client.prepare(sql.to_owned(), None).await.unwrap();
        let names: Vec<_> = prepared.parameter_schema().unwrap().fields().iter().map(|f| f.name().clone()).collect();
        assert_eq!(names, ["$1", "$2"]);
        assert_eq!(prepared.dataset_schema().unwrap().fields().len(), 2);
        for (split, n) in [("train", 6), ("test", 3)] {
            let width = Arc::new(Int64Array::from(vec![10]));
            prepared.set_parameters(row(vec![("0", text(&[split])), ("1", width)])).unwrap();
            let info = prepared.execute().await.unwrap();
            let given = json(&fetched(&mut client, info).await.unwrap());
            assert_eq!(given, format!("{{\"split\":\"{split}\",\"n\":{n}}}\n"));
        }
        prepared.close().await.unwrap();
    }
    assert_eq!(server.counted()["microclip_prepared_statements"], 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_bound_is_a_value_and_no_sql() {
    let pipeline = ingested();
    let server = Server::start(&pipeline, &[]);
    let mut client = server.client().await;
    let mut prepared =
        client.prepare("SELECT count(*) AS n FROM images WHERE split = ?".to_owned(), None).await.unwrap();
    prepared.set_parameters(row(vec![("0", text(&["train' OR '1' = '1"]))])).unwrap();
    let info = prepared.execute().await.unwrap();
    assert_eq!(json(&fetched(&mut client, info).await.unwrap()), "{\"n\":0}\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_do_not_fit_are_refused() {
    let pipeline = ingested();
    let server = Server::start(&pipeline, &[]);
    let mut client = server.client().await;
    let mut prepared = client.prepare("SELECT count(*) FROM images WHERE split = ?".to_owned(), None).await.unwrap();
    let unbound = prepared.execute().await;
    let unbound = match unbound {
        Ok(info) => status(fetched(&mut client, info).await.unwrap_err()).1,
        Err(error) => error.to_string(),
    };
    assert!(unbound.to_lowercase().contains("placeholder") || unbound.contains("parameter"), "{unbound}");
    prepared.set_parameters(row(vec![("0", text(&["train", "test"]))])).unwrap();
    let several = prepared.execute().await.unwrap_err().to_string();
    assert!(several.contains("more than one row was bound"), "{several}");
    prepared.set_parameters(row(vec![("0", text(&["train"])), ("1", text(&["test"]))])).unwrap();
    let columns = prepared.execute().await.unwrap_err().to_string();
    assert!(columns.contains("the statement has 1 parameter, and 2 columns of 1 row were bound"), "{columns}");
    let wrong = client.prepare("SELECT nothing FROM images".to_owned(), None).await.unwrap_err().to_string();
    assert!(wrong.contains("there is no column `nothing`"), "{wrong}");
}
