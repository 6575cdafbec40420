//! Size limits of pictures, checked on the header so that a hostile file costs no memory.

use crate::settings::{settings, whole};

settings! {
    /// What a picture's header may claim; checked before memory is taken to decode it.
    Limits: Copy, Eq {
        /// The longest side, in pixels.
        max_side: u32 = 20_000, whole(1, 1_000_000), ByContent;
        /// Width times height, in pixels.
        max_pixels: u64 = 100_000_000, whole(1, 1_000_000_000_000), ByContent;
        /// The encoded picture, in bytes.
        max_bytes: u64 = 64 << 20, whole(1, 1 << 40), ByContent;
    }
}
