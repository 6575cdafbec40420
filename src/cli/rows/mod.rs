//! Writing the rows of a query: in which form, and where to.

mod csv;
mod json;
mod parquet;
mod table;
mod target;

use std::io::{IsTerminal, Write};
use std::path::PathBuf;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use clap::ValueEnum;

use crate::error::{Error, Kind, Result};
use target::Target;

/// The form of rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// Columns for reading
    Table,
    /// Comma-separated values with a header line
    Csv,
    /// JSON lines: an object per row
    Json,
    /// A Parquet file
    Parquet,
}

/// Where rows go to, before it is known what they are.
#[derive(Debug)]
pub(super) struct Output {
    format: Format,
    file: Option<PathBuf>,
}

/// Takes rows in one form.
pub(super) trait Form {
    /// Writes some rows.
    fn write(&mut self, batch: &RecordBatch, out: &mut dyn Write) -> Result<()>;

    /// Writes what can only be written once all rows are known.
    fn finish(self: Box<Self>, out: &mut dyn Write) -> Result<()>;
}

/// Rows on their way out.
pub(super) struct Sink {
    form: Box<dyn Form>,
    target: Target,
}

impl Output {
    /// # Errors
    /// Where binary rows would go to a terminal.
    pub(super) fn new(format: Format, file: Option<PathBuf>) -> Result<Self> {
        if format == Format::Parquet && file.is_none() && std::io::stdout().is_terminal() {
            return Err(Error::new(Kind::Usage, "Parquet is binary and standard output is a terminal")
                .hint("name a file: --output rows.parquet"));
        }
        Ok(Output { format, file })
    }

    /// Opens the output for rows of `schema`.
    pub(super) fn open(self, schema: SchemaRef) -> Result<Sink> {
        let target = Target::open(self.file)?;
        let form: Box<dyn Form> = match self.format {
            Format::Table => Box::new(table::Table::new(schema)),
            Format::Csv => Box::new(csv::Csv::new(schema)),
            Format::Json => Box::new(json::Json),
            Format::Parquet => Box::new(parquet::Parquet::new(schema)?),
        };
        Ok(Sink { form, target })
    }
}

impl Sink {
    /// Writes some rows. False where nobody reads them any more.
    pub(super) fn write(&mut self, batch: &RecordBatch) -> Result<bool> {
        self.form.write(batch, &mut self.target)?;
        Ok(!self.target.closed())
    }

    /// Writes the end; a file gets its name only now.
    pub(super) fn finish(mut self) -> Result<()> {
        self.form.finish(&mut self.target)?;
        self.target.finish()
    }
}

/// What is said where rows cannot be written.
fn cannot_write() -> String {
    "cannot write the rows".to_owned()
}
