//! Lists as CoOp keeps the splits of a data set, in one object of JSON: `split_zhou_*.json`,
//! `{"train": [["a/1.jpg", 0, "rose"], ...], "val": [...], "test": [...]}`.

use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Seek};
use std::path::Path;

use super::Row;
use super::numbers::Classes;
use crate::error::{Context, Error, Kind, Result};
use crate::source::item::Split;
use crate::source::label::Label;
use crate::text::file::{self as text_file, without_mark};
use crate::text::json::{Pairs, lines_of_strings};
use crate::text::terminal::in_line;

/// The most bytes of such a file: room for ten million pictures.
const LONGEST: u64 = 1 << 30;

const HINT: &str = "each entry is [\"path\", number of the class from 0, \"name of the class\"], in lists that are called \
                    train, val and test";

/// Returns whether a file is such an object: whether its first key is the word of a split, and its
/// value a list of lists that begin with a text, or an empty one.
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
    let inside = rest.and_then(|rest| rest.strip_prefix('[')).map(str::trim_start);
    let is_entry = |rest: &str| rest.strip_prefix('[').is_some_and(|rest| rest.trim_start().starts_with(['"', ']']));
    Ok(Split::parse(key).is_some() && inside.is_some_and(|rest| rest.starts_with(']') || is_entry(rest)))
}

/// Reads the pictures of all splits. Underscores in the names of classes are spaces.
///
/// # Errors
/// Returns [`Kind::Input`] if the file cannot be read, a list stands in it twice, or its entries
/// contradict each other.
pub(super) fn rows(path: &Path) -> Result<Vec<Row>> {
    let text = text_file::read(path, Kind::Input, LONGEST)?;
    let Pairs(splits): Pairs<Vec<(String, i64, String)>> = serde_json::from_str(&text).map_err(|error| {
        Error::new(Kind::Input, format!("{}: not a split as CoOp writes it: {error}", path.display())).hint(HINT)
    })?;
    // The strings of the text are, in its order, the word of each list, and two of each entry.
    let mut lines = lines_of_strings(&text);
    let mut line = || lines.next().unwrap_or(1) as u64;
    let (mut words, mut classes, mut shown) = (HashMap::new(), Classes::default(), HashMap::new());
    let mut rows = Vec::new();
    for (word, entries) in splits {
        let at = line();
        let refused = |at: u64, what: String| Error::in_line(Kind::Input, path, at, what).hint(HINT);
        let split = Split::parse(&word)
            .ok_or_else(|| refused(at, format!("a list is called `{}`", in_line(&word))).hint(Split::hint()))?;
        if let Some(before) = words.insert(word.clone(), at) {
            return Err(refused(at, format!("the list `{word}` stands in line {before} already"))
                .hint("put all its entries into one list"));
        }
        for (picture, number, name) in entries {
            let at = line();
            line();
            let name = name.replace('_', " ");
            let label = Label::of_text(&name).filter(|_| !picture.trim().is_empty());
            let label =
                label.ok_or_else(|| refused(at, format!("an entry of `{word}` lacks its path or its class")))?;
            let here = |what: String| refused(at, format!("{what} at {}", in_line(&picture)));
            classes.add(number, &name).map_err(here)?;
            let (first, before) = *shown.entry(picture.clone()).or_insert((number, at));
            if first != number {
                let what =
                    format!("{} is '{}', and of another class in line {before}", in_line(&picture), in_line(&name));
                return Err(refused(at, what).hint("each picture has one class: remove one of the two entries"));
            }
            rows.push(Row { path: picture, label: Some(label), split: Some(split) });
        }
    }
    Ok(rows)
}
