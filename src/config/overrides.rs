//! `--set a.b=c`: overrides of the pipeline file from the command line.

use std::collections::HashMap;

use toml::{Table, Value};

use super::check::Mistake;
use super::keys::{self, Named};
use super::mistakes::Mistakes;
use super::suggest;
use crate::settings::{Key, Want};

/// Overrides that were applied: dotted name to the text after `--set`, for messages.
pub(crate) type Applied = HashMap<String, String>;

/// Puts each `KEY=VALUE` into `table`; the last one of a key wins. Unknown keys and texts without
/// `=` go to `mistakes`.
pub(crate) fn apply(table: &mut Table, overrides: &[String], mistakes: &mut Mistakes) -> Applied {
    let mut applied = Applied::new();
    for text in overrides {
        match read(text) {
            Ok((key, value)) => {
                put(table, &key.name, value);
                applied.insert(key.name.clone(), text.clone());
            }
            Err((what, hint)) => mistakes.in_override(text, what, hint),
        }
    }
    applied
}

/// Splits one `KEY=VALUE` into its key and its value, which is not checked yet.
pub(crate) fn read(text: &str) -> Result<(&'static Named<Key>, Value), Mistake> {
    let Some((name, value)) = text.split_once('=') else {
        let hint = "write --set KEY=VALUE, e.g. --set adapt.epochs=3";
        return Err(("expected KEY=VALUE".to_owned(), Some(hint.to_owned())));
    };
    let (name, value) = (name.trim(), value.trim());
    if keys::is_table(name) {
        let hint = format!("set its keys one by one: --set {name}.KEY=VALUE");
        return Err((format!("'{name}' is a table, not a key"), Some(hint)));
    }
    let Some(key) = keys::find(name) else {
        return Err((format!("unknown key '{}'", name.escape_debug()), Some(suggest::hint(name))));
    };
    Ok((key, parse(value, key.of.want)))
}

/// Parses a TOML value, or else takes it as a bare string. A key that wants text gets text even if
/// it looks like a number.
fn parse(text: &str, want: Want) -> Value {
    match (text.parse::<Value>(), want) {
        (Ok(Value::String(quoted)), _) => Value::String(quoted),
        (_, Want::Name | Want::Path(_) | Want::Text | Want::Address | Want::Choice(_) | Want::NameOrCount(_))
        | (Err(_), _) => Value::String(text.to_owned()),
        (Ok(value), _) => value,
    }
}

/// Sets a dotted name, making the tables above it. If the file has something else in a table's
/// place, it stays, and the check that follows reports it.
fn put(table: &mut Table, name: &str, value: Value) {
    match name.split_once('.') {
        None => {
            table.insert(name.to_owned(), value);
        }
        Some((section, rest)) => {
            let inner = table.entry(section).or_insert_with(|| Value::Table(Table::new()));
            if let Value::Table(inner) = inner {
                put(inner, rest, value);
            }
        }
    }
}
