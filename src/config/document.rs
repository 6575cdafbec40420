//! A TOML file that a user writes: its values, and the line of each.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use toml::Table;
use toml::de::DeTable;

use super::lines::{Lines, line_at};
use super::mistakes::Mistakes;
use crate::error::{Context, Error, Kind, Result};
use crate::text::file as text_file;

/// Such a file is a page of text; a longer one was named by mistake.
const LONGEST: u64 = 1 << 20;

/// A file of valid TOML, whose values are not checked yet.
pub(crate) struct Document {
    pub(crate) table: Table,
    pub(crate) lines: Lines,
    /// The file's folder, from which relative paths start: absolute, and free of symbolic links, so
    /// that `..` is the folder above.
    pub(crate) folder: PathBuf,
}

impl Document {
    /// Reads the file at `path`; messages call it a `kind`, e.g. `pipeline file`.
    ///
    /// # Errors
    /// Returns [`Kind::Usage`] if the file cannot be read, is not UTF-8 or not TOML; it lists all
    /// mistakes in the TOML with their lines.
    pub(crate) fn read(path: &Path, kind: &str) -> Result<Self> {
        let text = read(path, kind)?;
        let mut mistakes = Mistakes::new(path);
        let (tree, invalid) = DeTable::parse_recoverable(&text);
        let mut syntax = |mistake: &toml::de::Error| {
            let line = mistake.span().map(|span| line_at(&text, span.start));
            let what = mistake.message().replace('\n', ", ");
            // The parser's messages about a word without quotes.
            let bare = what.contains("invalid boolean") || what.contains("string values must be quoted");
            let hint = bare.then(|| "text stands in quotes: name = \"flowers\"".to_owned());
            mistakes.in_file(line, format!("not valid TOML: {what}"), hint);
        };
        invalid.iter().for_each(&mut syntax);
        // Numbers too long for their type are found only here.
        let table = toml::from_str(&text);
        if let (Err(mistake), true) = (&table, invalid.is_empty()) {
            syntax(mistake);
        }
        mistakes.finish()?;
        let table = table.at(Kind::Usage, "cannot read", path)?;
        Ok(Document { table, lines: Lines::of(&text, tree.get_ref()), folder: folder(path)? })
    }
}

fn read(path: &Path, kind: &str) -> Result<String> {
    let shown = path.display();
    if path.is_dir() {
        let article = if kind.starts_with('a') { "an" } else { "a" };
        return Err(Error::new(Kind::Usage, format!("{shown} is a folder, not {article} {kind}"))
            .hint("name the .toml file in it"));
    }
    let file = match File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == ErrorKind::NotFound => {
            let error = Error::new(Kind::Usage, format!("{kind} {shown} does not exist"));
            let first = kind == "pipeline file";
            return Err(if first { error.hint("`microclip-pipe init PICTURES` writes a first one") } else { error });
        }
        Err(e) => return Err(Error::new(Kind::Usage, format!("cannot read {kind} {shown}")).cause(e)),
    };
    let mut bytes = Vec::new();
    file.take(LONGEST + 1).read_to_end(&mut bytes).at(Kind::Usage, &format!("cannot read {kind}"), path)?;
    if bytes.len() as u64 > LONGEST {
        return Err(Error::new(Kind::Usage, format!("{shown} is longer than 1 MiB, so it is no {kind}"))
            .hint("name the .toml file"));
    }
    text_file::decoded(bytes, path, Kind::Usage)
}

fn folder(path: &Path) -> Result<PathBuf> {
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    parent.canonicalize().at(Kind::Usage, "cannot find the folder of", path)
}
