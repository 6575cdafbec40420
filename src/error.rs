//! The one error of the program: what was wrong, where, and what to do.
//!
//! Libraries' errors are turned into it at the place that knows the file, key or row, so that the message a user reads
//! needs no back-trace. `Display` gives the message with its causes on one line each; the hint is kept apart for the
//! printer, which shows it on a line of its own.

use std::cell::Cell;
use std::fmt;
use std::io::ErrorKind;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

/// `Result` with the crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What kind of thing went wrong. Decides the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The command line or the pipeline file is wrong: nothing was started.
    Usage,
    /// A dataset, list or description file cannot be used.
    Input,
    /// Weights, configuration or tokenizer of a model cannot be used.
    Model,
    /// The store could not be read or written.
    Store,
    /// A SQL statement was refused or failed.
    Query,
    /// libtorch failed: out of memory, or a device error.
    Torch,
    /// More pictures were rejected than the pipeline file tolerates.
    Tolerance,
    /// The user asked to stop.
    Interrupted,
    /// The operating system refused something that is not of the store: a thread, a signal, the terminal, a file of results.
    System,
    /// The program is at fault.
    Internal,
}

impl Kind {
    /// The process's exit code for this kind; `--help` lists them.
    pub fn exit_code(self) -> u8 {
        match self {
            Kind::Usage => 2,
            Kind::Tolerance => 3,
            Kind::Interrupted => 130,
            Kind::Input | Kind::Model | Kind::Store | Kind::Query | Kind::Torch | Kind::System | Kind::Internal => 1,
        }
    }

    /// What can be done about an error of this kind where nobody knew better.
    fn hint(self) -> Option<&'static str> {
        match self {
            Kind::Usage => Some("`microclip-pipe schema --settings` lists every key, and --help every argument"),
            Kind::Input => Some("mend it and run again; what was computed is kept"),
            Kind::Model => Some(
                "a model is a folder with a CLIP's config.json, tokenizer.json and model.safetensors, or a .safetensors file in OpenAI's naming",
            ),
            Kind::Store => Some("`microclip-pipe cache verify PIPELINE` names what is damaged; a run computes it anew"),
            Kind::Query => Some("`microclip-pipe schema` lists tables and columns; the SQL is DataFusion's"),
            Kind::Torch => Some("less at once needs less memory: --set embed.batch=8 --set adapt.batch=8"),
            Kind::System => Some("the message is the operating system's; `ulimit -a` shows its limits"),
            Kind::Internal => Some(
                "this is a fault of the program: please report it with this line, the command line, the pipeline file and \
                 `microclip-pipe --version`; RUST_BACKTRACE=1 shows where it came from",
            ),
            Kind::Tolerance | Kind::Interrupted => None,
        }
    }
}

/// What can be done about a cause, or about what caused it.
fn hint_of<'a>(cause: &'a (dyn std::error::Error + 'static)) -> Option<&'a str> {
    if let Some(error) = cause.downcast_ref::<Error>() {
        return error.own_hint();
    }
    match cause.downcast_ref::<std::io::Error>().map(std::io::Error::kind) {
        Some(ErrorKind::NotFound) => Some("is that its name? `ls` of the folder before it shows what is there"),
        Some(ErrorKind::PermissionDenied) => Some("this user may not: `ls -ld` of it shows who may"),
        Some(ErrorKind::StorageFull | ErrorKind::QuotaExceeded) => {
            Some("make room and run again; what was finished is kept")
        }
        Some(ErrorKind::ReadOnlyFilesystem) => Some("it lies where nothing can be written: name another place"),
        Some(ErrorKind::IsADirectory) => Some("name a file in it"),
        Some(ErrorKind::NotADirectory) => Some("a part of its path is a file, not a folder"),
        _ => hint_of(cause.source()?),
    }
}

/// An error with its message, an optional hint and an optional cause.
#[derive(Debug)]
pub struct Error {
    kind: Kind,
    message: String,
    hint: Option<String>,
    cause: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// An error of `kind` that says `message`: lower case, no full stop, names the file, key or row.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Error { kind, message: message.into(), hint: None, cause: None }
    }

    /// Adds what the user can do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds the error that led to this one.
    #[must_use]
    pub fn cause(mut self, cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.cause = Some(cause.into());
        self
    }

    /// What kind of thing went wrong.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// What the user can do about it: said where the error was made, else known from its cause, else what helps with all of its kind.
    pub fn hint_text(&self) -> Option<&str> {
        self.own_hint().or_else(|| self.kind.hint())
    }

    /// The same without what only helps in general.
    pub(crate) fn own_hint(&self) -> Option<&str> {
        self.hint.as_deref().or_else(|| hint_of(self.cause.as_deref()?))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.message)?;
        let mut cause = self.cause.as_deref().map(|c| c as &dyn std::error::Error);
        while let Some(c) = cause {
            write!(f, ": {c}")?;
            // Our own Display prints its causes itself.
            cause = if c.is::<Error>() { None } else { c.source() };
        }
        Ok(())
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.cause.as_deref().map(|c| c as &(dyn std::error::Error + 'static))
    }
}

/// Turns a library's error into ours at the place that knows what was being done.
pub trait Context<T> {
    /// Wraps the error as the cause of a new one.
    ///
    /// # Errors
    /// The wrapped error, where `self` is one.
    fn context(self, kind: Kind, message: impl FnOnce() -> String) -> Result<T>;

    /// The same for work on a file: the message is `doing PATH`, e.g. `cannot read data/a.csv`.
    ///
    /// # Errors
    /// The wrapped error, where `self` is one.
    fn at(self, kind: Kind, doing: &str, path: &Path) -> Result<T>;
}

impl<T, E> Context<T> for std::result::Result<T, E>
where
    E: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    fn context(self, kind: Kind, message: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|cause| Error::new(kind, message()).cause(cause))
    }

    fn at(self, kind: Kind, doing: &str, path: &Path) -> Result<T> {
        self.map_err(|cause| Error::new(kind, format!("{doing} {}", path.display())).cause(cause))
    }
}

thread_local! {
    /// Whether a panic of this thread is caught by [`caught`].
    static EXPECTED: Cell<bool> = const { Cell::new(false) };
}

/// Runs a library's reader on a file that may be damaged. Some panic on such files; to a user these are as damaged as those for
/// which they return an error, so a panic is `None`. What `read` borrows must not be used any more after it.
pub fn caught<T>(read: impl FnOnce() -> T) -> Option<T> {
    let before = EXPECTED.replace(true);
    let done = catch_unwind(AssertUnwindSafe(read)).ok();
    EXPECTED.set(before);
    done
}

/// Whether a panic of this thread will be caught and turned into an error, so that nobody need be told of it.
pub fn panic_is_expected() -> bool {
    EXPECTED.get()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn display_lists_causes_in_order() {
        let io = std::io::Error::other("disk on fire");
        let inner = Error::new(Kind::Store, "cannot read part").cause(io);
        let outer = Error::new(Kind::Store, "stage embed failed").cause(inner);
        assert_eq!(outer.to_string(), "stage embed failed: cannot read part: disk on fire");
    }

    #[test]
    fn the_nearest_hint_is_said() {
        let of = |error: Error| error.hint_text().unwrap().to_owned();
        let full = || std::io::Error::from(ErrorKind::StorageFull);
        let part = || Error::new(Kind::Store, "cannot write part").cause(full());
        assert!(of(part()).starts_with("make room"));
        assert!(of(Error::new(Kind::Store, "stage embed failed").cause(part())).starts_with("make room"));
        let known = part().hint("name another store");
        assert_eq!(of(Error::new(Kind::Store, "stage embed failed").cause(known)), "name another store");
        assert!(of(Error::new(Kind::Store, "no such row")).contains("cache verify"));
        assert_eq!(Error::new(Kind::Interrupted, "stopped").hint_text(), None);
        // Nothing of the store is at fault where a signal, a terminal or the program is.
        for kind in [Kind::System, Kind::Internal] {
            assert!(!of(Error::new(kind, "cannot listen for Ctrl-C")).contains("cache verify"));
        }
    }
}
