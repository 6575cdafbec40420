//! One picture of a source.

use std::fs::Metadata;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use super::place::Within;
use crate::settings::choice;

/// A picture, or a file that should be one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// The path shown to users; unique within the source, unless a list names a file twice.
    pub path: String,
    /// Where the bytes are.
    pub origin: Origin,
    /// The picture's split; `None` if the source does not say, and such pictures are for training.
    pub split: Option<Split>,
    /// The name of the class, one of [`super::Listing::classes`].
    pub label: Option<String>,
}

/// Why a file whose name is not UTF-8 is rejected.
pub(super) const NOT_UTF_8: &str = "the file's name is not UTF-8; rename it";

/// Where the encoded bytes are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// In its own file, which has not been read.
    File {
        /// The file.
        path: PathBuf,
        /// The file's length in bytes.
        byte_len: u64,
        /// When the file was last changed, in nanoseconds since 1970 UTC.
        modified_ns: i64,
    },
    /// In a larger file, from which the bytes have been read.
    Embedded {
        /// The encoded picture.
        bytes: Vec<u8>,
        /// Where they can be read again, unless they were made.
        place: Option<Within>,
    },
    /// In a larger file, from which the bytes have not been read. They always stay there.
    Part {
        /// Where they are.
        place: Within,
        /// Their number.
        byte_len: u64,
    },
    /// Nowhere: the file is missing or cannot be read.
    Unreadable {
        /// What was wrong.
        detail: String,
    },
}

impl Origin {
    /// Returns the number of bytes of the encoded picture; 0 if it is unreadable.
    pub(crate) fn byte_len(&self) -> u64 {
        match self {
            Origin::File { byte_len, .. } | Origin::Part { byte_len, .. } => *byte_len,
            Origin::Embedded { bytes, .. } => bytes.len() as u64,
            Origin::Unreadable { .. } => 0,
        }
    }

    /// Returns when the file that has the picture was last changed (nanoseconds since 1970 UTC);
    /// `None` if its bytes have been read already, or cannot be.
    pub(crate) fn modified_ns(&self) -> Option<i64> {
        match self {
            Origin::File { modified_ns, .. } => Some(*modified_ns),
            Origin::Part { place, .. } => Some(place.file.modified_ns),
            Origin::Embedded { .. } | Origin::Unreadable { .. } => None,
        }
    }

    /// Returns the origin of a file that should exist.
    pub(super) fn of_file(path: &Path) -> Self {
        match std::fs::metadata(path) {
            Ok(metadata) => Origin::of_metadata(path, &metadata),
            Err(error) => Origin::Unreadable { detail: error.to_string() },
        }
    }

    /// Like [`Origin::of_file`], for known metadata. Accepts only ordinary files: reading a pipe
    /// could hang.
    pub(super) fn of_metadata(path: &Path, metadata: &Metadata) -> Self {
        if path.to_str().is_none() {
            // Tables, lists and messages hold text.
            return Origin::Unreadable { detail: NOT_UTF_8.to_owned() };
        }
        if !metadata.is_file() {
            return Origin::Unreadable { detail: "not an ordinary file".to_owned() };
        }
        Origin::File { path: path.to_path_buf(), byte_len: metadata.len(), modified_ns: modified_ns(metadata) }
    }
}

/// Returns when a file was last changed, in nanoseconds since 1970 UTC; 0 if the file system does
/// not say.
pub(crate) fn modified_ns(metadata: &Metadata) -> i64 {
    let Ok(time) = metadata.modified() else { return 0 };
    match time.duration_since(UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_nanos()).unwrap_or(i64::MAX),
        Err(before) => i64::try_from(before.duration().as_nanos()).map_or(i64::MIN, |ns| -ns),
    }
}

choice! {
    /// The part of a dataset that a picture belongs to, in the order of tables.
    Split {
        /// The pictures that are trained on.
        Train = "train",
        /// Pictures that are kept apart to choose settings by.
        Validation = "validation",
        /// Pictures that are kept apart to measure.
        Test = "test",
    }
}

/// The words for each split, in lower case: those of `datasets` and of folders on disk. Whatever
/// names a split, a folder, a file or a column, is looked up here.
const WORDS: [(Split, &[&str]); 3] = [
    (Split::Train, &["train", "training"]),
    (Split::Validation, &["validation", "valid", "val", "dev"]),
    (Split::Test, &["test", "testing", "eval", "evaluation"]),
];

impl Split {
    /// Parses one of the usual words, in any case.
    pub fn parse(word: &str) -> Option<Self> {
        let word = word.to_lowercase();
        WORDS.iter().find(|(_, words)| words.contains(&word.as_str())).map(|(split, _)| *split)
    }

    /// Returns the hint for a word that means no split, with the words for each:
    /// `splits are train (training), ...`.
    pub(super) fn hint() -> String {
        let each = WORDS.iter().map(|(_, words)| format!("{} ({})", words[0], words[1..].join(", ")));
        format!("splits are {}", each.collect::<Vec<_>>().join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_split_is_found_by_each_of_its_words_and_by_no_other() {
        for (split, words) in WORDS {
            assert_eq!(Split::parse(split.name()), Some(split));
            assert!(words.iter().all(|word| Split::parse(&word.to_uppercase()) == Some(split)));
        }
        assert_eq!(["", "trains", "holdout"].map(Split::parse), [None; 3]);
    }
}
