//! Why a picture was refused. A refusal is a row of the `rejected` table, not an error: the run goes on.

use std::fmt;

/// A picture that cannot be used, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// The kind of fault, for counting.
    pub reason: Reason,
    /// The particulars, for a reader: lower case, no full stop.
    pub detail: String,
}

impl Rejection {
    /// A rejection for `reason`, with the particulars.
    pub fn new(reason: Reason, detail: impl Into<String>) -> Self {
        Rejection { reason, detail: detail.into() }
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.reason.as_str(), self.detail)
    }
}

/// The kind of fault. [`Reason::as_str`] is what tables hold; the words are stable.
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
    /// Neither JPEG, PNG nor WebP, by its first bytes.
    UnknownFormat,
    /// The file ends before the picture does.
    Truncated,
    /// The file contradicts itself: a bad checksum, an impossible code.
    Corrupt,
    /// A legal file of a kind that is not read, such as arithmetic-coded JPEG.
    Unsupported,
    /// The file could not be opened or read.
    Unreadable,
    /// The decoder failed in a way that it should not have.
    DecoderPanicked,
}

impl Reason {
    /// The stable snake-case word.
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
