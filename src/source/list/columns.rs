//! Which columns of a list say where a picture is, what it shows, and which split it belongs to.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use csv::Reader;

use super::refused;
use crate::error::{Context, Error, Kind, Result};
use crate::text::list::some_of;
use crate::text::nearest::nearest;

/// The names of each column, in lower case: what this program calls it, then what `datasets`,
/// FiftyOne, fastai, Kaggle and spreadsheets call it.
const NAMES: [(&str, &[&str]); 3] = [
    ("path", &["file_name", "filename", "filepath", "file_path", "file", "image_path", "image_file", "image", "img"]),
    ("label", &["class", "class_name", "label_name", "category", "target"]),
    ("split", &["subset", "partition", "set"]),
];

/// Separators that lists have: commas, semicolons where a comma is the decimal point, tabs, and
/// bars.
const SEPARATORS: [u8; 4] = [b',', b';', b'\t', b'|'];

/// Columns that are worth naming in a note.
const SHOWN: usize = 6;

/// The positions of the columns.
pub(super) struct Columns {
    pub(super) path: usize,
    pub(super) label: Option<usize>,
    pub(super) split: Option<usize>,
    /// How many fields a line has.
    pub(super) width: usize,
    /// Names the columns that are left aside, if there are any.
    pub(super) note: Option<String>,
}

/// Finds the separator: the one that the first line has most of.
///
/// # Errors
/// Returns [`Kind::Input`] if the file cannot be read.
pub(super) fn separator(file: &mut File, path: &Path) -> Result<u8> {
    // No header of columns is longer, and a file of another kind may have no line's end.
    const LONGEST: u64 = 1 << 16;
    let mut line = Vec::new();
    std::io::Read::take(BufReader::new(file), LONGEST).read_until(b'\n', &mut line).at(
        Kind::Input,
        "cannot read",
        path,
    )?;
    Ok(separator_of(&line))
}

/// Returns the separator that a line has most of; a comma if it has none.
pub(crate) fn separator_of(line: &[u8]) -> u8 {
    let count = |separator: &u8| line.iter().filter(|byte| *byte == separator).count();
    SEPARATORS.into_iter().rev().max_by_key(count).unwrap_or(b',')
}

impl Columns {
    /// Reads the first line. Its names count in any case, and other columns are left aside.
    ///
    /// # Errors
    /// Returns [`Kind::Input`] if no column says where the pictures are, two say the same, or a
    /// name looks like a mistyped one.
    pub(super) fn read(reader: &mut Reader<File>, path: &Path) -> Result<Self> {
        let header = reader.headers().map_err(|e| refused(path, &e))?.clone();
        let mut found = [None; 3];
        let mut others = Vec::new();
        for (place, name) in header.iter().enumerate() {
            // Spreadsheets write a byte order mark.
            let name = name.trim_start_matches('\u{feff}').trim_matches('"').trim();
            let lower = name.to_lowercase();
            let means = |(own, aliases): &(&str, &[&str])| *own == lower || aliases.contains(&lower.as_str());
            match NAMES.iter().position(means) {
                Some(column) => {
                    if let Some(before) = found[column].replace(place) {
                        let before = header.get(before).unwrap_or_default();
                        let own = NAMES[column].0;
                        let what = match before == name {
                            true => format!("column `{name}` stands twice"),
                            false => format!("columns `{before}` and `{name}` both mean `{own}`"),
                        };
                        return Err(Error::new(Kind::Input, format!("{}:1: {what}", path.display()))
                            .hint("rename one of the two"));
                    }
                }
                // pandas writes its index without a name, and a comma at a line's end makes a
                // column.
                None if lower.is_empty() || lower.starts_with("unnamed:") => {}
                None => others.push(name.to_owned()),
            }
        }
        let own = || NAMES.iter().zip(found).filter(|(_, place)| place.is_none()).map(|((own, _), _)| (*own, *own));
        // A column that is missing and one that is spelled nearly so are one and the same.
        if let Some((name, meant)) = others.iter().find_map(|name| Some((name, nearest(name, own())?))) {
            return Err(Error::new(Kind::Input, format!("{}:1: unknown column `{name}`", path.display()))
                .hint(format!("did you mean `{meant}`?")));
        }
        let Some(place) = found[0] else {
            let hint = format!(
                "the first line names the columns: path (or {}), and if wanted label and split",
                NAMES[0].1.join(", ")
            );
            return Err(Error::new(Kind::Input, format!("{}:1: no column `path`", path.display())).hint(hint));
        };
        let note = (!others.is_empty()).then(|| {
            let (columns, are) = if others.len() == 1 { ("column", "is") } else { ("columns", "are") };
            format!("{}: {columns} {} {are} left aside", path.display(), some_of(&others, SHOWN))
        });
        Ok(Columns { path: place, label: found[1], split: found[2], width: header.len(), note })
    }
}
