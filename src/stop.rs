//! Asking a running pipeline to stop: it finishes the current part, and loses nothing that was
//! computed.
//!
//! Work that may take longer than a second asks repeatedly, between pieces that are short even on a
//! slow machine.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::time::timeout;

use crate::error::{Error, Kind, Result};

/// The count of a flag that never stops by itself.
const NEVER: u64 = u64::MAX;

/// How often what waits asks: [`Stop::or`] on behalf of its work, [`Stop::sleep`], a request.
pub(crate) const OFTEN: Duration = Duration::from_millis(100);

/// A flag shared by the signal handler and every stage.
///
/// It counts how many more questions are answered with "go on": 0 once a stop was requested.
#[derive(Debug, Clone)]
pub struct Stop {
    left: Arc<AtomicU64>,
    /// A flag whose stops count for this one, too.
    above: Option<Box<Stop>>,
}

impl Default for Stop {
    /// Goes on until a stop is requested.
    fn default() -> Self {
        Stop::after(NEVER)
    }
}

impl Stop {
    /// Makes a flag that stops by itself after `questions`, so that tests can check that running
    /// work asks.
    pub fn after(questions: u64) -> Stop {
        Stop { left: Arc::new(AtomicU64::new(questions)), above: None }
    }

    /// Makes a flag for a part of the work: it stops with this one, and can be stopped alone.
    pub fn child(&self) -> Stop {
        Stop { above: Some(Box::new(self.clone())), ..Stop::default() }
    }

    /// Asks every stage to stop at its next safe point.
    pub fn request(&self) {
        self.left.store(0, Ordering::SeqCst);
    }

    /// Returns whether a stop was requested.
    pub fn requested(&self) -> bool {
        self.left.load(Ordering::SeqCst) == 0 || self.above.as_ref().is_some_and(|above| above.requested())
    }

    /// Awaits `work`, or drops it when it next yields after a stop was requested.
    ///
    /// Must be awaited within a tokio runtime.
    ///
    /// # Errors
    /// Returns [`Kind::Interrupted`] if a stop was requested, or the error of `work`.
    pub async fn or<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        let mut work = pin!(work);
        loop {
            self.check()?;
            if let Ok(done) = timeout(OFTEN, &mut work).await {
                return done;
            }
        }
    }

    /// Sleeps for `time`, but not beyond a stop.
    ///
    /// # Errors
    /// Returns [`Kind::Interrupted`] if a stop was requested.
    pub fn sleep(&self, time: Duration) -> Result<()> {
        let until = Instant::now() + time;
        loop {
            self.check()?;
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            std::thread::sleep(left.min(OFTEN));
        }
    }

    /// Sleeps like [`Stop::sleep`], without keeping a thread.
    ///
    /// # Errors
    /// Returns [`Kind::Interrupted`] if a stop was requested.
    pub async fn pause(&self, time: Duration) -> Result<()> {
        let slept = async {
            tokio::time::sleep(time).await;
            Ok(())
        };
        self.or(slept).await
    }

    /// Ends once a stop was requested.
    pub async fn until_requested(&self) {
        while !self.requested() {
            tokio::time::sleep(OFTEN).await;
        }
    }

    /// Asks whether to go on; called at safe points.
    ///
    /// # Errors
    /// Returns [`Kind::Interrupted`] if a stop was requested.
    pub fn check(&self) -> Result<()> {
        self.above.as_ref().map_or(Ok(()), |above| above.check())?;
        let one_less = |left: u64| (left != 0 && left != NEVER).then(|| left - 1);
        let (Ok(left) | Err(left)) = self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less);
        if left == 0 {
            return Err(Error::new(Kind::Interrupted, "stopped on request; everything computed so far is kept")
                .hint("run the same command again to go on from here"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_goes_on_until_it_is_asked_and_whoever_shares_it_knows() {
        let stop = Stop::default();
        let shared = stop.clone();
        assert!((0..100).all(|_| stop.check().is_ok()));
        shared.request();
        assert!(stop.requested() && stop.check().unwrap_err().kind() == Kind::Interrupted);
    }

    #[test]
    fn a_part_of_the_work_stops_alone_or_with_the_whole() {
        let stop = Stop::default();
        let (one, other) = (stop.child(), stop.child());
        one.request();
        assert!(one.check().is_err() && other.check().is_ok() && stop.check().is_ok());
        stop.request();
        assert!(other.requested() && other.check().is_err());
    }

    #[tokio::test]
    async fn work_that_does_not_ask_is_dropped() {
        assert_eq!(Stop::default().or(async { Ok(7) }).await.unwrap(), 7);
        let failed = Stop::default().or(async { Err::<(), _>(Error::new(Kind::Store, "full")) }).await;
        assert_eq!(failed.unwrap_err().kind(), Kind::Store);
        let endless = Stop::after(2).or(std::future::pending::<Result<()>>()).await;
        assert_eq!(endless.unwrap_err().kind(), Kind::Interrupted);
    }

    #[test]
    fn sleep_ends_after_its_time_or_at_a_stop() {
        let began = Instant::now();
        Stop::default().sleep(Duration::from_millis(150)).unwrap();
        assert!(began.elapsed() >= Duration::from_millis(150), "{:?}", began.elapsed());
        assert_eq!(Stop::after(2).sleep(Duration::from_secs(600)).unwrap_err().kind(), Kind::Interrupted);
    }

    #[tokio::test]
    async fn a_pause_ends_after_its_time_or_at_a_stop() {
        let began = Instant::now();
        Stop::default().pause(Duration::from_millis(150)).await.unwrap();
        assert!(began.elapsed() >= Duration::from_millis(150), "{:?}", began.elapsed());
        let stopped = Stop::after(2).pause(Duration::from_secs(600)).await;
        assert_eq!(stopped.unwrap_err().kind(), Kind::Interrupted);
        let stop = Stop::default();
        let requested = async {
            tokio::time::sleep(Duration::from_millis(50)).await;
            stop.request();
        };
        tokio::join!(stop.until_requested(), requested);
    }

    #[test]
    fn it_can_stop_by_itself_after_some_questions() {
        let stop = Stop::after(2);
        assert!(!stop.requested() && stop.check().is_ok() && stop.check().is_ok());
        assert!(stop.requested() && stop.check().is_err() && stop.check().is_err());
    }
}
