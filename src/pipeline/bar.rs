//! How progress looks: bars on a terminal, plain lines elsewhere. Always on stderr.

use std::io::{IsTerminal, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

use super::meter::{Meter, rate};
use crate::stage::progress::{Progress, Silent};

/// How often plain progress says how far it is.
const INTERVAL: Duration = Duration::from_secs(10);

/// The progress that fits: none where `quiet`, bars where stderr is a terminal, plain lines elsewhere.
pub fn choose(quiet: bool) -> Arc<dyn Progress> {
    if quiet {
        Arc::new(Silent)
    } else if std::io::stderr().is_terminal() {
        Arc::new(TerminalProgress::default())
    } else {
        Arc::new(PlainProgress::default())
    }
}

/// One line on stderr. That stderr is closed is no reason to stop working.
fn line(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// The name of a stage and a text about it, aligned with those of other stages.
fn about(stage: &str, text: &str) -> String {
    format!("{stage:>10}  {text}")
}

/// The outcome of a stage that ended.
fn outcome(meter: &Meter, note: &str) -> String {
    match note {
        "" => about(&meter.stage, &meter.summary()),
        _ => about(&meter.stage, &format!("{note} ({})", meter.summary())),
    }
}

/// A panic elsewhere does not make counts unusable.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A bar for the stage in hand; stages that ended leave a line each.
#[derive(Debug, Default)]
pub struct TerminalProgress {
    current: Mutex<Option<(Meter, ProgressBar)>>,
}

impl Progress for TerminalProgress {
    fn begin(&self, stage: &str, unit: &'static str, todo: u64, cached: u64) {
        let meter = Meter::new(stage, unit, todo, cached);
        let bar = ProgressBar::with_draw_target(Some(todo), ProgressDrawTarget::stderr());
        if todo > 0 {
            bar.set_style(style(unit));
            bar.set_prefix(meter.stage.clone());
            bar.enable_steady_tick(Duration::from_millis(500));
        }
        *lock(&self.current) = Some((meter, bar));
    }

    fn advance(&self, done: u64) {
        if let Some((meter, bar)) = lock(&self.current).as_mut() {
            meter.done += done;
            bar.inc(done);
        }
    }

    fn limited_by(&self, what: &'static str) {
        if let Some((meter, bar)) = lock(&self.current).as_mut()
            && meter.limit != Some(what)
        {
            meter.limit = Some(what);
            bar.set_message(meter.limit());
        }
    }

    fn end(&self, note: &str) {
        if let Some((meter, bar)) = lock(&self.current).take() {
            bar.finish_and_clear();
            match (meter.todo, note) {
                (0, "") => line(&about(&meter.stage, &meter.announcement())),
                _ => line(&outcome(&meter, note)),
            }
        }
    }

    fn say(&self, text: &str) {
        match lock(&self.current).as_ref() {
            Some((_, bar)) => bar.suspend(|| line(text)),
            None => line(text),
        }
    }
}

fn style(unit: &'static str) -> ProgressStyle {
    ProgressStyle::with_template("{prefix:>10}  {wide_bar} {human_pos}/{human_len}  {rate}  {eta} left{msg}")
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .with_key("rate", move |state: &ProgressState, out: &mut dyn std::fmt::Write| {
            let _ = out.write_str(&rate(state.per_sec(), unit));
        })
}

/// Lines for logs: one when a stage begins, one about every ten seconds, one when it ends.
#[derive(Debug, Default)]
pub struct PlainProgress {
    current: Mutex<Option<(Meter, Instant)>>,
}

impl Progress for PlainProgress {
    fn begin(&self, stage: &str, unit: &'static str, todo: u64, cached: u64) {
        let meter = Meter::new(stage, unit, todo, cached);
        line(&about(stage, &meter.announcement()));
        *lock(&self.current) = Some((meter, Instant::now()));
    }

    fn advance(&self, done: u64) {
        if let Some((meter, said)) = lock(&self.current).as_mut() {
            meter.done += done;
            if said.elapsed() >= INTERVAL {
                *said = Instant::now();
                line(&about(&meter.stage, &meter.state()));
            }
        }
    }

    fn limited_by(&self, what: &'static str) {
        if let Some((meter, _)) = lock(&self.current).as_mut() {
            meter.limit = Some(what);
        }
    }

    fn end(&self, note: &str) {
        if let Some((meter, _)) = lock(&self.current).take()
            && (meter.todo > 0 || !note.is_empty())
        {
            line(&outcome(&meter, note));
        }
    }

    fn say(&self, text: &str) {
        line(text);
    }
}
