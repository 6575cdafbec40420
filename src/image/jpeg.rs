//! JPEG through zune-jpeg instead of the `image` crate, for two reasons: CMYK and YCCK planes are
//! needed raw, to be converted by Pillow's formula, and a truncated body must be an error, not grey
//! pixels.

use zune_core::bytestream::ZCursor;
use zune_core::colorspace::ColorSpace;
use zune_core::options::DecoderOptions;
use zune_jpeg::JpegDecoder;
use zune_jpeg::errors::DecodeErrors;

use super::rejection::{Reason, Rejection};

/// Reads the width and height from the frame header.
pub(super) fn dimensions(bytes: &[u8]) -> Result<(u32, u32), Rejection> {
    let decoder = open(bytes)?;
    let (width, height) = decoder.dimensions().unwrap_or((0, 0));
    // The format stores each in 16 bits.
    Ok((width as u32, height as u32))
}

/// Decodes to RGB.
pub(super) fn rgb(bytes: &[u8]) -> Result<Vec<u8>, Rejection> {
    let mut decoder = open(bytes)?;
    let raw = match decoder.input_colorspace() {
        Some(space @ (ColorSpace::Luma | ColorSpace::CMYK | ColorSpace::YCCK)) => space,
        _ => ColorSpace::RGB,
    };
    decoder.set_options(options().set_strict_mode(true).jpeg_set_out_colorspace(raw));
    let pixels = decoder.decode().map_err(|e| rejection(&e))?;
    if !has_end(bytes) {
        return Err(Rejection::new(Reason::Truncated, "no end-of-image marker after the last scan"));
    }
    Ok(match raw {
        ColorSpace::Luma => pixels.iter().flat_map(|&l| [l, l, l]).collect(),
        ColorSpace::CMYK => pixels.as_chunks::<4>().0.iter().flat_map(|&p| from_inverted_cmyk(p)).collect(),
        ColorSpace::YCCK => {
            pixels.as_chunks::<4>().0.iter().flat_map(|&p| from_inverted_cmyk(ycck_to_cmyk(p))).collect()
        }
        _ => pixels,
    })
}

/// Opens a decoder and reads the headers leniently, like libjpeg: stray bytes between them are
/// common and harmless.
fn open(bytes: &[u8]) -> Result<JpegDecoder<ZCursor<&[u8]>>, Rejection> {
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), options());
    decoder.decode_headers().map_err(|e| rejection(&e))?;
    Ok(decoder)
}

fn options() -> DecoderOptions {
    // Our own size limits are checked between header and body.
    DecoderOptions::default()
        .set_strict_mode(false)
        .set_max_width(usize::from(u16::MAX))
        .set_max_height(usize::from(u16::MAX))
}

/// Returns whether the file has an end marker after its last scan's header (an earlier one belongs
/// to a thumbnail). The decoder notices missing data only when it begins another row of blocks, so
/// a file cut in its last row would otherwise pass.
fn has_end(bytes: &[u8]) -> bool {
    let mut from_the_end = bytes.windows(2).rev();
    from_the_end.find(|pair| pair[0] == 0xff && matches!(pair[1], 0xd9 | 0xda)).is_some_and(|pair| pair[1] == 0xd9)
}

/// Converts CMYK to RGB as Pillow does, for the inverted values that Adobe's programs store: with C
/// = 255 - c and so on, each channel is `(255 - K) - round(C * (255 - K) / 255)`.
fn from_inverted_cmyk([c, m, y, k]: [u8; 4]) -> [u8; 3] {
    [c, m, y].map(|ink| k.saturating_sub(scaled(255 - ink, k)))
}

/// Returns `round(a * b / 255)` in integers.
fn scaled(a: u8, b: u8) -> u8 {
    let product = u32::from(a) * u32::from(b) + 128;
    (((product >> 8) + product) >> 8) as u8
}

/// Converts YCCK to CMYK as libjpeg does: the first three as YCbCr to RGB, then inverted; K is
/// unchanged.
fn ycck_to_cmyk([y, cb, cr, k]: [u8; 4]) -> [u8; 4] {
    // 16-bit fixed point with rounding, like libjpeg's tables.
    let (y, cb, cr) = (i32::from(y), i32::from(cb) - 128, i32::from(cr) - 128);
    let red = y + ((91_881 * cr + 32_768) >> 16);
    let green = y + ((-22_554 * cb - 46_802 * cr + 32_768) >> 16);
    let blue = y + ((116_130 * cb + 32_768) >> 16);
    let inverted = |v: i32| (255 - v).clamp(0, 255) as u8;
    [inverted(red), inverted(green), inverted(blue), k]
}

fn rejection(error: &DecodeErrors) -> Rejection {
    let detail = format!("JPEG: {error}").replace('"', "");
    let reason = match error {
        DecodeErrors::Unsupported(_) => Reason::Unsupported,
        DecodeErrors::ExhaustedData | DecodeErrors::IoErrors(_) => Reason::Truncated,
        DecodeErrors::FormatStatic(message) if message.starts_with("Premature end") => Reason::Truncated,
        DecodeErrors::ZeroError => Reason::Empty,
        _ => Reason::Corrupt,
    };
    Rejection::new(reason, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cmyk_follows_pillow() {
        // Stored inverted: full K (255) means no black, so the colour is the stored value itself.
        assert_eq!(from_inverted_cmyk([200, 100, 0, 255]), [200, 100, 0]);
        assert_eq!(from_inverted_cmyk([200, 100, 0, 0]), [0, 0, 0]);
        // K = 128: 128 - round(55 * 128 / 255) = 128 - 28; 128 - round(155 * 128 / 255) = 128 - 78;
        // 128 - 128.
        assert_eq!(from_inverted_cmyk([200, 100, 0, 128]), [100, 50, 0]);
    }

    #[test]
    fn neutral_ycck_is_grey() {
        assert_eq!(ycck_to_cmyk([80, 128, 128, 7]), [175, 175, 175, 7]);
        assert_eq!(ycck_to_cmyk([76, 85, 255, 0])[0], 1); // pure red in YCbCr: hardly any cyan
    }

    #[test]
    fn a_thumbnails_end_is_not_the_pictures_end() {
        assert!(!has_end(&[0xff, 0xda, 1, 0xff, 0xd9, 2, 0xff, 0xda, 3, 4]));
        assert!(has_end(&[0xff, 0xda, 1, 0xff, 0xd9, 2, 0xff, 0xda, 3, 0xff, 0xd9]));
    }
}
