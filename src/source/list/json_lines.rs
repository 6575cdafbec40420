//! Lists as JSON Lines: an object a line, as the `metadata.jsonl` of the image folders of
//! `datasets`.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek};
use std::path::Path;

use serde_json::Value;

use super::columns::Columns;
use super::{JSON, Row, has_extension};
use crate::error::{Context, Error, Kind, Result};
use crate::source::column_names::{Chosen, KEYS};
use crate::source::label::{ONE_CLASS, of_json};
use crate::text::file::without_mark;
use crate::text::json::Pairs;

/// Bytes that a line may have: room for a long caption and boxes.
const LONGEST: u64 = 1 << 20;

/// Keys that a list may have: each is a column.
const MOST_KEYS: usize = 10_000;

/// Returns whether a file holds JSON: by its name, or by its first letter.
///
/// # Errors
/// Returns [`Kind::Input`] if the file cannot be read.
pub(super) fn is_json(file: &mut File, path: &Path) -> Result<bool> {
    if has_extension(path, &JSON) {
        return Ok(true);
    }
    let mut begin = Vec::new();
    file.take(64).read_to_end(&mut begin).at(Kind::Input, "cannot read", path)?;
    file.rewind().at(Kind::Input, "cannot read", path)?;
    Ok(without_mark(&begin).iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'{'))
}

/// Reads the objects, whose keys are columns. The file is read twice: any line may have a key that
/// those before it lack.
///
/// # Errors
/// Returns [`Kind::Input`] if the file cannot be read or one of its lines is wrong.
pub(super) fn rows(mut file: File, chosen: Chosen<'_>, path: &Path) -> Result<(Columns, Vec<Row>)> {
    let mut places: HashMap<String, usize> = HashMap::new();
    let mut names = Vec::new();
    let mut first = 1;
    each(&file, path, |line, object| {
        if names.is_empty() {
            first = line;
        }
        for name in object.0.into_iter().map(|(name, _)| name) {
            if !places.contains_key(&name) {
                places.insert(name.clone(), names.len());
                names.push(name);
            }
        }
        match names.len() {
            ..=MOST_KEYS => Ok(()),
            _ => Err(refused(path, line, "there are too many different keys")
                .hint("every line is an object with the same keys: file_name, and if wanted label and split")),
        }
    })?;
    let columns = Columns::find(&names, chosen, path, first)?;
    file.rewind().at(Kind::Input, "cannot read", path)?;
    let mut rows = Vec::new();
    each(&file, path, |line, mut object| {
        let mut value = |place: Option<usize>| match place.and_then(|place| names.get(place)) {
            Some(name) => object.take(name).map_err(|what| refused(path, line, &what).hint("remove one of the two")),
            None => Ok(None),
        };
        let text = |value: Option<Value>, place: usize| match value {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.trim().to_owned()).filter(|text| !text.is_empty())),
            Some(_) => Err(refused(path, line, &format!("`{}` is no text", names[place])).hint("write it in quotes")),
        };
        let file = text(value(Some(columns.path))?, columns.path)?;
        let split = text(value(columns.split)?, columns.split.unwrap_or(0))?;
        let label = of_json(value(columns.label)?).map_err(|what| {
            let name = &names[columns.label.unwrap_or(0)];
            refused(path, line, &format!("`{name}` is {what}"))
                .hint(format!("{ONE_CLASS}; {} chooses another key", KEYS[1]))
        })?;
        rows.push(Row::new(file, label, split, path, line)?);
        Ok(())
    })?;
    Ok((columns, rows))
}

/// Passes each line's object to `see`, with the line's number; empty lines are skipped.
fn each(file: &File, path: &Path, mut see: impl FnMut(u64, Pairs<Value>) -> Result<()>) -> Result<()> {
    let mut reader = BufReader::new(file);
    let mut bytes = Vec::new();
    for line in 1.. {
        bytes.clear();
        let read =
            reader.by_ref().take(LONGEST + 1).read_until(b'\n', &mut bytes).at(Kind::Input, "cannot read", path)?;
        if read == 0 {
            break;
        }
        if bytes.len() as u64 > LONGEST {
            return Err(refused(path, line, &format!("longer than the {} MB that a line may have", LONGEST >> 20))
                .hint("write one object a line: df.to_json(PATH, orient=\"records\", lines=True) does"));
        }
        let text = std::str::from_utf8(without_mark(&bytes));
        let text = text.map_err(|_| refused(path, line, "not UTF-8").hint("save it as UTF-8"))?.trim();
        if text.is_empty() {
            continue;
        }
        match serde_json::from_str(text) {
            Ok(object) => see(line, object)?,
            Err(error) if error.is_data() || text.starts_with('[') => {
                return Err(no_object(path, line, "not an object"));
            }
            // What the parser says ends in the line and column of the text it was given.
            Err(error) => {
                let what = error.to_string();
                let what = what.split(" at line ").next().unwrap_or_default();
                return Err(no_object(path, line, &format!("not JSON: {what} in column {}", error.column())));
            }
        }
    }
    Ok(())
}

fn no_object(path: &Path, line: u64, what: &str) -> Error {
    refused(path, line, what).hint(
        "every line is an object, {\"file_name\": \"a.png\", \"label\": \"rose\"}: pandas writes them with \
         to_json(PATH, orient=\"records\", lines=True)",
    )
}

fn refused(path: &Path, line: u64, what: &str) -> Error {
    Error::in_line(Kind::Input, path, line, what)
}
