//! The splits that the names of files mean, where a data set is several files:
//! `train-00000.parquet`, `test/0.tar`.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use super::item::Split;
use crate::error::{Error, Kind, Result};
use crate::hub::Name;
use crate::text::list::{SHOWN, some_of};

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
    let first_folder = first.and_then(|folder| folder.file_name());
    let first = first.map_or(root.to_owned(), |folder| root.join(folder));
    let what = format!(
        "{} holds several data sets with the same splits, in {}: they would be mixed",
        root.display(),
        some_of(&names, SHOWN)
    );
    let first = first.display();
    // Of a data set on the hub, no path can be named.
    let config = first_folder.filter(|_| Name::in_place_of(root).is_some());
    Err(Error::new(Kind::Input, what).hint(match key {
        Some(_) if config.is_some() => {
            format!("choose one: dataset.config = \"{}\"", config.unwrap_or_default().display())
        }
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
