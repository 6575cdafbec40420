//! The two phases: both towers on captions by attributes; then the text tower alone, on names as
//! well.

use crate::contrast::{contrastive, likeness, normalize};
use crate::corpus::Corpus;
use crate::model::Model;
use crate::names::Namer;
use crate::vit::light::{standard, vary};
use crate::vit::start::NO_DECAY;
use microclip_pipe::clip::VisionTower;
use microclip_pipe::image::{Rgb, StrongView};
use rand::seq::{IndexedRandom, SliceRandom};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::error::Error;
use std::time::Instant;
use tch::nn::{self, OptimizerConfig};
use tch::{Device, Kind, Tensor};

/// Length and step size of a phase.
#[derive(Clone, Copy, Debug)]
pub struct Schedule {
    pub steps: usize,
    pub batch: usize,
    pub rate: f64,
    /// How alike the patch tokens of a picture may be, 0 to 1; the first phase alone trains them.
    pub likeness: f64,
    /// What cosines are multiplied with at the end, reached half-way; learnt where there is none.
    pub scale: Option<f64>,
    /// Share of the plates that are seen as a strong view: cropped, and mistreated by RandAugment.
    pub strong: f64,
}

impl Schedule {
    /// The learning rate at a step: a short rise, then half a cosine down to a fiftieth.
    fn rate_at(&self, step: usize) -> f64 {
        let done = step as f64 / self.steps as f64;
        let cosine = 0.5 + 0.5 * (std::f64::consts::PI * done).cos();
        self.rate * (step as f64 / 100.0).min(1.0) * (0.02 + 0.98 * cosine)
    }
}

impl Schedule {
    /// The logarithm of the scale at a step, on its way from the one the phase began with.
    fn log_scale(&self, begin: f64, learnt: &Tensor, step: usize) -> Tensor {
        match self.scale {
            None => learnt.shallow_clone(),
            Some(scale) => {
                let done = (2.0 * step as f64 / self.steps as f64).min(1.0);
                Tensor::from((begin + (scale.ln() - begin) * done) as f32)
            }
        }
    }

    /// Leaves in the model the scale that the phase ended with.
    fn settle(&self, model: &mut Model) {
        if let Some(scale) = self.scale {
            tch::no_grad(|| {
                let _ = model.log_scale.fill_(scale.ln());
            });
        }
    }
}

/// From a caption to token ids.
pub type Encode<'a> = &'a dyn Fn(&str) -> Result<Vec<i64>, Box<dyn Error>>;

/// Matrix products run in bfloat16, twice as fast on a CPU that has it; the master weights stay
/// fp32.
fn fast(tensor: &Tensor) -> Tensor {
    tensor.to_kind(Kind::BFloat16)
}

fn optimizer(vars: &nn::VarStore, rate: f64) -> Result<nn::Optimizer, Box<dyn Error>> {
    let mut optimizer = nn::AdamW { beta1: 0.9, beta2: 0.98, wd: 0.05, eps: 1e-8, amsgrad: false }.build(vars, rate)?;
    optimizer.set_weight_decay_group(NO_DECAY, 0.0);
    Ok(optimizer)
}

/// Phase one: vision and text on captions by attributes.
pub fn both_towers(
    vars: &nn::VarStore,
    model: &mut Model,
    corpus: &Corpus,
    schedule: Schedule,
    encode: Encode,
    seed: u64,
) -> Result<(), Box<dyn Error>> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut optimizer = optimizer(vars, schedule.rate)?;
    let mut order: Vec<i64> = Vec::new();
    let begin = model.log_scale.double_value(&[]);
    let (mut average, start) = (0.0, Instant::now());
    for step in 0..schedule.steps {
        if order.len() < schedule.batch {
            order = (0..corpus.captions.len() as i64).collect();
            order.shuffle(&mut rng);
        }
        let batch = order.split_off(order.len() - schedule.batch);
        let mut sequences = Vec::with_capacity(batch.len());
        for &plate in &batch {
            sequences.push(encode(corpus.captions[plate as usize].choose(&mut rng).map_or("", String::as_str))?);
        }
        let pixels = vary(&mistreat(&pixels(corpus, &batch), schedule.strong, &mut rng)?);
        let seen = model.vision.map(&fast).forward(&fast(&pixels));
        let projection = &model.vision.projection;
        let patches = seen.patch_tokens.to_kind(Kind::Float);
        let mean_patch = normalize(&some_mean(&patches).matmul(projection));
        let cls = normalize(&seen.cls.to_kind(Kind::Float));
        let text = normalize(&model.text.map(&fast).forward(&sequences, Device::Cpu).to_kind(Kind::Float));
        let log_scale = schedule.log_scale(begin, &model.log_scale, step);
        let contrast = contrastive(&cls, &mean_patch, &text, &log_scale);
        let loss = &contrast + likeness(&patches, schedule.likeness);
        optimizer.set_lr(schedule.rate_at(step));
        optimizer.zero_grad();
        loss.backward();
        optimizer.clip_grad_norm(1.0);
        optimizer.step();
        average = running(average, contrast.double_value(&[]), step);
        if (step + 1) % 50 == 0 {
            let pace = ((step + 1) * schedule.batch) as f64 / start.elapsed().as_secs_f64();
            let scale = log_scale.double_value(&[]).exp();
            eprintln!(
                "both towers: step {} of {}, loss {average:.3}, scale {scale:.1}, {pace:.0} pictures/s",
                step + 1,
                schedule.steps
            );
        }
    }
    schedule.settle(model);
    Ok(())
}

/// Phase two: the pictures' features stand still, the text tower learns names, and goes on with
/// attributes.
pub fn text_tower(
    vars: &nn::VarStore,
    model: &mut Model,
    corpus: &Corpus,
    schedule: Schedule,
    encode: Encode,
    namer: &Namer,
    seed: u64,
) -> Result<(), Box<dyn Error>> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let (cls, patches) = features(&model.vision, corpus, namer.plates);
    let mut optimizer = optimizer(vars, schedule.rate)?;
    let begin = model.log_scale.double_value(&[]);
    let (mut average, start) = (0.0, Instant::now());
    for step in 0..schedule.steps {
        let batch: Vec<i64> = (0..schedule.batch).map(|_| rng.random_range(0..namer.plates as i64)).collect();
        let mut sequences = Vec::with_capacity(batch.len());
        for &plate in &batch {
            let plate = plate as usize;
            let by_attributes = corpus.captions[plate].choose(&mut rng).map_or("", String::as_str);
            sequences.push(encode(&namer.caption(corpus.species[plate], by_attributes, &mut rng))?);
        }
        let batch = Tensor::from_slice(&batch);
        let text = normalize(&model.text.forward(&sequences, Device::Cpu));
        let log_scale = schedule.log_scale(begin, &model.log_scale, step);
        let loss = contrastive(&cls.index_select(0, &batch), &patches.index_select(0, &batch), &text, &log_scale);
        optimizer.set_lr(schedule.rate_at(step));
        optimizer.zero_grad();
        loss.backward();
        optimizer.step();
        average = running(average, loss.double_value(&[]), step);
        if (step + 1) % 50 == 0 {
            let pace = ((step + 1) * schedule.batch) as f64 / start.elapsed().as_secs_f64();
            eprintln!("text tower: step {} of {}, loss {average:.3}, {pace:.0} captions/s", step + 1, schedule.steps);
        }
    }
    schedule.settle(model);
    Ok(())
}

fn running(average: f64, value: f64, step: usize) -> f64 {
    if step == 0 { value } else { 0.95 * average + 0.05 * value }
}

/// The mean of a random eighth of each picture's patch tokens (B, N, D): every token, and so
/// whatever a foreground mask picks out, has to line up with the caption, not just the mean of them
/// all.
fn some_mean(patches: &Tensor) -> Tensor {
    let size = patches.size();
    let chance = Tensor::rand([size[0], size[1]], (Kind::Float, Device::Cpu));
    let (_, chosen) = chance.topk((size[1] / 8).max(1), 1, true, false);
    let chosen = chosen.unsqueeze(2).expand([-1, -1, size[2]], false);
    patches.gather(1, &chosen, false).mean_dim([1i64].as_slice(), false, Kind::Float)
}

/// Unit features of the first plates: `[CLS]`, and the mean patch token.
fn features(vision: &VisionTower, corpus: &Corpus, plates: usize) -> (Tensor, Tensor) {
    let indices: Vec<i64> = (0..plates as i64).collect();
    tch::no_grad(|| {
        let (mut cls, mut patches) = (Vec::new(), Vec::new());
        for batch in indices.chunks(200) {
            let seen = vision.forward(&standard(&pixels(corpus, batch)));
            cls.push(normalize(&seen.cls));
            let mean = seen.patch_tokens.mean_dim([1i64].as_slice(), false, Kind::Float);
            patches.push(normalize(&mean.matmul(&vision.projection)));
        }
        (Tensor::cat(&cls, 0), Tensor::cat(&patches, 0))
    })
}

/// (B, 3, S, S) in [0, 1].
fn pixels(corpus: &Corpus, batch: &[i64]) -> Tensor {
    corpus.pixels.index_select(0, &Tensor::from_slice(batch)).permute([0, 3, 1, 2]).to_kind(Kind::Float) / 255.0
}

/// Replaces a share of the plates (B, 3, S, S) by strong views: a large CLIP has seen such pictures
/// on the web.
fn mistreat(pixels: &Tensor, share: f64, rng: &mut ChaCha8Rng) -> Result<Tensor, Box<dyn Error>> {
    if share == 0.0 {
        return Ok(pixels.shallow_clone());
    }
    let side = pixels.size()[3];
    let view = StrongView::paper(side as u32);
    let mut plates = Vec::with_capacity(pixels.size()[0] as usize);
    for plate in pixels.unbind(0) {
        if !rng.random_bool(share) {
            plates.push(plate);
            continue;
        }
        let bytes = (plate.permute([1, 2, 0]) * 255.0).round().to_kind(Kind::Uint8).contiguous().view(-1);
        let picture = Rgb::new(side as u32, side as u32, Vec::try_from(bytes)?)?;
        let bytes = Tensor::from_slice(&view.strong_view(&picture, rng)?).view([side, side, 3]);
        plates.push(bytes.permute([2, 0, 1]).to_kind(Kind::Float) / 255.0);
    }
    Ok(Tensor::stack(&plates, 0))
}
