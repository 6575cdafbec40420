//! Writes the result of a statement for people, spreadsheets and programs.

mod cells;

use std::io::Write;
use std::str::FromStr;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::json::writer::{LineDelimited, WriterBuilder as JsonBuilder};
use arrow::util::pretty::pretty_format_batches_with_schema;
use datafusion::dataframe::DataFrame;
use futures::StreamExt;
use parquet::arrow::ArrowWriter;

use crate::error::{Context, Error, Kind, Result};
use crate::table::query::explain;
use crate::text::terminal::harmless;
#[cfg(feature = "flight")]
pub(crate) use cells::{schema_without_views, without_views};

/// The format in which a result is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// A drawn table; lists and bytes are shortened. The whole result is kept in memory.
    #[default]
    Table,
    /// Comma-separated values with a header line; lists as `[1,2]`, bytes as hexadecimal digits.
    Csv,
    /// JSON lines: one object per row, lists in full, bytes as hexadecimal digits, null and NaN as
    /// `null`.
    Json,
    /// A Parquet file.
    Parquet,
}

impl FromStr for Format {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        match name {
            "table" => Ok(Format::Table),
            "csv" => Ok(Format::Csv),
            "json" => Ok(Format::Json),
            "parquet" => Ok(Format::Parquet),
            other => Err(Error::new(Kind::Usage, format!("there is no format `{other}`"))
                .hint("the formats are table, csv, json, parquet")),
        }
    }
}

/// Runs the statement and writes its rows, batch by batch except for [`Format::Table`]. Returns the
/// number of rows.
///
/// # Errors
/// Returns [`Kind::Query`] if the statement fails while it runs or its rows cannot be shown in this
/// format, and [`Kind::Store`] if `out` cannot be written to. A closed pipe is not an error, except
/// for [`Format::Parquet`]: the reader has seen enough.
pub async fn write(df: DataFrame, format: Format, out: &mut (dyn Write + Send)) -> Result<u64> {
    let schema: SchemaRef = Arc::new(df.schema().as_arrow().clone());
    let mut batches = df.execute_stream().await.map_err(|e| explain(e, None))?;
    let mut sink = Sink::new(format, schema, out)?;
    let mut rows = 0;
    while let Some(batch) = batches.next().await {
        let batch = batch.map_err(|e| explain(e, None))?;
        rows += batch.num_rows() as u64;
        if !sink.write(&batch)? {
            return Ok(rows);
        }
    }
    sink.finish()?;
    Ok(rows)
}

/// Maximum bytes of rows drawn as a table; drawing takes several times as much memory.
const DRAWN: usize = 256 << 20;

/// A result that is being written.
pub struct Sink<'a>(Form<'a>);

enum Form<'a> {
    Table { schema: SchemaRef, batches: Vec<RecordBatch>, bytes: usize, out: &'a mut (dyn Write + Send) },
    Csv { writer: Box<arrow::csv::Writer<&'a mut (dyn Write + Send)>>, schema: SchemaRef, empty: bool },
    Json { out: &'a mut (dyn Write + Send) },
    Parquet { writer: Box<ArrowWriter<&'a mut (dyn Write + Send)>>, schema: SchemaRef },
}

impl<'a> Sink<'a> {
    /// Begins a result with these columns.
    ///
    /// # Errors
    /// Returns [`Kind::Query`] if the columns cannot be written in this format.
    pub fn new(format: Format, schema: SchemaRef, out: &'a mut (dyn Write + Send)) -> Result<Self> {
        Ok(Sink(match format {
            Format::Table => Form::Table { schema: cells::shown_schema(&schema), batches: Vec::new(), bytes: 0, out },
            Format::Csv => Form::Csv { writer: Box::new(arrow::csv::Writer::new(out)), schema, empty: true },
            Format::Json => Form::Json { out },
            Format::Parquet => {
                let schema = cells::schema_without_views(&schema);
                let writer = ArrowWriter::try_new(out, schema.clone(), None);
                let writer = Box::new(writer.context(Kind::Query, || "cannot write as Parquet".into())?);
                Form::Parquet { writer, schema }
            }
        }))
    }

    /// Writes rows. Returns false if the reader has closed the pipe.
    ///
    /// # Errors
    /// Returns [`Kind::Store`] if the output cannot be written to, and [`Kind::Query`] if the rows
    /// cannot be shown in this format.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<bool> {
        match &mut self.0 {
            Form::Table { schema, batches, bytes, .. } => {
                let shown = cells::shown(batch, schema)?;
                *bytes += shown.get_array_memory_size();
                if *bytes > DRAWN {
                    return Err(Error::new(Kind::Query, "the result is too large to be drawn as a table")
                        .hint("use another form, which is written row by row: --format csv, json or parquet"));
                }
                batches.push(shown);
                Ok(true)
            }
            Form::Csv { writer, empty, .. } => {
                *empty = false;
                still_read(writer.write(&cells::flat(batch)?))
            }
            Form::Json { out } => {
                let mut lines = Vec::new();
                let mut writer = JsonBuilder::new().with_explicit_nulls(true).build::<_, LineDelimited>(&mut lines);
                let written = writer.write(batch).and_then(|()| writer.finish());
                written.context(Kind::Query, || "cannot write as JSON".into())?;
                still_read(out.write_all(&lines))
            }
            Form::Parquet { writer, schema } => still_read(writer.write(&cells::without_views(batch, schema)?)),
        }
    }

    /// Completes the output.
    ///
    /// # Errors
    /// Returns [`Kind::Store`] if the output cannot be written to, and [`Kind::Query`] if the rows
    /// cannot be shown in this format.
    pub fn finish(self) -> Result<()> {
        match self.0 {
            Form::Table { schema, batches, out, .. } => {
                let table = pretty_format_batches_with_schema(schema, &batches);
                let table = table.context(Kind::Query, || "cannot draw the result".into())?;
                // Cells are harmless; names of columns, and texts within structs, may not be.
                still_read(writeln!(out, "{}", harmless(&table.to_string()))).map(drop)
            }
            // The header line comes with the first batch, and a result without rows needs one too.
            Form::Csv { mut writer, schema, empty: true } => {
                still_read(writer.write(&cells::flat(&RecordBatch::new_empty(schema))?)).map(drop)
            }
            Form::Csv { .. } | Form::Json { .. } => Ok(()),
            Form::Parquet { writer, .. } => still_read(writer.close().map(drop)).map(drop),
        }
    }
}

/// Returns true if the output was written, and false if the other end of the pipe is closed.
fn still_read<E: std::error::Error + Send + Sync + 'static>(written: Result<(), E>) -> Result<bool> {
    let Err(error) = written else { return Ok(true) };
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(&error);
    while let Some(c) = cause {
        let io = c.downcast_ref::<std::io::Error>();
        if io.is_some_and(|io| io.kind() == std::io::ErrorKind::BrokenPipe) || c.to_string().contains("Broken pipe") {
            return Ok(false);
        }
        cause = c.source();
    }
    Err(error).context(Kind::Store, || "cannot write the result".into())
}
