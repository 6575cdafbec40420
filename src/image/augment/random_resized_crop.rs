//! The rectangle of a random resized crop: random area, random proportions; torchvision's rule.

use rand::Rng;
use rand_chacha::ChaCha8Rng;

use crate::image::crops::CropBox;

/// The range of width over height of the drawn rectangle.
const RATIO: (f64, f64) = (3.0 / 4.0, 4.0 / 3.0);

/// Draws a rectangle whose area is `scale` (uniformly) of the picture's and whose proportions lie
/// between 3:4 and 4:3 (uniformly in the logarithm). After ten draws that do not fit, returns the
/// largest centred rectangle that does.
pub fn random_resized_crop(width: u32, height: u32, scale: [f64; 2], rng: &mut ChaCha8Rng) -> CropBox {
    let (full_width, full_height) = (f64::from(width), f64::from(height));
    let mut uniform = |from: f64, to: f64| from + (to - from) * rng.random::<f64>();
    for _ in 0..10 {
        let area = full_width * full_height * uniform(scale[0], scale[1]);
        let ratio = uniform(RATIO.0.ln(), RATIO.1.ln()).exp();
        let w = (area * ratio).sqrt().round_ties_even() as u32;
        let h = (area / ratio).sqrt().round_ties_even() as u32;
        if (1..=width).contains(&w) && (1..=height).contains(&h) {
            let top = uniform(0.0, f64::from(height - h + 1)) as u32;
            let left = uniform(0.0, f64::from(width - w + 1)) as u32;
            return CropBox { left: left.min(width - w), top: top.min(height - h), width: w, height: h };
        }
    }
    let ratio = full_width / full_height;
    let (w, h) = if ratio < RATIO.0 {
        (width, ((full_width / RATIO.0).round_ties_even() as u32).clamp(1, height))
    } else if ratio > RATIO.1 {
        (((full_height * RATIO.1).round_ties_even() as u32).clamp(1, width), height)
    } else {
        (width, height)
    };
    CropBox { left: (width - w) / 2, top: (height - h) / 2, width: w, height: h }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand_chacha::rand_core::SeedableRng;

    use super::*;

    proptest! {
        #[test]
        fn rectangles_lie_within_the_picture(width in 1u32..4000, height in 1u32..4000, seed in any::<u64>()) {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let b = random_resized_crop(width, height, [0.3, 1.0], &mut rng);
            prop_assert!(b.width >= 1 && b.height >= 1);
            prop_assert!(b.left + b.width <= width && b.top + b.height <= height);
        }
    }

    #[test]
    fn area_and_proportions_cover_their_ranges() {
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let drawn: Vec<CropBox> = (0..4000).map(|_| random_resized_crop(300, 200, [0.3, 1.0], &mut rng)).collect();
        let area = |b: &CropBox| f64::from(b.width * b.height) / 60_000.0;
        let ratio = |b: &CropBox| f64::from(b.width) / f64::from(b.height);
        let (least, most) = drawn.iter().fold((1.0f64, 0.0f64), |(l, m), b| (l.min(area(b)), m.max(area(b))));
        assert!(least > 0.28 && least < 0.32 && most > 0.85, "{least} {most}");
        assert!(drawn.iter().all(|b| ratio(b) > 0.73 && ratio(b) < 1.37));
        assert!(drawn.iter().any(|b| ratio(b) < 0.8) && drawn.iter().any(|b| ratio(b) > 1.3));
    }

    #[test]
    fn a_ribbon_falls_back_to_its_centre() {
        let mut rng = ChaCha8Rng::seed_from_u64(0);
        let b = random_resized_crop(900, 60, [0.9, 1.0], &mut rng);
        assert_eq!(b, CropBox { left: 410, top: 0, width: 80, height: 60 });
    }
}
