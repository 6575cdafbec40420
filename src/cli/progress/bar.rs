//! Progress for people: bars on a terminal, plain lines elsewhere. Always on stderr.

use std::io::{IsTerminal, Write};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

use super::json_lines::JsonProgress;
use super::meter::{Meter, rate};
use crate::panics::guard;
use crate::stage::progress::{BYTE, Progress, Silent, UNKNOWN};
use crate::text::terminal::harmless;

/// How often lines say how far a stage is: by default, and with `often`.
const INTERVALS: [Duration; 2] = [Duration::from_secs(10), Duration::from_secs(1)];

/// How progress is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// No progress.
    Silent,
    /// For people: bars where stderr is a terminal, lines elsewhere.
    Text {
        /// Lines every second instead of every ten.
        often: bool,
    },
    /// For programs: JSON lines.
    Json {
        /// Lines every second instead of every ten.
        often: bool,
    },
}

/// Returns the progress that is shown in this manner.
pub fn choose(manner: Manner) -> Arc<dyn Progress> {
    match manner {
        Manner::Silent => Arc::new(Silent),
        Manner::Json { often } => Arc::new(JsonProgress::new(INTERVALS[usize::from(often)])),
        Manner::Text { .. } if std::io::stderr().is_terminal() => Arc::new(TerminalProgress::default()),
        Manner::Text { often } => {
            Arc::new(PlainProgress { interval: INTERVALS[usize::from(often)], ..Default::default() })
        }
    }
}

/// Writes one line to stderr; a closed stderr is no reason to stop working.
fn line(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{}", harmless(text));
}

/// Writes the name of a stage and a text about it, aligned with those of other stages.
fn about(stage: &str, text: &str) -> String {
    format!("{stage:>10}  {text}")
}

/// Writes the outcome of a stage that ended.
fn outcome(meter: &Meter, note: &str) -> String {
    match note {
        "" => about(&meter.stage, &meter.summary()),
        _ => about(&meter.stage, &format!("{note} ({})", meter.summary())),
    }
}

/// A bar for the current stage; stages that ended leave a line each.
#[derive(Debug, Default)]
pub struct TerminalProgress {
    current: Mutex<Option<(Meter, ProgressBar)>>,
}

impl Progress for TerminalProgress {
    fn begin(&self, stage: &str, unit: &'static str, todo: u64, cached: u64) {
        let meter = Meter::new(stage, unit, todo, cached);
        let total = Some(todo).filter(|todo| *todo != UNKNOWN);
        let bar = ProgressBar::with_draw_target(total, ProgressDrawTarget::stderr());
        if todo > 0 {
            bar.set_style(style(unit, total.is_some()));
            bar.set_prefix(meter.stage.clone());
            bar.enable_steady_tick(Duration::from_millis(500));
        }
        *guard(&self.current) = Some((meter, bar));
    }

    fn advance(&self, done: u64) {
        if let Some((meter, bar)) = guard(&self.current).as_mut() {
            meter.done += done;
            bar.inc(done);
        }
    }

    fn limited_by(&self, what: &'static str) {
        if let Some((meter, bar)) = guard(&self.current).as_mut()
            && meter.limit != Some(what)
        {
            meter.limit = Some(what);
            bar.set_message(meter.limit());
        }
    }

    fn end(&self, note: &str) {
        if let Some((meter, bar)) = guard(&self.current).take() {
            bar.finish_and_clear();
            match (meter.todo, note) {
                (0, "") => line(&about(&meter.stage, &meter.announcement())),
                _ => line(&outcome(&meter, note)),
            }
        }
    }

    fn say(&self, text: &str) {
        match guard(&self.current).as_ref() {
            Some((_, bar)) => bar.suspend(|| line(text)),
            None => line(text),
        }
    }
}

fn style(unit: &'static str, ends: bool) -> ProgressStyle {
    let template = match ends {
        true if unit == BYTE => {
            "{prefix:>10}  {wide_bar} {decimal_bytes} of {decimal_total_bytes}  {rate}  {eta} left{msg}"
        }
        true => "{prefix:>10}  {wide_bar} {human_pos}/{human_len}  {rate}  {eta} left{msg}",
        false => "{prefix:>10}  {spinner} {human_pos}  {rate}{msg}",
    };
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()).with_key(
        "rate",
        move |state: &ProgressState, out: &mut dyn std::fmt::Write| {
            let _ = out.write_str(&rate(state.per_sec(), unit));
        },
    )
}

/// Lines for logs: one when a stage begins, one at most every `interval` while it advances, one
/// when it ends.
#[derive(Debug, Default)]
pub struct PlainProgress {
    interval: Duration,
    current: Mutex<Option<(Meter, Instant)>>,
}

impl Progress for PlainProgress {
    fn begin(&self, stage: &str, unit: &'static str, todo: u64, cached: u64) {
        let meter = Meter::new(stage, unit, todo, cached);
        line(&about(stage, &meter.announcement()));
        *guard(&self.current) = Some((meter, Instant::now()));
    }

    fn advance(&self, done: u64) {
        if let Some((meter, said)) = guard(&self.current).as_mut() {
            meter.done += done;
            if said.elapsed() >= self.interval {
                *said = Instant::now();
                line(&about(&meter.stage, &meter.state()));
            }
        }
    }

    fn limited_by(&self, what: &'static str) {
        if let Some((meter, _)) = guard(&self.current).as_mut() {
            meter.limit = Some(what);
        }
    }

    fn end(&self, note: &str) {
        if let Some((meter, _)) = guard(&self.current).take()
            && (meter.todo > 0 || !note.is_empty())
        {
            line(&outcome(&meter, note));
        }
    }

    fn say(&self, text: &str) {
        line(text);
    }
}
