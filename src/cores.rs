//! Bounds how many cores this process uses, and hands out turns on them.
//!
//! Every kernel runs on one thread; work is spread by giving each core its own batch. Threads that
//! share a kernel wait for each other at its end, tens of thousands of times a second, and libgomp
//! waits by spinning: on a machine with any other load, most of the time goes there. Separate
//! batches wait for nothing, and their results do not depend on how many run at once.
//!
//! All computation takes a [`turn`] first, including decoding and hashing, so that a process given
//! one core uses one.

use std::cell::Cell;
use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError, mpsc};
use std::thread;

use futures::{Stream, StreamExt};
use tch::Device;

use crate::error::{Error, Kind, Result};

/// Turns that are taken, and the most at once; without a limit, as many as [`available`] returns.
#[derive(Debug)]
struct Turns {
    limit: Option<NonZeroUsize>,
    taken: usize,
}

static TURNS: Mutex<Turns> = Mutex::new(Turns { limit: None, taken: 0 });
static FREED: Condvar = Condvar::new();

/// Locks the turns; a panic elsewhere does not make two numbers unusable.
fn turns() -> MutexGuard<'static, Turns> {
    TURNS.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Turns {
    fn limit(&self) -> usize {
        self.limit.map_or_else(available, NonZeroUsize::get)
    }
}

/// Returns how many cores the machine gives this process: those it may run on (`taskset`,
/// `sched_setaffinity`), but at most its control group's quota (versions 1 and 2).
pub fn available() -> usize {
    // Asked only once, since the answer takes reading the control group's files.
    static AVAILABLE: OnceLock<usize> = OnceLock::new();
    *AVAILABLE.get_or_init(|| thread::available_parallelism().map_or(1, NonZeroUsize::get))
}

/// Returns how many cores this process uses.
pub fn limit() -> usize {
    turns().limit()
}

/// Limits the cores that this process uses from now on; 0 means all that the machine gives.
pub fn set_limit(cores: usize) {
    turns().limit = NonZeroUsize::new(cores);
    FREED.notify_all();
}

/// Returns how many batches to compute at once on a device: one per core on a CPU. A GPU works
/// through them one after the other, while other threads bring it pixels and take rows from it.
pub fn workers(device: Device) -> usize {
    match device {
        Device::Cpu => limit(),
        _ => (limit() / 2).clamp(1, ON_A_GPU),
    }
}

/// Most batches at once on a GPU: enough that it never waits, and few enough that all fit into its
/// memory. [`workers`] also takes at most half of the cores, so that the others can decode.
const ON_A_GPU: usize = 4;

/// A core to compute on, held until this is dropped.
#[derive(Debug)]
#[must_use]
pub struct Turn(());

/// Waits for a core. A thread that holds one must not ask for another: with only one core it would
/// wait for itself.
pub fn turn() -> Turn {
    one_thread_a_kernel();
    let mut turns = turns();
    while turns.taken >= turns.limit() {
        turns = FREED.wait(turns).unwrap_or_else(PoisonError::into_inner);
    }
    turns.taken += 1;
    Turn(())
}

impl Drop for Turn {
    fn drop(&mut self) {
        turns().taken -= 1;
        FREED.notify_one();
    }
}

/// Makes kernels that this thread calls run on this thread alone; libtorch keeps this setting per
/// thread.
pub fn one_thread_a_kernel() {
    thread_local!(static SET: Cell<bool> = const { Cell::new(false) });
    SET.with(|set| {
        if !set.replace(true) {
            tch::set_num_threads(1);
        }
    });
}

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
    POOL.lock().unwrap_or_else(PoisonError::into_inner)
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
    if limit().min(items.len()) <= 1 {
        let _turn = turn();
        return items
            .into_iter()
            .map(|item| catch_unwind(AssertUnwindSafe(|| work(item))).unwrap_or_else(|_| Err(cut_short())))
            .collect();
    }
    let (work, count) = (Arc::new(work), items.len());
    let (send, receive) = mpsc::channel();
    for (place, item) in items.into_iter().enumerate() {
        let (work, send) = (work.clone(), send.clone());
        submit(Box::new(move || {
            let _ = send.send((place, work(item)));
        }));
    }
    drop(send);
    let mut done: Vec<(usize, Result<R>)> = receive.iter().collect();
    if done.len() < count {
        return Err(cut_short());
    }
    done.sort_unstable_by_key(|(place, _)| *place);
    done.into_iter().map(|(_, result)| result).collect()
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

/// A value that only one thread at a time may use, with a copy for each thread that does, such as a
/// tensor: copies share its memory, which is never written to.
#[derive(Debug)]
pub struct PerThread<T> {
    original: Mutex<T>,
    copy: fn(&T) -> T,
    idle: Mutex<Vec<T>>,
}

impl<T> PerThread<T> {
    /// Wraps `original`; `copy` makes a copy for another thread.
    pub fn new(original: T, copy: fn(&T) -> T) -> Self {
        PerThread { original: Mutex::new(original), copy, idle: Mutex::new(Vec::new()) }
    }

    /// Runs `work` with a copy that no other thread uses meanwhile.
    pub fn with<R>(&self, work: impl FnOnce(&T) -> R) -> R {
        let idle = || self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let waiting = idle().pop();
        let copy =
            waiting.unwrap_or_else(|| (self.copy)(&self.original.lock().unwrap_or_else(PoisonError::into_inner)));
        let result = work(&copy);
        idle().push(copy);
        result
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// Serialises the tests of this file, which share the process's turns.
    static ALONE: Mutex<()> = Mutex::new(());

    #[test]
    fn no_more_turns_are_taken_than_there_are_cores() {
        let _alone = ALONE.lock();
        for cores in [1, 3] {
            set_limit(cores);
            let (now, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
            thread::scope(|scope| {
                for _ in 0..8 {
                    scope.spawn(|| {
                        let _turn = turn();
                        most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                        thread::sleep(std::time::Duration::from_millis(5));
                        now.fetch_sub(1, Ordering::SeqCst);
                    });
                }
            });
            assert!(most.load(Ordering::SeqCst) <= cores, "{most:?} at once on {cores} cores");
        }
        set_limit(0);
    }

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

    #[test]
    fn a_kernel_stays_on_its_thread() {
        thread::spawn(|| {
            let _turn = turn();
            assert_eq!(tch::get_num_threads(), 1);
        })
        .join()
        .unwrap();
    }
}
