//! The domain of pre-training: coloured prints of single flowers on a plain ground, in flat light,
//! with a drawn contour.

use crate::flora::bloom::{self, Pose, Style};
use crate::flora::canvas::{Rgb, colour, mix, shrink};
use crate::flora::flower::Flower;
use image::RgbImage;
use rand::Rng;
use std::f32::consts::{PI, TAU};
use tiny_skia::Pixmap;

/// Drawn this many times larger and averaged down.
const OVERSAMPLING: u32 = 2;

/// Draws one plate, `side` pixels square.
pub fn draw(flower: &Flower, side: u32, rng: &mut impl Rng) -> Option<RgbImage> {
    let mut canvas = Pixmap::new(side * OVERSAMPLING, side * OVERSAMPLING)?;
    let hue: Rgb = std::array::from_fn(|_| rng.random_range(0.0..1.0));
    let paper = match rng.random_range(0..10) {
        0..5 => mix([0.93, 0.91, 0.84], hue, 0.2),
        5..8 => mix([0.6, 0.62, 0.55], hue, 0.5),
        _ => mix([0.08, 0.1, 0.08], hue, 0.3),
    };
    canvas.fill(colour(paper, 1.0));
    let full = (side * OVERSAMPLING) as f32;
    let radius = full * rng.random_range(0.26..0.47);
    let off = (full * 0.5 - radius * 0.8).max(1.0);
    let at = (full / 2.0 + rng.random_range(-off..off), full / 2.0 + rng.random_range(-off..off));
    let pose = Pose {
        at,
        radius,
        turn: rng.random_range(0.0..TAU),
        lean: rng.random_range(0.0..PI),
        squash: rng.random_range(0.68..1.0),
    };
    let style = Style {
        relief: rng.random_range(0.0..0.7),
        light: rng.random_range(0.0..TAU),
        contour: rng.random_range(0.006..0.03),
        disorder: rng.random_range(0.2..1.0),
        tint: std::array::from_fn(|_| rng.random_range(-0.05..0.05)),
    };
    if rng.random_bool(0.6) {
        let green = mix([0.2, 0.5, 0.2], [0.5, 0.65, 0.35], rng.random_range(0.0..1.0));
        let foot = (at.0 + rng.random_range(-0.5..0.5) * radius, at.1 + radius * 2.5);
        bloom::draw_stem(&mut canvas.as_mut(), flower, &pose, foot, green, rng);
    }
    bloom::draw(&mut canvas.as_mut(), flower, &pose, &style, rng);
    Some(shrink(&canvas, OVERSAMPLING))
}
