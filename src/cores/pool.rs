//! The threads that compute, each on its turn.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;

use futures::{Stream, StreamExt};

use super::{limit, turn, turn_ahead};
use crate::error::{Error, Kind, Result};
use crate::panics::guard;

/// Work that waits for a core.
type Job = Box<dyn FnOnce() + Send>;

/// The threads that compute. They never end, since libtorch keeps buffers for each thread that ever
/// called it.
#[derive(Default)]
struct Pool {
    waiting: VecDeque<Job>,
    threads: usize,
    busy: usize,
}

static POOL: Mutex<Pool> = Mutex::new(Pool { waiting: VecDeque::new(), threads: 0, busy: 0 });
static SUBMITTED: Condvar = Condvar::new();
static DONE: Condvar = Condvar::new();

fn pool() -> MutexGuard<'static, Pool> {
    guard(&POOL)
}

/// Queues a job; jobs begin in the order in which they come.
fn submit(job: Job) {
    let mut pool = pool();
    pool.waiting.push_back(job);
    while pool.threads < limit() && thread::Builder::new().name("core".to_owned()).spawn(serve).is_ok() {
        pool.threads += 1;
    }
    if pool.threads == 0 {
        // The system refused every thread, so this one does the work.
        let job = pool.waiting.pop_back();
        drop(pool);
        job.into_iter().for_each(|job| job());
        return;
    }
    SUBMITTED.notify_one();
}

fn serve() {
    loop {
        let mut pool = pool();
        let job = loop {
            match pool.waiting.pop_front() {
                Some(job) => break job,
                None => pool = SUBMITTED.wait(pool).unwrap_or_else(PoisonError::into_inner),
            }
        };
        pool.busy += 1;
        drop(pool);
        let turn = turn();
        // After a panic the job's receiver gets nothing and reports that; this thread goes on.
        let _ = catch_unwind(AssertUnwindSafe(job));
        drop(turn);
        self::pool().busy -= 1;
        DONE.notify_all();
    }
}

/// Waits until nothing computes any more. The process must not end before, since libtorch tears
/// itself down on exit.
pub fn rest() {
    let mut pool = pool();
    while pool.busy > 0 || !pool.waiting.is_empty() {
        pool = DONE.wait(pool).unwrap_or_else(PoisonError::into_inner);
    }
}

/// Runs `work` on a core as soon as one is free, or drops it if this future was dropped by then.
///
/// # Errors
/// Returns [`Kind::Internal`] if `work` panics.
pub async fn run<R: Send + 'static>(work: impl FnOnce() -> R + Send + 'static) -> Result<R> {
    let (send, receive) = tokio::sync::oneshot::channel();
    submit(Box::new(move || {
        if !send.is_closed() {
            let _ = send.send(work());
        }
    }));
    receive.await.map_err(|_| cut_short())
}

/// Runs `work` on each item, on all cores, and returns the results in the order of the items. The
/// caller must not hold a turn.
///
/// # Errors
/// Returns the error of the first item that fails, or [`Kind::Internal`] if `work` panics.
pub fn map<T, R>(items: Vec<T>, work: impl Fn(T) -> Result<R> + Send + Sync + 'static) -> Result<Vec<R>>
where
    T: Send + 'static,
    R: Send + 'static,
{
    map_by(limit(), items, work)
}

/// Like [`map`], with at most `workers` items at once.
///
/// # Errors
/// Fails as [`map`] does.
pub fn map_by<T, R>(
    workers: usize,
    items: Vec<T>,
    work: impl Fn(T) -> Result<R> + Send + Sync + 'static,
) -> Result<Vec<R>>
where
    T: Send + 'static,
    R: Send + 'static,
{
    if workers.min(limit()).min(items.len()) <= 1 {
        let _turn = turn_ahead();
        return items.into_iter().map(|item| or_cut_short(|| work(item))).collect();
    }
    let (work, count) = (Arc::new(work), items.len());
    let (send, receive) = mpsc::channel();
    let mut waiting = items.into_iter().enumerate().map(|(place, item)| {
        let (work, send) = (work.clone(), send.clone());
        Box::new(move || drop(send.send((place, or_cut_short(|| work(item))))))
    });
    // Turns bound what runs on all cores, so a core that is free finds its next item in the queue.
    let first = if workers < limit() { workers } else { count };
    waiting.by_ref().take(first).for_each(|job| submit(job));
    let mut done = Vec::with_capacity(count);
    while done.len() < count {
        done.push(receive.recv().map_err(|_| cut_short())?);
        waiting.by_ref().take(1).for_each(|job| submit(job));
    }
    done.sort_unstable_by_key(|(place, _)| *place);
    done.into_iter().map(|(_, result)| result).collect()
}

/// Returns the result of `work`, or the error for a panic in it.
fn or_cut_short<R>(work: impl FnOnce() -> Result<R>) -> Result<R> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| Err(cut_short()))
}

fn cut_short() -> Error {
    Error::new(Kind::Internal, "the computation was cut short")
}

/// Runs `compute` on each batch, `workers` of them at once, and yields the results in the order of
/// the batches.
///
/// Must be polled within a tokio runtime.
pub fn buffered<B: Send + 'static, R: Send + 'static>(
    batches: impl Stream<Item = Result<B>>,
    workers: usize,
    compute: impl Fn(B) -> Result<R> + Send + Sync + 'static,
) -> impl Stream<Item = Result<R>> {
    let compute = Arc::new(compute);
    let computed = batches.map(move |batch| {
        let compute = compute.clone();
        async move {
            let batch = batch?;
            run(move || compute(batch)).await.flatten()
        }
    });
    computed.buffered(workers)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use super::*;
    use crate::cores::set_limit;
    use crate::cores::tests::ALONE;

    #[test]
    fn results_come_in_the_order_of_the_items() {
        let _alone = ALONE.lock();
        for cores in [1, 4] {
            set_limit(cores);
            assert_eq!(map((0..100).collect(), |n| Ok(n * n)).unwrap(), (0..100).map(|n| n * n).collect::<Vec<i32>>());
        }
        set_limit(0);
    }

    #[test]
    fn no_more_items_are_worked_on_than_workers_were_asked_for() {
        let _alone = ALONE.lock();
        set_limit(4);
        for workers in [1, 2, 9] {
            let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
            let seen = most.clone();
            let done = map_by(workers, (0..30).collect(), move |n| {
                seen.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                thread::sleep(Duration::from_millis(2));
                now.fetch_sub(1, Ordering::SeqCst);
                Ok(n)
            });
            assert_eq!(done.unwrap(), (0..30).collect::<Vec<i32>>());
            assert!(most.load(Ordering::SeqCst) <= workers, "{most:?} at once for {workers}");
        }
        set_limit(0);
    }

    #[test]
    fn a_panic_is_an_error_and_the_cores_go_on() {
        let _alone = ALONE.lock();
        set_limit(2);
        let failed = map(vec![1, 2, 3], |n| {
            assert!(n != 2, "a fault");
            Ok(n)
        });
        assert!(failed.is_err());
        assert_eq!(map(vec![1, 2, 3], Ok).unwrap(), [1, 2, 3]);
        set_limit(0);
    }
}
