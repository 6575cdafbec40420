//! Progress for programs: a JSON object a line on stderr.

use std::io::Write;
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::meter::Meter;
use crate::panics::guard;
use crate::stage::progress::{Progress, UNKNOWN};

/// One line when a stage begins, one at most every `interval` while it advances, one when it ends:
/// `{"level": "progress", "event": "advance", "stage": "embed", "done": 640, …}`.
#[derive(Debug)]
pub(super) struct JsonProgress {
    interval: Duration,
    current: Mutex<Option<(Meter, Instant)>>,
}

impl JsonProgress {
    pub(super) fn new(interval: Duration) -> Self {
        JsonProgress { interval, current: Mutex::default() }
    }

    /// Locks the current stage; a panic elsewhere does not make its counts unusable.
    fn current(&self) -> MutexGuard<'_, Option<(Meter, Instant)>> {
        guard(&self.current)
    }
}

/// Writes one line to stderr; a closed stderr is no reason to stop working.
fn line(value: &Value) {
    let _ = writeln!(std::io::stderr().lock(), "{value}");
}

fn event(event: &str, meter: &Meter, note: Option<&str>) {
    line(&json!({
        "level": "progress", "event": event, "stage": meter.stage, "unit": meter.unit,
        "done": meter.done, "todo": Some(meter.todo).filter(|todo| *todo != UNKNOWN), "cached": meter.cached,
        "seconds": (meter.elapsed().as_secs_f64() * 1e3).round() / 1e3, "limited_by": meter.limit, "note": note,
    }));
}

impl Progress for JsonProgress {
    fn begin(&self, stage: &str, unit: &'static str, todo: u64, cached: u64) {
        let meter = Meter::new(stage, unit, todo, cached);
        event("begin", &meter, None);
        *self.current() = Some((meter, Instant::now()));
    }

    fn advance(&self, done: u64) {
        if let Some((meter, said)) = self.current().as_mut() {
            meter.done += done;
            if said.elapsed() >= self.interval {
                *said = Instant::now();
                event("advance", meter, None);
            }
        }
    }

    fn limited_by(&self, what: &'static str) {
        if let Some((meter, _)) = self.current().as_mut() {
            meter.limit = Some(what);
        }
    }

    fn end(&self, note: &str) {
        if let Some((meter, _)) = self.current().take() {
            event("end", &meter, Some(note).filter(|note| !note.is_empty()));
        }
    }

    fn say(&self, text: &str) {
        line(&json!({"level": "note", "message": text}));
    }
}
