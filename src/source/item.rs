//! One picture of a source.

use std::fs::Metadata;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

/// A picture, or what should have been one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// As shown to users; unique within the source, except where a list names a file twice.
    pub path: String,
    /// Where the bytes are.
    pub origin: Origin,
    /// `None` where the source does not say; such pictures are for training.
    pub split: Option<Split>,
    /// The name of the class, one of [`super::Listing::classes`].
    pub label: Option<String>,
}

/// Where the encoded bytes are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// In a file of their own, which has not been read.
    File {
        /// The file.
        path: PathBuf,
        /// Its length in bytes.
        byte_len: u64,
        /// When it was last changed, in nanoseconds since 1970 UTC.
        modified_ns: i64,
    },
    /// In a larger file, from which they have been read.
    Embedded {
        /// The encoded picture.
        bytes: Vec<u8>,
    },
    /// Nowhere: the file is missing or may not be read.
    Unreadable {
        /// What was wrong.
        detail: String,
    },
}

impl Origin {
    /// Bytes of the encoded picture; 0 where there is none.
    pub(crate) fn byte_len(&self) -> u64 {
        match self {
            Origin::File { byte_len, .. } => *byte_len,
            Origin::Embedded { bytes } => bytes.len() as u64,
            Origin::Unreadable { .. } => 0,
        }
    }

    /// The origin for a file that should exist.
    pub(super) fn of_file(path: &Path) -> Self {
        match std::fs::metadata(path) {
            Ok(metadata) => Origin::of_metadata(path, &metadata),
            Err(error) => Origin::Unreadable { detail: error.to_string() },
        }
    }

    /// The same, where the metadata are known. Only ordinary files are ever opened: to read a pipe could hang.
    pub(super) fn of_metadata(path: &Path, metadata: &Metadata) -> Self {
        if !metadata.is_file() {
            return Origin::Unreadable { detail: "not an ordinary file".to_owned() };
        }
        Origin::File { path: path.to_path_buf(), byte_len: metadata.len(), modified_ns: modified_ns(metadata) }
    }
}

/// When a file was last changed, in nanoseconds since 1970 UTC; 0 where the file system does not say.
pub(crate) fn modified_ns(metadata: &Metadata) -> i64 {
    let Ok(time) = metadata.modified() else { return 0 };
    match time.duration_since(UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_nanos()).unwrap_or(i64::MAX),
        Err(before) => i64::try_from(before.duration().as_nanos()).map_or(i64::MIN, |ns| -ns),
    }
}

/// What a picture is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Split {
    /// Adaptation sees it.
    Train,
    /// Only evaluation sees it.
    Test,
}

impl Split {
    /// The word that tables hold.
    pub fn as_str(self) -> &'static str {
        match self {
            Split::Train => "train",
            Split::Test => "test",
        }
    }

    /// Reads the usual words, in any case; validation pictures are for evaluation too.
    pub fn parse(word: &str) -> Option<Self> {
        match word.to_ascii_lowercase().as_str() {
            "train" | "training" => Some(Split::Train),
            "test" | "val" | "valid" | "validation" => Some(Split::Test),
            _ => None,
        }
    }
}
