//! How encoded pictures become pixels: within limits, and the right way up.

use image::metadata::Orientation;
use image::{DynamicImage, RgbImage};

use super::decode::as_stored;
use super::header::{Header, probe};
use super::limits::Limits;
use super::rejection::{Reason, Rejection};
use super::rgb::Rgb;
use crate::settings::choice;

choice! {
    /// What is done with the orientation that a picture's EXIF data asks for.
    ExifOrientation {
        /// Pictures are turned as every viewer turns them.
        Apply = "apply",
        /// Pictures are taken as their pixels are stored, as CLIP's reference loaders do.
        Ignore = "ignore",
    }
}

/// How encoded pictures become pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decoding {
    /// What a picture's header may claim.
    pub limits: Limits,
    /// Whether pictures are turned.
    pub orientation: ExifOrientation,
}

impl Decoding {
    /// Decodes a picture like [`decode`](super::decode()), and turns it if it is to be turned.
    ///
    /// # Errors
    /// Returns a [`Rejection`] if the header is refused or the body is damaged.
    pub fn picture(&self, bytes: &[u8]) -> Result<Rgb, Rejection> {
        let header = probe(bytes, &self.limits)?;
        let picture = as_stored(bytes, &header)?;
        if self.turns(&header) { turned(picture, header.orientation) } else { Ok(picture) }
    }

    /// Returns whether a picture with this header is turned.
    pub fn turns(&self, header: &Header) -> bool {
        self.orientation == ExifOrientation::Apply && header.orientation != Orientation::NoTransforms
    }
}

fn turned(picture: Rgb, orientation: Orientation) -> Result<Rgb, Rejection> {
    let unfit = || Rejection::new(Reason::Corrupt, "the pixels do not fill the picture");
    let pixels = RgbImage::from_raw(picture.width, picture.height, picture.pixels).ok_or_else(unfit)?;
    let mut picture = DynamicImage::ImageRgb8(pixels);
    picture.apply_orientation(orientation);
    let pixels = picture.into_rgb8();
    Ok(Rgb { width: pixels.width(), height: pixels.height(), pixels: pixels.into_raw() })
}

#[cfg(test)]
mod tests {
    use image::codecs::{jpeg::JpegEncoder, png::PngEncoder, webp::WebPEncoder};
    use image::{ExtendedColorType, ImageEncoder};

    use super::super::decode::decode;
    use super::*;

    /// EXIF data that asks for an orientation and nothing else.
    fn exif(orientation: u8) -> Vec<u8> {
        let mut exif = b"MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0".to_vec();
        exif.extend([orientation, 0, 0, 0, 0, 0, 0]);
        exif
    }

    /// A picture of 24 by 16: red on the left, blue on the right, black below.
    fn encoded(mut encoder: impl ImageEncoder, orientation: u8) -> Result<(), image::ImageError> {
        let colour = |x: u32, y: u32| match (x < 12, y < 8) {
            (_, false) => [0, 0, 0],
            (true, true) => [255, 0, 0],
            (false, true) => [0, 0, 255],
        };
        let pixels: Vec<u8> = (0..16).flat_map(|y| (0..24).flat_map(move |x| colour(x, y))).collect();
        encoder.set_exif_metadata(exif(orientation)).unwrap();
        encoder.write_image(&pixels, 24, 16, ExtendedColorType::Rgb8)
    }

    #[test]
    fn pictures_are_turned_as_their_exif_data_asks() {
        let apply = Decoding { limits: Limits::default(), orientation: ExifOrientation::Apply };
        let ignore = Decoding { orientation: ExifOrientation::Ignore, ..apply };
        for format in ["jpeg", "png", "webp"] {
            let file = |orientation: u8| {
                let mut bytes = Vec::new();
                match format {
                    "jpeg" => encoded(JpegEncoder::new_with_quality(&mut bytes, 100), orientation).unwrap(),
                    "png" => encoded(PngEncoder::new(&mut bytes), orientation).unwrap(),
                    _ => encoded(WebPEncoder::new_lossless(&mut bytes), orientation).unwrap(),
                }
                bytes
            };
            // The pixel near a corner of the upright picture, as its strongest colour.
            let corner = |picture: &Rgb| {
                let at = (2 * picture.width + 2) as usize * 3;
                let [red, _, blue] = [0, 1, 2].map(|channel| picture.pixels[at + channel]);
                if red > 128 {
                    'r'
                } else if blue > 128 {
                    'b'
                } else {
                    'k'
                }
            };
            // Each orientation brings another corner to the upper left: TIFF's definition of them.
            for (orientation, expected, sideways) in [
                (1, 'r', false),
                (2, 'b', false),
                (3, 'k', false),
                (4, 'k', false),
                (5, 'r', true),
                (6, 'k', true),
                (7, 'k', true),
                (8, 'b', true),
            ] {
                let bytes = file(orientation);
                let picture = apply.picture(&bytes).unwrap();
                let size = if sideways { (16, 24) } else { (24, 16) };
                assert_eq!((picture.width, picture.height), size, "{format} {orientation}");
                assert_eq!(corner(&picture), expected, "{format} {orientation}");
                let header = probe(&bytes, &Limits::default()).unwrap();
                assert_eq!(apply.turns(&header), orientation != 1, "{format} {orientation}");
                assert_eq!(ignore.picture(&bytes).unwrap(), decode(&bytes, &Limits::default()).unwrap());
                assert!(!ignore.turns(&header));
            }
        }
    }
}
