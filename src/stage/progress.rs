//! How a stage says how far it is. The stage knows nothing of terminals: the edge decides how it looks.

/// Receives a stage's progress. Implementations print to stderr, never to stdout.
pub trait Progress: Send + Sync {
    /// A stage begins: `todo` units (`unit`: "image", "sentence", "step") are to be done, `cached` are there already.
    fn begin(&self, stage: &str, unit: &'static str, todo: u64, cached: u64);
    /// `done` more units are finished.
    fn advance(&self, done: u64);
    /// What the stage in hand waits for most so far: "decoding", "the forward pass".
    fn limited_by(&self, _what: &'static str) {}
    /// The stage ended; `note` is a short outcome such as `1,680 embedded, 0 rejected`.
    fn end(&self, note: &str);
    /// A line that is worth reading whatever happens to the progress display, e.g. a warning.
    fn say(&self, line: &str);
}

/// Says nothing: for tests and for library use.
#[derive(Debug, Default, Clone, Copy)]
pub struct Silent;

impl Progress for Silent {
    fn begin(&self, _: &str, _: &'static str, _: u64, _: u64) {}
    fn advance(&self, _: u64) {}
    fn end(&self, _: &str) {}
    fn say(&self, _: &str) {}
}
