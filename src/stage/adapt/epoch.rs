//! One epoch: every picture that has a pseudo-label, once, in a shuffled order.

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use tch::Tensor;
use tokio::task::block_in_place;

use crate::device::guarded;
use crate::error::Result;
use crate::fusion::adamw::AdamW;
use crate::fusion::adapter::{Adapter, Tokens, Tune};
use crate::fusion::loss::Fairness;
use crate::fusion::schedule;
use crate::image::seed;
use crate::stage::adapt::{AdaptSettings, Images};
use crate::stage::pictures::Pictures;
use crate::stage::stop::Stop;

/// A picture, by its place in [`Images`], and its pseudo-label.
pub(super) type Labelled = (usize, i64);

/// Sums over the steps of a pass.
#[derive(Debug, Default, Clone)]
pub(super) struct Totals {
    loss: f64,
    ce: f64,
    fairness: f64,
    /// Steps taken.
    pub(super) steps: u64,
    /// Rate of the last step.
    pub(super) learning_rate: f64,
}

impl Totals {
    pub(super) fn add(&mut self, other: &Totals) {
        self.loss += other.loss;
        self.ce += other.ce;
        self.fairness += other.fairness;
        self.steps += other.steps;
        self.learning_rate = other.learning_rate;
    }

    /// Mean loss of a step; NaN where there was none.
    pub(super) fn loss(&self) -> f64 {
        self.loss / self.steps as f64
    }

    /// Mean cross-entropy of a step.
    pub(super) fn ce(&self) -> f64 {
        self.ce / self.steps as f64
    }

    /// Mean fairness term of a step.
    pub(super) fn fairness(&self) -> f64 {
        self.fairness / self.steps as f64
    }
}

/// What a step needs besides the batch.
struct Step<'a> {
    adapter: &'a mut Adapter,
    optimiser: &'a mut AdamW,
    settings: &'a AdaptSettings,
    fairness: Fairness,
    totals: Totals,
}

/// Trains one epoch on `labelled`, whose order is the table's.
pub(super) async fn train(
    images: &Images,
    labelled: &[Labelled],
    adapter: &mut Adapter,
    optimiser: &mut AdamW,
    settings: &AdaptSettings,
    epoch: u64,
    stop: &Stop,
) -> Result<Totals> {
    let mut order = labelled.to_vec();
    order.shuffle(&mut shuffler(settings.seed, epoch));
    let steps = order.len().div_ceil(settings.batch) as u64;
    let rate =
        |step: u64| schedule::cosine(settings.lr, settings.min_lr, epoch * steps + step, settings.epochs * steps);
    let fairness = Fairness::new(settings.fairness_momentum);
    let mut step = Step { adapter, optimiser, settings, fairness, totals: Totals::default() };
    match settings.tune {
        Tune::Head => {
            for (number, batch) in (0..).zip(order.chunks(settings.batch)) {
                stop.check()?;
                let (places, labels): (Vec<i64>, Vec<i64>) =
                    batch.iter().map(|&(at, class)| (at as i64, class)).unzip();
                block_in_place(|| {
                    guarded("a training step", || {
                        if let Some(tokens) = images.cached_tokens(step.adapter, &places) {
                            step.take(&tokens, &labels, rate(number));
                        }
                        Ok(())
                    })
                })?;
            }
        }
        Tune::LayerNorm => {
            let (strong, run_seed) = (settings.strong.clone(), settings.seed);
            let places: Vec<usize> = order.iter().map(|&(at, _)| at).collect();
            let mut batches = images.feed(&places, settings.batch, move |pictures: &Pictures, n| {
                let mut rng = seed::rng(run_seed, &pictures.rows()[n].id, epoch, "strong");
                strong.strong_view(&pictures.load(n)?, &mut rng)
            });
            let mut number = 0;
            while let Some(batch) = batches.recv().await {
                stop.check()?;
                let batch = batch?;
                let labels: Vec<i64> = batch.places.iter().map(|&at| order[at].1).collect();
                block_in_place(|| {
                    guarded("a training step", || {
                        let tokens = step.adapter.tokens_of_pixels(&images.pixels(&batch)?);
                        step.take(&tokens, &labels, rate(number));
                        Ok(())
                    })
                })?;
                number += 1;
            }
        }
    }
    Ok(step.totals)
}

impl Step<'_> {
    /// Forward is done; loss, backward and the optimiser's step remain.
    fn take(&mut self, tokens: &Tokens, labels: &[i64], rate: f64) {
        let logits = self.adapter.logits(tokens);
        let labels = Tensor::from_slice(labels).to_device(logits.device());
        let loss = self.fairness.loss(&logits, &labels, self.settings.loss);
        loss.total.backward();
        self.optimiser.step(self.adapter.parameters_mut(), rate);
        self.totals.loss += loss.total.double_value(&[]);
        self.totals.ce += loss.ce.double_value(&[]);
        self.totals.fairness += loss.fairness.double_value(&[]);
        self.totals.steps += 1;
        self.totals.learning_rate = rate;
    }
}

/// The generator of an epoch's order.
fn shuffler(seed: u64, epoch: u64) -> ChaCha8Rng {
    let mut hasher = blake3::Hasher::new();
    hasher.update(b"batch order").update(&seed.to_le_bytes()).update(&epoch.to_le_bytes());
    ChaCha8Rng::from_seed(*hasher.finalize().as_bytes())
}
