//! The one place that prints. Results go to stdout, everything else to stderr.

use std::io::{self, ErrorKind, IsTerminal, Write};

use crate::error::{Context, Error, Kind, Result};

const RED: &str = "\x1b[1;31m";
const CYAN: &str = "\x1b[1;36m";
const PLAIN: &str = "\x1b[0m";

/// Prints results, notes and errors.
#[derive(Debug, Clone, Copy)]
pub struct Printer {
    colour: bool,
}

impl Printer {
    /// Colour where stderr is a terminal, unless the environment has `NO_COLOR` or says that the terminal is dumb.
    pub fn detect() -> Self {
        let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        Printer { colour: io::stderr().is_terminal() && !set("NO_COLOR") && !dumb }
    }

    /// A result: whole lines on stdout.
    ///
    /// # Errors
    /// Where stdout cannot be written to, e.g. on a full disk. A reader that went away is not an error.
    pub fn result(&self, text: &str) -> Result<()> {
        let end = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
        let mut out = io::stdout().lock();
        match out.write_all(format!("{text}{end}").as_bytes()).and_then(|()| out.flush()) {
            Err(e) if e.kind() == ErrorKind::BrokenPipe => Ok(()),
            written => written.context(Kind::Store, || "cannot write to standard output".to_owned()),
        }
    }

    /// Something worth knowing, on stderr.
    pub fn note(&self, text: &str) {
        to_stderr(&format!("{text}\n"));
    }

    /// An error and what to do about it, on stderr.
    pub fn error(&self, error: &Error) {
        let mut text = self.label("error", RED, &error.to_string());
        if let Some(hint) = error.hint_text() {
            text.push_str(&self.label("hint", CYAN, hint));
        }
        to_stderr(&text);
    }

    fn label(&self, label: &str, colour: &str, text: &str) -> String {
        if self.colour { format!("{colour}{label}:{PLAIN} {text}\n") } else { format!("{label}: {text}\n") }
    }
}

/// That stderr is closed is no reason to fail.
fn to_stderr(text: &str) {
    let _ = io::stderr().lock().write_all(text.as_bytes());
}
