//! The Parquet reader panics on some damaged files (negative offsets, unknown types, a missing
//! dictionary). To the user, such a file is just as damaged as one that gives an error.

use std::path::Path;

use crate::error::{Error, Kind, Result};
use crate::panics::caught;

/// Runs the reader on the file at `path` and turns a panic into an error that names the file. A
/// reader that panicked must not be used again.
pub(super) fn or_damaged<T>(path: &Path, read: impl FnOnce() -> Result<T>) -> Result<T> {
    caught(read).unwrap_or_else(|_| {
        Err(Error::new(Kind::Input, format!("Parquet file {} is damaged", path.display()))
            .hint("fetch or write the file again"))
    })
}
