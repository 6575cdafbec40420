//! The weak view: resized as for evaluation, but cropped at random instead of at the centre.

use rand::Rng;
use rand_chacha::ChaCha8Rng;

use crate::error::Result;
use crate::image::preprocess::shortest_to;
use crate::image::resample::{Filter, Window, resize_then_crop};
use crate::image::rgb::Rgb;

/// Resizes the shorter edge to `size` and cuts a random square of `size`: `size * size * 3` bytes
/// in row order (height, width, channel).
///
/// # Errors
/// Fails if the picture cannot be resized.
pub fn weak_view(picture: &Rgb, size: u32, filter: Filter, rng: &mut ChaCha8Rng) -> Result<Vec<u8>> {
    let scaled = shortest_to(size, picture.width, picture.height);
    let mut start = |length: u64| rng.random_range(0..=length.saturating_sub(u64::from(size))) as u32;
    let window = Window { left: start(scaled.0), top: start(scaled.1), width: size, height: size };
    resize_then_crop(picture, scaled, window, filter)
}

#[cfg(test)]
mod tests {
    use rand_chacha::rand_core::SeedableRng;

    use super::*;

    #[test]
    fn cuts_move_along_the_longer_edge_only() {
        // The picture's columns are numbered, so a view's first pixel tells where it was cut.
        let pixels = (0..16).flat_map(|_| (0..64u8).flat_map(|x| [x, x, x])).collect();
        let picture = Rgb::new(64, 16, pixels).unwrap();
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let starts: Vec<u8> =
            (0..400).map(|_| weak_view(&picture, 16, Filter::Bicubic, &mut rng).unwrap()[0]).collect();
        assert!(starts.iter().all(|&s| s <= 48));
        assert!(starts.contains(&0) && starts.contains(&48));
    }
}
