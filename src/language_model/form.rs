//! What a server is known to take, of what servers differ in: it is found out once, for all
//! threads.

use std::sync::{Mutex, MutexGuard};

use super::format::Format;
use super::refusal::Refusal;
use crate::panics::guard;

/// What a server is known to take.
#[derive(Debug, Default)]
pub(super) struct Form(Mutex<Taken>);

/// What a request is made by.
#[derive(Debug, Clone, Copy)]
pub(super) struct Taken {
    pub(super) format: Format,
    /// Whether an answer came in this format.
    proven: bool,
    /// Whether the limit of tokens goes by its newer name.
    pub(super) completion_tokens: bool,
    /// Whether a seed is taken.
    pub(super) seed: bool,
}

impl Default for Taken {
    fn default() -> Self {
        Taken { format: Format::JsonSchema, proven: false, completion_tokens: false, seed: true }
    }
}

impl Form {
    /// Returns what is known so far.
    pub(super) fn now(&self) -> Taken {
        *self.lock()
    }

    /// Learns something about the server.
    pub(super) fn change(&self, change: impl FnOnce(&mut Taken)) {
        change(&mut self.lock());
    }

    /// Learns that an answer came in a format.
    pub(super) fn prove(&self, format: Format) {
        self.change(|taken| taken.proven |= taken.format == format);
    }

    /// Asks less strictly for the form of answers from now on, if that may be what the server
    /// refuses. Returns whether a question is worth asking in another form.
    pub(super) fn relax(&self, asked: Taken, refusal: &Refusal) -> bool {
        // A status of 500 says little; it needs words.
        if (asked.proven || refusal.status >= 500) && !refusal.is_about_the_form() {
            return false;
        }
        let Some(laxer) = asked.format.laxer() else { return false };
        self.change(|taken| {
            // Another thread may have done so meanwhile.
            if taken.format == asked.format {
                (taken.format, taken.proven) = (laxer, false);
            }
        });
        true
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        guard(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(status: u16, said: &str) -> Refusal {
        Refusal::new(status, said, str::to_owned)
    }

    #[test]
    fn a_form_is_relaxed_once_whoever_asks_and_not_once_it_was_answered() {
        let (form, unknown) = (Form::default(), refusal(400, "bad request"));
        let first = form.now();
        // Two threads asked with a schema.
        assert!(form.relax(first, &unknown) && form.relax(first, &unknown));
        assert_eq!(form.now().format, Format::JsonObject);
        form.prove(Format::JsonObject);
        assert!(!form.relax(form.now(), &unknown), "it is something else that is refused");
        assert!(!form.relax(first, &refusal(500, "oops")));
        assert!(form.relax(form.now(), &refusal(400, "no response_format here")));
        assert!(form.now().format == Format::Lines && !form.relax(form.now(), &unknown));
    }
}
