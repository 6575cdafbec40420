//! When to ask again, and how late.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use ureq::http::HeaderMap;

/// The longest wait that a server may ask for; it is asked once more after that, and no later.
pub(crate) const LONGEST_WAIT: Duration = Duration::from_secs(120);

/// Returns whether a request that ended in `error` may end otherwise when it is made again: the
/// connection could not be made, broke or fell silent.
pub fn may_pass(error: &ureq::Error) -> bool {
    use std::io::ErrorKind;
    match error {
        ureq::Error::Io(error) => !matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::PermissionDenied),
        ureq::Error::Timeout(_) | ureq::Error::ConnectionFailed => true,
        ureq::Error::Protocol(_) | ureq::Error::BodyStalled => true,
        _ => false,
    }
}

/// Returns whether an answer with `status` says that a later request may be answered better.
pub fn is_busy(status: u16) -> bool {
    matches!(status, 408 | 425 | 429 | 500 | 502..=504 | 529)
}

/// Returns how long a server asks to wait, by its header `Retry-After`: seconds, or a date.
pub fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    wait_by(headers.get("retry-after")?.to_str().ok()?.trim(), jiff::Timestamp::now())
}

/// Reads the value of `Retry-After`, which came at `now`.
fn wait_by(value: &str, now: jiff::Timestamp) -> Option<Duration> {
    if let Ok(seconds) = value.parse::<f64>() {
        return Duration::try_from_secs_f64(seconds).ok();
    }
    let date = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(value).ok()?;
    Some(Duration::try_from(date.duration_since(now)).unwrap_or_default())
}

/// How often and how late to ask again: half a second, then twice as long each time, each shortened
/// by up to a half at random, so that many that were turned away do not come back at once.
#[derive(Debug)]
pub struct Retries {
    left: u32,
    next: Duration,
}

impl Retries {
    /// Allows `times` further requests after the first.
    pub fn new(times: u32) -> Retries {
        Retries { left: times, next: Duration::from_millis(500) }
    }

    /// Returns how long to wait before the next request, `None` when it is time to give up: after
    /// the last one, or where the server `asked` for more than two minutes.
    pub fn wait(&mut self, asked: Option<Duration>) -> Option<Duration> {
        self.left = self.left.checked_sub(1)?;
        // A hash by a key that the standard library draws: chance enough, without a generator.
        let chance = RandomState::new().hash_one(self.left) as f64 / u64::MAX as f64;
        let own = self.next.mul_f64(1.0 - 0.5 * chance);
        self.next = (self.next * 2).min(LONGEST_WAIT);
        let wait = asked.unwrap_or_default().max(own);
        (wait <= LONGEST_WAIT).then_some(wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_asks_for_seconds_or_names_a_date() {
        let now: jiff::Timestamp = "2026-03-01T10:00:00Z".parse().unwrap();
        assert_eq!(wait_by("7", now), Some(Duration::from_secs(7)));
        assert_eq!(wait_by("0.25", now), Some(Duration::from_millis(250)));
        assert_eq!(wait_by("Sun, 01 Mar 2026 10:00:30 GMT", now), Some(Duration::from_secs(30)));
        // The date is over.
        assert_eq!(wait_by("Sun, 01 Mar 2026 09:00:00 GMT", now), Some(Duration::ZERO));
        for nonsense in ["", "soon", "-1", "NaN", "1e300"] {
            assert_eq!(wait_by(nonsense, now), None, "{nonsense}");
        }
    }

    #[test]
    fn waits_grow_and_end() {
        let mut retries = Retries::new(3);
        for longest in [500, 1_000, 2_000] {
            let wait = retries.wait(None).unwrap().as_millis();
            assert!((longest / 2..=longest).contains(&wait), "{wait} of {longest}");
        }
        assert_eq!(retries.wait(None), None);
    }

    #[test]
    fn a_server_decides_when_but_not_for_how_long() {
        let asked = Duration::from_secs(30);
        assert_eq!(Retries::new(1).wait(Some(asked)), Some(asked));
        assert_eq!(Retries::new(1).wait(Some(Duration::from_secs(3_600))), None);
    }
}
