//! A file that names pictures: CSV or TSV with a header line, or JSON Lines. A column `path`, and
//! optionally `label` and `split`, or what other tools call them. UTF-8; tables are separated by
//! commas, semicolons, tabs or bars, and quoted where needed. Or a list as data sets come with
//! them: the splits of CoOp, lines without a header, and lists whose classes stand in files beside
//! them.

mod beside;
mod columns;
mod coop;
mod json_lines;
mod lines;
mod numbers;
mod separated;
mod start;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use walkdir::WalkDir;

use columns::Columns;
pub(super) use separated::{refused, require_closed, separator_of, unknown_columns};
pub(super) use start::{Place, Start, start};

use super::column_names::Chosen;
use super::fingerprint::Fingerprint;
use super::item::{Item, Origin, Split};
use super::label::{Label, hidden_note};
use super::{
    CLASS_NAMES_FILE, CLASSES_FILE, Dataset, Listing, SENTENCES_FILE, Source, is_visible, is_visible_name, look,
    split_names, written,
};
use crate::error::{Context, Error, Kind, Result};
use crate::text::file as text_file;
use crate::text::pattern;

/// A list whose lines have been read, but not its pictures. The files' metadata are read only once,
/// here: on a network disk that takes a millisecond a picture, and a second read could give a
/// different answer.
pub struct List {
    items: Vec<Item>,
    listing: Listing,
}

struct Row {
    path: String,
    label: Option<Label>,
    split: Option<Split>,
}

impl List {
    /// Reads the list. Its paths are relative to `root`, or by default to the folder of the list.
    ///
    /// # Errors
    /// Returns [`Kind::Input`] if the file cannot be read or one of its lines is wrong; the message
    /// names the line.
    pub fn open(path: &Path, root: Option<&Path>) -> Result<Self> {
        List::read(path, root, Chosen::default())
    }

    /// Reads the list of a pipeline.
    ///
    /// # Errors
    /// Fails as [`List::open`] does, or if the list lacks a column that the pipeline chooses.
    pub(super) fn of(dataset: &Dataset) -> Result<Self> {
        List::read(&dataset.path, dataset.root.as_deref(), Chosen::of(dataset))
    }

    fn read(path: &Path, root: Option<&Path>, chosen: Chosen<'_>) -> Result<Self> {
        let lists = lists(path)?;
        let several = lists.len() > 1;
        let (mut labels, mut hidden) = (BTreeSet::new(), 0);
        let mut list = List { items: Vec::new(), listing: Listing::default() };
        for (list_path, split) in lists {
            let Lines { mut rows, note, unlabelled, perhaps_labels, pictures } = lines_of(&list_path, chosen)?;
            rows.sort_by(|a, b| a.path.cmp(&b.path));
            let own = list_path.parent().unwrap_or(Path::new(""));
            let start = root.or(pictures.as_deref()).unwrap_or(own);
            // The pictures of one of several lists may lie beside it.
            let otherwise = Some(own).filter(|_| several);
            let files = look::at_all(&rows, |row| written::file(start, otherwise, &row.path));
            for (mut row, file) in rows.into_iter().zip(files) {
                hidden += u64::from(row.label.as_ref().is_some_and(Label::is_hidden));
                row.label = row.label.filter(|label| !label.is_hidden());
                row.split = row.split.or(split);
                labels.extend(row.label.clone());
                list.items.push(item(file, row));
            }
            list.listing.notes.extend(note);
            if list.listing.unlabelled.is_none() {
                (list.listing.unlabelled, list.listing.perhaps_labels) = (unlabelled, perhaps_labels);
            }
        }
        list.listing.notes.extend(hidden_note(hidden));
        list.listing.has_labels = !labels.is_empty();
        if list.listing.has_labels {
            (list.listing.unlabelled, list.listing.perhaps_labels) = (None, Vec::new());
        }
        list.listing.classes = labels.into_iter().map(Label::into_name).collect();
        list.listing.items = list.items.len() as u64;
        let of = |split: Split| list.items.iter().filter(|item| item.split == Some(split)).count() as u64;
        (list.listing.training, list.listing.validation) = (of(Split::Train), of(Split::Validation));
        list.listing.bytes = list.items.iter().map(|item| item.origin.byte_len()).sum();
        Ok(list)
    }
}

/// Returns the lists that `datasets` would read in a folder of pictures: in the folder itself, or
/// else in those directly below it.
pub fn metadata_lists(folder: &Path) -> Vec<PathBuf> {
    let lists = |depth: usize| -> Vec<PathBuf> {
        let folders = WalkDir::new(folder).follow_links(true).min_depth(depth).max_depth(depth).sort_by_file_name();
        let folders = folders.into_iter().filter_entry(is_visible).flatten().filter(|entry| entry.file_type().is_dir());
        let lists = folders.flat_map(|folder| METADATA.map(|name| folder.path().join(name)));
        lists.filter(|list| list.is_file()).collect()
    };
    let own = lists(0);
    if own.is_empty() { lists(1) } else { own }
}

/// Returns whether a file is a list by its name.
pub(super) fn is_list(path: &Path) -> bool {
    is_table(path) || has_extension(path, &JSON)
}

/// Returns whether a file is a table by its name: its first line says what its columns are.
pub(super) fn is_table(path: &Path) -> bool {
    has_extension(path, &TABLES)
}

/// Returns the lists directly in a folder that say more of its pictures than folders do, as data
/// sets come with them: the splits of CoOp, or a list with its classes and splits in files beside
/// it.
pub(super) fn lists_of_authors(folder: &Path) -> Vec<PathBuf> {
    may_be_lists(folder).filter(|path| is_of_authors(path)).collect()
}

fn is_of_authors(path: &Path) -> bool {
    let is_split = || {
        has_extension(path, &["json"])
            && text_file::open(path).is_ok_and(|mut file| coop::is_split(&mut file, path).unwrap_or(false))
    };
    is_split() || beside::is_one(path)
}

/// Returns the tables and JSON Lines directly in a folder that are lists of labelled pictures.
pub(super) fn labelled_lists(folder: &Path) -> Vec<PathBuf> {
    let has_labels = |path: &PathBuf| List::open(path, None).is_ok_and(|list| list.listing.has_labels);
    may_be_lists(folder).filter(|path| is_list(path) && !is_of_authors(path)).filter(has_labels).collect()
}

/// Returns the tables directly in a folder that are lists by no column.
pub(super) fn unknown_tables(folder: &Path) -> Vec<PathBuf> {
    may_be_lists(folder).filter(|path| is_table(path) && !unknown_columns(path).is_empty()).collect()
}

/// Returns the files directly in a folder that may be lists by their names, sorted. Other files, of
/// which there may be a million, are not looked at.
fn may_be_lists(folder: &Path) -> impl Iterator<Item = PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let named = entries.filter(|entry| is_visible_name(&entry.file_name())).map(|entry| entry.path());
    let is_ours = |path: &Path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        [CLASSES_FILE, CLASS_NAMES_FILE, SENTENCES_FILE].iter().any(|end| name.ends_with(end))
    };
    let may_be = |path: &PathBuf| (is_list(path) || has_extension(path, &["txt"])) && !is_ours(path);
    let mut found: Vec<PathBuf> = named.filter(may_be).collect();
    found.sort_unstable();
    found.into_iter().filter(|path| path.is_file())
}

/// Extensions of lists that are tables.
const TABLES: [&str; 2] = ["csv", "tsv"];

/// Extensions of lists as JSON Lines.
const JSON: [&str; 3] = ["jsonl", "ndjson", "json"];

fn has_extension(path: &Path, known: &[&str]) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or("");
    known.iter().any(|known| extension.eq_ignore_ascii_case(known))
}

/// Names of the lists in the image folders of `datasets`.
const METADATA: [&str; 2] = ["metadata.csv", "metadata.jsonl"];

/// Returns the lists in a folder.
///
/// # Errors
/// Returns [`Kind::Input`] if there is none, or a folder has two.
fn lists_of(folder: &Path) -> Result<Vec<PathBuf>> {
    let lists = metadata_lists(folder);
    let shown = folder.display();
    if lists.is_empty() {
        return Err(Error::new(Kind::Input, format!("no list in {shown}")).hint(format!(
            "name a CSV or JSON Lines file, or a folder with {} in it or in its folders for splits",
            METADATA.join(" or ")
        )));
    }
    if let Some([one, other]) = lists.array_windows().find(|[one, other]| one.parent() == other.parent()) {
        let what = format!("{} and {} may both list the pictures", one.display(), other.display());
        return Err(Error::new(Kind::Input, what).hint("remove one of them, or name the other as dataset.path"));
    }
    Ok(lists)
}

/// Returns the split whose folder a list lies in, if it is called so as `datasets` calls it.
fn split_of(folder: &Path) -> Option<Split> {
    Split::parse(folder.file_name()?.to_str()?)
}

/// Returns the lists that a path means, each with the split that its place says: a list, those in
/// an image folder, or those that match a pattern.
///
/// # Errors
/// Returns [`Kind::Input`] if there is none, or only some of those of a pattern name a split.
fn lists(path: &Path) -> Result<Vec<(PathBuf, Option<Split>)>> {
    if path.is_dir() {
        // The folders of an image folder are splits.
        let of_folder = |list: PathBuf| {
            let split = split_of(list.parent().unwrap_or(Path::new("")));
            (list, split)
        };
        return Ok(lists_of(path)?.into_iter().map(of_folder).collect());
    }
    let Some(folder) = pattern::folder(path).filter(|_| !path.exists()) else {
        // A list of its own says the splits itself.
        return Ok(vec![(path.to_owned(), None)]);
    };
    let found = pattern::paths(path)?;
    let splits = split_names::splits(&folder, &found);
    split_names::all_or_none(&found, &splits)?;
    Ok(found.into_iter().zip(splits).collect())
}

/// What a list says.
struct Lines {
    /// Its pictures, in its order.
    rows: Vec<Row>,
    /// What the user should know of it.
    note: Option<String>,
    /// Why there are no labels, where there may be some.
    unlabelled: Option<String>,
    /// The columns that may hold them.
    perhaps_labels: Vec<String>,
    /// Where its paths start, if not in its own folder.
    pictures: Option<PathBuf>,
}

impl Lines {
    fn of(rows: Vec<Row>) -> Self {
        Lines { rows, note: None, unlabelled: None, perhaps_labels: Vec::new(), pictures: None }
    }

    fn of_columns((columns, rows): (Columns, Vec<Row>)) -> Self {
        let Columns { note, unlabelled, perhaps_labels, .. } = columns;
        Lines { note, unlabelled, perhaps_labels, ..Lines::of(rows) }
    }
}

/// Reads the lines of a list in their order.
fn lines_of(path: &Path, chosen: Chosen<'_>) -> Result<Lines> {
    let mut file = text_file::open(path)
        .at(Kind::Input, "cannot open list", path)
        .map_err(|e| e.hint("name a CSV or JSON Lines file with a column `path`, and if wanted `label` and `split`"))?;
    let found = if coop::is_split(&mut file, path)? {
        Lines::of(coop::rows(path)?)
    } else if json_lines::is_json(&mut file, path)? {
        Lines::of_columns(json_lines::rows(file, chosen, path)?)
    } else if let Some((rows, pictures)) = beside::rows(path)? {
        Lines { pictures: Some(pictures), ..Lines::of(rows) }
    } else if let Some(rows) = lines::rows(path, chosen)? {
        Lines::of(rows)
    } else {
        Lines::of_columns(separated::rows(file, chosen, path)?)
    };
    if found.rows.is_empty() {
        return Err(Error::new(Kind::Input, format!("list {} names no picture", path.display()))
            .hint("a line `path`, then a picture a line; `label` and `split` may follow"));
    }
    Ok(found)
}

impl Source for List {
    fn listing(&self) -> &Listing {
        &self.listing
    }

    fn fingerprint(&self) -> Result<String> {
        let mut fingerprint = Fingerprint::new("list");
        self.items.iter().for_each(|item| fingerprint.item(item));
        Ok(fingerprint.finish())
    }

    fn items(self: Box<Self>) -> Box<dyn Iterator<Item = Result<Item>> + Send> {
        Box::new(self.items.into_iter().map(Ok))
    }
}

impl Row {
    /// Makes a row of what a line says.
    ///
    /// # Errors
    /// Returns [`Kind::Input`] if the path is missing, or the word for the split is unknown.
    fn new(file: Option<String>, label: Option<Label>, split: Option<String>, list: &Path, line: u64) -> Result<Self> {
        let here = |what: &str| Error::in_line(Kind::Input, list, line, what);
        let path = file.ok_or_else(|| here("`path` is empty").hint("name the picture, or remove the line"))?;
        let of_word =
            |word: String| Split::parse(&word).ok_or_else(|| here(&format!("`split` is `{word}`")).hint(Split::hint()));
        Ok(Row { path, label, split: split.map(of_word).transpose()? })
    }
}

/// The pictures of a list, without what the list says about them.
pub(super) struct Unlabelled<I> {
    /// The pictures in the order of the lines; a file is looked at when its item is taken.
    pub(super) items: I,
    /// What the user should know of the list.
    pub(super) notes: Vec<String>,
}

/// Reads a list for its pictures alone: labels and splits are not looked at. Relative paths start
/// at its folder, or else where the pipeline says.
///
/// # Errors
/// Fails like [`List::open`].
pub(super) fn unlabelled(
    path: &Path,
    dataset: &Dataset,
) -> Result<Unlabelled<impl ExactSizeIterator<Item = Item> + Send + use<>>> {
    let Lines { rows, note, pictures, .. } = lines_of(path, Chosen::pictures_alone(dataset))?;
    let root = pictures.unwrap_or_else(|| path.parent().unwrap_or(Path::new("")).to_path_buf());
    let otherwise = dataset.root.clone();
    let items = rows.into_iter().map(move |row| item(written::file(&root, otherwise.as_deref(), &row.path), row));
    Ok(Unlabelled { items, notes: note.into_iter().collect() })
}

fn item((path, origin): (PathBuf, Origin), row: Row) -> Item {
    Item {
        path: path.display().to_string(),
        origin,
        split: row.split.or(Some(Split::Train)),
        label: row.label.map(Label::into_name),
    }
}
