//! Looks up whether a run exists already and what its results are, without computing anything.

use arrow::array::Array;

use super::record::{is_of, shared_prior};
use crate::config::Spec;
use crate::dka::Dka;
use crate::error::{Error, Kind, Result};
use crate::fusion::design::Fusion;
use crate::stage::adapt::{Adapt, Recipe, checkpoint, passes_with_logits};
use crate::stage::ingest::Ingested;
use crate::stage::{class_bias, prior};
use crate::store::layout::{Partition, Store};
use crate::store::reader;
use crate::table::arrays;
use crate::workspace::{Opened, on_hub};

/// A run that was finished and measured.
#[derive(Debug, Clone)]
pub(crate) struct Finished {
    /// The run's id.
    pub(crate) run: String,
    /// Duration of its last invocation.
    pub(crate) seconds: f64,
    /// What was measured; empty if no labels are known.
    pub(crate) scores: Vec<Measured>,
}

/// A row of `metrics`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Measured {
    pub(crate) model: String,
    pub(crate) split: String,
    pub(crate) metric: String,
    pub(crate) value: f64,
    /// Labelled pictures; `None` if an older version measured.
    pub(crate) images: Option<u64>,
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

/// One row of the accuracy table.
#[derive(Debug, Clone, PartialEq)]
pub struct MetricRow {
    /// `zero_shot`, `descriptions`, `multi_view`, `transductive`, `adapted` or `predicted`.
    pub model: String,
    /// `train`, `validation` or `test`.
    pub split: String,
    /// Share of pictures that are answered right.
    pub top1: f64,
    /// Mean over classes of that share.
    pub mean_class: f64,
    /// Pictures it was measured on.
    pub images: u64,
}

/// A run whose results are all in the store.
pub(crate) struct Whole {
    /// Accuracies, if it was measured and labels exist.
    pub(crate) table: Vec<MetricRow>,
    /// Temperature that calibrates its answers.
    pub(crate) temperature: Option<f64>,
}

/// Look-ups in one store while nothing is written to it. Opening a model hashes its weights, so
/// pipelines that differ only in how they adapt are opened once.
pub(crate) struct Lookup<'a> {
    store: &'a Store,
    opened: Vec<(Spec, Option<(Opened, Ingested)>)>,
}

impl<'a> Lookup<'a> {
    pub(crate) fn new(store: &'a Store) -> Self {
        Lookup { store, opened: Vec::new() }
    }

    /// Returns the run that these settings make of the dataset as it is now, if the store has it
    /// finished and measured. Also returns `None` if more files were rejected than the pipeline
    /// file tolerates: running it again says so.
    pub(crate) fn finished(&mut self, spec: &Spec) -> Result<Option<Finished>> {
        let store = self.store;
        let Some((opened, found)) = self.open(spec)? else { return Ok(None) };
        if found.too_many_rejected(spec.dataset.tolerance) {
            return Ok(None);
        }
        measured(store, &opened.run_id(spec, opened.recipe(spec)?.as_ref())?)
    }

    /// Opens a pipeline whose pictures are in the store.
    ///
    /// # Errors
    /// Returns [`Kind::Store`] if they are not there as they are now.
    pub(crate) fn known(&mut self, spec: &Spec) -> Result<&Opened> {
        let store = self.store.place().display().to_string();
        let gone = || {
            let what = format!("the pictures of {} are not in the store {store} as they are now", spec.name);
            Error::new(Kind::Store, what).hint("run the command again: what is missing is computed")
        };
        self.open(spec)?.map(|(opened, _)| opened).ok_or_else(gone)
    }

    /// Opens a pipeline; returns `None` if its pictures are not in the store as they are now.
    fn open(&mut self, spec: &Spec) -> Result<Option<&(Opened, Ingested)>> {
        // Opening a pipeline depends on none of these.
        let common =
            Spec { seed: 0, fusion: Fusion::default(), dka: Dka::default(), adapt: Adapt::default(), ..spec.clone() };
        let known = self.opened.iter().position(|(spec, _)| *spec == common);
        let at = match known {
            Some(at) => at,
            None => {
                let here = on_hub::as_cached(spec);
                let opened = match on_hub::is_whole(&here).then(|| Opened::new(&here)) {
                    // It is not fetched yet, so no run has read it as it is there now.
                    None => None,
                    Some(Err(error)) if error.kind() == Kind::Network && on_hub::is_named(spec) => None,
                    Some(opened) => Some(opened?),
                };
                let known = opened.map(|opened| Ok::<_, Error>(opened.known(self.store)?.map(|found| (opened, found))));
                self.opened.push((common, known.transpose()?.flatten()));
                self.opened.len() - 1
            }
        };
        Ok(self.opened[at].1.as_ref())
    }
}

/// Returns what a run leaves behind up to the step `upto`, adaptation or evaluation, if the store
/// has all of it. `recipe` is how it adapts, `None` if nothing is trained.
///
/// The tables that the outcome is read from are compared with their checksums. The others, which
/// are large, are only checked to exist; what they were computed from (pictures, features) is not
/// checked, since the outcome stands without it.
///
/// # Errors
/// Fails if the store cannot be read.
pub(crate) fn whole(store: &Store, run: &str, recipe: Option<&Recipe>, upto: Upto) -> Result<Option<Whole>> {
    let Some(row) = Row::read(store, run)? else { return Ok(None) };
    let prior = store.partition(prior::TABLE, row.prior.as_deref().unwrap_or(run))?;
    if !class_bias::is_written(run, store)? || prior.listed()?.is_empty() {
        return Ok(None);
    }
    if let Some(recipe) = recipe
        && !has_passes(store, run, recipe)?
    {
        return Ok(None);
    }
    let mut whole = Whole { table: Vec::new(), temperature: row.temperature };
    if upto < Upto::Evaluate {
        return Ok(Some(whole));
    }
    // Calibration comes last, and adapting a run again removes it.
    let trained = recipe.is_some();
    if trained && (row.temperature.is_none() || store.partition("predictions", run)?.parts()?.is_empty()) {
        return Ok(None);
    }
    let Some(Finished { scores, .. }) = measured(store, run)? else { return Ok(None) };
    match table(&scores) {
        Some(table) => whole.table = table,
        None => return Ok(None),
    }
    Ok(Some(whole))
}

/// Returns whether the store has the tables of all passes, and the checkpoint after the last of
/// them.
fn has_passes(store: &Store, run: &str, recipe: &Recipe) -> Result<bool> {
    let passes = recipe.adapt.passes();
    if passes == 0 {
        return Ok(true);
    }
    // The prior has a part, too.
    if recipe.rebalances() && store.partition("class_bias", run)?.parts()?.len() as u64 <= passes {
        return Ok(false);
    }
    let labelled = store.partition("pseudo_labels", run)?.listed()?.len() as u64;
    if labelled < passes || passes_with_logits(store, run, Partition::listed)? < passes {
        return Ok(false);
    }
    let folder = store.checkpoints_of(run)?;
    if (store.partition("passes", run)?.parts()?.len() as u64) < passes || checkpoint::passes_done(&folder)? != passes {
        return Ok(false);
    }
    let Some(path) = checkpoint::latest(&folder)? else { return Ok(false) };
    Ok(store.verify(&path)? && checkpoint::is_in_place(&path, run)?)
}

/// Returns the accuracies by model and split, or `None` if a row does not say on how many pictures
/// it was measured.
fn table(scores: &[Measured]) -> Option<Vec<MetricRow>> {
    let mut table: Vec<MetricRow> = Vec::new();
    for Measured { model, split, metric, value, images } in scores {
        let known = table.iter().position(|row| row.model == *model && row.split == *split);
        let at = known.unwrap_or(table.len());
        if known.is_none() {
            let (model, split, images) = (model.clone(), split.clone(), (*images)?);
            table.push(MetricRow { model, split, top1: f64::NAN, mean_class: f64::NAN, images });
        }
        match metric.as_str() {
            "top1" => table[at].top1 = *value,
            "mean_class" => table[at].mean_class = *value,
            _ => {}
        }
    }
    Some(table)
}

/// What a row of `runs` says about how a run ended.
struct Row {
    finished: bool,
    seconds: Option<f64>,
    temperature: Option<f64>,
    /// The partition of the prior that it shares with other runs.
    prior: Option<String>,
}

impl Row {
    /// Reads the row of a run; returns `None` if the store has no such run.
    fn read(store: &Store, run: &str) -> Result<Option<Self>> {
        let mut row = None;
        for batch in reader::batches(&store.partition("runs", run)?, None, 16)? {
            let batch = batch?;
            // A row of another run in this place does not count.
            if !is_of(&batch, run)? {
                return Ok(None);
            }
            let first = |column: &str| Ok::<_, Error>(arrays::floats(&batch, column)?.first().copied().flatten());
            row = Some(Row {
                finished: batch.column_by_name("finished").is_some_and(|finished| finished.is_valid(0)),
                seconds: first("seconds")?,
                // Older versions had no such column.
                temperature: first("temperature").unwrap_or_default(),
                prior: shared_prior(&batch),
            });
        }
        Ok(row)
    }
}

/// Returns a run of the store by its id, if it is finished and measured.
pub(crate) fn measured(store: &Store, run: &str) -> Result<Option<Finished>> {
    let seconds = Row::read(store, run)?.filter(|row| row.finished).and_then(|row| row.seconds);
    let metrics = store.partition("metrics", run)?;
    let Some(seconds) = seconds.filter(|_| metrics.parts().is_ok_and(|parts| !parts.is_empty())) else {
        return Ok(None);
    };
    let mut scores = Vec::new();
    for batch in reader::batches(&metrics, None, 1024)? {
        let batch = batch?;
        if !is_of(&batch, run)? {
            return Ok(None);
        }
        let texts = |column: &str| arrays::strings(&batch, column);
        let names = texts("model")?.into_iter().zip(texts("split")?).zip(texts("metric")?);
        // Older versions had no such column.
        let images = arrays::int64s(&batch, "images").unwrap_or_default();
        for (at, (((model, split), metric), value)) in names.zip(arrays::floats(&batch, "value")?).enumerate() {
            scores.extend(value.map(|value| Measured {
                model: model.to_owned(),
                split: split.to_owned(),
                metric: metric.to_owned(),
                value,
                images: images.get(at).map(|images| images.cast_unsigned()),
            }));
        }
    }
    Ok(Some(Finished { run: run.to_owned(), seconds, scores }))
}
