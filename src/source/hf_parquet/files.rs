//! The Parquet files of a data set.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::error::{Error, Kind, Result};
use crate::source::files_below;
use crate::source::foreign::{self, Asked};

const NAME_ONE: &str = "name a Parquet file, or a folder of them";

/// Returns the file at `path`, or the files below it, sorted: none if the folder has none.
///
/// # Errors
/// Returns [`Kind::Input`] if there is nothing at `path`, or a folder cannot be read.
pub(super) fn find(path: &Path) -> Result<Vec<PathBuf>> {
    if path.is_file() {
        return Ok(vec![path.to_owned()]);
    }
    if !path.is_dir() {
        return Err(Error::new(Kind::Input, format!("{} does not exist", path.display())).hint(NAME_ONE));
    }
    let parquet = files_below(path).filter(|file| file.as_ref().map_or(true, |file| is_parquet(file)));
    let found: BTreeSet<PathBuf> = parquet.collect::<Result<_>>()?;
    Ok(found.into_iter().collect())
}

/// Returns the error for a folder of a pipeline that has no Parquet file.
pub(super) fn none_in(folder: &Path) -> Error {
    let nothing = || Error::new(Kind::Input, format!("no Parquet file in {}", folder.display())).hint(NAME_ONE);
    foreign::instead(folder, Asked::Pipeline).unwrap_or_else(nothing)
}

/// Returns whether a file is Parquet by its name.
pub(in crate::source) fn is_parquet(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("parquet"))
}
