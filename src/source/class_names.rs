//! A text file with one class name a line.

use std::path::Path;

use crate::error::{Error, Kind, Result};
use crate::text::file as text_file;

/// Bytes of a file of class names: a million of them.
const LONGEST: u64 = 64 << 20;

/// Reads one class name a line; empty lines are nothing.
///
/// # Errors
/// [`Kind::Input`] where the file cannot be read, has fewer than two names, or one of them twice.
pub fn class_names(path: &Path) -> Result<Vec<String>> {
    let text = text_file::read(path, Kind::Input, LONGEST)?;
    let names: Vec<String> = text.lines().map(|l| l.trim().to_owned()).filter(|l| !l.is_empty()).collect();
    let mut sorted: Vec<&String> = names.iter().collect();
    sorted.sort();
    if let Some(pair) = sorted.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(Error::new(Kind::Input, format!("{}: class '{}' is listed twice", path.display(), pair[0]))
            .hint("remove one of the two lines"));
    }
    if names.len() < 2 {
        let what = format!("{}: {} class names where at least two are needed", path.display(), names.len());
        return Err(Error::new(Kind::Input, what).hint("one class name a line"));
    }
    Ok(names)
}
