//! What a result looks like in each format.

use std::io::Write;

use arrow::datatypes::DataType;
use microclip_pipe::error::Kind;
use microclip_pipe::table::format::{Format, write};
use microclip_pipe::table::{query, session};
use parquet::arrow::arrow_reader::ParquetRecordBatchReader;

use crate::small_store;

async fn written(sql: &str, format: Format) -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    let (store, visible) = small_store::build(dir.path());
    let ctx = session(&store, &visible).await.unwrap();
    let mut out = Vec::new();
    write(query(&ctx, sql).await.unwrap(), format, &mut out).await.unwrap();
    out
}

async fn text(sql: &str, format: Format) -> String {
    String::from_utf8(written(sql, format).await).unwrap()
}

const ROWS: &str = "SELECT path, bytes, width, logits FROM images JOIN prior_logits USING (image_id) \
                    WHERE path LIKE 'iris%' ORDER BY path";

#[tokio::test]
async fn a_table_shortens_lists_and_bytes() {
    insta::assert_snapshot!(text(ROWS, Format::Table).await, @r#"
    +------------+--------+-------+-----------------+
    | path       | bytes  | width | logits          |
    +------------+--------+-------+-----------------+
    | iris/1.jpg | <10 B> | 96    | [0.9, 0.1, 0]   |
    | iris/2.jpg |        | 96    | [0.2, 0.3, 0.1] |
    +------------+--------+-------+-----------------+
    "#);
    let long =
        "SELECT range(20) AS many, features, patch_tokens FROM embeddings JOIN view_features USING (image_id) LIMIT 1";
    insta::assert_snapshot!(text(long, Format::Table).await, @r#"
    +-----------------+----------------------+--------------+
    | many            | features             | patch_tokens |
    +-----------------+----------------------+--------------+
    | [0, 1, 2, … 20] | [0.5, 0.5, 0.5, 0.5] | <8 B>        |
    +-----------------+----------------------+--------------+
    "#);
    insta::assert_snapshot!(text("SELECT path, bytes FROM images WHERE width = 1", Format::Table).await, @r#"
    +------+-------+
    | path | bytes |
    +------+-------+
    +------+-------+
    "#);
}

#[tokio::test]
async fn a_drawn_table_steers_no_terminal_and_other_forms_keep_every_character() {
    let sql = "SELECT chr(27) || '[31mb.jpg' AS path, [chr(27) || '[2J'] AS paths, 1 AS \"\u{1b}c\"";
    let table = text(sql, Format::Table).await;
    assert!(!table.contains('\u{1b}') && table.contains("| \\u{1b}[31mb.jpg | [\\u{1b}[2J] |"), "{table}");
    assert!(text(sql, Format::Csv).await.contains("\n\u{1b}[31mb.jpg,"));
    assert!(text(sql, Format::Json).await.contains("\"path\":\"\\u001b[31mb.jpg\""));
}

#[tokio::test]
async fn csv_has_a_head_line_and_full_lists() {
    insta::assert_snapshot!(text(ROWS, Format::Csv).await, @r#"
    path,bytes,width,logits
    iris/1.jpg,6a706567206279746573,96,"[0.9,0.1,0.0]"
    iris/2.jpg,,96,"[0.2,0.3,0.1]"
    "#);
    insta::assert_snapshot!(text("SELECT paths FROM images ORDER BY path LIMIT 2", Format::Csv).await, @r#"
    paths
    "[""iris/1.jpg""]"
    "[""iris/2.jpg"",""copy/2.jpg""]"
    "#);
    insta::assert_snapshot!(text("SELECT array_agg(path ORDER BY path) AS all FROM images WHERE path LIKE 'iris%'", Format::Csv).await, @r#"
    all
    "[""iris/1.jpg"",""iris/2.jpg""]"
    "#);
    insta::assert_snapshot!(text("SELECT path, paths FROM images WHERE width = 1", Format::Csv).await, @"path,paths");
}

#[tokio::test]
async fn json_is_an_object_a_line() {
    insta::assert_snapshot!(text(ROWS, Format::Json).await, @r#"
    {"path":"iris/1.jpg","bytes":"6a706567206279746573","width":96,"logits":[0.9,0.1,0.0]}
    {"path":"iris/2.jpg","bytes":null,"width":96,"logits":[0.2,0.3,0.1]}
    "#);
    insta::assert_snapshot!(text("SELECT started, finished, seconds, 'NaN'::float AS nan FROM runs", Format::Json).await, @r#"{"started":"2023-11-14T22:13:20Z","finished":null,"seconds":1.5,"nan":null}"#);
    assert_eq!(text("SELECT path FROM images WHERE width = 1", Format::Json).await, "");
}

#[tokio::test]
async fn parquet_is_read_back() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let sql = "SELECT image_id, logits, [image_id] AS ids FROM prior_logits";
    let bytes = written(sql, Format::Parquet).await;
    file.as_file().write_all(&bytes).unwrap();
    let batches: Vec<_> =
        ParquetRecordBatchReader::try_new(file.reopen().unwrap(), 100).unwrap().map(Result::unwrap).collect();
    assert_eq!(batches.iter().map(|b| b.num_rows()).sum::<usize>(), 4);
    assert_eq!(microclip_pipe::table::rows_f32(&batches[0], "logits").unwrap().1, 3);
    let schema = batches[0].schema();
    assert_eq!(schema.field(0).data_type(), &DataType::Utf8, "views are known to few programs");
    let DataType::List(item) = schema.field(2).data_type() else { panic!("{schema}") };
    assert_eq!(item.data_type(), &DataType::Utf8);
}

#[tokio::test]
async fn mistakes_are_hinted_and_failures_while_running_are_errors() {
    let dir = tempfile::tempdir().unwrap();
    let (store, visible) = small_store::build(dir.path());
    let ctx = session(&store, &visible).await.unwrap();
    for (sql, hint) in [
        ("SELECT * FROM pseudo_label", "did you mean `pseudo_labels`?"),
        ("SELECT confidnce FROM pseudo_labels", "did you mean `confidence`?"),
        ("SELECT p.clas_id FROM pseudo_labels p", "did you mean `class_id`?"),
        ("DROP TABLE images", "tables can only be read here: use SELECT"),
    ] {
        let error = query(&ctx, sql).await.unwrap_err();
        assert_eq!((error.kind(), error.hint_text()), (Kind::Query, Some(hint)), "{error}");
    }
    let df =
        query(&ctx, "SELECT mix(logits, [CAST(width AS FLOAT)], 0.5) FROM prior_logits JOIN images USING (image_id)")
            .await;
    let error = write(df.unwrap(), Format::Json, &mut Vec::new()).await.unwrap_err();
    assert!(error.to_string().contains("mix needs lists of the same length, not of 3 and 1"), "{error}");
}

/// A pipe whose reader has gone, as `| head -1` makes one.
struct Closed;

impl Write for Closed {
    fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
        Err(std::io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Err(std::io::ErrorKind::BrokenPipe.into())
    }
}

#[tokio::test]
async fn a_reader_that_has_seen_enough_is_no_error() {
    let dir = tempfile::tempdir().unwrap();
    let (store, visible) = small_store::build(dir.path());
    let ctx = session(&store, &visible).await.unwrap();
    for format in [Format::Table, Format::Csv, Format::Json] {
        write(query(&ctx, "SELECT * FROM classes").await.unwrap(), format, &mut Closed).await.unwrap();
    }
}
