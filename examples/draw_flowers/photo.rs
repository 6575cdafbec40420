//! A photograph-like scene: depth blur, clutter, light and shade, several blooms, something in the
//! way.

use crate::flora::bloom::{self, Pose, Style};
use crate::flora::canvas::{Rgb, glow, gradient, mix, shade, shrink, solid};
use crate::flora::flower::{Eye, Flower, Hue, Leaf, Marks, Stamens, Tip};
use crate::flora::leaf;
use crate::focus::blur;
use image::RgbImage;
use rand::Rng;
use rand::seq::IndexedRandom;
use std::f32::consts::{PI, TAU};
use tiny_skia::{FillRule, FilterQuality, LineCap, PathBuilder, Pixmap, PixmapMut, PixmapPaint, Stroke, Transform};

/// The picture is drawn this many times larger and averaged down.
const OVERSAMPLING: u32 = 2;
/// The backdrop is blurred anyway: it is drawn this many times smaller than the canvas.
const BACKDROP: u32 = 4;
/// The shorter edge of the finished picture, pixels.
const SHORT_EDGE: u32 = 108;

/// What is common to all that stands in one scene.
struct Light {
    direction: f32,
    relief: f32,
    green: Rgb,
    tint: Rgb,
}

/// Draws one picture in which `flower` is the subject.
pub fn draw(flower: &Flower, rng: &mut impl Rng) -> Option<RgbImage> {
    let long = SHORT_EDGE + rng.random_range(0..32);
    let (width, height) = if rng.random_bool(0.6) { (long, SHORT_EDGE) } else { (SHORT_EDGE, long) };
    let mut canvas = Pixmap::new(width * OVERSAMPLING, height * OVERSAMPLING)?;
    let light = Light {
        direction: rng.random_range(0.0..TAU),
        relief: rng.random_range(0.5..1.1),
        green: mix([0.20, 0.42, 0.14], [0.45, 0.55, 0.25], rng.random_range(0.0..1.0)),
        tint: std::array::from_fn(|_| rng.random_range(-0.06..0.06)),
    };
    backdrop(&mut canvas, rng)?;
    let side = (SHORT_EDGE * OVERSAMPLING) as f32;
    distant_blooms(&mut canvas, flower, &light, side, rng)?;
    subject(&mut canvas, flower, &light, side, rng);
    foreground(&mut canvas, &light, rng)?;
    illuminate(&mut canvas.as_mut(), rng);
    if rng.random_bool(0.3) {
        blur(&mut canvas, rng.random_range(0.4..1.4));
    }
    let mut picture = shrink(&canvas, OVERSAMPLING);
    develop(&mut picture, rng);
    Some(picture)
}

/// Any flower at all: what stands about in the background.
fn stranger(rng: &mut impl Rng) -> Flower {
    Flower {
        petals: rng.random_range(4..14),
        tip: *Tip::ALL.choose(rng).unwrap_or(&Tip::Rounded),
        width: rng.random_range(0.15..0.45),
        colour: *Hue::PETALS.choose(rng).unwrap_or(&Hue::White),
        eye: Eye::Large(*Hue::DETAILS.choose(rng).unwrap_or(&Hue::Yellow)),
        marks: Marks::Plain,
        stamens: Stamens::Hidden,
        leaf: Leaf::Round,
    }
}

fn backdrop(canvas: &mut Pixmap, rng: &mut impl Rng) -> Option<()> {
    let mut layer = Pixmap::new(canvas.width() / BACKDROP + 1, canvas.height() / BACKDROP + 1)?;
    let (width, height) = (layer.width() as f32, layer.height() as f32);
    const GROUNDS: [(Rgb, Rgb); 7] = [
        ([0.16, 0.30, 0.10], [0.38, 0.52, 0.22]),
        ([0.08, 0.14, 0.06], [0.22, 0.34, 0.14]),
        ([0.30, 0.22, 0.14], [0.50, 0.42, 0.28]),
        ([0.45, 0.55, 0.62], [0.30, 0.44, 0.20]),
        ([0.52, 0.56, 0.36], [0.72, 0.72, 0.55]),
        ([0.10, 0.10, 0.11], [0.26, 0.25, 0.22]),
        ([0.50, 0.49, 0.47], [0.34, 0.32, 0.30]),
    ];
    let &(from, to) = GROUNDS.choose(rng)?;
    let top: f32 = rng.random_range(0.0..width);
    layer.as_mut().fill_rect(
        tiny_skia::Rect::from_xywh(0.0, 0.0, width, height)?,
        &gradient((top, 0.0), (width - top, height), &[(0.0, from, 1.0), (1.0, to, 1.0)]),
        Transform::identity(),
        None,
    );
    for _ in 0..rng.random_range(15..45) {
        let at = (rng.random_range(0.0..width), rng.random_range(0.0..height));
        let tone = shade(mix(from, to, rng.random_range(-0.3..1.3)), rng.random_range(0.5..1.6));
        match rng.random_range(0..10) {
            0..4 => blade(&mut layer.as_mut(), at, height, tone, rng),
            4..7 => {
                let shape = *Leaf::ALL.choose(rng)?;
                let place = Transform::from_translate(at.0, at.1)
                    .pre_concat(Transform::from_rotate(rng.random_range(0.0..360.0)))
                    .pre_scale(height * 0.3, height * 0.3);
                layer.fill_path(&leaf::outline(shape)?, &solid(tone, 0.9), FillRule::Winding, place, None);
            }
            7..9 => {
                let radius = rng.random_range(0.02..0.12) * height;
                let path = PathBuilder::from_circle(at.0, at.1, radius)?;
                let light = shade(tone, rng.random_range(0.8..1.8));
                layer.fill_path(&path, &solid(light, 0.6), FillRule::Winding, Transform::identity(), None);
            }
            _ => {
                let pose = Pose {
                    at,
                    radius: height * rng.random_range(0.06..0.16),
                    turn: 0.0,
                    lean: rng.random_range(0.0..PI),
                    squash: rng.random_range(0.4..1.0),
                };
                let style = Style { relief: 0.8, light: 0.0, contour: 0.0, disorder: 1.0, tint: [0.0; 3] };
                bloom::draw(&mut layer.as_mut(), &stranger(rng), &pose, &style, rng);
            }
        }
    }
    blur(&mut layer, rng.random_range(0.6..2.4));
    let paint = PixmapPaint { quality: FilterQuality::Bilinear, ..PixmapPaint::default() };
    let enlarge = Transform::from_scale(BACKDROP as f32, BACKDROP as f32);
    canvas.draw_pixmap(0, 0, layer.as_ref(), &paint, enlarge, None);
    Some(())
}

/// A blade of grass through `at`.
fn blade(canvas: &mut PixmapMut, at: (f32, f32), height: f32, tone: Rgb, rng: &mut impl Rng) {
    let lean: f32 = rng.random_range(-0.6..0.6);
    let mut path = PathBuilder::new();
    path.move_to(at.0 - lean * height, at.1 + height * 0.7);
    path.quad_to(at.0, at.1, at.0 + lean * height * 1.5, at.1 - height * rng.random_range(0.2..0.7));
    let stroke =
        Stroke { width: height * rng.random_range(0.015..0.05), line_cap: LineCap::Round, ..Stroke::default() };
    if let Some(path) = path.finish() {
        canvas.stroke_path(&path, &solid(tone, 0.95), &stroke, Transform::identity(), None);
    }
}

/// Blooms of the same species behind the subject, out of focus.
fn distant_blooms(canvas: &mut Pixmap, flower: &Flower, light: &Light, side: f32, rng: &mut impl Rng) -> Option<()> {
    if rng.random_bool(0.55) {
        return Some(());
    }
    let mut layer = Pixmap::new(canvas.width(), canvas.height())?;
    for _ in 0..rng.random_range(1..3) {
        let at = (rng.random_range(0.0..layer.width() as f32), rng.random_range(0.0..layer.height() as f32));
        plant(&mut layer.as_mut(), flower, at, side * rng.random_range(0.12..0.2), light, rng);
    }
    blur(&mut layer, rng.random_range(1.5..3.5));
    canvas.draw_pixmap(0, 0, layer.as_ref(), &PixmapPaint::default(), Transform::identity(), None);
    Some(())
}

/// The subject: one bloom, now and then two, off-centre, tilted, with a shadow below.
fn subject(canvas: &mut Pixmap, flower: &Flower, light: &Light, side: f32, rng: &mut impl Rng) {
    let (width, height) = (canvas.width() as f32, canvas.height() as f32);
    let radius = side * rng.random_range(0.33..0.46);
    let off = side * 0.5 - radius * 0.75;
    let at = (width / 2.0 + rng.random_range(-off..off), height / 2.0 + rng.random_range(-off..off));
    if rng.random_bool(0.3) {
        let angle: f32 = rng.random_range(0.0..TAU);
        let beside = (at.0 + angle.cos() * radius * 1.5, at.1 + angle.sin() * radius * 1.5);
        plant(&mut canvas.as_mut(), flower, beside, radius * rng.random_range(0.55..0.85), light, rng);
    }
    let shadow = (at.0 - light.direction.cos() * radius * 0.3, at.1 - light.direction.sin() * radius * 0.3);
    if let Some(path) = PathBuilder::from_circle(shadow.0, shadow.1, radius * 1.25) {
        let dark = [0.02, 0.03, 0.02];
        let paint = glow(shadow, radius * 1.25, &[(0.0, dark, 0.6), (0.7, dark, 0.4), (1.0, dark, 0.0)]);
        canvas.fill_path(&path, &paint, FillRule::Winding, Transform::identity(), None);
    }
    plant(&mut canvas.as_mut(), flower, at, radius, light, rng);
}

/// One bloom with its stem and leaves.
fn plant(canvas: &mut PixmapMut, flower: &Flower, at: (f32, f32), radius: f32, light: &Light, rng: &mut impl Rng) {
    let pose = Pose {
        at,
        radius,
        turn: rng.random_range(0.0..TAU),
        lean: rng.random_range(0.0..PI),
        squash: rng.random_range(0.66..1.0),
    };
    let style = Style { relief: light.relief, light: light.direction, contour: 0.0, disorder: 1.0, tint: light.tint };
    let foot = (at.0 + rng.random_range(-1.0..1.0) * radius, at.1 + radius * 3.0);
    bloom::draw_stem(canvas, flower, &pose, foot, light.green, rng);
    bloom::draw(canvas, flower, &pose, &style, rng);
}

/// Grass or a leaf in front of it all, out of focus.
fn foreground(canvas: &mut Pixmap, light: &Light, rng: &mut impl Rng) -> Option<()> {
    if rng.random_bool(0.6) {
        return Some(());
    }
    let mut layer = Pixmap::new(canvas.width(), canvas.height())?;
    let (width, height) = (layer.width() as f32, layer.height() as f32);
    for _ in 0..rng.random_range(1..3) {
        let tone = shade(light.green, rng.random_range(0.6..1.5));
        let at = (rng.random_range(0.0..width), rng.random_range(0.3 * height..height));
        blade(&mut layer.as_mut(), at, height, tone, rng);
    }
    blur(&mut layer, rng.random_range(1.0..3.0));
    canvas.draw_pixmap(0, 0, layer.as_ref(), &PixmapPaint::default(), Transform::identity(), None);
    Some(())
}

/// Shade from one side, and patches of sun and shadow.
fn illuminate(canvas: &mut PixmapMut, rng: &mut impl Rng) {
    let (width, height) = (canvas.width() as f32, canvas.height() as f32);
    let Some(all) = tiny_skia::Rect::from_xywh(0.0, 0.0, width, height) else { return };
    let angle: f32 = rng.random_range(0.0..TAU);
    let (dx, dy) = (angle.cos() * width * 0.6, angle.sin() * height * 0.6);
    let (from, to) = ((width / 2.0 - dx, height / 2.0 - dy), (width / 2.0 + dx, height / 2.0 + dy));
    let depth = rng.random_range(0.1..0.5);
    let black = [0.0, 0.0, 0.02];
    canvas.fill_rect(all, &gradient(from, to, &[(0.0, black, 0.0), (1.0, black, depth)]), Transform::identity(), None);
    for _ in 0..rng.random_range(0..4) {
        let at = (rng.random_range(0.0..width), rng.random_range(0.0..height));
        let radius = width * rng.random_range(0.12..0.35);
        let (tone, strength) = if rng.random_bool(0.5) { ([1.0, 0.98, 0.85], 0.28) } else { (black, 0.4) };
        if let Some(path) = PathBuilder::from_circle(at.0, at.1, radius) {
            let paint = glow(at, radius, &[(0.0, tone, strength), (1.0, tone, 0.0)]);
            canvas.fill_path(&path, &paint, FillRule::Winding, Transform::identity(), None);
        }
    }
}

/// Exposure, white balance, saturation, contrast and sensor noise.
fn develop(picture: &mut RgbImage, rng: &mut impl Rng) {
    let exposure: f32 = rng.random_range(0.8..1.3);
    let warmth: f32 = rng.random_range(-0.12..0.12);
    let gain = [1.0 + warmth, 1.0, 1.0 - warmth];
    let saturation: f32 = rng.random_range(0.65..1.1);
    let gamma: f32 = rng.random_range(0.85..1.25);
    let noise: f32 = rng.random_range(0.005..0.03);
    for pixel in picture.pixels_mut() {
        let rgb: Rgb =
            std::array::from_fn(|i| (f32::from(pixel.0[i]) / 255.0 * exposure * gain[i]).max(0.0).powf(gamma));
        let grey = 0.3 * rgb[0] + 0.59 * rgb[1] + 0.11 * rgb[2];
        let grain: f32 = noise * (rng.random_range(-1.0..1.0f32) + rng.random_range(-1.0..1.0f32));
        pixel.0 = rgb.map(|c| ((grey + (c - grey) * saturation + grain).clamp(0.0, 1.0) * 255.0).round() as u8);
    }
}
