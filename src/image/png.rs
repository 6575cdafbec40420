//! PNG through the `image` crate, with Pillow's rules for pixels that are not 8-bit RGB.

use std::io::Cursor;

use ::image::codecs::png::PngDecoder;
use ::image::{ColorType, ImageDecoder, ImageError, Limits as AllocationLimits};

use super::rejection::{Reason, Rejection};

/// Returns the bounds of the decoder's own buffers (one row, and ancillary chunks that may unpack
/// to anything); the picture itself is bounded by the limits checked on the header.
pub(super) fn allocation_limits() -> AllocationLimits {
    let mut limits = AllocationLimits::no_limits();
    limits.max_alloc = Some(64 << 20);
    limits
}

/// Decodes to RGB.
pub(super) fn rgb(bytes: &[u8]) -> Result<Vec<u8>, Rejection> {
    let decoder = PngDecoder::with_limits(Cursor::new(bytes), allocation_limits()).map_err(|e| rejection(&e))?;
    let color = decoder.color_type();
    let length = usize::try_from(decoder.total_bytes())
        .map_err(|_| Rejection::new(Reason::TooManyPixels, "the picture does not fit into memory"))?;
    let mut pixels = vec![0; length];
    decoder.read_image(&mut pixels).map_err(|e| rejection(&e))?;
    to_rgb(color, pixels)
}

/// Converts to RGB; 16-bit `pixels` are in native byte order.
fn to_rgb(color: ColorType, pixels: Vec<u8>) -> Result<Vec<u8>, Rejection> {
    // Pillow keeps the high byte of 16-bit colour.
    let high = |pair: [u8; 2]| (u16::from_ne_bytes(pair) >> 8) as u8;
    // ... but clips 16-bit grey at 255, so nearly all of it turns white. CLIP's reference loaders
    // see it that way.
    let clipped = |pair: [u8; 2]| u16::from_ne_bytes(pair).min(255) as u8;
    Ok(match color {
        ColorType::Rgb8 => pixels,
        ColorType::Rgba8 => pixels.as_chunks::<4>().0.iter().flat_map(|&[r, g, b, _]| [r, g, b]).collect(),
        ColorType::L8 => pixels.iter().flat_map(|&l| [l; 3]).collect(),
        ColorType::La8 => pixels.as_chunks::<2>().0.iter().flat_map(|&[l, _]| [l; 3]).collect(),
        ColorType::L16 => pixels.as_chunks::<2>().0.iter().flat_map(|&l| [clipped(l); 3]).collect(),
        ColorType::La16 => pixels.as_chunks::<4>().0.iter().flat_map(|&[a, b, _, _]| [high([a, b]); 3]).collect(),
        ColorType::Rgb16 => pixels.as_chunks::<2>().0.iter().map(|&c| high(c)).collect(),
        ColorType::Rgba16 => {
            let rgb = |p: &[u8; 8]| [high([p[0], p[1]]), high([p[2], p[3]]), high([p[4], p[5]])];
            pixels.as_chunks::<8>().0.iter().flat_map(rgb).collect()
        }
        other => return Err(Rejection::new(Reason::Unsupported, format!("PNG: pixels of type {other:?}"))),
    })
}

pub(super) fn rejection(error: &ImageError) -> Rejection {
    let detail = error.to_string();
    let reason = match error {
        ImageError::IoError(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => Reason::Truncated,
        ImageError::Limits(_) => Reason::TooLargeBytes,
        ImageError::Unsupported(_) => Reason::Unsupported,
        _ if detail.contains("unexpected end") || detail.contains("EOF") => Reason::Truncated,
        _ => Reason::Corrupt,
    };
    Rejection::new(reason, format!("PNG: {detail}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wide(values: &[u16]) -> Vec<u8> {
        values.iter().flat_map(|v| v.to_ne_bytes()).collect()
    }

    #[test]
    fn sixteen_bits_follow_pillow() {
        assert_eq!(to_rgb(ColorType::L16, wide(&[0, 200, 33_924])).unwrap(), [0, 0, 0, 200, 200, 200, 255, 255, 255]);
        assert_eq!(to_rgb(ColorType::La16, wide(&[33_924, 0])).unwrap(), [132, 132, 132]);
        assert_eq!(to_rgb(ColorType::Rgb16, wide(&[255, 256, 65_535])).unwrap(), [0, 1, 255]);
        assert_eq!(to_rgb(ColorType::Rgba16, wide(&[511, 512, 0, 9])).unwrap(), [1, 2, 0]);
    }

    #[test]
    fn alpha_is_dropped_not_blended() {
        assert_eq!(to_rgb(ColorType::Rgba8, vec![1, 2, 3, 0]).unwrap(), [1, 2, 3]);
        assert_eq!(to_rgb(ColorType::La8, vec![9, 0]).unwrap(), [9, 9, 9]);
    }
}
