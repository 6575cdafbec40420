//! The Parquet files of a data set.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use walkdir::WalkDir;

use crate::error::{Context, Error, Kind, Result};
use crate::source::foreign::{self, Asked};
use crate::source::is_visible;

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
    let mut found = BTreeSet::new();
    // Hidden folders hold what tools keep: a store, git's objects, downloads under way.
    for entry in WalkDir::new(path).follow_links(true).into_iter().filter_entry(is_visible) {
        // A folder that cannot be read may hold a part of the pictures. A link back to a folder
        // above: its target is found without it.
        if entry.as_ref().is_err_and(|error| error.loop_ancestor().is_some()) {
            continue;
        }
        let entry = entry.at(Kind::Input, "cannot look through", path)?;
        found.extend((is_parquet(entry.path()) && entry.file_type().is_file()).then(|| entry.into_path()));
    }
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
