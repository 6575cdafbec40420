//! Rows as a Parquet file.

use std::io::Write;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;

use super::{Form, cannot_write};
use crate::error::{Context, Kind, Result};

/// Encodes into memory, and hands on what is encoded after every batch.
pub(super) struct Parquet {
    writer: ArrowWriter<Vec<u8>>,
}

/// Encoded rows that may wait in memory.
const PENDING: usize = 64 << 20;

impl Parquet {
    pub(super) fn new(schema: SchemaRef) -> Result<Self> {
        let level = ZstdLevel::try_new(1).context(Kind::Store, cannot_write)?;
        let properties = WriterProperties::builder().set_compression(Compression::ZSTD(level)).build();
        let writer = ArrowWriter::try_new(Vec::new(), schema, Some(properties)).context(Kind::Query, cannot_write)?;
        Ok(Parquet { writer })
    }

    fn hand_on(&mut self, out: &mut dyn Write) -> Result<()> {
        let encoded = self.writer.inner_mut();
        out.write_all(encoded).context(Kind::Store, cannot_write)?;
        encoded.clear();
        Ok(())
    }
}

impl Form for Parquet {
    fn write(&mut self, batch: &RecordBatch, out: &mut dyn Write) -> Result<()> {
        self.writer.write(batch).context(Kind::Query, cannot_write)?;
        if self.writer.in_progress_size() > PENDING {
            self.writer.flush().context(Kind::Query, cannot_write)?;
        }
        self.hand_on(out)
    }

    fn finish(mut self: Box<Self>, out: &mut dyn Write) -> Result<()> {
        self.writer.finish().context(Kind::Query, cannot_write)?;
        self.hand_on(out)
    }
}
