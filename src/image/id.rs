//! The identity of a picture: the blake3 of its encoded bytes, so that the same picture is embedded once, whatever
//! dataset or path it came from.

use std::fmt;

/// 32 bytes of blake3, shown as 64 lower-case hexadecimal digits (the form it has in every table).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ImageId([u8; 32]);

impl ImageId {
    /// The id of a picture's encoded bytes.
    pub fn of(bytes: &[u8]) -> Self {
        ImageId(*blake3::hash(bytes).as_bytes())
    }

    /// The raw 32 bytes; seeds of views and augmentations are derived from them.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Reads the 64 hexadecimal digits back; `None` where they are not that.
    pub fn parse(hex: &str) -> Option<Self> {
        blake3::Hash::from_hex(hex).ok().map(|h| ImageId(*h.as_bytes()))
    }
}

impl fmt::Display for ImageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&blake3::Hash::from_bytes(self.0).to_hex())
    }
}
