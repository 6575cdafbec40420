//! Fills a partition so that no picture has two rows in it, though several processes do.
//!
//! Processes that compute different shards or datasets write to one partition, and two datasets may
//! have a picture in common. So before a process names a part, it looks at the parts that others
//! have named since it worked out what was missing, and leaves out the pictures that are in them.

use std::collections::HashSet;
use std::fmt;
use std::path::PathBuf;

use arrow::array::{AsArray, BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::SchemaRef;

use crate::error::{Context, Error, Kind, Result};
use crate::store::claim;
use crate::store::layout::Partition;
use crate::store::part::{Named, PartWriter, Whole, next_number};
use crate::store::reader;
use crate::store::span::{ID, Span, may_have};

/// Rows that are read at once from a part that is written anew.
const ROWS: usize = 64;

/// Returns whether a process may add the picture of this id: it was missing when the process worked
/// out what to compute.
pub type MayAdd = Box<dyn Fn(&str) -> bool + Send>;

/// Writes the parts of a process that fills a partition.
pub struct Once {
    partition: Partition,
    schema: SchemaRef,
    footer: Vec<(String, String)>,
    may_add: MayAdd,
    /// From which id to which it may add, if not all.
    span: Option<Span>,
    /// The pictures among these that others have added.
    added: HashSet<String>,
    /// The parts that were looked at, or written here.
    seen: HashSet<PathBuf>,
}

impl Once {
    /// Returns what writes rows of the pictures that it `may_add`.
    pub fn new(partition: Partition, schema: SchemaRef, footer: Vec<(String, String)>, may_add: MayAdd) -> Self {
        Once { partition, schema, footer, may_add, span: None, added: HashSet::new(), seen: HashSet::new() }
    }

    /// Says that all pictures that it may add have ids of a span: parts without any are not read.
    #[must_use]
    pub fn within(self, span: Option<Span>) -> Self {
        Once { span, ..self }
    }

    /// Begins a part.
    ///
    /// # Errors
    /// Returns [`Kind::Store`] if the folder or the file cannot be created.
    pub fn begin(&self) -> Result<PartWriter> {
        self.partition.append(&self.schema, &self.footer)
    }

    /// Completes a part. Rows of pictures that others have added meanwhile are left out, and so is
    /// the part if none is left.
    ///
    /// # Errors
    /// Returns [`Kind::Store`] if the disk is full or fails. Then there is no new part, unless only
    /// the last sync failed.
    pub fn finish(&mut self, part: PartWriter) -> Result<()> {
        let mut part = part.complete()?;
        // Most is looked at before others have to wait.
        self.look()?;
        // On objects, a number is given by the service, and nobody waits for another's upload.
        let turn = || claim::turn(self.partition.root());
        let _turn = self.partition.replica().is_none().then(turn).transpose()?;
        loop {
            self.look()?;
            let Some(new) = self.without_double(part)? else { return Ok(()) };
            // All parts before that number were looked at. If another machine takes it meanwhile,
            // that one's part is looked at, too.
            let aside = self.partition.aside()?;
            match new.name_after(next_number(self.seen.iter().chain(&aside)))? {
                Named::Done(info) => {
                    self.seen.insert(info.path);
                    return Ok(());
                }
                Named::Taken(again) => part = *again,
            }
        }
    }

    /// Looks at the parts that were named since it last did.
    fn look(&mut self) -> Result<()> {
        for part in self.partition.listed()? {
            if self.seen.contains(&part) {
                continue;
            }
            if self.span.as_ref().is_none_or(|span| may_have(&part, span)) {
                let ids = reader::ids_of(&self.partition, &part)?.unwrap_or_default();
                self.added.extend(ids.into_iter().filter(|id| (self.may_add)(id)));
            }
            self.seen.insert(part);
        }
        Ok(())
    }

    /// Returns a part without the rows of pictures that others have added, or `None` if it has no
    /// others.
    fn without_double(&self, part: Whole) -> Result<Option<Whole>> {
        let read = |columns| reader::batches_of(vec![part.path().to_owned()], columns, ROWS);
        let (mut all, mut kept) = (0, 0);
        if !self.added.is_empty() {
            for batch in read(Some(&[ID])) {
                let new = self.new_rows(&batch?)?;
                (all, kept) = (all + new.len(), kept + new.true_count());
            }
        }
        if all == kept {
            return Ok(Some(part));
        }
        if kept == 0 {
            return Ok(None);
        }
        let mut writer = self.begin()?;
        for batch in read(None) {
            let batch = batch?;
            let new = filter_record_batch(&batch, &self.new_rows(&batch)?);
            writer.write(&new.context(Kind::Internal, || "cannot pick rows of a part".to_owned())?)?;
        }
        writer.complete().map(Some)
    }

    fn new_rows(&self, batch: &RecordBatch) -> Result<BooleanArray> {
        let ids = batch.column_by_name(ID).and_then(|ids| ids.as_string_opt::<i32>());
        let ids = ids.ok_or_else(|| Error::new(Kind::Internal, format!("rows without the column `{ID}`")))?;
        Ok(ids.iter().map(|id| Some(id.is_none_or(|id| !self.added.contains(id)))).collect())
    }
}

impl fmt::Debug for Once {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Once").field("partition", &self.partition).finish_non_exhaustive()
    }
}
