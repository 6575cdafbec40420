//! What kind of source a path is, for those who do not say.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use walkdir::WalkDir;

use super::cifar::is_cifar;
use super::folder::{Folder, is_picture};
use super::hf_parquet::files::is_parquet;
use super::item::Split;
use super::list::{self, List, Start, is_list, metadata_lists};
use super::webdataset::shards::is_shard;
use super::{Dataset, Source, SourceKind, foreign, is_visible};
use crate::error::{Error, Kind, Result};
use crate::text::list::{SHOWN, some_of};
use crate::text::{pattern, shell};

/// How far below a folder Parquet files are looked for: clones of the Hub have `data/`, or a folder
/// for each configuration and split.
const DEPTH: usize = 4;

/// What a path is taken for.
#[derive(Debug, Clone)]
pub struct Guess {
    /// The source.
    pub dataset: Dataset,
    /// What was found and could have been taken otherwise, a line each.
    pub because: Vec<String>,
}

impl Guess {
    fn of(kind: SourceKind, path: &Path) -> Self {
        Guess { dataset: Dataset::new(kind, path.to_owned()), because: Vec::new() }
    }
}

/// Guesses what kind of source lies at `path`, and where it begins: a Parquet file or a tar, a
/// folder of some without pictures, a folder of pictures, the list in it or beside it that has
/// their labels, or else a list. A pattern means lists by its extension, and otherwise tars.
///
/// # Errors
/// Fails if what lies there is known by name, but not read here; if it may be several data sets; or
/// if no picture of a list is found.
pub fn guess(path: &Path) -> Result<Guess> {
    foreign::refuse(path)?;
    if let (Ok(target), false) = (path.read_link(), path.exists()) {
        let what = format!("{} is a link to {}, which is not there", path.display(), target.display());
        return Err(Error::new(Kind::Input, what).hint("mount or fetch what it leads to, or name another folder"));
    }
    if path.is_file() {
        return match path {
            path if is_parquet(path) => Ok(Guess::of(SourceKind::HfParquet, path)),
            path if is_shard(path) => Ok(Guess::of(SourceKind::WebDataset, path)),
            _ => listed(path),
        };
    }
    if !path.exists()
        && let Some(folder) = pattern::folder(path)
    {
        return match path {
            path if is_parquet(path) => Err(foreign::pattern_of(path, &folder)),
            path if is_list(path) || path.extension().is_some_and(|extension| extension == "txt") => listed(path),
            _ => Ok(Guess::of(SourceKind::WebDataset, path)),
        };
    }
    if is_cifar(path) {
        return Ok(Guess::of(SourceKind::Cifar, path));
    }
    let here = |depth: usize| {
        let below = WalkDir::new(path).follow_links(true).max_depth(depth).into_iter().filter_entry(is_visible);
        below.flatten().filter(move |entry| entry.depth() == depth)
    };
    if here(1).any(|entry| is_parquet(entry.path())) {
        return Ok(Guess::of(SourceKind::HfParquet, path));
    }
    // The image folders of `datasets` have such files in the folders of their splits.
    if here(2).any(|entry| entry.file_name() == "metadata.parquet") {
        return Ok(Guess::of(SourceKind::HfParquet, path));
    }
    if let Some(list) = labelled_list(path) {
        return listed(&list);
    }
    let mut aside = Vec::new();
    if let Some(found) = of_authors(path, &mut aside)? {
        return Ok(found);
    }
    let (mut parquet, mut tars) = (false, false);
    for entry in WalkDir::new(path).follow_links(true).into_iter().filter_entry(is_visible).flatten() {
        if entry.file_type().is_file() && is_picture(entry.path()) {
            let found = of_tables(path, &mut aside);
            return Ok(found.unwrap_or(Guess { because: aside, ..Guess::of(SourceKind::Folder, path) }));
        }
        parquet |= entry.depth() <= DEPTH && is_parquet(entry.path());
        tars |= entry.depth() <= DEPTH && entry.file_type().is_file() && is_shard(entry.path());
    }
    let kind = match (parquet, tars) {
        (true, _) => SourceKind::HfParquet,
        (false, true) => SourceKind::WebDataset,
        (false, false) => SourceKind::Folder,
    };
    Ok(Guess { because: aside, ..Guess::of(kind, path) })
}

/// Takes a list, or several of a pattern, with the folder in which its pictures are found.
fn listed(list: &Path) -> Result<Guess> {
    let mut guess = Guess::of(SourceKind::List, list);
    let start = list::start(list, None).or_else(|why| {
        // A table of a competition says `image_id` or the like.
        let columns = if has_columns(list) { list::unknown_columns(list) } else { Vec::new() };
        let by = |column: String| list::start(list, Some(&column)).ok().map(|start| (column, start));
        let (column, start) = columns.into_iter().find_map(by).ok_or(why)?;
        guess.because.push(format!("dataset.image_column = \"{column}\": pictures are called as it says"));
        guess.dataset.image_column = Some(column);
        Ok::<Start, Error>(start)
    });
    let Start { root, is_own, others } = start?;
    if !is_own {
        let mut because = format!("dataset.root = \"{}\": the pictures of the list are found there", root.display());
        if !others.is_empty() {
            let others: Vec<String> = others.iter().map(|other| other.display().to_string()).collect();
            because.push_str(&format!(", and as well in {}", some_of(&others, SHOWN)));
        }
        guess.because.push(because);
        guess.dataset.root = Some(root);
    }
    Ok(guess)
}

/// Takes the list as authors keep it that lies in a folder, or beside it if its pictures are in the
/// folder. Says in `aside` which are left aside, since their pictures are not found.
///
/// # Errors
/// Returns [`Kind::Input`] if there are several.
fn of_authors(folder: &Path, aside: &mut Vec<String>) -> Result<Option<Guess>> {
    let mut found: Vec<(PathBuf, Guess)> = Vec::new();
    for list in list::lists_of_authors(folder) {
        match listed(&list) {
            Ok(guess) => found.push((list, guess)),
            Err(why) => aside.push(format!("{} is left aside: {why}", list.display())),
        }
    }
    let mut where_it_is = "in the folder";
    if found.is_empty()
        && let Some(above) = folder.parent()
    {
        let is_of_this = |list: &Path| list::start(list, None).is_ok_and(|start| start.root == folder);
        let beside = list::lists_of_authors(above).into_iter().filter(|list| is_of_this(list));
        found = beside.filter_map(|list| listed(&list).ok().map(|guess| (list, guess))).collect();
        where_it_is = "beside the folder";
    }
    if found.len() > 1 {
        let names: Vec<String> = found.iter().map(|(list, _)| list.display().to_string()).collect();
        let what = format!("several lists {where_it_is} name its pictures: {}", some_of(&names, SHOWN));
        return Err(Error::new(Kind::Input, what).hint("name one of them"));
    }
    let Some((list, mut guess)) = found.pop() else { return Ok(None) };
    let because =
        format!("dataset.path = \"{}\": the list {where_it_is}, which says classes and splits", list.display());
    guess.because.insert(0, because);
    Ok(Some(guess))
}

/// Takes the table with labels that lies in a folder of pictures whose folders say no classes, or
/// the tables of its splits. Says in `aside` which are left aside.
fn of_tables(folder: &Path, aside: &mut Vec<String>) -> Option<Guess> {
    let tables = list::labelled_lists(folder);
    let fits: Vec<PathBuf> = tables.into_iter().filter(|table| list::start(table, None).is_ok()).collect();
    let Some(first) = fits.first() else {
        let unknown = list::unknown_tables(folder).into_iter().find(|table| listed(table).is_ok())?;
        let table = shell::word(&unknown.to_string_lossy()).into_owned();
        aside.push(format!(
            "a table names these pictures, too, and is left aside: microclip-pipe init {table} takes it"
        ));
        return None;
    };
    // Folders that are classes are what people who name a folder mean.
    let says_classes = || Folder::open(folder).is_ok_and(|folder| folder.listing().classes.len() > 1);
    let path = match fits.as_slice() {
        _ if says_classes() => None,
        [one] => Some(one.clone()),
        several => of_splits(several),
    };
    let Some(mut guess) = path.and_then(|path| listed(&path).ok()) else {
        let names: Vec<String> = fits.iter().map(|table| table.display().to_string()).collect();
        let one = if fits.len() == 1 { "it" } else { "one" };
        let first = shell::word(&first.to_string_lossy()).into_owned();
        let names = some_of(&names, SHOWN);
        aside.push(format!("{names} has labels too, and is left aside: microclip-pipe init {first} takes {one}"));
        return None;
    };
    let shown = guess.dataset.path.display();
    guess.because.insert(0, format!("dataset.path = \"{shown}\": the list in the folder, which has labels"));
    guess.because.append(aside);
    Some(guess)
}

/// Returns the pattern of tables that are called as splits are, `{test,train}.csv`.
fn of_splits(tables: &[PathBuf]) -> Option<PathBuf> {
    let stem = |table: &PathBuf| Some(table.file_stem()?.to_str()?.to_owned());
    let stems: Vec<String> = tables.iter().map(stem).collect::<Option<_>>()?;
    let splits: BTreeSet<Split> = stems.iter().map(|stem| Split::parse(stem)).collect::<Option<_>>()?;
    let extensions: BTreeSet<_> = tables.iter().map(|table| table.extension()).collect();
    let extension = extensions.first()?.and_then(OsStr::to_str)?;
    let told_apart = splits.len() == tables.len() && extensions.len() == 1;
    told_apart.then(|| tables[0].with_file_name(format!("{{{}}}.{extension}", stems.join(","))))
}

/// Returns whether a file is a table whose first line names its columns.
fn has_columns(path: &Path) -> bool {
    path.extension().is_some_and(|extension| ["csv", "tsv"].iter().any(|known| extension.eq_ignore_ascii_case(known)))
}

/// Returns the list in a folder of pictures, or the folder if it has several, if they have labels:
/// `datasets` takes labels from there, and not from the folders' names.
fn labelled_list(folder: &Path) -> Option<PathBuf> {
    let lists = metadata_lists(folder);
    let path = match lists.as_slice() {
        [] => return None,
        [one] if one.parent() == Some(folder) => one,
        // Pictures of folders without a list would be left out.
        several if several.len() < folders_in(folder) => return None,
        _ => folder,
    };
    List::open(path, None).is_ok_and(|opened| opened.listing().has_labels).then(|| path.to_owned())
}

/// Counts the visible folders directly in a folder.
fn folders_in(folder: &Path) -> usize {
    let below = WalkDir::new(folder).follow_links(true).min_depth(1).max_depth(1).into_iter();
    below.filter_entry(is_visible).flatten().filter(|entry| entry.file_type().is_dir()).count()
}
