//! CLIP's preprocessing up to the 8-bit picture: resize the shorter edge to a fixed length, then
//! cut a square from the centre. Scaling to [0, 1] and normalising with `mean` and `std` happen on
//! tensors, in the layer above.

use super::resample::{Filter, Window, resize_then_crop};
use super::rgb::Rgb;
use crate::error::{Error, Kind, Result};

/// How a picture is prepared for a vision tower.
#[derive(Debug, Clone, PartialEq)]
pub struct Preprocess {
    /// The shorter edge after resizing, in pixels; with `squash`, both edges.
    pub shortest_edge: u32,
    /// The side of the square cut from the centre, in pixels: the model's input size.
    pub crop: u32,
    /// Mean per channel, of values in [0, 1].
    pub mean: [f32; 3],
    /// Standard deviation per channel, of values in [0, 1].
    pub std: [f32; 3],
    /// The resizing kernel.
    pub filter: Filter,
    /// Whether to resize to a square without keeping the proportions (`size` given as height and
    /// width).
    pub squash: bool,
    /// How the centre is rounded when an odd number of pixels is cut off.
    pub centre: Centre,
}

/// How the centre is rounded when an odd number of pixels is cut off. The two libraries that CLIP
/// models come with disagree, and one pixel is visible in the features.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Centre {
    /// torchvision: half a pixel is rounded to the even neighbour.
    Even,
    /// transformers: half a pixel is dropped.
    Down,
}

impl Centre {
    /// Returns the name, in lower case.
    pub fn as_str(self) -> &'static str {
        match self {
            Centre::Even => "even",
            Centre::Down => "down",
        }
    }

    /// Returns half of a number of pixels.
    fn half(self, pixels: u64) -> u64 {
        match self {
            Centre::Even => (pixels as f64 / 2.0).round_ties_even() as u64,
            Centre::Down => pixels / 2,
        }
    }
}

/// CLIP's mean per channel, of values in [0, 1].
pub const OPENAI_MEAN: [f32; 3] = [0.481_454_66, 0.457_827_5, 0.408_210_73];
/// CLIP's standard deviation per channel, of values in [0, 1].
pub const OPENAI_STD: [f32; 3] = [0.268_629_54, 0.261_302_6, 0.275_777_1];

impl Preprocess {
    /// Returns CLIP's own settings for a model of this input size in pixels.
    pub fn openai(input_size: u32) -> Self {
        Preprocess {
            shortest_edge: input_size,
            crop: input_size,
            mean: OPENAI_MEAN,
            std: OPENAI_STD,
            filter: Filter::Bicubic,
            squash: false,
            centre: Centre::Even,
        }
    }

    /// Returns the picture as the model sees it, before scaling and normalising: `crop * crop * 3`
    /// bytes in row order (height, width, channel). A resized picture smaller than the crop is
    /// padded with black.
    ///
    /// # Errors
    /// Fails if the picture cannot be resized.
    pub fn centre_view(&self, picture: &Rgb) -> Result<Vec<u8>> {
        let scaled = self.scaled_size(picture);
        let (left, kept_width, pad_left) = centred(scaled.0, self.crop, self.centre);
        let (top, kept_height, pad_top) = centred(scaled.1, self.crop, self.centre);
        let window = Window { left, top, width: kept_width, height: kept_height };
        let inner = resize_then_crop(picture, scaled, window, self.filter)?;
        if kept_width == self.crop && kept_height == self.crop {
            return Ok(inner);
        }
        let (side, row) = (self.crop as usize, kept_width as usize * 3);
        let mut padded = vec![0; side * side * 3];
        for (y, line) in inner.chunks_exact(row).enumerate() {
            let start = ((pad_top as usize + y) * side + pad_left as usize) * 3;
            padded[start..start + row].copy_from_slice(line);
        }
        Ok(padded)
    }

    /// Resizes the picture so that its shorter edge is `shortest_edge`, without cropping.
    ///
    /// # Errors
    /// Fails if the longer edge would exceed 100,000 pixels, or the picture cannot be resized.
    pub fn resize_shortest(&self, picture: &Rgb) -> Result<Rgb> {
        let scaled = self.scaled_size(picture);
        let (Some(width), Some(height)) = (bounded(scaled.0), bounded(scaled.1)) else {
            let message =
                format!("a picture of {} x {} is too long and thin to be resized", picture.width, picture.height);
            return Err(Error::new(Kind::Input, message));
        };
        let window = Window { left: 0, top: 0, width, height };
        Rgb::new(width, height, resize_then_crop(picture, scaled, window, self.filter)?)
    }

    /// Returns a stable textual form for the identity of an embedding space: if two are equal, so
    /// are the pixels handed to the model.
    pub fn canonical(&self) -> String {
        let resize = if self.squash { "square" } else { "shortest" };
        format!(
            "resize={resize}:{} filter={} crop=centre-{}:{} mean={:?} std={:?}",
            self.shortest_edge,
            self.filter.as_str(),
            self.centre.as_str(),
            self.crop,
            self.mean,
            self.std
        )
    }

    fn scaled_size(&self, picture: &Rgb) -> (u64, u64) {
        if self.squash {
            return (u64::from(self.shortest_edge), u64::from(self.shortest_edge));
        }
        shortest_to(self.shortest_edge, picture.width, picture.height)
    }
}

/// Returns the width and height after resizing the shorter edge to `size`, by torchvision's rule:
/// the longer edge is truncated.
pub(super) fn shortest_to(size: u32, width: u32, height: u32) -> (u64, u64) {
    let longer = |long: u32, short: u32| (f64::from(size) * f64::from(long) / f64::from(short)) as u64;
    if width <= height { (u64::from(size), longer(height, width)) } else { (longer(width, height), u64::from(size)) }
}

fn bounded(side: u64) -> Option<u32> {
    u32::try_from(side).ok().filter(|&s| s <= 100_000)
}

/// Returns where a window of `crop` in the middle of `length` starts, how much of it is picture,
/// and how much black comes first (an odd pixel of padding goes to the end).
fn centred(length: u64, crop: u32, centre: Centre) -> (u32, u32, u32) {
    if length >= u64::from(crop) {
        (centre.half(length - u64::from(crop)) as u32, crop, 0)
    } else {
        let length = length as u32;
        (0, length, (crop - length) / 2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_follow_torchvision() {
        assert_eq!(shortest_to(224, 640, 427), (335, 224)); // 335.7 is truncated
        assert_eq!(shortest_to(224, 64, 900), (224, 3150));
        assert_eq!(shortest_to(224, 224, 224), (224, 224));
        assert_eq!(shortest_to(224, 20_000, 1), (4_480_000, 224));
    }

    #[test]
    fn the_centre_is_rounded_as_the_library_does() {
        for (length, even, down) in [(225, 0, 0), (227, 2, 1), (229, 2, 2), (230, 3, 3)] {
            assert_eq!(centred(length, 224, Centre::Even), (even, 224, 0));
            assert_eq!(centred(length, 224, Centre::Down), (down, 224, 0));
        }
        assert_eq!(centred(5, 8, Centre::Even), (0, 5, 1)); // one before, two after
    }

    #[test]
    fn what_is_smaller_than_the_crop_stands_in_black() {
        let mut preprocess = Preprocess::openai(2);
        preprocess.crop = 4;
        let white = Rgb::new(2, 2, vec![255; 12]).unwrap();
        let view = preprocess.centre_view(&white).unwrap();
        let lit: Vec<usize> = (0..16).filter(|i| view[i * 3] == 255).collect();
        assert_eq!(lit, [5, 6, 9, 10]);
    }

    #[test]
    fn a_hair_of_a_picture_needs_no_extreme_memory() {
        let hair = Rgb::new(20_000, 1, vec![77; 60_000]).unwrap();
        let view = Preprocess::openai(224).centre_view(&hair).unwrap();
        assert!(view.len() == 224 * 224 * 3 && view.iter().all(|&v| v == 77));
        assert!(Preprocess::openai(224).resize_shortest(&hair).is_err());
    }

    #[test]
    fn the_canonical_form_is_stable() {
        assert_eq!(
            Preprocess::openai(224).canonical(),
            "resize=shortest:224 filter=bicubic crop=centre-even:224 mean=[0.48145467, 0.4578275, 0.40821072] \
             std=[0.26862955, 0.2613026, 0.2757771]"
        );
    }
}
