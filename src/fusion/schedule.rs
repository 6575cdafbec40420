//! The learning rate: a cosine from `peak` to `floor` over all steps, without warm-up (method
//! section 8).

/// Returns the rate of step `step` (from 0) of `steps`.
pub fn cosine(peak: f64, floor: f64, step: u64, steps: u64) -> f64 {
    let progress = if steps == 0 { 1.0 } else { step.min(steps) as f64 / steps as f64 };
    floor + (peak - floor) * (1.0 + (std::f64::consts::PI * progress).cos()) / 2.0
}

#[cfg(test)]
mod tests {
    use super::cosine;

    #[test]
    fn goes_from_peak_to_floor() {
        assert_eq!(cosine(1e-4, 2e-6, 0, 10), 1e-4);
        assert!((cosine(1e-4, 2e-6, 5, 10) - (1e-4 + 2e-6) / 2.0).abs() < 1e-12);
        assert!((cosine(1e-4, 2e-6, 10, 10) - 2e-6).abs() < 1e-12);
    }
}
