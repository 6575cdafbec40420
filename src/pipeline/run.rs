//! Running a pipeline: the stages in their order, and nothing else.

use std::sync::Arc;
use std::time::Instant;

use jiff::Timestamp;
use tch::Tensor;

use super::outcome::Outcome;
use super::wait_for_lock;
use crate::config::Spec;
use crate::cores;
use crate::error::Result;
use crate::fusion::normalize;
use crate::runs::lookup::{MetricRow, Upto};
use crate::runs::record::{MadeFrom, Record};
use crate::runs::references;
use crate::stage::adapt::{self, Recipe};
use crate::stage::answers::{AdaptedLogits, Answering};
use crate::stage::describe::{self, Heads};
use crate::stage::evaluate;
use crate::stage::frozen::{self, Filling, FrozenTable};
use crate::stage::ingest;
use crate::stage::job::Job;
use crate::stage::pictures::Pictures;
use crate::stage::progress::Progress;
use crate::stage::{calibrate, prior};
use crate::stop::Stop;
use crate::workspace::{Opened, Workspace, opened};

/// What a run takes besides the pipeline file.
pub struct Options {
    /// Asks the run to stop.
    pub stop: Stop,
    /// Receives its progress.
    pub progress: Arc<dyn Progress>,
}

/// Runs a pipeline up to a step. What the store holds is not computed again, and if it holds the
/// whole run, only the outcome is read.
///
/// # Errors
/// Fails if a stage does; with [`Kind::Tolerance`](crate::error::Kind::Tolerance) if more pictures
/// were rejected than the file tolerates, after everything else was done; with
/// [`Kind::Interrupted`](crate::error::Kind::Interrupted) if a stop was requested.
pub async fn run(spec: &Spec, upto: Upto, options: &Options) -> Result<Outcome> {
    cores::set_limit(spec.device.threads);
    let Options { stop, progress } = options;
    let store = wait_for_lock::take(&spec.store, stop, progress).await?;
    // Waiting for another process does not count as time of the run.
    let (started, clock) = (Timestamp::now(), Instant::now());
    let job = Job { store: &store, stop, progress };
    if upto == Upto::Ingest {
        let (source, settings) = opened::pictures(spec)?;
        let found = ingest::ingest(source, &settings, job).await?;
        return Outcome::of(&found).tolerated(spec, &found);
    }

    let opened = Opened::new(spec)?;
    if upto >= Upto::Adapt {
        ingest::require_training(opened.source.as_ref())?;
    }
    let recipe = opened.recipe(spec)?;
    if let Some(recipe) = &recipe {
        recipe.statement.validate().await?;
    }
    let run = opened.run_id(spec, recipe.as_ref())?;
    let workspace = &opened.workspace;
    workspace.clip.notes.iter().for_each(|note| progress.say(note));
    opened.sentences.left_aside().iter().for_each(|note| progress.say(note));
    if let Some(marks) = opened.sentences.with_marks(&workspace.clip.tokenizer)? {
        progress.say(&format!("warning: {marks}"));
    }
    let mut record = Record::begin(&store, &run, &workspace.dataset, started, clock)?;
    record.made_from = MadeFrom::of(&workspace.clip, &opened.classes, Some(&opened.sentences));
    let known = opened.known(&store)?;
    let stages = Stages { spec, workspace, recipe: recipe.as_ref(), run: &run, job };
    if let Some((found, whole)) = stages.finished(known.as_ref(), upto)? {
        (record.images, record.temperature) = (found.images, whole.temperature);
        record.write(spec, &store, true)?;
        return Outcome::of_finished(run, upto, &found, whole).tolerated(spec, &found);
    }
    let changed = references::changed_weights(spec, workspace, &store)?;
    changed.iter().for_each(|warning| progress.say(warning));
    // Written now too, so that a killed run is on record.
    if upto >= Upto::Adapt {
        record.write(spec, &store, false)?;
    }
    stages.compare_inputs(known.is_some(), &opened.ingest.dataset)?;
    let tables = stages.frozen_tables(upto);
    let (found, mut image_forwards) = match known {
        Some(known) => (ingest::unchanged(known, progress.as_ref()), 0),
        None => {
            let ingesting = frozen::Ingesting {
                source: opened.source,
                snapshot: opened.snapshot.clone(),
                settings: &opened.ingest,
            };
            frozen::fill_while_ingesting(stages.filling(), ingesting, &tables, || workspace.frozen_tower()).await?
        }
    };
    let mut outcome = Outcome::of(&found);
    let pictures = Pictures::open(&store.partition("images", &workspace.dataset)?, spec.dataset.decoding())?;
    if upto >= Upto::Adapt {
        pictures.training()?;
        stages.compare_what_is_read(&pictures)?;
    }
    let sentences = describe::About { sentences: &opened.sentences, dataset: &workspace.dataset };
    let (text_space, clip) = (&workspace.text_space, &workspace.clip);
    let (heads, text_forwards) = describe::describe(sentences, text_space, &clip.tokenizer, || clip.text(), job)?;
    image_forwards += frozen::fill(stages.filling(), &pictures, &tables, || workspace.frozen_tower()).await?;
    outcome.say_forwards(image_forwards, text_forwards);
    if upto >= Upto::Adapt {
        outcome = stages.adapt_and_evaluate(&pictures, &heads, upto, outcome).await?;
        (record.images, record.image_forwards, record.text_forwards) = (found.images, image_forwards, text_forwards);
        record.temperature = outcome.temperature;
        record.write(spec, &store, true)?;
    }
    outcome.tolerated(spec, &found)
}

/// What all stages of a run share.
pub(super) struct Stages<'a> {
    pub(super) spec: &'a Spec,
    pub(super) workspace: &'a Workspace,
    /// The recipe of adaptation; `None` if nothing is trained.
    pub(super) recipe: Option<&'a Recipe>,
    /// The run's id.
    pub(super) run: &'a str,
    pub(super) job: Job<'a>,
}

impl Stages<'_> {
    /// Returns the tables that the frozen vision tower fills up to that step.
    fn frozen_tables(&self, upto: Upto) -> Vec<Arc<dyn FrozenTable>> {
        let mut tables = self.workspace.frozen.all();
        if upto == Upto::Pictures {
            tables.truncate(1);
        }
        tables
    }

    fn filling(&self) -> Filling<'_> {
        Filling { sizes: self.spec.embed, job: self.job }
    }

    /// Returns the number of the run's passes; 0 if nothing is trained.
    pub(super) fn passes(&self) -> u64 {
        self.recipe.map_or(0, |recipe| recipe.adapt.passes())
    }

    /// Adapts the model to the training pictures, and measures it on all.
    async fn adapt_and_evaluate(
        &self,
        pictures: &Arc<Pictures>,
        heads: &Heads,
        upto: Upto,
        outcome: Outcome,
    ) -> Result<Outcome> {
        let Stages { spec, workspace: w, recipe, run, job } = *self;
        let train = pictures.training()?;
        let mut outcome = Outcome { run: run.to_owned(), ..outcome };
        // Read once: training sees some of its rows, evaluation all of them.
        let seen = w.multi_view(pictures, heads, job)?;
        let answering = Answering {
            pictures,
            seen: &seen,
            heads,
            transduction: spec.transduction,
            predict: spec.predict,
            scale: spec.adapt.logit_scale,
            stop: job.stop,
        };
        let places = Tensor::from_slice(&train);
        let prior = answering.prior(&places)?;
        prior::write_prior(run, pictures, &train, &prior, job)?;
        let mut adapted = None;
        if let Some(recipe) = recipe {
            let all = w.images(pictures, recipe, &seen, job)?;
            let (images, composite) = (all.of(&train), seen.composite.index_select(0, &places));
            let (tower, head, frozen) = (w.tower(spec)?, &heads.descriptions, &heads.frozen);
            let start = adapt::Start {
                run,
                images: &images,
                prior: &prior,
                composite: &composite,
                tower: &tower,
                head,
                frozen,
            };
            let made = adapt::adapt(start, recipe, job).await?;
            outcome.resume = made.went_on(recipe.adapt.passes());
            adapted = Some((all, made.model));
        }
        if upto < Upto::Evaluate {
            return Ok(outcome);
        }
        let last = self.passes().saturating_sub(1) as i32;
        let (mut named, prior) = answering.baselines()?;
        if let Some((all, model)) = adapted {
            let head = normalize(&model.head.detach()).to_device(tch::Device::Cpu);
            let adapted = AdaptedLogits { logits: all.evaluated(&model, run, job).await?, head };
            named.push(("adapted", evaluate::answers(&adapted.logits)?));
            let predicted = answering.predicted(&prior, &adapted)?;
            if let Some(logits) = &predicted {
                named.push(("predicted", evaluate::answers(logits)?));
            }
            let (places, labels) = calibrate::last_labels(run, last, pictures, job.store, job.stop)?;
            outcome.temperature = answering.temperature(&adapted, (&places, &labels))?;
            let logits = predicted.as_ref().unwrap_or(&adapted.logits);
            evaluate::write_predictions(run, pictures, logits, &named[0].1, job.store, job.stop)?;
        }
        let labels = evaluate::labels(pictures, &w.dataset, job.store, job.stop)?;
        let scores: Vec<_> =
            named.iter().flat_map(|(model, found)| evaluate::scores(model, found, &labels, pictures)).collect();
        evaluate::write_metrics(run, last, &scores, job.store)?;
        Ok(outcome.with_table(scores.into_iter().map(MetricRow::from).collect()))
    }
}
