//! Reads a text file with one class name a line.

use std::path::Path;

use crate::error::{Error, Kind, Result};
use crate::text::file as text_file;
use crate::text::names::{composed, plain};

/// The most bytes of a file of class names: room for a million.
const LONGEST: u64 = 64 << 20;

/// Reads one class name a line; empty lines are ignored.
///
/// # Errors
/// Returns [`Kind::Input`] if the file cannot be read, has fewer than two names, or lists one of
/// them twice.
pub fn class_names(path: &Path) -> Result<Vec<String>> {
    let text = text_file::read(path, Kind::Input, LONGEST)?;
    let names: Vec<String> = text.lines().map(|l| composed(l.trim()).into_owned()).filter(|l| !l.is_empty()).collect();
    let mut sorted: Vec<(String, &String)> = names.iter().map(|name| (plain(name), name)).collect();
    sorted.sort();
    if let Some([(_, one), (_, other)]) = sorted.array_windows().find(|[one, other]| one.0 == other.0) {
        let again = if one == other { String::new() } else { format!(", once as '{other}'") };
        return Err(Error::new(Kind::Input, format!("{}: class '{one}' is listed twice{again}", path.display()))
            .hint("remove one of the two lines"));
    }
    if names.len() < 2 {
        let what = format!("{}: {} class names where at least two are needed", path.display(), names.len());
        return Err(Error::new(Kind::Input, what).hint("one class name a line"));
    }
    Ok(names)
}
