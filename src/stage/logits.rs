//! Tables of logits, with a row of C numbers for each picture. They are written in blocks: a large
//! table takes long, and a stop may be requested meanwhile.

use std::ops::Range;

use arrow::array::ArrayRef;
use tch::Tensor;

use crate::error::Result;
use crate::fusion::blocks::Blocks;
use crate::stop::Stop;
use crate::store::layout::Store;
use crate::store::part::PartInfo;
use crate::table::{self, Dims, tensor};

/// Writes logits (rows, C) as part `part` of a run's `table`; `others` makes the other columns for
/// a range of rows.
///
/// # Errors
/// Fails if the store cannot be written, or a stop was requested; no such part is then left behind.
pub(super) fn write(
    store: &Store,
    table: &str,
    run: &str,
    part: &str,
    logits: &Tensor,
    stop: &Stop,
    others: impl Fn(Range<usize>) -> Vec<(&'static str, ArrayRef)>,
) -> Result<PartInfo> {
    let size = logits.size();
    let schema = table::table(table)?.arrow(&Dims::new().with("C", size[1] as usize))?;
    let mut writer = store.partition(table, run)?.writer(part, &schema, &[])?;
    Blocks::of_numbers(size[0], size[1]).try_each(stop, |block| {
        let (from, to) = block.range();
        let logits = ("logits", tensor::to_vectors(&block.of(logits))?);
        writer.write(&table::rows(table, &schema, others(from as usize..to as usize).into_iter().chain([logits]))?)
    })?;
    writer.finish()
}
