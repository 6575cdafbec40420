//! Outlines of leaves in a unit frame: the base at the origin, the tip at (0, 1).

use super::flower::Leaf;
use tiny_skia::{Path, PathBuilder};

/// The outline of a leaf one unit long.
pub fn outline(leaf: Leaf) -> Option<Path> {
    let mut path = PathBuilder::new();
    path.move_to(0.0, 0.0);
    match leaf {
        Leaf::Narrow => {
            path.cubic_to(-0.14, 0.3, -0.1, 0.7, 0.0, 1.0);
            path.cubic_to(0.1, 0.7, 0.14, 0.3, 0.0, 0.0);
        }
        Leaf::Round => {
            path.cubic_to(-0.5, 0.15, -0.5, 0.8, 0.0, 0.95);
            path.cubic_to(0.5, 0.8, 0.5, 0.15, 0.0, 0.0);
        }
        Leaf::Toothed => {
            let side = [(0.16, 0.12), (0.15, 0.26), (0.3, 0.3), (0.24, 0.46), (0.33, 0.52), (0.22, 0.66), (0.24, 0.74)];
            both_sides(&mut path, &side);
        }
        Leaf::Lobed => {
            let side = [(0.1, 0.2), (0.5, 0.25), (0.18, 0.4), (0.55, 0.62), (0.2, 0.62), (0.3, 0.95)];
            both_sides(&mut path, &side);
        }
    }
    path.close();
    path.finish()
}

fn both_sides(path: &mut PathBuilder, side: &[(f32, f32)]) {
    for &(x, y) in side {
        path.line_to(x, y);
    }
    path.line_to(0.0, 1.0);
    for &(x, y) in side.iter().rev() {
        path.line_to(-x, y);
    }
}
