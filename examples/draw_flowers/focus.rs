//! Depth of field.

use image::{RgbaImage, imageops};
use tiny_skia::Pixmap;

/// Blurs a layer in place; sigma in its pixels.
pub fn blur(layer: &mut Pixmap, sigma: f32) {
    if sigma < 0.3 {
        return;
    }
    if let Some(picture) = RgbaImage::from_raw(layer.width(), layer.height(), layer.data().to_vec()) {
        layer.data_mut().copy_from_slice(imageops::fast_blur(&picture, sigma).as_raw());
    }
}
