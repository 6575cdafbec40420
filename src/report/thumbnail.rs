//! Pictures inside the page: small, and as `data:` URIs.

use std::collections::HashMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use image::codecs::jpeg::JpegEncoder;
use image::codecs::png::PngEncoder;
use image::imageops::{FilterType, resize};
use image::{ExtendedColorType, ImageEncoder, RgbImage};

use crate::error::{Context, Kind, Result};
use crate::image::Rgb;
use crate::stage::pictures::Pictures;

/// The shorter edge of a thumbnail, in pixels.
const SIDE: u32 = 132;

/// The greatest ratio of a thumbnail's edges: longer pictures are squeezed to it, and the page
/// crops it to a square.
const LONGEST: f64 = 2.0;

const QUALITY: u8 = 80;

/// The pictures of a dataset, by their ids.
pub(super) struct Thumbnails<'a> {
    pictures: &'a Pictures,
    places: HashMap<&'a str, usize>,
}

impl<'a> Thumbnails<'a> {
    pub(super) fn new(pictures: &'a Pictures) -> Self {
        let places = pictures.rows().iter().enumerate().map(|(n, row)| (row.image_id.as_str(), n)).collect();
        Thumbnails { pictures, places }
    }

    /// Loads a whole picture; returns `None` if its file is gone or has changed.
    pub(super) fn whole(&self, image_id: &str) -> Option<Rgb> {
        self.pictures.load(*self.places.get(image_id)?).ok()
    }

    /// Returns the thumbnail of a picture, if its file is still there.
    pub(super) fn of(&self, image_id: &str) -> Option<String> {
        jpeg(&self.whole(image_id)?, SIDE).ok()
    }
}

/// Encodes a picture as JPEG with a shorter edge of `side` pixels, or its own if that is smaller.
pub(super) fn jpeg(picture: &Rgb, side: u32) -> Result<String> {
    let cannot = || "cannot make a thumbnail".to_owned();
    let scale = (f64::from(side) / f64::from(picture.shorter_edge())).min(1.0);
    let edge = |length: u32| ((f64::from(length) * scale).round() as u32).clamp(1, (f64::from(side) * LONGEST) as u32);
    let (width, height) = (edge(picture.width), edge(picture.height));
    let whole = RgbImage::from_raw(picture.width, picture.height, picture.pixels.clone());
    let small = match whole {
        Some(whole) => resize(&whole, width, height, FilterType::Triangle),
        None => RgbImage::new(1, 1),
    };
    let mut bytes = Vec::new();
    JpegEncoder::new_with_quality(&mut bytes, QUALITY)
        .write_image(&small, small.width(), small.height(), ExtendedColorType::Rgb8)
        .context(Kind::Input, cannot)?;
    Ok(format!("data:image/jpeg;base64,{}", STANDARD.encode(bytes)))
}

/// Encodes a square veil of one colour as PNG, with an opacity for each of `side * side` places, in
/// row order.
pub(super) fn veil(colour: [u8; 3], opacity: &[u8], side: u32) -> Result<String> {
    let pixels: Vec<u8> = opacity.iter().flat_map(|&alpha| [colour[0], colour[1], colour[2], alpha]).collect();
    let mut bytes = Vec::new();
    PngEncoder::new(&mut bytes)
        .write_image(&pixels, side, side, ExtendedColorType::Rgba8)
        .context(Kind::Input, || "cannot draw over a picture".to_owned())?;
    Ok(format!("data:image/png;base64,{}", STANDARD.encode(bytes)))
}
