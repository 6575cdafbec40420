//! Looking up whether a run was made already, without computing anything, and what it came to.

use arrow::array::Array;

use super::run::{sentences, too_many_rejected};
use super::settings;
use super::spec::{Adapt, Dka, Fusion, Spec};
use super::workspace::Workspace;
use crate::error::Result;
use crate::source;
use crate::stage::describe::Sentences;
use crate::stage::ingest::{self, Ingested};
use crate::store::layout::Store;
use crate::store::reader;
use crate::table::arrays;

/// A run that was finished and measured.
#[derive(Debug, Clone)]
pub(super) struct Finished {
    /// Its id.
    pub(super) run: String,
    /// Duration of its last invocation.
    pub(super) seconds: f64,
    /// What was measured; nothing where no labels are known.
    pub(super) scores: Vec<Measured>,
}

/// A row of `metrics`.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Measured {
    pub(super) model: String,
    pub(super) split: String,
    pub(super) metric: String,
    pub(super) value: f64,
}

/// Look-ups in one store while nothing is written to it. Opening a model takes a hash of its weights, so what pipelines that
/// differ only in how they adapt have in common is opened once.
pub(super) struct Lookup<'a> {
    store: &'a Store,
    opened: Vec<(Spec, Option<Opened>)>,
}

/// What the id of a run depends on besides the pipeline file.
struct Opened {
    workspace: Workspace,
    found: Ingested,
    sentences: Sentences,
}

impl<'a> Lookup<'a> {
    pub(super) fn new(store: &'a Store) -> Self {
        Lookup { store, opened: Vec::new() }
    }

    /// The run that these settings make of the dataset as it is now, where the store has it whole: finished, and measured.
    /// None also where more files were rejected than the pipeline file tolerates: running it again says so.
    pub(super) fn finished(&mut self, spec: &Spec) -> Result<Option<Finished>> {
        let store = self.store;
        let Some(Opened { workspace, found, sentences }) = self.open(spec)? else { return Ok(None) };
        if too_many_rejected(spec, found) {
            return Ok(None);
        }
        let adapt = settings::adapt(spec, &workspace.clip.preprocess, &found.classes)?;
        measured(store, &workspace.run_id(spec, &found.snapshot, sentences, adapt.as_ref()))
    }

    /// None where the pictures are not in the store, or not as they are now.
    fn open(&mut self, spec: &Spec) -> Result<Option<&Opened>> {
        // Nothing of these is needed to open a pipeline.
        let common =
            Spec { seed: 0, fusion: Fusion::default(), dka: Dka::default(), adapt: Adapt::default(), ..spec.clone() };
        let known = self.opened.iter().position(|(spec, _)| *spec == common);
        let at = match known {
            Some(at) => at,
            None => {
                self.opened.push((common, Opened::new(spec, self.store)?));
                self.opened.len() - 1
            }
        };
        Ok(self.opened[at].1.as_ref())
    }
}

impl Opened {
    fn new(spec: &Spec, store: &Store) -> Result<Option<Self>> {
        let source = source::open(&settings::source(spec))?;
        let Some(found) = ingest::known(source.as_ref(), &settings::ingest(spec)?, store)? else { return Ok(None) };
        let sentences = sentences(spec, &found.classes)?;
        Ok(Some(Opened { workspace: Workspace::open(spec)?, found, sentences }))
    }
}

/// A run of the store by its id, where it is finished and measured.
pub(super) fn measured(store: &Store, run: &str) -> Result<Option<Finished>> {
    let mut seconds = None;
    for batch in reader::batches(&store.partition("runs", run)?, Some(&["finished", "seconds"]), 16)? {
        let batch = batch?;
        if batch.column(0).is_valid(0) {
            seconds = arrays::floats(&batch, "seconds")?.first().copied().flatten();
        }
    }
    let metrics = store.partition("metrics", run)?;
    let Some(seconds) = seconds.filter(|_| metrics.parts().is_ok_and(|parts| !parts.is_empty())) else {
        return Ok(None);
    };
    let mut scores = Vec::new();
    for batch in reader::batches(&metrics, Some(&["model", "split", "metric", "value"]), 1024)? {
        let batch = batch?;
        let texts = |column: &str| arrays::strings(&batch, column);
        let names = texts("model")?.into_iter().zip(texts("split")?).zip(texts("metric")?);
        for (((model, split), metric), value) in names.zip(arrays::floats(&batch, "value")?) {
            scores.extend(value.map(|value| Measured {
                model: model.to_owned(),
                split: split.to_owned(),
                metric: metric.to_owned(),
                value,
            }));
        }
    }
    Ok(Some(Finished { run: run.to_owned(), seconds, scores }))
}
