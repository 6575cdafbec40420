//! What kind of source a path is, for those who do not say.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use walkdir::{DirEntry, WalkDir};

use super::cifar::is_cifar;
use super::column_names::meaning;
use super::folder::{Folder, is_picture};
use super::hf_parquet::files::is_parquet;
use super::item::Split;
use super::list::{self, List, Place, Start, is_list, metadata_lists};
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
            path if is_parquet(path) => Err(foreign::pattern_of(path, &folder, "Parquet is")),
            path if is_picture(path) => Err(foreign::pattern_of(path, &folder, "pictures are")),
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
    let mut aside = Vec::new();
    let is_table = |entry: &DirEntry| is_parquet(entry.path());
    if let Some(table) = here(1).find(is_table) {
        // One that lies beside folders of pictures may be anything, such as an answer to `sql`.
        let beside_classes = table.file_name() != "metadata.parquet" && says_classes(path);
        if !beside_classes {
            return Ok(Guess::of(SourceKind::HfParquet, path));
        }
        let word = shell::word(&table.path().to_string_lossy()).into_owned();
        aside.push(format!("a Parquet file lies there, too, and is left aside: microclip-pipe init {word} takes it"));
        return Ok(Guess { because: aside, ..Guess::of(SourceKind::Folder, path) });
    }
    // The image folders of `datasets` have such files in the folders of their splits.
    if here(2).any(|entry| entry.file_name() == "metadata.parquet") {
        return Ok(Guess::of(SourceKind::HfParquet, path));
    }
    if let Some(list) = labelled_list(path, &mut aside) {
        return listed(&list);
    }
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

/// Returns whether folders in this one say more than one class.
fn says_classes(folder: &Path) -> bool {
    Folder::open(folder).is_ok_and(|folder| folder.listing().classes.len() > 1)
}

/// Takes a list, or several of a pattern, with the folder in which its pictures are found.
fn listed(list: &Path) -> Result<Guess> {
    let mut guess = Guess::of(SourceKind::List, list);
    let (start, column) = started(list)?;
    if let Some(column) = column {
        guess.because.push(format!("dataset.image_column = \"{column}\": pictures are called as it says"));
        guess.dataset.image_column = Some(column);
    }
    let Start { root, place, tried, found, others, .. } = start;
    let mut because = match (found == tried, place) {
        (true, Place::Own) => return Ok(guess),
        (true, _) => "the pictures of the list are found there".to_owned(),
        (false, _) => format!("of the {tried} pictures of the list that were looked for, {found} are found there"),
    };
    if !others.is_empty() {
        let others: Vec<String> = others.iter().map(|other| other.display().to_string()).collect();
        because.push_str(&format!(", and as well in {}", some_of(&others, SHOWN)));
    }
    if place == Place::Elsewhere {
        because.push_str(", outside the list's own folder: check that it is these that are meant");
    }
    guess.because.push(format!("dataset.root = \"{}\": {because}", root.display()));
    guess.dataset.root = Some(root).filter(|_| place != Place::Own);
    Ok(guess)
}

/// Finds where the pictures of a list are, and the column that names them if none is called so, as
/// in a table of a competition, which says `image_id` or the like: the one by which most pictures
/// are found, each another one.
///
/// # Errors
/// Fails as [`list::start`] does, or if two columns name the pictures equally well.
fn started(list: &Path) -> Result<(Start, Option<String>)> {
    let why = match list::start(list, None) {
        Ok(start) => return Ok((start, None)),
        Err(why) => why,
    };
    let columns = if list::is_table(list) { list::unknown_columns(list) } else { Vec::new() };
    let may_name = columns.into_iter().filter(|column| meaning(column).is_none());
    let by = |column: String| Some((list::start(list, Some(&column)).ok()?, column));
    let names = |(start, _): &(Start, String)| start.are_distinct && 2 * start.found > start.tried;
    let mut fits: Vec<(Start, String)> = may_name.filter_map(by).filter(names).collect();
    fits.sort_by_key(|(start, _)| std::cmp::Reverse(start.found));
    match fits.as_slice() {
        [] => Err(why),
        [(first, one), (second, other), ..] if first.found == second.found => {
            let what = format!("{}: the columns {one} and {other} both name pictures that are there", list.display());
            Err(Error::new(Kind::Input, what).hint("call the one that is meant `path`"))
        }
        _ => Ok(fits.swap_remove(0)).map(|(start, column)| (start, Some(column))),
    }
}

/// Takes the list as authors keep it that lies in a folder, or beside it if its pictures are in the
/// folder. Says in `aside` which are left aside, since their pictures are not found.
///
/// # Errors
/// Returns [`Kind::Input`] if one in the folder cannot be read, or there are several.
fn of_authors(folder: &Path, aside: &mut Vec<String>) -> Result<Option<Guess>> {
    let mut found: Vec<(PathBuf, Guess)> = Vec::new();
    for list in list::lists_of_authors(folder) {
        // Without one that is damaged, pictures for testing would be trained on.
        List::open(&list, None)?;
        match listed(&list) {
            Ok(guess) => found.push((list, guess)),
            Err(why) => aside.push(format!("a list with classes and splits is left aside: {why}")),
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
    let offer = |tables: &[PathBuf], [has, have]: [&str; 2]| {
        let names: Vec<String> = tables.iter().map(|table| table.display().to_string()).collect();
        let offered = of_splits(tables).unwrap_or_else(|| tables[0].clone());
        let (has, it) = match tables.len() {
            1 => (has, "it"),
            _ if offered == tables[0] => (have, "the first"),
            _ => (have, "them"),
        };
        let word = shell::word(&offered.to_string_lossy()).into_owned();
        format!("left aside, though {has}: {}; microclip-pipe init {word} takes {it}", some_of(&names, SHOWN))
    };
    if fits.is_empty() {
        let by = |table: PathBuf| Some((started(&table).ok()?.0.found, table));
        let mut unknown: Vec<(usize, PathBuf)> = list::unknown_tables(folder).into_iter().filter_map(by).collect();
        // The one with answers to hand in has fewer pictures than the one with labels.
        unknown.sort_by_key(|(found, _)| std::cmp::Reverse(*found));
        let tables: Vec<PathBuf> = unknown.into_iter().map(|(_, table)| table).collect();
        aside.extend(
            (!tables.is_empty()).then(|| offer(&tables, ["it names these pictures", "they name these pictures"])),
        );
        return None;
    }
    // Folders that are classes are what people who name a folder mean.
    let path = match fits.as_slice() {
        _ if says_classes(folder) => None,
        [one] => Some(one.clone()),
        several => of_splits(several),
    };
    let Some(mut guess) = path.and_then(|path| listed(&path).ok()) else {
        aside.push(offer(&fits, ["it has labels", "they have labels"]));
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
    let told_apart = tables.len() > 1 && splits.len() == tables.len() && extensions.len() == 1;
    told_apart.then(|| tables[0].with_file_name(format!("{{{}}}.{extension}", stems.join(","))))
}

/// Returns the list in a folder of pictures, or the folder if it has several, if they have labels:
/// `datasets` takes labels from there, and not from the folders' names. Says in `aside` why one is
/// not read.
fn labelled_list(folder: &Path, aside: &mut Vec<String>) -> Option<PathBuf> {
    let lists = metadata_lists(folder);
    let path = match lists.as_slice() {
        [] => return None,
        [one] if one.parent() == Some(folder) => one,
        // Pictures of folders without a list would be left out.
        several if several.len() < folders_in(folder) => return None,
        _ => folder,
    };
    match List::open(path, None) {
        Ok(list) => list.listing().has_labels.then(|| path.to_owned()),
        Err(why) => {
            aside.push(format!("what a list in the folder says is left aside: {why}"));
            None
        }
    }
}

/// Counts the visible folders directly in a folder.
fn folders_in(folder: &Path) -> usize {
    let below = WalkDir::new(folder).follow_links(true).min_depth(1).max_depth(1).into_iter();
    below.filter_entry(is_visible).flatten().filter(|entry| entry.file_type().is_dir()).count()
}
