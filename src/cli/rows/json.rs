//! Rows as JSON lines.

use std::io::Write;

use arrow::array::RecordBatch;
use arrow::json::writer::{LineDelimited, WriterBuilder};

use super::{Form, cannot_write};
use crate::error::{Context, Kind, Result};

/// An object per row; a missing value is `null`, so that every row has every key.
pub(super) struct Json;

impl Form for Json {
    fn write(&mut self, batch: &RecordBatch, out: &mut dyn Write) -> Result<()> {
        let mut writer = WriterBuilder::new().with_explicit_nulls(true).build::<_, LineDelimited>(out);
        writer.write(batch).and_then(|()| writer.finish()).context(Kind::Query, cannot_write)
    }

    fn finish(self: Box<Self>, _: &mut dyn Write) -> Result<()> {
        Ok(())
    }
}
