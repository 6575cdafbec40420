//! `sql`: one statement over the tables.

use std::io::Read;

use clap::Args;

use super::EXIT_CODES;
use super::common::{Common, runtime};
use super::printer::Printer;
use super::rows::Rows;
use crate::error::{Context, Error, Kind, Result};
use crate::pipeline::run::{View, view};
use crate::table::{format, query, session, warnings};

const LONG_ABOUT: &str = "\
Runs one SQL statement over the tables that the pipeline has written, and prints its rows. Tables: images, rejected, \
labels, classes, descriptions, text_features, embeddings, view_features, prior_logits, fusion_logits, pseudo_labels, \
passes, predictions, metrics, runs, ablations. Views over the newest run, and as all_runs.NAME over every run: pass_summary, \
changed_labels, disagreements, dead_classes, least_certain, per_class, confusion, look_alikes, duplicates. The SQL is \
DataFusion's. Nothing is computed that is not in the tables, and \
nothing is changed.";

const EXAMPLES: &str = "\
Examples:
  microclip-pipe sql pipelines/flowers.toml \"SELECT * FROM metrics\"
  microclip-pipe sql pipelines/flowers.toml \"SELECT * FROM least_certain LIMIT 10\"
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

    #[command(flatten)]
    rows: Rows,
}

impl Sql {
    pub(super) fn execute(&self, printer: &Printer) -> Result<()> {
        let statement = self.statement()?;
        self.rows.check()?;
        let spec = self.common.load()?;
        let View { store, scope, notes } = view(&spec)?;
        runtime()?.block_on(async {
            let session = session(&store, &scope).await?;
            if !self.common.quiet {
                notes
                    .iter()
                    .chain(&warnings(&session))
                    .for_each(|warning| printer.note(&format!("warning: {warning}")));
            }
            // A statement that cannot be planned leaves an older output as it is.
            let rows = query(&session, &statement).await?;
            let mut target = self.rows.target()?;
            format::write(rows, self.rows.format(), &mut target).await?;
            target.finish()
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
