//! Operations that move a picture away from, or towards, a plain version of itself: Pillow's
//! `ImageEnhance`. A factor of 1 changes nothing, 0 gives the plain version, more than 1
//! exaggerates.

/// Returns `plain + factor * (value - plain)` in single precision, clamped to 0..=255 and
/// truncated, like Pillow's `blend`.
fn blend(plain: u8, value: u8, factor: f32) -> u8 {
    let (plain, value) = (i32::from(plain), i32::from(value));
    // A float cast to u8 saturates and truncates, which takes Pillow three branches.
    (plain as f32 + factor * (value - plain) as f32) as u8
}

/// Returns the luma as Pillow's `convert("L")` computes it: ITU-R 601 weights in 16-bit fixed
/// point, rounded.
fn luma([r, g, b]: [u8; 3]) -> u8 {
    ((u32::from(r) * 19_595 + u32::from(g) * 38_470 + u32::from(b) * 7_471 + 0x8000) >> 16) as u8
}

/// Blends with the grey version.
pub(super) fn saturation(pixels: &mut [u8], factor: f32) {
    for pixel in pixels.as_chunks_mut::<3>().0 {
        let grey = luma(*pixel);
        for value in pixel {
            *value = blend(grey, *value, factor);
        }
    }
}

/// Blends with a flat grey of the mean luma.
pub(super) fn contrast(pixels: &mut [u8], factor: f32) {
    let all = pixels.as_chunks::<3>().0;
    let sum: u64 = all.iter().map(|&p| u64::from(luma(p))).sum();
    let mean = (sum as f64 / all.len().max(1) as f64 + 0.5) as u8;
    super::colour::map(pixels, |v| blend(mean, v, factor));
}

/// Blends with black.
pub(super) fn brightness(pixels: &mut [u8], factor: f32) {
    super::colour::map(pixels, |v| blend(0, v, factor));
}

/// Blends with a smoothed version: a 3 x 3 kernel with weight 5 in the middle, over 13; the border
/// is not smoothed.
pub(super) fn sharpness(pixels: &mut [u8], side: usize, factor: f32) {
    if side < 3 {
        return;
    }
    let original = pixels.to_vec();
    let row = side * 3;
    for y in 1..side - 1 {
        for i in y * row + 3..(y + 1) * row - 3 {
            let three = |at: usize| u32::from(original[at - 3]) + u32::from(original[at]) + u32::from(original[at + 3]);
            let sum = three(i - row) + three(i) + three(i + row) + 4 * u32::from(original[i]);
            let smooth = ((2 * sum + 13) / 26) as u8;
            pixels[i] = blend(smooth, original[i], factor);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blending_truncates_and_saturates() {
        assert_eq!(blend(100, 201, 0.5), 150);
        assert_eq!(blend(0, 200, 1.81), 255);
        assert_eq!(blend(200, 100, 2.5), 0);
    }

    #[test]
    fn brightness_scales() {
        let mut pixels = vec![0, 10, 100, 200, 250, 255];
        brightness(&mut pixels, 1.5);
        assert_eq!(pixels, [0, 15, 150, 255, 255, 255]);
    }

    #[test]
    fn saturation_zero_is_grey_and_one_is_no_change() {
        let mut pixels = vec![255, 0, 0, 0, 255, 0, 0, 0, 255];
        saturation(&mut pixels, 1.0);
        assert_eq!(pixels, [255, 0, 0, 0, 255, 0, 0, 0, 255]);
        saturation(&mut pixels, 0.0);
        assert_eq!(pixels, [76, 76, 76, 150, 150, 150, 29, 29, 29]);
    }

    #[test]
    fn contrast_moves_away_from_the_mean() {
        let mut pixels = vec![100, 100, 100, 120, 120, 120];
        contrast(&mut pixels, 1.5); // mean 110
        assert_eq!(pixels, [95, 95, 95, 125, 125, 125]);
    }

    #[test]
    fn sharpness_leaves_the_border() {
        let mut pixels = vec![0; 27];
        pixels[12..15].fill(130); // the middle of 3 x 3: smoothed to 5 * 130 / 13 = 50
        sharpness(&mut pixels, 3, 0.0);
        assert_eq!(pixels[12..15], [50, 50, 50]);
        assert!(pixels[..12].iter().chain(&pixels[15..]).all(|&v| v == 0));
    }
}
