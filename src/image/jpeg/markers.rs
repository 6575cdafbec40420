//! Reads the markers of a JPEG: what its frame and its scans are, and where the picture ends.

use crate::image::exif;
use crate::image::rejection::{Reason, Rejection};

/// zune-jpeg's own limit, for both decoders; encoders write ten. Each scan is a pass over the whole
/// picture and may take a hundred bytes, so that a small file could keep a core for hours.
const MOST_SCANS: usize = 100;

/// The frame header, and what the segments before the first scan say of its colours.
pub(super) struct Frame {
    pub(super) width: u16,
    pub(super) height: u16,
    pub(super) progressive: bool,
    pub(super) components: Vec<Component>,
    pub(super) space: Space,
    /// The EXIF data, in which the orientation stands.
    pub(super) exif: Option<Vec<u8>>,
}

/// A plane, and how many samples it has across and down where the finest plane has the most.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Component {
    id: u8,
    pub(super) across: u8,
    pub(super) down: u8,
}

/// What the components are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::image) enum Space {
    Grey,
    YCbCr,
    Rgb,
    Cmyk,
    Ycck,
}

impl Space {
    /// Returns how many components there are.
    pub(super) fn components(self) -> usize {
        match self {
            Space::Grey => 1,
            Space::YCbCr | Space::Rgb => 3,
            Space::Cmyk | Space::Ycck => 4,
        }
    }

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
pub(super) struct Markers<'a> {
    bytes: &'a [u8],
    /// Where the next byte to be read stands.
    pub(super) at: usize,
}

impl<'a> Markers<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Result<Self, Rejection> {
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
    pub(super) fn frame(&mut self) -> Result<Frame, Rejection> {
        let (mut frame, mut jfif, mut adobe, mut exif) = (None, false, None, None);
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
                0xe1 if exif.is_none() => {
                    let data = self.segment()?.strip_prefix(exif::PREFIX);
                    exif = data.filter(|data| !data.is_empty()).map(<[u8]>::to_vec);
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
        (frame.space, frame.exif) = (Space::of(&frame.components, jfif, adobe), exif);
        Ok(frame)
    }

    /// Reads the rest of the picture from the first scan's header on, and stands behind its end
    /// marker. Returns the components of each scan.
    ///
    /// A picture without an end marker is truncated: decoders notice missing data only when they
    /// begin another row of blocks, so that a file cut in its last row would otherwise pass.
    pub(super) fn scans(&mut self, frame: &Frame) -> Result<Vec<Vec<usize>>, Rejection> {
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

/// Reads a frame header; its colours and EXIF data are for later.
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
    Ok(Frame { width, height, progressive: marker == 0xc2, components, space: Space::Grey, exif: None })
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

pub(super) fn corrupt(detail: impl Into<String>) -> Rejection {
    Rejection::new(Reason::Corrupt, format!("JPEG: {}", detail.into()))
}

pub(super) fn unsupported(detail: impl Into<String>) -> Rejection {
    Rejection::new(Reason::Unsupported, detail)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in super::super) const ENOUGH: &[u8] = &[0xff, 0xd9];

    pub(in super::super) fn segment(marker: u8, data: &[u8]) -> Vec<u8> {
        [&[0xff, marker], &(data.len() as u16 + 2).to_be_bytes()[..], data].concat()
    }

    /// A frame of 40 x 30 whose components are sampled so.
    pub(in super::super) fn frame(marker: u8, factors: &[u8]) -> Vec<u8> {
        let components = (1..).zip(factors).flat_map(|(id, &f)| [id, f, 0]);
        segment(marker, &[8, 0, 30, 0, 40, factors.len() as u8].into_iter().chain(components).collect::<Vec<_>>())
    }

    pub(in super::super) fn scan(ids: &[u8]) -> Vec<u8> {
        let components: Vec<u8> = ids.iter().flat_map(|&id| [id, 0]).collect();
        [&segment(0xda, &[&[ids.len() as u8], &components[..], &[0, 63, 0]].concat())[..], &[1, 0xff, 0, 2]].concat()
    }

    pub(in super::super) fn file(parts: &[&[u8]]) -> Vec<u8> {
        [&[0xff, 0xd8], &parts.concat()[..]].concat()
    }

    pub(in super::super) fn read(bytes: &[u8]) -> Result<(Frame, Vec<Vec<usize>>, usize), Rejection> {
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
}
