//! Adapt: passes of pseudo-labels and training (method sections 7 to 10).
//!
//! A pass reads two tables, the prior's logits and those of the model as it stands, and writes one, the pseudo-labels, by SQL.
//! Training batches are drawn from that table. Ground truth is nowhere in reach: nothing here reads `labels`.
//!
//! A pass is committed by its checkpoint. Its parts are named by its number, so that a pass that was cut short is done again
//! over what it left.

pub mod checkpoint;
mod epoch;
mod images;
mod reference;
mod tables;

use std::sync::Arc;
use std::time::Instant;

use tch::Tensor;

use crate::clip::VisionTower;
use crate::device::guarded;
use crate::dka::{Parameters, PassInput, PseudoLabels, Statement, pseudo_labels};
use crate::error::Result;
use crate::fusion::adamw::AdamW;
use crate::fusion::adapter::{Adapter, Design, Tune};
use crate::fusion::blocks::products;
use crate::fusion::loss::LossWeights;
use crate::fusion::{class_prior, normalize};
use crate::image::{StrongView, ViewSpec};
use crate::stage::progress::Progress;
use crate::stop::Stop;
use crate::store::layout::Store;
use crate::table::tensor;
use checkpoint::Checkpoint;
use epoch::{Learner, Totals};

pub use crate::fusion::adapter::Adapter as Model;
pub use images::{Coarse, Frozen, Images, pick};

/// How to adapt.
#[derive(Debug, Clone)]
pub struct AdaptSettings {
    /// The model's parts, and what of it is trained.
    pub design: Design,
    /// The feature that [FG] is fused with.
    pub coarse: Coarse,
    /// The classifiers that are mixed.
    pub heads: MixedHeads,
    /// Epochs in all.
    pub epochs: u64,
    /// Epochs of a pass.
    pub epochs_per_pass: u64,
    /// Pictures of a step.
    pub batch: usize,
    /// AdamW's rate at the first step.
    pub lr: f64,
    /// Its rate at the last.
    pub min_lr: f64,
    /// The factor of both for the classifier.
    pub head_lr_factor: f64,
    /// AdamW's weight decay.
    pub weight_decay: f64,
    /// Weights of the loss's parts.
    pub loss: LossWeights,
    /// Of the running class distribution in the fairness term.
    pub fairness_momentum: f64,
    /// The class distribution that the fairness term pulls towards.
    pub class_prior: ClassPrior,
    /// What the statement's parameters stand for.
    pub parameters: Parameters,
    /// The SQL that makes pseudo-labels.
    pub statement: Statement,
    /// What training steps see.
    pub strong: StrongView,
    /// The crops of [`Tune::Reference`], which are drawn anew at every step.
    pub crops: ViewSpec,
    /// Of batch order and augmentation.
    pub seed: u64,
}

/// Which classifiers make the two tables that a pass mixes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MixedHeads {
    /// `W_LLM` the prior, W* the fusion logits.
    Both,
    /// `W_LLM` both; it is not trained.
    Frozen,
    /// W* both: the prior follows it.
    Learnable,
}

/// How often each class occurs, as far as training knows.
#[derive(Debug, Clone, PartialEq)]
pub enum ClassPrior {
    /// Each as often as any other.
    Uniform,
    /// Estimated once, from what the frozen model sees in the pictures; pulled towards after the first passes.
    Estimated,
    /// Shares that sum to 1, by class id.
    Shares(Vec<f32>),
}

impl AdaptSettings {
    /// Passes in all.
    pub fn passes(&self) -> u64 {
        passes(self.epochs, self.epochs_per_pass)
    }

    /// Whether a pass pulls towards a uniform distribution although another one was estimated: the first ones have labels with the
    /// sentences' bias, which such a pull takes away, and an estimate does not.
    fn balances(&self, pass: u64) -> bool {
        self.class_prior == ClassPrior::Estimated && (pass as f64) < UNIFORM_PASSES * self.passes() as f64
    }
}

/// Passes that so many epochs make.
pub fn passes(epochs: u64, epochs_per_pass: u64) -> u64 {
    epochs.div_ceil(epochs_per_pass.max(1))
}

/// The share of the passes before an estimated class distribution is pulled towards.
const UNIFORM_PASSES: f64 = 0.3;

/// What adaptation starts from.
pub struct Start<'a> {
    /// The run's id.
    pub run: &'a str,
    /// The training pictures.
    pub images: &'a Images,
    /// Their prior logits, (rows, C).
    pub prior: &'a Tensor,
    /// Their crops' composite features, (rows, d): the prior's side of the pictures.
    pub composite: &'a Tensor,
    /// The frozen tower, fp32, on the device.
    pub tower: &'a VisionTower,
    /// W* at its start, (C, d).
    pub head: &'a Tensor,
    /// `W_LLM`, (C, d).
    pub frozen: &'a Tensor,
}

/// The adapted model, and how it came about.
pub struct Adapted {
    /// The model.
    pub adapter: Adapter,
    /// Passes that were done already when this run began.
    pub resumed: u64,
}

/// Adapts, from the last checkpoint where there is one.
///
/// # Errors
/// Where a picture, the device or the store fails, the statement's result is wrong, or stopping was asked for; passes that
/// are done stay done.
pub async fn adapt(
    start: Start<'_>,
    settings: &AdaptSettings,
    store: &Store,
    stop: &Stop,
    progress: &Arc<dyn Progress>,
) -> Result<Adapted> {
    settings.statement.validate().await?;
    let device = start.tower.projection.device();
    // Where the model is, once: live priors ask for it at every step.
    let frozen = start.frozen.to_device(device);
    let start = Start { frozen: &frozen, ..start };
    let Start { run, images, .. } = start;
    let head = if settings.heads == MixedHeads::Frozen { start.frozen } else { start.head };
    let mut adapter = Adapter::new(start.tower, &head.to_device(device), settings.design);
    let factor = |name: &String| if name == "classifier" { settings.head_lr_factor } else { 1.0 };
    let factors = adapter.names().iter().map(factor).collect();
    let mut optimiser = AdamW::new(adapter.parameters(), settings.weight_decay).with_factors(factors);

    let folder = store.checkpoints(run)?;
    let whole = tables::whole_passes(store, run)?;
    let resumed = match checkpoint::usable(store, run, whole)? {
        Some(path) => {
            let checkpoint = Checkpoint::read(&path, run)?;
            checkpoint.restore(&mut adapter, &mut optimiser)?;
            checkpoint.passes()
        }
        None => 0,
    };
    let mut previous = match resumed {
        0 => None,
        done => Some(tables::pseudo_labels_of(store, run, done - 1, images)?),
    };

    let shares = guarded("estimating the class prior", || shares(settings, &start, stop))?;
    let shares = shares.map(|shares| shares.to_device(device));
    let ids = images.ids();
    let (rows, passes) = (images.len(), settings.passes());
    progress.begin("adapt", "pass", passes.saturating_sub(resumed), resumed);
    for pass in resumed..passes {
        stop.check()?;
        let began = Instant::now();
        let mut learner = Learner { adapter: &mut adapter, optimiser: &mut optimiser, settings };
        let (previous_labels, shares) = (previous.as_deref(), shares.as_ref().filter(|_| !settings.balances(pass)));
        let context = Pass { start: &start, ids: &ids, previous: previous_labels, shares, heads: settings.heads, pass };
        let done = match settings.design.tune {
            Tune::Reference => reference::pass(context, &mut learner, stop).await?,
            Tune::Head | Tune::LayerNorm { .. } => context.table_then_train(&mut learner, store, stop).await?,
        };
        let Done { fusion, labels, totals } = done;
        if let Some(fusion) = fusion {
            tables::write_fusion_logits(store, run, pass, &ids, &fusion, stop)?;
            tables::write_pseudo_labels(store, run, pass, &labels)?;
        }
        let trained = labels.batch.num_rows();
        tables::write_pass(store, run, pass, &labels.summary, &totals, trained, began.elapsed().as_secs_f64())?;
        guarded("writing a checkpoint", || checkpoint::write(&folder, run, pass + 1, &adapter, &optimiser))?;
        let summary = &labels.summary;
        progress.say(&format!(
            "pass {pass}: loss {:.3}, {} of {rows} labels changed, mean confidence {:.2}, {} dead classes",
            totals.loss(),
            summary.changed,
            summary.mean_confidence,
            summary.dead_classes
        ));
        progress.advance(1);
        previous = Some(labels.class_ids);
    }
    progress.end(&match resumed {
        0 => format!("{passes} passes"),
        done if done == passes => format!("{passes} passes, all done before"),
        done => format!("{passes} passes, {done} of them done before"),
    });
    Ok(Adapted { adapter, resumed })
}

/// The class distribution that fairness pulls towards, (C), on the CPU; `None` where it is uniform.
fn shares(settings: &AdaptSettings, start: &Start<'_>, stop: &Stop) -> Result<Option<Tensor>> {
    Ok(match &settings.class_prior {
        ClassPrior::Uniform => None,
        ClassPrior::Estimated => Some(class_prior::estimate(start.composite, start.prior, stop)?),
        ClassPrior::Shares(shares) => Some(Tensor::from_slice(shares)),
    })
}

/// What one pass starts from.
struct Pass<'a> {
    start: &'a Start<'a>,
    ids: &'a [String],
    /// Labels of the pass before.
    previous: Option<&'a [i32]>,
    shares: Option<&'a Tensor>,
    heads: MixedHeads,
    pass: u64,
}

/// What one pass gives.
struct Done {
    /// Fusion logits (rows, C), where they are not written yet.
    fusion: Option<Tensor>,
    labels: PseudoLabels,
    totals: Totals,
}

impl Pass<'_> {
    /// Pseudo-labels of all pictures, then epochs on them.
    async fn table_then_train(&self, learner: &mut Learner<'_>, store: &Store, stop: &Stop) -> Result<Done> {
        let Pass { start: Start { run, images, .. }, ids, pass, .. } = *self;
        let settings = learner.settings;
        let fusion = images.fusion_logits(learner.adapter, settings, pass, stop).await?;
        tables::write_fusion_logits(store, run, pass, ids, &fusion, stop)?;
        let prior = self.prior(learner, stop)?;
        let input = PassInput {
            run,
            pass: pass as i32,
            image_ids: ids,
            prior: &tensor::numbers(&prior)?,
            fusion: &tensor::numbers(&fusion)?,
            classes: prior.size()[1] as usize,
            parameters: settings.parameters,
            previous: self.previous,
        };
        let labels = stop.or(pseudo_labels(&settings.statement, input)).await?;
        tables::write_pseudo_labels(store, run, pass, &labels)?;

        let chosen = tables::training_rows(&labels.batch, ids)?;
        let mut totals = Totals::default();
        for epoch in self.epochs(settings) {
            totals.add(&epoch::train(images, &chosen, learner, self.shares, epoch, stop).await?);
        }
        Ok(Done { fusion: None, labels, totals })
    }

    /// The epochs of the pass.
    fn epochs(&self, settings: &AdaptSettings) -> std::ops::Range<u64> {
        let first = self.pass * settings.epochs_per_pass;
        first..(first + settings.epochs_per_pass).min(settings.epochs)
    }

    /// The prior's logits (rows, C): fixed, unless the learnable classifier makes them.
    fn prior(&self, learner: &Learner<'_>, stop: &Stop) -> Result<Tensor> {
        match self.heads {
            MixedHeads::Both | MixedHeads::Frozen => Ok(self.start.prior.shallow_clone()),
            MixedHeads::Learnable => guarded("a pass's prior", || {
                let _no_grad = tch::no_grad_guard();
                let head = normalize(&learner.adapter.head).to_device(tch::Device::Cpu);
                products(self.start.composite, &head, stop)
            }),
        }
    }
}
