//! A decoded picture.

use crate::error::{Error, Kind, Result};

/// An 8-bit RGB picture, with `pixels` of length `height * width * 3` in row order (height, width,
/// channel).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rgb {
    /// The width in pixels; never zero.
    pub width: u32,
    /// The height in pixels; never zero.
    pub height: u32,
    /// The pixels, (height, width, 3).
    pub pixels: Vec<u8>,
}

impl Rgb {
    /// Returns a picture from its pixels.
    ///
    /// # Errors
    /// Returns [`Kind::Input`] if a side is zero or the number of bytes is not
    /// `width * height * 3`.
    pub fn new(width: u32, height: u32, pixels: Vec<u8>) -> Result<Self> {
        let wanted = u64::from(width) * u64::from(height) * 3;
        if wanted == 0 || pixels.len() as u64 != wanted {
            let message = format!("a picture of {width} x {height} cannot have {} bytes of RGB", pixels.len());
            return Err(Error::new(Kind::Input, message));
        }
        Ok(Rgb { width, height, pixels })
    }

    /// Returns the length of the shorter edge, in pixels.
    pub fn shorter_edge(&self) -> u32 {
        self.width.min(self.height)
    }
}
