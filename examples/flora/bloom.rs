//! Draws one flower head, and its stem and leaves.

use super::canvas::{Rgb, glow, gradient, mix, shade, solid};
use super::flower::{Eye, Flower, Marks, Stamens};
use super::{leaf, petal};
use rand::Rng;
use std::f32::consts::TAU;
use tiny_skia::{FillRule, LineCap, PathBuilder, PixmapMut, Stroke, Transform};

/// How a flower head is seen: where, how large, from which side, in which light.
#[derive(Clone, Copy, Debug)]
pub struct Pose {
    /// The middle, in pixels.
    pub at: (f32, f32),
    /// The petals' length in pixels.
    pub radius: f32,
    /// Rotation in the picture's plane, radians.
    pub turn: f32,
    /// Direction in which it leans away, radians.
    pub lean: f32,
    /// Cosine of the angle at which it leans: 1 is seen from the front.
    pub squash: f32,
}

impl Pose {
    fn frame(&self) -> Transform {
        // Points are turned first, then squashed along the lean, then scaled and placed.
        Transform::from_translate(self.at.0, self.at.1)
            .pre_scale(self.radius, self.radius)
            .pre_concat(Transform::from_rotate(self.lean.to_degrees()))
            .pre_scale(1.0, self.squash)
            .pre_concat(Transform::from_rotate((self.turn - self.lean).to_degrees()))
    }
}

/// How paint is put on: what differs between a photograph and a printed plate.
#[derive(Clone, Copy, Debug)]
pub struct Style {
    /// Shade from base to tip and from lit to unlit side; 0 is flat.
    pub relief: f32,
    /// Where the light comes from, radians.
    pub light: f32,
    /// Width of the drawn contour as a fraction of the petals' length; 0 is none.
    pub contour: f32,
    /// How much length and direction of the petals vary.
    pub disorder: f32,
    /// Added to the petals' colour: the variation between plants.
    pub tint: Rgb,
}

/// Draws the flower head.
pub fn draw(canvas: &mut PixmapMut, flower: &Flower, pose: &Pose, style: &Style, rng: &mut impl Rng) {
    let frame = pose.frame();
    petals(canvas, flower, pose, style, frame, rng);
    eye(canvas, flower.eye, style, frame, rng);
    stamens(canvas, flower.stamens, style, frame, rng);
}

fn petals(canvas: &mut PixmapMut, flower: &Flower, pose: &Pose, style: &Style, frame: Transform, rng: &mut impl Rng) {
    let width = flower.width * rng.random_range(0.9..1.1);
    let Some(outline) = petal::outline(flower.tip, width) else { return };
    let base: Rgb = std::array::from_fn(|i| flower.colour.rgb()[i] + style.tint[i]);
    let mut order: Vec<u32> = (0..flower.petals).collect();
    // Every second petal lies above its neighbours.
    order.sort_by_key(|k| k % 2);
    for k in order {
        let angle = TAU * k as f32 / flower.petals as f32 + style.disorder * rng.random_range(-0.12..0.12);
        let length = 1.0 - style.disorder * rng.random_range(0.0..0.16);
        let place = frame.pre_concat(Transform::from_rotate(angle.to_degrees())).pre_scale(length, length);
        let facing = (angle + pose.turn + std::f32::consts::FRAC_PI_2 - style.light).cos();
        let lit = shade(base, 1.0 + style.relief * (0.28 * facing - 0.12 + rng.random_range(-0.08..0.08)));
        let deep = shade(lit, 1.0 - 0.45 * style.relief);
        let paint = match flower.marks {
            Marks::Tipped(hue) => {
                let tip = shade(hue.rgb(), 1.0 + 0.2 * style.relief * facing);
                gradient(
                    (0.0, 0.0),
                    (0.0, 1.0),
                    &[(0.0, deep, 1.0), (0.35, lit, 1.0), (0.6, lit, 1.0), (0.76, tip, 1.0)],
                )
            }
            _ => gradient(
                (0.0, 0.0),
                (0.0, 1.0),
                &[(0.0, deep, 1.0), (0.45, lit, 1.0), (1.0, shade(lit, 1.0 + 0.1 * style.relief), 1.0)],
            ),
        };
        canvas.fill_path(&outline, &paint, FillRule::Winding, place, None);
        marks(canvas, flower.marks, width, place, rng);
        let (line, strength) = if style.contour > 0.0 { (style.contour, 0.9) } else { (0.018, 0.35) };
        let stroke = Stroke { width: line, ..Stroke::default() };
        canvas.stroke_path(&outline, &solid(shade(base, 0.4), strength), &stroke, place, None);
    }
}

fn marks(canvas: &mut PixmapMut, marks: Marks, width: f32, place: Transform, rng: &mut impl Rng) {
    match marks {
        Marks::Plain | Marks::Tipped(_) => {}
        Marks::Spotted(hue) => {
            let mut spots = PathBuilder::new();
            for (x, y) in [(-0.35, 0.38), (0.3, 0.45), (0.0, 0.56), (-0.45, 0.64), (0.45, 0.68), (0.02, 0.78)] {
                let jitter = |rng: &mut dyn rand::RngCore| rng.random_range(-0.035..0.035);
                spots.push_circle(width * x + jitter(rng), y + jitter(rng), rng.random_range(0.045..0.065));
            }
            if let Some(path) = spots.finish() {
                canvas.fill_path(&path, &solid(hue.rgb(), 0.92), FillRule::Winding, place, None);
            }
        }
        Marks::Veined(hue) => {
            let stroke = Stroke { width: 0.032, line_cap: LineCap::Round, ..Stroke::default() };
            if let Some(path) = petal::veins(width) {
                canvas.stroke_path(&path, &solid(hue.rgb(), 0.85), &stroke, place, None);
            }
        }
        Marks::Striped(hue) => {
            let stroke = Stroke { width: 0.12, line_cap: LineCap::Round, ..Stroke::default() };
            if let Some(path) = petal::stripe() {
                canvas.stroke_path(&path, &solid(hue.rgb(), 0.85), &stroke, place, None);
            }
        }
    }
}

fn eye(canvas: &mut PixmapMut, eye: Eye, style: &Style, frame: Transform, rng: &mut impl Rng) {
    let grow = rng.random_range(0.9..1.1);
    let mut path = PathBuilder::new();
    let hue = match eye {
        Eye::Small(hue) => {
            path.push_circle(0.0, 0.0, 0.15 * grow);
            hue
        }
        Eye::Large(hue) => {
            path.push_circle(0.0, 0.0, 0.3 * grow);
            hue
        }
        Eye::Ring(hue) => {
            path.push_circle(0.0, 0.0, 0.27 * grow);
            let stroke = Stroke { width: 0.11, ..Stroke::default() };
            if let Some(path) = path.finish() {
                canvas.stroke_path(&path, &solid(hue.rgb(), 1.0), &stroke, frame, None);
            }
            path = PathBuilder::new();
            path.push_circle(0.0, 0.0, 0.09);
            hue
        }
        Eye::Star(hue) => {
            for k in 0..10u32 {
                let angle = TAU * k as f32 / 10.0;
                let reach = if k % 2 == 0 { 0.42 } else { 0.15 } * grow;
                let (x, y) = (reach * angle.cos(), reach * angle.sin());
                if k == 0 { path.move_to(x, y) } else { path.line_to(x, y) }
            }
            path.close();
            hue
        }
    };
    if let Some(path) = path.finish() {
        let rgb = hue.rgb();
        let paint = glow(
            (0.0, 0.0),
            0.36,
            &[(0.0, shade(rgb, 1.0 + 0.1 * style.relief), 1.0), (1.0, shade(rgb, 1.0 - 0.4 * style.relief), 1.0)],
        );
        canvas.fill_path(&path, &paint, FillRule::Winding, frame, None);
    }
}

fn stamens(canvas: &mut PixmapMut, stamens: Stamens, style: &Style, frame: Transform, rng: &mut impl Rng) {
    let (count, reach, dot, hue) = match stamens {
        Stamens::Hidden => return,
        Stamens::Long(hue) => (6u32, 0.52, 0.062, hue),
        Stamens::Tuft(hue) => (14, 0.3, 0.05, hue),
    };
    let (mut threads, mut anthers) = (PathBuilder::new(), PathBuilder::new());
    for k in 0..count {
        let angle = TAU * (k as f32 + 0.5) / count as f32 + rng.random_range(-0.15..0.15);
        let reach = reach * rng.random_range(0.85..1.12);
        let (x, y) = (reach * angle.cos(), reach * angle.sin());
        threads.move_to(0.0, 0.0);
        threads.line_to(x, y);
        anthers.push_circle(x, y, dot);
    }
    let stroke = Stroke { width: 0.03, ..Stroke::default() };
    let dark = shade(hue.rgb(), 1.0 - 0.3 * style.relief);
    if let Some(path) = threads.finish() {
        canvas.stroke_path(&path, &solid(mix(dark, [0.8, 0.8, 0.6], 0.4), 0.9), &stroke, frame, None);
    }
    if let Some(path) = anthers.finish() {
        canvas.fill_path(&path, &solid(dark, 1.0), FillRule::Winding, frame, None);
    }
}

/// Draws a stem from the flower head to `foot`, with leaves along it.
pub fn draw_stem(
    canvas: &mut PixmapMut,
    flower: &Flower,
    pose: &Pose,
    foot: (f32, f32),
    green: Rgb,
    rng: &mut impl Rng,
) {
    let mut path = PathBuilder::new();
    let bend = ((pose.at.0 + foot.0) / 2.0 + rng.random_range(-0.3..0.3) * pose.radius, (pose.at.1 + foot.1) / 2.0);
    path.move_to(pose.at.0, pose.at.1);
    path.quad_to(bend.0, bend.1, foot.0, foot.1);
    let stroke = Stroke { width: pose.radius * 0.09, ..Stroke::default() };
    if let Some(path) = path.finish() {
        canvas.stroke_path(&path, &solid(shade(green, 0.8), 1.0), &stroke, Transform::identity(), None);
    }
    let Some(outline) = leaf::outline(flower.leaf) else { return };
    let down = (foot.1 - pose.at.1).atan2(foot.0 - pose.at.0);
    for k in 0..rng.random_range(2..5u32) {
        let along: f32 = rng.random_range(0.35..0.9);
        let at = (pose.at.0 + (foot.0 - pose.at.0) * along, pose.at.1 + (foot.1 - pose.at.1) * along);
        let side = if k % 2 == 0 { 1.0 } else { -1.0 };
        let angle = down + side * rng.random_range(0.9..2.2) - std::f32::consts::FRAC_PI_2;
        let length = pose.radius * rng.random_range(0.6..1.1);
        let place = Transform::from_translate(at.0, at.1)
            .pre_concat(Transform::from_rotate(angle.to_degrees()))
            .pre_scale(length, length);
        let tone = shade(green, rng.random_range(0.75..1.15));
        canvas.fill_path(
            &outline,
            &gradient((0.0, 0.0), (0.0, 1.0), &[(0.0, shade(tone, 0.7), 1.0), (1.0, tone, 1.0)]),
            FillRule::Winding,
            place,
            None,
        );
        let vein = Stroke { width: 0.03, ..Stroke::default() };
        if let Some(path) = super::petal::stripe() {
            canvas.stroke_path(&path, &solid(shade(tone, 1.3), 0.7), &vein, place, None);
        }
    }
}
