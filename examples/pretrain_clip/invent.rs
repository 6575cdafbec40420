//! Flowers of no species: attributes drawn at random, so that the model learns words and not just
//! 24 pictures.

use crate::flora::flower::{Eye, Flower, Hue, Leaf, Marks, Stamens, Tip};
use rand::Rng;
use rand::seq::IndexedRandom;

/// A flower whose every attribute is drawn on its own; details always differ from the petals in
/// colour.
pub fn flower(rng: &mut impl Rng) -> Flower {
    let colour = *Hue::PETALS.choose(rng).unwrap_or(&Hue::White);
    let detail = |rng: &mut dyn rand::RngCore| {
        let mut hue = colour;
        while hue == colour {
            hue = *Hue::DETAILS.choose(rng).unwrap_or(&Hue::Black);
        }
        hue
    };
    let petals = *[4, 5, 5, 6, 6, 8, 13].choose(rng).unwrap_or(&5);
    let width = match petals {
        0..6 => rng.random_range(0.32..0.5),
        6..10 => rng.random_range(0.2..0.34),
        _ => rng.random_range(0.12..0.18),
    };
    let eye = match rng.random_range(0..4) {
        0 => Eye::Small(detail(rng)),
        1 => Eye::Large(detail(rng)),
        2 => Eye::Ring(detail(rng)),
        _ => Eye::Star(detail(rng)),
    };
    let marks = match rng.random_range(0..7) {
        0..3 => Marks::Plain,
        3 => Marks::Spotted(detail(rng)),
        4 => Marks::Veined(detail(rng)),
        5 => Marks::Striped(detail(rng)),
        _ => Marks::Tipped(detail(rng)),
    };
    let stamens = match rng.random_range(0..5) {
        0..3 => Stamens::Hidden,
        3 => Stamens::Long(detail(rng)),
        _ => Stamens::Tuft(detail(rng)),
    };
    let tip = *Tip::ALL.choose(rng).unwrap_or(&Tip::Rounded);
    let leaf = *Leaf::ALL.choose(rng).unwrap_or(&Leaf::Narrow);
    Flower { petals, tip, width, colour, eye, marks, stamens, leaf }
}
