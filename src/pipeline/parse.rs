//! Reads a pipeline file into a [`Spec`].

use std::fs::File;
use std::io::Read;
use std::path::Path;

use serde::Deserialize;
use toml::de::DeTable;
use toml::{Table, Value};

use super::check::Check;
use super::lines::{Lines, line_at};
use super::overrides::{self, Applied};
use super::report::Report;
use super::spec::{DEFAULT_STORE, SourceKind, Spec};
use crate::error::{Context, Error, Kind, Result};

/// A pipeline file is a page of text; what is longer was named by mistake.
const LONGEST: u64 = 1 << 20;

/// Reads the pipeline file at `path`, puts each `KEY=VALUE` of `overrides` in place of what it says, and checks it.
///
/// Relative paths, also those in overrides, start at the file's folder.
///
/// # Errors
/// [`Kind::Usage`]: the file cannot be read, is not UTF-8 or not TOML; a key is unknown or missing; a value has the wrong
/// type or is out of range; a file it names is not there. All mistakes of one kind of check are reported together, each
/// with the line it stands on.
pub fn load(path: &Path, overrides: &[String]) -> Result<Spec> {
    let text = read(path)?;
    let mut report = Report::new(path);
    let (tree, mistakes) = DeTable::parse_recoverable(&text);
    let mut syntax = |mistake: &toml::de::Error| {
        let line = mistake.span().map(|span| line_at(&text, span.start));
        let what = mistake.message().replace('\n', ", ");
        // What the parser makes of a word without quotes.
        let bare = what.contains("invalid boolean") || what.contains("string values must be quoted");
        let hint = bare.then(|| "text stands in quotes: name = \"flowers\"".to_owned());
        report.in_file(line, format!("not valid TOML: {what}"), hint);
    };
    mistakes.iter().for_each(&mut syntax);
    // Numbers too long for their type are found only here.
    let table = toml::from_str(&text);
    if let (Err(mistake), true) = (&table, mistakes.is_empty()) {
        syntax(mistake);
    }
    report.finish()?;
    let mut table: Table = table.at(Kind::Usage, "cannot read", path)?;
    let lines = Lines::of(&text, tree.get_ref());
    table.entry("store").or_insert_with(|| Value::String(DEFAULT_STORE.to_owned()));

    let base = folder(path)?;
    let mut report = Report::new(path);
    let applied = overrides::apply(&mut table, overrides, &mut report);
    Check { base: &base, lines: &lines, applied: &applied, report: &mut report }.all(&mut table);
    report.finish()?;

    // What the check let through, serde takes: both know the same keys, which a test makes sure of.
    let mut spec = Spec::deserialize(table).at(Kind::Usage, "cannot read", path)?;
    match (applied.contains_key("dka.policy"), applied.contains_key("dka.statement")) {
        // What --set says comes in place of what the file says, though it is another key.
        (true, false) => spec.dka.statement = None,
        (false, true) => spec.dka.policy = None,
        _ => {}
    }
    relations(path, &spec, &lines, &applied)?;
    Ok(spec)
}

/// Checks what depends on more than one key.
fn relations(path: &Path, spec: &Spec, lines: &Lines, applied: &Applied) -> Result<()> {
    let mut report = Report::new(path);
    let mut check = Check { base: Path::new(""), lines, applied, report: &mut report };
    let dataset = &spec.dataset;
    let wrong = match dataset.kind {
        SourceKind::Folder if !dataset.path.is_dir() => Some("a folder"),
        SourceKind::List if !dataset.path.is_file() => Some("a file"),
        _ => None,
    };
    if let Some(expected) = wrong {
        let what = format!("'dataset.path' must be {expected} for kind = \"{}\"", dataset.kind);
        check.mistake("dataset.path", (what, None));
    }
    if dataset.root.is_some() && dataset.kind != SourceKind::List {
        let what = format!("'dataset.root' is for kind = \"list\", not for \"{}\"", dataset.kind);
        check.mistake("dataset.root", (what, Some("remove it".to_owned())));
    }
    if let (Some(policy), Some(_)) = (spec.dka.policy, &spec.dka.statement) {
        let what = format!("'dka.policy' (\"{policy}\") and 'dka.statement' cannot both say how pictures are labelled");
        check.mistake(
            "dka.policy",
            (what, Some("remove one of them; dka.gamma, dka.k and dka.floor go with either".to_owned())),
        );
    }
    let adapt = &spec.adapt;
    if adapt.min_lr > adapt.lr {
        let given = |name: &str| lines.get(name).is_some() || applied.contains_key(name);
        let name = if given("adapt.min_lr") { "adapt.min_lr" } else { "adapt.lr" };
        let what = format!("'adapt.min_lr' ({:e}) must not exceed 'adapt.lr' ({:e})", adapt.min_lr, adapt.lr);
        check.mistake(name, (what, None));
    }
    report.finish()
}

fn read(path: &Path) -> Result<String> {
    let shown = path.display();
    if path.is_dir() {
        return Err(Error::new(Kind::Usage, format!("{shown} is a folder, not a pipeline file"))
            .hint("name the .toml file in it"));
    }
    let file = match File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            return Err(Error::new(Kind::Usage, format!("pipeline file {shown} does not exist")));
        }
        Err(e) => return Err(Error::new(Kind::Usage, format!("cannot read pipeline file {shown}")).cause(e)),
    };
    let mut bytes = Vec::new();
    file.take(LONGEST + 1).read_to_end(&mut bytes).at(Kind::Usage, "cannot read pipeline file", path)?;
    if bytes.len() as u64 > LONGEST {
        return Err(Error::new(Kind::Usage, format!("{shown} is longer than 1 MiB, so it is no pipeline file")));
    }
    String::from_utf8(bytes).map_err(|e| {
        let good = &e.as_bytes()[..e.utf8_error().valid_up_to()];
        let line = 1 + good.iter().filter(|&&byte| byte == b'\n').count();
        Error::new(Kind::Usage, format!("{shown}:{line}: not UTF-8 text"))
    })
}

/// The folder of the pipeline file: absolute, and free of symbolic links so that `..` means what it says.
fn folder(path: &Path) -> Result<std::path::PathBuf> {
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    parent.canonicalize().at(Kind::Usage, "cannot find the folder of", path)
}
