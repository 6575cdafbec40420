//! Writes the rows of a table into parts of so many rows.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;

use crate::cores;
use crate::error::Result;
use crate::image::ImageId;
use crate::store::layout::Partition;
use crate::store::once::Once;
use crate::store::part::PartWriter;
use crate::store::space::Space;
use crate::store::span::Span;

/// The parts of a table that is being filled. Dropped unfinished, it keeps all parts but the last.
pub(super) struct Parts {
    once: Once,
    /// Rows of a part, rounded up to whole batches.
    rows: usize,
    open: Option<PartWriter>,
}

impl Parts {
    /// Returns what writes rows of a `space`, of pictures that `may_add` allows: those that were
    /// missing when it was worked out what to compute.
    pub(super) fn new(
        partition: Partition,
        schema: SchemaRef,
        space: &Space,
        rows: usize,
        may_add: impl Fn(&ImageId) -> bool + Send + 'static,
    ) -> Self {
        let may_add = move |id: &str| ImageId::parse(id).is_some_and(|id| may_add(&id));
        Parts { once: Once::new(partition, schema, space.footer(), Box::new(may_add)), rows, open: None }
    }

    /// Says that all pictures have ids of a span.
    pub(super) fn within(self, span: Option<&Span>) -> Self {
        Parts { once: self.once.within(span.cloned()), ..self }
    }

    /// Writes rows, and completes the part if it has enough. The caller must not hold a turn.
    ///
    /// # Errors
    /// Fails if the disk is full or fails.
    pub(super) fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        let mut open = match self.open.take() {
            Some(open) => open,
            None => self.once.begin()?,
        };
        {
            let _turn = cores::turn();
            open.write(batch)?;
        }
        if open.rows() >= self.rows as u64 {
            self.once.finish(open)?;
        } else {
            self.open = Some(open);
        }
        Ok(())
    }

    /// Completes the last part.
    ///
    /// # Errors
    /// Fails as [`write`](Self::write) does.
    pub(super) fn finish(mut self) -> Result<()> {
        self.open.take().map_or(Ok(()), |open| self.once.finish(open))
    }
}
