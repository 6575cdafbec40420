//! The files in `tests/sql` say what SQL over a store gives; this runs them over a small store made
//! by the real writers.

use std::path::{Path, PathBuf};

use arrow::util::display::{ArrayFormatter, FormatOptions};
use async_trait::async_trait;
use datafusion::execution::context::SessionContext;
use microclip_pipe::Error;
use microclip_pipe::store::Store;
use microclip_pipe::table::{self, Visible};
use sqllogictest::{AsyncDB, DBOutput, DefaultColumnType, Runner};

use crate::small_store;

struct Session(SessionContext);

#[async_trait]
impl AsyncDB for Session {
    type Error = Error;
    type ColumnType = DefaultColumnType;

    async fn run(&mut self, sql: &str) -> Result<DBOutput<DefaultColumnType>, Error> {
        let df = table::query(&self.0, sql).await?;
        let promised = df.schema().clone();
        let width = promised.fields().len();
        let batches = df.collect().await.map_err(|e| Error::new(microclip_pipe::error::Kind::Query, e.to_string()))?;
        // What a statement promises is what it gives: printing and Parquet files rely on it.
        let promised: Vec<_> = promised.fields().iter().map(|field| field.data_type().clone()).collect();
        for batch in &batches {
            let given: Vec<_> = batch.columns().iter().map(|column| column.data_type().clone()).collect();
            assert_eq!(given, promised, "{sql}");
        }
        let options = FormatOptions::default().with_null("NULL");
        let mut rows = Vec::new();
        for batch in &batches {
            let columns: Vec<_> =
                batch.columns().iter().map(|c| ArrayFormatter::try_new(c, &options).unwrap()).collect();
            rows.extend((0..batch.num_rows()).map(|row| {
                columns
                    .iter()
                    .map(|c| c.value(row).to_string())
                    .map(|s| if s.is_empty() { "(empty)".into() } else { s })
                    .collect()
            }));
        }
        Ok(DBOutput::Rows { types: vec![DefaultColumnType::Any; width], rows })
    }

    async fn shutdown(&mut self) {}
}

fn files(prefix: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sql");
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|e| e.unwrap().path())
        .filter(|p| p.extension().is_some_and(|e| e == "slt"))
        .filter(|p| p.file_name().unwrap().to_str().unwrap().starts_with(prefix))
        .collect();
    files.sort();
    assert!(!files.is_empty(), "no files begin with {prefix}");
    files
}

async fn run(prefix: &str, ctx: SessionContext) {
    for file in files(prefix) {
        let mut runner = Runner::new(|| async { Ok::<_, Error>(Session(ctx.clone())) });
        if let Err(error) = runner.run_file_async(&file).await {
            panic!("{}: {error}", file.display());
        }
    }
}

#[tokio::test]
async fn every_table_and_function_of_a_filled_store() {
    let dir = tempfile::tempdir().unwrap();
    let (store, visible) = small_store::build(dir.path());
    let ctx = table::session(&store, &visible).await.unwrap();
    run("filled_", ctx).await;
}

#[tokio::test]
async fn a_store_with_nothing_in_it_has_every_table() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open_read(dir.path().join("none")).unwrap();
    let visible = Visible { dataset: "flowers".into(), runs: vec!["r1".into()], ..Visible::default() };
    let ctx = table::session(&store, &visible).await.unwrap();
    assert!(table::warnings(&ctx).is_empty());
    run("empty_", ctx).await;
}

#[tokio::test]
async fn views_need_no_labels() {
    let dir = tempfile::tempdir().unwrap();
    let (store, visible) = small_store::build(dir.path());
    store.partition("labels", "flowers").unwrap().retain(|_| false).unwrap();
    let ctx = table::session(&store, &visible).await.unwrap();
    run("unlabelled_", ctx).await;
}

#[tokio::test]
async fn bare_names_are_of_the_newest_run_and_all_runs_has_every_one() {
    let dir = tempfile::tempdir().unwrap();
    let (store, mut visible) = small_store::build(dir.path());
    visible.runs.push("r2".into());
    let ctx = table::session(&store, &visible).await.unwrap();
    for (view, rows) in [("pass_summary", 0), ("all_runs.pass_summary", 2), ("least_certain", 0)] {
        let found = table::query(&ctx, &format!("SELECT * FROM {view}")).await.unwrap().count().await.unwrap();
        assert_eq!(found, rows, "{view}");
    }
}

#[tokio::test]
async fn a_session_of_training_has_no_answers() {
    let dir = tempfile::tempdir().unwrap();
    let (store, visible) = small_store::build(dir.path());
    let ctx = table::training_session(&store, &visible).await.unwrap();
    run("training_", ctx).await;
}

#[tokio::test]
async fn runs_with_another_number_of_classes_are_left_out_with_a_warning() {
    let dir = tempfile::tempdir().unwrap();
    let (store, mut visible) = small_store::build(dir.path());
    visible.runs.insert(0, "two-classes".into());
    let ctx = table::session(&store, &visible).await.unwrap();
    let warnings = table::warnings(&ctx);
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].starts_with("table prior_logits: "), "{warnings:?}");
    assert!(warnings[0].contains("two-classes"), "{warnings:?}");
    assert!(
        warnings[0].ends_with("its `logits` has vectors of 2, where the newest part has vectors of 3"),
        "{warnings:?}"
    );
    let rows = table::query(&ctx, "SELECT * FROM prior_logits").await.unwrap().count().await.unwrap();
    assert_eq!(rows, 4);
}

#[tokio::test]
async fn a_thousand_parts_are_found_and_a_path_may_have_any_character() {
    let dir = tempfile::tempdir().unwrap();
    let (store, visible) = small_store::build(&dir.path().join("a [odd] folder*?% é#1"));
    let partition = store.partition("metrics", "r1").unwrap();
    let part = partition.parts().unwrap().remove(0);
    for n in 0..1000 {
        std::fs::copy(&part, partition.part(&format!("copy-{n:04}")).unwrap()).unwrap();
    }
    let ctx = table::session(&store, &visible).await.unwrap();
    let rows =
        table::query(&ctx, "SELECT * FROM metrics WHERE model = 'adapted'").await.unwrap().count().await.unwrap();
    assert_eq!(rows, 1001);
}

#[tokio::test]
async fn features_stream_past_the_ids_of_the_dataset() {
    let dir = tempfile::tempdir().unwrap();
    let (store, visible) = small_store::build(dir.path());
    let ctx = table::session(&store, &visible).await.unwrap();
    // The side that a join keeps in memory is the left: 64 digits a picture, not gigabytes of patch
    // tokens.
    for table in ["embeddings", "block_tokens", "view_features", "composites", "second_features"] {
        let df = table::query(&ctx, &format!("EXPLAIN SELECT * FROM {table}")).await.unwrap();
        let plan = arrow::util::pretty::pretty_format_batches(&df.collect().await.unwrap()).unwrap().to_string();
        assert!(plan.contains("RightSemi"), "{plan}");
    }
}

#[tokio::test]
async fn a_filter_of_a_joined_column_reaches_every_table() {
    let dir = tempfile::tempdir().unwrap();
    let (store, visible) = small_store::build(dir.path());
    let ctx = table::session(&store, &visible).await.unwrap();
    let sql = "EXPLAIN SELECT path FROM images JOIN labels USING (image_id) LEFT JOIN prior_logits USING (image_id) \
               LEFT JOIN predictions USING (image_id) WHERE image_id = 'a'";
    let df = table::query(&ctx, sql).await.unwrap();
    let plan = arrow::util::pretty::pretty_format_batches(&df.collect().await.unwrap()).unwrap().to_string();
    for table in ["images", "labels", "prior_logits", "predictions"] {
        assert!(plan.contains(&format!("Filter: {table}.image_id = Utf8View(\"a\")")), "{table}: {plan}");
    }
}
