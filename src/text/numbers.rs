//! Counts and times as people write them.

use std::time::Duration;

/// Writes a count: `12,345`.
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Units of sizes, by thousands.
pub(crate) const SIZES: [(&str, u64); 4] =
    [("TB", 1_000_000_000_000), ("GB", 1_000_000_000), ("MB", 1_000_000), ("kB", 1_000)];

/// Writes a number of bytes: `41.2 MB`.
pub(crate) fn size(bytes: u64) -> String {
    let unit = SIZES.iter().find(|(_, unit)| bytes >= *unit);
    unit.map_or(format!("{bytes} B"), |(name, unit)| format!("{:.1} {name}", bytes as f64 / *unit as f64))
}

/// Writes how many there are of a thing that is named in the singular: `1 image`, `1,680 images`.
pub(crate) fn counted(number: u64, unit: &str) -> String {
    match number {
        1 => format!("1 {unit}"),
        _ => format!("{} {}", count(number), plural(unit)),
    }
}

/// Returns the plural of a noun that the program counts.
pub(crate) fn plural(unit: &str) -> String {
    if unit.ends_with('s') { format!("{unit}es") } else { format!("{unit}s") }
}

/// Writes a time: `0.3 s`, `41 s`, `3 min 20 s`, `2 h 05 min`.
pub(crate) fn duration(time: Duration) -> String {
    match time.as_secs() {
        0..10 => format!("{:.1} s", time.as_secs_f64()),
        s @ 10..60 => format!("{s} s"),
        s @ 60..3600 => format!("{} min {:02} s", s / 60, s % 60),
        s => format!("{} h {:02} min", s / 3600, s % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_a_thing_is_in_the_singular() {
        assert_eq!([counted(1, "pass"), counted(2, "pass"), counted(0, "image")], ["1 pass", "2 passes", "0 images"]);
        assert_eq!([counted(1, "dead class"), counted(1680, "image")], ["1 dead class", "1,680 images"]);
    }

    #[test]
    fn numbers_read_well() {
        assert_eq!([count(0), count(999), count(1000), count(1_234_567)], ["0", "999", "1,000", "1,234,567"]);
        let times = [0.25, 41.9, 200.0, 7500.0].map(|s| duration(Duration::from_secs_f64(s)));
        assert_eq!(times, ["0.2 s", "41 s", "3 min 20 s", "2 h 05 min"]);
    }
}
