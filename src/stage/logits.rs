//! Tables of logits, which have a row of C numbers for each picture. They are written some rows at a time: it takes long where there are
//! many, and stopping may be asked for meanwhile.

use std::ops::Range;

use arrow::array::{ArrayRef, RecordBatch};
use tch::Tensor;

use crate::error::{Context, Kind, Result};
use crate::fusion::blocks::Blocks;
use crate::stop::Stop;
use crate::store::layout::Store;
use crate::store::part::PartInfo;
use crate::table::{self, Dims, tensor};

/// Writes logits (rows, C) as part `part` of a run's `table`; `before` makes the columns that come before theirs, of some of the rows.
///
/// # Errors
/// Where the store cannot be written, or stopping was asked for: then there is no such part.
pub(super) fn write(
    store: &Store,
    table: &str,
    run: &str,
    part: &str,
    logits: &Tensor,
    stop: &Stop,
    before: impl Fn(Range<usize>) -> Vec<ArrayRef>,
) -> Result<PartInfo> {
    let size = logits.size();
    let schema = table::table(table)?.arrow(&Dims::new().with("C", size[1] as usize))?;
    let mut writer = store.partition(table, run)?.writer(part, &schema, &[])?;
    Blocks::of_numbers(size[0], size[1]).try_each(stop, |block| {
        let (from, to) = block.range();
        let mut columns = before(from as usize..to as usize);
        columns.push(tensor::to_vectors(&block.of(logits))?);
        let rows = RecordBatch::try_new(schema.clone(), columns);
        writer.write(&rows.context(Kind::Store, || format!("cannot make table {table}"))?)
    })?;
    writer.finish()
}
