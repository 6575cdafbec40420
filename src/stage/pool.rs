//! The decode pool: runs work on pictures on all cores, in order, within a memory budget.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures::{Stream, StreamExt};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::cores;
use crate::error::Result;

/// Bytes that decoding may take at any time: ten photographs of 12 million pixels. A picture that
/// takes more waits for the whole budget and is decoded alone.
pub(super) const DECODED: usize = 1 << 30;

/// Bytes of encoded pictures in memory at any time, per core: a few photographs. A picture that is
/// larger than the whole budget is read alone.
const ENCODED: usize = 32 << 20;

/// Memory budget of the pictures in progress. Shares are granted in the order of the requests, so
/// that the next picture in order never waits for later ones.
#[derive(Debug, Clone)]
pub(super) struct Budget {
    encoded: Pool,
    decoded: Pool,
}

/// A part of a budget, given back on drop.
#[derive(Debug)]
pub(super) struct Share {
    _permit: Option<OwnedSemaphorePermit>,
    bytes: u64,
    of: &'static AtomicU64,
}

impl Drop for Share {
    fn drop(&mut self) {
        self.of.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// The shares of all budgets of this process, in bytes.
static QUEUED_ENCODED: AtomicU64 = AtomicU64::new(0);
static QUEUED_DECODED: AtomicU64 = AtomicU64::new(0);

/// Returns how many bytes are set aside for pictures in progress: encoded ones, and what decoding
/// them takes.
pub(crate) fn queued() -> [(&'static str, u64); 2] {
    [("encoded", &QUEUED_ENCODED), ("decoded", &QUEUED_DECODED)]
        .map(|(name, bytes)| (name, bytes.load(Ordering::Relaxed)))
}

#[derive(Debug, Clone)]
struct Pool {
    bytes: usize,
    free: Arc<Semaphore>,
    /// Where its shares are counted.
    queued: &'static AtomicU64,
}

impl Pool {
    fn new(bytes: usize, queued: &'static AtomicU64) -> Self {
        Pool { bytes, free: Arc::new(Semaphore::new(bytes)), queued }
    }

    async fn share(&self, bytes: usize) -> Share {
        let permits = u32::try_from(bytes.min(self.bytes)).unwrap_or(u32::MAX);
        // The semaphore is never closed.
        let permit = self.free.clone().acquire_many_owned(permits).await.ok();
        self.queued.fetch_add(bytes as u64, Ordering::Relaxed);
        Share { _permit: permit, bytes: bytes as u64, of: self.queued }
    }
}

impl Budget {
    pub(super) fn new() -> Self {
        Budget {
            encoded: Pool::new(ENCODED * cores::limit(), &QUEUED_ENCODED),
            decoded: Pool::new(DECODED, &QUEUED_DECODED),
        }
    }

    /// Reserves room for the bytes of an encoded picture before they are read.
    pub(super) async fn encoded(&self, bytes: u64) -> Share {
        self.encoded.share(usize::try_from(bytes).unwrap_or(usize::MAX)).await
    }
}

/// Work on one picture.
pub(super) struct Task<T> {
    /// Encoded bytes that the work reads; 0 if they were read before.
    pub(super) encoded: u64,
    /// Bytes that decoding the picture takes.
    pub(super) decoded: usize,
    /// Decodes the picture and does the rest.
    pub(super) work: Box<dyn FnOnce() -> T + Send>,
}

impl<T> Task<T> {
    pub(super) fn new(encoded: u64, decoded: usize, work: impl FnOnce() -> T + Send + 'static) -> Self {
        Task { encoded, decoded, work: Box::new(work) }
    }
}

/// Returns how many pictures are in progress at once: enough that no core waits for the next one in
/// order.
pub(super) fn depth() -> usize {
    2 * cores::limit()
}

/// Runs the tasks and returns their results, in the order of the tasks. An item is an error if its
/// task panicked.
///
/// Must be polled within a tokio runtime.
pub(super) fn in_order<T: Send + 'static>(
    tasks: impl Stream<Item = Task<T>>,
    budget: Budget,
) -> impl Stream<Item = Result<T>> {
    tasks
        .map(move |Task { encoded, decoded, work }| {
            let budget = budget.clone();
            async move {
                let shares = (budget.encoded(encoded).await, budget.decoded.share(decoded).await);
                cores::run(move || {
                    let _until_done = shares;
                    work()
                })
                .await
            }
        })
        .buffered(depth())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test]
    async fn what_is_set_aside_is_counted_until_it_is_given_back() {
        static QUEUED: AtomicU64 = AtomicU64::new(0);
        let pool = Pool::new(100, &QUEUED);
        let shares = (pool.share(40).await, pool.share(60).await);
        assert_eq!(QUEUED.load(Ordering::Relaxed), 100);
        drop(shares);
        // It is counted as large as it is, although it takes no more than the whole pool.
        let share = pool.share(250).await;
        assert_eq!(QUEUED.load(Ordering::Relaxed), 250);
        drop(share);
        assert_eq!(QUEUED.load(Ordering::Relaxed), 0);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn pictures_of_any_size_come_in_order_and_within_the_budget() {
        // Every third is larger than the whole budget; two of the others fit into it, three do not.
        let size = |place: usize| if place.is_multiple_of(3) { 2 * DECODED } else { DECODED / 2 };
        let (in_flight, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let tasks = (0..40).map(|place| {
            let (now, peak) = (in_flight.clone(), most.clone());
            Task::new(0, size(place), move || {
                let bytes = size(place).min(DECODED);
                peak.fetch_max(now.fetch_add(bytes, Ordering::SeqCst) + bytes, Ordering::SeqCst);
                std::thread::sleep(std::time::Duration::from_millis(1));
                now.fetch_sub(bytes, Ordering::SeqCst);
                place
            })
        });
        let places: Vec<usize> =
            in_order(futures::stream::iter(tasks), Budget::new()).map(Result::unwrap).collect().await;
        assert_eq!(places, (0..40).collect::<Vec<_>>());
        assert!(most.load(Ordering::SeqCst) <= DECODED);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn encoded_pictures_wait_for_room_before_they_are_read() {
        let room = ENCODED * cores::limit();
        let (in_flight, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let tasks = (0..24).map(|place| {
            let (now, peak) = (in_flight.clone(), most.clone());
            Task::new(room as u64 / 2 + 1, 1, move || {
                peak.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                std::thread::sleep(std::time::Duration::from_millis(1));
                now.fetch_sub(1, Ordering::SeqCst);
                place
            })
        });
        let places: Vec<usize> =
            in_order(futures::stream::iter(tasks), Budget::new()).map(Result::unwrap).collect().await;
        assert_eq!((places, most.load(Ordering::SeqCst)), ((0..24).collect(), 1), "two take more than there is");
    }
}
