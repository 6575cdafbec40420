//! Reads the names of classes by folder or label, where the labels themselves say little: numbers,
//! codes, or names with numbers before them.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use csv::{ReaderBuilder, Trim};
use toml::{Spanned, Value};

use super::list;
use crate::error::{Error, Kind, Result};
use crate::text::file as text_file;
use crate::text::names::{composed, plain};
use crate::text::terminal::in_line;

/// The most bytes of such a file: room for a million classes.
const LONGEST: u64 = 64 << 20;

/// What the first line of a table may call its two columns.
const HEADERS: [&[&str]; 2] = [
    &["label", "folder", "directory", "id", "class_id", "code", "wnid", "synset", "class", "from", "key"],
    &["name", "class_name", "classname", "class", "text", "species", "title", "to", "value"],
];

const HINT: &str = "a label and the name of its class a line, separated by a comma or a tab: 001.Black_footed_Albatross,Black-footed Albatross; \
                    text with a comma stands in double quotes; or a label, a space and a name a line; or, in a .toml file, \
                    \"label\" = \"name\" a line";

/// The names of classes by label, as a file gives them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClassMap {
    /// The file.
    pub(crate) path: PathBuf,
    /// Labels and names in the file's order; no label stands twice.
    pub(crate) pairs: Vec<(String, String)>,
}

impl ClassMap {
    /// Reads a CSV or TSV file of two columns, with or without a header, lines of a label without
    /// spaces and a name, or a TOML file of one table.
    ///
    /// # Errors
    /// Returns [`Kind::Input`], naming the line, if the file cannot be read, a line does not have
    /// two fields, or a label is given two names.
    pub fn read(path: &Path) -> Result<Self> {
        let text = text_file::read(path, Kind::Input, LONGEST)?;
        let is_toml = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("toml"));
        let lines = match is_toml {
            true => toml_lines(&text, path)?,
            false if are_words(&text) => word_lines(&text, path)?,
            false => csv_lines(&text, path)?,
        };
        let mut places: HashMap<String, usize> = HashMap::new();
        let mut pairs: Vec<(String, String)> = Vec::new();
        for Line { number, label, name } in lines {
            let here = |what: String| Error::in_line(Kind::Input, path, number, what);
            if plain(&label).is_empty() || plain(&name).is_empty() {
                return Err(here("a label or a name is empty".to_owned()).hint(HINT));
            }
            if name.contains(['\n', '\r']) {
                return Err(here("a name goes on in the next line".to_owned()).hint(HINT));
            }
            match places.get(&plain(&label)) {
                Some(&place) if plain(&pairs[place].1) == plain(&name) => {}
                Some(&place) => {
                    let (before, other) = (in_line(&pairs[place].0), in_line(&pairs[place].1));
                    let (label, name) = (in_line(&label), in_line(&name));
                    let what = format!("'{label}' is named '{name}' here, and '{other}' above, as '{before}'");
                    return Err(here(what).hint("remove one of the two lines"));
                }
                None => {
                    places.insert(plain(&label), pairs.len());
                    pairs.push((label, composed(&name).into_owned()));
                }
            }
        }
        if pairs.is_empty() {
            return Err(Error::new(Kind::Input, format!("{} names no class", path.display())).hint(HINT));
        }
        Ok(ClassMap { path: path.to_owned(), pairs })
    }
}

struct Line {
    number: u64,
    label: String,
    name: String,
}

fn toml_lines(text: &str, path: &Path) -> Result<Vec<Line>> {
    let number = |place: usize| 1 + text[..place.min(text.len())].bytes().filter(|&byte| byte == b'\n').count() as u64;
    let refused = |place: usize, what: &str| {
        Error::in_line(Kind::Input, path, number(place), what)
            .hint("each line is \"label\" = \"name\"; both stand in quotes")
    };
    let table: HashMap<String, Spanned<Value>> =
        toml::from_str(text).map_err(|e| refused(e.span().map_or(0, |span| span.start), e.message()))?;
    let mut lines = Vec::new();
    for (label, value) in table {
        let place = value.span().start;
        let Value::String(name) = value.into_inner() else {
            return Err(refused(place, &format!("the name of '{}' is not a text", in_line(&label))));
        };
        lines.push(Line { number: number(place), label, name: name.trim().to_owned() });
    }
    lines.sort_by_key(|line| line.number);
    Ok(lines)
}

/// Returns whether nothing but spaces separates the label from the name, as in ImageNet's
/// `n01440764 tench`: by the first line, which has then no separator of a table.
fn are_words(text: &str) -> bool {
    let first = text.lines().next().unwrap_or_default().trim();
    first.contains(' ') && !first.contains([',', ';', '\t', '|', '"'])
}

fn word_lines(text: &str, path: &Path) -> Result<Vec<Line>> {
    let line = |(number, line): (u64, &str)| match line.trim().split_once(char::is_whitespace) {
        Some((label, name)) => Ok(Line { number, label: label.to_owned(), name: name.trim().to_owned() }),
        None => {
            let what = format!("one word, '{}', where a label and a name are needed", line.trim());
            Err(Error::in_line(Kind::Input, path, number, what).hint(HINT))
        }
    };
    (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty()).map(line).collect()
}

fn csv_lines(text: &str, path: &Path) -> Result<Vec<Line>> {
    let separator = list::separator_of(text.lines().next().unwrap_or_default().as_bytes());
    let mut reader = ReaderBuilder::new();
    reader.has_headers(false).trim(Trim::All).flexible(true).delimiter(separator);
    let mut lines = Vec::new();
    let mut last = (0, 1);
    for record in reader.from_reader(text.as_bytes()).records() {
        let record = record.map_err(|e| list::refused(path, &e))?;
        let number = record.position().map_or(0, csv::Position::line);
        last = record.position().map_or(last, |position| (position.byte() as usize, number));
        let fields: Vec<&str> = record.iter().collect();
        let [label, name] = fields[..] else {
            let what = match fields.len() {
                1 => format!("one field, '{}'", in_line(fields[0])),
                fields => format!("{fields} fields"),
            };
            let what = format!("{what}, where a label and a name are needed");
            return Err(Error::in_line(Kind::Input, path, number, what).hint(HINT));
        };
        let is_header =
            || HEADERS.iter().zip([label, name]).all(|(known, field)| known.contains(&&*field.to_lowercase()));
        if !(lines.is_empty() && is_header()) {
            lines.push(Line { number, label: label.to_owned(), name: name.to_owned() });
        }
    }
    list::require_closed(&text.as_bytes()[last.0.min(text.len())..], separator, last.1, path)?;
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(file: &str, text: &str) -> Result<Vec<(String, String)>> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(file);
        std::fs::write(&path, text).unwrap();
        ClassMap::read(&path).map(|map| map.pairs)
    }

    #[test]
    fn a_table_of_labels_and_names_is_read_in_each_of_its_forms() {
        let expected = vec![("0".to_owned(), "rose".to_owned()), ("1".to_owned(), "tiger lily, red".to_owned())];
        for (file, text) in [
            ("map.csv", "0,rose\n1,\"tiger lily, red\"\n"),
            ("map.csv", "\u{feff}Label;Name\r\n0;rose\r\n1;\"tiger lily, red\"\r\n"),
            ("map.tsv", "folder\tclass_name\n0\trose\n\n1\ttiger lily, red\n0\trose\n"),
            ("map.toml", "0 = \"rose\"\n\"1\" = 'tiger lily, red'\n"),
            ("classnames.txt", "0 rose\n\n1 tiger lily, red\n"),
        ] {
            assert_eq!(read(file, text).unwrap(), expected, "{file}: {text}");
        }
        // Names are brought to NFC, as all names of classes are, whichever form the file uses.
        assert_eq!(read("map.csv", "0,Ga\u{308}nse\n").unwrap()[0].1, "Gänse");
    }

    #[test]
    fn a_wrong_line_is_named() {
        for (file, text, expected) in [
            ("map.csv", "0,rose\n1 lily\n", "map.csv:2: one field, '1 lily', where"),
            ("map.csv", "0,rose\n1,tiger lily, red\n", "map.csv:2: 3 fields, where"),
            ("map.csv", "0,rose\n1,\n", "map.csv:2: a label or a name is empty"),
            ("map.txt", "0 rose\n1\n", "map.txt:2: one word, '1', where"),
            (
                "map.csv",
                "tiger_lily,rose\nTiger lily,lily\n",
                "map.csv:2: 'Tiger lily' is named 'lily' here, and 'rose' above",
            ),
            ("map.csv", "label,name\n", "map.csv names no class"),
            ("map.csv", "a,rose\nb,\"iris\nc,lily\n", "map.csv:2: a double quote opens a field that has no end"),
            ("map.csv", "a,rose\nb,\"iris\nc\"\n", "map.csv:2: a name goes on in the next line"),
            ("map.csv", "a,rose\nb,\"iris", "map.csv:2: a double quote opens a field that has no end"),
            ("map.toml", "0 = \"rose\"\n1 = 2\n", "map.toml:2: the name of '1' is not a text"),
            ("map.toml", "0 = \"rose\"\n0 = \"lily\"\n", "map.toml:2: duplicate key"),
        ] {
            let error = read(file, text).unwrap_err();
            assert!(error.to_string().contains(expected), "{error}");
            assert!(error.hint_text().is_some(), "{error}");
        }
    }
}
