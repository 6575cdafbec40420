//! JPEG through zune-jpeg instead of the `image` crate, for two reasons: CMYK and YCCK planes are
//! needed raw, to be converted by Pillow's formula, and a truncated body must be an error, not grey
//! pixels.
//!
//! zune-jpeg makes noise of some valid files and says nothing. So the markers are read first: what
//! it decodes right it decodes, the other valid kinds are jpeg-decoder's, which is right about them
//! but takes 1.6 to 1.9 times as long, and what neither does is refused by name. On 5,000 files
//! pixels are within 5/255 of libjpeg-turbo's, but for two borders: where chroma is halved along a
//! side that is even and no multiple of 16, zune-jpeg blends the padding into the last row or
//! column; and pictures at most four wide, in which libjpeg does not blend chroma, and both do.

mod markers;

use jpeg_decoder::ColorTransform;
use zune_core::bytestream::ZCursor;
use zune_core::colorspace::ColorSpace;
use zune_core::options::DecoderOptions;
use zune_jpeg::JpegDecoder;
use zune_jpeg::errors::DecodeErrors;

use super::cmyk;
use super::rejection::{Reason, Rejection};
pub(super) use markers::Space;
use markers::{Component, Frame, Markers, unsupported};

/// Reads the width, the height and the EXIF data from the markers before the first scan.
pub(super) fn header(bytes: &[u8]) -> Result<(u32, u32, Option<Vec<u8>>), Rejection> {
    let Frame { width, height, exif, .. } = Markers::new(bytes)?.frame()?;
    Ok((u32::from(width), u32::from(height), exif))
}

/// Decodes to RGB.
pub(super) fn rgb(bytes: &[u8]) -> Result<Vec<u8>, Rejection> {
    let mut markers = Markers::new(bytes)?;
    let frame = markers.frame()?;
    let pixels = decoded(bytes, &mut markers, &frame)?;
    Ok(match frame.space {
        Space::Grey => pixels.iter().flat_map(|&l| [l, l, l]).collect(),
        Space::Cmyk => pixels.as_chunks::<4>().0.iter().flat_map(|&p| cmyk::from_inverted(p)).collect(),
        Space::Ycck => pixels.as_chunks::<4>().0.iter().flat_map(|&p| cmyk::from_inverted(ycck_to_cmyk(p))).collect(),
        Space::YCbCr | Space::Rgb => pixels,
    })
}

/// Decodes a strip or tile of a TIFF, `width` by `height` pixels of which the last rows may be
/// missing, to RGB or to the stored values of grey and CMYK.
pub(super) fn strip(bytes: &[u8], space: Space, width: usize, height: usize) -> Result<Vec<u8>, Rejection> {
    let mut markers = Markers::new(bytes)?;
    let mut frame = markers.frame()?;
    frame.space = space;
    if usize::from(frame.width) != width || usize::from(frame.height) > height {
        let detail = format!("a JPEG of {} x {} pixels, not {width} x {height}", frame.width, frame.height);
        return Err(Rejection::new(Reason::Corrupt, detail));
    }
    if frame.components.len() != space.components() {
        return Err(unsupported(format!("JPEG of {} components", frame.components.len())));
    }
    if frame.progressive {
        return Err(unsupported("progressive JPEG within a TIFF"));
    }
    decoded(bytes, &mut markers, &frame)
}

/// Decodes to RGB or to the stored values of grey, CMYK and YCCK, after the frame's header.
fn decoded(bytes: &[u8], markers: &mut Markers, frame: &Frame) -> Result<Vec<u8>, Rejection> {
    let scans = markers.scans(frame)?;
    // What follows the first picture, such as a camera's second one, is not read.
    let picture = &bytes[..markers.at];
    let by_zune = if zune_is_right(frame, &scans) { by_zune(picture, frame.space)? } else { None };
    match by_zune {
        Some(pixels) => Ok(pixels),
        None => by_jpeg_decoder(picture, frame, &scans),
    }
}

/// Returns whether zune-jpeg decodes such a picture right. It does where one scan has all
/// components, or the picture is progressive, and only the first component is sampled more than
/// once (and K like it). Chroma finer than luma, scans of one component each and twice-sampled
/// chroma below four-times-sampled luma come out as noise; tests/golden/jpeg has some of each.
fn zune_is_right(frame: &Frame, scans: &[Vec<usize>]) -> bool {
    let sampling = |component: &Component| (component.across, component.down);
    let common = match frame.components.as_slice() {
        [_] => true,
        [first, chroma @ ..] => {
            matches!(sampling(first), (1 | 2 | 4, 1 | 2) | (1 | 2, 4))
                && chroma[..2].iter().all(|c| sampling(c) == (1, 1))
                && chroma[2..].iter().all(|k| sampling(k) == (1, 1) || sampling(k) == sampling(first))
        }
        [] => false,
    };
    common && (frame.progressive || matches!(scans, [scan] if scan.iter().copied().eq(0..frame.components.len())))
}

/// Decodes by zune-jpeg, to RGB or to the raw values of grey, CMYK and YCCK; or returns nothing
/// where it takes the colours for others than libjpeg does.
fn by_zune(picture: &[u8], space: Space) -> Result<Option<Vec<u8>>, Rejection> {
    // Our own size limits are checked between header and body.
    let options = DecoderOptions::default()
        .set_strict_mode(false)
        .set_max_width(usize::from(u16::MAX))
        .set_max_height(usize::from(u16::MAX));
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(picture), options);
    decoder.decode_headers().map_err(|e| from_zune(&e))?;
    let (input, output) = match space {
        Space::Grey => (ColorSpace::Luma, ColorSpace::Luma),
        Space::YCbCr => (ColorSpace::YCbCr, ColorSpace::RGB),
        Space::Rgb => (ColorSpace::RGB, ColorSpace::RGB),
        Space::Cmyk => (ColorSpace::CMYK, ColorSpace::CMYK),
        Space::Ycck => (ColorSpace::YCCK, ColorSpace::YCCK),
    };
    if decoder.input_colorspace() != Some(input) {
        return Ok(None);
    }
    decoder.set_options(options.set_strict_mode(true).jpeg_set_out_colorspace(output));
    decoder.decode().map(Some).map_err(|e| from_zune(&e))
}

/// Decodes by jpeg-decoder, to RGB or to the raw values of grey, CMYK and YCCK.
///
/// Where a scan has one component, it reads as many blocks as that component would have if it were
/// either the finest plane or sampled once: another number of them is refused here, since it would
/// be noise.
fn by_jpeg_decoder(picture: &[u8], frame: &Frame, scans: &[Vec<usize>]) -> Result<Vec<u8>, Rejection> {
    let most = |factor: fn(&Component) -> u8| frame.components.iter().map(factor).max().map_or(1, usize::from);
    let (across, down) = (most(|c| c.across), most(|c| c.down));
    for scan in scans {
        let [only] = scan.as_slice() else { continue };
        let component = frame.components[*only];
        if !counts_blocks(frame.width, component.across, across) || !counts_blocks(frame.height, component.down, down) {
            let detail = format!(
                "JPEG with a scan of one component sampled {} x {} where the finest is {across} x {down}",
                component.across, component.down
            );
            return Err(unsupported(detail));
        }
    }
    let mut decoder = jpeg_decoder::Decoder::new(picture);
    match frame.space {
        Space::Grey => {}
        Space::YCbCr => decoder.set_color_transform(ColorTransform::YCbCr),
        Space::Rgb => decoder.set_color_transform(ColorTransform::RGB),
        // The one that only inverts: YCCK is converted like libjpeg does, by ourselves.
        Space::Cmyk | Space::Ycck => decoder.set_color_transform(ColorTransform::CMYK),
    }
    let mut pixels = decoder.decode().map_err(|e| from_jpeg_decoder(&e))?;
    if matches!(frame.space, Space::Cmyk | Space::Ycck) {
        pixels.iter_mut().for_each(|value| *value = 255 - *value);
    }
    Ok(pixels)
}

/// Returns whether jpeg-decoder counts the blocks right along a side of `pixels`, of a component
/// sampled `factor` times where the finest is sampled `most` times.
fn counts_blocks(pixels: u16, factor: u8, most: usize) -> bool {
    let (pixels, factor) = (usize::from(pixels), usize::from(factor));
    let right = (pixels * factor).div_ceil(most).div_ceil(8);
    let counted = (pixels.div_ceil(8 * most) * factor).min(pixels.div_ceil(8));
    counted == right
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

fn from_zune(error: &DecodeErrors) -> Rejection {
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

fn from_jpeg_decoder(error: &jpeg_decoder::Error) -> Rejection {
    let reason = match error {
        jpeg_decoder::Error::Unsupported(_) => Reason::Unsupported,
        jpeg_decoder::Error::Io(_) => Reason::Truncated,
        _ => Reason::Corrupt,
    };
    Rejection::new(reason, format!("JPEG: {error}").replace('"', ""))
}

#[cfg(test)]
mod tests {
    use super::markers::tests::{ENOUGH, file, frame, read, scan};
    use super::*;

    #[test]
    fn neutral_ycck_is_grey() {
        assert_eq!(ycck_to_cmyk([80, 128, 128, 7]), [175, 175, 175, 7]);
        assert_eq!(ycck_to_cmyk([76, 85, 255, 0])[0], 1); // pure red in YCbCr: hardly any cyan
    }

    #[test]
    fn only_what_zune_decodes_right_goes_to_it() {
        let right = |marker: u8, factors: &[u8], scans: &[&[u8]]| {
            let scans: Vec<u8> = scans.iter().flat_map(|ids| scan(ids)).collect();
            let (frame, scans, _) = read(&file(&[&frame(marker, factors), &scans, ENOUGH])).unwrap();
            zune_is_right(&frame, &scans)
        };
        assert!(right(0xc0, &[0x22, 0x11, 0x11], &[&[1, 2, 3]]));
        assert!(right(0xc2, &[0x22, 0x11, 0x11], &[&[1, 2, 3], &[1], &[2], &[3]]));
        assert!(right(0xc0, &[0x22, 0x11, 0x11, 0x22], &[&[1, 2, 3, 4]]));
        assert!(right(0xc0, &[0x22], &[&[1]]));
        assert!(!right(0xc0, &[0x22, 0x11, 0x11], &[&[1], &[2], &[3]]));
        assert!(!right(0xc0, &[0x11, 0x21, 0x21], &[&[1, 2, 3]]));
        assert!(!right(0xc2, &[0x41, 0x21, 0x11], &[&[1, 2, 3]]));
        assert!(!right(0xc0, &[0x31, 0x11, 0x11], &[&[1, 2, 3]]));
    }

    #[test]
    fn blocks_that_jpeg_decoder_would_miscount_are_known() {
        assert!(counts_blocks(227, 1, 2) && counts_blocks(227, 2, 2) && counts_blocks(227, 1, 4));
        // 227 pixels, sampled twice of four times: 114 samples are 15 blocks, it reads 16.
        assert!(!counts_blocks(227, 2, 4));
        assert!(counts_blocks(256, 2, 4));
    }
}
