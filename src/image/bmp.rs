//! BMP through the `image` crate, but for two things that Pillow does otherwise: five bits become
//! the eight below, not the nearest; and what a run-length code skips has the palette's first
//! colour, and no code may leave the picture unfinished.

use std::io::Cursor;

use ::image::codecs::bmp::BmpDecoder;
use ::image::{ColorType, ImageDecoder, ImageError};

use super::buffer::{decoded, without_alpha};
use super::foreign::CONVERT;
use super::rejection::{Reason, Rejection};

/// Reads the width and the height.
pub(super) fn header(bytes: &[u8]) -> Result<(u32, u32), Rejection> {
    open(bytes).map(|decoder| decoder.dimensions())
}

fn open(bytes: &[u8]) -> Result<BmpDecoder<Cursor<&[u8]>>, Rejection> {
    BmpDecoder::new(Cursor::new(bytes)).map_err(|e| rejection(&e))
}

/// Decodes to RGB.
pub(super) fn rgb(bytes: &[u8]) -> Result<Vec<u8>, Rejection> {
    let decoder = open(bytes)?;
    if let (Some(code), Some(palette)) = (Code::of(bytes), decoder.get_palette()) {
        let (width, height) = decoder.dimensions();
        return coded(bytes, code, palette, width as usize, height as usize);
    }
    let color = decoder.color_type();
    let mut pixels = decoded(decoder, rejection)?;
    match color {
        ColorType::Rgb8 => {
            if let Some(bits) = short_channels(bytes) {
                let table = bits.map(rounded_down);
                let each = pixels.as_chunks_mut::<3>().0.iter_mut();
                each.for_each(|pixel| (0..3).for_each(|c| pixel[c] = table[c][usize::from(pixel[c])]));
            }
            Ok(pixels)
        }
        ColorType::Rgba8 => Ok(without_alpha(&pixels)),
        other => Err(Rejection::new(Reason::Unsupported, format!("BMP: pixels of type {other:?}: {CONVERT}"))),
    }
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// A run-length code.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Code {
    /// Of eight bits a pixel.
    Rle8,
    /// Of four bits a pixel.
    Rle4,
}

impl Code {
    /// Returns the code of a picture whose header was accepted.
    fn of(bytes: &[u8]) -> Option<Self> {
        // OS/2's header of 12 bytes knows no compression.
        match (u32_at(bytes, 14)?, u32_at(bytes, 30)?) {
            (40.., 1) => Some(Code::Rle8),
            (40.., 2) => Some(Code::Rle4),
            _ => None,
        }
    }
}

/// Decodes a run-length code as Pillow does (`BmpRleDecoder`): rows come from the lowest up, a run
/// ends with its row.
fn coded(bytes: &[u8], code: Code, palette: &[[u8; 3]], width: usize, height: usize) -> Result<Vec<u8>, Rejection> {
    let cut = || Rejection::new(Reason::Truncated, "BMP: the run-length code ends before the picture");
    let mut at = u32_at(bytes, 10).map_or(usize::MAX, |at| at as usize);
    let mut next = |count: usize| {
        let taken = bytes.get(at..)?.get(..count)?;
        at += count;
        Some((taken, at))
    };
    let whole = width * height;
    let mut numbers: Vec<u8> = Vec::with_capacity(whole);
    let mut x = 0;
    while numbers.len() < whole {
        let (&[count, value], _) = next(2).and_then(|(taken, at)| Some((taken.first_chunk()?, at))).ok_or_else(cut)?;
        let nibbles = |byte: u8| [byte >> 4, byte & 15];
        match (count, value) {
            (0, 0) => {
                numbers.resize(numbers.len().next_multiple_of(width), 0);
                x = 0;
            }
            (0, 1) => break,
            (0, 2) => {
                let (&[right, up], _) =
                    next(2).and_then(|(taken, at)| Some((taken.first_chunk()?, at))).ok_or_else(cut)?;
                let skipped = usize::from(right) + usize::from(up) * width;
                numbers.resize((numbers.len() + skipped).min(whole), 0);
                x = numbers.len() % width;
            }
            (0, count) => {
                let count = usize::from(count).min(whole - numbers.len());
                let length = if code == Code::Rle4 { count.div_ceil(2) } else { count };
                let (taken, end) = next(length).ok_or_else(cut)?;
                match code {
                    Code::Rle8 => numbers.extend(taken),
                    Code::Rle4 => numbers.extend(taken.iter().flat_map(|&byte| nibbles(byte)).take(count)),
                }
                x += count;
                // Codes are aligned to two bytes; the last one needs no filling.
                if !end.is_multiple_of(2) && numbers.len() < whole {
                    next(1).ok_or_else(cut)?;
                }
            }
            (count, value) => {
                let count = usize::from(count).min(width.saturating_sub(x)).min(whole - numbers.len());
                let pair = if code == Code::Rle4 { nibbles(value) } else { [value; 2] };
                numbers.extend(pair.into_iter().cycle().take(count));
                x += count;
            }
        }
    }
    if numbers.len() < whole {
        return Err(cut());
    }
    let mut pixels = Vec::with_capacity(whole * 3);
    let rows = numbers.chunks_exact(width).rev();
    pixels.extend(rows.flatten().flat_map(|&number| palette.get(usize::from(number)).copied().unwrap_or_default()));
    Ok(pixels)
}

/// Returns how many bits each channel of a pixel of 16 bits has; nothing for other pixels.
fn short_channels(bytes: &[u8]) -> Option<[u32; 3]> {
    let u32_at = |at: usize| u32_at(bytes, at);
    let (bits, compression) = (u16_at(bytes, 28)?, u32_at(30)?);
    match (bits, compression) {
        (16, 0) => Some([5; 3]),
        // The masks stand behind the first 40 bytes of the header, whichever header it is.
        (16, 3) => Some([u32_at(54)?.count_ones(), u32_at(58)?.count_ones(), u32_at(62)?.count_ones()]),
        _ => None,
    }
}

/// Returns what the crate's eight bits, made of `bits`, are by Pillow.
fn rounded_down(bits: u32) -> [u8; 256] {
    let most = (1u32 << bits.min(8)) - 1;
    std::array::from_fn(|value| {
        let stored = (value as u32 * most + 127) / 255;
        (stored * 255).checked_div(most).unwrap_or(0) as u8
    })
}

fn rejection(error: &ImageError) -> Rejection {
    let reason = match error {
        ImageError::IoError(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => Reason::Truncated,
        ImageError::Unsupported(_) => {
            return Rejection::new(Reason::Unsupported, format!("BMP: {error}: {CONVERT}"));
        }
        _ => Reason::Corrupt,
    };
    Rejection::new(reason, format!("BMP: {error}"))
}
