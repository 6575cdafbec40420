//! The mistakes found in one pipeline file, gathered so that one run of the program shows them all.

use std::path::{Path, PathBuf};

use crate::error::{Error, Kind, Result};

/// The most mistakes shown at once.
const SHOWN: usize = 20;

/// Sort orders of mistakes that have no line.
const WHOLE_FILE: usize = usize::MAX - 1;
const COMMAND_LINE: usize = usize::MAX;

#[derive(Debug)]
struct Mistake {
    /// Sorts by place: lines of the file, then the file as a whole, then the command line.
    order: usize,
    place: String,
    what: String,
    hint: Option<String>,
}

/// Mistakes of one file.
#[derive(Debug)]
pub(crate) struct Mistakes {
    file: PathBuf,
    found: Vec<Mistake>,
}

impl Mistakes {
    pub(crate) fn new(file: &Path) -> Self {
        Mistakes { file: file.to_owned(), found: Vec::new() }
    }

    /// Adds a mistake on a line of the file, or in the file as a whole.
    pub(crate) fn in_file(&mut self, line: Option<usize>, what: impl Into<String>, hint: Option<String>) {
        let place = match line {
            Some(line) => format!("{}:{line}", self.file.display()),
            None => self.file.display().to_string(),
        };
        self.found.push(Mistake { order: line.unwrap_or(WHOLE_FILE), place, what: what.into(), hint });
    }

    /// Adds a mistake in an override.
    pub(crate) fn in_override(&mut self, text: &str, what: impl Into<String>, hint: Option<String>) {
        let place = format!("--set {}", text.escape_debug());
        self.found.push(Mistake { order: COMMAND_LINE, place, what: what.into(), hint });
    }

    /// Returns an error that lists all mistakes, if there are any.
    pub(crate) fn finish(mut self) -> Result<()> {
        self.found.sort_by_key(|mistake| mistake.order);
        // The parser may report a syntax error many times at one place.
        self.found.dedup_by(|a, b| a.place == b.place && a.what == b.what);
        let error = match self.found.as_slice() {
            [] => return Ok(()),
            [Mistake { place, what, hint, .. }] => {
                let error = Error::new(Kind::Usage, format!("{place}: {what}"));
                match hint {
                    Some(hint) => error.hint(hint),
                    None => error,
                }
            }
            many => {
                let (first, last) = (many[0].order, many[many.len() - 1].order);
                let place = match (first == COMMAND_LINE, last == COMMAND_LINE) {
                    (true, _) => "--set".to_owned(),
                    (false, true) => format!("{} and --set", self.file.display()),
                    (false, false) => self.file.display().to_string(),
                };
                let mut message = format!("{} mistakes in {place}", many.len());
                for Mistake { place, what, hint, .. } in many.iter().take(SHOWN) {
                    message.push_str(&format!("\n  {place}: {what}"));
                    if let Some(hint) = hint {
                        message.push_str(&format!(" ({hint})"));
                    }
                }
                if many.len() > SHOWN {
                    message.push_str(&format!("\n  ... and {} more", many.len() - SHOWN));
                }
                Error::new(Kind::Usage, message)
            }
        };
        Err(error)
    }
}
