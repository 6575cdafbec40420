//! Random streams that depend only on the seed, the picture, the epoch and the purpose, so that
//! neither the order of the pictures nor the number of threads changes a result.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use super::id::ImageId;

/// Returns the stream for one picture in one epoch and for one `purpose` (such as `"views"` or
/// `"strong"`).
pub fn rng(seed: u64, id: &ImageId, epoch: u64, purpose: &str) -> ChaCha8Rng {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&seed.to_le_bytes());
    hasher.update(id.as_bytes());
    hasher.update(&epoch.to_le_bytes());
    hasher.update(purpose.as_bytes());
    ChaCha8Rng::from_seed(*hasher.finalize().as_bytes())
}

#[cfg(test)]
mod tests {
    use rand::RngCore;

    use super::*;

    #[test]
    fn every_part_of_the_seed_matters() {
        let (a, b) = (ImageId::of(b"a"), ImageId::of(b"b"));
        let draw = |seed, id: &ImageId, epoch, purpose| rng(seed, id, epoch, purpose).next_u64();
        let first = draw(1, &a, 0, "views");
        assert_eq!(first, draw(1, &a, 0, "views"));
        for other in
            [draw(2, &a, 0, "views"), draw(1, &b, 0, "views"), draw(1, &a, 1, "views"), draw(1, &a, 0, "strong")]
        {
            assert_ne!(first, other);
        }
    }
}
