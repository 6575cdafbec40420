//! Every key of the pipeline file, with what its value must be. Types alone cannot say `in [0, 1]` or `a file that is
//! there`, and serde stops at the first mistake; this table lets all mistakes be found at once and named alike.

mod list;

use super::choice::Choices;
pub(super) use list::{KEYS, SECTIONS, about_section};

/// What a value must be.
#[derive(Debug, Clone, Copy)]
pub(super) enum Want {
    /// Lower-case letters, digits and hyphens.
    Name,
    /// A path; relative ones start at the pipeline file's folder.
    Path(Must),
    /// A whole number, both ends included.
    Whole(u64, u64),
    /// A finite number.
    Number(Bounds),
    /// `true` or `false`.
    Flag,
    /// One of these names.
    Choice(Choices),
    /// A list of sentences, each with `{}` for the class name.
    Templates,
    /// `[least, greatest]`, both in `(0, 1]`.
    Span,
}

/// What must lie at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Must {
    /// Nothing need be there yet.
    MayBeNew,
    /// A file or a folder.
    Exist,
    /// A file.
    BeFile,
    /// A folder.
    BeFolder,
}

/// The interval of a number.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    pub(super) least: f64,
    /// Whether `least` itself is allowed.
    pub(super) closed: bool,
    pub(super) greatest: f64,
}

/// One key of the pipeline file.
#[derive(Debug)]
pub(super) struct Key {
    /// Dotted, from the top of the file.
    pub(super) name: &'static str,
    pub(super) want: Want,
    pub(super) required: bool,
    /// What it means, in Markdown.
    pub(super) about: &'static str,
}

/// TOML's whole numbers end here.
pub(super) const SEED: Want = Want::Whole(0, i64::MAX as u64);

/// The key of this dotted name.
pub(super) fn find(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.name == name)
}

/// A dotted name from a table's name and a key in it, quoted where TOML needs quotes, so that `"a.b"` is not `a.b`.
pub(super) fn join(section: &str, key: &str) -> String {
    let bare = !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
    let key = if bare { key.to_owned() } else { format!("{key:?}") };
    if section.is_empty() { key } else { format!("{section}.{key}") }
}

/// The table that a dotted name stands in (`""` for the top) and its last part.
pub(super) fn split(name: &str) -> (&str, &str) {
    name.rsplit_once('.').unwrap_or(("", name))
}

impl Want {
    /// The end of the sentence "... must be".
    pub(super) fn describe(self) -> String {
        match self {
            Want::Name => "a name of lower-case letters, digits and hyphens".into(),
            Want::Path(Must::MayBeNew | Must::Exist) => "a path".into(),
            Want::Path(Must::BeFile) => "the path of a file".into(),
            Want::Path(Must::BeFolder) => "the path of a folder".into(),
            Want::Whole(least, greatest) if greatest == i64::MAX as u64 => {
                format!("a whole number of at least {least}")
            }
            Want::Whole(least, greatest) => format!("a whole number from {least} to {greatest}"),
            Want::Number(Bounds { least, closed, greatest }) => {
                format!("a number in {}{least}, {greatest}]", if closed { '[' } else { '(' })
            }
            Want::Flag => "true or false".into(),
            Want::Choice(choices) => format!("one of {}", choices.names.join(", ")),
            Want::Templates => "a list of sentences, each with {} where the class name goes".into(),
            Want::Span => "[least, greatest] with 0 < least <= greatest <= 1".into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;
    use crate::pipeline::spec::Spec;

    fn names(section: &str, value: &Value, keys: &mut BTreeSet<String>, sections: &mut BTreeSet<String>) {
        for (key, value) in value.as_object().unwrap() {
            let name = join(section, key);
            if value.is_object() {
                sections.insert(name.clone());
                names(&name, value, keys, sections);
            } else {
                keys.insert(name);
            }
        }
    }

    #[test]
    fn every_key_and_section_is_explained() {
        let sentence = |text: &str| text.ends_with('.') && !text.contains('|');
        assert!(KEYS.iter().all(|key| sentence(key.about)));
        assert!(SECTIONS.iter().all(|section| sentence(about_section(section))));
    }

    #[test]
    fn keys_are_the_fields_of_the_spec() {
        let minimal = serde_json::json!({
            "name": "a", "dataset": { "kind": "folder", "path": "a" },
            "model": { "path": "a" }, "text": { "descriptions": "a" },
        });
        let spec: Spec = serde_json::from_value(minimal).unwrap();
        let (mut keys, mut sections) = (BTreeSet::new(), BTreeSet::new());
        names("", &serde_json::to_value(&spec).unwrap(), &mut keys, &mut sections);
        assert_eq!(keys, KEYS.iter().map(|key| key.name.to_owned()).collect());
        assert_eq!(sections, SECTIONS.iter().map(|name| (*name).to_owned()).collect());
    }
}
