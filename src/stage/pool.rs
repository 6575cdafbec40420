//! The decode pool: work on pictures, on all cores, in order, within a bound on memory.

use futures::{Stream, StreamExt};
use std::sync::Arc;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

use crate::error::{Error, Kind, Result};

/// Bytes that decoding may take at any time: ten photographs of 12 million pixels. A picture that takes more waits for all of it, and is
/// decoded alone.
pub(super) const DECODED: usize = 1 << 30;

/// Work on one picture.
pub(super) struct Task<T> {
    /// What the picture takes while it is decoded.
    pub(super) bytes: usize,
    /// Decodes it and does the rest.
    pub(super) work: Box<dyn FnOnce() -> T + Send>,
}

impl<T> Task<T> {
    pub(super) fn new(bytes: usize, work: impl FnOnce() -> T + Send + 'static) -> Self {
        Task { bytes, work: Box::new(work) }
    }
}

/// How many pictures are in hand at once: enough that no core waits for the one that comes next in order.
pub(super) fn depth() -> usize {
    2 * std::thread::available_parallelism().map_or(1, usize::from)
}

/// What comes of each task, in the order of the tasks. An item is an error where a task was cut short by a fault of the program.
///
/// Must be polled within a tokio runtime.
pub(super) fn in_order<T: Send + 'static>(tasks: impl Stream<Item = Task<T>>) -> impl Stream<Item = Result<T>> {
    let budget = Arc::new(Semaphore::new(DECODED));
    tasks
        .map(move |Task { bytes, work }| {
            let budget = budget.clone();
            async move {
                // Shares are given in the order of the tasks, so that the picture that is waited for is never kept waiting.
                let share = budget.acquire_many_owned(bytes.min(DECODED) as u32).await;
                let done = spawn_blocking(move || {
                    let _until_done = share;
                    work()
                });
                done.await.map_err(|e| Error::new(Kind::Input, "decoding was cut short").cause(e))
            }
        })
        .buffered(depth())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn pictures_of_any_size_come_in_order_and_within_the_budget() {
        // Every third is larger than the whole budget; two of the others fit into it, three do not.
        let size = |place: usize| if place.is_multiple_of(3) { 2 * DECODED } else { DECODED / 2 };
        let (in_flight, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let tasks = (0..40).map(|place| {
            let (now, peak) = (in_flight.clone(), most.clone());
            Task::new(size(place), move || {
                let bytes = size(place).min(DECODED);
                peak.fetch_max(now.fetch_add(bytes, Ordering::SeqCst) + bytes, Ordering::SeqCst);
                std::thread::sleep(std::time::Duration::from_millis(1));
                now.fetch_sub(bytes, Ordering::SeqCst);
                place
            })
        });
        let places: Vec<usize> = in_order(futures::stream::iter(tasks)).map(Result::unwrap).collect().await;
        assert_eq!(places, (0..40).collect::<Vec<_>>());
        assert!(most.load(Ordering::SeqCst) <= DECODED);
    }
}
