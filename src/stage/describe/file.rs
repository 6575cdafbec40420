//! Reads the file of sentences, and on which line of it each stands; writes it.

use std::path::Path;

use serde::{Serialize, Serializer};

use crate::error::{Context, Error, Kind, Result};
use crate::text::file as text_file;
use crate::text::json::{Pairs, lines_of_strings};

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
        return Err(Error::new(Kind::Input, format!("{}: the file is empty", path.display())).hint(
            "`microclip-pipe describe` fills it: {\"class name\": [\"sentence\", ...]}; text.prototypes = \"templates\" does \
             without",
        ));
    }
    let Pairs(pairs): Pairs<Vec<String>> =
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

/// Reads `["word", ...]`, or a word a line, with the line of each.
///
/// # Errors
/// Returns [`Kind::Input`] if the file cannot be read, or has no word.
pub(super) fn read_words(path: &Path) -> Result<Vec<(String, usize)>> {
    if path.extension().is_some_and(|extension| extension == "pkl") {
        return Err(Error::new(
            Kind::Input,
            format!("{}: a pickle, which can run code when it is opened", path.display()),
        )
        .hint(
            "write the words as JSON: python -c \"import json, pickle; json.dump(list(pickle.load(open('words.pkl', \
                   'rb'))), open('words.json', 'w'))\"",
        ));
    }
    let text = text_file::read(path, Kind::Input, LONGEST)?;
    let words: Vec<(String, usize)> = if text.trim_start().starts_with('[') {
        let words: Vec<String> = serde_json::from_str(&text).at(Kind::Input, "not a list of words:", path)?;
        words.into_iter().zip(lines_of_strings(&text)).collect()
    } else {
        (1..).zip(text.lines()).map(|(line, word)| (word.to_owned(), line)).collect()
    };
    let words: Vec<_> = words.into_iter().map(|(word, line)| (word.trim().to_owned(), line)).collect();
    let words: Vec<_> = words.into_iter().filter(|(word, _)| !word.is_empty()).collect();
    match words.is_empty() {
        true => Err(Error::new(Kind::Input, format!("{}: no word in it", path.display()))
            .hint("text.layout = \"words\" reads [\"word\", ...], or a word a line")),
        false => Ok(words),
    }
}

/// Reads the names and sentences of a file in its order; none if there is no file, or nothing in
/// it.
///
/// # Errors
/// Fails as [`read`] does otherwise.
pub fn entries(path: &Path) -> Result<Vec<(String, Vec<String>)>> {
    if std::fs::metadata(path).is_ok_and(|file| file.len() == 0) || !path.exists() {
        return Ok(Vec::new());
    }
    let sentences = |entry: Entry| (entry.name, entry.sentences.into_iter().map(|(sentence, _)| sentence).collect());
    Ok(read(path)?.into_iter().map(sentences).collect())
}

/// Checks that [`write`] will not be refused for its place.
///
/// # Errors
/// Returns [`Kind::System`] if no file can be made beside `path`.
pub fn require_writable(path: &Path) -> Result<()> {
    text_file::beside(path, "").map(drop).at(Kind::System, "cannot write", path)
}

/// Writes names and sentences, a sentence a line; the file is the old one until it is whole.
///
/// # Errors
/// Returns [`Kind::System`] if it cannot be written.
pub fn write(path: &Path, entries: &[(String, Vec<String>)]) -> Result<()> {
    /// The entries as a JSON object in their order.
    struct InFile<'a>(&'a [(String, Vec<String>)]);

    impl Serialize for InFile<'_> {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.collect_map(self.0.iter().map(|(name, sentences)| (name, sentences)))
        }
    }

    let text = serde_json::to_string_pretty(&InFile(entries));
    let text = text.context(Kind::Internal, || "cannot write sentences".to_owned())?;
    text_file::replace(path, &(text + "\n"))
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

    #[test]
    fn what_is_written_is_read_again_in_its_order() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("words.json");
        assert_eq!(entries(&path).unwrap(), []);
        std::fs::write(&path, "").unwrap();
        assert_eq!(entries(&path).unwrap(), []);
        let list = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        let all = [("rose".to_owned(), list(&["It has \"thorns\"."])), ("aster".to_owned(), list(&[]))];
        write(&path, &all).unwrap();
        assert_eq!(
            std::fs::read_to_string(&path).unwrap(),
            "{\n  \"rose\": [\n    \"It has \\\"thorns\\\".\"\n  ],\n  \"aster\": []\n}\n"
        );
        assert_eq!(entries(&path).unwrap(), all);
    }

    #[test]
    fn words_are_a_list_or_lines_and_no_pickle() {
        let folder = tempfile::tempdir().unwrap();
        let read = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            read_words(&path).map_err(|error| error.to_string())
        };
        let words = |first, second| Ok(vec![("red".to_owned(), first), ("two legs".to_owned(), second)]);
        assert_eq!(read("a.json", "[\"red\",\n\n \"two legs\"]"), words(1, 3));
        assert_eq!(read("a.txt", "red\n\n two legs \n"), words(1, 3));
        assert!(read("a.pkl", "").unwrap_err().contains("a pickle"));
        assert!(read("b.txt", " \n").unwrap_err().ends_with("b.txt: no word in it"));
        assert!(read("b.json", "[1]").unwrap_err().contains("not a list of words"));
    }
}
