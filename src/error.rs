//! The program's one error type: what was wrong, where, and what to do.
//!
//! Errors of libraries are wrapped where the file, key or row is known, so that the user's message
//! needs no back-trace. `Display` writes the message and its causes on one line; the hint is
//! separate, and the printer shows it on its own line.

use std::fmt;
use std::io::ErrorKind;
use std::path::Path;

/// `Result` with the crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What kind of thing went wrong; it decides the exit code.
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
    /// A server could not be reached, or its answer is of no use.
    Network,
    /// The operating system refused something outside the store: a thread, a signal, the terminal,
    /// a file of results.
    System,
    /// The program is at fault.
    Internal,
}

impl Kind {
    /// Returns the process's exit code for this kind; `--help` lists them.
    pub fn exit_code(self) -> u8 {
        match self {
            Kind::Usage => 2,
            Kind::Tolerance => 3,
            Kind::Interrupted => 130,
            Kind::Input
            | Kind::Model
            | Kind::Store
            | Kind::Query
            | Kind::Torch
            | Kind::Network
            | Kind::System
            | Kind::Internal => 1,
        }
    }

    /// Returns the general hint for this kind, for errors without a better one.
    fn hint(self) -> Option<&'static str> {
        match self {
            Kind::Usage => Some("`microclip-pipe schema --settings` lists every key, and --help every argument"),
            Kind::Input => Some("mend it and run again; what was computed is kept"),
            Kind::Model => {
                Some("a folder with a model of transformers or open_clip, or a .safetensors file: docs/models.md")
            }
            Kind::Store => Some("`microclip-pipe cache verify PIPELINE` names what is damaged; a run computes it anew"),
            Kind::Query => Some("`microclip-pipe schema` lists tables and columns; the SQL is DataFusion's"),
            Kind::Torch => Some("less at once needs less memory: --set embed.batch=8 --set adapt.batch=8"),
            Kind::Network => {
                Some("`curl -I` of that address shows whether this machine reaches it; HTTPS_PROXY names a proxy")
            }
            Kind::System => Some("the message is the operating system's; `ulimit -a` shows its limits"),
            Kind::Internal => Some(
                "this is a fault of the program: please report it with this line, the command line, the pipeline file and \
                 `microclip-pipe --version`; RUST_BACKTRACE=1 shows where it came from",
            ),
            Kind::Tolerance | Kind::Interrupted => None,
        }
    }
}

/// Returns a hint for a cause, or for what caused it.
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
    /// Makes an error of `kind`. `message` is in lower case without a full stop, and names the
    /// file, key or row.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Error { kind, message: message.into(), hint: None, cause: None }
    }

    /// Makes an error about a line of a text file: `PATH:LINE: WHAT`.
    pub fn in_line(kind: Kind, path: &Path, line: u64, what: impl fmt::Display) -> Self {
        Error::new(kind, format!("{}:{line}: {what}", path.display()))
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

    /// Returns what kind of thing went wrong.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Returns what the user can do about it: the error's own hint, else its cause's, else the
    /// general one for its kind.
    pub fn hint_text(&self) -> Option<&str> {
        self.own_hint().or_else(|| self.kind.hint())
    }

    /// Like [`Error::hint_text`], but without the general hint for its kind.
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
            // `Error` prints its causes itself.
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

/// Turns a library's error into ours, in code that knows what was being done.
pub trait Context<T> {
    /// Wraps the error as the cause of a new one.
    ///
    /// # Errors
    /// Returns the wrapped error if `self` is one.
    fn context(self, kind: Kind, message: impl FnOnce() -> String) -> Result<T>;

    /// Like [`Context::context`], for work on a file: the message is `doing PATH`, e.g.
    /// `cannot read data/a.csv`.
    ///
    /// # Errors
    /// Returns the wrapped error if `self` is one.
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
        // A signal, a terminal or the program is at fault here, not the store.
        for kind in [Kind::System, Kind::Internal] {
            assert!(!of(Error::new(kind, "cannot listen for Ctrl-C")).contains("cache verify"));
        }
    }
}
