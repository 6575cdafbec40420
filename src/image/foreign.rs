//! What a file is that none of the decoders takes, by its first bytes, and how to convert it, so
//! that `rejected` says more than `unknown_format`.

use super::header::FORMATS;
use super::rejection::{Reason, Rejection};
use crate::text::{file as text_file, lfs};

/// Bytes at the beginning in which text is looked at.
const LOOKED_AT: usize = 4096;

/// Returns the rejection of a file whose first bytes are those of no format that is decoded.
pub(super) fn rejection(bytes: &[u8]) -> Rejection {
    if let Some((name, how)) = picture(bytes) {
        return Rejection::new(Reason::Unsupported, format!("{name}, which is not decoded here: {how}"));
    }
    let detail = match other(bytes) {
        Some(what) => what.to_owned(),
        None => {
            let first: Vec<String> = bytes.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
            format!("the first bytes ({}) are those of no picture; {FORMATS} are read", first.join(" "))
        }
    };
    Rejection::new(Reason::UnknownFormat, detail)
}

/// How to make a picture of it that is decoded.
pub(super) const CONVERT: &str = "convert it to JPEG or PNG first, such as by `magick FILE out.png` or Pillow";
const HEIF: &str = "convert it to JPEG or PNG first, such as by Pillow with pillow-heif, `heif-convert FILE out.jpg` or \
                    `magick FILE out.jpg`";
pub(super) const DEVELOP: &str = "develop it to JPEG or PNG first, such as by `darktable-cli` or Python's rawpy";
const DRAW: &str = "draw it as PNG first, such as by `rsvg-convert` or `magick FILE out.png`";
const DRAW_PAGES: &str = "draw it as PNG first, such as by `gs -sDEVICE=png16m -o page-%d.png FILE`";
const DRAW_METAFILE: &str = "draw it as PNG first, such as by `inkscape FILE -o out.png`";
const PAGES: &str = "draw its pages as PNG first, such as by `pdftoppm -png FILE page`";
const FRAMES: &str = "take still pictures out of it first, such as by `ffmpeg -i FILE -vf fps=1 frame-%04d.png`";

/// Names a picture, a document of pictures or a video, and says how to convert it.
fn picture(bytes: &[u8]) -> Option<(&'static str, &'static str)> {
    let begins = |magic: &[u8]| bytes.starts_with(magic);
    if bytes.get(4..8) == Some(b"ftyp") {
        return Some(boxed(bytes));
    }
    let text = text(bytes);
    Some(match bytes {
        _ if begins(b"\xff\x0a") || begins(b"\0\0\0\x0cJXL \r\n\x87\n") => ("a JPEG XL picture", CONVERT),
        _ if begins(b"\0\0\0\x0cjP  \r\n\x87\n") || begins(b"\xff\x4f\xff\x51") => ("a JPEG 2000 picture", CONVERT),
        _ if begins(b"II\xbc\x01") => ("a JPEG XR picture", CONVERT),
        _ if begins(b"8BPS") => ("a Photoshop document", CONVERT),
        _ if begins(b"gimp xcf") => ("a GIMP document", CONVERT),
        _ if is_tga(bytes) => ("a TGA picture", CONVERT),
        _ if begins(b"\0\0\x01\0") || begins(b"\0\0\x02\0") => ("an icon (ICO or CUR)", CONVERT),
        _ if begins(b"icns") => ("an icon (ICNS)", CONVERT),
        _ if begins(b"DDS ") => ("a DDS texture", CONVERT),
        _ if begins(b"\x76\x2f\x31\x01") => ("an OpenEXR picture", CONVERT),
        _ if begins(b"#?RADIANCE") || begins(b"#?RGBE") => ("a Radiance HDR picture", CONVERT),
        _ if begins(b"qoif") => ("a QOI picture", CONVERT),
        _ if begins(b"BPG\xfb") => ("a BPG picture", CONVERT),
        _ if begins(b"\x0a\x05\x01\x08") => ("a PCX picture", CONVERT),
        _ if begins(b"SIMPLE  =") => ("a FITS file", CONVERT),
        _ if bytes.get(128..132) == Some(b"DICM") => ("a DICOM file", "export its pictures as PNG first"),
        [b'P', b'1'..=b'7', b' ' | b'\n' | b'\r' | b'\t' | b'#', ..] => {
            ("a PNM picture (PBM, PGM, or PPM as text)", CONVERT)
        }
        _ if begins(b"IIRO") || begins(b"IIRS") || begins(b"MMOR") => ("a camera's raw file (ORF)", DEVELOP),
        _ if begins(b"IIU\0") => ("a camera's raw file (RW2)", DEVELOP),
        _ if begins(b"FUJIFILMCCD-RAW") => ("a camera's raw file (RAF)", DEVELOP),
        _ if begins(b"FOVb") => ("a camera's raw file (X3F)", DEVELOP),
        _ if begins(b"\0MRM") => ("a camera's raw file (MRW)", DEVELOP),
        _ if begins(b"%PDF-") => ("a PDF document", PAGES),
        _ if begins(b"%!PS") || begins(b"\xc5\xd0\xd3\xc6") => ("a PostScript document", DRAW_PAGES),
        _ if text.starts_with("<svg") || (text.starts_with('<') && text.contains("<svg") && !page(&text)) => {
            ("an SVG drawing", DRAW)
        }
        _ if begins(b"\xd7\xcd\xc6\x9a") || bytes.get(40..44) == Some(b" EMF") => ("a Windows metafile", DRAW_METAFILE),
        _ if begins(b"RIFF") && bytes.get(8..12) == Some(b"AVI ") => ("an AVI video", FRAMES),
        _ if begins(b"\x1a\x45\xdf\xa3") => ("a Matroska or WebM video", FRAMES),
        _ if begins(b"\0\0\x01\xba") || begins(b"\0\0\x01\xb3") => ("an MPEG video", FRAMES),
        _ if begins(b"FLV\x01") => ("a Flash video", FRAMES),
        _ if begins(b"OggS") => ("an Ogg video", FRAMES),
        _ if begins(b"\x30\x26\xb2\x75\x8e\x66\xcf\x11") => ("a Windows Media video", FRAMES),
        _ if matches!(bytes.get(4..8), Some(b"moov" | b"mdat" | b"wide")) => ("a QuickTime video", FRAMES),
        _ => return None,
    })
}

/// Returns whether a file is a TGA. Its first version has no magic, only 18 bytes that rarely mean
/// anything else: a type, a table of colours or none, sides, and the bits of a pixel.
fn is_tga(bytes: &[u8]) -> bool {
    if bytes.ends_with(b"TRUEVISION-XFILE.\0") {
        return true;
    }
    let Some(&[_, table, kind, t0, t1, t2, t3, bits, _, _, _, _, w0, w1, h0, h1, depth, _]) = bytes.first_chunk()
    else {
        return false;
    };
    let known = match (table, kind) {
        (0, 2 | 3 | 10 | 11) => [t0, t1, t2, t3, bits] == [0; 5],
        (1, 1 | 9) => matches!(bits, 15 | 16 | 24 | 32),
        _ => false,
    };
    known && matches!(depth, 8 | 15 | 16 | 24 | 32) && [w0, w1] != [0; 2] && [h0, h1] != [0; 2]
}

/// Names a file of boxes (ISO 14496-12) by its brands.
fn boxed(bytes: &[u8]) -> (&'static str, &'static str) {
    // The major brand, a version, and the brands that it is compatible with.
    let length = bytes.first_chunk().map_or(0, |length| u32::from_be_bytes(*length) as usize);
    let brands = bytes.get(8..length.min(bytes.len()).min(LOOKED_AT)).unwrap_or_default().as_chunks::<4>().0;
    let has = |names: &[&[u8; 4]]| brands.iter().any(|brand| names.contains(&brand));
    let major = brands.first().copied().unwrap_or_default();
    if has(&[b"avif", b"avis"]) {
        ("an AVIF picture", CONVERT)
    } else if has(&[b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1"]) {
        ("a HEIC (HEIF) picture", HEIF)
    } else if has(&[b"crx "]) {
        ("a camera's raw file (CR3)", DEVELOP)
    } else if major == *b"jxl " {
        ("a JPEG XL picture", CONVERT)
    } else if major == *b"qt  " {
        ("a QuickTime video", FRAMES)
    } else {
        ("an MP4 video", FRAMES)
    }
}

/// Returns the UTF-8 at the beginning, in lower case and without what may stand before it; empty if
/// there is none.
fn text(bytes: &[u8]) -> String {
    let bytes = &bytes[..bytes.len().min(LOOKED_AT)];
    let bytes = text_file::without_mark(bytes);
    let control = |byte: &u8| *byte < 0x20 && !byte.is_ascii_whitespace();
    if bytes.iter().any(control) {
        return String::new();
    }
    let valid = bytes.utf8_chunks().next().map_or("", |chunk| chunk.valid());
    valid.trim().to_lowercase()
}

/// Returns whether all that is looked at is UTF-8; a character may be cut at its end.
fn is_text(bytes: &[u8]) -> bool {
    let looked_at = &bytes[..bytes.len().min(LOOKED_AT)];
    std::str::from_utf8(looked_at).err().is_none_or(|error| error.error_len().is_none())
}

fn page(text: &str) -> bool {
    ["<!doctype html", "<html", "<head", "<body", "<script"].iter().any(|tag| text.starts_with(tag))
        || (text.starts_with('<') && text.contains("<html"))
}

/// Says what a file is that is no picture.
fn other(bytes: &[u8]) -> Option<&'static str> {
    let text = text(bytes);
    Some(match bytes {
        _ if lfs::is_pointer(bytes) => {
            "a Git LFS pointer in place of the picture: `git lfs pull` fetches the picture itself"
        }
        _ if text.contains("/annex/objects/") && text.len() < 1024 => {
            "a git-annex pointer in place of the picture: `git annex get` fetches the picture itself"
        }
        _ if page(&text) => {
            "an HTML page under a picture's name, such as a server sends in place of a picture that it does not have: \
             download the picture again"
        }
        _ if text.starts_with('<') => {
            "an XML text under a picture's name, such as a server sends in place of a picture that it does not have: \
             download the picture again"
        }
        _ if text.starts_with('{') || text.starts_with('[') => {
            "a JSON text under a picture's name, such as a server sends in place of a picture that it does not have: \
             download the picture again"
        }
        _ if bytes.starts_with(b"PK\x03\x04") => "a zip archive, not a picture: unpack it first",
        _ if bytes.starts_with(b"\x1f\x8b") => "a file packed by gzip, not a picture: unpack it first",
        _ if bytes.starts_with(b"\x28\xb5\x2f\xfd") => "a file packed by zstd, not a picture: unpack it first",
        _ if bytes.starts_with(b"7z\xbc\xaf\x27\x1c") || bytes.starts_with(b"Rar!") => {
            "an archive, not a picture: unpack it first"
        }
        _ if bytes.get(257..262) == Some(b"ustar") => "a tar archive, not a picture: unpack it first",
        _ if bytes.starts_with(b"\x93NUMPY") => "a NumPy array, not a picture: save it as PNG first",
        _ if bytes.starts_with(b"PAR1") => "a Parquet file, not a picture: it is a source of its own (hf-parquet)",
        _ if bytes.starts_with(b"\x7fELF") || bytes.starts_with(b"MZ") => "a program, not a picture",
        _ if bytes.iter().all(|byte| *byte == 0) => {
            "nothing but zeros: the file was given its length and never filled; copy the picture again"
        }
        _ if !text.is_empty() && is_text(bytes) => "text, not a picture",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(bytes: &[u8]) -> (Reason, String) {
        let Rejection { reason, detail } = rejection(bytes);
        (reason, detail)
    }

    #[test]
    fn what_can_be_converted_is_named_with_how() {
        let ftyp = |brands: &[u8]| [&[0, 0, 0, 8 + brands.len() as u8][..], b"ftyp", brands].concat();
        let files: [(Vec<u8>, &str, &str); 26] = [
            ([&[0; 40][..], b"TRUEVISION-XFILE.\0"].concat(), "a TGA picture", "magick"),
            (b"\0\0\x02\0\0\0\0\0\0\0\0\0\x04\0\x03\0\x18\0\x07\x07".to_vec(), "a TGA picture", "magick"),
            (b"\0\0\x02\0\x01\0\x10\x10\0\0\0\0\0\0\0\0\0\0\0\0".to_vec(), "an icon (ICO or CUR)", "magick"),
            (ftyp(b"avif\0\0\0\0mif1miaf"), "an AVIF picture", "Pillow"),
            (ftyp(b"mif1\0\0\0\0avifmif1"), "an AVIF picture", "Pillow"),
            (ftyp(b"heic\0\0\0\0mif1heic"), "a HEIC (HEIF) picture", "pillow-heif"),
            (ftyp(b"mif1\0\0\0\0mif1heix"), "a HEIC (HEIF) picture", "pillow-heif"),
            (ftyp(b"crx \0\0\0\x01crx isom"), "a camera's raw file (CR3)", "rawpy"),
            (ftyp(b"isom\0\0\x02\0isomavc1mp41"), "an MP4 video", "ffmpeg"),
            (ftyp(b"qt  \0\0\0\0qt  "), "a QuickTime video", "ffmpeg"),
            (b"\xff\x0a\xfa\x7f".to_vec(), "a JPEG XL picture", "magick"),
            (b"\0\0\0\x0cJXL \r\n\x87\n".to_vec(), "a JPEG XL picture", "magick"),
            (b"\0\0\0\x0cjP  \r\n\x87\n".to_vec(), "a JPEG 2000 picture", "magick"),
            (b"8BPS\0\x01".to_vec(), "a Photoshop document", "magick"),
            (b"FUJIFILMCCD-RAW 0201".to_vec(), "a camera's raw file (RAF)", "rawpy"),
            (b"\0\0\x01\0\x01\0".to_vec(), "an icon (ICO or CUR)", "magick"),
            (b"P5\n4 3\n255\n".to_vec(), "a PNM picture (PBM, PGM, or PPM as text)", "magick"),
            (b"%PDF-1.7\n".to_vec(), "a PDF document", "pdftoppm"),
            (b"<?xml version=\"1.0\"?>\n<!-- drawn -->\n<SVG width=\"4\">".to_vec(), "an SVG drawing", "rsvg-convert"),
            (b"\xef\xbb\xbf  <svg>".to_vec(), "an SVG drawing", "rsvg-convert"),
            (b"RIFF\0\0\0\0AVI LIST".to_vec(), "an AVI video", "ffmpeg"),
            (b"\x1a\x45\xdf\xa3\x01".to_vec(), "a Matroska or WebM video", "ffmpeg"),
            (b"\0\0\x01\xba\x44".to_vec(), "an MPEG video", "ffmpeg"),
            (b"%!PS-Adobe-3.0 EPSF-3.0\n".to_vec(), "a PostScript document", "`gs "),
            (b"\xd7\xcd\xc6\x9a\0\0".to_vec(), "a Windows metafile", "`inkscape "),
            (b"IIU\0\x18\0".to_vec(), "a camera's raw file (RW2)", "rawpy"),
        ];
        for (bytes, name, how) in files {
            let (reason, detail) = said(&bytes);
            assert!(
                reason == Reason::Unsupported && detail.starts_with(name) && detail.contains(how),
                "{name}: {detail}"
            );
        }
    }

    #[test]
    fn what_is_no_picture_is_called_what_it_is() {
        let files: [(&[u8], &str); 12] = [
            (b"\n<!DOCTYPE html><html>", "an HTML page"),
            (b"<html><body><svg></svg></body></html>", "an HTML page"),
            (b"<?xml version=\"1.0\"?><Error><Code>AccessDenied</Code></Error>", "an XML text"),
            (b"{\"message\": \"Not Found\"}", "a JSON text"),
            (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n", "a Git LFS pointer"),
            (b"../.git/annex/objects/Wx/5g/SHA256E-s31390", "a git-annex pointer"),
            (b"PK\x03\x04\x14\0", "a zip archive"),
            (b"\x1f\x8b\x08\0", "a file packed by gzip"),
            (b"PAR1\x15\x04", "a Parquet file"),
            (&[0; 100], "nothing but zeros"),
            ("Rosa rugosa, aufgenommen um 9 Ühr".as_bytes(), "text, not a picture"),
            (b"\x89P\x01\xfe", "the first bytes (89 50 01 fe) are those of no picture"),
        ];
        for (bytes, name) in files {
            let (reason, detail) = said(bytes);
            assert!(reason == Reason::UnknownFormat && detail.starts_with(name), "{name}: {detail}");
        }
    }
}
