//! Values that only one thread at a time may use.

use std::sync::Mutex;

use crate::panics::guard;

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
        let idle = || guard(&self.idle);
        let waiting = idle().pop();
        let copy = waiting.unwrap_or_else(|| (self.copy)(&guard(&self.original)));
        let result = work(&copy);
        idle().push(copy);
        result
    }
}
