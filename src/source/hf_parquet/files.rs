//! The Parquet files of a data set, and the splits that their names mean.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use walkdir::WalkDir;

use crate::error::{Context, Error, Kind, Result};
use crate::source::foreign::{self, Asked};
use crate::source::is_visible;
use crate::source::item::Split;
use crate::text::list::{SHOWN, some_of};

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

/// Refuses a folder with several data sets, as the Hub keeps the configurations of one: a folder
/// each, with the same splits in several of them. `key` is what names the folder, if a key does.
///
/// # Errors
/// Returns [`Kind::Input`] if it has several.
pub(super) fn one_configuration(root: &Path, files: &[PathBuf], key: Option<&str>) -> Result<()> {
    let mut configurations: BTreeMap<Split, BTreeSet<PathBuf>> = BTreeMap::new();
    for (split, folder) in files.iter().filter_map(|file| named(root, file)) {
        configurations.entry(split).or_default().insert(folder.strip_prefix(root).unwrap_or(folder).to_owned());
    }
    let Some(several) = configurations.into_values().find(|folders| folders.len() > 1) else { return Ok(()) };
    let names: Vec<String> = several.iter().map(|folder| shown(folder)).collect();
    let first = several.iter().find(|folder| !folder.as_os_str().is_empty());
    let first = first.map_or(root.to_owned(), |folder| root.join(folder));
    let what = format!(
        "{} holds several data sets with the same splits, in {}: they would be mixed",
        root.display(),
        some_of(&names, SHOWN)
    );
    let first = first.display();
    Err(Error::new(Kind::Input, what).hint(match key {
        Some(key) => format!("choose one: {key} = \"{first}\""),
        None => format!("name one of them, such as {first}"),
    }))
}

fn shown(folder: &Path) -> String {
    if folder.as_os_str().is_empty() { "the folder itself".to_owned() } else { folder.display().to_string() }
}

/// Returns the split that the name of each file means, or the nearest folder's above it, below
/// `root`.
pub(super) fn splits(root: &Path, files: &[PathBuf]) -> Vec<Option<Split>> {
    // Of a single file, the folder's name counts as well.
    let root = if root.is_file() { root.parent().and_then(Path::parent).unwrap_or(root) } else { root };
    files.iter().map(|file| named(root, file).map(|(split, _)| split)).collect()
}

/// Checks that all names mean a split, or none does: then all pictures are for training.
///
/// # Errors
/// Returns [`Kind::Input`] if some do, and others do not.
pub(super) fn all_or_none(files: &[PathBuf], splits: &[Option<Split>]) -> Result<()> {
    let first = |named: bool| files.iter().zip(splits).find(|(_, split)| split.is_some() == named);
    let (Some((with, _)), Some((without, _))) = (first(true), first(false)) else { return Ok(()) };
    let what = format!("{} names no split, and {} does", without.display(), with.display());
    let hint = format!("rename it with the word of a split, or move it out of the folder; {}", Split::hint());
    Err(Error::new(Kind::Input, what).hint(hint))
}

/// Returns the split that a file's name means, or the nearest folder's, and the folder in which the
/// splits lie.
fn named<'a>(root: &Path, file: &'a Path) -> Option<(Split, &'a Path)> {
    let above = file.parent()?;
    if let Some(split) = by_name(file.file_stem()) {
        return Some((split, above));
    }
    let folders = above.ancestors().take_while(|folder| *folder != root && folder.starts_with(root));
    folders.into_iter().find_map(|folder| Some((by_name(folder.file_name())?, folder.parent()?)))
}

fn by_name(name: Option<&OsStr>) -> Option<Split> {
    let name = name.unwrap_or_default().to_string_lossy().into_owned();
    name.split(|c: char| !c.is_alphanumeric()).find_map(Split::parse)
}
