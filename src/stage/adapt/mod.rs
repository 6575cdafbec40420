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
mod tables;

use std::sync::Arc;
use std::time::Instant;

use tch::Tensor;

use crate::clip::VisionTower;
use crate::device::guarded;
use crate::dka::{Parameters, PassInput, Statement, pseudo_labels};
use crate::error::Result;
use crate::fusion::adamw::AdamW;
use crate::fusion::adapter::{Adapter, Tune};
use crate::fusion::foreground::Saliency;
use crate::fusion::loss::LossWeights;
use crate::image::StrongView;
use crate::stage::progress::Progress;
use crate::stage::stop::Stop;
use crate::store::layout::Store;
use crate::table::tensor;

pub use crate::fusion::adapter::Adapter as Model;
pub use images::Images;

/// How to adapt.
#[derive(Debug, Clone)]
pub struct AdaptSettings {
    /// What is trained.
    pub tune: Tune,
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
    /// AdamW's weight decay.
    pub weight_decay: f64,
    /// Weights of the loss's parts.
    pub loss: LossWeights,
    /// Of the running class distribution in the fairness term.
    pub fairness_momentum: f64,
    /// Factor of the logits.
    pub scale: f64,
    /// Share of [FG] in the fusion.
    pub ratio: f64,
    /// The cut of the patch graph.
    pub saliency: Saliency,
    /// What the statement's parameters stand for.
    pub parameters: Parameters,
    /// The SQL that makes pseudo-labels.
    pub statement: Statement,
    /// What training steps see.
    pub strong: StrongView,
    /// Of batch order and augmentation.
    pub seed: u64,
}

impl AdaptSettings {
    /// Passes in all.
    pub fn passes(&self) -> u64 {
        self.epochs.div_ceil(self.epochs_per_pass.max(1))
    }
}

/// What adaptation starts from.
pub struct Start<'a> {
    /// The run's id.
    pub run: &'a str,
    /// The training pictures.
    pub images: &'a Images,
    /// Their prior logits, (rows, C).
    pub prior: &'a Tensor,
    /// The frozen tower, fp32, on the device.
    pub tower: &'a VisionTower,
    /// W* at its start, (C, d).
    pub head: &'a Tensor,
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
    let Start { run, images, prior, tower, head } = start;
    settings.statement.validate().await?;
    let device = tower.projection.device();
    let head = head.to_device(device);
    let mut adapter = Adapter::new(tower, &head, settings.tune, settings.saliency, settings.ratio, settings.scale);
    let mut optimiser = AdamW::new(adapter.parameters(), settings.weight_decay);

    let folder = store.checkpoints(run)?;
    let resumed = match checkpoint::latest(&folder)? {
        Some(path) => checkpoint::restore(&path, &mut adapter, &mut optimiser)?,
        None => 0,
    };
    let mut previous = match resumed {
        0 => None,
        done => Some(tables::pseudo_labels_of(store, run, done - 1, images)?),
    };

    let (rows, classes) = (images.len(), prior.size()[1] as usize);
    let prior = tensor::numbers(prior)?;
    let ids = images.ids();
    let passes = settings.passes();
    progress.begin("adapt", "pass", passes.saturating_sub(resumed), resumed);
    for pass in resumed..passes {
        stop.check()?;
        let began = Instant::now();
        let fusion = images.fusion_logits(&adapter, settings, pass, stop).await?;
        tables::write_fusion_logits(store, run, pass, &ids, &fusion)?;
        let fusion = tensor::numbers(&fusion)?;
        let input = PassInput {
            run,
            pass: pass as i32,
            image_ids: &ids,
            prior: &prior,
            fusion: &fusion,
            classes,
            parameters: settings.parameters,
            previous: previous.as_deref(),
        };
        let labels = pseudo_labels(&settings.statement, input).await?;
        tables::write_pseudo_labels(store, run, pass, &labels)?;

        let chosen = tables::training_rows(&labels.batch, &ids)?;
        let first = pass * settings.epochs_per_pass;
        let last = (first + settings.epochs_per_pass).min(settings.epochs);
        let mut total = epoch::Totals::default();
        for epoch in first..last {
            total.add(&epoch::train(images, &chosen, &mut adapter, &mut optimiser, settings, epoch, stop).await?);
        }
        tables::write_pass(store, run, pass, &labels.summary, &total, chosen.len(), began.elapsed().as_secs_f64())?;
        guarded("writing a checkpoint", || checkpoint::write(&folder, run, pass + 1, &adapter, &optimiser))?;
        let summary = &labels.summary;
        progress.say(&format!(
            "pass {pass}: loss {:.3}, {} of {rows} labels changed, mean confidence {:.2}, {} dead classes",
            total.loss(),
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
