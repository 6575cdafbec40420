//! Outlines of petals in a unit frame: the base at the origin, the tip at (0, 1).

use super::flower::Tip;
use tiny_skia::{Path, PathBuilder};

/// The outline of a petal whose half width is `w`.
pub fn outline(tip: Tip, w: f32) -> Option<Path> {
    let mut path = PathBuilder::new();
    path.move_to(0.0, 0.0);
    match tip {
        Tip::Pointed => {
            path.cubic_to(-w * 0.8, 0.2, -w * 1.5, 0.6, 0.0, 1.0);
            path.cubic_to(w * 1.5, 0.6, w * 0.8, 0.2, 0.0, 0.0);
        }
        Tip::Rounded => {
            path.cubic_to(-w * 0.5, 0.15, -w * 1.1, 0.4, -w, 0.68);
            path.cubic_to(-w * 0.9, 1.08, w * 0.9, 1.08, w, 0.68);
            path.cubic_to(w * 1.1, 0.4, w * 0.5, 0.15, 0.0, 0.0);
        }
        Tip::Notched => {
            path.cubic_to(-w * 0.4, 0.2, -w * 1.3, 0.6, -w, 0.88);
            path.cubic_to(-w * 0.8, 1.08, -w * 0.25, 1.05, 0.0, 0.74);
            path.cubic_to(w * 0.25, 1.05, w * 0.8, 1.08, w, 0.88);
            path.cubic_to(w * 1.3, 0.6, w * 0.4, 0.2, 0.0, 0.0);
        }
        Tip::Fringed => {
            path.cubic_to(-w * 0.4, 0.2, -w * 0.8, 0.5, -w * 1.25, 0.92);
            for (x, y) in [(-0.72, 0.60), (-0.5, 1.04), (-0.12, 0.62), (0.2, 1.06), (0.4, 0.60), (1.2, 0.94)] {
                path.line_to(w * x, y);
            }
            path.cubic_to(w * 0.8, 0.5, w * 0.4, 0.2, 0.0, 0.0);
        }
    }
    path.close();
    path.finish()
}

/// Fine lines that fan out from the base.
pub fn veins(w: f32) -> Option<Path> {
    let mut path = PathBuilder::new();
    for spread in [-0.62, -0.3, 0.0, 0.3, 0.62] {
        let end = 0.86 - 0.25 * f32::abs(spread);
        path.move_to(w * spread * 0.2, 0.12);
        path.quad_to(w * spread * 0.9, 0.4, w * spread * 1.05, end);
    }
    path.finish()
}

/// A broad line along the middle.
pub fn stripe() -> Option<Path> {
    let mut path = PathBuilder::new();
    path.move_to(0.0, 0.1);
    path.line_to(0.0, 0.85);
    path.finish()
}
