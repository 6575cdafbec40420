//! `sql`: statements over the tables: the one that is given, those on standard input, or those
//! typed in a shell.

mod commands;
mod complete;
mod elsewhere;
mod interrupts;
mod limits;
mod pager;
mod shell;
mod split;

use std::io::{IsTerminal, Read};
use std::time::Duration;

use clap::Args;
use tracing::Instrument;

use super::EXIT_CODES;
use super::common::{Common, runtime};
use super::printer::Printer;
use super::rows::Rows;
use super::size;
use crate::error::{Context, Error, Kind, Result};
use crate::runs::sql_scope::{SqlScope, scope};
use crate::table::kept_logits::removed_logits;
use crate::table::schema::{self, TableSchema};
use crate::table::sql_views::VIEWS;
use crate::table::{format, query, session_within, warnings};
use crate::text::shell::word;
use elsewhere::{Choice, written};
use interrupts::Interrupts;
use limits::within;
use shell::{Limits, Shell};
use split::split;

/// Returns what `sql --help` says first.
fn long_about() -> String {
    let tables: Vec<&str> = schema::all().iter().map(TableSchema::name).collect();
    let views: Vec<&str> = VIEWS.iter().map(|view| view.name).collect();
    format!(
        "Runs SQL over the tables that the pipeline has written, and prints the rows: one statement that is given, or those of \
         standard input, each up to its `;`. Without a statement, on a terminal, it opens a shell, with history, completion by \
         Tab, statements over several lines, and \\? for the rest. Tables: {}. Views over the newest run, and as all_runs.NAME \
         over every run: {}. The SQL is DataFusion's. Nothing is computed that is not in the tables, and nothing is changed.",
        tables.join(", "),
        views.join(", ")
    )
}

const EXAMPLES: &str = "\
Examples:
  microclip-pipe sql pipelines/flowers.toml \"SELECT * FROM metrics\"
  microclip-pipe sql pipelines/flowers.toml \"SELECT * FROM least_certain LIMIT 10\"
  microclip-pipe sql pipelines/flowers.toml \"SELECT path, reason FROM rejected\" --format csv
  microclip-pipe sql pipelines/flowers.toml \"SELECT image_id, confidence FROM predictions\" \\
      --format parquet --output predictions.parquet
  microclip-pipe sql pipelines/flowers.toml < statements.sql
  microclip-pipe sql pipelines/flowers.toml
      A shell.";

/// Query the tables
#[derive(Debug, Args)]
#[command(long_about = long_about(), after_long_help = format!("{EXAMPLES}\n\n{EXIT_CODES}"))]
pub(super) struct Sql {
    #[command(flatten)]
    common: Common,

    /// The statement; `-` reads statements from standard input; without one, so does a pipe, and a
    /// terminal opens a shell
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

    #[command(flatten)]
    choice: Choice,
}

impl Sql {
    pub(super) fn execute(&self, printer: &Printer) -> Result<()> {
        let on_terminal = std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
        if self.statement.is_none() && on_terminal {
            return self.converse(printer);
        }
        let statements = self.statements()?;
        self.rows.check()?;
        if statements.len() > 1 && self.rows.format() == format::Format::Parquet {
            return Err(Error::new(Kind::Usage, format!("a Parquet file cannot hold {} results", statements.len()))
                .hint("give one statement, or another --format"));
        }
        let spec = self.common.load_without_sentences()?;
        let scope = scope(&spec)?;
        let elsewhere = self.choice.elsewhere(&scope, printer)?;
        let SqlScope { store, visible, notes } = scope;
        // Otherwise Ctrl-C ends the process; a cluster has to hear of it.
        let interrupts = if elsewhere.is_some() { Interrupts::watch()? } else { Interrupts::none() };
        let (memory, rows, printer) = (self.memory_limit, self.rows.clone(), *printer);
        within(Duration::from_secs(self.time_limit), &interrupts, self.choice.end(), move |_, stop| {
            runtime()?.block_on(async {
                let session = session_within(memory, &store, &visible).await?;
                notes
                    .iter()
                    .chain(&warnings(&session))
                    .for_each(|warning| printer.note(&format!("warning: {warning}")));
                let ingested = !store.partition("images", &visible.dataset)?.listed()?.is_empty();
                let (mut target, mut counts) = (None, Vec::new());
                for statement in &statements {
                    let span = tracing::info_span!("statement", sql = statement.trim());
                    // Opened only now: if the first statement cannot be planned, an older output
                    // stays as it is.
                    let found = query(&session, statement).instrument(span.clone()).await?;
                    if let Some(note) = removed_logits(&session, &found).await? {
                        printer.note(&format!("warning: {note}"));
                    }
                    let target = match &mut target {
                        Some(target) => target,
                        none => none.insert(rows.target()?),
                    };
                    let written = written(elsewhere.as_ref(), statement, found, &stop, rows.format(), target);
                    counts.push(written.instrument(span).await?);
                }
                printer.detail(|| format!("{} rows", counts.iter().sum::<u64>()));
                target.map_or(Ok(()), super::output::Target::finish)?;
                rows.say_what_is_empty(&counts, &printer);
                if counts.contains(&0) && !ingested && rows.format() == format::Format::Table {
                    printer.note("the store has no pictures of this pipeline yet: microclip-pipe run fills the tables");
                }
                Ok(())
            })
        })
    }

    fn converse(&self, printer: &Printer) -> Result<()> {
        if self.rows.format() == format::Format::Parquet {
            return Err(Error::new(Kind::Usage, "Parquet is a file of one result").hint("give the statement"));
        }
        let spec = self.common.load_without_sentences()?;
        let limits = Limits { memory: self.memory_limit, time: Duration::from_secs(self.time_limit) };
        let mut shell = Shell::open(&spec, limits, &self.choice, self.rows.format(), printer)?;
        if let Some(file) = self.rows.output() {
            shell.redirect(file.to_path_buf())?;
        }
        shell.converse()
    }

    /// Returns the statement that was given, or those on standard input.
    fn statements(&self) -> Result<Vec<String>> {
        let hint = format!(
            "give one, e.g. microclip-pipe sql {} \"SELECT * FROM metrics\", or - to read it from standard input",
            word(&self.common.pipeline.to_string_lossy())
        );
        let given = self.statement.as_deref().filter(|given| *given != "-");
        let statements = match given {
            Some(statement) => vec![statement.to_owned()],
            None if self.statement.is_none() && std::io::stdin().is_terminal() => Vec::new(),
            None => {
                let mut text = String::new();
                std::io::stdin()
                    .read_to_string(&mut text)
                    .context(Kind::Usage, || "cannot read the statement from standard input".to_owned())?;
                let found = split(&text);
                found.statements.into_iter().chain([found.rest]).collect()
            }
        };
        let statements: Vec<String> = statements.into_iter().filter(|text| !text.trim().is_empty()).collect();
        if let Some(command) = statements.iter().find_map(|text| commands::in_place_of(text)) {
            let what = format!("{command} is a command of the shell, which `sql` opens on a terminal, and no SQL");
            return Err(Error::new(Kind::Usage, what).hint(format!(
                "`microclip-pipe schema` lists tables and columns; the shell: microclip-pipe sql {}",
                word(&self.common.pipeline.to_string_lossy())
            )));
        }
        if statements.is_empty() {
            let what =
                if self.statement.is_some() { "the SQL statement is empty" } else { "no SQL statement was given" };
            return Err(Error::new(Kind::Usage, what).hint(hint));
        }
        Ok(statements)
    }
}
