//! How large a picture may be before it is refused, checked on the header so that a hostile file costs no memory.

/// Upper bounds on an encoded picture. All of them are inclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Width and height, in pixels.
    pub max_side: u32,
    /// Width times height.
    pub max_pixels: u64,
    /// Length of the encoded file, in bytes.
    pub max_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { max_side: 20_000, max_pixels: 100_000_000, max_bytes: 64 << 20 }
    }
}
