//! Pre-trains a small vision model without text, as a second one beside `data/clip-flora`: a ViT in
//! the layout of DINOv2, trained by itself on drawings without labels. It never sees a picture of
//! the data set.
//!
//! ```sh
//! cargo run --release --example pretrain_second -- --out /tmp/second
//! ```

#[allow(dead_code, reason = "names of species are labels, which are not read")]
#[path = "../flora/mod.rs"]
mod flora;
#[path = "../draw_flowers/focus.rs"]
mod focus;
#[path = "../pretrain_clip/invent.rs"]
mod invent;
#[path = "../draw_flowers/photo.rs"]
mod photo;
#[allow(dead_code, reason = "a text tower needs more of it")]
#[path = "../vit/mod.rs"]
mod vit;

mod export;
mod train;

use clap::Parser;
use flora::species;
use microclip_pipe::clip::Activation;
use microclip_pipe::dino::{Positions, Tower};
use microclip_pipe::image::Rgb;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::error::Error;
use std::path::PathBuf;
use std::time::Instant;
use tch::{Device, Tensor, nn};
use vit::start;

/// Pre-trains a second vision model.
#[derive(Parser)]
struct Options {
    /// Where the model goes.
    #[arg(long)]
    out: PathBuf,
    /// Decides pictures, views and the first weights.
    #[arg(long, default_value_t = 12)]
    seed: u64,
    /// Pictures drawn.
    #[arg(long, default_value_t = 6_000)]
    pictures: usize,
    /// Steps.
    #[arg(long, default_value_t = 600)]
    steps: usize,
    /// Pictures per step; each is seen twice.
    #[arg(long, default_value_t = 96)]
    batch: usize,
    /// Learning rate.
    #[arg(long, default_value_t = 1e-3)]
    rate: f64,
    /// Threads.
    #[arg(long, default_value_t = 1)]
    threads: usize,
}

/// The sizes: 96 px in 8 x 8 patches, as of `data/clip-flora`.
const SIDE: i64 = 96;
const PATCH: i64 = 12;
const WIDTH: i64 = 128;
const LAYERS: i64 = 4;
const HEADS: i64 = 2;
const MLP: i64 = 512;
const EPS: f64 = 1e-6;

/// How many pictures show one of the species; the others are of invented flowers. Which is which is
/// not kept.
const SPECIES: f64 = 0.5;

fn main() -> Result<(), Box<dyn Error>> {
    let options = Options::parse();
    let start = Instant::now();
    tch::set_num_threads(options.threads as i32);
    tch::manual_seed(options.seed as i64);
    let pictures: Vec<Rgb> =
        (0..options.pictures as u64).map(|index| draw(options.seed, index)).collect::<Result<_, _>>()?;
    eprintln!("{} pictures drawn in {:.0} s", options.pictures, start.elapsed().as_secs_f64());

    let vars = nn::VarStore::new(Device::Cpu);
    let tower = tower(&vars.root());
    let schedule = train::Schedule { steps: options.steps, batch: options.batch, rate: options.rate };
    train::train(&vars, &tower, &pictures, schedule, options.seed)?;
    export::write(&options.out, &tower)?;
    println!("{} written after {:.1} minutes", options.out.display(), start.elapsed().as_secs_f64() / 60.0);
    Ok(())
}

/// Draws a scene; its random stream is none of the data set's.
fn draw(seed: u64, index: u64) -> Result<Rgb, Box<dyn Error>> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(7 << 40 | index);
    let flower = match rng.random_bool(SPECIES) {
        true => species::ALL[rng.random_range(0..species::ALL.len())].flower,
        false => invent::flower(&mut rng),
    };
    let scene = photo::draw(&flower, &mut rng).ok_or("a picture has no area")?;
    Ok(Rgb::new(scene.width(), scene.height(), scene.into_raw())?)
}

/// A tower that has learnt nothing.
fn tower(path: &nn::Path) -> Tower {
    let positions = path.var_copy("positions", &start::wave_positions(WIDTH, SIDE / PATCH));
    Tower {
        patch_weight: path.var_copy("patch", &start::cosine_filters(WIDTH, PATCH)),
        patch_bias: path.var("patch_bias", &[WIDTH], nn::Init::Const(0.0)),
        cls_token: start::normal(path, "cls", &[WIDTH], 0.02),
        registers: Tensor::zeros([0, WIDTH], tch::kind::FLOAT_CPU),
        positions: Positions::Added(positions),
        blocks: (0..LAYERS).map(|n| start::block(&(path / n), WIDTH, MLP, HEADS, LAYERS, Activation::Gelu)).collect(),
        norm: start::layer_norm(&(path / "norm"), WIDTH, EPS),
    }
}
