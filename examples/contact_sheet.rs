//! Draws the README's picture: two pictures of each species of the embedded data set, a group of
//! look-alikes per row.
//!
//! `cargo run --release --example contact_sheet -- data/flowers docs/flowers.jpg`

use std::collections::BTreeMap;
use std::path::PathBuf;

use image::codecs::jpeg::JpegEncoder;
use image::{RgbImage, imageops};
use microclip_pipe::Result;
use microclip_pipe::error::{Context, Error, Kind};
use microclip_pipe::image::{Limits, Preprocess, decode};
use microclip_pipe::source::{self, Dataset, Origin, SourceKind};

/// Pixels of a picture's side.
const SIDE: u32 = 96;
/// Pictures of a species.
const EACH: usize = 2;
/// Species of a row: the look-alikes.
const SPECIES: usize = 4;

fn main() -> Result<()> {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let (Some(data), Some(sheet)) = (arguments.next(), arguments.next()) else {
        return Err(Error::new(Kind::Usage, "name the data set's folder and the picture to write"));
    };
    let source = source::open(&Dataset::new(SourceKind::HfParquet, data))?;
    let classes = source.listing().classes.clone();
    let mut chosen: BTreeMap<usize, Vec<RgbImage>> = BTreeMap::new();
    for item in source.items() {
        let item = item?;
        let class = item.label.and_then(|label| classes.iter().position(|name| *name == label));
        let (Some(class), Origin::Embedded { bytes, .. }) = (class, item.origin) else { continue };
        let pictures = chosen.entry(class).or_default();
        if pictures.len() < EACH {
            pictures.push(square(&bytes)?);
        }
    }
    let rows = classes.len().div_ceil(SPECIES) as u32;
    let mut canvas = RgbImage::new((SPECIES * EACH) as u32 * SIDE, rows * SIDE);
    for (class, pictures) in &chosen {
        for (n, picture) in pictures.iter().enumerate() {
            let column = (class % SPECIES) * EACH + n;
            imageops::replace(
                &mut canvas,
                picture,
                (column as u32 * SIDE).into(),
                ((class / SPECIES) as u32 * SIDE).into(),
            );
        }
    }
    let file = std::fs::File::create(&sheet).at(Kind::Input, "cannot write", &sheet)?;
    canvas.write_with_encoder(JpegEncoder::new_with_quality(file, 88)).at(Kind::Input, "cannot write", &sheet)
}

/// The picture as CLIP would see it, without normalising.
fn square(bytes: &[u8]) -> Result<RgbImage> {
    let picture = decode(bytes, &Limits::default()).map_err(|r| Error::new(Kind::Input, r.detail))?;
    let pixels = Preprocess::openai(SIDE).centre_view(&picture)?;
    RgbImage::from_raw(SIDE, SIDE, pixels).ok_or_else(|| Error::new(Kind::Input, "a view of another size"))
}
