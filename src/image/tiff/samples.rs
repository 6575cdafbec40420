//! What the samples of a TIFF's pixel are, and how Pillow makes RGB of them. What Pillow does not
//! take, or takes in a way of its own that is not followed here, is refused by name.

use super::directory::{Directory, Order, corrupt, unsupported};
use crate::image::cmyk;
use crate::image::rejection::Rejection;

/// What the first samples of a pixel are (`PhotometricInterpretation`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Colour {
    /// Grey, with zero as white.
    Inverted,
    /// Grey, with zero as black.
    Grey,
    Rgb,
    Palette,
    Cmyk,
    /// Only as JPEG, whose decoder makes RGB of it.
    YCbCr,
}

impl Colour {
    /// Reads what the first samples are.
    fn of(directory: &Directory, jpeg: bool) -> Result<Self, Rejection> {
        // Pillow's default where this tag is missing.
        Ok(match directory.number(262)?.unwrap_or(0) {
            0 => Colour::Inverted,
            1 => Colour::Grey,
            2 => Colour::Rgb,
            3 => Colour::Palette,
            4 => return Err(unsupported("of a transparency mask")),
            5 => Colour::Cmyk,
            6 if jpeg => Colour::YCbCr,
            6 => return Err(unsupported("of YCbCr samples without JPEG compression")),
            8..=10 => return Err(unsupported("of CIELab colours")),
            32_803 | 34_892 => return Err(unsupported("of a camera's raw values")),
            32_844 | 32_845 => return Err(unsupported("of LogLuv colours")),
            other => return Err(unsupported(format!("of photometric interpretation {other}"))),
        })
    }

    /// Returns how many samples a colour has.
    fn samples(self) -> u64 {
        match self {
            Colour::Inverted | Colour::Grey | Colour::Palette => 1,
            Colour::Rgb | Colour::YCbCr => 3,
            Colour::Cmyk => 4,
        }
    }
}

/// The samples of a pixel.
pub(super) struct Samples {
    pub(super) colour: Colour,
    /// Bits of each sample: 1, 2, 4, 8 or 16.
    pub(super) bits: usize,
    /// Samples of a pixel, those that are dropped included.
    pub(super) count: usize,
    /// Whether the sample behind the colours is alpha that they were multiplied by.
    multiplied: bool,
    /// The colours of a palette, 256 at most.
    palette: Vec<[u8; 3]>,
    order: Order,
}

impl Samples {
    /// Reads what the samples are.
    pub(super) fn new(directory: &Directory, jpeg: bool) -> Result<Self, Rejection> {
        if directory.number(266)?.is_some_and(|order| order != 1) {
            return Err(unsupported("whose bits are in reversed order (FillOrder)"));
        }
        let colour = Colour::of(directory, jpeg)?;
        let colours = colour.samples();
        let count = directory.number(277)?.unwrap_or(if jpeg && colours == 3 { 3 } else { 1 });
        let extra = directory.find(338)?;
        let (extras, first_extra) = match extra {
            Some(values) => (values.len() as u64, values.get(0).unwrap_or(0)),
            // A fourth sample that nothing is said of is alpha.
            None if colour == Colour::Rgb && count == 4 => (1, 2),
            None => (0, 0),
        };
        if count != colours + extras {
            return Err(unsupported(format!("of {count} samples a pixel, {colours} of them colours, {extras} more")));
        }
        let bits = bits(directory, count)?;
        check_type(directory, colour, bits, extras)?;
        check_sizes(colour, bits, extras)?;
        let packed = directory.number(259)?.unwrap_or(1) != 1;
        if directory.number(284)? == Some(2) && ((bits == 16 && !packed) || (extras > 0 && extra.is_none())) {
            // Pillow takes the one for 8 bits, and the fourth sample of the other for black ink.
            return Err(unsupported(format!("of {count} planes of {bits} bits that Pillow takes for others")));
        }
        if colour == Colour::Cmyk && first_extra != 0 {
            return Err(unsupported("of CMYK samples with alpha"));
        }
        let multiplied = first_extra == 1;
        if multiplied && colour != Colour::Rgb {
            return Err(unsupported("of samples multiplied by alpha that are not RGB"));
        }
        let palette = if colour == Colour::Palette { palette(directory, bits as u32)? } else { Vec::new() };
        Ok(Samples { colour, bits: bits as usize, count: count as usize, multiplied, palette, order: directory.order })
    }

    /// Writes the RGB of a row of pixels, each of all its samples; `row` may go on behind the last.
    pub(super) fn rgb(&self, row: &[u8], pixels: &mut [[u8; 3]]) {
        match (self.colour, self.bits) {
            (Colour::Grey | Colour::Inverted | Colour::Palette, 1 | 2 | 4) => {
                let (bits, most) = (self.bits, (1u8 << self.bits) - 1);
                for (x, pixel) in pixels.iter_mut().enumerate() {
                    let at = x * bits;
                    let value = row[at / 8] >> (8 - bits - at % 8) & most;
                    *pixel = match self.colour {
                        Colour::Palette => self.colour_of(value),
                        Colour::Inverted => [(most - value) * (255 / most); 3],
                        _ => [value * (255 / most); 3],
                    };
                }
            }
            // Pillow clips these at 255 instead of scaling them, so that nearly all turns white.
            (Colour::Grey, 16) => {
                let values = row.as_chunks::<2>().0;
                for (pixel, value) in pixels.iter_mut().zip(values) {
                    *pixel = [self.order.u16(*value).min(255) as u8; 3];
                }
            }
            (_, bits) => {
                let (size, high) = (bits / 8, if bits == 16 && self.order == Order::Little { 1 } else { 0 });
                for (pixel, samples) in pixels.iter_mut().zip(row.chunks_exact(self.count * size)) {
                    let sample = |number: usize| samples[number * size + high];
                    *pixel = match self.colour {
                        Colour::Grey => [sample(0); 3],
                        Colour::Inverted => [255 - sample(0); 3],
                        Colour::Palette => self.colour_of(sample(0)),
                        Colour::Cmyk => cmyk::to_rgb([0, 1, 2, 3].map(sample)),
                        Colour::Rgb | Colour::YCbCr if self.multiplied => divided([0, 1, 2].map(sample), sample(3)),
                        Colour::Rgb | Colour::YCbCr => [0, 1, 2].map(sample),
                    };
                }
            }
        }
    }

    fn colour_of(&self, number: u8) -> [u8; 3] {
        self.palette.get(usize::from(number)).copied().unwrap_or([number; 3])
    }
}

/// Reads the bits of each sample, which must be the same in all `count`.
fn bits(directory: &Directory, count: u64) -> Result<u64, Rejection> {
    Ok(match directory.find(258)? {
        None => 1,
        Some(values) => {
            let first = values.get(0).ok_or_else(|| corrupt("its samples have no size"))?;
            if values.iter().take(count as usize).any(|bits| bits != first) {
                return Err(unsupported("whose samples have different sizes"));
            }
            first
        }
    })
}

/// Refuses numbers that are no plain ones (`SampleFormat`).
fn check_type(directory: &Directory, colour: Colour, bits: u64, extras: u64) -> Result<(), Rejection> {
    if let Some(formats) = directory.find(339)? {
        let grey = matches!(colour, Colour::Inverted | Colour::Grey);
        match (formats.get(0).unwrap_or(1), bits) {
            _ if formats.iter().any(|format| Some(format) != formats.get(0)) => {
                return Err(unsupported("whose samples have different types"));
            }
            // Pillow takes signed bytes for unsigned ones.
            (1, _) => {}
            (2, 8) if grey && colour == Colour::Grey && extras == 0 => {}
            (2, _) => return Err(unsupported(format!("of signed samples of {bits} bits"))),
            (3, _) => return Err(unsupported(format!("of floating-point samples of {bits} bits"))),
            _ => return Err(unsupported("of samples of an unknown type")),
        }
    }
    Ok(())
}

/// Refuses sizes of samples, and numbers of further ones, that Pillow does not take.
fn check_sizes(colour: Colour, bits: u64, extras: u64) -> Result<(), Rejection> {
    let known = match colour {
        Colour::Inverted => extras == 0 && matches!(bits, 1 | 2 | 4 | 8),
        Colour::Grey => matches!((bits, extras), (1 | 2 | 4 | 8 | 16, 0) | (8, 1)),
        Colour::Palette => matches!((bits, extras), (1 | 2 | 4 | 8, 0) | (8, 1)),
        Colour::Rgb => matches!((bits, extras), (8, 0..=3) | (16, 0..=1)),
        Colour::Cmyk => matches!((bits, extras), (8, 0..=2) | (16, 0)),
        Colour::YCbCr => matches!((bits, extras), (8, 0)),
    };
    if !known {
        let name = match colour {
            Colour::Inverted => "inverted grey",
            Colour::Grey => "grey",
            Colour::Palette => "palette",
            Colour::Rgb => "RGB",
            Colour::Cmyk => "CMYK",
            Colour::YCbCr => "YCbCr",
        };
        let more = if extras == 0 { String::new() } else { format!(" and {extras} further samples a pixel") };
        return Err(unsupported(format!("of {name} samples of {bits} bits{more}")));
    }
    Ok(())
}

/// Reads the palette, which has all reds first; of each 16 bits the higher eight count.
fn palette(directory: &Directory, bits: u32) -> Result<Vec<[u8; 3]>, Rejection> {
    let values = directory.find(320)?.ok_or_else(|| corrupt("its palette is missing"))?;
    let count = values.len() / 3;
    if values.len() != 3 << bits {
        return Err(unsupported(format!("of {bits} bits with a palette of {count} colours")));
    }
    let channel = |channel: usize| values.iter().skip(channel * count).map(|value| (value >> 8) as u8);
    Ok(channel(0).zip(channel(1)).zip(channel(2)).take(count).map(|((r, g), b)| [r, g, b]).collect())
}

/// Undoes the multiplication by alpha as Pillow does (`unpackRGBa`).
fn divided(colour: [u8; 3], alpha: u8) -> [u8; 3] {
    match u32::from(alpha) {
        0 => [0; 3],
        alpha => colour.map(|value| (u32::from(value) * 255 / alpha).min(255) as u8),
    }
}
