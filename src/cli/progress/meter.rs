//! How far a stage is: counts, rate and time left.

use std::time::{Duration, Instant};

use crate::stage::progress::{BYTE, UNKNOWN};
use crate::text::numbers::{count, counted, duration, plural, size};

/// A stage in progress.
#[derive(Debug, Clone)]
pub(super) struct Meter {
    pub(super) stage: String,
    pub(super) unit: &'static str,
    pub(super) todo: u64,
    pub(super) cached: u64,
    pub(super) done: u64,
    pub(super) limit: Option<&'static str>,
    began: Instant,
}

impl Meter {
    pub(super) fn new(stage: &str, unit: &'static str, todo: u64, cached: u64) -> Self {
        Meter { stage: stage.to_owned(), unit, todo, cached, done: 0, limit: None, began: Instant::now() }
    }

    /// Says what is to be done: `1,680 images to do, 20 cached`.
    pub(super) fn announcement(&self) -> String {
        let cached = if self.cached > 0 { format!(", {} cached", count(self.cached)) } else { String::new() };
        match self.todo {
            0 => format!("nothing to do{cached}"),
            UNKNOWN => format!("as many {} as come{cached}", plural(self.unit)),
            todo => format!("{} to do{cached}", amount(todo, self.unit)),
        }
    }

    /// Says how far it is: `640/1,680 images, 53 images/s, 20 s left, limited by decoding`.
    pub(super) fn state(&self) -> String {
        let elapsed = self.began.elapsed();
        let mut text = match self.todo {
            UNKNOWN => amount(self.done, self.unit),
            todo if self.unit == BYTE => format!("{} of {}", size(self.done), size(todo)),
            todo => format!("{}/{}", count(self.done), counted(todo, self.unit)),
        };
        if self.done > 0 && elapsed > Duration::ZERO {
            text.push_str(&format!(", {}", self.rate(elapsed)));
            if self.todo == UNKNOWN {
                text.push_str(&self.limit());
                return text;
            }
            let left = self.todo.saturating_sub(self.done) as f64 * elapsed.as_secs_f64() / self.done as f64;
            text.push_str(&format!(", {} left", duration(Duration::try_from_secs_f64(left).unwrap_or_default())));
        }
        text.push_str(&self.limit());
        text
    }

    /// Says what it waits for: `, limited by decoding`; empty if that is not known.
    pub(super) fn limit(&self) -> String {
        self.limit.map(|what| format!(", limited by {what}")).unwrap_or_default()
    }

    /// Says how it went: `12 s, 53 images/s`.
    pub(super) fn summary(&self) -> String {
        let elapsed = self.began.elapsed();
        match self.done {
            0 => duration(elapsed),
            _ => format!("{}, {}", duration(elapsed), self.rate(elapsed)),
        }
    }

    /// Returns the time since it began.
    pub(super) fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    fn rate(&self, elapsed: Duration) -> String {
        rate(self.done as f64 / elapsed.as_secs_f64().max(1e-9), self.unit)
    }
}

/// Writes how many units there are: `1,680 images`, `605.2 MB`.
fn amount(number: u64, unit: &str) -> String {
    if unit == BYTE { size(number) } else { counted(number, unit) }
}

/// Writes `53 images/s`, or `0.4 images/s` if it is slow.
pub(super) fn rate(per_second: f64, unit: &str) -> String {
    match per_second {
        bytes if unit == BYTE => format!("{}/s", size(bytes as u64)),
        fast if fast >= 10.0 => format!("{} {}/s", count(fast as u64), plural(unit)),
        slow => format!("{slow:.1} {}/s", plural(unit)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stage_says_what_it_waits_for() {
        let mut meter = Meter::new("embed", "image", 1680, 0);
        assert_eq!(meter.state(), "0/1,680 images");
        meter.limit = Some("decoding");
        assert_eq!(meter.state(), "0/1,680 images, limited by decoding");
    }

    #[test]
    fn a_stage_that_ends_with_its_input_says_no_total() {
        let mut meter = Meter::new("predict", "image", UNKNOWN, 0);
        assert_eq!(meter.announcement(), "as many images as come");
        assert_eq!(meter.state(), "0 images");
        meter.done = 7;
        assert!(meter.state().starts_with("7 images, ") && !meter.state().contains("left"), "{}", meter.state());
    }

    #[test]
    fn bytes_are_shown_as_sizes() {
        let mut meter = Meter::new("fetch", BYTE, 605_247_071, 0);
        assert_eq!(meter.announcement(), "605.2 MB to do");
        meter.done = 41_234_567;
        assert!(meter.state().starts_with("41.2 MB of 605.2 MB, ") && meter.state().ends_with(" left"));
        assert_eq!(rate(2_500_000.0, BYTE), "2.5 MB/s");
    }

    #[test]
    fn a_stage_with_nothing_to_do_says_so() {
        assert_eq!(Meter::new("embed", "image", 0, 1680).announcement(), "nothing to do, 1,680 cached");
        assert_eq!(Meter::new("embed", "image", 1680, 0).announcement(), "1,680 images to do");
    }
}
