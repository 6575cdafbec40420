//! Reasons to refuse a picture. A refusal is a row of the `rejected` table, not an error: the run
//! goes on.

use std::fmt;

/// Why a picture cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// The kind of fault, for counting.
    pub reason: Reason,
    /// Details for the reader: lower case, no full stop.
    pub detail: String,
}

impl Rejection {
    /// Returns a rejection for `reason`, with its details.
    pub fn new(reason: Reason, detail: impl Into<String>) -> Self {
        Rejection { reason, detail: detail.into() }
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.reason.as_str(), self.detail)
    }
}

/// The kind of fault. Tables hold the words of [`Reason::as_str`], which are stable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reason {
    /// No bytes, or a width or height of zero.
    Empty,
    /// The encoded file is larger than [`super::Limits::max_bytes`].
    TooLargeBytes,
    /// Width times height is larger than [`super::Limits::max_pixels`].
    TooManyPixels,
    /// Width or height is larger than [`super::Limits::max_side`].
    SideTooLong,
    /// No picture by its first bytes.
    UnknownFormat,
    /// The file ends before the picture does.
    Truncated,
    /// The file contradicts itself: a bad checksum, an impossible code.
    Corrupt,
    /// A valid file of an unsupported kind, such as HEIC or arithmetic-coded JPEG.
    Unsupported,
    /// The file could not be opened or read.
    Unreadable,
    /// The decoder panicked.
    DecoderPanicked,
}

impl Reason {
    const ALL: [Self; 10] = [
        Reason::Empty,
        Reason::TooLargeBytes,
        Reason::TooManyPixels,
        Reason::SideTooLong,
        Reason::UnknownFormat,
        Reason::Truncated,
        Reason::Corrupt,
        Reason::Unsupported,
        Reason::Unreadable,
        Reason::DecoderPanicked,
    ];

    /// Returns the reason of this word, if it is one.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == word)
    }

    /// Returns the stable snake-case word.
    pub fn as_str(self) -> &'static str {
        match self {
            Reason::Empty => "empty",
            Reason::TooLargeBytes => "too_large_bytes",
            Reason::TooManyPixels => "too_many_pixels",
            Reason::SideTooLong => "side_too_long",
            Reason::UnknownFormat => "unknown_format",
            Reason::Truncated => "truncated",
            Reason::Corrupt => "corrupt",
            Reason::Unsupported => "unsupported",
            Reason::Unreadable => "unreadable",
            Reason::DecoderPanicked => "decoder_panicked",
        }
    }
}
