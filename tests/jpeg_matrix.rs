//! Kinds of JPEG that decoders get wrong without a word: each file of tests/golden/jpeg decodes
//! like Pillow, or is refused and says why. matrix.py there wrote them, and `make soak` does the
//! same with all 2,000 that it can write.

use std::fs;
use std::path::{Path, PathBuf};

use microclip_pipe::image::{Limits, Reason, Rgb, decode};

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
        if let Err(apart) = compare(&ours, &pillows.pixels, name(&path)) {
            panic!("{}: {apart}", path.display());
        }
    }
}

/// How a picture differs from Pillow's.
enum Alike {
    /// Not at all.
    Equal,
    /// By no more than roundings of the inverse DCT explain.
    Rounded,
    /// Likewise, but for the last row or column, into which zune-jpeg blends the padding behind it:
    /// where chroma is halved along a side that is even and no multiple of 16.
    ButForABorder,
}

fn compare(ours: &Rgb, pillows: &[u8], name: &str) -> Result<Alike, String> {
    if ours.pixels.len() != pillows.len() {
        return Err(format!("{} bytes instead of {}", ours.pixels.len(), pillows.len()));
    }
    let (width, height) = (ours.width as usize, ours.height as usize);
    let halved = !["_444", "_11_", "grey_1x1"].iter().any(|whole| name.contains(whole));
    let blends = |side: usize| halved && side.is_multiple_of(2) && !side.is_multiple_of(16);
    let (mut sum, mut border) = (0, false);
    for (at, (a, b)) in ours.pixels.iter().zip(pillows).enumerate() {
        let (x, y) = (at / 3 % width, at / 3 / width);
        let apart = a.abs_diff(*b);
        if apart <= 4 {
            sum += u64::from(apart);
        } else if blends(width) && x == width - 1 || blends(height) && y == height - 1 {
            border = true;
        } else {
            return Err(format!("{apart} apart at {x}, {y}"));
        }
    }
    let mean = sum as f64 / ours.pixels.len() as f64;
    match border {
        _ if mean >= 0.6 => Err(format!("{mean} apart on average")),
        true => Ok(Alike::ButForABorder),
        false if ours.pixels == pillows => Ok(Alike::Equal),
        false => Ok(Alike::Rounded),
    }
}

/// `MICROCLIP_JPEGS` names the folder that matrix.py filled.
#[test]
#[ignore = "make soak writes the 2,000 files that this reads"]
fn the_whole_matrix_is_like_pillows_or_refused_by_name() {
    let folder = PathBuf::from(std::env::var_os("MICROCLIP_JPEGS").unwrap());
    let table = fs::read_to_string(folder.join("matrix.tsv")).unwrap();
    let (mut equal, mut rounded, mut border, mut unsupported, mut refused_by_both) = (0, 0, 0, 0, 0);
    let mut wrong = Vec::new();
    for row in table.lines() {
        let [name, width, height, said] = row.split('\t').collect::<Vec<_>>().try_into().unwrap();
        if said == "cjpeg refused" {
            continue;
        }
        let decoded = decode(&fs::read(folder.join(format!("{name}.jpg"))).unwrap(), &Limits::default());
        match (decoded, said) {
            (Ok(ours), "ok") => {
                let pillows = fs::read(folder.join(format!("{name}.rgb"))).unwrap();
                assert_eq!((ours.width.to_string(), ours.height.to_string()), (width.to_owned(), height.to_owned()));
                match compare(&ours, &pillows, name) {
                    Ok(Alike::Equal) => equal += 1,
                    Ok(Alike::Rounded) => rounded += 1,
                    Ok(Alike::ButForABorder) => border += 1,
                    Err(apart) => wrong.push(format!("{name}: {apart}")),
                }
            }
            (Ok(_), _) => wrong.push(format!("{name}: decoded, and Pillow says {said}")),
            (Err(_), said) if said != "ok" => refused_by_both += 1,
            (Err(rejection), _) if rejection.reason == Reason::Unsupported => unsupported += 1,
            (Err(rejection), _) => wrong.push(format!("{name}: {rejection}, and Pillow decodes it")),
        }
    }
    println!(
        "JPEGs: {equal} equal to Pillow's pixels, {rounded} within 4 of 255 and 0.6 on average, {border} likewise but for \
         the last row or column, {unsupported} rejected as unsupported, {refused_by_both} refused by Pillow too, {} otherwise",
        wrong.len()
    );
    assert!(equal + rounded + border + unsupported > 1_500, "where are the files?");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
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
