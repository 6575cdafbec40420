//! Rows as a table for reading.

use std::io::Write;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use arrow::util::pretty::pretty_format_batches_with_options;

use super::{Form, cannot_write};
use crate::error::{Context, Kind, Result};

/// Cells end here: a feature of 512 numbers in a table is for nobody to read. Other forms write it whole.
const WIDEST: usize = 80;

/// Gathers rows as text until all widths are known.
pub(super) struct Table {
    schema: SchemaRef,
    batches: Vec<RecordBatch>,
}

impl Table {
    pub(super) fn new(schema: SchemaRef) -> Self {
        let fields: Vec<Field> =
            schema.fields().iter().map(|field| Field::new(field.name(), DataType::Utf8, true)).collect();
        let schema = Arc::new(Schema::new(fields));
        Table { batches: vec![RecordBatch::new_empty(schema.clone())], schema }
    }
}

impl Form for Table {
    fn write(&mut self, batch: &RecordBatch, _: &mut dyn Write) -> Result<()> {
        let columns: Vec<ArrayRef> =
            batch.columns().iter().map(|column| cells(column.as_ref())).collect::<Result<_>>()?;
        if !columns.is_empty() {
            self.batches.push(RecordBatch::try_new(self.schema.clone(), columns).context(Kind::Query, cannot_write)?);
        }
        Ok(())
    }

    fn finish(self: Box<Self>, out: &mut dyn Write) -> Result<()> {
        let text = pretty_format_batches_with_options(&self.batches, &FormatOptions::default())
            .context(Kind::Query, cannot_write)?;
        writeln!(out, "{text}").context(Kind::Store, cannot_write)
    }
}

fn cells(column: &dyn arrow::array::Array) -> Result<ArrayRef> {
    let options = FormatOptions::default();
    let format = ArrayFormatter::try_new(column, &options).context(Kind::Query, cannot_write)?;
    let texts: StringArray = (0..column.len()).map(|row| Some(shorten(format.value(row).to_string()))).collect();
    Ok(Arc::new(texts))
}

/// One line, of a width that can be read.
fn shorten(text: String) -> String {
    let text = if text.contains(char::is_control) { text.escape_debug().to_string() } else { text };
    match text.char_indices().nth(WIDEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}
