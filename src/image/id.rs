//! The identity of a picture: the blake3 hash of its encoded bytes, so that the same picture is
//! embedded once, whatever dataset or path it came from.

use std::fmt;

/// A blake3 hash of 32 bytes, shown as 64 lower-case hexadecimal digits (its form in every table).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ImageId([u8; 32]);

impl ImageId {
    /// Returns the id of a picture's encoded bytes.
    pub fn of(bytes: &[u8]) -> Self {
        ImageId(*blake3::hash(bytes).as_bytes())
    }

    /// Returns the raw 32 bytes, from which the seeds of views and augmentations are derived.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Parses the 64 hexadecimal digits; returns `None` for anything else.
    pub fn parse(hex: &str) -> Option<Self> {
        blake3::Hash::from_hex(hex).ok().map(|h| ImageId(*h.as_bytes()))
    }
}

impl fmt::Display for ImageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&blake3::Hash::from_bytes(self.0).to_hex())
    }
}
