//! Reads only the header: the format and the size, checked against the limits.

use std::io::Cursor;

use ::image::ImageDecoder;
use ::image::codecs::png::PngDecoder;
use ::image::codecs::webp::WebPDecoder;
use ::image::metadata::Orientation;

use super::decode::or_rejected;
use super::foreign;
use super::limits::Limits;
use super::rejection::{Reason, Rejection};
use super::{bmp, exif, gif, jpeg, png, pnm, tiff, webp};

/// The supported formats, for messages.
pub const FORMATS: &str = "JPEG, PNG, WebP, GIF, BMP, TIFF and PPM";

/// The supported formats.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// Baseline and progressive; grey, YCbCr, RGB, CMYK, YCCK.
    Jpeg,
    /// All colour types and bit depths, interlaced or not.
    Png,
    /// Lossy and lossless; only the first frame of an animation.
    WebP,
    /// The first frame.
    Gif,
    /// All depths, plain or in run lengths.
    Bmp,
    /// The first page: strips or tiles, plain, LZW, deflate, PackBits or JPEG.
    Tiff,
    /// Binary (P6), of 8 bits a value.
    Ppm,
}

impl Format {
    const ALL: [Self; 7] =
        [Format::Jpeg, Format::Png, Format::WebP, Format::Gif, Format::Bmp, Format::Tiff, Format::Ppm];

    /// Returns the word used in tables: `jpeg`, `png`, `webp`, `gif`, `bmp`, `tiff` or `ppm`.
    pub fn as_str(self) -> &'static str {
        match self {
            Format::Jpeg => "jpeg",
            Format::Png => "png",
            Format::WebP => "webp",
            Format::Gif => "gif",
            Format::Bmp => "bmp",
            Format::Tiff => "tiff",
            Format::Ppm => "ppm",
        }
    }

    /// Returns the format of this word, if it is one.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.as_str() == word)
    }

    /// Returns the most bytes a pixel that decoding takes, including the RGB result: JPEG's
    /// coefficients if it is progressive, PNG's four channels of 16 bits, WebP's ARGB, GIF's and
    /// BMP's numbers of colours or ARGB, the planes of a JPEG within a TIFF.
    fn bytes_a_pixel(self) -> usize {
        match self {
            Format::Jpeg => 13,
            Format::Png | Format::Tiff => 11,
            Format::WebP | Format::Bmp => 7,
            Format::Gif => 4,
            Format::Ppm => 3,
        }
    }

    /// Returns the most bytes that decoding a picture of this size takes.
    pub fn decoding_bytes(self, width: u32, height: u32) -> usize {
        width as usize * height as usize * self.bytes_a_pixel()
    }

    /// Detects the format from the file's first bytes; file names are ignored.
    pub fn sniff(bytes: &[u8]) -> Option<Self> {
        if bytes.starts_with(&[0xff, 0xd8, 0xff]) {
            Some(Format::Jpeg)
        } else if bytes.starts_with(b"\x89PNG\r\n\x1a\n") {
            Some(Format::Png)
        } else if bytes.len() >= 12 && bytes.starts_with(b"RIFF") && &bytes[8..12] == b"WEBP" {
            Some(Format::WebP)
        } else if bytes.starts_with(b"GIF87a") || bytes.starts_with(b"GIF89a") {
            Some(Format::Gif)
        } else if bytes.starts_with(b"BM") {
            Some(Format::Bmp)
        } else if matches!(bytes, [b'I', b'I', 42 | 43, 0, ..] | [b'M', b'M', 0, 42 | 43, ..]) {
            Some(Format::Tiff)
        } else if pnm::is_ppm(bytes) {
            Some(Format::Ppm)
        } else {
            None
        }
    }
}

/// The format and size that the header states.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// The format, by the first bytes of the file.
    pub format: Format,
    /// The width in pixels, before any EXIF rotation.
    pub width: u32,
    /// The height in pixels, before any EXIF rotation.
    pub height: u32,
    /// How the picture is turned to be shown, as its EXIF data asks.
    pub orientation: Orientation,
}

/// Reads the header of an encoded picture and checks it against `limits`. Decodes no pixel and
/// allocates nothing in proportion to the size that the header claims.
///
/// # Errors
/// Returns a [`Rejection`] if the file is empty, of an unknown format, damaged in its header, or
/// beyond a limit.
pub fn probe(bytes: &[u8], limits: &Limits) -> Result<Header, Rejection> {
    if bytes.is_empty() {
        return Err(Rejection::new(Reason::Empty, "the file has no bytes"));
    }
    if bytes.len() as u64 > limits.max_bytes {
        let detail = limits.bytes_exceeded(bytes.len() as u64);
        return Err(Rejection::new(Reason::TooLargeBytes, detail));
    }
    let format = Format::sniff(bytes).ok_or_else(|| foreign::rejection(bytes))?;
    let upright = |(width, height)| (width, height, None);
    let (width, height, orientation) = or_rejected(|| match format {
        Format::Jpeg => {
            let (width, height, data) = jpeg::header(bytes)?;
            Ok((width, height, data.and_then(|data| exif::orientation(&data))))
        }
        Format::Png => {
            // The decoder would refuse a row that is too long for its own bound, not for ours.
            png::size(bytes).map_or(Ok(()), |(width, height)| check_size(width, height, limits))?;
            let decoder = PngDecoder::with_limits(Cursor::new(bytes), png::allocation_limits());
            let (width, height) = decoder.map_err(|e| png::rejection(&e))?.dimensions();
            Ok((width, height, png::exif(bytes).and_then(|data| exif::orientation(&data))))
        }
        Format::WebP => {
            let mut decoder = WebPDecoder::new(Cursor::new(bytes)).map_err(|e| webp::rejection(&e))?;
            let (width, height) = decoder.dimensions();
            let data = decoder.exif_metadata().unwrap_or_default();
            Ok((width, height, data.and_then(|data| exif::orientation(&data))))
        }
        Format::Gif => gif::header(bytes).map(upright),
        Format::Bmp => bmp::header(bytes).map(upright),
        Format::Tiff => tiff::header(bytes),
        Format::Ppm => pnm::header(bytes).map(upright),
    })?;
    check_size(width, height, limits)?;
    Ok(Header { format, width, height, orientation: orientation.unwrap_or(Orientation::NoTransforms) })
}

fn check_size(width: u32, height: u32, limits: &Limits) -> Result<(), Rejection> {
    if width == 0 || height == 0 {
        return Err(Rejection::new(Reason::Empty, format!("the header says {width} x {height} pixels")));
    }
    if width.max(height) > limits.max_side {
        let detail = format!(
            "{width} x {height} pixels, longer than dataset.limits.max_side = {}; a larger value admits the picture",
            limits.max_side
        );
        return Err(Rejection::new(Reason::SideTooLong, detail));
    }
    let pixels = u64::from(width) * u64::from(height);
    if pixels > limits.max_pixels {
        let detail = format!(
            "{width} x {height} = {pixels} pixels, more than dataset.limits.max_pixels = {}; a larger value admits the \
             picture",
            limits.max_pixels
        );
        return Err(Rejection::new(Reason::TooManyPixels, detail));
    }
    Ok(())
}
