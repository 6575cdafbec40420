//! Rows as comma-separated values. Lists and bytes, which arrow's own CSV writer refuses, are written as in a table, in
//! full.

use std::io::Write;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::util::display::{ArrayFormatter, FormatOptions};

use super::{Form, cannot_write};
use crate::error::{Context, Kind, Result};

/// Writes a header line, then a line per row.
pub(super) struct Csv {
    header: Option<SchemaRef>,
}

impl Csv {
    pub(super) fn new(schema: SchemaRef) -> Self {
        Csv { header: Some(schema) }
    }

    fn header(&mut self, out: &mut dyn Write) -> Result<()> {
        let Some(schema) = self.header.take() else { return Ok(()) };
        let mut csv = csv::Writer::from_writer(out);
        csv.write_record(schema.fields().iter().map(|field| field.name())).context(Kind::Store, cannot_write)?;
        csv.flush().context(Kind::Store, cannot_write)
    }
}

impl Form for Csv {
    fn write(&mut self, batch: &RecordBatch, out: &mut dyn Write) -> Result<()> {
        self.header(out)?;
        let options = FormatOptions::default();
        let formats: Vec<ArrayFormatter<'_>> = batch
            .columns()
            .iter()
            .map(|column| ArrayFormatter::try_new(column.as_ref(), &options).context(Kind::Query, cannot_write))
            .collect::<Result<_>>()?;
        let mut csv = csv::Writer::from_writer(out);
        for row in 0..batch.num_rows() {
            let cells = formats.iter().map(|format| format.value(row).to_string());
            csv.write_record(cells).context(Kind::Store, cannot_write)?;
        }
        csv.flush().context(Kind::Store, cannot_write)
    }

    fn finish(mut self: Box<Self>, out: &mut dyn Write) -> Result<()> {
        self.header(out)
    }
}
