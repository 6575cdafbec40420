//! Axes of charts: how their numbers are written, where their ticks stand.

use serde::Serialize;

/// What an axis is about.
#[derive(Debug, Clone, Copy)]
pub(super) struct Axis {
    pub(super) name: &'static str,
    pub(super) unit: Unit,
}

#[derive(Debug, Serialize)]
pub(super) struct Tick {
    at: f64,
    text: String,
}

/// How a number is written.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Unit {
    /// A share, as per cent.
    Percent,
    /// A whole number.
    Count,
    /// A number with this many decimals.
    Decimals(usize),
}

impl Unit {
    pub(super) fn write(self, value: f64) -> String {
        match self {
            Unit::Percent => format!("{:.1} %", 100.0 * value),
            Unit::Count => format!("{value:.0}"),
            Unit::Decimals(n) => format!("{value:.n$}"),
        }
    }

    /// Writes a tick's label, with no more digits than tell it from the next.
    fn tick(self, value: f64, step: f64) -> String {
        let digits = |step: f64| (-step.log10()).ceil().clamp(0.0, 6.0) as usize;
        match self {
            Unit::Percent => format!("{:.*} %", digits(100.0 * step), 100.0 * value),
            Unit::Count | Unit::Decimals(_) => format!("{value:.*}", digits(step)),
        }
    }
}

/// Maps values between two ends to places between two others.
#[derive(Clone, Copy)]
pub(super) struct Scale {
    pub(super) low: f64,
    pub(super) high: f64,
    pub(super) from: f64,
    pub(super) to: f64,
}

impl Scale {
    pub(super) fn at(self, value: f64) -> f64 {
        rounded(self.from + (value - self.low) / (self.high - self.low) * (self.to - self.from))
    }
}

/// Rounds to a tenth of a unit, which is finer than a screen shows.
pub(super) fn rounded(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

/// Returns 1, 2 or 5 times a power of ten, so that a span has about `count` steps.
pub(super) fn step(span: f64, count: f64) -> f64 {
    let rough = (span / count).max(f64::MIN_POSITIVE);
    let power = 10f64.powf(rough.log10().floor());
    [1.0, 2.0, 5.0, 10.0].into_iter().map(|m| m * power).find(|step| *step >= rough * 0.999).unwrap_or(10.0 * power)
}

pub(super) fn ticks(scale: Scale, step: f64, unit: Unit) -> Vec<Tick> {
    let first = (scale.low / step - 1e-9).ceil() as i64;
    let last = (scale.high / step + 1e-9).floor() as i64;
    (first..=last)
        .map(|n| n as f64 * step)
        .map(|value| Tick { at: scale.at(value), text: unit.tick(value, step) })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_round_and_few() {
        for (span, want) in [(12.0, 5.0), (0.1, 0.05), (97.0, 50.0), (1.0, 0.5)] {
            assert!((step(span, 3.0) - want).abs() < 1e-9, "{span}: {}", step(span, 3.0));
        }
    }
}
