//! Size limits of pictures, checked on the header so that a hostile file costs no memory.

use crate::settings::{settings, whole};

settings! {
    /// What a picture's header may claim; checked before memory is taken to decode it.
    Limits: Copy, Eq {
        /// The longest side, in pixels.
        max_side: u32 = 20_000, whole(1, 1_000_000), ByContent;
        /// Width times height, in pixels. The default is the most that Pillow opens; pictures of
        /// phones have up to 108 million.
        max_pixels: u64 = 178_956_970, whole(1, 1_000_000_000_000), ByContent;
        /// The encoded picture, in bytes.
        max_bytes: u64 = 64 << 20, whole(1, 1 << 40), ByContent;
    }
}

impl Limits {
    /// Returns limits that admit what either of two admits.
    pub(crate) fn or_larger(&self, other: &Limits) -> Limits {
        Limits {
            max_side: self.max_side.max(other.max_side),
            max_pixels: self.max_pixels.max(other.max_pixels),
            max_bytes: self.max_bytes.max(other.max_bytes),
        }
    }

    /// Says that a file has more bytes than the limits allow.
    pub(crate) fn bytes_exceeded(&self, bytes: u64) -> String {
        let most = self.max_bytes;
        format!("{bytes} bytes, more than dataset.limits.max_bytes = {most}; a larger value admits the picture")
    }
}
