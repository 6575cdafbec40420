//! Kinds of GIF, BMP and TIFF: each file of tests/golden/formats decodes to Pillow's pixels, or is
//! refused and says why. matrix.py there wrote them, and can write two thousand more.

use std::fs;
use std::path::{Path, PathBuf};

use microclip_pipe::image::{Decoding, ExifOrientation, Format, Limits, Reason, Rejection, Rgb, decode, probe};

/// What is not decoded, or is damaged; all the others must have Pillow's pixels.
const REFUSED: &[(&str, Reason, &str)] = &[
    ("gif_cut", Reason::Truncated, "GIF: "),
    ("gif_cut_late", Reason::Truncated, "GIF: "),
    ("bmp_24_cut", Reason::Truncated, "BMP: "),
    ("bmp_rle8_cut", Reason::Truncated, "BMP: the run-length code ends before the picture"),
    ("bmp_rle8_short", Reason::Truncated, "BMP: the run-length code ends before the picture"),
    ("bmp_os2v2_24", Reason::Unsupported, "header type (size=64)"),
    ("tif_cut", Reason::Truncated, "TIFF: a strip or tile lies beyond the end of the file"),
    ("tif_lzw_cut", Reason::Truncated, "TIFF: a strip or tile lies beyond the end of the file"),
    ("tif_II_float32_plain", Reason::Unsupported, "TIFF of floating-point samples of 32 bits"),
    ("tif_II_grey32_plain", Reason::Unsupported, "TIFF of grey samples of 32 bits"),
    ("tif_II_signed16_plain", Reason::Unsupported, "TIFF of signed samples of 16 bits"),
    ("tif_II_lab8_lzw", Reason::Unsupported, "TIFF of CIELab colours"),
    ("tif_II_ycc8_plain", Reason::Unsupported, "TIFF of YCbCr samples without JPEG compression"),
    ("tif_II_fill2_plain", Reason::Unsupported, "TIFF whose bits are in reversed order (FillOrder)"),
    ("tif_zstd", Reason::Unsupported, "TIFF of compression Zstandard"),
    ("tif_group4", Reason::Unsupported, "TIFF of compression CCITT group 4 (fax)"),
];

/// Decodes as Pillow does, which turns a TIFF as its tag asks.
fn decoded(path: &Path) -> Result<Rgb, Rejection> {
    let decoding = Decoding { limits: Limits::default(), orientation: ExifOrientation::Apply };
    decoding.picture(&fs::read(path).unwrap())
}

/// The largest difference from Pillow's pixels, in units of 1/255.
#[track_caller]
fn apart(ours: &Rgb, path: &Path) -> u8 {
    let pillows = decode(&fs::read(path.with_extension("png")).unwrap(), &Limits::default()).unwrap();
    assert_eq!((ours.width, ours.height), (pillows.width, pillows.height), "{}", path.display());
    ours.pixels.iter().zip(&pillows.pixels).map(|(a, b)| a.abs_diff(*b)).max().unwrap()
}

fn name(path: &Path) -> &str {
    path.file_stem().unwrap().to_str().unwrap()
}

/// Decoders of JPEG differ a little.
fn allowed(path: &Path) -> u8 {
    if name(path).starts_with("tif_jpeg") || name(path).contains("_jpeg") { 4 } else { 0 }
}

/// The files of a matrix, and what Pillow said of each.
fn matrix(folder: &Path) -> Vec<(PathBuf, String)> {
    let table = fs::read_to_string(folder.join("matrix.tsv")).unwrap();
    let row = |line: &str| line.split_once('\t').map(|(name, said)| (folder.join(name), said.to_owned()));
    table.lines().filter_map(row).collect()
}

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/formats")
}

#[test]
fn every_kind_of_gif_bmp_and_tiff_has_pillows_pixels_or_is_refused_by_name() {
    let files = matrix(&golden());
    assert!(files.len() > 60, "{} files", files.len());
    for (path, said) in files {
        let found = decoded(&path);
        if let Some((_, reason, detail)) = REFUSED.iter().find(|(refused, ..)| *refused == name(&path)) {
            let rejection = found.unwrap_err();
            assert!(
                rejection.reason == *reason && rejection.detail.contains(detail),
                "{}: {rejection}",
                path.display()
            );
            let told = rejection.detail.contains("convert it to JPEG or PNG first");
            assert_eq!(told, *reason == Reason::Unsupported, "{}: {rejection}", path.display());
            continue;
        }
        assert_eq!(said, "ok", "{}", path.display());
        let ours = found.unwrap_or_else(|rejection| panic!("{}: {rejection}", path.display()));
        let apart = apart(&ours, &path);
        assert!(apart <= allowed(&path), "{}: {apart} apart", path.display());
    }
}

#[test]
fn an_orientation_in_a_tiff_is_left_alone_if_it_is_to_be() {
    let path = golden().join("tif_orientation6.tif");
    let bytes = fs::read(&path).unwrap();
    let ignore = Decoding { limits: Limits::default(), orientation: ExifOrientation::Ignore };
    let (stored, upright) = (ignore.picture(&bytes).unwrap(), decoded(&path).unwrap());
    assert_eq!((stored.width, stored.height), (upright.height, upright.width));
    assert_eq!(stored, decoded(&golden().join("tif_II_rgb8_plain.tif")).unwrap());
    assert_eq!(probe(&bytes, &Limits::default()).unwrap().format, Format::Tiff);
}

#[test]
fn no_cut_and_no_flipped_byte_makes_a_decoder_panic() {
    for (path, _) in matrix(&golden()) {
        let whole = fs::read(&path).unwrap();
        for length in (0..whole.len()).step_by(13) {
            if let Err(rejection) = decode(&whole[..length], &Limits::default()) {
                assert_ne!(
                    rejection.reason,
                    Reason::DecoderPanicked,
                    "{} cut at {length}: {rejection}",
                    path.display()
                );
            }
        }
        for at in (0..whole.len()).step_by(3) {
            let mut damaged = whole.clone();
            damaged[at] ^= 1 << (at % 8);
            let limits = Limits { max_pixels: 1 << 22, ..Limits::default() };
            if let Err(rejection) = decode(&damaged, &limits) {
                assert_ne!(rejection.reason, Reason::DecoderPanicked, "{}, byte {at}: {rejection}", path.display());
            }
        }
    }
}

/// What is refused though Pillow reads it, by how the reason begins.
const REFUSED_ALONE: &[&str] = &[
    "BMP: The decoder for Bmp does not support the format features Unknown bitmap header type",
    "GIF whose first frame has a grey palette of its own",
    "GIF: no color table",
    "TIFF of CIELab colours",
    "TIFF of 3 planes of 16 bits that Pillow takes for others",
    "TIFF of 4 planes of 16 bits that Pillow takes for others",
    "TIFF of 4 planes of 8 bits that Pillow takes for others",
    "TIFF of JPEGs for planes",
    "TIFF of YCbCr samples without JPEG compression",
    "TIFF of compression CCITT group",
    "TIFF of compression LZMA",
    "TIFF of compression Zstandard",
    "TIFF of floating-point samples",
    "TIFF of grey samples of 12 bits",
    "TIFF of grey samples of 32 bits",
    "TIFF of grey samples of 8 bits and 4 further samples",
    "TIFF of inverted grey samples of 16 bits",
    "TIFF of signed samples",
    "TIFF whose bits are in reversed order",
    "TIFF with a progressive JPEG",
];

/// All that matrix.py writes, if `MICROCLIP_FORMATS` names its folder: prints what is refused.
#[test]
#[ignore = "needs the whole matrix"]
fn the_whole_matrix_has_pillows_pixels_or_is_refused() {
    let folder = PathBuf::from(std::env::var("MICROCLIP_FORMATS").unwrap());
    let (mut equal, mut refused, mut wrong, mut unnamed) = (0, 0, 0, Vec::new());
    for (path, said) in matrix(&folder) {
        match (decoded(&path), said.as_str()) {
            (Ok(ours), "ok") if apart(&ours, &path) <= allowed(&path) => equal += 1,
            (Ok(ours), "ok") => {
                wrong += 1;
                println!("wrong {}: {} apart", name(&path), apart(&ours, &path));
            }
            (Ok(_), said) => println!("read though Pillow says {said}: {}", name(&path)),
            (Err(rejection), said) => {
                refused += 1;
                let begins = |begin: &&str| rejection.detail.starts_with(*begin);
                // Pillow does without the filling of the last row.
                let named = match rejection.reason {
                    Reason::Unsupported => REFUSED_ALONE.iter().any(begins),
                    _ => name(&path) == "bmp_24_cut_padding",
                };
                if said == "ok" && !named {
                    unnamed.push(format!("{}: {rejection}", name(&path)));
                }
                println!("refused {} (Pillow: {said}): {rejection}", name(&path));
            }
        }
    }
    println!("{equal} equal, {refused} refused, {wrong} wrong");
    assert_eq!(wrong, 0);
    assert!(equal > 1_500, "where are the files?");
    assert!(unnamed.is_empty(), "{}", unnamed.join("\n"));
}
