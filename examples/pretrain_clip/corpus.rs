//! Captioned plates: drawn once, in parallel, and kept in memory.

use crate::flora::species;
use crate::{caption, invent, plate};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tch::Tensor;

/// Attribute captions written for each plate; training picks one at a time.
const CAPTIONS: usize = 8;
/// How many plates show one of the species; the others are of invented flowers.
const SPECIES: f64 = 0.5;

/// Plates with what is written under them.
pub struct Corpus {
    /// (plates, side, side, 3), u8.
    pub pixels: Tensor,
    /// For each plate, several captions by attributes.
    pub captions: Vec<Vec<String>>,
    /// For each plate the species, where it shows one.
    pub species: Vec<Option<usize>>,
}

/// Draws `count` plates on `threads` threads; plate `i` depends on the seed and on `i` alone.
pub fn draw(count: usize, side: u32, seed: u64, threads: usize) -> Option<Corpus> {
    let per_thread = count.div_ceil(threads.max(1));
    let indices: Vec<usize> = (0..count).collect();
    let parts: Vec<Option<Vec<Plate>>> = std::thread::scope(|scope| {
        let workers: Vec<_> = indices
            .chunks(per_thread.max(1))
            .map(|part| scope.spawn(move || part.iter().map(|&index| one(index, side, seed)).collect()))
            .collect();
        workers.into_iter().map(|worker| worker.join().ok().flatten()).collect()
    });
    let plates: Vec<Plate> = parts.into_iter().collect::<Option<Vec<_>>>()?.into_iter().flatten().collect();
    let mut pixels = Vec::with_capacity(count * (side * side * 3) as usize);
    for plate in &plates {
        pixels.extend_from_slice(&plate.pixels);
    }
    let side = i64::from(side);
    Some(Corpus {
        pixels: Tensor::from_slice(&pixels).view([count as i64, side, side, 3]),
        species: plates.iter().map(|plate| plate.species).collect(),
        captions: plates.into_iter().map(|plate| plate.captions).collect(),
    })
}

struct Plate {
    pixels: Vec<u8>,
    captions: Vec<String>,
    species: Option<usize>,
}

fn one(index: usize, side: u32, seed: u64) -> Option<Plate> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(index as u64);
    let species = rng.random_bool(SPECIES).then_some(index % species::ALL.len());
    let flower = species.map_or_else(|| invent::flower(&mut rng), |species| species::ALL[species].flower);
    let pixels = plate::draw(&flower, side, &mut rng)?.into_raw();
    let captions = (0..CAPTIONS).map(|_| caption::by_attributes(&flower, &mut rng)).collect();
    Some(Plate { pixels, captions, species })
}
