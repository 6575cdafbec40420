//! A CSV or TSV file that names pictures: a header line, a column `path`, and optionally `label`
//! and `split`. UTF-8, separated by commas, semicolons, tabs or bars, quoted where needed.

mod columns;

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Seek;
use std::path::{Path, PathBuf};

use csv::{ErrorKind, ReaderBuilder, StringRecord, Trim};

use columns::Columns;
pub(super) use columns::separator_of;

use super::fingerprint::Fingerprint;
use super::item::{Item, Origin, Split};
use super::{Listing, Source};
use crate::error::{Context, Error, Kind, Result};

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
        let mut file = File::open(path)
            .at(Kind::Input, "cannot open list", path)
            .map_err(|e| e.hint("name a CSV file with a column `path`, and if wanted `label` and `split`"))?;
        let separator = columns::separator(&mut file, path)?;
        file.rewind().at(Kind::Input, "cannot read", path)?;
        let mut reader = ReaderBuilder::new().trim(Trim::All).flexible(true).delimiter(separator).from_reader(file);
        let columns = Columns::read(&mut reader, path)?;
        let mut rows = Vec::new();
        for record in reader.records() {
            rows.push(row(&record.map_err(|e| refused(path, &e))?, &columns, path)?);
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
            notes: columns.note.into_iter().collect(),
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
    let path = place(root, &row.path);
    Item {
        path: path.display().to_string(),
        origin: Origin::of_file(&path),
        split: row.split.or(Some(Split::Train)),
        label: row.label,
    }
}

fn row(record: &StringRecord, columns: &Columns, path: &Path) -> Result<Row> {
    let line = record.position().map_or(0, csv::Position::line);
    let here = |what: String| Error::new(Kind::Input, format!("{}:{line}: {what}", path.display()));
    // A separator at the end of a line makes a field with nothing in it.
    let more = record.iter().skip(columns.width).any(|field| !field.is_empty());
    if more || record.len() < columns.width {
        return Err(here(format!("{} fields, but the header has {}", record.len(), columns.width))
            .hint("every line has as many fields as the first; text with a separator stands in double quotes"));
    }
    let field = |place: Option<usize>| record.get(place?).filter(|text| !text.is_empty()).map(str::to_owned);
    let file = field(Some(columns.path))
        .ok_or_else(|| here("`path` is empty".to_owned()).hint("name the picture, or remove the line"))?;
    let split = match field(columns.split) {
        None => None,
        Some(word) => Some(
            Split::parse(&word)
                .ok_or_else(|| here(format!("`split` is `{word}`")).hint(format!("splits are {}", Split::words())))?,
        ),
    };
    Ok(Row { path: file, label: field(columns.label), split })
}

/// Returns the place of a picture: below the root unless its path is whole, with `~` for the user's
/// home. A path as Windows writes it is taken for what it means if there is no file of that name.
fn place(root: &Path, written: &str) -> PathBuf {
    let home = || Some(PathBuf::from(std::env::var_os("HOME")?).join(written.strip_prefix("~/")?));
    let place = home().unwrap_or_else(|| root.join(written));
    if written.contains('\\') && !place.exists() {
        return root.join(written.replace('\\', "/"));
    }
    place
}

/// Says which line of a file is not CSV.
pub(super) fn refused(path: &Path, error: &csv::Error) -> Error {
    let line = error.position().map_or(0, csv::Position::line);
    let (what, hint) = match error.kind() {
        ErrorKind::Utf8 { .. } => ("not UTF-8".to_owned(), "save it as UTF-8"),
        _ => (error.to_string(), "it must be a CSV file in UTF-8"),
    };
    Error::new(Kind::Input, format!("{}:{line}: {what}", path.display())).hint(hint)
}
