//! RandAugment (Cubuk et al. 2019) in which every operation grows stronger with the magnitude:
//! timm's `rand-m9-mstd0.5-inc1`.

use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::strong_view::Strong;
use super::{affine, colour, enhance};
use crate::image::resample::Filter;

/// The magnitude at which an operation is strongest.
const FULL: f64 = 10.0;

/// The probability that a drawn operation is applied.
const PROBABILITY: f64 = 0.5;

/// The colour of the area that a rotation, shear or shift uncovers: CLIP's mean, which is zero to
/// the tower. The released code leaves it black.
const FILL: [u8; 3] = [123, 117, 104];

/// The interpolation of rotations, shears and shifts.
const FILTER: Filter = Filter::Bicubic;

/// An operation with its strength, ready to be applied.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Op {
    /// Stretches each channel to the full range.
    AutoContrast,
    /// Flattens each channel's histogram.
    Equalize,
    /// Inverts every value.
    Invert,
    /// Rotates by this many degrees, counter-clockwise.
    Rotate(f64),
    /// Keeps this many of the highest bits of each value.
    Posterize(u32),
    /// Inverts values of at least this.
    Solarize(u32),
    /// Adds this to values below 128.
    SolarizeAdd(u32),
    /// Multiplies the distance from grey.
    Colour(f64),
    /// Multiplies the distance from the mean.
    Contrast(f64),
    /// Multiplies the values.
    Brightness(f64),
    /// Multiplies the distance from the smoothed picture.
    Sharpness(f64),
    /// Shears by this many columns per row.
    ShearX(f64),
    /// Shears by this many rows per column.
    ShearY(f64),
    /// Shifts by this part of the width.
    TranslateX(f64),
    /// Shifts by this part of the height.
    TranslateY(f64),
}

/// The number of operations to draw from.
const KINDS: usize = 15;

/// Draws operations with replacement, each with the strength at which it is applied; those that
/// chance leaves out are not among them.
pub(super) fn draw(strong: &Strong, rng: &mut ChaCha8Rng) -> Vec<Op> {
    let drawn: Vec<usize> = (0..strong.ops).map(|_| rng.random_range(0..KINDS)).collect();
    let mut ops = Vec::new();
    for kind in drawn {
        if rng.random::<f64>() < PROBABILITY {
            let magnitude = (strong.magnitude + strong.magnitude_std * standard_normal(rng)).clamp(0.0, FULL);
            ops.push(Op::of_magnitude(kind, magnitude, rng));
        }
    }
    ops
}

/// Applies operations to a square picture of `side` pixels, (height, width, 3), one after the
/// other.
pub(super) fn apply(ops: &[Op], pixels: Vec<u8>, side: u32) -> Vec<u8> {
    ops.iter().fold(pixels, |pixels, op| op.apply(pixels, side, FILTER, FILL))
}

impl Op {
    /// Returns operation number `kind` at `magnitude` (0 to 10), with its direction drawn at
    /// random.
    fn of_magnitude(kind: usize, magnitude: f64, rng: &mut ChaCha8Rng) -> Self {
        let level = magnitude / FULL;
        let mut either_way = |amount: f64| if rng.random::<bool>() { -amount } else { amount };
        // Enhancement factors go as far below one as above it, but not to zero.
        let factor = |signed: f64| (1.0 + signed).max(0.1);
        match kind {
            0 => Op::AutoContrast,
            1 => Op::Equalize,
            2 => Op::Invert,
            3 => Op::Rotate(either_way(30.0 * level)),
            4 => Op::Posterize(4 - (level * 4.0) as u32),
            5 => Op::Solarize(256 - ((level * 256.0) as u32).min(256)),
            6 => Op::SolarizeAdd(((level * 110.0) as u32).min(128)),
            7 => Op::Colour(factor(either_way(0.9 * level))),
            8 => Op::Contrast(factor(either_way(0.9 * level))),
            9 => Op::Brightness(factor(either_way(0.9 * level))),
            10 => Op::Sharpness(factor(either_way(0.9 * level))),
            11 => Op::ShearX(either_way(0.3 * level)),
            12 => Op::ShearY(either_way(0.3 * level)),
            13 => Op::TranslateX(either_way(0.45 * level)),
            _ => Op::TranslateY(either_way(0.45 * level)),
        }
    }

    /// Returns whether the operation moves what is in the picture, and changes no colour.
    pub(super) fn moves(&self) -> bool {
        use Op::{Rotate, ShearX, ShearY, TranslateX, TranslateY};
        matches!(self, Rotate(_) | ShearX(_) | ShearY(_) | TranslateX(_) | TranslateY(_))
    }

    /// Returns whether the operation makes each value another one by the same rule everywhere.
    pub(super) fn recolours(&self) -> bool {
        !self.moves() && !matches!(self, Op::Sharpness(_))
    }

    /// Applies the operation to a square picture of `side` pixels, (height, width, 3).
    pub fn apply(self, mut pixels: Vec<u8>, side: u32, filter: Filter, fill: [u8; 3]) -> Vec<u8> {
        let moved = |pixels: Vec<u8>, matrix| affine::transform(&pixels, side, &matrix, filter, fill);
        match self {
            Op::AutoContrast => colour::auto_contrast(&mut pixels),
            Op::Equalize => colour::equalize(&mut pixels),
            Op::Invert => colour::invert(&mut pixels),
            Op::Posterize(bits) => colour::posterize(&mut pixels, bits),
            Op::Solarize(threshold) => colour::solarize(&mut pixels, threshold),
            Op::SolarizeAdd(add) => colour::solarize_add(&mut pixels, add),
            Op::Colour(factor) => enhance::saturation(&mut pixels, factor as f32),
            Op::Contrast(factor) => enhance::contrast(&mut pixels, factor as f32),
            Op::Brightness(factor) => enhance::brightness(&mut pixels, factor as f32),
            Op::Sharpness(factor) => enhance::sharpness(&mut pixels, side as usize, factor as f32),
            Op::Rotate(degrees) => return moved(pixels, affine::rotation(degrees, side)),
            Op::ShearX(shear) => return moved(pixels, [1.0, shear, 0.0, 0.0, 1.0, 0.0]),
            Op::ShearY(shear) => return moved(pixels, [1.0, 0.0, 0.0, shear, 1.0, 0.0]),
            Op::TranslateX(part) => return moved(pixels, [1.0, 0.0, part * f64::from(side), 0.0, 1.0, 0.0]),
            Op::TranslateY(part) => return moved(pixels, [1.0, 0.0, 0.0, 0.0, 1.0, part * f64::from(side)]),
        }
        pixels
    }
}

/// Draws a standard normal number (Box and Muller); nothing else needs a distribution other than
/// the uniform.
fn standard_normal(rng: &mut ChaCha8Rng) -> f64 {
    let (u, v) = (1.0 - rng.random::<f64>(), rng.random::<f64>());
    (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()
}

#[cfg(test)]
mod tests {
    use rand_chacha::rand_core::SeedableRng;

    use super::*;

    #[test]
    fn magnitude_nine_is_timms() {
        let mut rng = ChaCha8Rng::seed_from_u64(0);
        let mut at_nine = |kind| Op::of_magnitude(kind, 9.0, &mut rng);
        assert_eq!(at_nine(4), Op::Posterize(1));
        assert_eq!(at_nine(5), Op::Solarize(26));
        assert_eq!(at_nine(6), Op::SolarizeAdd(99));
        for _ in 0..20 {
            let Op::Rotate(degrees) = at_nine(3) else { panic!("not a rotation") };
            assert!((degrees.abs() - 27.0).abs() < 1e-9);
            let Op::Colour(factor) = at_nine(7) else { panic!("not a colour") };
            assert!((factor - 1.81).abs() < 1e-9 || (factor - 0.19).abs() < 1e-9);
            let Op::ShearX(shear) = at_nine(11) else { panic!("not a shear") };
            assert!((shear.abs() - 0.27).abs() < 1e-9);
            let Op::TranslateY(part) = at_nine(14) else { panic!("not a shift") };
            assert!((part.abs() - 0.405).abs() < 1e-9);
        }
    }

    #[test]
    fn the_strongest_magnitude_stays_legal() {
        let mut rng = ChaCha8Rng::seed_from_u64(0);
        let mut at_full = |kind| Op::of_magnitude(kind, 10.0, &mut rng);
        assert_eq!(at_full(4), Op::Posterize(0));
        assert_eq!(at_full(5), Op::Solarize(0));
        assert_eq!(at_full(6), Op::SolarizeAdd(110));
    }

    #[test]
    fn magnitudes_are_normal() {
        let mut rng = ChaCha8Rng::seed_from_u64(5);
        let drawn: Vec<f64> = (0..20_000).map(|_| standard_normal(&mut rng)).collect();
        let mean = drawn.iter().sum::<f64>() / 20_000.0;
        let variance = drawn.iter().map(|v| v * v).sum::<f64>() / 20_000.0;
        assert!(mean.abs() < 0.03 && (variance - 1.0).abs() < 0.04, "{mean} {variance}");
    }

    #[test]
    fn about_a_quarter_of_the_pictures_stay_as_they_are() {
        // Neither of the two operations is applied with probability 0.5 * 0.5.
        let mut rng = ChaCha8Rng::seed_from_u64(9);
        let same = (0..2000).filter(|_| draw(&Strong::default(), &mut rng).is_empty()).count();
        assert!((440..560).contains(&same), "{same}");
    }
}
