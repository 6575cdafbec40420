//! PNG through the `image` crate, with Pillow's rules for pixels that are not 8-bit RGB.

use std::io::{Cursor, Read};

use ::image::codecs::png::PngDecoder;
use ::image::{ColorType, ExtendedColorType, ImageDecoder, ImageError, Limits as AllocationLimits};
use flate2::read::ZlibDecoder;

use super::buffer::{decoded, without_alpha};
use super::rejection::{Reason, Rejection};

/// Returns the bounds of the decoder's own buffers (one row, and ancillary chunks that may unpack
/// to anything); the picture itself is bounded by the limits checked on the header.
pub(super) fn allocation_limits() -> AllocationLimits {
    let mut limits = AllocationLimits::no_limits();
    limits.max_alloc = Some(64 << 20);
    limits
}

/// Returns the width and the height that the header claims.
pub(super) fn size(bytes: &[u8]) -> Option<(u32, u32)> {
    let (kind, data) = chunks(bytes).next()?;
    let side = |at: usize| Some(u32::from_be_bytes(data.get(at..at + 4)?.try_into().ok()?));
    (kind == *b"IHDR").then_some(())?;
    Some((side(0)?, side(4)?))
}

/// Returns the EXIF data: of the chunk for it, which may come after the pixels, or of the text that
/// older writers used.
pub(super) fn exif(bytes: &[u8]) -> Option<Vec<u8>> {
    let data = chunks(bytes).find(|(kind, _)| kind == b"eXIf").map(|(_, data)| data.to_vec());
    data.or_else(|| chunks(bytes).find_map(|(kind, data)| raw_profile(kind, data)))
}

/// Returns EXIF data that a chunk of text spells out, as ImageMagick and others wrote it: its name,
/// its length, and hexadecimal digits.
fn raw_profile(kind: [u8; 4], data: &[u8]) -> Option<Vec<u8>> {
    /// Characters of such a text: EXIF data has at most 64 kB.
    const LONGEST: u64 = 1 << 18;
    let data = data.strip_prefix(b"Raw profile type exif\0")?;
    let mut text = String::new();
    match &kind {
        b"tEXt" => data.take(LONGEST).read_to_string(&mut text).ok()?,
        b"zTXt" => ZlibDecoder::new(data.strip_prefix(b"\0")?).take(LONGEST).read_to_string(&mut text).ok()?,
        _ => return None,
    };
    let digits: Vec<u8> = text.lines().skip(3).flat_map(str::bytes).collect();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    digits.chunks_exact(2).map(byte).collect()
}

/// Returns the chunks, with their types, as far as they are whole.
fn chunks(bytes: &[u8]) -> impl Iterator<Item = ([u8; 4], &[u8])> {
    let mut rest = bytes.get(8..).unwrap_or_default();
    std::iter::from_fn(move || {
        let (length, after) = rest.split_first_chunk::<4>()?;
        let (kind, after) = after.split_first_chunk::<4>()?;
        let (data, after) = after.split_at_checked(u32::from_be_bytes(*length) as usize)?;
        // A checksum follows.
        rest = after.get(4..).unwrap_or_default();
        Some((*kind, data))
    })
}

/// Decodes to RGB.
pub(super) fn rgb(bytes: &[u8]) -> Result<Vec<u8>, Rejection> {
    let decoder = PngDecoder::with_limits(Cursor::new(bytes), allocation_limits()).map_err(|e| rejection(&e))?;
    // Transparency makes grey with alpha of grey, which Pillow converts as grey all the same.
    let (color, stored) = (decoder.color_type(), decoder.original_color_type());
    let pixels = decoded(decoder, rejection)?;
    if (color, stored) == (ColorType::La16, ExtendedColorType::L16) {
        let grey = pixels.as_chunks::<4>().0.iter().flat_map(|&[a, b, _, _]| [a, b]).collect();
        return to_rgb(ColorType::L16, grey);
    }
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
        ColorType::Rgba8 => without_alpha(&pixels),
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
    fn exif_data_is_found_behind_the_pixels_and_in_text() {
        let chunk = |kind: &[u8], data: &[u8]| [&(data.len() as u32).to_be_bytes()[..], kind, data, &[0; 4]].concat();
        let file = |chunks: &[Vec<u8>]| [b"\x89PNG\r\n\x1a\n".to_vec(), chunks.concat()].concat();
        let header = chunk(b"IHDR", &[0, 0, 0, 7, 0, 0, 0, 9, 8, 2, 0, 0, 0]);
        let behind = file(&[header.clone(), chunk(b"IDAT", b"..."), chunk(b"eXIf", b"MM")]);
        assert_eq!((size(&behind), exif(&behind)), (Some((7, 9)), Some(b"MM".to_vec())));
        let text = chunk(b"tEXt", b"Raw profile type exif\0\nexif\n      4\n4578\n6966\n");
        assert_eq!(exif(&file(&[header.clone(), text])), Some(b"Exif".to_vec()));
        let cut = file(&[header, chunk(b"eXIf", b"MM")]);
        assert_eq!([exif(&cut[..cut.len() - 6]), exif(b"")], [None, None]);
    }

    #[test]
    fn alpha_is_dropped_not_blended() {
        assert_eq!(to_rgb(ColorType::Rgba8, vec![1, 2, 3, 0]).unwrap(), [1, 2, 3]);
        assert_eq!(to_rgb(ColorType::La8, vec![9, 0]).unwrap(), [9, 9, 9]);
    }
}
