//! The one place that prints. Results go to stdout, everything else to stderr.

use std::ffi::OsString;
use std::io::{self, ErrorKind, IsTerminal, Write};
use std::sync::{Arc, OnceLock};

use clap::{Args, ValueEnum};
use serde_json::json;

use crate::cli::progress::{self, Manner};
use crate::error::{Context, Error, Kind, Result};
use crate::stage::progress::Progress;

const RED: &str = "\x1b[1;31m";
const CYAN: &str = "\x1b[1;36m";
const PLAIN: &str = "\x1b[0m";

/// What is said besides results, and how. Every verb takes these.
#[derive(Debug, Clone, Copy, Default, Args)]
#[command(next_help_heading = "Messages")]
pub(super) struct Messages {
    /// Print no progress and no notes
    #[arg(long, short, global = true)]
    quiet: bool,

    /// Say more: what it runs on, progress every second, and how long it took
    #[arg(long, short, global = true, conflicts_with = "quiet")]
    verbose: bool,

    /// The form of progress, notes and errors: for people, or a JSON object a line
    #[arg(long, global = true, value_enum, default_value_t = LogFormat::Text, value_name = "FORMAT")]
    log_format: LogFormat,
}

/// The form of messages, as `--log-format` names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
enum LogFormat {
    /// For people
    #[default]
    Text,
    /// For programs: JSON lines
    Json,
}

/// Prints results, notes and errors.
#[derive(Debug, Clone, Copy)]
pub struct Printer {
    colour: bool,
    messages: Messages,
}

static CURRENT: OnceLock<Printer> = OnceLock::new();

impl Printer {
    /// Colour where stderr is a terminal, unless the environment has `NO_COLOR` or says that the terminal is dumb. What a
    /// panic says is printed alike from now on.
    pub(super) fn new(messages: Messages) -> Self {
        let printer = Printer { messages, ..Printer::detect() };
        *CURRENT.get_or_init(|| printer)
    }

    /// The printer of this process; before the command line is known, one by the terminal alone.
    pub fn current() -> Self {
        CURRENT.get().copied().unwrap_or_else(Printer::detect)
    }

    fn detect() -> Self {
        let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let colour = io::stderr().is_terminal() && !set("NO_COLOR") && !dumb;
        Printer { colour, messages: Messages::default() }
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
            written => written.context(Kind::System, || "cannot write to standard output".to_owned()),
        }
    }

    /// Something worth knowing, on stderr; nothing where `--quiet`.
    pub fn note(&self, text: &str) {
        if !self.messages.quiet {
            self.say("note", text);
        }
    }

    /// Something that only `--verbose` says.
    pub fn detail(&self, text: impl FnOnce() -> String) {
        if self.messages.verbose {
            self.say("detail", &text());
        }
    }

    fn say(&self, level: &str, text: &str) {
        match self.messages.log_format {
            LogFormat::Text => to_stderr(&format!("{text}\n")),
            LogFormat::Json => to_stderr(&format!("{}\n", json!({"level": level, "message": text}))),
        }
    }

    /// An error and what to do about it, on stderr.
    pub fn error(&self, error: &Error) {
        if self.messages.log_format == LogFormat::Json {
            return json(error);
        }
        let mut text = self.label("error", RED, &error.to_string());
        if let Some(hint) = error.hint_text() {
            text.push_str(&self.label("hint", CYAN, hint));
        }
        to_stderr(&text);
    }

    /// How a stage says how far it is.
    pub(super) fn progress(&self) -> Arc<dyn Progress> {
        let Messages { quiet, verbose, log_format } = self.messages;
        progress::choose(match log_format {
            _ if quiet => Manner::Silent,
            LogFormat::Json => Manner::Json { often: verbose },
            LogFormat::Text => Manner::Text { often: verbose },
        })
    }

    fn label(&self, label: &str, colour: &str, text: &str) -> String {
        if self.colour { format!("{colour}{label}:{PLAIN} {text}\n") } else { format!("{label}: {text}\n") }
    }
}

/// An error as a line for programs.
pub(super) fn json(error: &Error) {
    let line = json!({"level": "error", "message": error.to_string(), "hint": error.hint_text()});
    to_stderr(&format!("{line}\n"));
}

/// Whether a command line, which may be wrong elsewhere, asks for messages in JSON.
pub(super) fn json_is_asked_for(line: impl IntoIterator<Item = OsString>) -> bool {
    let words: Vec<OsString> = line.into_iter().collect();
    words.iter().any(|word| word == "--log-format=json")
        || words.windows(2).any(|pair| pair[0] == "--log-format" && pair[1] == "json")
}

/// That stderr is closed is no reason to fail.
fn to_stderr(text: &str) {
    let _ = io::stderr().lock().write_all(text.as_bytes());
}
