//! Self-supervised training: two views of a picture are alike, those of others are not (SimCLR,
//! arXiv 2002.05709), for `[CLS]` and for the mean of the patch tokens alike.

use crate::vit::light::vary;
use crate::vit::start::NO_DECAY;
use crate::{PATCH, SIDE};
use microclip_pipe::dino::Tower;
use microclip_pipe::fusion::normalize;
use microclip_pipe::image::{Rgb, Strong, StrongView};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use std::error::Error;
use std::time::Instant;
use tch::nn::{self, OptimizerConfig};
use tch::{Kind, Tensor};

/// Length and step size.
#[derive(Clone, Copy, Debug)]
pub struct Schedule {
    pub steps: usize,
    pub batch: usize,
    pub rate: f64,
}

/// What cosines are divided by.
const TEMPERATURE: f64 = 0.15;

/// Trains the tower on pictures alone.
pub fn train(
    vars: &nn::VarStore,
    tower: &Tower,
    pictures: &[Rgb],
    schedule: Schedule,
    seed: u64,
) -> Result<(), Box<dyn Error>> {
    let Schedule { steps, batch, rate } = schedule;
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut optimizer = nn::AdamW { beta1: 0.9, beta2: 0.98, wd: 0.05, eps: 1e-8, amsgrad: false }.build(vars, rate)?;
    optimizer.set_weight_decay_group(NO_DECAY, 0.0);
    let mut order: Vec<usize> = Vec::new();
    let (mut average, start) = (0.0, Instant::now());
    for step in 0..steps {
        if order.len() < batch {
            order = (0..pictures.len()).collect();
            order.shuffle(&mut rng);
        }
        let chosen = order.split_off(order.len() - batch);
        let chosen: Vec<&Rgb> = chosen.iter().map(|&picture| &pictures[picture]).collect();
        let both = Tensor::cat(&[views(&chosen, &mut rng)?, views(&chosen, &mut rng)?], 0);
        // Products in bfloat16, as fast as a CPU has them; the master weights stay fp32.
        let fast = |tensor: &Tensor| tensor.to_kind(Kind::BFloat16);
        let seen = tower.map(&fast).forward(&fast(&both));
        let patches = seen.patches.to_kind(Kind::Float).mean_dim([1i64].as_slice(), false, Kind::Float);
        let loss = contrast(&seen.cls.to_kind(Kind::Float)) + contrast(&patches);
        let done = step as f64 / steps as f64;
        let cosine = 0.5 + 0.5 * (std::f64::consts::PI * done).cos();
        optimizer.set_lr(rate * (step as f64 / 50.0).min(1.0) * (0.02 + 0.98 * cosine));
        optimizer.zero_grad();
        loss.backward();
        optimizer.clip_grad_norm(1.0);
        optimizer.step();
        let loss = loss.double_value(&[]) / 2.0;
        average = if step == 0 { loss } else { 0.95 * average + 0.05 * loss };
        if (step + 1) % 25 == 0 {
            let pace = ((step + 1) * batch) as f64 / start.elapsed().as_secs_f64();
            eprintln!("step {} of {steps}, loss {average:.3}, {pace:.0} pictures/s", step + 1);
        }
    }
    Ok(())
}

/// One view of each picture, (B, 3, S, S), normalised: a random crop, mirrored half of the time, in
/// other light. Colours stay, since they tell flowers apart.
fn views(pictures: &[&Rgb], rng: &mut ChaCha8Rng) -> Result<Tensor, Box<dyn Error>> {
    let strong = Strong { scale: [0.35, 1.0], rand_augment: false, ..Strong::default() };
    let view = StrongView { strong, ..StrongView::paper(SIDE as u32) };
    let mut all = Vec::with_capacity(pictures.len() * (SIDE * SIDE * 3) as usize);
    for picture in pictures {
        all.extend(view.strong_view(picture, rng)?);
    }
    let pixels = Tensor::from_slice(&all).view([-1, SIDE, SIDE, 3]).permute([0, 3, 1, 2]);
    debug_assert_eq!(SIDE % PATCH, 0);
    Ok(vary(&(pixels.to_kind(Kind::Float) / 255.0)))
}

/// The cross entropy of finding a view's other half among all others. The first half of `features`
/// (2 B, D) belongs to the second, row by row.
fn contrast(features: &Tensor) -> Tensor {
    let features = normalize(features);
    let both = features.size()[0];
    let itself = Tensor::eye(both, (Kind::Bool, features.device()));
    let logits = (features.matmul(&features.tr()) / TEMPERATURE).masked_fill(&itself, f64::NEG_INFINITY);
    let target = (Tensor::arange(both, (Kind::Int64, features.device())) + both / 2).remainder(both);
    logits.cross_entropy_for_logits(&target)
}
