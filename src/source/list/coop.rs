//! Lists as CoOp keeps the splits of a data set, in one object of JSON: `split_zhou_*.json`,
//! `{"train": [["a/1.jpg", 0, "rose"], ...], "val": [...], "test": [...]}`.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{Read, Seek};
use std::path::Path;

use super::Row;
use crate::error::{Context, Error, Kind, Result};
use crate::source::item::Split;
use crate::source::label::Label;
use crate::text::file::{self as text_file, without_mark};
use crate::text::names::plain;

/// The most bytes of such a file: room for ten million pictures.
const LONGEST: u64 = 1 << 30;

const HINT: &str = "each entry is [\"path\", number of the class from 0, \"name of the class\"], in lists that are called \
                    train, val and test";

/// Returns whether a file is such an object: whether its first key is the word of a split, and its
/// value a list.
///
/// # Errors
/// Returns [`Kind::Input`] if the file cannot be read.
pub(super) fn is_split(file: &mut File, path: &Path) -> Result<bool> {
    let mut begin = Vec::new();
    file.take(256).read_to_end(&mut begin).at(Kind::Input, "cannot read", path)?;
    file.rewind().at(Kind::Input, "cannot read", path)?;
    let begin = String::from_utf8_lossy(without_mark(&begin)).into_owned();
    let key = begin.trim_start().strip_prefix('{').map(str::trim_start).and_then(|rest| rest.strip_prefix('"'));
    let Some((key, rest)) = key.and_then(|rest| rest.split_once('"')) else { return Ok(false) };
    let rest = rest.trim_start().strip_prefix(':').map(str::trim_start);
    Ok(Split::parse(key).is_some() && rest.is_some_and(|rest| rest.starts_with('[')))
}

/// Reads the pictures of all splits. Underscores in the names of classes are spaces.
///
/// # Errors
/// Returns [`Kind::Input`] if the file cannot be read, or its entries contradict each other.
pub(super) fn rows(path: &Path) -> Result<Vec<Row>> {
    let refused = |what: String| Error::new(Kind::Input, format!("{}: {what}", path.display())).hint(HINT);
    let text = text_file::read(path, Kind::Input, LONGEST)?;
    let splits: BTreeMap<String, Vec<(String, i64, String)>> =
        serde_json::from_str(&text).map_err(|error| refused(format!("not a split as CoOp writes it: {error}")))?;
    let (mut names, mut numbers) = (HashMap::<i64, String>::new(), HashMap::<String, i64>::new());
    let mut rows = Vec::new();
    for (word, entries) in splits {
        let split = Split::parse(&word).ok_or_else(|| {
            Error::new(Kind::Input, format!("{}: a list is called `{word}`", path.display())).hint(Split::hint())
        })?;
        for (picture, number, name) in entries {
            let name = name.replace('_', " ");
            let label = Label::of_text(&name).filter(|_| !picture.trim().is_empty());
            let label = label.ok_or_else(|| refused(format!("an entry of `{word}` lacks its path or its class")))?;
            let before = names.entry(number).or_insert_with(|| name.clone());
            if plain(before) != plain(&name) {
                return Err(refused(format!("class {number} is called '{before}', and '{name}' at {picture}")));
            }
            let before = *numbers.entry(plain(&name)).or_insert(number);
            if before != number {
                return Err(refused(format!("'{name}' is class {before}, and {number} at {picture}")));
            }
            rows.push(Row { path: picture, label: Some(label), split: Some(split) });
        }
    }
    Ok(rows)
}
