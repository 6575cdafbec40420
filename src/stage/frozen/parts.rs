//! Writes the rows of a table into parts of so many rows.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;

use crate::cores;
use crate::error::Result;
use crate::store::layout::Partition;
use crate::store::part::PartWriter;
use crate::store::space::Space;

/// The parts of a table that is being filled. Dropped unfinished, it keeps all parts but the last.
pub(super) struct Parts {
    partition: Partition,
    schema: SchemaRef,
    footer: Vec<(String, String)>,
    /// Rows of a part, rounded up to whole batches.
    rows: usize,
    open: Option<PartWriter>,
}

impl Parts {
    /// Returns what writes rows of a `space`.
    pub(super) fn new(partition: Partition, schema: SchemaRef, space: &Space, rows: usize) -> Self {
        Parts { partition, schema, footer: space.footer(), rows, open: None }
    }

    /// Writes rows, and completes the part if it has enough. The caller must not hold a turn.
    ///
    /// # Errors
    /// Fails if the disk is full or fails.
    pub(super) fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        let mut open = match self.open.take() {
            Some(open) => open,
            None => self.partition.append(&self.schema, &self.footer)?,
        };
        {
            let _turn = cores::turn();
            open.write(batch)?;
        }
        if open.rows() >= self.rows as u64 {
            open.finish()?;
        } else {
            self.open = Some(open);
        }
        Ok(())
    }

    /// Completes the last part.
    ///
    /// # Errors
    /// Fails as [`write`](Self::write) does.
    pub(super) fn finish(self) -> Result<()> {
        self.open.map_or(Ok(()), |open| open.finish().map(drop))
    }
}
