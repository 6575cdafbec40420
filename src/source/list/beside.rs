//! Lists whose classes and splits stand in files beside them, as those of CUB-200-2011 and
//! Birdsnap, both of which are called `images.txt`.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use csv::ReaderBuilder;

use super::{Row, separated};
use crate::error::{Error, Kind, Result};
use crate::source::folder::class_name;
use crate::source::item::Split;
use crate::source::label::Label;
use crate::text::file as text_file;

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
/// Returns [`Kind::Input`] if a file cannot be read, or does not know a picture of the list.
pub(super) fn rows(list: &Path) -> Result<Option<(Vec<Row>, PathBuf)>> {
    let rows = match kind(list) {
        Some(Beside::Numbered) => numbered(list)?,
        Some(Beside::TestPictures) => with_test_pictures(list)?,
        None => return Ok(None),
    };
    Ok(Some((rows, list.with_file_name(PICTURES))))
}

/// Reads the list of CUB-200-2011: each file gives something for the number of a picture.
fn numbered(list: &Path) -> Result<Vec<Row>> {
    let beside = |name: &str| list.with_file_name(name);
    let (splits, labels) = (beside("train_test_split.txt"), beside("image_class_labels.txt"));
    let classes = beside("classes.txt");
    let (split_of, label_of, name_of) = (by_number(&splits)?, by_number(&labels)?, by_number(&classes)?);
    let get = |of: &HashMap<String, String>, number: &str, path: &Path| {
        let missing = || Error::new(Kind::Input, format!("{} has no line for {number}", path.display()));
        of.get(number).cloned().ok_or_else(|| missing().hint("unpack the archive again: its files belong together"))
    };
    let mut rows = Vec::new();
    for (line, (number, picture)) in (1..).zip(pairs(list)?) {
        let split = match get(&split_of, &number, &splits)?.as_str() {
            "1" => Split::Train,
            "0" => Split::Test,
            other => {
                let what = format!("picture {number} has '{other}', and not 1 for training or 0 for test");
                return Err(Error::new(Kind::Input, format!("{}: {what}", splits.display())));
            }
        };
        let name = get(&name_of, &get(&label_of, &number, &labels)?, &classes)?;
        let label = Label::of_text(&class_name(&name));
        if picture.is_empty() {
            return Err(Error::in_line(Kind::Input, list, line, format!("picture {number} has no path")));
        }
        rows.push(Row { path: picture, label, split: Some(split) });
    }
    Ok(rows)
}

/// Reads the list of Birdsnap: a table with a column `path`, and a list of the pictures for test.
/// Classes are the folders of the pictures.
fn with_test_pictures(list: &Path) -> Result<Vec<Row>> {
    let test = list.with_file_name("test_images.txt");
    let test: HashSet<String> = column(&test, "path")?.into_iter().collect();
    let mut rows = Vec::new();
    let mut found = 0;
    for picture in column(list, "path")? {
        let folder = Path::new(&picture).parent().and_then(Path::file_name).and_then(|name| name.to_str());
        let label = folder.and_then(|name| Label::of_text(&class_name(name)));
        let is_test = test.contains(&picture);
        found += usize::from(is_test);
        rows.push(Row { path: picture, label, split: Some(if is_test { Split::Test } else { Split::Train }) });
    }
    if found < test.len() {
        let what = format!("{} of the {} pictures for test are not in", test.len() - found, test.len());
        return Err(Error::new(Kind::Input, format!("{what} {}", list.display()))
            .hint("unpack the archive again: its files belong together"));
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

/// Reads lines of two words, the first of which is a number.
fn pairs(path: &Path) -> Result<Vec<(String, String)>> {
    let text = text_file::read(path, Kind::Input, LONGEST)?;
    let pair = |(line, text): (u64, &str)| match text.trim().split_once(char::is_whitespace) {
        Some((number, rest)) if number.parse::<u64>().is_ok() => Ok((number.to_owned(), rest.trim().to_owned())),
        _ => Err(Error::in_line(Kind::Input, path, line, "not a number and what belongs to it")),
    };
    (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty()).map(pair).collect()
}

fn by_number(path: &Path) -> Result<HashMap<String, String>> {
    Ok(pairs(path)?.into_iter().collect())
}
