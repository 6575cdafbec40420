//! Checks a pipeline file's values against [`keys`](super::keys), and makes its paths absolute on
//! the way.

use std::collections::HashSet;
use std::path::{Component, Path, PathBuf};

use toml::{Table, Value};

use super::absent;
use super::keys::{self, KEYS, join, split};
use super::lines::Lines;
use super::mistakes::Mistakes;
use super::overrides::Applied;
use super::suggest;
use crate::hub::{self, Name, RepoType};
use crate::language_model::require_address;
use crate::objects::{Address, FORMS, MODELS, STORES};
use crate::settings::{Must, SHARE, Want};
use crate::stage::describe::Prototypes;
use crate::text::file::{INTO_A_FILE, special};
use crate::text::path::{from_home, on_disk};
use crate::text::pattern;

/// Checks values, and knows where each came from.
pub(crate) struct Check<'a> {
    /// The absolute folder at which relative paths start.
    pub(crate) base: &'a Path,
    pub(crate) lines: &'a Lines,
    pub(crate) applied: &'a Applied,
    /// Whether the file of sentences must be named and exist.
    pub(crate) sentences: bool,
    /// Where the data set can be had, if the file says it.
    pub(crate) obtain: Option<String>,
    pub(crate) mistakes: &'a mut Mistakes,
}

/// The key of the file of sentences, which only some work reads.
pub(super) const SENTENCES: &str = "text.descriptions";

/// A mistake, and what to do about it if that is known.
pub(crate) type Mistake = (String, Option<String>);

impl Check<'_> {
    /// Reports every mistake in `table`, and replaces its paths by absolute ones.
    pub(crate) fn all(&mut self, table: &mut Table) {
        let mut suggested = HashSet::new();
        self.section("", table, &mut suggested);
        for key in KEYS.iter().filter(|key| key.of.default.is_none() || (self.sentences && key.name == SENTENCES)) {
            let (section, leaf) = split(&key.name);
            // One mistake, one message: a mistyped key or table is not reported as missing as well.
            if suggested.contains(key.name.as_str()) || suggested.contains(section) {
                continue;
            }
            let there = match section {
                "" => table.contains_key(leaf),
                _ => match table.get(section) {
                    Some(Value::Table(inner)) => inner.contains_key(leaf),
                    Some(_) => true,
                    None => false,
                },
            };
            if !there {
                let line = self.lines.get(section);
                let place = if section.is_empty() { "at the top".to_owned() } else { format!("under [{section}]") };
                let instead = match key.name == SENTENCES {
                    true => ", or prototypes = \"templates\" to do without sentences",
                    false => "",
                };
                let hint = format!("add {leaf} {place}: {}{instead}", key.of.want.describe());
                self.mistakes.in_file(line, format!("missing key '{}'", key.name), Some(hint));
            }
        }
    }

    /// Reports a mistake at the place where `name` was given: a line of the file, or `--set`.
    pub(crate) fn mistake(&mut self, name: &str, (what, hint): Mistake) {
        match self.applied.get(name) {
            Some(text) => self.mistakes.in_override(text, what, hint),
            None => self.mistakes.in_file(self.lines.get(name), what, hint),
        }
    }

    fn section(&mut self, section: &str, table: &mut Table, suggested: &mut HashSet<&'static str>) {
        for (leaf, value) in table.iter_mut() {
            let name = join(section, leaf);
            if keys::is_table(&name) {
                match value {
                    Value::Table(inner) => self.section(&name, inner, suggested),
                    other => {
                        let hint = format!("begin it with a line [{name}]");
                        self.mistake(&name, (format!("'{name}' must be a table, not {}", found(other)), Some(hint)));
                    }
                }
            } else if let Some(key) = keys::find(&name) {
                if let Err((what, hint)) = self.value(&key.name, key.of.want, value) {
                    let hint = self.obtain(&name, key.of.want, value).or(hint);
                    self.mistake(&name, (what, hint));
                }
            } else {
                suggested.extend(suggest::key(&name));
                let kind = if value.is_table() { "table" } else { "key" };
                self.mistake(&name, (format!("unknown {kind} '{name}'"), Some(suggest::hint(&name))));
            }
        }
    }

    /// Returns where a file of the data set can be had that is not there, if the pipeline says it.
    /// It is said once.
    fn obtain(&mut self, name: &str, want: Want, value: &Value) -> Option<String> {
        let is_of_data = matches!(want, Want::Path(_)) && absent::is_of_data(name);
        let is_absent = || value.as_str().is_some_and(|text| !text.is_empty() && !absolute(self.base, text).exists());
        if is_of_data && is_absent() { self.obtain.take() } else { None }
    }

    /// Checks one value, and makes it absolute if it is a path. Messages call it `name`.
    pub(crate) fn value(&self, name: &str, want: Want, value: &mut Value) -> Result<(), Mistake> {
        let wrong = |value: &Value| (format!("'{name}' must be {}, not {}", want.describe(), found(value)), None);
        match (want, &*value) {
            (Want::Name, Value::String(text)) => {
                let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
                if text.is_empty() || text.len() > 64 || !text.chars().all(fits) {
                    return Err(wrong(value));
                }
            }
            (Want::Path(must), Value::String(text)) => {
                if text.is_empty() {
                    return Err(wrong(value));
                }
                let path = absolute(self.base, text);
                if let Some(address) = of_objects(name, text, &path, must)? {
                    *value = Value::String(address.to_string());
                    return Ok(());
                }
                if let Some(on_hub) = on_hub(name, text, &path, must)? {
                    *value = Value::String(on_hub.to_string());
                    return Ok(());
                }
                if name != SENTENCES || self.sentences {
                    there(name, text, &path, must)?;
                }
                let Some(path) = path.to_str() else {
                    let folder = self.base.display();
                    return Err((format!("'{name}': the folder {folder} has a name that is not UTF-8"), None));
                };
                *value = Value::String(path.to_owned());
            }
            (Want::Text, Value::String(text)) if !text.is_empty() => {}
            (Want::Address, Value::String(text)) if !text.is_empty() => {
                require_address(text, name).map_err(|error| (error.to_string(), error.own_hint().map(Into::into)))?;
            }
            (Want::Whole(least, greatest), Value::Integer(number)) => {
                if !u64::try_from(*number).is_ok_and(|number| (least..=greatest).contains(&number)) {
                    return Err(wrong(value));
                }
            }
            (Want::Number(bounds), Value::Integer(_) | Value::Float(_)) => {
                let number = number(value).filter(|number| bounds.hold(*number)).ok_or_else(|| wrong(value))?;
                *value = Value::Float(number);
            }
            (Want::ShareOrAuto, Value::Integer(_) | Value::Float(_)) => {
                return self.value(name, SHARE, value).map_err(|_| wrong(value));
            }
            (Want::ShareOrAuto, Value::String(text)) if text == "auto" => {}
            (Want::Flag, Value::Boolean(_)) => {}
            (Want::Choice(choices), Value::String(text)) => {
                if !choices.have(text) {
                    let what = format!("unknown value '{}' for {name}; {}", shorten(text), want.describe());
                    return Err((
                        what,
                        suggest::name(text, choices.names).map(|meant| format!("did you mean '{meant}'?")),
                    ));
                }
            }
            (Want::NameOrCount(names), Value::String(text)) if names.holds(text) => {}
            (Want::Templates, Value::Array(list)) => {
                if list.is_empty() {
                    return Err((format!("'{name}' must be {}, but is empty", want.describe()), None));
                }
                if let Some(bad) = list.iter().find(|t| !t.as_str().is_some_and(|t| t.contains("{}"))) {
                    return Err(wrong(bad));
                }
            }
            (Want::Span, Value::Array(ends)) => {
                let ends: Vec<f64> = ends.iter().filter_map(number).collect();
                match (ends.as_slice(), &*value) {
                    ([least, greatest], Value::Array(all))
                        if all.len() == 2 && *least > 0.0 && least <= greatest && *greatest <= 1.0 =>
                    {
                        *value = Value::Array(vec![Value::Float(*least), Value::Float(*greatest)]);
                    }
                    _ => return Err(wrong(value)),
                }
            }
            _ => return Err(wrong(value)),
        }
        Ok(())
    }
}

/// Returns whether a pipeline file says that sentences are not read: classifiers are made from
/// templates.
pub(crate) fn goes_without_sentences(table: &Table) -> bool {
    let prototypes = table.get("text").and_then(|text| text.get("prototypes")).and_then(Value::as_str);
    prototypes == Some(Prototypes::Templates.name())
}

fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Float(number) => Some(*number),
        Value::Integer(number) => Some(*number as f64),
        _ => None,
    }
}

/// Resolves a path of a pipeline file in the folder `base`. Each `..` at its start is taken off
/// `base`, which is free of symbolic links; later ones are left to the file system. A `~` at its
/// start is the user's home.
pub(crate) fn absolute(base: &Path, written: &str) -> PathBuf {
    let path = from_home(written);
    let mut whole = base.to_owned();
    let mut plain = path.is_relative();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir if plain => {
                whole.pop();
            }
            other => {
                plain = false;
                whole.push(other);
            }
        }
    }
    on_disk(whole)
}

/// Returns the name on the hub that a text in the place of a path means. What there is on the disk
/// comes first, as in transformers.
fn on_hub(name: &str, text: &str, path: &Path, must: Must) -> Result<Option<Name>, Mistake> {
    let of = match must {
        Must::BeModel | Must::BeModelFolder => RepoType::Model,
        Must::BeDataset => RepoType::Dataset,
        Must::MayBeNew | Must::Exist | Must::BeFile | Must::BeFolder => return Ok(None),
    };
    let Some(named) = Name::parse(text) else {
        let short = if of == RepoType::Model && !path.exists() { Name::of_model(text) } else { None };
        return Ok(short);
    };
    let wrong = |why: String| {
        let hint = match of {
            RepoType::Model => "a model is hf://ORG/NAME or hf://ORG/NAME@REVISION",
            RepoType::Dataset => "a data set is hf://datasets/ORG/NAME or hf://datasets/ORG/NAME@REVISION",
        };
        (format!("'{name}' is {}, {why}", shorten(text)), Some(hint.to_owned()))
    };
    match named {
        Ok(named) if named.of() == of => Ok(Some(named)),
        Ok(named) => Err(wrong(format!("which is a {}", named.of().in_words()))),
        Err(why) => Err(wrong(why)),
    }
}

/// Returns the address of objects that a text in the place of a path means. A page of the hub is
/// none.
fn of_objects(name: &str, text: &str, path: &Path, must: Must) -> Result<Option<Address>, Mistake> {
    let address = match must {
        // Whatever lies there by that name: a folder `s3:` would take the place of the store.
        Must::MayBeNew => Address::of_store(text),
        Must::BeDataset if !path.exists() && Name::parse(text).is_none() => Address::parse(text),
        Must::BeModel | Must::BeModelFolder if !path.exists() && Name::parse(text).is_none() => Address::of_model(text),
        _ => None,
    };
    let forms = match must {
        Must::MayBeNew => STORES,
        Must::BeDataset => FORMS,
        _ => MODELS,
    };
    address.transpose().map_err(|why| {
        // A password is shown to nobody.
        let shown = if text.contains('@') { "an address".to_owned() } else { shorten(text) };
        (format!("'{name}' is {shown}, {why}"), Some(forms.to_owned()))
    })
}

fn there(name: &str, text: &str, path: &Path, must: Must) -> Result<(), Mistake> {
    if must == Must::MayBeNew {
        if path.exists() && !path.is_dir() {
            return Err((format!("'{name}' must be a folder, but {} is a file", path.display()), None));
        }
        return Ok(());
    }
    let of = match must {
        Must::BeDataset => Some(RepoType::Dataset),
        Must::BeModel | Must::BeModelFolder => Some(RepoType::Model),
        _ => None,
    };
    if let Some(hint) = hub::instead_of_address(text, of).filter(|_| !path.exists()) {
        return Err((format!("'{name}' is {}, which is an address, and no path", shorten(text)), Some(hint)));
    }
    let meant = if of == Some(RepoType::Dataset) { hub::meant_data_set(text) } else { None };
    let text = shorten(text);
    if must == Must::BeDataset
        && let Some(folder) = pattern::folder(path).filter(|_| !path.exists())
    {
        if folder.is_dir() {
            return Ok(());
        }
        let hint = format!("looked for {}; relative paths start at the pipeline file", folder.display());
        return Err((format!("'{name}' names {text}, whose folder does not exist"), Some(hint)));
    }
    match std::fs::metadata(path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            let hub = match must {
                Must::BeModel | Must::BeModelFolder => ", and it is no name on the hub, which is ORG/NAME".to_owned(),
                _ => meant.map(|name| format!("; on the hub, that data set is named {name}")).unwrap_or_default(),
            };
            let hint = format!("looked for {}; relative paths start at the pipeline file{hub}", path.display());
            Err((format!("'{name}' names {text}, which does not exist"), Some(hint)))
        }
        Err(e) => Err((format!("'{name}' names {text}, which cannot be read: {e}"), None)),
        Ok(meta) if must == Must::BeFile && !meta.is_file() => Err(match special(path) {
            Some(what) => {
                (format!("'{name}' names {text}, which is {what}, and no file"), Some(INTO_A_FILE.to_owned()))
            }
            None => (format!("'{name}' names {text}, which is not a file"), None),
        }),
        Ok(meta) if matches!(must, Must::BeFolder | Must::BeModelFolder) && !meta.is_dir() => {
            Err((format!("'{name}' names {text}, which is not a folder"), None))
        }
        Ok(_) => Ok(()),
    }
}

/// Writes a value as messages show it.
pub(crate) fn found(value: &Value) -> String {
    match value {
        Value::String(text) => format!("\"{}\"", shorten(text)),
        Value::Table(_) => "a table".to_owned(),
        Value::Array(list) if list.iter().any(|v| v.is_table() || v.is_array()) => "a list".to_owned(),
        other => shorten(&other.to_string()),
    }
}

/// Puts a text on one line, short enough to leave room for the message.
pub(crate) fn shorten(text: &str) -> String {
    const LONGEST: usize = 60;
    let mut short: String = text.chars().take(LONGEST).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short.escape_debug().to_string().replace("\\\"", "\"").replace("\\'", "'")
}
