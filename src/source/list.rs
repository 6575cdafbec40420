//! A CSV file that names pictures: a header line, a column `path`, and optionally `label` and
//! `split`. UTF-8, comma separated, quoted where needed.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::Path;

use csv::{ErrorKind, Reader, ReaderBuilder, StringRecord, Trim};

use super::fingerprint::Fingerprint;
use super::item::{Item, Origin, Split};
use super::{Listing, Source};
use crate::error::{Context, Error, Kind, Result};
use crate::text::nearest::nearest;

const COLUMNS: [&str; 3] = ["path", "label", "split"];

/// A list whose lines have been read, but not its pictures. The files' metadata are read only once,
/// here: on a network disk that takes a millisecond a picture, and a second read could give a
/// different answer.
pub struct List {
    items: Vec<Item>,
    listing: Listing,
}

struct Row {
    path: String,
    label: Option<String>,
    split: Option<Split>,
}

impl List {
    /// Reads the list. Its paths are relative to `root`, or by default to the folder of the list.
    ///
    /// # Errors
    /// Returns [`Kind::Input`] if the file cannot be read or one of its lines is wrong; the message
    /// names the line.
    pub fn open(path: &Path, root: Option<&Path>) -> Result<Self> {
        let file = File::open(path)
            .at(Kind::Input, "cannot open list", path)
            .map_err(|e| e.hint("name a CSV file with a column `path`, and if wanted `label` and `split`"))?;
        let mut reader = ReaderBuilder::new().trim(Trim::All).from_reader(file);
        let places = columns(&mut reader, path)?;
        let mut rows = Vec::new();
        for record in reader.records() {
            rows.push(row(&record.map_err(|e| refused(path, &e))?, places, path)?);
        }
        if rows.is_empty() {
            return Err(Error::new(Kind::Input, format!("list {} names no picture", path.display()))
                .hint("a line `path`, then a picture a line; `label` and `split` may follow"));
        }
        rows.sort_by(|a, b| a.path.cmp(&b.path));
        let classes: BTreeSet<&String> = rows.iter().filter_map(|row| row.label.as_ref()).collect();
        let classes: Vec<String> = classes.into_iter().cloned().collect();
        let root = root.or(path.parent()).unwrap_or(Path::new(""));
        let items: Vec<Item> = rows.into_iter().map(|row| item(root, row)).collect();
        let listing = Listing {
            notes: Vec::new(),
            has_labels: !classes.is_empty(),
            classes,
            items: items.len() as u64,
            bytes: items.iter().map(|item| item.origin.byte_len()).sum(),
        };
        Ok(List { items, listing })
    }
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

fn item(root: &Path, row: Row) -> Item {
    let path = root.join(&row.path);
    Item {
        path: path.display().to_string(),
        origin: Origin::of_file(&path),
        split: row.split.or(Some(Split::Train)),
        label: row.label,
    }
}

/// Returns the positions of the known columns: path, label, split.
fn columns(reader: &mut Reader<File>, path: &Path) -> Result<[Option<usize>; 3]> {
    let header = reader.headers().map_err(|e| refused(path, &e))?;
    let mut places = [None; 3];
    for (place, name) in header.iter().enumerate() {
        // Spreadsheets write a byte-order mark.
        let name = name.trim_start_matches('\u{feff}').trim_matches('"');
        let Some(known) = COLUMNS.iter().position(|c| *c == name) else {
            return Err(unknown_column(path, name));
        };
        if places[known].replace(place).is_some() {
            return Err(Error::new(Kind::Input, format!("{}:1: column `{name}` stands twice", path.display()))
                .hint("rename one of the two"));
        }
    }
    if places[0].is_none() {
        return Err(Error::new(Kind::Input, format!("{}:1: no column `path`", path.display()))
            .hint("the first line names the columns: path, and if wanted label and split"));
    }
    Ok(places)
}

fn unknown_column(path: &Path, name: &str) -> Error {
    let hint = match nearest(name, COLUMNS.map(|known| (known, known))) {
        Some(known) => format!("did you mean `{known}`?"),
        None => "the first line names the columns: path, and if wanted label and split".to_owned(),
    };
    Error::new(Kind::Input, format!("{}:1: unknown column `{name}`", path.display())).hint(hint)
}

fn row(record: &StringRecord, places: [Option<usize>; 3], path: &Path) -> Result<Row> {
    let line = record.position().map_or(0, csv::Position::line);
    let [file, label, split] =
        places.map(|place| place.and_then(|p| record.get(p)).filter(|text| !text.is_empty()).map(str::to_owned));
    let Some(file) = file else {
        return Err(Error::new(Kind::Input, format!("{}:{line}: `path` is empty", path.display()))
            .hint("name the picture, or remove the line"));
    };
    let split = match split {
        None => None,
        Some(word) => Some(Split::parse(&word).ok_or_else(|| {
            Error::new(Kind::Input, format!("{}:{line}: `split` is `{word}`", path.display()))
                .hint(format!("splits are {}", Split::words()))
        })?),
    };
    Ok(Row { path: file, label, split })
}

fn refused(path: &Path, error: &csv::Error) -> Error {
    let line = error.position().map_or(0, csv::Position::line);
    let (what, hint) = match error.kind() {
        ErrorKind::Utf8 { .. } => ("not UTF-8".to_owned(), "save it as UTF-8"),
        ErrorKind::UnequalLengths { expected_len, len, .. } => {
            let what = format!("{len} fields, but the header has {expected_len}");
            (what, "every line has as many fields as the first; text with a comma stands in double quotes")
        }
        _ => (error.to_string(), "it must be a CSV file in UTF-8"),
    };
    Error::new(Kind::Input, format!("{}:{line}: {what}", path.display())).hint(hint)
}
