//! `sql`: one statement over the tables.

use std::io::Read;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use clap::Args;

use super::EXIT_CODES;
use super::common::{Common, runtime};
use super::printer::Printer;
use super::rows::Rows;
use super::size;
use crate::error::{Context, Error, Kind, Result};
use crate::pipeline::view::{View, view};
use crate::table::{format, query, session_within, warnings};

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

    /// Memory that the statement may take, e.g. 500MB or 8GB; it fails where it needs more
    #[arg(long, value_name = "SIZE", value_parser = size::parse, default_value = "4GB")]
    memory_limit: u64,

    /// Seconds that the statement may take; it fails after that
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..), default_value_t = 600)]
    time_limit: u64,
}

impl Sql {
    pub(super) fn execute(&self, printer: &Printer) -> Result<()> {
        let statement = self.statement()?;
        self.rows.check()?;
        let spec = self.common.load()?;
        let View { store, scope, notes } = view(&spec)?;
        let (memory, rows) = (self.memory_limit, self.rows.clone());
        let (quiet, printer) = (self.common.quiet, *printer);
        within(Duration::from_secs(self.time_limit), move || {
            runtime()?.block_on(async {
                let session = session_within(memory, &store, &scope).await?;
                if !quiet {
                    notes
                        .iter()
                        .chain(&warnings(&session))
                        .for_each(|warning| printer.note(&format!("warning: {warning}")));
                }
                // A statement that cannot be planned leaves an older output as it is.
                let found = query(&session, &statement).await?;
                let mut target = rows.target()?;
                format::write(found, rows.format(), &mut target).await?;
                target.finish()
            })
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

/// Does some work on a thread of its own, and does not wait for it longer than that: a plan may compute for long without giving
/// way to a timer of its runtime.
fn within(limit: Duration, work: impl FnOnce() -> Result<()> + Send + 'static) -> Result<()> {
    let (send, receive) = channel();
    std::thread::Builder::new()
        .name("statement".to_owned())
        .stack_size(STACK)
        .spawn(move || send.send(work()))
        .context(Kind::Query, || "cannot start a thread for the statement".to_owned())?;
    receive.recv_timeout(limit).unwrap_or_else(|ended| {
        Err(match ended {
            RecvTimeoutError::Timeout => {
                Error::new(Kind::Query, format!("the statement took longer than {} s", limit.as_secs()))
                    .hint("ask for less, or allow more with --time-limit")
            }
            // Whoever panicked has said why.
            RecvTimeoutError::Disconnected => Error::new(Kind::Query, "the statement was cut short"),
        })
    })
}

/// Bytes of the stack that a statement is planned on, as many as the main thread's.
const STACK: usize = 8 << 20;
