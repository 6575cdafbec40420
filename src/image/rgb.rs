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

    /// Returns the colour of every pixel, if all have the same.
    pub fn only_colour(&self) -> Option<[u8; 3]> {
        // Compared in blocks, which the processor does many at a time; most pictures differ in the
        // first.
        let (first, _) = self.pixels.split_first_chunk::<3>()?;
        let block = first.repeat(256);
        self.pixels.chunks(block.len()).all(|pixels| *pixels == block[..pixels.len()]).then_some(*first)
    }

    /// Returns the length of the shorter edge, in pixels.
    pub fn shorter_edge(&self) -> u32 {
        self.width.min(self.height)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_of_one_colour_is_told_from_one_whose_last_pixel_differs() {
        let mut pixels = [7, 8, 9].repeat(1000);
        assert_eq!(Rgb::new(40, 25, pixels.clone()).unwrap().only_colour(), Some([7, 8, 9]));
        pixels[2999] = 10;
        assert_eq!(Rgb::new(40, 25, pixels).unwrap().only_colour(), None);
    }
}
