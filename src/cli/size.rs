//! Sizes in bytes, as people write and read them.

use crate::text::numbers::SIZES;
pub(super) use crate::text::numbers::size as in_words;

/// Parses `500MB`, `1.5 GB` or `1000` into bytes.
pub(super) fn parse(text: &str) -> Result<u64, String> {
    let text = text.trim();
    let ends_with = |unit: &str| {
        text.len().checked_sub(unit.len()).and_then(|at| text.get(at..)?.eq_ignore_ascii_case(unit).then_some(at))
    };
    let found = SIZES.iter().find_map(|(name, unit)| Some((ends_with(name)?, *unit)));
    let (end, unit) = found.or(ends_with("B").map(|end| (end, 1))).unwrap_or((text.len(), 1));
    let number: f64 = text[..end].trim().parse().map_err(|_| "a number of bytes, e.g. 500MB or 20GB".to_owned())?;
    if !number.is_finite() || number < 0.0 {
        return Err("a size is not below 0".to_owned());
    }
    Ok((number * unit as f64) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_they_are_written() {
        for (text, bytes) in [("0", 0), ("1000", 1000), ("7 B", 7), ("500MB", 500_000_000), ("1.5 gb", 1_500_000_000)] {
            assert_eq!(parse(text), Ok(bytes), "{text}");
        }
        for bad in ["", "MB", "-1GB", "much", "NaN", "ü"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
        assert_eq!(in_words(999), "999 B");
        assert_eq!(in_words(41_234_567), "41.2 MB");
    }
}
