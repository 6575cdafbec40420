//! Pre-trains `data/clip-flora`, a small CLIP, on captioned plates of drawn flowers: plain grounds,
//! flat light, a single flower each. It never sees a picture of the data set.
//!
//! ```sh
//! cargo run --release --example pretrain_clip
//! ```

#[path = "../flora/mod.rs"]
mod flora;
#[path = "../vit/mod.rs"]
mod vit;

mod caption;
mod contrast;
mod corpus;
mod export;
mod invent;
mod model;
mod names;
mod plate;
mod train;
mod vocabulary;

use clap::Parser;
use model::Model;
use names::Namer;
use std::error::Error;
use std::path::PathBuf;
use std::time::Instant;
use tch::{Device, nn};
use train::Schedule;

/// Pre-trains the embedded CLIP.
#[derive(Parser)]
struct Options {
    /// Where the model goes.
    #[arg(long, default_value = "data/clip-flora")]
    out: PathBuf,
    /// Decides plates, captions and the first weights.
    #[arg(long, default_value_t = 11)]
    seed: u64,
    /// Plates drawn.
    #[arg(long, default_value_t = 40_000)]
    plates: usize,
    /// Steps of the first phase: both towers, captions by attributes.
    #[arg(long, default_value_t = 2_000)]
    steps: usize,
    /// Pictures per step of the first phase.
    #[arg(long, default_value_t = 96)]
    batch: usize,
    /// Learning rate of the first phase.
    #[arg(long, default_value_t = 1e-3)]
    rate: f64,
    /// How alike the patch tokens of a picture may be, 0 to 1.
    #[arg(long, default_value_t = 0.3)]
    likeness: f64,
    /// Steps in which the scale rises from the learnt one to the one that the method's logits have.
    #[arg(long, default_value_t = 300)]
    sharpen_steps: usize,
    /// Learning rate of those steps.
    #[arg(long, default_value_t = 5e-4)]
    sharpen_rate: f64,
    /// What cosines are multiplied with in the end: 100, as in CLIP.
    #[arg(long, default_value_t = 100.0)]
    scale: f64,
    /// Steps of the second phase: the text tower alone, with names.
    #[arg(long, default_value_t = 200)]
    text_steps: usize,
    /// Learning rate of the second phase.
    #[arg(long, default_value_t = 5e-4)]
    text_rate: f64,
    /// Plates whose captions are read in the second phase.
    #[arg(long, default_value_t = 2_000)]
    named_plates: usize,
    /// Share of a species' captions that name it.
    #[arg(long, default_value_t = 0.3)]
    named: f64,
    /// Share of the names that are wrong.
    #[arg(long, default_value_t = 0.55)]
    wrong: f64,
    /// Share of the wrong names that are the best known of the group.
    #[arg(long, default_value_t = 0.7)]
    common: f64,
    /// A folder for the weights after each phase of both towers: a phase whose weights are there is
    /// not done again.
    #[arg(long)]
    checkpoints: Option<PathBuf>,
    /// Threads.
    #[arg(long, default_value_t = 1)]
    threads: usize,
}

fn main() -> Result<(), Box<dyn Error>> {
    let options = Options::parse();
    let start = Instant::now();
    tch::set_num_threads(options.threads as i32);
    tch::manual_seed(options.seed as i64);

    let corpus =
        corpus::draw(options.plates, 96, options.seed, options.threads).ok_or("the plates could not be drawn")?;
    eprintln!("{} plates drawn in {:.0} s", options.plates, start.elapsed().as_secs_f64());

    let mut words: Vec<String> = corpus.captions.iter().flatten().take(40_000).cloned().collect();
    words.extend(Namer::sentences().into_iter().cycle().take(5 * Namer::sentences().len()));
    let vocabulary = vocabulary::learn(&words, 2_048).map_err(|cause| cause.to_string())?;
    let config = model::sizes(vocabulary.len);
    let tokenizer = vocabulary.tokenizer(config.text.context)?;
    let encode = |caption: &str| Ok(tokenizer.sequence(caption)?.ids);

    let mut vars = nn::VarStore::new(Device::Cpu);
    let mut model = Model::new(&vars.root(), &config);
    let parameters: usize = vars.trainable_variables().iter().map(tch::Tensor::numel).sum();
    eprintln!("{:.2} million parameters, {} words", parameters as f64 / 1e6, vocabulary.len);

    let learnt = Schedule {
        steps: options.steps,
        batch: options.batch,
        rate: options.rate,
        likeness: options.likeness,
        scale: None,
        strong: 0.0,
    };
    let sharpened = Schedule {
        steps: options.sharpen_steps,
        rate: options.sharpen_rate,
        scale: Some(options.scale),
        strong: 0.5,
        ..learnt
    };
    for (name, schedule, seed) in [("learnt", learnt, options.seed), ("sharpened", sharpened, options.seed + 2)] {
        let file = options.checkpoints.as_ref().map(|folder| folder.join(format!("{name}.safetensors")));
        match &file {
            Some(file) if file.exists() => vars.load(file)?,
            _ => train::both_towers(&vars, &mut model, &corpus, schedule, &encode, seed)?,
        }
        if let Some(file) = &file {
            vars.save(file)?;
        }
    }

    // The text tower starts again, from fewer and worse captions: what it gets wrong is what
    // adaptation has to mend.
    tch::manual_seed(options.seed as i64);
    let text_vars = nn::VarStore::new(Device::Cpu);
    model.text = model::text_tower(&text_vars.root(), &config);
    let namer =
        Namer { plates: options.named_plates, named: options.named, wrong: options.wrong, common: options.common };
    let schedule = Schedule {
        steps: options.text_steps,
        batch: 128,
        rate: options.text_rate,
        likeness: 1.0,
        scale: Some(options.scale),
        strong: 0.0,
    };
    train::text_tower(&text_vars, &mut model, &corpus, schedule, &encode, &namer, options.seed + 1)?;
    export::write(&options.out, &model, &config, &vocabulary)?;
    println!("{} written after {:.1} minutes", options.out.display(), start.elapsed().as_secs_f64() / 60.0);
    Ok(())
}
