//! One epoch: trains on every picture that has a pseudo-label, once, in shuffled order.

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use tch::{Kind as Number, Tensor};
use tokio::task::block_in_place;
use tracing::debug_span;

use crate::cores;
use crate::device::{guarded, upload};
use crate::error::Result;
use crate::fusion::adamw::AdamW;
use crate::fusion::loss::Fairness;
use crate::fusion::model::Model;
use crate::fusion::schedule;
use crate::image::seed;
use crate::stage::adapt::known::Input;
use crate::stage::adapt::strong_views::{self, Drawn, StrongViews};
use crate::stage::adapt::{Images, Recipe};
use crate::stage::pictures::Pictures;
use crate::stop::Stop;
use crate::table::tensor;

/// A picture, by its place in [`Images`], and its pseudo-label.
pub(super) type Labelled = (usize, i64);

/// Sums over the steps of a pass.
#[derive(Debug, Default, Clone)]
pub(super) struct Totals {
    loss: f64,
    ce: f64,
    fairness: f64,
    /// How the strong views were answered; none if training starts from the cache.
    pub(super) strong: StrongViews,
    /// Steps taken.
    pub(super) steps: u64,
    /// Learning rate of the last step.
    pub(super) learning_rate: f64,
}

impl Totals {
    pub(super) fn add(&mut self, other: &Totals) {
        self.loss += other.loss;
        self.ce += other.ce;
        self.fairness += other.fairness;
        self.strong.add(&other.strong);
        self.steps += other.steps;
        self.learning_rate = other.learning_rate;
    }

    /// Returns the mean loss of a step; NaN if there was none.
    pub(super) fn loss(&self) -> f64 {
        self.loss / self.steps as f64
    }

    /// Returns the mean cross-entropy of a step.
    pub(super) fn ce(&self) -> f64 {
        self.ce / self.steps as f64
    }

    /// Returns the mean fairness term of a step.
    pub(super) fn fairness(&self) -> f64 {
        self.fairness / self.steps as f64
    }
}

/// Everything a step needs besides the batch.
pub(super) struct Step<'a> {
    pub(super) model: &'a mut Model,
    pub(super) optimiser: &'a mut AdamW,
    recipe: &'a Recipe,
    fairness: Fairness,
    totals: Totals,
    /// Loss, cross-entropy and fairness of each step, (3). Like `alike`, they are on the model's
    /// device until the epoch ends: reading them would make every step wait for it.
    parts: Vec<Tensor>,
    /// [`strong_views::answered`] of each step.
    alike: Vec<Tensor>,
    /// What was done to these strong views.
    touched: Vec<i64>,
    /// Steps before this epoch, and steps in total.
    before: u64,
    all: u64,
}

impl<'a> Step<'a> {
    /// Begins epoch `epoch`, which has `steps` steps; `shares` is the class distribution to pull
    /// towards.
    pub(super) fn begin(
        model: &'a mut Model,
        optimiser: &'a mut AdamW,
        recipe: &'a Recipe,
        shares: Option<&Tensor>,
        epoch: u64,
        steps: u64,
    ) -> Self {
        let fairness = Fairness::new(recipe.adapt.fairness_momentum, shares);
        let (before, all) = (epoch * steps, recipe.adapt.epochs * steps);
        let (parts, alike, touched) = (Vec::new(), Vec::new(), Vec::new());
        Step { model, optimiser, recipe, fairness, totals: Totals::default(), parts, alike, touched, before, all }
    }

    /// Computes the loss and gradients of a batch and takes the optimiser's step. The batch is
    /// split into shards that run on separate cores. The loss is of the whole batch (fairness looks
    /// at all its classes), so the computation goes forward in shards, through the loss, and back
    /// in shards. Gradients are summed in the order of the shards: the same bits on any number of
    /// cores. `touched` says what was done to strong views, as [`Drawn::at`] does.
    ///
    /// # Errors
    /// Fails if libtorch reports an error.
    pub(super) fn take(&mut self, shards: Vec<Input>, labels: &[i64], touched: Option<&[i64]>) -> Result<()> {
        let _span = debug_span!("step", pictures = labels.len()).entered();
        // Uploaded before the forward pass is queued: the loss need not wait for them then.
        let labels = upload(&Tensor::from_slice(labels), self.model.device())?;
        let copies = shards.into_iter().map(|input| (self.model.shallow_clone(), input)).collect();
        let logits = debug_span!("forward").in_scope(|| {
            cores::map(copies, |(model, input)| {
                guarded("a training step", || Ok(model.logits(&model.tokens(&input.see(&model)))))
            })
        })?;
        let slopes = debug_span!("loss")
            .in_scope(|| guarded("a training step's loss", || Ok(self.loss(&logits, &labels, touched))))?;
        let parameters = || self.model.parameters().iter().map(Tensor::shallow_clone).collect::<Vec<_>>();
        let shards = logits.into_iter().zip(slopes).map(|(logits, slope)| (logits, slope, parameters())).collect();
        let gradients = debug_span!("backward").in_scope(|| {
            cores::map(shards, |(logits, slope, parameters)| {
                guarded("a training step's gradients", || {
                    let pulled = (logits * slope).sum(None::<Number>);
                    Ok(Tensor::run_backward(&[pulled], &parameters, false, false))
                })
            })
        })?;
        let _span = debug_span!("optimiser").entered();
        guarded("the optimiser's step", || {
            let gradients = summed(gradients);
            let (done, adapt) = (self.before + self.totals.steps, &self.recipe.adapt);
            let rate = schedule::cosine(adapt.lr, adapt.min_lr, done, self.all);
            self.optimiser.step(self.model.parameters_mut(), &gradients, rate)?;
            self.totals.steps += 1;
            self.totals.learning_rate = rate;
            Ok(())
        })
    }

    /// Returns the gradient of the loss with respect to each shard's logits (B, C).
    fn loss(&mut self, logits: &[Tensor], labels: &Tensor, touched: Option<&[i64]>) -> Vec<Tensor> {
        let sizes: Vec<i64> = logits.iter().map(|shard| shard.size()[0]).collect();
        let all = {
            let _no_grad = tch::no_grad_guard();
            Tensor::cat(logits, 0)
        };
        let all = all.set_requires_grad(true);
        let loss = self.fairness.loss(&all, labels, self.recipe.loss());
        loss.total.backward();
        let parts = [loss.total, loss.ce, loss.fairness].map(|part| part.detach());
        self.parts.push(Tensor::stack(&parts, 0));
        if let Some(touched) = touched {
            self.alike.push(strong_views::answered(&all, labels));
            self.touched.extend(touched);
        }
        all.grad().split_with_sizes(sizes, 0)
    }

    /// Returns the sums over the steps taken.
    ///
    /// # Errors
    /// Fails if libtorch reports an error.
    pub(super) fn finish(mut self) -> Result<Totals> {
        if !self.parts.is_empty() {
            let parts = Tensor::stack(&self.parts, 0).to_kind(Number::Double);
            let sums = parts.sum_dim_intlist(0, false, None);
            let sum = |part: i64| sums.double_value(&[part]);
            [self.totals.loss, self.totals.ce, self.totals.fairness] = [0, 1, 2].map(sum);
        }
        if !self.alike.is_empty() {
            let alike = tensor::numbers(&Tensor::cat(&self.alike, 0))?;
            let alike: Vec<bool> = alike.into_iter().map(|alike| alike > 0.0).collect();
            self.totals.strong.count(&self.touched, &alike);
        }
        Ok(self.totals)
    }
}

/// Returns the sum of the shards' gradients for each parameter, in the order of the shards.
fn summed(shards: Vec<Vec<Tensor>>) -> Vec<Tensor> {
    let _no_grad = tch::no_grad_guard();
    let mut shards = shards.into_iter();
    let mut sums = shards.next().unwrap_or_default();
    for shard in shards {
        for (sum, gradient) in sums.iter_mut().zip(shard) {
            if gradient.defined() {
                let _ = sum.g_add_(&gradient);
            }
        }
    }
    sums
}

/// Trains one epoch on `labelled`, whose order is the table's.
pub(super) async fn train(
    images: &Images,
    labelled: &[Labelled],
    learner: &mut Learner<'_>,
    shares: Option<&Tensor>,
    epoch: u64,
    stop: &Stop,
) -> Result<Totals> {
    let recipe = learner.recipe;
    let order = shuffled(labelled, recipe.seed, epoch);
    let steps = order.len().div_ceil(recipe.adapt.batch) as u64;
    let mut step = Step::begin(learner.model, learner.optimiser, recipe, shares, epoch, steps);
    if images.needs_pixels() {
        let (strong, run_seed) = (recipe.strong, recipe.seed);
        let places: Vec<usize> = order.iter().map(|&(at, _)| at).collect();
        let drawn = Drawn::of(images);
        let draw = drawn.clone();
        let batches = images.feed(&places, recipe.adapt.batch, move |pictures: &Pictures, n| {
            let mut rng = seed::rng(run_seed, &pictures.rows()[n].id, epoch, "strong");
            draw.strong_view(&strong, &pictures.load(n)?, n, &mut rng)
        });
        let mut batches = images.normalised(batches);
        while let Some(batch) = batches.recv().await {
            stop.check()?;
            let (pictures, pixels) = batch?;
            let (places, labels) = unzip(pictures.iter().map(|&at| order[at]));
            block_in_place(|| {
                let shards = guarded("a batch's inputs", || {
                    Ok(images.inputs_of_pixels(&pixels, &images.picks(step.model, &places)?))
                })?;
                step.take(shards, &labels, Some(&drawn.at(images, &places)))
            })?;
        }
    } else {
        for batch in order.chunks(recipe.adapt.batch) {
            stop.check()?;
            let (places, labels) = unzip(batch.iter().copied());
            block_in_place(|| {
                let device = step.model.device();
                let shards = guarded("a batch's features", || images.inputs(&places, device))?;
                step.take(shards, &labels, None)
            })?;
        }
    }
    guarded("an epoch's sums", || step.finish())
}

/// The model, its optimiser and the recipe.
pub(super) struct Learner<'a> {
    pub(super) model: &'a mut Model,
    pub(super) optimiser: &'a mut AdamW,
    pub(super) recipe: &'a Recipe,
}

fn unzip(batch: impl Iterator<Item = Labelled>) -> (Vec<i64>, Vec<i64>) {
    batch.map(|(at, class)| (at as i64, class)).unzip()
}

/// Returns `items` in the order of an epoch.
pub(super) fn shuffled<T: Copy>(items: &[T], seed: u64, epoch: u64) -> Vec<T> {
    let mut order = items.to_vec();
    order.shuffle(&mut shuffler(seed, epoch));
    order
}

/// Returns the random generator of an epoch's order.
fn shuffler(seed: u64, epoch: u64) -> ChaCha8Rng {
    let mut hasher = blake3::Hasher::new();
    hasher.update(b"batch order").update(&seed.to_le_bytes()).update(&epoch.to_le_bytes());
    ChaCha8Rng::from_seed(*hasher.finalize().as_bytes())
}
