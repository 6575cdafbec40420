//! The Parquet reader panics on some damaged files (negative offsets, unknown types, a missing dictionary). To a user
//! such a file is as damaged as one for which it returns an error.

use std::path::Path;

use crate::error::{Error, Kind, Result, caught};

/// Runs the reader on the file at `path`; a panic becomes an error that names the file. Where the reader has panicked it
/// must not be asked again.
pub(super) fn guarded<T>(path: &Path, read: impl FnOnce() -> Result<T>) -> Result<T> {
    caught(read).unwrap_or_else(|| {
        Err(Error::new(Kind::Input, format!("Parquet file {} is damaged", path.display()))
            .hint("fetch or write the file again"))
    })
}
