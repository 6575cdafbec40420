//! Cores: how many this process may use, and turns on them.
//!
//! Every kernel runs on one thread, and work is spread by giving each core a batch of its own. Threads that share a kernel wait
//! for each other at its end, tens of thousands of times a second, and libgomp waits by spinning: beside any other load on
//! the machine most of the time goes there. Batches of one's own have nothing to wait for, and their results do not depend on
//! how many run at once.
//!
//! Whatever computes takes a [`turn`] first, decoding and hashing included, so that a process that is given one core uses one.

use std::cell::Cell;
use std::num::NonZeroUsize;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use crate::error::{Error, Kind, Result};

/// Turns that are taken, and how many there may be at once: none said yet is as many as the machine gives.
#[derive(Debug)]
struct Turns {
    limit: Option<NonZeroUsize>,
    taken: usize,
}

static TURNS: Mutex<Turns> = Mutex::new(Turns { limit: None, taken: 0 });
static FREED: Condvar = Condvar::new();

/// A panic elsewhere does not make two numbers unusable.
fn turns() -> MutexGuard<'static, Turns> {
    TURNS.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Turns {
    fn limit(&self) -> usize {
        self.limit.map_or_else(available, NonZeroUsize::get)
    }
}

/// Cores that the machine gives this process: those that it may run on (`taskset`, `sched_setaffinity`), and no more than its
/// control group's quota (versions 1 and 2) pays for.
pub fn available() -> usize {
    thread::available_parallelism().map_or(1, NonZeroUsize::get)
}

/// Cores that this process uses.
pub fn limit() -> usize {
    turns().limit()
}

/// Bounds the cores that this process uses from now on; 0 is as many as the machine gives.
pub fn set_limit(cores: usize) {
    turns().limit = NonZeroUsize::new(cores);
    FREED.notify_all();
}

/// A core to compute on, until this is dropped.
#[derive(Debug)]
#[must_use]
pub struct Turn(());

/// Waits for a core. A thread that has one must not ask for another: where there is one only, it would wait for itself.
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

/// Makes kernels that this thread calls run on this thread alone. libtorch keeps the number for each thread.
pub fn one_thread_a_kernel() {
    thread_local!(static SET: Cell<bool> = const { Cell::new(false) });
    SET.with(|set| {
        if !set.replace(true) {
            tch::set_num_threads(1);
        }
    });
}

/// `work` on each item, on as many cores as there are; the results in the order of the items. The caller must not hold a turn.
pub fn map<T: Send, R: Send>(items: Vec<T>, work: impl Fn(T) -> R + Sync) -> Vec<R> {
    let workers = limit().min(items.len());
    if workers <= 1 {
        let _turn = turn();
        return items.into_iter().map(work).collect();
    }
    let todo = Mutex::new(items.into_iter().enumerate());
    let next = || todo.lock().unwrap_or_else(PoisonError::into_inner).next();
    let worker = || {
        let mut done = Vec::new();
        while let Some((place, item)) = next() {
            let _turn = turn();
            done.push((place, work(item)));
        }
        done
    };
    let mut done = thread::scope(|scope| {
        let others: Vec<_> = (1..workers).map(|_| scope.spawn(worker)).collect();
        let mut done = worker();
        for other in others {
            done.extend(other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        }
        done
    });
    done.sort_unstable_by_key(|(place, _)| *place);
    done.into_iter().map(|(_, result)| result).collect()
}

/// `work` on a thread that may block, once there is a core for it.
///
/// # Errors
/// [`Kind::Torch`] where `work` panics, which is a fault of the program.
pub async fn run<R: Send + 'static>(work: impl FnOnce() -> R + Send + 'static) -> Result<R> {
    let done = tokio::task::spawn_blocking(move || {
        let _turn = turn();
        work()
    });
    done.await.map_err(|e| Error::new(Kind::Torch, "the computation was cut short").cause(e))
}

/// Something that one thread at a time may use, with a copy for each thread that does. Tensors are such: copies share their
/// memory, which nobody writes to.
#[derive(Debug)]
pub struct PerThread<T> {
    original: Mutex<T>,
    copy: fn(&T) -> T,
    idle: Mutex<Vec<T>>,
}

impl<T> PerThread<T> {
    /// `copy` makes another one for another thread.
    pub fn new(original: T, copy: fn(&T) -> T) -> Self {
        PerThread { original: Mutex::new(original), copy, idle: Mutex::new(Vec::new()) }
    }

    /// `work` with a copy that no other thread has meanwhile.
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

    /// The tests of this file share the process's turns.
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
            assert_eq!(map((0..100).collect(), |n| n * n), (0..100).map(|n| n * n).collect::<Vec<i32>>());
        }
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
