//! Pictures as an enemy would send them, made here: nothing of it is stored.

use std::io::Cursor;
use std::path::PathBuf;

use image::codecs::jpeg::JpegEncoder;
use image::codecs::png::PngEncoder;
use image::codecs::webp::WebPEncoder;
use image::{ExtendedColorType, ImageEncoder, Rgb, RgbImage};
use rand::{RngCore, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// What must become of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// A row of `images`.
    Read,
    /// A row of `rejected`, for one of these reasons.
    Rejected(&'static [&'static str]),
    /// Either: decoders may do with it as they like, but not more than that.
    Either,
}

/// A file, and what must become of it.
pub struct Hostile {
    pub name: String,
    pub bytes: Vec<u8>,
    pub fate: Fate,
}

const BROKEN: Fate = Fate::Rejected(&["truncated", "corrupt"]);
const UNKNOWN: Fate = Fate::Rejected(&["unknown_format"]);

/// GIF, BMP and TIFF: absurd sizes, codes that unpack to anything, directories in circles.
fn others(add: &mut impl FnMut(&str, Vec<u8>, Fate)) {
    let too_large = Fate::Rejected(&["side_too_long", "too_many_pixels", "too_large_bytes"]);
    add("65535-by-65535.gif", gif(65_535, 65_535), too_large);
    add("a-gif-without-code.gif", [&gif(9_000, 9_000)[..], &[]].concat(), BROKEN);
    add("2-to-the-31.bmp", bmp(0x7fff_ffff, 0x7fff_ffff, 24, &[]), Fate::Rejected(&["side_too_long", "corrupt"]));
    add("negative.bmp", bmp(-5, 5, 24, &[0; 80]), BROKEN);
    add("9000-by-9000-of-nothing.bmp", bmp(9_000, 9_000, 24, &[]), BROKEN);
    add("run-lengths-of-nothing.bmp", run_lengths(9_000, 9_000), BROKEN);
    let pixels = picture(60, 40).into_raw();
    let whole = tiff(60, 40, 1, &pixels, 0);
    for part in [4, 25, 50, 75, 99] {
        add(&format!("cut-at-{part:02}.tif"), whole[..whole.len() * part / 100].to_vec(), BROKEN);
    }
    add("whole.tif", whole.clone(), Fate::Read);
    add("60000-by-60000.tif", tiff(60_000, 60_000, 1, &pixels, 0), too_large);
    add("all-bits.tif", tiff(u32::MAX, u32::MAX, 1, &pixels, 0), too_large);
    add("9000-by-9000-of-little.tif", tiff(9_000, 9_000, 5, &pixels, 0), BROKEN);
    // A directory that is its own successor, and one that begins beyond the file.
    add("circle.tif", tiff(60, 40, 1, &pixels, 8 + pixels.len() as u32), Fate::Read);
    add("directory-nowhere.tif", b"II*\0\xff\xff\xff\x7f".to_vec(), BROKEN);
    add("directory-of-65535.tif", b"II*\0\x08\0\0\0\xff\xff".to_vec(), BROKEN);
    let zeros = compressed_zeros();
    add("deflate-bomb.tif", tiff(8, 8, 8, &zeros, 0), Fate::Read);
    add("deflate-of-zeros.tif", tiff(3_000, 3_000, 8, &zeros, 0), Fate::Read);
    let ppm = |width: u32, height: u32, pixels: &[u8]| {
        [format!("P6 # by hand\n{width} {height} 255\n").as_bytes(), pixels].concat()
    };
    add("whole.ppm", ppm(60, 40, &pixels), Fate::Read);
    add("cut.ppm", ppm(60, 40, &pixels[..100]), BROKEN);
    add("all-bits.ppm", ppm(u32::MAX, u32::MAX, &[]), too_large);
    add("9000-by-9000-of-nothing.ppm", ppm(9_000, 9_000, &[]), BROKEN);
    // Codes that give nothing for as long as they are: PackBits' filling.
    add("packbits-of-filling.tif", tiff(8, 8, 32_773, &vec![128; 1 << 20], 0), BROKEN);
    add("lzw-of-clear-codes.tif", tiff(8, 8, 5, &[0x80, 0x40, 0x20, 0x10, 8, 4, 2, 1, 0].repeat(1 << 16), 0), BROKEN);
    let strips = strips_of_one(&[128; 60_000], 20_000);
    add("strips-that-share-their-bytes.tif", strips, BROKEN);
    add("jpegs-with-long-tables.tif", jpeg_tables(9_000), BROKEN);
    add("a-jpeg-tile-of-4200000.tif", tiled_as(7, 4_000, 1_050), Fate::Rejected(&["unsupported"]));
    add("tiles-of-1-by-1.tif", tiled(1, 1), Fate::Rejected(&["unsupported"]));
    add("a-tile-of-2-to-the-31.tif", tiled(1 << 31, 1 << 31), Fate::Rejected(&["unsupported"]));
}

/// All of them.
pub fn corpus() -> Vec<Hostile> {
    let mut all = Vec::new();
    let mut add = |name: &str, bytes: Vec<u8>, fate: Fate| all.push(Hostile { name: name.to_owned(), bytes, fate });
    let (png, jpeg, webp) = (png(60, 40), jpeg(60, 40), webp(60, 40));
    for (kind, whole) in [("png", &png), ("jpg", &jpeg), ("webp", &webp)] {
        for part in [1, 4, 12, 25, 33, 50, 75, 90, 99] {
            let length = whole.len() * part / 100;
            let fate = if length < 12 { Fate::Rejected(&["truncated", "corrupt", "unknown_format"]) } else { BROKEN };
            add(&format!("cut-at-{part:02}.{kind}"), whole[..length].to_vec(), fate);
        }
        // Everything but the very last byte: a checksum, an end marker or padding.
        add(&format!("cut-by-one.{kind}"), whole[..whole.len() - 1].to_vec(), Fate::Either);
        add(&format!("followed-by-more.{kind}"), [&whole[..], &[7; 5000]].concat(), Fate::Either);
        add(&format!("twice.{kind}"), [&whole[..], &whole[..]].concat(), Fate::Either);
    }

    add("a-png-named.jpg", self::png(33, 44), Fate::Read);
    add("a-jpeg-named.png", self::jpeg(33, 44), Fate::Read);
    add("a-webp-named.jpeg", self::webp(33, 44), Fate::Read);
    add("text.jpg", b"this is not a picture, whatever its name says\n".repeat(50), UNKNOWN);
    add("page.png", b"<!doctype html><html><body>404 Not Found</body></html>".to_vec(), UNKNOWN);
    add("animated.gif", gif(1, 1), Fate::Read);
    add("bitmap.bmp", [&b"BM"[..], &[0; 400]].concat(), BROKEN);
    add("document.jpg", b"%PDF-1.7\n".to_vec(), Fate::Rejected(&["unsupported"]));
    add("pointer.jpg", b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n".to_vec(), UNKNOWN);
    add("picture.heic", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic".to_vec(), Fate::Rejected(&["unsupported"]));
    others(&mut add);
    add("archive.png", [&b"PK\x03\x04"[..], &[0; 400]].concat(), UNKNOWN);
    add("gzip.jpg", [&b"\x1f\x8b\x08"[..], &[0; 400]].concat(), UNKNOWN);
    add("program.png", [&b"\x7fELF"[..], &[0; 400]].concat(), UNKNOWN);
    add("empty.jpg", Vec::new(), Fate::Rejected(&["empty"]));
    add("one-byte.png", vec![0x89], Fate::Rejected(&["truncated", "unknown_format"]));
    add("zeros.jpg", vec![0; 4096], UNKNOWN);
    add("ones.png", vec![0xff; 4096], Fate::Rejected(&["unknown_format", "corrupt", "truncated"]));
    let mut noise = vec![0; 20_000];
    ChaCha8Rng::seed_from_u64(5).fill_bytes(&mut noise);
    add("noise.webp", noise.clone(), UNKNOWN);
    add("noise-with-a-jpegs-beginning.jpg", [&jpeg[..20], &noise].concat(), BROKEN);
    add("noise-with-a-pngs-beginning.png", [&png[..33], &noise].concat(), BROKEN);

    let too_large = Fate::Rejected(&["side_too_long", "too_many_pixels", "too_large_bytes"]);
    add("60000-by-60000.png", png_header(60_000, 60_000, 8, 2), too_large);
    add("2-to-the-31.png", png_header(0x7fff_ffff, 1, 8, 2), too_large);
    add("all-bits.png", png_header(u32::MAX, u32::MAX, 16, 6), too_large);
    add("no-width.png", png_header(0, 10, 8, 2), Fate::Rejected(&["empty", "corrupt"]));
    add("depth-of-7.png", png_header(10, 10, 7, 2), Fate::Rejected(&["corrupt", "unsupported"]));
    add("65535-by-65535.jpg", jpeg_sized(&jpeg, 65_535, 65_535), too_large);
    add("no-height.jpg", jpeg_sized(&jpeg, 60, 0), Fate::Rejected(&["empty", "corrupt", "unsupported"]));
    add("larger-than-its-data.jpg", jpeg_sized(&jpeg, 600, 400), Fate::Either);
    add("16383-by-16383.webp", webp_sized(&webp, 16_383, 16_383), too_large);
    add(
        "a-canvas-of-16777216.webp",
        webp_canvas(0xff_ffff, 0xff_ffff),
        Fate::Rejected(&["side_too_long", "too_many_pixels", "corrupt", "truncated"]),
    );

    let bomb = compressed_zeros();
    add("icc-bomb.png", with_chunk(&png, b"iCCP", &[&b"icc\0\0"[..], &bomb].concat()), Fate::Either);
    add("text-bomb.png", with_chunk(&png, b"zTXt", &[&b"comment\0\0"[..], &bomb].concat()), Fate::Either);
    add(
        "international-text-bomb.png",
        with_chunk(&png, b"iTXt", &[&b"c\0\x01\0\0\0"[..], &bomb].concat()),
        Fate::Either,
    );
    add("pixels-bomb.png", png_of(10, 10, 8, 2, &bomb), Fate::Either);
    add(
        "many-text-bombs.png",
        (0..20).fold(png.clone(), |png, _| with_chunk(&png, b"zTXt", &[&b"c\0\0"[..], &bomb].concat())),
        Fate::Either,
    );
    add("huge-exif.png", with_chunk(&png, b"eXIf", &vec![0; 20 << 20]), Fate::Either);
    add("unknown-chunk.png", with_chunk(&png, b"ruSt", &vec![1; 20 << 20]), Fate::Either);
    add("huge-exif.jpg", with_segments(&jpeg, 0xe1, b"Exif\0\0", 300), Fate::Read);
    add("huge-icc.jpg", with_segments(&jpeg, 0xe2, b"ICC_PROFILE\0\x01\x01", 300), Fate::Either);
    add("comments.jpg", with_segments(&jpeg, 0xfe, b"", 300), Fate::Read);
    add("many-scans.jpg", many_scans(), Fate::Either);
    add("a-chunk-of-2-gigabytes.png", with_length(&png, 0x7fff_ffff), BROKEN);
    add("wrong-checksum.png", flipped(&png, 30), BROKEN);
    add("81-million-pixels-a.png", flat(9_000, 9_000, 1), Fate::Read);
    add("81-million-pixels-b.png", flat(9_000, 9_000, 2), Fate::Read);
    add("81-million-pixels-c.png", flat(9_000, 9_000, 3), Fate::Read);

    add("1-by-1.png", self::png(1, 1), Fate::Read);
    add("1-by-1.jpg", self::jpeg(1, 1), Fate::Read);
    add("1-by-1.webp", self::webp(1, 1), Fate::Read);
    add("1-by-20000.png", self::png(1, 20_000), Fate::Read);
    add("20000-by-1.png", self::png(20_000, 1), Fate::Read);
    add("1-by-20001.png", self::png(1, 20_001), Fate::Rejected(&["side_too_long"]));
    for kind in [
        "kind_cmyk.jpg",
        "kind_ycck.jpg",
        "kind_animated.webp",
        "kind_animated.png",
        "kind_rgb16.png",
        "kind_rgba16.png",
        "kind_palette_2bit.png",
        "kind_interlaced.png",
    ] {
        add(kind, std::fs::read(golden(kind)).unwrap(), Fate::Read);
    }
    add(&format!("{}.png", "long-name-".repeat(24)), self::png(20, 21), Fate::Read);
    add("a name\nwith 'quotes', \"more\" and ünïcode 花.png", self::png(20, 22), Fate::Read);
    all
}

fn golden(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/preprocess").join(name)
}

fn picture(width: u32, height: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| Rgb([(x * 7 + y) as u8, (y * 5) as u8, (x ^ y) as u8]))
}

pub fn png(width: u32, height: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    let encoder = PngEncoder::new(&mut bytes);
    encoder.write_image(&picture(width, height), width, height, ExtendedColorType::Rgb8).unwrap();
    bytes
}

fn jpeg(width: u32, height: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    JpegEncoder::new(&mut bytes).write_image(&picture(width, height), width, height, ExtendedColorType::Rgb8).unwrap();
    bytes
}

fn webp(width: u32, height: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    let encoder = WebPEncoder::new_lossless(Cursor::new(&mut bytes));
    encoder.write_image(&picture(width, height), width, height, ExtendedColorType::Rgb8).unwrap();
    bytes
}

/// Grey all over: small as a file, large as a picture.
fn flat(width: u32, height: u32, tone: u8) -> Vec<u8> {
    let mut bytes = Vec::new();
    let pixels = vec![tone; (width * height) as usize];
    PngEncoder::new(&mut bytes).write_image(&pixels, width, height, ExtendedColorType::L8).unwrap();
    bytes
}

/// Two frames; the first has one pixel, however large it claims to be.
fn gif(width: u16, height: u16) -> Vec<u8> {
    let sides = [width.to_le_bytes(), height.to_le_bytes()].concat();
    let frame = [&b"\x21\xf9\x04\0\x0a\0\0\0\x2c\0\0\0\0"[..], &sides, b"\0\x02\x02\x44\x01\0"].concat();
    [&b"GIF89a"[..], &sides, b"\x80\0\0\0\0\0\xff\xff\xff", &frame, &frame, b"\x3b"].concat()
}

fn bmp(width: i32, height: i32, bits: u16, pixels: &[u8]) -> Vec<u8> {
    let header =
        [&b"BM\0\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0"[..], &width.to_le_bytes(), &height.to_le_bytes(), b"\x01\0"];
    [&header.concat()[..], &bits.to_le_bytes(), &[0; 24], pixels].concat()
}

/// Run lengths that only skip: each takes four bytes and is worth 255 rows.
fn run_lengths(width: i32, height: i32) -> Vec<u8> {
    let mut bytes = bmp(width, height, 8, &[0; 1024]);
    bytes[10..14].copy_from_slice(&1078u32.to_le_bytes());
    bytes[30] = 1;
    bytes.extend(b"\0\x02\xff\xff".repeat(20));
    bytes
}

// TIFF: a header, the strips, and a directory of tags.

/// A directory of longs, and the next one's offset.
fn directory(tags: &[(u16, u32)], next: u32) -> Vec<u8> {
    let entry =
        |&(tag, value): &(u16, u32)| [&tag.to_le_bytes()[..], &[4, 0, 1, 0, 0, 0], &value.to_le_bytes()].concat();
    let entries: Vec<u8> = tags.iter().flat_map(entry).collect();
    [&(tags.len() as u16).to_le_bytes()[..], &entries, &next.to_le_bytes()].concat()
}

/// One strip of RGB. Three sizes of samples do not fit into an entry, so that one stands for all.
fn tiff(width: u32, height: u32, compression: u32, strip: &[u8], next: u32) -> Vec<u8> {
    let tags = [
        (256, width),
        (257, height),
        (258, 8),
        (259, compression),
        (262, 2),
        (273, 8),
        (277, 3),
        (278, height),
        (279, strip.len() as u32),
    ];
    [&b"II*\0"[..], &(8 + strip.len() as u32).to_le_bytes(), strip, &directory(&tags, next)].concat()
}

/// As many strips of a row each, which all have the same bytes.
fn strips_of_one(strip: &[u8], rows: u32) -> Vec<u8> {
    let (offsets, lengths) = (8u32.to_le_bytes().repeat(rows as usize), (strip.len() as u32).to_le_bytes());
    let at = 8 + strip.len() as u32;
    let lists = [offsets, lengths.repeat(rows as usize)].concat();
    let tags = [(256, 8), (257, rows), (258, 8), (259, 32_773), (262, 1), (273, at), (278, 1), (279, at + 4 * rows)];
    let mut directory = directory(&tags, 0);
    for entry in [5, 7] {
        directory[2 + 12 * entry + 4..][..4].copy_from_slice(&rows.to_le_bytes());
    }
    [&b"II*\0"[..], &(at + lists.len() as u32).to_le_bytes(), strip, &lists, &directory].concat()
}

fn tiled(width: u32, height: u32) -> Vec<u8> {
    tiled_as(1, width, height)
}

fn tiled_as(compression: u32, width: u32, height: u32) -> Vec<u8> {
    let sides = [(322, width), (323, height)];
    let tags =
        [&[(256, 60), (257, 40), (258, 8), (259, compression), (262, 1)][..], &sides, &[(324, 8), (325, 1 << 30)]];
    [&b"II*\0\x08\0\0\0"[..], &directory(&tags.concat(), 0)].concat()
}

/// A JPEG as a strip, whose tables are a comment of this length: they are read for each strip.
fn jpeg_tables(length: u16) -> Vec<u8> {
    let comment = [&(length + 2).to_be_bytes()[..], &vec![b' '; usize::from(length)]].concat();
    let tables = [&b"\xff\xd8\xff\xfe"[..], &comment, b"\xff\xd9"].concat();
    let strip = jpeg(60, 40);
    let at = [8, 8 + tables.len(), 8 + tables.len() + strip.len()].map(|at| at as u32);
    let tags = [
        (256, 60),
        (257, 40),
        (258, 8),
        (259, 7),
        (262, 6),
        (273, at[1]),
        (277, 3),
        (278, 40),
        (279, strip.len() as u32),
        (347, at[0]),
    ];
    let mut directory = directory(&tags, 0);
    let entry = &mut directory[2 + 12 * 9..];
    // Bytes, as many as the tables have.
    entry[2..4].copy_from_slice(&[7, 0]);
    entry[4..8].copy_from_slice(&(tables.len() as u32).to_le_bytes());
    [&b"II*\0"[..], &at[2].to_le_bytes(), &tables, &strip, &directory].concat()
}

// PNG: a signature, then chunks of a length, a type, data and a checksum.

fn checksum(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 })
    })
}

fn chunk(kind: &[u8; 4], data: &[u8]) -> Vec<u8> {
    let body = [&kind[..], data].concat();
    [&(data.len() as u32).to_be_bytes()[..], &body, &checksum(&body).to_be_bytes()].concat()
}

fn png_of(width: u32, height: u32, depth: u8, colour: u8, pixels: &[u8]) -> Vec<u8> {
    let header = [&width.to_be_bytes()[..], &height.to_be_bytes(), &[depth, colour, 0, 0, 0]].concat();
    [&b"\x89PNG\r\n\x1a\n"[..], &chunk(b"IHDR", &header), &chunk(b"IDAT", pixels), &chunk(b"IEND", b"")].concat()
}

fn png_header(width: u32, height: u32, depth: u8, colour: u8) -> Vec<u8> {
    png_of(width, height, depth, colour, &[0x78, 0x9c, 3, 0, 0, 0, 0, 1])
}

/// Where the first chunk ends.
const AFTER_HEADER: usize = 33;

fn with_chunk(png: &[u8], kind: &[u8; 4], data: &[u8]) -> Vec<u8> {
    [&png[..AFTER_HEADER], &chunk(kind, data), &png[AFTER_HEADER..]].concat()
}

/// The length of the second chunk changed.
fn with_length(png: &[u8], length: u32) -> Vec<u8> {
    [&png[..AFTER_HEADER], &length.to_be_bytes(), &png[AFTER_HEADER + 4..]].concat()
}

fn flipped(bytes: &[u8], at: usize) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[at] ^= 0x10;
    bytes
}

/// 200 MB of zeros in some 200 kB, as an encoder compresses them for a colour profile.
fn compressed_zeros() -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = PngEncoder::new(&mut bytes);
    encoder.set_icc_profile(vec![0; 200_000_000]).unwrap();
    encoder.write_image(&picture(1, 1), 1, 1, ExtendedColorType::Rgb8).unwrap();
    let at = bytes.windows(4).position(|kind| kind == b"iCCP").unwrap();
    let length = u32::from_be_bytes(bytes[at - 4..at].try_into().unwrap()) as usize;
    let data = &bytes[at + 4..at + 4 + length];
    let name = data.iter().position(|byte| *byte == 0).unwrap();
    data[name + 2..].to_vec()
}

// JPEG: segments of a marker, a length and data.

fn with_segments(jpeg: &[u8], marker: u8, start: &[u8], count: usize) -> Vec<u8> {
    let data = [start, &vec![0x20; 65_000]].concat();
    let length = (data.len() as u16 + 2).to_be_bytes();
    let segment = [&[0xff, marker][..], &length, &data].concat();
    [&jpeg[..2], &segment.repeat(count), &jpeg[2..]].concat()
}

fn jpeg_sized(jpeg: &[u8], width: u16, height: u16) -> Vec<u8> {
    let mut bytes = jpeg.to_vec();
    let frame = bytes.windows(2).position(|marker| marker == [0xff, 0xc0]).unwrap();
    bytes[frame + 5..frame + 7].copy_from_slice(&height.to_be_bytes());
    bytes[frame + 7..frame + 9].copy_from_slice(&width.to_be_bytes());
    bytes
}

/// A phone's picture of this size, 4:2:0, grey all over: a code of six bits a block.
pub fn photograph(width: u16, height: u16) -> Vec<u8> {
    let blocks = usize::from(width).div_ceil(16) * usize::from(height).div_ceil(16) * 6;
    let table = |class: u8, lengths: &[u8], symbols: &[u8]| {
        let mut counts = [0; 16];
        counts[..lengths.len()].copy_from_slice(lengths);
        let length = (19 + symbols.len() as u16).to_be_bytes();
        [&[0xff, 0xc4][..], &length, &[class], &counts, symbols].concat()
    };
    let frame = [&[0xff, 0xc0, 0, 17, 8][..], &height.to_be_bytes(), &width.to_be_bytes()].concat();
    [
        &[0xff, 0xd8, 0xff, 0xdb, 0, 67, 0][..],
        &[1; 64],
        &frame,
        &[3, 1, 0x22, 0, 2, 0x11, 0, 3, 0x11, 0],
        // No difference is 00, the end of a block is 1010.
        &table(0, &[0, 1], &[0]),
        &table(0x10, &[0, 0, 0, 11], &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 0]),
        &[0xff, 0xda, 0, 12, 3, 1, 0, 2, 0, 3, 0, 0, 63, 0],
        &[0x28, 0xa2, 0x8a].repeat(blocks.div_ceil(4)),
        &[0xff, 0xd9],
    ]
    .concat()
}

/// A progressive picture whose last scan is there 20,000 times.
fn many_scans() -> Vec<u8> {
    let bytes = std::fs::read(golden("progressive_640x480.jpg")).unwrap();
    let scan = bytes.windows(2).rposition(|marker| marker == [0xff, 0xda]).unwrap();
    let end = bytes.len() - 2;
    // Of the scan's data only some: it is decoded as if the rest were zeros.
    let short = &bytes[scan..(scan + 40).min(end)];
    [&bytes[..end], &short.repeat(20_000), &bytes[end..]].concat()
}

// WebP: a RIFF file; its lossless stream begins with 0x2f and 14 bits each for width and height
// less one.

fn webp_sized(webp: &[u8], width: u32, height: u32) -> Vec<u8> {
    let mut bytes = webp.to_vec();
    let at = bytes.windows(4).position(|kind| kind == b"VP8L").unwrap() + 9;
    let bits = (width - 1) | (height - 1) << 14;
    let rest = u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) & 0xf000_0000;
    bytes[at..at + 4].copy_from_slice(&(bits | rest).to_le_bytes());
    bytes
}

fn webp_canvas(width: u32, height: u32) -> Vec<u8> {
    let canvas = [&[0x10, 0, 0, 0][..], &width.to_le_bytes()[..3], &height.to_le_bytes()[..3]].concat();
    let body = [&b"WEBPVP8X\x0a\0\0\0"[..], &canvas, b"VP8L\x05\0\0\0\x2f\0\0\0\0\0"].concat();
    [&b"RIFF"[..], &(body.len() as u32).to_le_bytes(), &body].concat()
}
