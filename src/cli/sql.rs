//! `sql`: one statement over the tables.

use std::io::Read;
use std::path::PathBuf;

use clap::{Args, ValueHint};
use datafusion::execution::SendableRecordBatchStream;
use futures::StreamExt;

use super::EXIT_CODES;
use super::common::{Common, runtime};
use super::printer::Printer;
use super::rows::{Format, Output};
use crate::error::{Context, Error, Kind, Result};
use crate::pipeline::spec::Spec;

const LONG_ABOUT: &str = "\
Runs one SQL statement over the tables that the pipeline has written, and prints its rows. Tables: images, rejected, \
labels, classes, descriptions, text_features, embeddings, view_features, prior_logits, fusion_logits, pseudo_labels, \
passes, predictions, metrics, runs. The SQL is DataFusion's. Nothing is computed that is not in the tables, and nothing \
is changed.";

const EXAMPLES: &str = "\
Examples:
  microclip-pipe sql pipelines/flowers.toml \"SELECT * FROM metrics\"
  microclip-pipe sql pipelines/flowers.toml \"SELECT path, reason FROM rejected\" --format csv
  microclip-pipe sql pipelines/flowers.toml \"SELECT image_id, confidence FROM predictions\" \\
      --format parquet --output predictions.parquet
  microclip-pipe sql pipelines/flowers.toml - < statement.sql";

/// Query the tables
#[derive(Debug, Args)]
#[command(long_about = LONG_ABOUT, after_long_help = format!("{EXAMPLES}\n\n{EXIT_CODES}"))]
pub(super) struct Sql {
    #[command(flatten)]
    common: Common,

    /// The statement; `-` reads it from standard input
    #[arg(value_name = "STATEMENT")]
    statement: Option<String>,

    /// How rows are written: as a table, CSV, JSON lines or Parquet
    #[arg(long, value_enum, default_value_t = Format::Table, value_name = "FORMAT")]
    format: Format,

    /// Write the rows to this file; it is there only once it is whole
    #[arg(long, short, value_name = "FILE", value_hint = ValueHint::FilePath)]
    output: Option<PathBuf>,
}

impl Sql {
    pub(super) fn execute(&self, _printer: &Printer) -> Result<()> {
        let statement = self.statement()?;
        let spec = self.common.load()?;
        let output = Output::new(self.format, self.output.clone())?;
        runtime()?.block_on(async {
            let mut rows = query(&spec, &statement).await?;
            let mut sink = output.open(rows.schema())?;
            while let Some(batch) = rows.next().await {
                let batch = batch.context(Kind::Query, || "the statement failed".to_owned())?;
                if !sink.write(&batch)? {
                    break;
                }
            }
            sink.finish()
        })
    }

    fn statement(&self) -> Result<String> {
        let hint = format!(
            "give one, e.g. microclip-pipe sql {} \"SELECT * FROM metrics\", or - to read it from standard input",
            self.common.pipeline.display()
        );
        let statement = match self.statement.as_deref() {
            Some("-") => {
                let mut text = String::new();
                std::io::stdin()
                    .read_to_string(&mut text)
                    .context(Kind::Usage, || "cannot read the statement from standard input".to_owned())?;
                text
            }
            Some(text) => text.to_owned(),
            None => return Err(Error::new(Kind::Usage, "no SQL statement was given").hint(hint)),
        };
        if statement.trim().is_empty() {
            return Err(Error::new(Kind::Usage, "the SQL statement is empty").hint(hint));
        }
        Ok(statement)
    }
}

/// The rows of a statement over the tables of `spec`.
async fn query(_spec: &Spec, _statement: &str) -> Result<SendableRecordBatchStream> {
    Err(Error::new(Kind::Query, "queries are not part of this build"))
}
