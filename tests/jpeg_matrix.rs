//! Kinds of JPEG that decoders get wrong without a word: each file of tests/golden/jpeg decodes
//! like Pillow, or is refused and says why. matrix.py there wrote them, and can write 2,000 more.

use std::fs;
use std::path::{Path, PathBuf};

use microclip_pipe::image::{Limits, Reason, decode};

/// What neither decoder can do, or the format does not allow; all the others must decode.
const REFUSED: &[(&str, Reason, &str)] = &[
    ("arithmetic_420_base_17x33", Reason::Unsupported, "arithmetic-coded JPEG"),
    ("bits12_444_base_17x33", Reason::Unsupported, "JPEG of 12 bits a sample"),
    ("dnl_444_base_17x33", Reason::Unsupported, "JPEG whose height comes after its first scan"),
    ("hierarchical_444_base_17x33", Reason::Unsupported, "hierarchical JPEG"),
    ("lossless_444_base_17x33", Reason::Unsupported, "lossless JPEG"),
    ("noend_420_base_17x33", Reason::Truncated, "no end-of-image marker after the last scan"),
    ("two_components_17x33", Reason::Unsupported, "JPEG of 2 components"),
    (
        "ycc_mixed4_prog_15x17",
        Reason::Unsupported,
        "JPEG with a scan of one component sampled 2 x 1 where the finest is 4 x 1",
    ),
];

/// The one file whose padding is black: zune-jpeg blends it into the last row and column.
const BLENDED: &str = "own_padded_22_40x40";

fn files() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/jpeg");
    let mut files: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "jpg"));
    files.sort();
    files
}

fn name(path: &Path) -> &str {
    path.file_stem().unwrap().to_str().unwrap()
}

#[test]
fn every_kind_of_jpeg_is_like_pillows_or_refused_by_name() {
    let files = files();
    assert!(files.len() > 50, "{} files", files.len());
    for path in files {
        let decoded = decode(&fs::read(&path).unwrap(), &Limits::default());
        if let Some((_, reason, detail)) = REFUSED.iter().find(|(refused, ..)| *refused == name(&path)) {
            let rejection = decoded.unwrap_err();
            assert_eq!((rejection.reason, rejection.detail.as_str()), (*reason, *detail), "{}", path.display());
            continue;
        }
        let ours = decoded.unwrap_or_else(|rejection| panic!("{}: {rejection}", path.display()));
        let pillows = decode(&fs::read(path.with_extension("png")).unwrap(), &Limits::default()).unwrap();
        assert_eq!((ours.width, ours.height), (pillows.width, pillows.height), "{}", path.display());
        let (width, height) = (ours.width as usize, ours.height as usize);
        let mut sum = 0;
        for (at, (a, b)) in ours.pixels.iter().zip(&pillows.pixels).enumerate() {
            let (x, y) = (at / 3 % width, at / 3 / width);
            let border = name(&path) == BLENDED && (x == width - 1 || y == height - 1);
            let apart = a.abs_diff(*b);
            assert!(apart <= 4 || border, "{}: {apart} apart at {x}, {y}", path.display());
            sum += if border { 0 } else { u64::from(apart) };
        }
        let mean = sum as f64 / ours.pixels.len() as f64;
        assert!(mean < 0.6, "{}: {mean} apart on average", path.display());
    }
}

#[test]
fn no_cut_and_no_flipped_byte_makes_a_decoder_panic() {
    for path in files() {
        let whole = fs::read(&path).unwrap();
        // What follows the end may go, and a file that has none is refused anyway.
        let spare = name(&path).starts_with("trailing") || name(&path).starts_with("mpocut");
        for length in (0..whole.len()).step_by(7) {
            let cut = decode(&whole[..length], &Limits::default());
            assert!(cut.is_err() || spare, "{} decodes from {length} bytes", path.display());
        }
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 1 << (at % 8);
            if let Err(rejection) = decode(&damaged, &Limits::default()) {
                assert_ne!(rejection.reason, Reason::DecoderPanicked, "{}, byte {at}", path.display());
            }
        }
    }
}
