//! The part of a data set that a pipeline takes: one configuration of several, and some of the
//! splits; and the files of a data set on the hub.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use super::files;
use crate::error::{Error, Kind, Result};
use crate::hub::{self, Listing, Name};
use crate::source::item::Split;
use crate::source::{Dataset, is_visible_path, split_names};
use crate::text::list::{SHOWN, some_of};

/// How the hub calls the folder of a split that it has converted only in part.
const PARTIAL: &str = "partial-";

/// Returns the Parquet files of a pipeline, and the folder or file that they lie in or are.
///
/// # Errors
/// Returns [`Kind::Input`] if there is none, or several configurations would be mixed; fails if the
/// data set is named on the hub, and not whole in the cache.
pub(super) fn files(dataset: &Dataset) -> Result<(PathBuf, Vec<PathBuf>)> {
    let Some(name) = Name::in_place_of(&dataset.path) else {
        let root = dataset.path.clone();
        let found = files::find(&root)?;
        if found.is_empty() {
            return Err(files::none_in(&root));
        }
        let taken = taken(&root, found, dataset)?;
        return Ok((root, taken));
    };
    let found = hub::in_cache(&name)?;
    let root = found.folder();
    let taken = match &found.listing {
        Some(listing) => on_hub(listing, &name, dataset)?.iter().map(|file| root.join(file)).collect(),
        // Python fetched them, and their names say how many there should be.
        None => {
            let found = taken(&root, files::find(&root)?, dataset)?;
            if counted_shards(&found) { found } else { Vec::new() }
        }
    };
    match taken.iter().find(|file| !file.is_file()) {
        None if !taken.is_empty() => Ok((root, taken)),
        missing => {
            let what = missing.map_or("which files it has is not known".to_owned(), |file| {
                format!("{} is missing", file.strip_prefix(&root).unwrap_or(file).display())
            });
            Err(Error::new(Kind::Network, format!("{name} is not whole in the cache: {what}")).hint("a run fetches it"))
        }
    }
}

/// Chooses the files that a pipeline takes of a data set on the hub, by their paths there. Returns
/// none if it has no Parquet, or not of that configuration.
///
/// # Errors
/// Returns [`Kind::Input`] if it has no such split, or several configurations would be mixed.
pub(crate) fn on_hub(listing: &Listing, name: &Name, dataset: &Dataset) -> Result<Vec<String>> {
    // The same rules hold as for a folder of this name.
    let root = PathBuf::from(name.to_string());
    let parquet =
        listing.paths().filter(|path| files::is_parquet(Path::new(path))).filter(|path| is_visible_path(path));
    let found: Vec<PathBuf> = parquet.map(|path| root.join(path)).filter(|path| is_of(&root, path, dataset)).collect();
    if found.is_empty() {
        return Ok(Vec::new());
    }
    let taken = taken(&root, found, dataset)?;
    Ok(taken.iter().filter_map(|path| Some(path.strip_prefix(&root).ok()?.to_str()?.to_owned())).collect())
}

/// Returns the configurations of a data set on the hub: the folders of its Parquet files.
pub(crate) fn configurations(listing: &Listing) -> Vec<String> {
    let parquet = listing.paths().filter(|path| files::is_parquet(Path::new(path)));
    let mut folders: Vec<String> = parquet.filter_map(|path| Some(path.rsplit_once('/')?.0.to_owned())).collect();
    folders.dedup();
    folders
}

/// Returns the note about splits that the hub has converted only in part.
pub(super) fn partial(files: &[PathBuf]) -> Option<String> {
    let is_partial = |part: &OsStr| part.to_str().is_some_and(|part| part.starts_with(PARTIAL));
    let folder =
        files.iter().filter_map(|file| file.parent()).find(|folder| folder.file_name().is_some_and(is_partial))?;
    let shown = folder.file_name().unwrap_or_default().display();
    Some(format!("{shown}: the hub has converted only a part of this split to Parquet, and the rest is not read"))
}

/// Keeps the files of the configuration and the splits that the pipeline names.
fn taken(root: &Path, mut found: Vec<PathBuf>, dataset: &Dataset) -> Result<Vec<PathBuf>> {
    let shown = root.display();
    if let Some(config) = &dataset.config {
        found.retain(|file| is_of(root, file, dataset));
        if found.is_empty() {
            return Err(Error::new(Kind::Input, format!("{shown} has no Parquet file in a folder '{config}'"))
                .hint("dataset.config names the folder of a configuration; leave it out where there is one alone"));
        }
    }
    if let Some(wanted) = &dataset.split {
        let words: Vec<&str> = wanted.split('+').map(str::trim).collect();
        let mut labels: Vec<String> = found.iter().filter_map(|file| label(root, file)).collect();
        labels.sort();
        labels.dedup();
        for word in &words {
            if !found.iter().any(|file| means(root, file, word, &labels)) {
                let what = format!("{shown} has no split '{word}'");
                return Err(Error::new(Kind::Input, what).hint(format!("its splits are {}", some_of(&labels, SHOWN))));
            }
        }
        found.retain(|file| words.iter().any(|word| means(root, file, word, &labels)));
    }
    split_names::one_configuration(root, &found, Some("dataset.path"))?;
    Ok(found)
}

/// Returns whether a file lies in the folder of the pipeline's configuration, if it names one.
fn is_of(root: &Path, file: &Path, dataset: &Dataset) -> bool {
    let Some(config) = &dataset.config else { return true };
    let below = file.strip_prefix(root).unwrap_or(file).parent().unwrap_or(Path::new(""));
    below.iter().any(|folder| folder == config.as_str())
}

/// Returns whether a file is of the split that a word names: the one of exactly that name if there
/// is one, or else any that means the same.
fn means(root: &Path, file: &Path, word: &str, labels: &[String]) -> bool {
    if labels.iter().any(|label| label == word) {
        return label(root, file).as_deref() == Some(word);
    }
    Split::parse(word).is_some_and(|split| split_names::splits(root, &[file.to_owned()]) == [Some(split)])
}

/// Returns what a file's split is called: `train` for `train-00000-of-00002.parquet`, and for
/// `train/0000.parquet`.
fn label(root: &Path, file: &Path) -> Option<String> {
    let stem = file.file_stem()?.to_str()?;
    let name = shard(stem).map_or(stem, |(name, _)| name);
    if !name.is_empty() && !name.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(name.to_owned());
    }
    let folder = file.parent().filter(|folder| *folder != root)?.file_name()?.to_str()?;
    Some(folder.strip_prefix(PARTIAL).unwrap_or(folder).to_owned())
}

/// Splits `train-00000-of-00002-0ab1` into `train` and the number of shards.
fn shard(stem: &str) -> Option<(&str, usize)> {
    let (before, after) = stem.rsplit_once("-of-")?;
    let (name, _) = before.rsplit_once('-')?;
    Some((name, after.split('-').next()?.parse().ok()?))
}

/// Returns whether all shards are there that the names of some say.
fn counted_shards(files: &[PathBuf]) -> bool {
    let mut counts: BTreeMap<(&Path, &str, usize), usize> = BTreeMap::new();
    for file in files {
        let stem = file.file_stem().and_then(OsStr::to_str).and_then(shard);
        let (Some((name, all)), Some(folder)) = (stem, file.parent()) else { return false };
        *counts.entry((folder, name, all)).or_default() += 1;
    }
    counts.into_iter().all(|((_, _, all), there)| all == there)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::SourceKind;

    fn taken_of(files: &[&str], config: Option<&str>, split: Option<&str>) -> Result<Vec<String>> {
        let root = Path::new("hf://datasets/a/b");
        let mut dataset = Dataset::new(SourceKind::HfParquet, root.to_owned());
        (dataset.config, dataset.split) = (config.map(str::to_owned), split.map(str::to_owned));
        let taken = taken(root, files.iter().map(|file| root.join(file)).collect(), &dataset)?;
        Ok(taken.iter().map(|file| file.strip_prefix(root).unwrap().display().to_string()).collect())
    }

    #[test]
    fn a_split_is_the_one_of_that_name() {
        let files =
            ["data/train-00000-of-00001.parquet", "data/train_small-00000-of-00001.parquet", "data/test.parquet"];
        assert_eq!(taken_of(&files, None, Some("train")).unwrap(), [files[0]]);
        assert_eq!(taken_of(&files, None, Some("train_small + test")).unwrap(), [files[1], files[2]]);
        assert_eq!(taken_of(&files, None, Some("eval")).unwrap(), [files[2]]);
        let error = taken_of(&files, None, Some("dev")).unwrap_err();
        assert_eq!(error.hint_text(), Some("its splits are test, train, train_small"));
    }

    #[test]
    fn a_configuration_is_a_folder_and_several_are_not_mixed() {
        let files = ["large/train/0000.parquet", "small/train/0000.parquet", "small/partial-test/0000.parquet"];
        assert_eq!(taken_of(&files, Some("small"), None).unwrap(), files[1..]);
        assert_eq!(taken_of(&files, Some("small"), Some("test")).unwrap(), files[2..]);
        let error = taken_of(&files, None, None).unwrap_err();
        assert_eq!(error.hint_text(), Some("choose one: dataset.config = \"large\""));
        assert!(taken_of(&files, Some("huge"), None).unwrap_err().to_string().contains("'huge'"));
        assert!(partial(&[PathBuf::from(files[2])]).unwrap().starts_with("partial-test: "));
    }

    #[test]
    fn names_say_how_many_shards_there_are() {
        let counted = |files: &[&str]| counted_shards(&files.iter().map(PathBuf::from).collect::<Vec<_>>());
        assert!(counted(&["d/train-00000-of-00002-0ab1.parquet", "d/train-00001-of-00002-0ab2.parquet"]));
        assert!(!counted(&["d/train-00000-of-00002.parquet"]));
        assert!(!counted(&["default/train/0000.parquet"]));
    }
}
