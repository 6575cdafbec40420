//! Small steps between the rasteriser and the drawing: colours, paints, and the way back to 8-bit
//! RGB.

use image::RgbImage;
use tiny_skia::{
    Color, GradientStop, LinearGradient, Paint, Pixmap, Point, RadialGradient, Shader, SpreadMode, Transform,
};

/// Red, green, blue in [0, 1].
pub type Rgb = [f32; 3];

/// Between two colours: `t` 0 gives `a`, 1 gives `b`.
pub fn mix(a: Rgb, b: Rgb, t: f32) -> Rgb {
    [a[0] + (b[0] - a[0]) * t, a[1] + (b[1] - a[1]) * t, a[2] + (b[2] - a[2]) * t]
}

/// Lighter (above 1) or darker (below 1).
pub fn shade(colour: Rgb, by: f32) -> Rgb {
    colour.map(|c| c * by)
}

/// A colour the rasteriser takes; parts out of range are clamped.
pub fn colour(rgb: Rgb, alpha: f32) -> Color {
    let [r, g, b] = rgb.map(|c| c.clamp(0.0, 1.0));
    Color::from_rgba(r, g, b, alpha.clamp(0.0, 1.0)).unwrap_or(Color::BLACK)
}

/// One colour all over, with smooth edges.
pub fn solid(rgb: Rgb, alpha: f32) -> Paint<'static> {
    Paint { shader: Shader::SolidColor(colour(rgb, alpha)), anti_alias: true, ..Paint::default() }
}

/// From one colour at `from` to another at `to`, through the stops between (position in [0, 1],
/// colour, alpha).
pub fn gradient(from: (f32, f32), to: (f32, f32), stops: &[(f32, Rgb, f32)]) -> Paint<'static> {
    let shader = LinearGradient::new(
        Point::from_xy(from.0, from.1),
        Point::from_xy(to.0, to.1),
        stops.iter().map(|&(at, rgb, alpha)| GradientStop::new(at, colour(rgb, alpha))).collect(),
        SpreadMode::Pad,
        Transform::identity(),
    );
    paint(shader, stops)
}

/// From the middle of a disc outwards.
pub fn glow(centre: (f32, f32), radius: f32, stops: &[(f32, Rgb, f32)]) -> Paint<'static> {
    let centre = Point::from_xy(centre.0, centre.1);
    let shader = RadialGradient::new(
        centre,
        0.0,
        centre,
        radius.max(1e-3),
        stops.iter().map(|&(at, rgb, alpha)| GradientStop::new(at, colour(rgb, alpha))).collect(),
        SpreadMode::Pad,
        Transform::identity(),
    );
    paint(shader, stops)
}

fn paint(shader: Option<Shader<'static>>, stops: &[(f32, Rgb, f32)]) -> Paint<'static> {
    let fallback = || Shader::SolidColor(stops.first().map_or(Color::BLACK, |&(_, rgb, alpha)| colour(rgb, alpha)));
    Paint { shader: shader.unwrap_or_else(fallback), anti_alias: true, ..Paint::default() }
}

/// An opaque canvas as 8-bit RGB, `factor` times smaller by averaging squares of pixels.
pub fn shrink(canvas: &Pixmap, factor: u32) -> RgbImage {
    let (width, height) = (canvas.width() / factor, canvas.height() / factor);
    let stride = canvas.width() as usize * 4;
    let data = canvas.data();
    RgbImage::from_fn(width, height, |x, y| {
        let mut sum = [0u32; 3];
        for row in 0..factor {
            for column in 0..factor {
                let at = ((y * factor + row) as usize) * stride + ((x * factor + column) as usize) * 4;
                for (sum, value) in sum.iter_mut().zip(&data[at..at + 3]) {
                    *sum += u32::from(*value);
                }
            }
        }
        image::Rgb(sum.map(|s| (s / (factor * factor)) as u8))
    })
}
