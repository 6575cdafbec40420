//! What kind of source a path is, for those who do not say.

use std::path::{Path, PathBuf};

use walkdir::WalkDir;

use super::cifar::is_cifar;
use super::folder::is_picture;
use super::hf_parquet::files::is_parquet;
use super::list::{List, metadata_lists};
use super::webdataset::shards::is_shard;
use super::{Dataset, Source, SourceKind, foreign, is_visible};
use crate::error::Result;
use crate::text::pattern;

/// How far below a folder Parquet files are looked for: clones of the Hub have `data/`, or a folder
/// for each configuration and split.
const DEPTH: usize = 4;

/// Guesses what kind of source lies at `path`, and where it begins: a Parquet file or a tar, a
/// folder of some without pictures, a folder of pictures, the list in it that has their labels, or
/// else a list. A pattern means tars.
///
/// # Errors
/// Fails if what lies there is known by name, but not read here.
pub fn guess(path: &Path) -> Result<Dataset> {
    foreign::refuse(path)?;
    let of = |kind, path: &Path| Ok(Dataset::new(kind, path.to_owned()));
    if path.is_file() {
        return of(
            match path {
                path if is_parquet(path) => SourceKind::HfParquet,
                path if is_shard(path) => SourceKind::WebDataset,
                _ => SourceKind::List,
            },
            path,
        );
    }
    if !path.exists() && pattern::folder(path).is_some() {
        return of(SourceKind::WebDataset, path);
    }
    if is_cifar(path) {
        return of(SourceKind::Cifar, path);
    }
    let here = |depth: usize| {
        let below = WalkDir::new(path).follow_links(true).max_depth(depth).into_iter().filter_entry(is_visible);
        below.flatten().filter(move |entry| entry.depth() == depth)
    };
    if here(1).any(|entry| is_parquet(entry.path())) {
        return of(SourceKind::HfParquet, path);
    }
    // The image folders of `datasets` have such files in the folders of their splits.
    if here(2).any(|entry| entry.file_name() == "metadata.parquet") {
        return of(SourceKind::HfParquet, path);
    }
    if let Some(list) = labelled_list(path) {
        return of(SourceKind::List, &list);
    }
    let (mut parquet, mut tars) = (false, false);
    for entry in WalkDir::new(path).follow_links(true).into_iter().filter_entry(is_visible).flatten() {
        if entry.file_type().is_file() && is_picture(entry.path()) {
            return of(SourceKind::Folder, path);
        }
        parquet |= entry.depth() <= DEPTH && is_parquet(entry.path());
        tars |= entry.depth() <= DEPTH && entry.file_type().is_file() && is_shard(entry.path());
    }
    let kind = match (parquet, tars) {
        (true, _) => SourceKind::HfParquet,
        (false, true) => SourceKind::WebDataset,
        (false, false) => SourceKind::Folder,
    };
    of(kind, path)
}

/// Returns the list in a folder of pictures, or the folder if it has several, if they have labels:
/// `datasets` takes labels from there, and not from the folders' names.
fn labelled_list(folder: &Path) -> Option<PathBuf> {
    let lists = metadata_lists(folder);
    let path = match lists.as_slice() {
        [] => return None,
        [one] if one.parent() == Some(folder) => one,
        _ => folder,
    };
    List::open(path, None).is_ok_and(|opened| opened.listing().has_labels).then(|| path.to_owned())
}
