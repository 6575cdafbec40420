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

use jpeg_decoder::ColorTransform;
use zune_core::bytestream::ZCursor;
use zune_core::colorspace::ColorSpace;
use zune_core::options::DecoderOptions;
use zune_jpeg::JpegDecoder;
use zune_jpeg::errors::DecodeErrors;

use super::rejection::{Reason, Rejection};

/// zune-jpeg's own limit, for both decoders; encoders write ten. Each scan is a pass over the whole
/// picture and may take a hundred bytes, so that a small file could keep a core for hours.
const MOST_SCANS: usize = 100;

/// Reads the width and height from the frame header.
pub(super) fn dimensions(bytes: &[u8]) -> Result<(u32, u32), Rejection> {
    let frame = Markers::new(bytes)?.frame()?;
    Ok((u32::from(frame.width), u32::from(frame.height)))
}

/// Decodes to RGB.
pub(super) fn rgb(bytes: &[u8]) -> Result<Vec<u8>, Rejection> {
    let mut markers = Markers::new(bytes)?;
    let frame = markers.frame()?;
    let scans = markers.scans(&frame)?;
    // What follows the first picture, such as a camera's second one, is nobody's concern.
    let picture = &bytes[..markers.at];
    let by_zune = if zune_is_right(&frame, &scans) { by_zune(picture, frame.space)? } else { None };
    let pixels = match by_zune {
        Some(pixels) => pixels,
        None => by_jpeg_decoder(picture, &frame, &scans)?,
    };
    Ok(match frame.space {
        Space::Grey => pixels.iter().flat_map(|&l| [l, l, l]).collect(),
        Space::Cmyk => pixels.as_chunks::<4>().0.iter().flat_map(|&p| from_inverted_cmyk(p)).collect(),
        Space::Ycck => pixels.as_chunks::<4>().0.iter().flat_map(|&p| from_inverted_cmyk(ycck_to_cmyk(p))).collect(),
        Space::YCbCr | Space::Rgb => pixels,
    })
}

/// The frame header, and what the segments before the first scan say of its colours.
struct Frame {
    width: u16,
    height: u16,
    progressive: bool,
    components: Vec<Component>,
    space: Space,
}

/// A plane, and how many samples it has across and down where the finest plane has the most.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Component {
    id: u8,
    across: u8,
    down: u8,
}

/// What the components are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Space {
    Grey,
    YCbCr,
    Rgb,
    Cmyk,
    Ycck,
}

impl Space {
    /// Returns libjpeg's guess (`default_decompress_parms`).
    fn of(components: &[Component], jfif: bool, adobe: Option<u8>) -> Self {
        match (components, adobe) {
            ([_], _) => Space::Grey,
            ([_, _, _], _) if jfif => Space::YCbCr,
            ([_, _, _], Some(0)) => Space::Rgb,
            ([r, g, b], None) if [r.id, g.id, b.id] == *b"RGB" => Space::Rgb,
            ([_, _, _], _) => Space::YCbCr,
            (_, None | Some(0)) => Space::Cmyk,
            (_, Some(_)) => Space::Ycck,
        }
    }
}

/// Walks over the markers of a file, leniently like libjpeg: stray bytes between them are common
/// and harmless.
struct Markers<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Markers<'a> {
    fn new(bytes: &'a [u8]) -> Result<Self, Rejection> {
        if bytes.starts_with(&[0xff, 0xd8]) { Ok(Markers { bytes, at: 2 }) } else { Err(corrupt("no start of image")) }
    }

    /// Returns the next marker that is neither a restart nor part of a scan's data, and stands
    /// behind it.
    fn next(&mut self) -> Result<u8, Rejection> {
        while let Some(before) = self.bytes[self.at..].iter().position(|&byte| byte == 0xff) {
            self.at += before + 1;
            match self.bytes.get(self.at) {
                // The first byte was filling.
                Some(0xff) => {}
                Some(0x00 | 0x01 | 0xd0..=0xd7) => self.at += 1,
                Some(&marker) => {
                    self.at += 1;
                    return Ok(marker);
                }
                None => break,
            }
        }
        Err(Rejection::new(Reason::Truncated, "no end-of-image marker after the last scan"))
    }

    /// Returns the data of the segment whose marker has been read, and stands behind it.
    fn segment(&mut self) -> Result<&'a [u8], Rejection> {
        let cut = || Rejection::new(Reason::Truncated, "the file ends within a header");
        let ahead = &self.bytes[self.at..];
        let length = usize::from(u16::from_be_bytes(*ahead.first_chunk().ok_or_else(cut)?));
        if length < 2 {
            return Err(corrupt(format!("a segment of {length} bytes")));
        }
        let data = ahead.get(2..length).ok_or_else(cut)?;
        self.at += length;
        Ok(data)
    }

    /// Reads all before the first scan's header, and stands behind that one's marker.
    fn frame(&mut self) -> Result<Frame, Rejection> {
        let (mut frame, mut jfif, mut adobe) = (None, false, None);
        loop {
            match self.next()? {
                marker @ 0xc0..=0xc2 if frame.is_none() => frame = Some(frame_header(marker, self.segment()?)?),
                0xc0..=0xc2 => return Err(corrupt("a second frame header")),
                marker if let Some(kind) = unsupported_kind(marker) => return Err(unsupported(kind)),
                0xd8 => return Err(corrupt("a second start of image")),
                0xd9 => return Err(corrupt("the image ends before its first scan")),
                0xda => break,
                0xe0 => {
                    let data = self.segment()?;
                    jfif |= data.starts_with(b"JFIF\0") && data.len() >= 14;
                }
                0xee => {
                    let data = self.segment()?;
                    if data.starts_with(b"Adobe") && data.len() >= 12 {
                        adobe = Some(data[11]);
                    }
                }
                _ => _ = self.segment()?,
            }
        }
        let mut frame: Frame = frame.ok_or_else(|| corrupt("a scan before the frame header"))?;
        frame.space = Space::of(&frame.components, jfif, adobe);
        Ok(frame)
    }

    /// Reads the rest of the picture from the first scan's header on, and stands behind its end
    /// marker. Returns the components of each scan.
    ///
    /// A picture without an end marker is truncated: decoders notice missing data only when they
    /// begin another row of blocks, so that a file cut in its last row would otherwise pass.
    fn scans(&mut self, frame: &Frame) -> Result<Vec<Vec<usize>>, Rejection> {
        let mut scans = vec![scan_header(self.segment()?, &frame.components)?];
        loop {
            match self.next()? {
                0xd9 => break,
                0xda if scans.len() == MOST_SCANS => return Err(unsupported(format!("more than {MOST_SCANS} scans"))),
                0xda => scans.push(scan_header(self.segment()?, &frame.components)?),
                0xd8 => return Err(corrupt("a second start of image")),
                0xc0..=0xc2 => return Err(corrupt("a second frame header")),
                marker if let Some(kind) = unsupported_kind(marker) => return Err(unsupported(kind)),
                _ => _ = self.segment()?,
            }
        }
        match (0..frame.components.len()).find(|component| !scans.iter().any(|scan| scan.contains(component))) {
            Some(missing) => {
                Err(Rejection::new(Reason::Truncated, format!("no scan has component {} of the frame", missing + 1)))
            }
            None => Ok(scans),
        }
    }
}

/// Returns what a marker announces, if it is a kind of JPEG that neither decoder decodes.
fn unsupported_kind(marker: u8) -> Option<&'static str> {
    match marker {
        0xc3 => Some("lossless JPEG"),
        0xc5..=0xc7 | 0xcd..=0xcf | 0xde | 0xdf => Some("hierarchical JPEG"),
        0xc9 | 0xca => Some("arithmetic-coded JPEG"),
        0xcb => Some("lossless, arithmetic-coded JPEG"),
        0xf7 => Some("JPEG-LS"),
        _ => None,
    }
}

/// Reads a frame header; its colours are for later.
fn frame_header(marker: u8, data: &[u8]) -> Result<Frame, Rejection> {
    let &[precision, h1, h0, w1, w0, count, ref rest @ ..] = data else {
        return Err(corrupt("a frame header of too few bytes"));
    };
    if precision != 8 {
        return Err(unsupported(format!("JPEG of {precision} bits a sample")));
    }
    let (height, width) = (u16::from_be_bytes([h1, h0]), u16::from_be_bytes([w1, w0]));
    if height == 0 {
        return Err(unsupported("JPEG whose height comes after its first scan"));
    }
    if !matches!(count, 1 | 3 | 4) {
        return Err(unsupported(format!("JPEG of {count} components")));
    }
    let (triples, []) = rest.as_chunks::<3>() else {
        return Err(corrupt("a frame header of a wrong length"));
    };
    let components: Vec<Component> =
        triples.iter().map(|&[id, factors, _]| Component { id, across: factors >> 4, down: factors & 15 }).collect();
    if components.len() != usize::from(count) {
        return Err(corrupt("a frame header of a wrong length"));
    }
    if let Some(c) = components.iter().find(|c| !(1..=4).contains(&c.across) || !(1..=4).contains(&c.down)) {
        return Err(corrupt(format!("a component sampled {} x {}", c.across, c.down)));
    }
    Ok(Frame { width, height, progressive: marker == 0xc2, components, space: Space::Grey })
}

/// Returns the components of a scan, by their place in the frame.
fn scan_header(data: &[u8], components: &[Component]) -> Result<Vec<usize>, Rejection> {
    let pairs = match data {
        [count, rest @ ..] if rest.len() == 2 * usize::from(*count) + 3 => &rest[..2 * usize::from(*count)],
        _ => return Err(corrupt("a scan header of a wrong length")),
    };
    let place = |id: u8| components.iter().position(|component| component.id == id);
    let scan: Option<Vec<usize>> = pairs.as_chunks::<2>().0.iter().map(|&[id, _]| place(id)).collect();
    scan.filter(|scan| !scan.is_empty()).ok_or_else(|| corrupt("a scan of a component that the frame does not have"))
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

fn corrupt(detail: impl Into<String>) -> Rejection {
    Rejection::new(Reason::Corrupt, format!("JPEG: {}", detail.into()))
}

fn unsupported(detail: impl Into<String>) -> Rejection {
    Rejection::new(Reason::Unsupported, detail)
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
    use super::*;

    const ENOUGH: &[u8] = &[0xff, 0xd9];

    fn segment(marker: u8, data: &[u8]) -> Vec<u8> {
        [&[0xff, marker], &(data.len() as u16 + 2).to_be_bytes()[..], data].concat()
    }

    /// A frame of 40 x 30 whose components are sampled so.
    fn frame(marker: u8, factors: &[u8]) -> Vec<u8> {
        let components = (1..).zip(factors).flat_map(|(id, &f)| [id, f, 0]);
        segment(marker, &[8, 0, 30, 0, 40, factors.len() as u8].into_iter().chain(components).collect::<Vec<_>>())
    }

    fn scan(ids: &[u8]) -> Vec<u8> {
        let components: Vec<u8> = ids.iter().flat_map(|&id| [id, 0]).collect();
        [&segment(0xda, &[&[ids.len() as u8], &components[..], &[0, 63, 0]].concat())[..], &[1, 0xff, 0, 2]].concat()
    }

    fn file(parts: &[&[u8]]) -> Vec<u8> {
        [&[0xff, 0xd8], &parts.concat()[..]].concat()
    }

    fn read(bytes: &[u8]) -> Result<(Frame, Vec<Vec<usize>>, usize), Rejection> {
        let mut markers = Markers::new(bytes)?;
        let frame = markers.frame()?;
        let scans = markers.scans(&frame)?;
        Ok((frame, scans, markers.at))
    }

    fn refused(bytes: &[u8]) -> (Reason, String) {
        let rejection = read(bytes).map(|_| ()).unwrap_err();
        (rejection.reason, rejection.detail)
    }

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
        let whole = file(&[&frame(0xc0, &[0x11]), &scan(&[1]), ENOUGH]);
        let thumbnail = segment(0xe1, &whole);
        let outer = file(&[&thumbnail, &frame(0xc0, &[0x11]), &scan(&[1])]);
        assert_eq!(refused(&outer).0, Reason::Truncated);
        let (_, scans, end) = read(&[&outer[..], ENOUGH].concat()).unwrap();
        assert_eq!((scans.len(), end), (1, outer.len() + 2));
    }

    #[test]
    fn what_follows_the_picture_does_not_matter() {
        let whole = file(&[&frame(0xc0, &[0x22, 0x11, 0x11]), &scan(&[1, 2, 3]), ENOUGH]);
        // A camera's second picture that is cut, and bytes that look like a scan.
        for rest in [&whole[..whole.len() - 4], &[0, 0xff, 0xda, 0, 1, 2], &[0xff]] {
            let (_, scans, end) = read(&[&whole[..], rest].concat()).unwrap();
            assert_eq!((scans, end), (vec![vec![0, 1, 2]], whole.len()));
        }
    }

    #[test]
    fn every_cut_before_the_end_is_an_error() {
        let whole = file(&[&frame(0xc2, &[0x22, 0x11, 0x11]), &scan(&[1, 2, 3]), &scan(&[1]), ENOUGH]);
        assert!(read(&whole).is_ok());
        assert!((2..whole.len()).all(|length| refused(&whole[..length]).0 == Reason::Truncated));
    }

    #[test]
    fn fill_bytes_stray_bytes_and_restarts_are_no_markers() {
        let stray: &[u8] = &[7, 0xff, 0, 0xff, 0xff, 0xff];
        let restarts: &[u8] = &[0xff, 0xd0, 5, 0xff, 0xd7];
        let bytes = file(&[stray, &frame(0xc0, &[0x11])[1..], &scan(&[1]), restarts, ENOUGH]);
        let (frame, ..) = read(&bytes).unwrap();
        assert_eq!((frame.width, frame.height), (40, 30));
    }

    #[test]
    fn a_kind_that_nobody_decodes_is_refused_by_name() {
        let of = |marker: u8| refused(&file(&[&frame(marker, &[0x11]), &scan(&[1]), ENOUGH]));
        assert_eq!(of(0xc9), (Reason::Unsupported, "arithmetic-coded JPEG".into()));
        assert_eq!(of(0xc3), (Reason::Unsupported, "lossless JPEG".into()));
        assert_eq!(of(0xc5), (Reason::Unsupported, "hierarchical JPEG".into()));
        let twelve = file(&[&segment(0xc1, &[12, 0, 30, 0, 40, 1, 1, 0x11, 0]), &scan(&[1]), ENOUGH]);
        assert_eq!(refused(&twelve), (Reason::Unsupported, "JPEG of 12 bits a sample".into()));
        let two = file(&[&frame(0xc0, &[0x11, 0x11]), &scan(&[1, 2]), ENOUGH]);
        assert_eq!(refused(&two), (Reason::Unsupported, "JPEG of 2 components".into()));
    }

    #[test]
    fn a_plane_without_a_scan_is_missing() {
        let bytes = file(&[&frame(0xc0, &[0x11, 0x11, 0x11]), &scan(&[1]), &scan(&[3]), ENOUGH]);
        assert_eq!(refused(&bytes), (Reason::Truncated, "no scan has component 2 of the frame".into()));
    }

    #[test]
    fn thousands_of_scans_are_refused() {
        let with = |count: usize| file(&[&frame(0xc2, &[0x11]), &scan(&[1]).repeat(count), ENOUGH]);
        assert!(read(&with(MOST_SCANS)).is_ok());
        assert_eq!(refused(&with(MOST_SCANS + 1)).0, Reason::Unsupported);
    }

    #[test]
    fn colours_are_guessed_like_libjpeg() {
        let jfif = segment(0xe0, b"JFIF\0\x01\x01\0\0\x01\0\x01\0\0");
        let adobe = |transform: u8| segment(0xee, &[b"Adobe\0d\0\0\0\0", &[transform][..]].concat());
        let rgb = segment(0xc0, &[8, 0, 30, 0, 40, 3, b'R', 0x11, 0, b'G', 0x11, 0, b'B', 0x11, 0]);
        let space = |parts: &[&[u8]]| {
            let bytes = file(&[&parts.concat(), &[0xff, 0xda]]);
            Markers::new(&bytes).unwrap().frame().unwrap().space
        };
        let (three, four) = (frame(0xc0, &[0x11; 3]), frame(0xc0, &[0x11; 4]));
        assert_eq!(space(&[&three]), Space::YCbCr);
        assert_eq!(space(&[&adobe(0), &three]), Space::Rgb);
        assert_eq!(space(&[&three, &adobe(0)]), Space::Rgb);
        assert_eq!(space(&[&jfif, &adobe(0), &three]), Space::YCbCr);
        assert_eq!(space(&[&rgb]), Space::Rgb);
        assert_eq!(space(&[&jfif, &rgb]), Space::YCbCr);
        assert_eq!(space(&[&adobe(1), &rgb]), Space::YCbCr);
        assert_eq!(space(&[&four]), Space::Cmyk);
        assert_eq!(space(&[&adobe(0), &four]), Space::Cmyk);
        assert_eq!(space(&[&adobe(2), &four]), Space::Ycck);
        assert_eq!(space(&[&frame(0xc0, &[0x22])]), Space::Grey);
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
