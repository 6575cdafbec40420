//! Adapt: passes of pseudo-labels and training (method sections 7 to 10).
//!
//! A pass reads two tables, the prior's logits and those of the current model, and writes one, the
//! pseudo-labels, by SQL. Training batches are drawn from that table. Ground truth is out of reach:
//! nothing here reads `labels`.
//!
//! A checkpoint commits a pass. A pass's parts are named by its number, so that on restart an
//! interrupted pass overwrites what it left.

pub mod checkpoint;
pub mod elsewhere;
mod epoch;
mod images;
mod keep;
mod known;
mod recipe;
mod reference;
mod strong_views;
mod tables;

use std::time::{Duration, Instant};

use tch::{Kind as Number, Tensor};
use tracing::Instrument;

use crate::clip::VisionTower;
use crate::device::guarded;
use crate::dka::{Parameters, PassInput, PseudoLabels, balanced_pseudo_labels};
use crate::error::Result;
use crate::fusion::adamw::AdamW;
use crate::fusion::class_bias::ClassBias;
use crate::fusion::design::MixedHeads;
use crate::fusion::matrix::{Matrix, products};
use crate::fusion::model::Model;
use crate::fusion::{class_bias, class_prior};
use crate::stage::job::Job;
use crate::stop::Stop;
use crate::store::layout::Store;
use crate::table::tensor;
use crate::text::numbers::counted;
use checkpoint::Checkpoint;
use elsewhere::{Elsewhere, first_head};
use epoch::{Learner, Totals};

pub use images::Images;
pub use keep::{Keep, passes_with_logits, settle};
pub use known::{Frozen, pick};
pub use recipe::{Adapt, BaseRecipe, ClassPrior, Recipe, Tune};

/// Inputs to adaptation.
pub struct Start<'a> {
    /// The run's id.
    pub run: &'a str,
    /// The training pictures.
    pub images: &'a Images,
    /// Prior logits of the training pictures, (rows, C).
    pub prior: &'a Matrix,
    /// The biases that were taken out of them, with the pull and the shares that passes use, too.
    pub bias: &'a ClassBias,
    /// Composite features of the training pictures' crops, (rows, d), from which the prior is
    /// computed.
    pub composite: &'a Matrix,
    /// The frozen tower, fp32, on the device.
    pub tower: &'a VisionTower,
    /// Initial W*, (C, d).
    pub head: &'a Tensor,
    /// `W_LLM`, (C, d).
    pub frozen: &'a Tensor,
    /// Who makes the fusion logits of passes whose forwards run the tower, if not this process.
    pub elsewhere: Option<&'a dyn Elsewhere>,
}

/// The adapted model, and how much of it an earlier run had done.
pub struct Adapted {
    /// The model.
    pub model: Model,
    /// Passes that were already done when this run began.
    pub resumed: u64,
}

impl Adapted {
    /// Returns a note on the pass after which the run resumed, if it resumed before the last of
    /// `passes`.
    pub fn went_on(&self, passes: u64) -> Option<String> {
        let between = self.resumed > 0 && self.resumed < passes;
        between.then(|| format!("went on after pass {} of {passes}", self.resumed))
    }
}

/// Adapts the model, resuming from the last checkpoint if there is one.
///
/// # Errors
/// Fails if a picture, the device or the store fails, the statement's result is invalid, or a stop
/// was requested; completed passes are kept.
#[tracing::instrument(name = "stage", skip_all, fields(stage = "adapt"))]
pub async fn adapt(start: Start<'_>, recipe: &Recipe, job: Job<'_>) -> Result<Adapted> {
    let Job { store, stop, progress } = job;
    recipe.statement.validate().await?;
    let device = start.tower.projection.device();
    // Moved to the model's device once, because live priors use it at every step.
    let frozen = start.frozen.to_device(device);
    let start = Start { frozen: &frozen, ..start };
    let Start { run, images, .. } = start;
    let heads = recipe.design.fusion.heads;
    let head = first_head(recipe, start.head, start.frozen, start.tower);
    let mut model = Model::new(start.tower, &head, recipe.design);
    let factor = |name: &String| if name == "classifier" { recipe.adapt.head_lr_factor } else { 1.0 };
    let factors = model.names().iter().map(factor).collect();
    let mut optimiser = AdamW::new(model.parameters(), recipe.adapt.weight_decay).with_factors(factors);

    let folder = store.checkpoints(run)?;
    let whole = tables::whole_passes(store, run, recipe.rebalances())?;
    let resumed = match checkpoint::usable(store, run, whole)? {
        Some(path) => {
            let checkpoint = Checkpoint::read(&path, run)?;
            checkpoint.restore(&mut model, &mut optimiser)?;
            checkpoint.passes()
        }
        None => 0,
    };
    let mut previous = match resumed {
        0 => None,
        done => Some(tables::pseudo_labels_of(store, run, done - 1, images)?),
    };

    let given = recipe.class_shares.as_deref();
    let shares = match recipe.adapt.class_prior {
        ClassPrior::Prior => Some(class_bias::shares(start.prior, recipe.adapt.logit_scale, stop)?),
        known => shares(known, given, start.composite, start.prior, stop)?,
    };
    let shares = shares.map(|shares| shares.to_device(device));
    let ids = images.ids();
    let passes = recipe.adapt.passes();
    progress.begin("adapt", "pass", passes.saturating_sub(resumed), resumed);
    settle(run, recipe.adapt.keep, resumed, passes, job)?;
    for pass in resumed..passes {
        stop.check()?;
        let began = Instant::now();
        let span = tracing::info_span!("pass", pass);
        let mut learner = Learner { model: &mut model, optimiser: &mut optimiser, recipe };
        let (previous_labels, shares) = (previous.as_deref(), shares.as_ref().filter(|_| !recipe.balances(pass)));
        let context = Pass { start: &start, ids: &ids, previous: previous_labels, shares, heads, pass };
        let done = match recipe.adapt.tune {
            Tune::Reference => reference::pass(context, &mut learner, stop).instrument(span.clone()).await?,
            Tune::Head | Tune::LayerNorm | Tune::None => {
                context.table_then_train(&mut learner, store, stop).instrument(span.clone()).await?
            }
        };
        let _span = span.entered();
        done.write(run, pass, &ids, began.elapsed(), job)?;
        guarded("writing a checkpoint", || checkpoint::write(&folder, run, pass + 1, &model, &optimiser))?;
        // Those before these two are as they are to be.
        keep::thin(run, recipe.adapt.keep, pass.saturating_sub(1)..pass + 1, passes, job)?;
        progress.say(&format!("pass {pass}: {}", done.said(images.len())));
        if pass == 0 {
            done.totals.strong.note().iter().for_each(|note| progress.say(note));
        }
        progress.advance(1);
        previous = Some(done.labels.class_ids);
    }
    let all = counted(passes, "pass");
    progress.end(&match resumed {
        0 => all,
        done if done == passes => format!("{all}, all done before"),
        done => format!("{all}, {done} of them done before"),
    });
    Ok(Adapted { model, resumed })
}

/// Returns the class distribution that `dka.balance` pulls towards, (C), on the CPU; `None` if it
/// is uniform. Fairness pulls towards the same one, but for [`ClassPrior::Prior`].
///
/// `given` are the shares of [`ClassPrior::Table`]; `composite` (rows, d) and `prior` (rows, C) are
/// about the training pictures.
///
/// # Errors
/// Fails if libtorch reports an error, or a stop was requested.
pub fn shares(
    class_prior: ClassPrior,
    given: Option<&[f32]>,
    composite: &Matrix,
    prior: &Matrix,
    stop: &Stop,
) -> Result<Option<Tensor>> {
    guarded("estimating the class prior", || {
        Ok(match (class_prior, given) {
            (ClassPrior::Estimated, _) => Some(class_prior::estimate(composite, prior, stop)?),
            (ClassPrior::Table, Some(shares)) => Some(Tensor::from_slice(shares)),
            (ClassPrior::Uniform | ClassPrior::Prior | ClassPrior::Table, _) => None,
        })
    })
}

/// Inputs to one pass.
struct Pass<'a> {
    start: &'a Start<'a>,
    ids: &'a [String],
    /// Labels of the previous pass.
    previous: Option<&'a [i32]>,
    shares: Option<&'a Tensor>,
    heads: MixedHeads,
    pass: u64,
}

/// Results of one pass.
struct Done {
    /// Fusion logits (rows, C), if they are not written yet.
    fusion: Option<Matrix>,
    labels: PseudoLabels,
    totals: Totals,
}

impl Done {
    /// Writes the tables of the pass that are not written yet. `took` is how long it took.
    fn write(&self, run: &str, pass: u64, ids: &[String], took: Duration, job: Job<'_>) -> Result<()> {
        let (Job { store, stop, .. }, Done { fusion, labels, totals }) = (job, self);
        if let Some(fusion) = fusion {
            let mut written = tables::FusionLogits::begin(store, run, pass, ids, fusion.size().1)?;
            fusion.blocks().try_each(stop, |block| written.add(&fusion.block(block)?))?;
            written.finish(stop)?;
            tables::write_pseudo_labels(store, run, pass, labels)?;
        }
        let trained = labels.batch.num_rows();
        tables::write_pass(store, run, pass, &labels.summary, totals, trained, took.as_secs_f64())
    }

    /// Says how a pass over `rows` pictures went.
    fn said(&self, rows: usize) -> String {
        let summary = &self.labels.summary;
        format!(
            "loss {:.3}, {} of {rows} labels changed, mean confidence {:.2}, {}",
            self.totals.loss(),
            summary.changed,
            summary.mean_confidence,
            counted(summary.dead_classes, "dead class")
        )
    }
}

impl Pass<'_> {
    /// Makes pseudo-labels of all pictures, then trains the pass's epochs on them.
    async fn table_then_train(&self, learner: &mut Learner<'_>, store: &Store, stop: &Stop) -> Result<Done> {
        let Pass { start: Start { run, images, .. }, ids, pass, .. } = *self;
        let recipe = learner.recipe;
        let mut written = tables::FusionLogits::begin(store, run, pass, ids, self.start.prior.size().1)?;
        match self.start.elsewhere.filter(|_| images.runs_tower()) {
            Some(elsewhere) => {
                let made = elsewhere.fusion_logits(pass, images.len()).await?;
                made.blocks().try_each(stop, |block| written.add(&made.block(block)?))?;
                elsewhere.forget()?;
            }
            None => images.fusion_logits(learner.model, recipe.seed, pass, stop, |rows| written.add(&rows)).await?,
        }
        let fusion = written.finish(stop)?;
        let prior = self.prior(learner, stop)?;
        let bias = match self.rebalanced(&prior, &fusion, recipe, stop)? {
            Some(found) => {
                tables::write_class_bias(store, run, pass, &found)?;
                tensor::numbers(&(&found.bias / recipe.parameters.scale).to_kind(Number::Float))?
            }
            None => vec![0.0; prior.size().1 as usize],
        };
        let input = PassInput {
            run,
            pass: pass as i32,
            image_ids: ids,
            prior,
            fusion,
            parameters: recipe.parameters,
            previous: self.previous,
        };
        let labels = stop.or(balanced_pseudo_labels(&recipe.statement, input, &bias)).await?;
        tables::write_pseudo_labels(store, run, pass, &labels)?;

        let chosen = tables::training_rows(&labels.batch, ids)?;
        let mut totals = Totals::default();
        for epoch in self.epochs(recipe) {
            totals.add(&epoch::train(images, &chosen, learner, self.shares, epoch, stop).await?);
        }
        Ok(Done { fusion: None, labels, totals })
    }

    /// Returns the epochs of the pass.
    fn epochs(&self, recipe: &Recipe) -> std::ops::Range<u64> {
        let first = self.pass * recipe.adapt.epochs_per_pass;
        first..(first + recipe.adapt.epochs_per_pass).min(recipe.adapt.epochs)
    }

    /// Estimates the biases of the classes anew, from the mixture of the prior's cosines and the
    /// current model's, both (rows, C); `None` if they are not balanced.
    fn rebalanced(&self, prior: &Matrix, fusion: &Matrix, recipe: &Recipe, stop: &Stop) -> Result<Option<ClassBias>> {
        if !recipe.rebalances() {
            return Ok(None);
        }
        let Parameters { gamma, scale, .. } = recipe.parameters;
        let ClassBias { pull, shares, .. } = self.start.bias;
        guarded("the biases of a pass's classes", || {
            let mixed = prior.mixed(gamma, fusion, 1.0 - gamma);
            class_bias::estimate(&mixed, Some(shares), *pull, scale, stop).map(Some)
        })
    }

    /// Returns the prior's logits (rows, C): fixed, unless the learnable classifier makes them.
    fn prior(&self, learner: &Learner<'_>, stop: &Stop) -> Result<Matrix> {
        match self.heads {
            MixedHeads::Both | MixedHeads::Frozen => Ok(self.start.prior.clone()),
            MixedHeads::Learnable => guarded("a pass's prior", || {
                let head = learner.model.classifier().to_device(tch::Device::Cpu);
                products(self.start.composite, &head, stop)
            }),
        }
    }
}
