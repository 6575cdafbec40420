//! Reads the JSON file of sentences, and on which line of it each stands.

use std::fmt;
use std::path::Path;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};

use crate::error::{Context, Error, Kind, Result};
use crate::text::file as text_file;

/// Maximum bytes of the file: enough for some hundred sentences about each of ten thousand classes.
const LONGEST: u64 = 256 << 20;

/// A class of the file.
pub(super) struct Entry {
    /// The class's name, as the file spells it.
    pub(super) name: String,
    /// The line that it stands on, from 1.
    pub(super) line: usize,
    /// Its sentences without spaces around, and the line of each. Empty ones are left out.
    pub(super) sentences: Vec<(String, usize)>,
}

/// Reads `{class name: [sentence, ...]}`, in the order of the file.
///
/// # Errors
/// Returns [`Kind::Input`] if the file cannot be read, is empty, or is no such JSON.
pub(super) fn read(path: &Path) -> Result<Vec<Entry>> {
    let text = text_file::read(path, Kind::Input, LONGEST)?;
    if text.trim().is_empty() {
        return Err(Error::new(Kind::Input, format!("{}: the file is empty", path.display()))
            .hint("write {\"class name\": [\"sentence\", ...]}, or set text.prototypes = \"templates\""));
    }
    let Pairs(pairs) =
        serde_json::from_str(&text).at(Kind::Input, "not descriptions, {class name: [sentence, ...]}:", path)?;
    let mut lines = lines_of_strings(&text);
    // The strings of the text are, in its order, each name and then its sentences.
    let mut line = || lines.next().unwrap_or(1);
    let entries = pairs.into_iter().map(|(name, sentences)| {
        let at = line();
        let placed = sentences.into_iter().map(|sentence| (sentence.trim().to_owned(), line()));
        Entry { name, line: at, sentences: placed.filter(|(sentence, _)| !sentence.is_empty()).collect() }
    });
    Ok(entries.collect())
}

/// The pairs of a JSON object, with those of equal names, which a map would drop.
struct Pairs(Vec<(String, Vec<String>)>);

impl<'de> Deserialize<'de> for Pairs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(InOrder)
    }
}

struct InOrder;

impl<'de> Visitor<'de> for InOrder {
    type Value = Pairs;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Pairs, M::Error> {
        let mut pairs = Vec::new();
        while let Some(pair) = map.next_entry()? {
            pairs.push(pair);
        }
        Ok(Pairs(pairs))
    }
}

/// Returns the line, from 1, on which each string of valid JSON begins.
fn lines_of_strings(json: &str) -> impl Iterator<Item = usize> {
    let (mut line, mut inside, mut escaped) = (1, false, false);
    json.bytes().filter_map(move |byte| {
        match (byte, escaped) {
            (b'\n', _) => line += 1,
            (_, true) => escaped = false,
            (b'\\', false) => escaped = inside,
            (b'"', false) => {
                inside = !inside;
                return inside.then_some(line);
            }
            _ => {}
        }
        None
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sentence_has_its_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("words.json");
        let text =
            "{\"a \\\"rose\\\"\": [\"one\",\n \"\", \" two\\n\"],\n\n\"lily\\\\\": [], \"a \\\"rose\\\"\": [\n\"3\"]}";
        std::fs::write(&path, text).unwrap();
        let entries = read(&path).unwrap();
        let found: Vec<String> =
            entries.iter().map(|entry| format!("{}:{} {:?}", entry.line, entry.name, entry.sentences)).collect();
        assert_eq!(found, [r#"1:a "rose" [("one", 1), ("two", 2)]"#, r"4:lily\ []", r#"4:a "rose" [("3", 5)]"#,]);
        std::fs::write(&path, " \n").unwrap();
        assert!(read(&path).err().unwrap().to_string().ends_with("words.json: the file is empty"));
    }
}
