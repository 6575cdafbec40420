//! TIFF, the first page. The container is read here and only its codes are left to crates (`weezl`,
//! `flate2`, and the decoders of JPEG): the `tiff` crate, at 0.11, refuses palettes, unpacks a
//! strip beyond its end, takes reversed bits for others, and undoes the prediction of samples
//! wrongly where it drops some of them.

mod chunk;
mod directory;
mod samples;

use ::image::metadata::Orientation;

use super::foreign::DEVELOP;
use super::jpeg::{self, Space};
use super::rejection::{Reason, Rejection};
use chunk::{Packing, Unpacker};
use directory::{Directory, Order, Values, corrupt, unsupported};
use samples::{Colour, Samples};

/// Sides of tiles; the standard asks for multiples of 16. Smaller ones only cost time.
const SMALLEST_TILE: u64 = 8;

/// Pixels that tiles may reach beyond the picture in any case: a few tiles of a usual size.
const SPARE: u64 = 1 << 22;

/// Bytes of the tables that JPEGs may have in common: four of each kind take 3 kB.
const TABLES: usize = 8 << 10;

/// Reads the width, the height and the orientation.
pub(super) fn header(bytes: &[u8]) -> Result<(u32, u32, Option<Orientation>), Rejection> {
    let directory = Directory::new(bytes)?;
    camera_raw(bytes, &directory)?;
    let (width, height) = size(&directory)?;
    Ok((width, height, turned(&directory)))
}

/// Returns the orientation that a directory asks for; EXIF data is one.
pub(super) fn orientation(bytes: &[u8]) -> Option<Orientation> {
    turned(&Directory::new(bytes).ok()?)
}

fn turned(directory: &Directory) -> Option<Orientation> {
    let number = directory.number(274).unwrap_or_default().and_then(|number| u8::try_from(number).ok());
    number.and_then(Orientation::from_exif)
}

fn size(directory: &Directory) -> Result<(u32, u32), Rejection> {
    let side = |tag: u16| {
        let number = directory.number(tag)?.ok_or_else(|| corrupt(format!("tag {tag}, a side, is missing")))?;
        u32::try_from(number).map_err(|_| corrupt(format!("a side of {number} pixels")))
    };
    Ok((side(256)?, side(257)?))
}

/// Refuses what cameras write in the container of TIFF: the first page is a small preview.
fn camera_raw(bytes: &[u8], directory: &Directory) -> Result<(), Rejection> {
    let name = if directory.find(50_706)?.is_some() {
        "DNG"
    } else if bytes.get(8..10) == Some(b"CR") {
        "CR2"
    } else if directory.number(254)?.is_some_and(|kind| kind & 1 == 1) && directory.find(330)?.is_some() {
        "of the kind of NEF and ARW"
    } else {
        return Ok(());
    };
    let detail = format!("a camera's raw file ({name}), of which only a preview could be read: {DEVELOP}");
    Err(Rejection::new(Reason::Unsupported, detail))
}

/// How the pixels lie in strips or tiles.
struct Grid<'a> {
    /// Width and height of a strip or tile.
    cell: (usize, usize),
    /// Strips or tiles across and down.
    count: (usize, usize),
    offsets: Values<'a>,
    /// Without them a plain strip has as many bytes as its rows need.
    lengths: Option<Values<'a>>,
}

impl<'a> Grid<'a> {
    fn new(
        directory: &Directory<'a>,
        (width, height): (u32, u32),
        planes: usize,
        packing: Packing,
    ) -> Result<Self, Rejection> {
        let (cell, tags) = match (directory.number(322)?, directory.find(273)?) {
            (Some(_), Some(_)) => return Err(corrupt("it has both strips and tiles")),
            (Some(across), None) => {
                let down = directory.number(323)?.ok_or_else(|| corrupt("the height of its tiles is missing"))?;
                if across.min(down) < SMALLEST_TILE || across.max(down) > u64::from(u32::MAX) {
                    return Err(unsupported(format!("of tiles of {across} x {down} pixels")));
                }
                let reach = |side: u32, tile: u64| u128::from(u64::from(side).next_multiple_of(tile));
                let (wide, high) = (reach(width, across), reach(height, down));
                let whole = u64::from(width) * u64::from(height);
                // A JPEG is decoded whole, beside the picture; of other tiles a row is enough.
                let beside =
                    packing == Packing::Jpeg && u128::from(across) * u128::from(down) > u128::from(whole + SPARE);
                if beside || wide * high > u128::from(4 * whole + SPARE) {
                    let detail = format!("a picture of {width} x {height} in tiles of {across} x {down} pixels");
                    return Err(unsupported(detail));
                }
                ((across as usize, down as usize), (324, 325))
            }
            (None, _) => {
                let rows = directory.number(278)?.unwrap_or(u64::MAX).min(u64::from(height));
                if rows == 0 {
                    return Err(corrupt("a strip of no rows"));
                }
                ((width as usize, rows as usize), (273, 279))
            }
        };
        let offsets = directory.find(tags.0)?.ok_or_else(|| corrupt("its strips are missing"))?;
        let lengths = directory.find(tags.1)?;
        let count = ((width as usize).div_ceil(cell.0), (height as usize).div_ceil(cell.1));
        let cells = count.0 * count.1 * planes;
        let known = lengths.map_or(usize::MAX, |lengths| lengths.len()).min(offsets.len());
        if known < cells || (cells == 1 && known > 1) {
            return Err(corrupt(format!("{known} strips or tiles, not {cells}")));
        }
        if lengths.is_none() && packing != Packing::Plain {
            return Err(corrupt("the lengths of its strips are missing"));
        }
        Ok(Grid { cell, count, offsets, lengths })
    }

    /// Returns the bytes of a strip or tile.
    fn bytes(&self, file: &'a [u8], index: usize) -> Result<&'a [u8], Rejection> {
        let cut = || Rejection::new(Reason::Truncated, "TIFF: a strip or tile lies beyond the end of the file");
        let number = |value: Option<u64>| value.and_then(|value| usize::try_from(value).ok()).ok_or_else(cut);
        let ahead = file.get(number(self.offsets.get(index))?..).ok_or_else(cut)?;
        match self.lengths {
            Some(lengths) => ahead.get(..number(lengths.get(index))?).ok_or_else(cut),
            None => Ok(ahead),
        }
    }

    /// Refuses a file whose strips share bytes many times over, since each is unpacked anew.
    fn check_lengths(&self, file: &[u8]) -> Result<(), Rejection> {
        let sum = self.lengths.map_or(0, |lengths| lengths.iter().fold(0u64, u64::saturating_add));
        if sum > 8 * file.len() as u64 {
            return Err(corrupt(format!("strips of {sum} bytes in a file of {}", file.len())));
        }
        Ok(())
    }
}

/// Decodes the first page to RGB.
pub(super) fn rgb(bytes: &[u8]) -> Result<Vec<u8>, Rejection> {
    let directory = Directory::new(bytes)?;
    let (width, height) = size(&directory)?;
    let packing = Packing::new(&directory)?;
    let samples = Samples::new(&directory, packing == Packing::Jpeg)?;
    let planes = match directory.number(284)?.unwrap_or(1) {
        1 => 1,
        2 => samples.count,
        other => return Err(corrupt(format!("planar configuration {other}"))),
    };
    let predicted = match (directory.number(317)?.unwrap_or(1), packing) {
        // Only these codes know of it.
        (2, Packing::Lzw | Packing::Deflate) if samples.bits >= 8 => true,
        (2, Packing::Lzw | Packing::Deflate) => {
            return Err(unsupported(format!("of predicted samples of {} bits", samples.bits)));
        }
        (1, _) | (2, _) => false,
        (_, Packing::Lzw | Packing::Deflate) => return Err(unsupported("of a predictor for floating-point samples")),
        _ => false,
    };
    let grid = Grid::new(&directory, (width, height), planes, packing)?;
    grid.check_lengths(bytes)?;
    let (width, height) = (width as usize, height as usize);
    let mut pixels = vec![0; width * height * 3];
    let out = pixels.as_chunks_mut::<3>().0;
    if packing == Packing::Jpeg {
        jpegs(bytes, &directory, &grid, &samples, planes, out, width)?;
        return Ok(pixels);
    }

    let in_plane = samples.count / planes;
    let row_bytes = (grid.cell.0 * in_plane * samples.bits).div_ceil(8);
    let mut rows = vec![vec![0; row_bytes]; planes];
    let mut joined = vec![0; if planes > 1 { grid.cell.0 * samples.count * samples.bits / 8 } else { 0 }];
    if planes > 1 && samples.bits < 8 {
        return Err(unsupported(format!("of planes of {} bits", samples.bits)));
    }
    let mut unpackers: Vec<Unpacker> = (0..planes).map(|_| Unpacker::new(packing)).collect();
    for cell in 0..grid.count.0 * grid.count.1 {
        let (left, top) = (cell % grid.count.0 * grid.cell.0, cell / grid.count.0 * grid.cell.1);
        let wide = grid.cell.0.min(width - left);
        let mut chunks = Vec::with_capacity(planes);
        for (plane, unpacker) in unpackers.iter_mut().enumerate() {
            chunks.push(unpacker.begin(grid.bytes(bytes, plane * grid.count.0 * grid.count.1 + cell)?)?);
        }
        for y in top..(top + grid.cell.1).min(height) {
            for (chunk, row) in chunks.iter_mut().zip(&mut rows) {
                chunk.read(row)?;
                if predicted {
                    undo_prediction(row, in_plane, samples.bits, directory.order);
                }
            }
            let row = if planes > 1 {
                interleave(&rows, samples.bits / 8, &mut joined);
                &joined
            } else {
                &rows[0]
            };
            samples.rgb(row, &mut out[y * width + left..][..wide]);
        }
    }
    Ok(pixels)
}

/// Decodes strips or tiles that are JPEGs, which may have their tables in common.
fn jpegs(
    bytes: &[u8],
    directory: &Directory,
    grid: &Grid,
    samples: &Samples,
    planes: usize,
    out: &mut [[u8; 3]],
    width: usize,
) -> Result<(), Rejection> {
    if samples.bits != 8 || planes > 1 {
        return Err(unsupported("of JPEGs for planes, or of other than 8 bits"));
    }
    let space = match (samples.colour, samples.count) {
        (Colour::Grey | Colour::Inverted, 1) => Space::Grey,
        (Colour::YCbCr, 3) => Space::YCbCr,
        (Colour::Rgb, 3) => Space::Rgb,
        (Colour::Cmyk, 4) => Space::Cmyk,
        _ => return Err(unsupported(format!("of JPEGs of {} samples a pixel", samples.count))),
    };
    let tables = directory.data(347)?.unwrap_or_default();
    // They are read anew for each strip or tile.
    if tables.len() > TABLES {
        return Err(corrupt(format!("tables of {} bytes for its JPEGs", tables.len())));
    }
    let tables = tables.strip_suffix(&[0xff, 0xd9]).unwrap_or(tables);
    let height = out.len() / width;
    for cell in 0..grid.count.0 * grid.count.1 {
        let (left, top) = (cell % grid.count.0 * grid.cell.0, cell / grid.count.0 * grid.cell.1);
        let wide = grid.cell.0.min(width - left);
        let packed = grid.bytes(bytes, cell)?;
        // The strip's own start of image would be a second one.
        let whole = match packed.strip_prefix(&[0xff, 0xd8]) {
            Some(rest) if !tables.is_empty() => [tables, rest].concat(),
            _ => packed.to_vec(),
        };
        let stored =
            jpeg::strip(&whole, space, grid.cell.0, grid.cell.1).map_err(
                |Rejection { reason, detail }| match reason {
                    Reason::Unsupported => unsupported(format!("with a {detail}")),
                    _ => Rejection { reason, detail: format!("TIFF: {detail}") },
                },
            )?;
        let mut rows = stored.chunks_exact(grid.cell.0 * samples.count);
        for y in top..(top + grid.cell.1).min(height) {
            let row = rows.next().ok_or_else(|| corrupt("a JPEG has too few rows"))?;
            samples.rgb(row, &mut out[y * width + left..][..wide]);
        }
    }
    Ok(())
}

/// Puts the samples of all planes side by side; each has `size` bytes.
fn interleave(planes: &[Vec<u8>], size: usize, joined: &mut [u8]) {
    let pixel = planes.len() * size;
    for (number, plane) in planes.iter().enumerate() {
        for (to, from) in joined.chunks_exact_mut(pixel).zip(plane.chunks_exact(size)) {
            to[number * size..][..size].copy_from_slice(from);
        }
    }
}

/// Adds to each sample the one of the pixel before (`Predictor` 2).
fn undo_prediction(row: &mut [u8], samples: usize, bits: usize, order: Order) {
    if bits == 8 {
        for at in samples..row.len() {
            row[at] = row[at].wrapping_add(row[at - samples]);
        }
        return;
    }
    let values = row.as_chunks_mut::<2>().0;
    for at in samples..values.len() {
        let sum = order.u16(values[at]).wrapping_add(order.u16(values[at - samples]));
        values[at] = match order {
            Order::Little => sum.to_le_bytes(),
            Order::Big => sum.to_be_bytes(),
        };
    }
}
