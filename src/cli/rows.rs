//! How rows are written: the flags `--format` and `--output` of every verb that prints them.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum, ValueHint};

use super::output::Target;
use super::printer::Printer;
use crate::error::{Error, Kind, Result};
use crate::table::format;

/// Form and place of rows.
#[derive(Debug, Clone, Args)]
pub(super) struct Rows {
    /// How rows are written: as a table, CSV, JSON lines or Parquet
    #[arg(long, value_enum, default_value_t = Format::Table, value_name = "FORMAT")]
    format: Format,

    /// Write the rows to this file; it is there only once it is whole
    #[arg(long, short, value_name = "FILE", value_hint = ValueHint::FilePath)]
    output: Option<PathBuf>,
}

/// The form of rows, as `--format` names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Columns for reading; long cells are shortened
    Table,
    /// Comma-separated values with a header line
    Csv,
    /// JSON lines: an object per row
    Json,
    /// A Parquet file
    Parquet,
}

impl Rows {
    /// Returns the form of the rows.
    pub(super) fn format(&self) -> format::Format {
        match self.format {
            Format::Table => format::Format::Table,
            Format::Csv => format::Format::Csv,
            Format::Json => format::Format::Json,
            Format::Parquet => format::Format::Parquet,
        }
    }

    /// Refuses binary rows on a terminal before anything is computed.
    pub(super) fn check(&self) -> Result<()> {
        if self.format == Format::Parquet && self.output.is_none() && std::io::stdout().is_terminal() {
            return Err(Error::new(Kind::Usage, "Parquet is binary and standard output is a terminal")
                .hint("name a file: --output rows.parquet"));
        }
        Ok(())
    }

    /// Says which results have no rows, where a person looks at them: a drawn table is then a
    /// header alone. `counts` are the numbers of rows of each result.
    pub(super) fn say_what_is_empty(&self, counts: &[u64], printer: &Printer) {
        for (number, _) in (1..).zip(counts).filter(|(_, rows)| **rows == 0 && self.format == Format::Table) {
            printer.note(&if counts.len() == 1 { "0 rows".to_owned() } else { format!("result {number}: 0 rows") });
        }
    }

    /// Returns the file that rows go to, if any.
    pub(super) fn output(&self) -> Option<&Path> {
        self.output.as_deref()
    }

    /// Opens what rows go to.
    pub(super) fn target(&self) -> Result<Target> {
        Target::open(self.output.clone())
    }
}
