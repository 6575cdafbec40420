//! Resizing with antialiasing as in Pillow: separable convolution on 8-bit values, with the kernel
//! widened by the scale when the picture shrinks.

use fast_image_resize::images::{TypedCroppedImage, TypedImage, TypedImageRef};
use fast_image_resize::pixels::{U8x3, U16x3};
use fast_image_resize::{FilterType, ImageView, PixelTrait, ResizeAlg, ResizeOptions, Resizer};

use super::rgb::Rgb;
use crate::error::{Context, Kind, Result};

/// The resizing kernel. `resample` in `preprocessor_config.json` is Pillow's number for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Filter {
    /// 0: the pixel under the centre.
    Nearest,
    /// 1: Lanczos with three lobes.
    Lanczos,
    /// 2: a triangle.
    Bilinear,
    /// 3: cubic with a = -0.5, the one CLIP was trained with.
    Bicubic,
    /// 4: the mean of the area.
    Box,
    /// 5: Hamming-windowed sinc with one lobe.
    Hamming,
}

impl Filter {
    /// The filters, in the order of Pillow's numbers.
    const OF_PILLOW: [Filter; 6] =
        [Filter::Nearest, Filter::Lanczos, Filter::Bilinear, Filter::Bicubic, Filter::Box, Filter::Hamming];

    /// Returns the filter with Pillow's number.
    pub fn from_pillow(number: u64) -> Option<Self> {
        Filter::OF_PILLOW.get(usize::try_from(number).ok()?).copied()
    }

    /// Returns Pillow's number of the filter.
    pub fn pillow(self) -> u64 {
        Filter::OF_PILLOW.iter().position(|filter| *filter == self).unwrap_or(0) as u64
    }

    /// Returns the name, in lower case.
    pub fn as_str(self) -> &'static str {
        match self {
            Filter::Nearest => "nearest",
            Filter::Lanczos => "lanczos",
            Filter::Bilinear => "bilinear",
            Filter::Bicubic => "bicubic",
            Filter::Box => "box",
            Filter::Hamming => "hamming",
        }
    }

    fn algorithm(self) -> ResizeAlg {
        match self {
            Filter::Nearest => ResizeAlg::Nearest,
            Filter::Lanczos => ResizeAlg::Convolution(FilterType::Lanczos3),
            Filter::Bilinear => ResizeAlg::Convolution(FilterType::Bilinear),
            Filter::Bicubic => ResizeAlg::Convolution(FilterType::CatmullRom),
            Filter::Box => ResizeAlg::Convolution(FilterType::Box),
            Filter::Hamming => ResizeAlg::Convolution(FilterType::Hamming),
        }
    }
}

/// A rectangle of whole pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Window {
    pub left: u32,
    pub top: u32,
    pub width: u32,
    pub height: u32,
}

/// Cuts `window` out of `source` and resizes it to `width` x `height`. Pixels outside the window
/// have no influence: cut first, then resize, like torchvision's `resized_crop`.
pub(super) fn crop_then_resize(
    source: &Rgb,
    window: Window,
    (width, height): (u32, u32),
    filter: Filter,
) -> Result<Vec<u8>> {
    let all = |length: u32| (0.0, f64::from(length));
    resize(source, window, (width, height), all(window.width), all(window.height), filter)
}

/// Returns what `window` would show of `source` after resizing all of it to `scaled` (width,
/// height). Only the window is computed, so a picture of extreme proportions needs no extreme
/// memory.
pub(super) fn resize_then_crop(source: &Rgb, scaled: (u64, u64), window: Window, filter: Filter) -> Result<Vec<u8>> {
    let columns = unscaled(window.left, window.width, source.width, scaled.0);
    let rows = unscaled(window.top, window.height, source.height, scaled.1);
    let whole = Window { left: 0, top: 0, width: source.width, height: source.height };
    resize(source, whole, (window.width, window.height), columns, rows, filter)
}

/// Returns the stretch of the source (start and length, in its pixels) that a stretch of the scaled
/// picture came from.
fn unscaled(start: u32, length: u32, source: u32, scaled: u64) -> (f64, f64) {
    let factor = |v: u32| f64::from(v) * f64::from(source) / scaled as f64;
    let start = factor(start);
    // Rounding must not carry the end beyond the last pixel.
    (start, factor(length).min(f64::from(source) - start))
}

/// Resizes the given stretches (start, length) of the columns and rows of `part` to `target`
/// (width, height).
fn resize(
    source: &Rgb,
    part: Window,
    target: (u32, u32),
    columns: (f64, f64),
    rows: (f64, f64),
    filter: Filter,
) -> Result<Vec<u8>> {
    let refused = || format!("cannot cut {part:?} out of a picture of {} x {}", source.width, source.height);
    let whole = TypedImageRef::<U8x3>::from_buffer(source.width, source.height, &source.pixels)
        .context(Kind::Input, refused)?;
    let cut = TypedCroppedImage::from_ref(&whole, part.left, part.top, part.width, part.height)
        .context(Kind::Input, refused)?;
    let enlarges = f64::from(target.0) > columns.1 || f64::from(target.1) > rows.1;
    if !enlarges || filter == Filter::Nearest {
        let mut pixels = vec![0; target.0 as usize * target.1 as usize * 3];
        let mut resized =
            TypedImage::<U8x3>::from_buffer(target.0, target.1, &mut pixels).context(Kind::Input, refused)?;
        two_steps(&cut, &mut resized, columns, rows, filter, |_| ())?;
        return Ok(pixels);
    }
    // The 8-bit path has weights of 15 bits; with only a few large weights, as in enlarging, it is
    // off by 2. The 16-bit path is not, and an enlarged picture is small enough for it.
    let first = (part.top as usize * source.width as usize + part.left as usize) * 3;
    let rows_of_part = source.pixels[first..].chunks(source.width as usize * 3).take(part.height as usize);
    let wide: Vec<U16x3> = rows_of_part
        .flat_map(|row| row[..part.width as usize * 3].as_chunks::<3>().0)
        .map(|pixel| U16x3::new(pixel.map(|v| u16::from(v) * WIDENING)))
        .collect();
    let cut = TypedImageRef::new(part.width, part.height, &wide).context(Kind::Input, refused)?;
    let mut resized = TypedImage::new(target.0, target.1);
    two_steps(&cut, &mut resized, columns, rows, filter, |between| {
        for pixel in between.pixels_mut() {
            pixel.0 = pixel.0.map(|v| u16::from(narrowed(v)) * WIDENING);
        }
    })?;
    let narrow: Vec<[u8; 3]> = resized.pixels().iter().map(|pixel| pixel.0.map(narrowed)).collect();
    Ok(narrow.into_flattened())
}

/// Factor from 8 bits to 16: 255 becomes 65,535, so both ranges clip at the same value.
const WIDENING: u16 = 257;

fn narrowed(value: u16) -> u8 {
    ((u32::from(value) + 128) / u32::from(WIDENING)) as u8
}

/// Resizes columns first, then rows, like Pillow: values between the steps are rounded and clipped
/// to 8 bits (by `round` if the picture is deeper). The other order, which the library uses for
/// speed, differs by up to 30 where a sharp edge overshoots.
///
/// The pixels' type is known when this is compiled: asked for whatever type a picture has, the
/// library is compiled for thirteen.
fn two_steps<P: PixelTrait>(
    source: &impl ImageView<Pixel = P>,
    target: &mut TypedImage<'_, P>,
    columns: (f64, f64),
    rows: (f64, f64),
    filter: Filter,
    round: impl FnOnce(&mut TypedImage<'_, P>),
) -> Result<()> {
    let (width, height) = (target.width(), target.height());
    let refused = || format!("cannot resize to {width} x {height}");
    let options = ResizeOptions::new().resize_alg(filter.algorithm()).use_alpha(false);
    let mut resizer = Resizer::new();
    let mut between = TypedImage::new(width, source.height());
    let columns = options.crop(columns.0, 0.0, columns.1, f64::from(source.height()));
    resizer.resize_typed(source, &mut between, &columns).context(Kind::Input, refused)?;
    round(&mut between);
    let rows = options.crop(0.0, rows.0, f64::from(width), rows.1);
    resizer.resize_typed(&between, target, &rows).context(Kind::Input, refused)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ramp(width: u32, height: u32) -> Rgb {
        let pixels = (0..width * height).flat_map(|i| [(i % 251) as u8, (i / 7 % 256) as u8, (i * 3 % 256) as u8]);
        Rgb::new(width, height, pixels.collect()).unwrap()
    }

    #[test]
    fn a_window_of_the_whole_is_what_resizing_and_cutting_gives() {
        let source = ramp(61, 47);
        let all = Window { left: 0, top: 0, width: 61, height: 47 };
        let whole = crop_then_resize(&source, all, (40, 30), Filter::Bicubic).unwrap();
        let window = Window { left: 7, top: 3, width: 20, height: 20 };
        let part = resize_then_crop(&source, (40, 30), window, Filter::Bicubic).unwrap();
        for y in 0..20 {
            for x in 0..20 {
                for c in 0..3 {
                    assert_eq!(part[(y * 20 + x) * 3 + c], whole[((y + 3) * 40 + x + 7) * 3 + c], "{x} {y} {c}");
                }
            }
        }
    }

    #[test]
    fn pixels_outside_a_crop_have_no_influence() {
        let mut source = Rgb::new(8, 8, vec![255; 192]).unwrap();
        for y in 2..6 {
            for x in 2..6 {
                source.pixels[(y * 8 + x) * 3..][..3].fill(9);
            }
        }
        let window = Window { left: 2, top: 2, width: 4, height: 4 };
        for filter in [Filter::Bicubic, Filter::Lanczos, Filter::Nearest] {
            let out = crop_then_resize(&source, window, (16, 16), filter).unwrap();
            assert!(out.iter().all(|&v| v == 9), "{filter:?}");
        }
    }
}
