//! Batches on as many cores as there are.

use std::sync::Arc;

use futures::{Stream, StreamExt};

use crate::cores;
use crate::error::Result;

/// How pictures are grouped.
#[derive(Debug, Clone, Copy)]
pub struct Grouping {
    /// Pictures per forward pass.
    pub batch: usize,
    /// Pictures per part, rounded up to whole batches.
    pub part_rows: usize,
}

/// What `compute` makes of each batch, in the order of the batches, of as many at once as there are workers.
///
/// Must be polled within a tokio runtime.
pub(super) fn on_cores<B: Send + 'static, R: Send + 'static>(
    batches: impl Stream<Item = Result<B>>,
    workers: usize,
    compute: impl Fn(B) -> Result<R> + Send + Sync + 'static,
) -> impl Stream<Item = Result<R>> {
    let compute = Arc::new(compute);
    let computed = batches.map(move |batch| {
        let compute = compute.clone();
        async move {
            let batch = batch?;
            cores::run(move || compute(batch)).await.flatten()
        }
    });
    computed.buffered(workers)
}
