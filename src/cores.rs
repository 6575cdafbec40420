//! Bounds how many cores this process uses, and hands out turns on them.
//!
//! Every kernel runs on one thread; work is spread by giving each core its own batch. Threads that
//! share a kernel wait for each other at its end, tens of thousands of times a second, and libgomp
//! waits by spinning: on a machine with any other load, most of the time goes there. Separate
//! batches wait for nothing, and their results do not depend on how many run at once.
//!
//! All computation takes a [`turn`] first, including decoding and hashing, so that a process given
//! one core uses one.

mod per_thread;
mod pool;

use std::cell::Cell;
use std::num::NonZeroUsize;
use std::sync::{Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;

use tch::Device;

use crate::panics::guard;

pub use per_thread::PerThread;
pub use pool::{buffered, map, map_by, rest, run};

/// Turns that are taken, and the most at once; without a limit, as many as [`available`] returns.
#[derive(Debug)]
struct Turns {
    limit: Option<NonZeroUsize>,
    taken: usize,
    /// Threads that wait for a turn ahead of the others.
    ahead: usize,
}

static TURNS: Mutex<Turns> = Mutex::new(Turns { limit: None, taken: 0, ahead: 0 });
static FREED: Condvar = Condvar::new();
static FREED_AHEAD: Condvar = Condvar::new();

/// Locks the turns; a panic elsewhere does not make two numbers unusable.
fn turns() -> MutexGuard<'static, Turns> {
    guard(&TURNS)
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
    FREED_AHEAD.notify_all();
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
    while turns.taken >= turns.limit() || turns.ahead > 0 {
        turns = FREED.wait(turns).unwrap_or_else(PoisonError::into_inner);
    }
    turns.taken += 1;
    Turn(())
}

/// Like [`turn`], ahead of all threads that wait there: for the one thread that consumes what many
/// others produce. A training step that queued for its turn behind the decoding of the next batches
/// would leave a GPU idle meanwhile.
pub fn turn_ahead() -> Turn {
    one_thread_a_kernel();
    let mut turns = turns();
    turns.ahead += 1;
    while turns.taken >= turns.limit() {
        turns = FREED_AHEAD.wait(turns).unwrap_or_else(PoisonError::into_inner);
    }
    turns.ahead -= 1;
    turns.taken += 1;
    turns.pass_on();
    Turn(())
}

impl Turns {
    /// Wakes a thread if there is a turn for it.
    fn pass_on(&self) {
        if self.taken < self.limit() {
            if self.ahead > 0 { FREED_AHEAD.notify_one() } else { FREED.notify_one() }
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut turns = turns();
        turns.taken -= 1;
        turns.pass_on();
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

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// Serialises the tests that change the process's turns.
    pub(super) static ALONE: Mutex<()> = Mutex::new(());

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
    fn who_goes_ahead_gets_the_next_turn() {
        let _alone = ALONE.lock();
        set_limit(1);
        let order = Mutex::new(Vec::new());
        thread::scope(|scope| {
            let held = turn();
            for _ in 0..3 {
                scope.spawn(|| {
                    let _turn = turn();
                    order.lock().unwrap().push("waited");
                });
            }
            thread::sleep(std::time::Duration::from_millis(30));
            scope.spawn(|| {
                let _turn = turn_ahead();
                order.lock().unwrap().push("ahead");
            });
            while turns().ahead == 0 {
                thread::yield_now();
            }
            drop(held);
        });
        set_limit(0);
        assert_eq!(order.into_inner().unwrap(), ["ahead", "waited", "waited", "waited"]);
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
