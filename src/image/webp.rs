//! WebP through the `image` crate; only the first frame of an animation.

use std::io::Cursor;

use ::image::codecs::webp::WebPDecoder;
use ::image::{ColorType, ImageDecoder, ImageError};

use super::buffer::{decoded, without_alpha};
use super::rejection::{Reason, Rejection};

/// Decodes to RGB.
pub(super) fn rgb(bytes: &[u8]) -> Result<Vec<u8>, Rejection> {
    let decoder = WebPDecoder::new(Cursor::new(bytes)).map_err(|e| rejection(&e))?;
    let color = decoder.color_type();
    let pixels = decoded(decoder, rejection)?;
    match color {
        ColorType::Rgb8 => Ok(pixels),
        ColorType::Rgba8 => Ok(without_alpha(&pixels)),
        other => Err(Rejection::new(Reason::Unsupported, format!("WebP: pixels of type {other:?}"))),
    }
}

pub(super) fn rejection(error: &ImageError) -> Rejection {
    let detail = error.to_string();
    let reason = match error {
        ImageError::IoError(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => Reason::Truncated,
        ImageError::Unsupported(_) => Reason::Unsupported,
        _ if detail.contains("Not enough") || detail.contains("chunk was missing") => Reason::Truncated,
        _ => Reason::Corrupt,
    };
    Rejection::new(reason, format!("WebP: {detail}"))
}
