//! The strong view, which training sees: a random resized crop, possibly mirrored, then
//! RandAugment.

use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::rand_augment::{self, Op};
use super::random_resized_crop::random_resized_crop;
use crate::error::Result;
use crate::image::crops::{self, CropBox};
use crate::image::resample::Filter;
use crate::image::rgb::Rgb;
use crate::settings::{FLAG, SHARE, SPAN, from, settings, whole};

settings! {
    /// The augmentation that training steps see; timm's `rand-m9-mstd0.5-inc1` by default.
    Strong: Copy {
        /// Area of the random resized crop as a share of the picture's: least and greatest.
        scale: [f64; 2] = [0.3, 1.0], SPAN, Answers;
        /// Probability of a horizontal flip.
        flip: f64 = 0.5, SHARE, Answers;
        /// Whether RandAugment follows.
        rand_augment: bool = true, FLAG, Answers;
        /// RandAugment's magnitude.
        magnitude: f64 = 9.0, from(0.0, 10.0), Answers;
        /// Standard deviation of the magnitude, drawn anew for each operation.
        magnitude_std: f64 = 0.5, from(0.0, 10.0), Answers;
        /// RandAugment's operations for each picture.
        ops: usize = 2, whole(1, 16), Answers;
    }
}

/// How a model's strong views are made.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StrongView {
    /// The augmentation.
    pub strong: Strong,
    /// The side of the view, in pixels: the model's input size.
    pub size: u32,
    /// The resizing kernel.
    pub filter: Filter,
}

impl StrongView {
    /// Returns the paper's augmentation (area 0.3 to 1, mirrored half of the time, timm's
    /// `rand-m9-mstd0.5-inc1`), except for the colour of uncovered areas.
    pub fn paper(size: u32) -> Self {
        StrongView { strong: Strong::default(), size, filter: Filter::Bicubic }
    }

    /// Draws one view: `size * size * 3` bytes in row order (height, width, channel). The same
    /// stream gives the same view.
    ///
    /// # Errors
    /// Fails if the picture cannot be resized.
    pub fn strong_view(&self, picture: &Rgb, rng: &mut ChaCha8Rng) -> Result<Vec<u8>> {
        self.view_of(picture, &self.draw(picture.width, picture.height, rng))
    }

    /// Draws how a picture of this size is altered.
    pub fn draw(&self, width: u32, height: u32, rng: &mut ChaCha8Rng) -> Alterations {
        let cut = random_resized_crop(width, height, self.strong.scale, rng);
        let mirrored = rng.random::<f64>() < self.strong.flip;
        let ops = if self.strong.rand_augment { rand_augment::draw(&self.strong, rng) } else { Vec::new() };
        Alterations { cut, mirrored, ops }
    }

    /// Makes the view of a picture that is altered so, as [`strong_view`](Self::strong_view) does.
    ///
    /// # Errors
    /// Fails if the picture cannot be resized.
    pub fn view_of(&self, picture: &Rgb, drawn: &Alterations) -> Result<Vec<u8>> {
        let StrongView { size, filter, .. } = self;
        let mut pixels = crops::crop(picture, &drawn.cut, *size, *filter)?;
        if drawn.mirrored {
            mirror(&mut pixels, *size);
        }
        Ok(rand_augment::apply(&drawn.ops, pixels, *size))
    }
}

/// What was drawn for one strong view.
#[derive(Debug, Clone, PartialEq)]
pub struct Alterations {
    cut: CropBox,
    mirrored: bool,
    ops: Vec<Op>,
}

impl Alterations {
    /// Returns what RandAugment does to the view, beyond cropping and mirroring.
    pub fn touched(&self) -> Touched {
        match self.ops.as_slice() {
            [] => Touched::Nothing,
            ops if ops.iter().all(Op::moves) => Touched::Places,
            ops if ops.iter().all(Op::recolours) => Touched::Colours,
            _ => Touched::More,
        }
    }
}

/// What RandAugment does to a view.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Touched {
    /// Nothing.
    Nothing,
    /// It only rotates, shears or shifts it.
    Places,
    /// It only changes its colours.
    Colours,
    /// Both, or it changes how sharp it is.
    More,
}

impl Touched {
    /// The kinds that say which operations did it, in the order of their numbers.
    pub const SINGLE: [Touched; 3] = [Touched::Nothing, Touched::Places, Touched::Colours];
}

fn mirror(pixels: &mut [u8], side: u32) {
    for row in pixels.chunks_exact_mut(side as usize * 3) {
        row.as_chunks_mut::<3>().0.reverse();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::id::ImageId;
    use crate::image::seed;

    fn picture() -> Rgb {
        Rgb::new(96, 80, (0..96 * 80 * 3).map(|i| (i * 31 % 256) as u8).collect()).unwrap()
    }

    #[test]
    fn mirroring_keeps_channels_together() {
        let mut pixels = vec![1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12];
        mirror(&mut pixels, 2);
        assert_eq!(pixels, [4, 5, 6, 1, 2, 3, 10, 11, 12, 7, 8, 9]);
    }

    #[test]
    fn the_same_stream_gives_the_same_view() {
        let (view, picture, id) = (StrongView::paper(64), picture(), ImageId::of(b"x"));
        let make = |epoch| view.strong_view(&picture, &mut seed::rng(1, &id, epoch, "strong")).unwrap();
        assert_eq!(make(0), make(0));
        assert_ne!(make(0), make(1));
        assert_eq!(make(0).len(), 64 * 64 * 3);
    }

    #[test]
    fn tiny_and_hair_thin_pictures_have_views() {
        let view = StrongView::paper(32);
        for (width, height) in [(1, 1), (1, 500), (500, 1), (3, 2)] {
            let picture = Rgb::new(width, height, vec![50; (width * height * 3) as usize]).unwrap();
            for epoch in 0..20 {
                let mut rng = seed::rng(1, &ImageId::of(b"y"), epoch, "strong");
                assert_eq!(view.strong_view(&picture, &mut rng).unwrap().len(), 32 * 32 * 3);
            }
        }
    }
}
