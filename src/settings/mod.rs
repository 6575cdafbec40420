//! Settings, each written once: the field of a struct, its type, its default, what its value must be, what it means, and what
//! changes with it.
//!
//! A room declares the settings that it works by with [`settings!`], beside the code that they steer. From that one declaration
//! come the struct, reading and writing it, every check of the pipeline file, its JSON schema, its page in `docs/`, and the ids
//! of spaces and runs ([`identity()`]). A setting that takes one of a few names is an enum declared with [`choice!`].

mod choice;
mod define;
mod identity;
mod want;

use serde_json::Value;

pub(crate) use choice::choice;
pub(crate) use define::settings;

pub use choice::Choices;
pub use identity::{Given, given, identity, identity_of};
pub use want::{ANY_WHOLE, Bounds, FLAG, Must, SHARE, SPAN, Want, above, from, whole};

/// A table of the pipeline file as a type.
pub trait Settings: serde::Serialize + Sized {
    /// What the table holds.
    const TABLE: Table;

    /// Returns what it is where a pipeline file leaves it out; none where it has keys that are required.
    fn omitted() -> Option<Self> {
        None
    }
}

/// What a table of the pipeline file holds.
#[derive(Debug, Clone, Copy)]
pub struct Table {
    /// What it is about, in Markdown.
    pub about: &'static str,
    /// Its keys, in the order of the documentation.
    pub keys: &'static [Key],
    /// The tables in it, by their names in it.
    pub tables: &'static [(&'static str, Table)],
}

/// A key of the pipeline file.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// Its name in its table.
    pub name: &'static str,
    /// What it means, in Markdown.
    pub about: &'static str,
    /// What its value must be.
    pub want: Want,
    /// What changes with it.
    pub changes: Changes,
    /// Makes its default, JSON's null where nothing is the default; none where the key is required.
    pub default: Option<fn() -> Value>,
}

/// What changes with a setting, and therefore in which ids it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Changes {
    /// Features of pictures or sentences: it stands in the ids of the spaces that its table bears upon, and so in those of runs.
    Features,
    /// Training or answers: it stands in the ids of runs.
    Answers,
    /// What it names or chooses, which stands in the ids in its place: a file's content, the device that was found.
    ByContent,
    /// Speed, memory or places on disk, and no result.
    Nothing,
}

/// Returns the default of a key as JSON.
#[doc(hidden)]
pub fn json<T: serde::Serialize>(default: T) -> Value {
    // A default that is no JSON shows in the test that pins all of them.
    serde_json::to_value(default).unwrap_or_default()
}
