//! Rotation, shear and shift: Pillow's affine transform. Each pixel of the result looks up its
//! source; a source outside the picture gives the fill colour.

use crate::image::resample::Filter;

/// `[a, b, c, d, e, f]`: the pixel at (x, y) comes from (a x + b y + c, d x + e y + f), in pixels,
/// at pixel centres.
pub(super) type Matrix = [f64; 6];

/// Returns the matrix of a rotation by `degrees` counter-clockwise about the centre.
pub(super) fn rotation(degrees: f64, side: u32) -> Matrix {
    let (sin, cos) = (-degrees.to_radians()).sin_cos();
    let centre = f64::from(side) / 2.0;
    let start = |a: f64, b: f64| centre - a * centre - b * centre;
    [cos, sin, start(cos, sin), -sin, cos, start(-sin, cos)]
}

/// Transforms a square picture with nearest or bilinear interpolation, or bicubic for every other
/// filter.
pub(super) fn transform(pixels: &[u8], side: u32, matrix: &Matrix, filter: Filter, fill: [u8; 3]) -> Vec<u8> {
    let source = Source { pixels, side: side as i32 };
    let [a, b, c, d, e, f] = *matrix;
    let mut out = Vec::with_capacity(pixels.len());
    for y in 0..side {
        for x in 0..side {
            let (px, py) = (f64::from(x) + 0.5, f64::from(y) + 0.5);
            let (sx, sy) = (a * px + b * py + c, d * px + e * py + f);
            let inside = |v: f64| v >= 0.0 && v < f64::from(side);
            out.extend(if !(inside(sx) && inside(sy)) {
                fill
            } else {
                match filter {
                    Filter::Nearest => source.at(sx as i32, sy as i32),
                    Filter::Bilinear => source.bilinear(sx - 0.5, sy - 0.5),
                    _ => source.bicubic(sx - 0.5, sy - 0.5),
                }
            });
        }
    }
    out
}

struct Source<'a> {
    pixels: &'a [u8],
    side: i32,
}

impl Source<'_> {
    /// Returns the pixel at (x, y), or the nearest one on the border.
    fn at(&self, x: i32, y: i32) -> [u8; 3] {
        let (x, y) = (x.clamp(0, self.side - 1), y.clamp(0, self.side - 1));
        let start = (y * self.side + x) as usize * 3;
        [self.pixels[start], self.pixels[start + 1], self.pixels[start + 2]]
    }

    fn bilinear(&self, x: f64, y: f64) -> [u8; 3] {
        let (left, top) = (x.floor(), y.floor());
        let (dx, dy) = (x - left, y - top);
        let (left, top) = (left as i32, top as i32);
        let corners = [self.at(left, top), self.at(left + 1, top), self.at(left, top + 1), self.at(left + 1, top + 1)];
        std::array::from_fn(|c| {
            let [p, q, r, s] = corners.map(|pixel| f64::from(pixel[c]));
            let (upper, lower) = (p + (q - p) * dx, r + (s - r) * dx);
            (upper + (lower - upper) * dy) as u8
        })
    }

    fn bicubic(&self, x: f64, y: f64) -> [u8; 3] {
        let (left, top) = (x.floor(), y.floor());
        let (wx, wy) = (cubic_weights(x - left), cubic_weights(y - top));
        let (left, top) = (left as i32 - 1, top as i32 - 1);
        let mut sums = [0.0; 3];
        for (row, wy) in (top..).zip(wy) {
            for (column, wx) in (left..).zip(wx) {
                let pixel = self.at(column, row);
                for (sum, value) in sums.iter_mut().zip(pixel) {
                    *sum += wx * wy * f64::from(value);
                }
            }
        }
        sums.map(truncated)
    }
}

/// Returns the weights of the four neighbours of a point `d` beyond the second: Keys' cubic with a
/// = -1, which Pillow uses in transforms (its resizing has a = -0.5).
fn cubic_weights(d: f64) -> [f64; 4] {
    let (d2, d3) = (d * d, d * d * d);
    [-d + 2.0 * d2 - d3, 1.0 - 2.0 * d2 + d3, d + d2 - d3, d3 - d2]
}

/// Clamps to 0..=255 and truncates. The weights sum to one only up to rounding, so a small offset
/// keeps a flat area from darkening.
fn truncated(value: f64) -> u8 {
    (value + 1e-9) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns a 4 x 4 picture whose red is ten times x plus y.
    fn grid() -> Vec<u8> {
        (0..4u8).flat_map(|y| (0..4u8).flat_map(move |x| [x * 10 + y, 0, 0])).collect()
    }

    fn reds(pixels: &[u8]) -> Vec<u8> {
        pixels.iter().step_by(3).copied().collect()
    }

    #[test]
    fn a_shift_by_whole_pixels_is_exact_in_every_filter() {
        for filter in [Filter::Nearest, Filter::Bilinear, Filter::Bicubic] {
            let out = transform(&grid(), 4, &[1.0, 0.0, 1.0, 0.0, 1.0, 0.0], filter, [99, 98, 97]);
            assert_eq!(reds(&out)[..8], [10, 20, 30, 99, 11, 21, 31, 99], "{filter:?}");
            assert_eq!(out[9..12], [99, 98, 97]);
        }
    }

    #[test]
    fn half_a_pixel_is_the_mean_of_two() {
        let out = transform(&grid(), 4, &[1.0, 0.0, 0.5, 0.0, 1.0, 0.0], Filter::Bilinear, [0; 3]);
        // The last pixel would come from the very edge, which is outside.
        assert_eq!(reds(&out)[..4], [5, 15, 25, 0]);
    }

    #[test]
    fn a_quarter_turn_counter_clockwise() {
        let out = transform(&grid(), 4, &rotation(90.0, 4), Filter::Nearest, [0; 3]);
        // The last column becomes the first row.
        assert_eq!(reds(&out)[..4], [30, 31, 32, 33]);
    }

    #[test]
    fn a_flat_picture_stays_flat() {
        let flat = vec![200; 48];
        let out = transform(&flat, 4, &rotation(17.0, 4), Filter::Bicubic, [200; 3]);
        assert_eq!(out, flat);
    }
}
