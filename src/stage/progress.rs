//! Progress reporting. Stages emit events; the CLI decides how to render them.

use crate::net;

/// The unit of what comes over the network; counts of it are shown as sizes.
pub const BYTE: &str = "byte";

/// The number of units of a stage that ends when its input does.
pub const UNKNOWN: u64 = u64::MAX;

/// Receives a stage's progress. Implementations print to stderr, never to stdout.
pub trait Progress: Send + Sync {
    /// Begins a stage with `todo` units to do (or [`UNKNOWN`]) and `cached` units already done;
    /// `unit` is, for example, "image", "sentence" or "pass".
    fn begin(&self, stage: &str, unit: &'static str, todo: u64, cached: u64);
    /// Reports that `done` more units are finished.
    fn advance(&self, done: u64);
    /// Reports what the current stage has waited for most so far: "decoding", "the forward pass".
    fn limited_by(&self, _what: &'static str) {}
    /// Ends the stage; `note` is a short outcome such as `1,680 embedded, 0 rejected`.
    fn end(&self, note: &str);
    /// Shows a line that must be seen whatever happens to the progress display, e.g. a warning.
    fn say(&self, line: &str);
}

impl net::Watch for &(dyn Progress + '_) {
    fn begin(&self, bytes: u64) {
        Progress::begin(*self, "fetch", BYTE, bytes, 0);
    }

    fn advance(&self, bytes: u64) {
        Progress::advance(*self, bytes);
    }

    fn end(&self, note: &str) {
        Progress::end(*self, note);
    }

    fn say(&self, line: &str) {
        Progress::say(*self, line);
    }
}

/// Discards all progress, for tests and library use.
#[derive(Debug, Default, Clone, Copy)]
pub struct Silent;

impl Progress for Silent {
    fn begin(&self, _: &str, _: &'static str, _: u64, _: u64) {}
    fn advance(&self, _: u64) {}
    fn end(&self, _: &str) {}
    fn say(&self, _: &str) {}
}
