//! Draws `data/flowers`: photograph-like pictures of 24 invented species, as Hugging Face Parquet.
//!
//! ```sh
//! cargo run --release --example draw_flowers
//! ```

#[path = "../flora/mod.rs"]
mod flora;

mod dataset;
mod focus;
mod photo;

use clap::Parser;
use flora::species;
use image::codecs::jpeg::JpegEncoder;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::error::Error;
use std::path::PathBuf;

/// Draws the embedded data set.
#[derive(Parser)]
struct Options {
    /// Where the Parquet files go.
    #[arg(long, default_value = "data/flowers")]
    out: PathBuf,
    /// Same seed, same pictures.
    #[arg(long, default_value_t = 2510)]
    seed: u64,
    /// Training pictures of each species.
    #[arg(long, default_value_t = 50)]
    train: usize,
    /// Test pictures of each species.
    #[arg(long, default_value_t = 20)]
    test: usize,
}

fn main() -> Result<(), Box<dyn Error>> {
    let options = Options::parse();
    std::fs::create_dir_all(&options.out)?;
    for (stream, (split, each)) in [("train", options.train), ("test", options.test)].into_iter().enumerate() {
        let pictures = draw_split(options.seed, stream as u64, each)?;
        let file = options.out.join(format!("{split}-00000-of-00001.parquet"));
        let names: Vec<&str> = species::ALL.iter().map(|species| species.name).collect();
        let bytes = dataset::write(&file, split, &pictures, &names)?;
        println!("{}: {} pictures, {:.1} MB", file.display(), pictures.len(), bytes as f64 / 1e6);
    }
    Ok(())
}

/// The pictures of a split, species by turns, each with its label. The two splits draw from
/// different random streams.
fn draw_split(seed: u64, stream: u64, each: usize) -> Result<Vec<dataset::Picture>, Box<dyn Error>> {
    let mut pictures = Vec::with_capacity(each * species::ALL.len());
    for index in 0..each * species::ALL.len() {
        let label = index % species::ALL.len();
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(stream << 32 | index as u64);
        let picture = photo::draw(&species::ALL[label].flower, &mut rng).ok_or("a picture has no area")?;
        let mut jpeg = Vec::new();
        JpegEncoder::new_with_quality(&mut jpeg, rng.random_range(60..88)).encode_image(&picture)?;
        pictures.push(dataset::Picture { jpeg, label: label as i64 });
    }
    Ok(pictures)
}
