//! The strong view, which training sees: a random part of the picture, perhaps mirrored, then RandAugment.

use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::rand_augment::RandAugment;
use super::random_resized_crop::random_resized_crop;
use crate::error::Result;
use crate::image::resample::Filter;
use crate::image::rgb::Rgb;
use crate::image::views;

/// How strong views are made. The defaults are those of the paper's recipe.
#[derive(Debug, Clone, PartialEq)]
pub struct StrongView {
    /// The side of the view, in pixels: the model's input size.
    pub size: u32,
    /// The part of the picture's area that the random crop takes.
    pub scale: (f64, f64),
    /// How often the view is mirrored left to right.
    pub flip: f64,
    /// The operations that follow, if any.
    pub rand_augment: Option<RandAugment>,
    /// The resizing kernel.
    pub filter: Filter,
}

impl StrongView {
    /// The paper's: area 0.3 to 1, mirrored half of the time, timm's `rand-m9-mstd0.5-inc1`, but for the colour of what is
    /// uncovered ([`RandAugment::fill`]).
    pub fn paper(size: u32) -> Self {
        StrongView {
            size,
            scale: (0.3, 1.0),
            flip: 0.5,
            rand_augment: Some(RandAugment::default()),
            filter: Filter::Bicubic,
        }
    }

    /// One view: `size * size * 3` bytes in row order (height, width, channel). The same stream gives the same view.
    ///
    /// # Errors
    /// Where the picture cannot be resized.
    pub fn strong_view(&self, picture: &Rgb, rng: &mut ChaCha8Rng) -> Result<Vec<u8>> {
        let cut = random_resized_crop(picture.width, picture.height, self.scale, rng);
        let mut pixels = views::crop(picture, &cut, self.size, self.filter)?;
        if rng.random::<f64>() < self.flip {
            mirror(&mut pixels, self.size);
        }
        match &self.rand_augment {
            Some(rand_augment) => Ok(rand_augment.apply(pixels, self.size, rng)),
            None => Ok(pixels),
        }
    }
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
