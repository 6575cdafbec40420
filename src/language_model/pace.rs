//! How fast requests follow each other, from all threads together.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::error::Result;
use crate::panics::guard;
use crate::stop::Stop;

/// The time from which the next request may be made.
#[derive(Debug)]
pub(super) struct Pace {
    interval: Duration,
    next: Mutex<Instant>,
}

impl Pace {
    /// Allows so many requests a minute, or any number.
    pub(super) fn new(a_minute: Option<u64>) -> Pace {
        let interval = a_minute.map_or(Duration::ZERO, |a_minute| Duration::from_secs(60) / a_minute.max(1) as u32);
        Pace { interval, next: Mutex::new(Instant::now()) }
    }

    /// Waits for this request's turn.
    ///
    /// # Errors
    /// Returns [`crate::error::Kind::Interrupted`] if a stop was requested.
    pub(super) fn turn(&self, stop: &Stop) -> Result<()> {
        loop {
            stop.check()?;
            let now = Instant::now();
            let left = {
                let mut next = guard(&self.next);
                let left = next.saturating_duration_since(now);
                if left.is_zero() {
                    *next = now + self.interval;
                }
                left
            };
            if left.is_zero() {
                return Ok(());
            }
            stop.sleep(left)?;
        }
    }

    /// Lets no request be made for `wait`, since the server asked for it.
    pub(super) fn hold(&self, wait: Duration) {
        let mut next = guard(&self.next);
        *next = (*next).max(Instant::now() + wait);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_spread_and_held() {
        let (pace, stop, began) = (Pace::new(Some(1200)), Stop::default(), Instant::now());
        (0..4).for_each(|_| pace.turn(&stop).unwrap());
        // The first at once, the others 50 ms after each other.
        assert!(began.elapsed() >= Duration::from_millis(150), "{:?}", began.elapsed());
        let (free, began) = (Pace::new(None), Instant::now());
        free.hold(Duration::from_millis(120));
        free.turn(&stop).unwrap();
        assert!(began.elapsed() >= Duration::from_millis(120));
        stop.request();
        free.hold(Duration::from_secs(60));
        assert!(free.turn(&stop).is_err() && stop.sleep(Duration::from_secs(60)).is_err());
    }
}
