//! Turns panics into errors. Libraries panic on some damaged files, and tch panics when libtorch
//! throws; either way the user needs a message, not a back-trace. What other threads shared with
//! the one that panicked stays usable.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, MutexGuard, PoisonError};

thread_local! {
    /// Whether a panic of this thread is caught by [`caught`].
    static EXPECTED: Cell<bool> = const { Cell::new(false) };
}

/// Runs work that may panic. If it does, what it borrowed must not be used again.
///
/// # Errors
/// Returns the panic's message.
pub fn caught<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    let before = EXPECTED.replace(true);
    let done = catch_unwind(AssertUnwindSafe(work));
    EXPECTED.set(before);
    done.map_err(|payload| {
        let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
        text.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".to_owned())
    })
}

/// Returns whether a panic of this thread will be caught and turned into an error, so that it need
/// not be reported.
pub fn is_expected() -> bool {
    EXPECTED.get()
}

/// Locks a mutex, also after a thread panicked that held it: no panic leaves what is locked half
/// changed, and one more error of every later lock would help nobody.
pub fn guard<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_its_message_and_expected_while_the_work_lasts() {
        assert_eq!(caught(is_expected), Ok(true));
        assert_eq!(caught(|| -> () { panic!("index {} out of bounds", 3) }), Err("index 3 out of bounds".to_owned()));
        assert!(!is_expected());
    }
}
