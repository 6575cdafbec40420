//! The one place that prints. Results go to stdout, everything else to stderr.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{self, ErrorKind, IsTerminal, Write};
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use crate::cli::progress::{self, Manner};
use crate::cli::spans::{self, Recording};
use crate::error::{Context, Error, Kind, Result};
use crate::net::Told;
use crate::stage::progress::Progress;
use crate::text::numbers::duration;
use crate::text::terminal::harmless;

const RED: &str = "\x1b[1;31m";
const CYAN: &str = "\x1b[1;36m";
const PLAIN: &str = "\x1b[0m";

/// What is said besides results, and how. Every verb takes these.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Messages")]
pub(super) struct Messages {
    /// Print no progress and no notes
    #[arg(long, short, global = true)]
    quiet: bool,

    /// Say more: what it runs on, progress every second, and how long each stage, pass, part and
    /// statement took
    #[arg(long, short, global = true, conflicts_with = "quiet")]
    verbose: bool,

    /// Write a trace to FILE, for ui.perfetto.dev: when each decode, forward pass, write and
    /// statement ran
    #[arg(long, global = true, value_name = "FILE")]
    trace: Option<PathBuf>,

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
    quiet: bool,
    verbose: bool,
    log_format: LogFormat,
}

static CURRENT: OnceLock<Printer> = OnceLock::new();

/// The progress on screen, which other lines must not be written across.
static PROGRESS: OnceLock<Arc<dyn Progress>> = OnceLock::new();

impl Told for Printer {
    fn listens(&self, addresses: &[String]) -> Result<()> {
        self.result(&addresses.join("\n"))
    }

    fn note(&self, text: &str) {
        Printer::note(self, text);
    }
}

impl Printer {
    /// Makes the printer of this process, which reports panics from now on too. It uses colour if
    /// stderr is a terminal, unless the environment has `NO_COLOR` or says that the terminal is
    /// dumb.
    pub(super) fn new(messages: &Messages) -> Self {
        let Messages { quiet, verbose, log_format, .. } = *messages;
        let printer = Printer { quiet, verbose, log_format, ..Printer::detect() };
        *CURRENT.get_or_init(|| printer)
    }

    /// Begins recording the spans that `messages` ask for.
    ///
    /// # Errors
    /// Returns [`Kind::Usage`] if the trace cannot be written.
    pub(super) fn record(self, messages: &Messages) -> Result<Recording> {
        spans::record(self, messages.verbose, messages.trace.as_deref())
    }

    /// Returns the printer of this process or, before the command line is known, one for the
    /// terminal alone.
    pub fn current() -> Self {
        CURRENT.get().copied().unwrap_or_else(Printer::detect)
    }

    fn detect() -> Self {
        let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let colour = io::stderr().is_terminal() && !set("NO_COLOR") && !dumb;
        Printer { colour, quiet: false, verbose: false, log_format: LogFormat::default() }
    }

    /// Prints a result: whole lines on stdout. Where that is a terminal, what would steer it is
    /// written out; a program gets every path as it is.
    ///
    /// # Errors
    /// Fails if stdout cannot be written to, e.g. on a full disk. A closed pipe is not an error.
    pub fn result(&self, text: &str) -> Result<()> {
        let end = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
        let mut out = io::stdout().lock();
        let text = if out.is_terminal() { harmless(text) } else { text.into() };
        match out.write_all(format!("{text}{end}").as_bytes()).and_then(|()| out.flush()) {
            Err(e) if e.kind() == ErrorKind::BrokenPipe => Ok(()),
            written => written.context(Kind::System, || "cannot write to standard output".to_owned()),
        }
    }

    /// Prints something worth knowing on stderr, unless `--quiet` was given.
    pub fn note(&self, text: &str) {
        if !self.quiet {
            self.say("note", text);
        }
    }

    /// Returns whether a person reads the notes as they come: they go to a terminal, in text.
    pub(super) fn is_read(&self) -> bool {
        !self.quiet && self.log_format == LogFormat::Text && io::stderr().is_terminal()
    }

    /// Prints something on stderr if `--verbose` was given.
    pub fn detail(&self, text: impl FnOnce() -> String) {
        if self.verbose {
            self.say("detail", &text());
        }
    }

    /// Prints that a span ended; its fields are what it was about.
    pub(super) fn span(&self, name: &str, fields: &BTreeMap<&'static str, Value>, took: Duration) {
        let line = match self.log_format {
            LogFormat::Text => {
                let about: String = fields.iter().map(|(field, value)| format!(" {field}={value}")).collect();
                harmless(&format!("{name}{about}: {}", duration(took))).into_owned()
            }
            LogFormat::Json => {
                json!({"level": "span", "span": name, "fields": fields, "seconds": took.as_secs_f64()}).to_string()
            }
        };
        match (PROGRESS.get(), self.log_format) {
            (Some(progress), LogFormat::Text) => progress.say(&line),
            _ => to_stderr(&format!("{line}\n")),
        }
    }

    fn say(&self, level: &str, text: &str) {
        match self.log_format {
            LogFormat::Text => to_stderr(&format!("{}\n", harmless(text))),
            LogFormat::Json => to_stderr(&format!("{}\n", json!({"level": level, "message": text}))),
        }
    }

    /// Prints an error and what to do about it on stderr.
    pub fn error(&self, error: &Error) {
        if self.log_format == LogFormat::Json {
            return json(error);
        }
        let mut text = self.label("error", RED, &error.to_string());
        if let Some(hint) = error.hint_text() {
            text.push_str(&self.label("hint", CYAN, hint));
        }
        to_stderr(&text);
    }

    /// Returns what stages report their progress to.
    pub(super) fn progress(&self) -> Arc<dyn Progress> {
        let Printer { quiet, verbose, log_format, .. } = *self;
        let shown = || {
            progress::choose(match log_format {
                _ if quiet => Manner::Silent,
                LogFormat::Json => Manner::Json { often: verbose },
                LogFormat::Text => Manner::Text { often: verbose },
            })
        };
        PROGRESS.get_or_init(shown).clone()
    }

    fn label(&self, label: &str, colour: &str, text: &str) -> String {
        let text = harmless(text);
        if self.colour { format!("{colour}{label}:{PLAIN} {text}\n") } else { format!("{label}: {text}\n") }
    }
}

/// Prints an error as a line for programs.
pub(super) fn json(error: &Error) {
    let line = json!({"level": "error", "message": error.to_string(), "hint": error.hint_text()});
    to_stderr(&format!("{line}\n"));
}

/// Returns whether a command line, which may be wrong elsewhere, asks for messages in JSON.
pub(super) fn json_is_asked_for(line: impl IntoIterator<Item = OsString>) -> bool {
    let words: Vec<OsString> = line.into_iter().collect();
    words.iter().any(|word| word == "--log-format=json")
        || words.windows(2).any(|pair| pair[0] == "--log-format" && pair[1] == "json")
}

/// Writes to stderr; a closed stderr is no reason to fail.
fn to_stderr(text: &str) {
    let _ = io::stderr().lock().write_all(text.as_bytes());
}
