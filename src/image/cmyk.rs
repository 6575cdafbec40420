//! CMYK as Pillow makes RGB of it, without a colour profile.

/// Converts the amounts of ink: each channel is `(255 - K) - round(C * (255 - K) / 255)`.
pub(super) fn to_rgb([c, m, y, k]: [u8; 4]) -> [u8; 3] {
    let light = 255 - k;
    [c, m, y].map(|ink| light.saturating_sub(scaled(ink, light)))
}

/// Converts the inverted values that Adobe's programs store in JPEGs, `255 - C` and so on.
pub(super) fn from_inverted(stored: [u8; 4]) -> [u8; 3] {
    to_rgb(stored.map(|value| 255 - value))
}

/// Returns `round(a * b / 255)` in integers.
fn scaled(a: u8, b: u8) -> u8 {
    let product = u32::from(a) * u32::from(b) + 128;
    (((product >> 8) + product) >> 8) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cmyk_follows_pillow() {
        // Stored inverted: full K (255) means no black, so the colour is the stored value itself.
        assert_eq!(from_inverted([200, 100, 0, 255]), [200, 100, 0]);
        assert_eq!(from_inverted([200, 100, 0, 0]), [0, 0, 0]);
        // K = 128: 128 - round(55 * 128 / 255) = 128 - 28; 128 - round(155 * 128 / 255) = 128 - 78;
        // 128 - 128.
        assert_eq!(from_inverted([200, 100, 0, 128]), [100, 50, 0]);
        assert_eq!(to_rgb([55, 155, 255, 127]), [100, 50, 0]);
    }
}
