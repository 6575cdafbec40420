//! The crops of the multi-view prior (the method's fixed prior): random squares, each seen
//! separately by the frozen model.

use rand::Rng;

use super::id::ImageId;
use super::resample::{Filter, Window, crop_then_resize};
use super::rgb::Rgb;
use super::seed;
use crate::error::Result;
use crate::settings::{ANY_WHOLE, FLAG, SPAN, settings, whole};

settings! {
    /// The random crops whose features make the prior (multi-view alignment).
    Crops: Copy {
        /// Square crops of each picture.
        count: usize = 8, whole(1, 1_024), Features;
        /// A crop's side as a share of the picture's shorter edge: least and greatest, drawn
        /// uniformly.
        scale: [f64; 2] = [0.5, 0.9], SPAN, Features;
        /// Seed of the crops; apart from `seed`, so that seeds share cached crops.
        seed: u64 = 0, ANY_WHOLE, Features;
        /// Whether the features of every crop are kept too, in the table `view_features`. Runs read
        /// their composite alone, from `composites`, which is less than half as large.
        keep: bool = false, FLAG, Nothing;
    }
}

/// A crop, in pixels of the picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CropBox {
    /// The first column.
    pub left: u32,
    /// The first row.
    pub top: u32,
    /// The number of columns, at least 1.
    pub width: u32,
    /// The number of rows, at least 1.
    pub height: u32,
}

/// Returns the `count` squares of one picture of this size. The same picture has the same squares
/// wherever it is found.
pub fn boxes(spec: &Crops, id: &ImageId, width: u32, height: u32) -> Vec<CropBox> {
    draw(spec, &mut seed::rng(spec.seed, id, 0, "views"), width, height)
}

/// Like [`boxes`], but draws from `rng` and ignores `spec.seed`.
pub fn draw(spec: &Crops, rng: &mut impl Rng, width: u32, height: u32) -> Vec<CropBox> {
    let shorter = width.min(height);
    let [least, most] = spec.scale;
    (0..spec.count)
        .map(|_| {
            let part = least + (most - least) * rng.random::<f64>();
            // A one-pixel picture has a one-pixel crop.
            let side = ((part * f64::from(shorter)).round() as u32).clamp(1, shorter.max(1));
            let left = rng.random_range(0..=width.saturating_sub(side));
            let top = rng.random_range(0..=height.saturating_sub(side));
            CropBox { left, top, width: side, height: side }
        })
        .collect()
}

/// Cuts a box out of a decoded picture and resizes it to `size` x `size`: `size * size * 3` bytes
/// in row order (height, width, channel).
///
/// # Errors
/// Fails if the box is empty or reaches beyond the picture.
pub fn crop(picture: &Rgb, cut: &CropBox, size: u32, filter: Filter) -> Result<Vec<u8>> {
    let window = Window { left: cut.left, top: cut.top, width: cut.width, height: cut.height };
    crop_then_resize(picture, window, (size, size), filter)
}

/// Like [`crop`], for several boxes, one after the other.
///
/// # Errors
/// Fails as [`crop`] does.
pub fn crops(picture: &Rgb, cuts: &[CropBox], size: u32, filter: Filter) -> Result<Vec<u8>> {
    let mut pixels = Vec::with_capacity(cuts.len() * size as usize * size as usize * 3);
    for cut in cuts {
        pixels.extend(crop(picture, cut, size, filter)?);
    }
    Ok(pixels)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn boxes_lie_within_the_picture(
            width in 1u32..3000, height in 1u32..3000, seed in any::<u64>(),
            least in 0.0f64..1.0, span in 0.0f64..1.0,
        ) {
            let spec = Crops { scale: [least, (least + span).min(1.0)], seed, ..Crops::default() };
            let shorter = f64::from(width.min(height));
            for b in boxes(&spec, &ImageId::of(&seed.to_le_bytes()), width, height) {
                prop_assert!(b.width >= 1 && b.width == b.height);
                prop_assert!(b.left + b.width <= width && b.top + b.height <= height);
                let side = f64::from(b.width);
                prop_assert!(side >= spec.scale[0] * shorter - 0.5 && side <= (spec.scale[1] * shorter + 0.5).max(1.0));
            }
        }
    }

    #[test]
    fn boxes_depend_on_the_picture_and_the_seed_only() {
        let spec = Crops { seed: 7, ..Crops::default() };
        let (a, b) = (ImageId::of(b"a"), ImageId::of(b"b"));
        assert_eq!(boxes(&spec, &a, 320, 240), boxes(&spec, &a, 320, 240));
        assert_ne!(boxes(&spec, &a, 320, 240), boxes(&spec, &b, 320, 240));
        assert_ne!(boxes(&spec, &a, 320, 240), boxes(&Crops { seed: 8, ..spec }, &a, 320, 240));
        // More crops begin with the same ones.
        let more = boxes(&Crops { count: 12, ..spec }, &a, 320, 240);
        assert_eq!(more[..8], boxes(&spec, &a, 320, 240)[..]);
    }

    #[test]
    fn a_crop_outside_the_picture_is_an_error() {
        let picture = Rgb::new(4, 4, vec![0; 48]).unwrap();
        let outside = CropBox { left: 2, top: 2, width: 3, height: 3 };
        assert!(crop(&picture, &outside, 8, Filter::Bicubic).is_err());
        let whole = CropBox { left: 0, top: 0, width: 4, height: 4 };
        assert_eq!(crop(&picture, &whole, 8, Filter::Bicubic).unwrap().len(), 192);
    }
}
