//! Which files of a pipeline's data set are not there, and where they can be had.

use std::path::Path;

use toml::{Table, Value};

use super::check::{SENTENCES, absolute, goes_without_sentences, shorten};
use super::document::Document;
use super::keys::KEYS;
use crate::error::Result;
use crate::hub::Name;
use crate::objects::Address;
use crate::settings::{Must, Want};
use crate::text::pattern;

/// A pipeline whose data set is not there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Absent {
    /// The pipeline's name.
    pub name: String,
    /// The key that names what is not there, and what it says.
    pub what: String,
    /// Where it can be had, and where it goes, if the pipeline says that.
    pub obtain: Option<String>,
}

/// Returns what a pipeline file names of its data set that is not there: pictures, lists, class
/// names or sentences. Other mistakes in the file are not looked for.
///
/// # Errors
/// Returns [`Kind::Usage`](crate::error::Kind::Usage) if the file cannot be read or is not TOML.
pub fn absent(path: &Path) -> Result<Option<Absent>> {
    let Document { table, folder, .. } = Document::read(path, "pipeline file")?;
    let name = table.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
    for key in KEYS.iter().filter(|key| is_of_data(&key.name)) {
        let Want::Path(must) = key.of.want else { continue };
        if key.name == SENTENCES && goes_without_sentences(&table) {
            continue;
        }
        let Some(text) = value(&table, &key.name).filter(|text| !text.is_empty()) else { continue };
        // What is elsewhere is fetched.
        if must == Must::BeDataset && (Name::parse(text).is_some() || Address::parse(text).is_some()) {
            continue;
        }
        let place = absolute(&folder, text);
        let matches = || must == Must::BeDataset && pattern::paths(&place).is_ok_and(|found| !found.is_empty());
        if place.exists() || (pattern::folder(&place).is_some() && matches()) {
            continue;
        }
        let what = format!("{} is {}, which is not there", key.name, shorten(text));
        return Ok(Some(Absent { name, what, obtain: obtain(&table) }));
    }
    Ok(None)
}

/// Returns where a data set can be had, if its pipeline says it.
pub(super) fn obtain(table: &Table) -> Option<String> {
    value(table, "dataset.obtain").map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
}

/// Returns whether a key names a file or folder that comes with a data set.
pub(super) fn is_of_data(name: &str) -> bool {
    name.starts_with("dataset.") || name == SENTENCES
}

/// Returns the text of a dotted key.
fn value<'a>(table: &'a Table, name: &str) -> Option<&'a str> {
    let (section, leaf) = name.split_once('.')?;
    table.get(section)?.get(leaf)?.as_str()
}
