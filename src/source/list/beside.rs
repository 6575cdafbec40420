//! Lists whose classes and splits stand in files beside them, as those of CUB-200-2011 and
//! Birdsnap, both of which are called `images.txt`.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};

use csv::ReaderBuilder;

use super::numbers::Classes;
use super::{Row, separated};
use crate::error::{Error, Kind, Result};
use crate::source::folder::class_name;
use crate::source::item::Split;
use crate::source::label::Label;
use crate::text::file as text_file;
use crate::text::terminal::in_line;

/// The most bytes of such a file.
const LONGEST: u64 = 1 << 28;

/// The folder of the pictures, beside the list.
const PICTURES: &str = "images";

/// What lies beside a list.
enum Beside {
    /// Files that give something for the number of a picture, as those of CUB-200-2011.
    Numbered,
    /// A list of the pictures for test, as Birdsnap's.
    TestPictures,
}

/// Returns what lies beside a list; `None` if it is not called so, or nothing of that does.
fn kind(list: &Path) -> Option<Beside> {
    let are_there = |names: &[&str]| names.iter().all(|name| list.with_file_name(name).is_file());
    match list.file_name()?.to_str()? {
        "images.txt" if are_there(&["train_test_split.txt", "image_class_labels.txt", "classes.txt"]) => {
            Some(Beside::Numbered)
        }
        "images.txt" if are_there(&["test_images.txt"]) => Some(Beside::TestPictures),
        _ => None,
    }
}

/// Returns whether a list is called so, and has such files beside it.
pub(super) fn is_one(list: &Path) -> bool {
    kind(list).is_some()
}

/// Reads the pictures of a list and what files beside it say of them; returns them with the folder
/// at which their paths start. `None` if the list is not called so, or has no such files beside it.
///
/// # Errors
/// Returns [`Kind::Input`] if a file cannot be read, does not know a picture of the list, or says
/// two things of one.
pub(super) fn rows(list: &Path) -> Result<Option<(Vec<Row>, PathBuf)>> {
    let rows = match kind(list) {
        Some(Beside::Numbered) => numbered(list)?,
        Some(Beside::TestPictures) => with_test_pictures(list)?,
        None => return Ok(None),
    };
    Ok(Some((rows, list.with_file_name(PICTURES))))
}

/// What to do where such files contradict each other.
const AGAIN: &str = "unpack the archive again: its files belong together";

/// Reads the list of CUB-200-2011: each file gives something for the number of a picture.
fn numbered(list: &Path) -> Result<Vec<Row>> {
    let beside = |name: &str| list.with_file_name(name);
    let (splits, labels) = (beside("train_test_split.txt"), beside("image_class_labels.txt"));
    let classes = beside("classes.txt");
    let (split_of, label_of) = (ByNumber::read(&splits)?, ByNumber::read(&labels)?);
    let name_of = ByNumber::read(&classes)?;
    let (mut known, mut shown) = (Classes::default(), HashMap::new());
    for Line { at, number, rest } in name_of.lines() {
        let here = |what: String| Error::in_line(Kind::Input, &classes, at, what).hint(AGAIN);
        known.add(number, &rest).map_err(here)?;
    }
    let mut rows = Vec::new();
    for Line { at, number, rest: picture } in ByNumber::read(list)?.lines() {
        let here = |what: String| Error::in_line(Kind::Input, list, at, what).hint(AGAIN);
        let split = match split_of.get(number)? {
            "1" => Split::Train,
            "0" => Split::Test,
            other => {
                let what = format!("picture {number} has '{other}', and not 1 for training or 0 for test");
                return Err(Error::new(Kind::Input, format!("{}: {what}", splits.display())));
            }
        };
        let class = label_of.get(number)?;
        let class = class.parse().map_err(|_| {
            let what = format!("picture {number} has '{}', which is no number of a class", in_line(class));
            Error::new(Kind::Input, format!("{}: {what}", labels.display())).hint(AGAIN)
        })?;
        let label = Label::of_text(&class_name(name_of.get(class)?));
        if let Some((before, other)) = shown.insert(picture.clone(), (at, class)).filter(|(_, other)| *other != class) {
            let what = format!("{} is of class {class}, and of class {other} by line {before}", in_line(&picture));
            return Err(here(what));
        }
        rows.push(Row { path: picture, label, split: Some(split) });
    }
    Ok(rows)
}

/// A line of a number and what belongs to it.
#[derive(Debug, Clone)]
struct Line {
    /// The line, from 1.
    at: u64,
    number: i64,
    rest: String,
}

/// A file of such lines, with each number once.
struct ByNumber {
    path: PathBuf,
    lines: BTreeMap<i64, (u64, String)>,
}

impl ByNumber {
    /// Reads the lines of a file.
    ///
    /// # Errors
    /// Returns [`Kind::Input`] if it cannot be read, a line has no number, or two have the same.
    fn read(path: &Path) -> Result<Self> {
        let text = text_file::read(path, Kind::Input, LONGEST)?;
        let mut lines = BTreeMap::new();
        for (at, line) in (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty()) {
            let here = |what: String| Error::in_line(Kind::Input, path, at, what);
            let (number, rest) = line.trim().split_once(char::is_whitespace).unwrap_or_default();
            let number: u32 =
                number.parse().map_err(|_| here("not a number and what belongs to it".to_owned()).hint(AGAIN))?;
            if let Some((before, _)) = lines.insert(i64::from(number), (at, rest.trim().to_owned())) {
                return Err(here(format!("{number} stands in line {before} already")).hint(AGAIN));
            }
        }
        Ok(ByNumber { path: path.to_owned(), lines })
    }

    /// Returns what belongs to a number.
    fn get(&self, number: i64) -> Result<&str> {
        let missing = || Error::new(Kind::Input, format!("{} has no line for {number}", self.path.display()));
        self.lines.get(&number).map(|(_, rest)| rest.as_str()).ok_or_else(|| missing().hint(AGAIN))
    }

    /// Returns the lines, by their numbers.
    fn lines(&self) -> impl Iterator<Item = Line> {
        self.lines.iter().map(|(&number, (at, rest))| Line { at: *at, number, rest: rest.clone() })
    }
}

/// Reads the list of Birdsnap: a table with a column `path`, and a list of the pictures for test.
/// Classes are the folders of the pictures.
fn with_test_pictures(list: &Path) -> Result<Vec<Row>> {
    let test = list.with_file_name("test_images.txt");
    let test: HashSet<String> = column(&test, "path")?.into_iter().collect();
    let mut rows = Vec::new();
    let mut found = HashSet::new();
    for picture in column(list, "path")? {
        let folder = Path::new(&picture).parent().and_then(Path::file_name).and_then(|name| name.to_str());
        let label = folder.and_then(|name| Label::of_text(&class_name(name)));
        let is_test = test.contains(&picture);
        // One that stands twice makes up for none that is missing.
        if is_test {
            found.insert(picture.clone());
        }
        rows.push(Row { path: picture, label, split: Some(if is_test { Split::Test } else { Split::Train }) });
    }
    if found.len() < test.len() {
        let what = format!("{} of the {} pictures for test are not in", test.len() - found.len(), test.len());
        return Err(Error::new(Kind::Input, format!("{what} {}", list.display())).hint(AGAIN));
    }
    Ok(rows)
}

/// Returns a column of a table that is separated by tabs.
fn column(path: &Path, name: &str) -> Result<Vec<String>> {
    let text = text_file::read(path, Kind::Input, LONGEST)?;
    // Addresses may hold quotes.
    let mut reader = ReaderBuilder::new().delimiter(b'\t').quoting(false).flexible(true).from_reader(text.as_bytes());
    let names = reader.headers().map_err(|error| separated::refused(path, &error))?.clone();
    let place = names.iter().position(|column| column.trim() == name);
    let place = place.ok_or_else(|| Error::in_line(Kind::Input, path, 1, format!("no column `{name}`")))?;
    let mut values = Vec::new();
    for record in reader.records() {
        let record = record.map_err(|error| separated::refused(path, &error))?;
        let line = record.position().map_or(0, csv::Position::line);
        let value = record.get(place).map(str::trim).filter(|value| !value.is_empty());
        values.push(
            value.ok_or_else(|| Error::in_line(Kind::Input, path, line, format!("`{name}` is empty")))?.to_owned(),
        );
    }
    Ok(values)
}
