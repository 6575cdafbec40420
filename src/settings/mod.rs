//! Settings, each declared once: the field of a struct, its type, its default, what its value must
//! be, what it means, and what changes with it.
//!
//! A module declares its settings with [`settings!`], beside the code that uses them. That one
//! declaration gives the struct, its reading and writing, every check of the pipeline file, its
//! JSON schema, its page in `docs/`, and the ids of spaces and runs ([`identity()`]). A setting
//! that takes one of a few names is an enum declared with [`choice!`].

mod choice;
mod define;
mod identity;
mod want;

use serde_json::Value;

pub(crate) use choice::choice;
pub(crate) use define::settings;

pub use choice::Choices;
pub use identity::{Given, given, identity, identity_of, identity_of_features};
pub use want::{ANY_WHOLE, Bounds, FLAG, Must, NameOrCount, SHARE, SPAN, Want, above, from, whole};

/// A table of the pipeline file as a type.
pub trait Settings: serde::Serialize + Sized {
    /// What the table holds.
    const TABLE: Table;

    /// Returns the table's value if a pipeline file leaves it out, or `None` if it has required
    /// keys.
    fn omitted() -> Option<Self> {
        None
    }
}

/// What a table of the pipeline file holds.
#[derive(Debug, Clone, Copy)]
pub struct Table {
    /// What the table is about, in Markdown.
    pub about: &'static str,
    /// The keys, in the order of the documentation.
    pub keys: &'static [Key],
    /// The nested tables, by their names in this one.
    pub tables: &'static [(&'static str, Table)],
}

/// A key of the pipeline file.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// The name in its table.
    pub name: &'static str,
    /// What the key means, in Markdown.
    pub about: &'static str,
    /// What the value must be.
    pub want: Want,
    /// What changes with it.
    pub changes: Changes,
    /// Makes the default, JSON's null if the default is no value; `None` if the key is required.
    pub default: Option<fn() -> Value>,
}

/// What changes with a setting, and therefore which ids it is part of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Changes {
    /// Features of pictures or sentences: the setting is part of the ids of the spaces that its
    /// table affects, and so of runs.
    Features,
    /// Training or answers: the setting is part of the ids of runs.
    Answers,
    /// What the setting names or chooses, which is part of the ids instead: a file's content, the
    /// device that was found.
    ByContent,
    /// Speed, memory or places on disk, but no result.
    Nothing,
}

/// Returns the default of a key as JSON.
#[doc(hidden)]
pub fn json<T: serde::Serialize>(default: T) -> Value {
    // A default that is not valid JSON fails the test that pins all of them.
    serde_json::to_value(default).unwrap_or_default()
}
