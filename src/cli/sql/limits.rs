//! The bounds of a statement: it ends when its time is up, or when a user interrupts it.

use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use futures::future::{AbortHandle, AbortRegistration};

use super::interrupts::Interrupts;
use crate::error::{Context, Error, Kind, Result};
use crate::stop::Stop;

/// Bytes of the stack that a statement is planned on, as large as the main thread's.
const STACK: usize = 8 << 20;

/// How often to check whether a statement was interrupted.
const LOOK: Duration = Duration::from_millis(50);

/// Does some work on a separate thread, and waits for it no longer than `limit`: a plan may compute
/// for long without yielding to a timer of its runtime. Abandoned work is asked to stop, and has
/// the time `end` to do so; then it learns of it through the registration, and ends when it next
/// yields.
///
/// # Errors
/// Returns the error of the work; [`Kind::Query`] if it took too long; [`Kind::Interrupted`] if it
/// was interrupted.
pub(super) fn within<T: Send + 'static>(
    limit: Duration,
    interrupts: &Interrupts,
    end: Duration,
    work: impl FnOnce(AbortRegistration, Stop) -> Result<T> + Send + 'static,
) -> Result<T> {
    let (send, receive) = channel();
    let (abort, aborted) = AbortHandle::new_pair();
    let stop = Stop::default();
    let asked = stop.clone();
    let give_up = || {
        stop.request();
        let _ = receive.recv_timeout(end);
        abort.abort();
    };
    std::thread::Builder::new()
        .name("statement".to_owned())
        .stack_size(STACK)
        .spawn(move || send.send(work(aborted, asked)))
        .context(Kind::System, || "cannot start a thread for the statement".to_owned())?;
    let deadline = Instant::now() + limit;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        match receive.recv_timeout(left.min(LOOK)) {
            Ok(done) => return done,
            // The thread panicked, and the panic hook has reported why.
            Err(RecvTimeoutError::Disconnected) => {
                return Err(Error::new(Kind::Internal, "the statement was cut short"));
            }
            Err(RecvTimeoutError::Timeout) if interrupts.any() => {
                give_up();
                return Err(Error::new(Kind::Interrupted, "the statement was interrupted"));
            }
            Err(RecvTimeoutError::Timeout) if left.is_zero() => {
                give_up();
                return Err(Error::new(Kind::Query, format!("the statement took longer than {} s", limit.as_secs()))
                    .hint("ask for less, or allow more with --time-limit"));
            }
            Err(RecvTimeoutError::Timeout) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_takes_too_long_is_given_up() {
        let slow = |stopped: AbortRegistration, asked: Stop| {
            assert!(!asked.requested());
            let forever = futures::future::Abortable::new(futures::future::pending::<()>(), stopped);
            assert!(futures::executor::block_on(forever).is_err());
            Ok(())
        };
        let error = within(Duration::from_millis(10), &Interrupts::none(), Duration::ZERO, slow).unwrap_err();
        assert!(error.to_string().contains("longer than"), "{error}");
        let asked = within(Duration::from_millis(10), &Interrupts::none(), Duration::from_secs(60), |_, asked| {
            asked.sleep(Duration::from_secs(60))
        });
        assert!(asked.unwrap_err().to_string().contains("longer than"));
        assert_eq!(within(Duration::from_secs(60), &Interrupts::none(), Duration::ZERO, |_, _| Ok(7)).unwrap(), 7);
    }
}
