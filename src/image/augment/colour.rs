//! Operations that map each value through a table of 256 entries: Pillow's `ImageOps`.

/// Applies one table to every channel.
pub(super) fn map(pixels: &mut [u8], table: impl Fn(u8) -> u8) {
    let table: [u8; 256] = std::array::from_fn(|v| table(v as u8));
    for value in pixels {
        *value = table[usize::from(*value)];
    }
}

/// Inverts every value.
pub(super) fn invert(pixels: &mut [u8]) {
    map(pixels, |v| 255 - v);
}

/// Keeps the `bits` highest bits of each value; 0 leaves black.
pub(super) fn posterize(pixels: &mut [u8], bits: u32) {
    if bits < 8 {
        let mask = !((1u32 << (8 - bits)) - 1) as u8;
        map(pixels, |v| v & mask);
    }
}

/// Inverts values of at least `threshold` (0 to 256).
pub(super) fn solarize(pixels: &mut [u8], threshold: u32) {
    map(pixels, |v| if u32::from(v) < threshold { v } else { 255 - v });
}

/// Adds `add` to values below 128.
pub(super) fn solarize_add(pixels: &mut [u8], add: u32) {
    map(pixels, |v| if v < 128 { (u32::from(v) + add).min(255) as u8 } else { v });
}

/// Stretches each channel to the full range.
pub(super) fn auto_contrast(pixels: &mut [u8]) {
    per_channel(pixels, |histogram| {
        let low = histogram.iter().position(|&n| n > 0).unwrap_or(0);
        let high = histogram.iter().rposition(|&n| n > 0).unwrap_or(0);
        if high <= low {
            return None;
        }
        let scale = 255.0 / (high - low) as f64;
        let offset = -(low as f64) * scale;
        Some(std::array::from_fn(|v| (v as f64 * scale + offset) as u8))
    });
}

/// Flattens the histogram of each channel.
pub(super) fn equalize(pixels: &mut [u8]) {
    per_channel(pixels, |histogram| {
        let highest = histogram.iter().rposition(|&n| n > 0)?;
        let total: u32 = histogram.iter().sum();
        let step = (total - histogram[highest]) / 255;
        if step == 0 {
            return None;
        }
        let mut reached = step / 2;
        Some(std::array::from_fn(|v| {
            let value = (reached / step).min(255) as u8;
            reached += histogram[v];
            value
        }))
    });
}

/// Maps each channel through a table made from its histogram; `None` leaves the channel unchanged.
fn per_channel(pixels: &mut [u8], table: impl Fn(&[u32; 256]) -> Option<[u8; 256]>) {
    let mut histograms = [[0u32; 256]; 3];
    for pixel in pixels.as_chunks::<3>().0 {
        for (histogram, &value) in histograms.iter_mut().zip(pixel) {
            histogram[usize::from(value)] += 1;
        }
    }
    for (channel, histogram) in histograms.iter().enumerate() {
        if let Some(table) = table(histogram) {
            for value in pixels.iter_mut().skip(channel).step_by(3) {
                *value = table[usize::from(*value)];
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn done(mut pixels: Vec<u8>, op: impl Fn(&mut [u8])) -> Vec<u8> {
        op(&mut pixels);
        pixels
    }

    #[test]
    fn posterize_keeps_high_bits() {
        let pixels = vec![0, 127, 128, 200, 255, 65];
        assert_eq!(done(pixels.clone(), |p| posterize(p, 1)), [0, 0, 128, 128, 128, 0]);
        assert_eq!(done(pixels.clone(), |p| posterize(p, 4)), [0, 112, 128, 192, 240, 64]);
        assert_eq!(done(pixels.clone(), |p| posterize(p, 0)), [0; 6]);
        assert_eq!(done(pixels.clone(), |p| posterize(p, 8)), pixels);
    }

    #[test]
    fn solarize_inverts_from_the_threshold_on() {
        let pixels = vec![0, 25, 26, 27, 128, 255];
        assert_eq!(done(pixels.clone(), |p| solarize(p, 26)), [0, 25, 229, 228, 127, 0]);
        assert_eq!(done(pixels.clone(), |p| solarize(p, 256)), pixels);
        assert_eq!(done(pixels.clone(), |p| solarize(p, 0)), done(pixels, invert));
    }

    #[test]
    fn solarize_add_brightens_the_dark_half() {
        assert_eq!(done(vec![0, 28, 29, 127, 128, 255], |p| solarize_add(p, 99)), [99, 127, 128, 226, 128, 255]);
        assert_eq!(done(vec![120, 127, 128], |p| solarize_add(p, 128)), [248, 255, 128]);
    }

    #[test]
    fn auto_contrast_stretches_each_channel_alone() {
        // Red 50..150: scale 2.55; green is constant and blue is 0..255, so both are unchanged.
        let pixels = vec![50, 9, 0, 100, 9, 128, 150, 9, 255];
        assert_eq!(done(pixels, auto_contrast), [0, 9, 0, 127, 9, 128, 255, 9, 255]);
    }

    #[test]
    fn equalize_follows_the_cumulative_histogram() {
        // 510 pixels of 10, 510 of 20, 4 of 30: step (1024 - 4) / 255 = 4, so 2/4, 512/4, 1022/4.
        let greys = [vec![10u8; 510], vec![20; 510], vec![30; 4]].concat();
        let pixels: Vec<u8> = greys.iter().flat_map(|&v| [v; 3]).collect();
        let out = done(pixels, equalize);
        assert_eq!((out[0], out[510 * 3], out[1020 * 3]), (0, 128, 255));
        // Too few pixels for a step: nothing happens.
        assert_eq!(done(vec![1, 2, 3, 4, 5, 6], equalize), [1, 2, 3, 4, 5, 6]);
    }
}
