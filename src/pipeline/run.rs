//! Running a pipeline: the stages in order, and what came of them.

use std::sync::Arc;
use std::time::Instant;

use jiff::Timestamp;
use tch::Tensor;

use super::cache;
use super::finished::Whole;
use super::record::{MadeFrom, Record};
use super::settings;
use super::spec::{Prototypes, Spec};
use super::turn;
use super::workspace::Workspace;
use crate::cores;
use crate::device::guarded;
use crate::error::{Error, Kind, Result};
use crate::fusion::blocks::picked;
use crate::fusion::normalize;
use crate::fusion::stata::StatA;
use crate::source::{self, Source};
use crate::stage::adapt::{self, AdaptSettings, Frozen, Images};
use crate::stage::describe::{self, Heads, Sentences};
use crate::stage::evaluate::{self, Score};
use crate::stage::frozen::{self, Filling, FrozenTable, Ingesting};
use crate::stage::ingest::{self, IngestSettings, Ingested};
use crate::stage::pictures::Pictures;
use crate::stage::prior::MultiView;
use crate::stage::progress::Progress;
use crate::stage::{calibrate, features, prior};
use crate::stop::Stop;
use crate::store::layout::Store;

/// What a run is given besides the pipeline file.
pub struct Options {
    /// Asks the run to stop.
    pub stop: Stop,
    /// Where it says how far it is.
    pub progress: Arc<dyn Progress>,
}

/// The last step of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Upto {
    /// The pictures are in the tables.
    Ingest,
    /// The pictures and sentences are embedded, the crops are not.
    Pictures,
    /// Everything frozen is computed.
    Embed,
    /// The model is adapted.
    Adapt,
    /// The outcome is measured.
    Evaluate,
}

/// What came of a run.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    /// The run's id; empty where it ended before adaptation.
    pub run: String,
    /// Accuracies, where labels exist.
    pub table: Vec<MetricRow>,
    /// Lines worth reading.
    pub notes: Vec<String>,
    /// Where it went on from, if it did.
    pub resume: Option<String>,
    /// What the logits of the answers are divided by to be calibrated, where a model was adapted and measured.
    pub temperature: Option<f64>,
}

/// One row of the accuracy table.
#[derive(Debug, Clone, PartialEq)]
pub struct MetricRow {
    /// `zero_shot`, `descriptions`, `multi_view`, `transductive`, `adapted` or `predicted`.
    pub model: String,
    /// `train` or `test`.
    pub split: String,
    /// Share of pictures that are right.
    pub top1: f64,
    /// Mean over classes of that share.
    pub mean_class: f64,
    /// Pictures it was measured on.
    pub images: u64,
}

/// Runs a pipeline up to a step. What the store holds is not computed again, and of a run that it has whole only the outcome
/// is read.
///
/// # Errors
/// Of the first stage that fails; [`Kind::Tolerance`] where more pictures were rejected than the file tolerates, after
/// everything else was done; [`Kind::Interrupted`] where stopping was asked for.
pub async fn run(spec: &Spec, upto: Upto, options: &Options) -> Result<Outcome> {
    cores::set_limit(spec.device.threads);
    let Options { stop, progress } = options;
    let store = turn::take(&spec.store, stop, progress).await?;
    // Waiting for another process is none of the run.
    let (started, clock) = (Timestamp::now(), Instant::now());
    let mut outcome = Outcome::default();

    let source = source::open(&settings::source(spec))?;
    let ingest_settings = settings::ingest(spec)?;
    if upto == Upto::Ingest {
        let found = ingest::ingest(source, &ingest_settings, &store, stop, progress).await?;
        outcome.notes.extend(rejections(&found));
        return tolerated(spec, &found, outcome);
    }

    let workspace = Workspace::open(spec)?;
    let snapshot = ingest::snapshot(source.as_ref(), &ingest_settings)?;
    let classes = ingest::classes(source.as_ref(), &ingest_settings)?;
    let sentences = sentences(spec, &classes)?;
    let adapt_settings = settings::adapt(spec, &workspace.clip.preprocess, &classes)?;
    let run = workspace.run_id(spec, &snapshot, &sentences, adapt_settings.as_ref());
    let mut record = Record::begin(&store, &run, &workspace.dataset, started, clock)?;
    record.made_from = MadeFrom::of(&workspace.clip, &classes, Some(&sentences));
    let stages = Stages { spec, workspace: &workspace, store: &store, options };
    let passes = adapt_settings.as_ref().map(AdaptSettings::passes);
    let known = ingest::known_as(&snapshot, &ingest_settings, &store)?;
    if let Some((found, whole)) = stages.finished(&run, known.as_ref(), passes, upto)? {
        (record.images, record.temperature) = (found.images, whole.temperature);
        record.write(spec, &store, true)?;
        return tolerated(spec, &found, outcome_of(run, upto, &found, whole));
    }
    let changed = cache::changed_weights(spec, &workspace.image_space, &workspace.dataset, &store)?;
    changed.iter().for_each(|warning| progress.say(warning));
    // A run that is killed is on record too.
    if upto >= Upto::Adapt {
        record.write(spec, &store, false)?;
    }
    stages.compare_inputs(known.is_some(), &ingest_settings.dataset)?;
    let (found, forwards) = stages.ingest(source, snapshot, &ingest_settings, upto).await?;
    outcome.notes.extend(rejections(&found));
    (record.images, record.image_forwards) = (found.images, forwards);
    let pictures = Pictures::open(&store.partition("images", &workspace.dataset)?, settings::limits(spec))?;
    if upto >= Upto::Adapt {
        stages.compare_what_is_read(&run, &pictures)?;
    }
    let heads = stages.frozen(&pictures, &sentences, upto, &mut record).await?;
    outcome.notes.push(match record.image_forwards + record.text_forwards {
        0 => "every embedding was cached: no forward pass of the frozen model".to_owned(),
        _ => format!("frozen model: {} image forwards, {} text forwards", record.image_forwards, record.text_forwards),
    });
    if upto <= Upto::Embed {
        return tolerated(spec, &found, outcome);
    }
    outcome.run.clone_from(&run);
    stages.adapt_and_evaluate(&run, &pictures, &heads, adapt_settings, upto, &mut outcome).await?;
    record.temperature = outcome.temperature;
    record.write(spec, &store, true)?;
    tolerated(spec, &found, outcome)
}

/// What came of a run of which the store has everything already.
fn outcome_of(run: String, upto: Upto, found: &Ingested, whole: Whole) -> Outcome {
    let Whole { table, temperature } = whole;
    let mut notes = Vec::from_iter(rejections(found));
    notes.push(format!("run {run} is finished: nothing had to be computed, no forward pass of the frozen model"));
    if upto == Upto::Evaluate && table.is_empty() {
        notes.push(NO_LABELS.to_owned());
    }
    Outcome { run, table, notes, resume: None, temperature }
}

/// Said where there is nothing to measure the outcome by.
const NO_LABELS: &str = "no labels: nothing to measure; the table `predictions` has the answers";

/// Everything that is said about the classes.
pub(super) fn sentences(spec: &Spec, classes: &[String]) -> Result<Sentences> {
    match spec.text.prototypes {
        Prototypes::Descriptions => Sentences::read(&spec.text.descriptions, classes, &spec.text.templates),
        Prototypes::Templates => Ok(Sentences::of_templates(classes, &spec.text.templates)),
    }
}

/// What is to be said of rejected files.
fn rejections(found: &Ingested) -> Option<String> {
    let all = found.images + found.rejected;
    (found.rejected > 0).then(|| format!("{} of {all} files rejected; the table `rejected` says why", found.rejected))
}

/// Whether more files were rejected than the pipeline file tolerates.
pub(super) fn too_many_rejected(spec: &Spec, found: &Ingested) -> bool {
    let all = found.images + found.rejected;
    found.rejected as f64 > spec.dataset.tolerance * all as f64
}

/// The outcome, unless too many files were rejected.
fn tolerated(spec: &Spec, found: &Ingested, outcome: Outcome) -> Result<Outcome> {
    if too_many_rejected(spec, found) {
        let (rejected, all) = (found.rejected, found.images + found.rejected);
        let what = format!(
            "{rejected} of {all} files were rejected, more than dataset.tolerance = {} allows",
            spec.dataset.tolerance
        );
        return Err(Error::new(Kind::Tolerance, what)
            .hint("SELECT path, reason, detail FROM rejected shows them; everything else was done and is kept"));
    }
    Ok(outcome)
}

/// What all stages of a run share.
pub(super) struct Stages<'a> {
    pub(super) spec: &'a Spec,
    pub(super) workspace: &'a Workspace,
    pub(super) store: &'a Store,
    pub(super) options: &'a Options,
}

impl Stages<'_> {
    /// The pictures in the tables; embedded on the way where they are read anew. With the number of forwards.
    async fn ingest(
        &self,
        source: Box<dyn Source>,
        snapshot: String,
        settings: &IngestSettings,
        upto: Upto,
    ) -> Result<(Ingested, u64)> {
        let Stages { workspace: w, store, options: Options { progress, .. }, .. } = *self;
        if let Some(known) = ingest::known_as(&snapshot, settings, store)? {
            return Ok((ingest::unchanged(known, progress.as_ref()), 0));
        }
        let ingesting = Ingesting { source, snapshot, settings };
        let tables = self.frozen_tables(upto);
        frozen::fill_while_ingesting(self.filling(), ingesting, &tables, || w.frozen_tower()).await
    }

    /// The tables that the frozen vision tower fills up to that step.
    fn frozen_tables(&self, upto: Upto) -> Vec<Arc<dyn FrozenTable>> {
        let mut tables = self.workspace.frozen_tables(self.spec);
        if upto == Upto::Pictures {
            tables.truncate(1);
        }
        tables
    }

    fn filling(&self) -> Filling<'_> {
        let Options { stop, progress } = self.options;
        Filling { grouping: settings::grouping(self.spec), store: self.store, stop, progress }
    }

    /// Everything that the frozen model computes.
    async fn frozen(
        &self,
        pictures: &Arc<Pictures>,
        sentences: &Sentences,
        upto: Upto,
        record: &mut Record,
    ) -> Result<Heads> {
        let Stages { workspace: w, store, options: Options { stop, progress }, .. } = *self;
        let progress = progress.as_ref();
        let text = || w.clip.text();
        let (heads, forwards) =
            describe::describe(sentences, &w.text_space, &w.dataset, &w.clip.tokenizer, text, store, stop, progress)?;
        record.text_forwards = forwards;
        let tables = self.frozen_tables(upto);
        record.image_forwards += frozen::fill(self.filling(), pictures, &tables, || w.frozen_tower()).await?;
        Ok(heads)
    }

    async fn adapt_and_evaluate(
        &self,
        run: &str,
        pictures: &Arc<Pictures>,
        heads: &Heads,
        adapt_settings: Option<AdaptSettings>,
        upto: Upto,
        outcome: &mut Outcome,
    ) -> Result<()> {
        let Stages { workspace: w, store, options: Options { stop, progress }, .. } = *self;
        let train: Vec<usize> = (0..pictures.rows().len()).filter(|&n| !pictures.rows()[n].test).collect();
        if train.is_empty() {
            return Err(Error::new(Kind::Input, "the dataset has no training picture")
                .hint("all its pictures are of the test split; name the split to adapt to `train`"));
        }
        let seen = prior::multi_view(pictures, &train, heads, &w.spaces(), store, stop)?;
        let prior = self.prior(&seen, heads)?;
        prior::write_prior(run, pictures, &train, &prior, store, stop)?;
        let frozen = Frozen {
            embeddings: store.partition("embeddings", &w.image_space.id())?,
            views: store.partition("view_features", &w.view_space.id())?,
            blocks: w.block_space.as_ref().map(|(s, _)| store.partition("block_tokens", &s.id())).transpose()?,
        };
        let open = |rows: Vec<usize>, settings: &AdaptSettings| {
            Images::open(pictures, rows, settings, &frozen, &w.clip.preprocess, w.normaliser(), stop)
        };
        let mut adapted = None;
        if let Some(settings) = &adapt_settings {
            let images = open(train, settings)?;
            let (tower, composite) = (w.tower(w.adapt_precision(self.spec))?, &seen.composite);
            let (head, frozen) = (&heads.descriptions, &heads.frozen);
            let start = adapt::Start { run, images: &images, prior: &prior, composite, tower: &tower, head, frozen };
            let result = adapt::adapt(start, settings, store, stop, progress).await?;
            if result.resumed > 0 && result.resumed < settings.passes() {
                outcome.resume = Some(format!("went on after pass {} of {}", result.resumed, settings.passes()));
            }
            adapted = Some(result.adapter);
        }
        if upto < Upto::Evaluate {
            return Ok(());
        }
        let mut logits = None;
        if let (Some(adapter), Some(settings)) = (&adapted, &adapt_settings) {
            let images = open((0..pictures.rows().len()).collect(), settings)?;
            let head = normalize(&adapter.head.detach()).to_device(tch::Device::Cpu);
            logits = Some((self.adapted_logits(&images, adapter, run).await?, head));
        }
        let passes = adapt_settings.as_ref().map_or(0, AdaptSettings::passes);
        let adapted = logits.as_ref().map(|(logits, head)| (logits, head));
        let scores = self.evaluate(run, passes, pictures, heads, adapted, &mut outcome.temperature)?;
        if scores.is_empty() {
            outcome.notes.push(NO_LABELS.to_owned());
        }
        outcome.table = scores.into_iter().map(MetricRow::from).collect();
        Ok(())
    }

    /// The prior's logits of the training pictures, after transduction where it is asked for.
    fn prior(&self, seen: &MultiView, heads: &Heads) -> Result<Tensor> {
        let scale = self.spec.adapt.logit_scale;
        match settings::stata(self.spec, self.spec.transduction.prior) {
            None => Ok(seen.logits.shallow_clone()),
            Some(stata) => guarded("transduction before adaptation", || {
                prior::transduced(&seen.composite, &seen.logits, &heads.frozen, stata, scale, &self.options.stop)
            }),
        }
    }

    /// Cosine-like logits (rows, C) of all pictures after transduction within their split.
    fn transduced(
        &self,
        pictures: &Pictures,
        seen: &MultiView,
        first: &Tensor,
        prototypes: &Tensor,
        stata: StatA,
    ) -> Result<Tensor> {
        let (scale, stop) = (self.spec.adapt.logit_scale, &self.options.stop);
        guarded("transduction", || {
            evaluate::by_split(&evaluate::splits(pictures), first, stop, |places| {
                let (composite, first) = (picked(&seen.composite, places, stop)?, picked(first, places, stop)?);
                prior::transduced(&composite, &first, prototypes, stata, scale, stop)
            })
        })
    }

    /// The logits (rows, C) that answers are taken from, where they are not the adapted model's own: mixed with the prior's,
    /// then transduced about the adapted classifier `head` (C, d).
    fn predicted(
        &self,
        pictures: &Pictures,
        seen: &MultiView,
        prior: &Tensor,
        adapted: &Tensor,
        head: &Tensor,
    ) -> Result<Option<Tensor>> {
        let (gamma, scale) = (self.spec.predict.gamma, self.spec.adapt.logit_scale);
        let stata = settings::stata(self.spec, self.spec.transduction.predictions);
        if gamma == 0.0 && stata.is_none() {
            return Ok(None);
        }
        let all = Tensor::arange(prior.size()[0], tch::kind::INT64_CPU);
        let mixed = prior::mixed((prior, gamma), (adapted, (1.0 - gamma) / scale), &all, &self.options.stop)?;
        let cosines = match stata {
            None => mixed,
            Some(stata) => self.transduced(pictures, seen, &mixed, head, stata)?,
        };
        Ok(Some(cosines * scale))
    }

    /// The temperature of answers that need no other picture: mixed with the prior's logits where the pipeline asks for it,
    /// not transduced.
    fn temperature(
        &self,
        run: &str,
        passes: u64,
        pictures: &Pictures,
        prior: &Tensor,
        adapted: &Tensor,
    ) -> Result<Option<f64>> {
        let (gamma, scale) = (self.spec.predict.gamma, self.spec.adapt.logit_scale);
        let (last, stop) = (passes.saturating_sub(1) as i32, &self.options.stop);
        let (places, labels) = calibrate::last_labels(run, last, pictures, self.store, stop)?;
        guarded("calibration", || {
            let places = Tensor::from_slice(&places);
            let mixed = prior::mixed((prior, gamma * scale), (adapted, 1.0 - gamma), &places, stop)?;
            calibrate::temperature(&mixed, &labels, stop)
        })
    }

    async fn adapted_logits(&self, images: &Images, adapter: &adapt::Model, run: &str) -> Result<Tensor> {
        let Options { stop, progress } = self.options;
        progress.begin("evaluate", "image", images.len() as u64, 0);
        let logits = images.logits(adapter, stop).await?;
        progress.advance(images.len() as u64);
        progress.end(&format!("{} images by the adapted model of {run}", images.len()));
        Ok(logits)
    }

    /// Scores the baselines and the adapted model, and writes `metrics` and `predictions`. `adapted` has the adapted model's logits
    /// and its classifier; `temperature` gets what calibrates them.
    fn evaluate(
        &self,
        run: &str,
        passes: u64,
        pictures: &Pictures,
        heads: &Heads,
        adapted: Option<(&Tensor, &Tensor)>,
        temperature: &mut Option<f64>,
    ) -> Result<Vec<Score>> {
        let Stages { workspace: w, store, options: Options { stop, .. }, .. } = *self;
        let all: Vec<usize> = (0..pictures.rows().len()).collect();
        let embeddings = store.partition("embeddings", &w.image_space.id())?;
        let cls = features::vectors(&embeddings, "cls_feature", pictures, &all, stop)?;
        let zero_shot = evaluate::nearest(&cls, &heads.names, stop)?;
        let labels = evaluate::labels(pictures, &w.dataset, store, stop)?;
        let seen = prior::multi_view(pictures, &all, heads, &w.spaces(), store, stop)?;
        let mut answers = vec![
            ("zero_shot", zero_shot.clone()),
            ("descriptions", evaluate::nearest(&cls, &heads.descriptions, stop)?),
            ("multi_view", evaluate::answers(&seen.logits)?),
        ];
        let transduction = self.spec.transduction.prior || self.spec.transduction.predictions;
        let multi_view = match settings::stata(self.spec, transduction) {
            None => seen.logits.shallow_clone(),
            Some(stata) => {
                let logits = self.transduced(pictures, &seen, &seen.logits, &heads.frozen, stata)?;
                answers.push(("transductive", evaluate::answers(&logits)?));
                logits
            }
        };
        if let Some((logits, head)) = adapted {
            answers.push(("adapted", evaluate::answers(logits)?));
            let prior = if self.spec.transduction.prior { &multi_view } else { &seen.logits };
            let predicted = self.predicted(pictures, &seen, prior, logits, head)?;
            if let Some(logits) = &predicted {
                answers.push(("predicted", evaluate::answers(logits)?));
            }
            *temperature = self.temperature(run, passes, pictures, &seen.logits, logits)?;
            evaluate::write_predictions(run, pictures, predicted.as_ref().unwrap_or(logits), &zero_shot, store, stop)?;
        }
        let scores: Vec<Score> =
            answers.iter().flat_map(|(model, found)| evaluate::scores(model, found, &labels, pictures)).collect();
        evaluate::write_metrics(run, passes.saturating_sub(1) as i32, &scores, store)?;
        Ok(scores)
    }
}

impl From<Score> for MetricRow {
    fn from(score: Score) -> Self {
        let Score { model, split, top1, mean_class, images } = score;
        MetricRow { model: model.to_owned(), split: split.to_owned(), top1, mean_class, images }
    }
}
