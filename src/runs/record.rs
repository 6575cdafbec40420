//! The row of `runs`: what a run was made from, and what it cost.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use arrow::array::{Array, ArrayRef, Float64Array, RecordBatch, StringArray, TimestampMillisecondArray};
use arrow::compute::cast;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::clip::ClipConfig;
use crate::config::Spec;
use crate::cores;
use crate::error::{Context, Kind, Result};
use crate::stage::describe::Sentences;
use crate::stage::frozen::FrozenTable;
use crate::stage::prior;
use crate::store::layout::{Partition, Store};
use crate::store::reader;
use crate::table::{self, Dims, arrays};
use crate::workspace::{Opened, Workspace};

/// What a run was made from besides pictures and settings, as hexadecimal digests. One that an
/// older version did not write is `None`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MadeFrom {
    /// Digest of the weights' bytes.
    pub weights: Option<String>,
    /// Digest of the rest of the model: its sizes, its preprocessing, its tokenizer.
    pub model: Option<String>,
    /// Digest of the second vision model, its weights and its preprocessing, if there is one.
    pub second: Option<String>,
    /// Digest of the class names, in the order of their ids.
    pub classes: Option<String>,
    /// Digest of the sentences about the classes.
    pub sentences: Option<String>,
}

impl MadeFrom {
    /// Computes the digests of the current model, classes and sentences.
    pub(crate) fn of(workspace: &Workspace, classes: &[String], sentences: Option<&Sentences>) -> Self {
        let clip = &workspace.clip;
        let second = workspace.frozen.second_features.as_ref().map(|table| table.space().id());
        let ClipConfig { vision, text, joint } = &clip.config;
        let (vision, text, tokenizer) = (vision.canonical(), text.canonical(), clip.tokenizer.identity());
        let model = format!("{vision} {text} joint={joint} {} {}", clip.preprocess.canonical(), tokenizer.to_hex());
        let hex = |hash: blake3::Hash| Some(hash.to_hex().to_string());
        MadeFrom {
            weights: hex(clip.weights_hash()),
            model: hex(blake3::hash(model.as_bytes())),
            second,
            classes: Some(digest_of_classes(classes)),
            sentences: sentences.and_then(|sentences| hex(sentences.identity())),
        }
    }
}

/// Returns the digest of class names, in the order of their ids.
pub(crate) fn digest_of_classes(classes: &[String]) -> String {
    let mut names = blake3::Hasher::new();
    for name in classes {
        names.update(&(name.len() as u64).to_le_bytes()).update(name.as_bytes());
    }
    names.finalize().to_hex().to_string()
}

/// Returns the runs that were made when the dataset had other classes than now: class ids in their
/// rows are right, but stand for other names. Runs of earlier versions did not record their
/// classes, and are left out.
///
/// # Errors
/// Fails if the store cannot be read.
pub(crate) fn runs_of_other_classes(store: &Store, runs: &[String], classes: &[String]) -> Result<Vec<String>> {
    let now = digest_of_classes(classes);
    let mut others = Vec::new();
    for run in runs {
        for batch in reader::batches(&store.partition("runs", run)?, Some(&["versions"]), 16)? {
            let batch = batch?;
            let versions = arrays::strings(&batch, "versions")?;
            let made_from: MadeFrom = versions.first().and_then(|v| serde_json::from_str(v).ok()).unwrap_or_default();
            if differs(made_from.classes.as_ref(), Some(&now)) {
                others.push(run.clone());
            }
        }
    }
    Ok(others)
}

/// Returns whether all rows belong to `run`, in whose place they were found.
pub(crate) fn is_of(batch: &RecordBatch, run: &str) -> Result<bool> {
    Ok(arrays::strings(batch, "run")?.iter().all(|theirs| *theirs == run))
}

/// Returns whether a digest is known, and is another one now.
pub(crate) fn differs(then: Option<&String>, now: Option<&String>) -> bool {
    then.is_some_and(|then| !then.is_empty()) && then != now
}

/// When an invocation started.
#[derive(Clone, Copy)]
pub(crate) struct Started {
    at: Timestamp,
    clock: Instant,
}

impl Started {
    /// Returns the present.
    pub(crate) fn now() -> Self {
        Started { at: Timestamp::now(), clock: Instant::now() }
    }
}

/// How many inputs went through the frozen model.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Forwards {
    /// Forwards of the vision tower, crops included.
    pub(crate) images: u64,
    /// Forwards of the text tower.
    pub(crate) sentences: u64,
}

/// What an invocation came to.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Ended {
    /// Pictures of the dataset.
    pub(crate) images: u64,
    pub(crate) forwards: Forwards,
    /// Temperature that calibration found; `None` if nothing was trained, or not measured.
    pub(crate) temperature: Option<f64>,
}

/// One invocation of a run.
pub(crate) struct Record<'a> {
    spec: &'a Spec,
    store: &'a Store,
    run: &'a str,
    dataset: String,
    made_from: MadeFrom,
    /// The partition of its prior.
    prior: &'a str,
    started: Started,
    invocations: i64,
    /// Seconds of earlier invocations of the same run.
    before: f64,
}

impl<'a> Record<'a> {
    /// Begins an invocation of `run`, whose prior is in that partition; earlier ones are read from
    /// the store.
    pub(crate) fn begin(
        spec: &'a Spec,
        store: &'a Store,
        (run, prior): (&'a str, &'a str),
        opened: &Opened,
        started: Started,
    ) -> Result<Self> {
        let (mut invocations, mut before) = (0, 0.0);
        for batch in reader::batches(&store.partition("runs", run)?, None, 16)? {
            let batch = batch?;
            invocations = arrays::int64s(&batch, "invocations")?.first().copied().unwrap_or(0);
            before = arrays::floats(&batch, "total_seconds")?.first().copied().flatten().unwrap_or(0.0);
        }
        let Opened { workspace, classes, sentences, .. } = opened;
        Ok(Record {
            spec,
            store,
            run,
            dataset: workspace.dataset.clone(),
            made_from: MadeFrom::of(workspace, classes, Some(sentences)),
            prior,
            started,
            invocations: invocations + 1,
            before,
        })
    }

    /// Writes the row, replacing that of an earlier invocation of this run; `ended` is `None` while
    /// the run is on. A prior that an earlier version of this program wrote for this run alone goes
    /// once the run reads one that it shares.
    pub(crate) fn write(&self, ended: Option<Ended>) -> Result<()> {
        let Record { spec, store, run, .. } = *self;
        let finished = ended.map(|_| Timestamp::now());
        let Ended { images, forwards, temperature } = ended.unwrap_or_default();
        let seconds = self.started.clock.elapsed().as_secs_f64();
        let settings = serde_json::to_string(spec).context(Kind::Store, || "cannot write the settings".to_owned())?;
        let versions = serde_json::json!({
            "microclip-pipe": env!("CARGO_PKG_VERSION"),
            "libtorch": "2.11.0",
            "threads": cores::limit(),
            "weights": self.made_from.weights,
            "model": self.made_from.model,
            "second": self.made_from.second,
            "classes": self.made_from.classes,
            "sentences": self.made_from.sentences,
        });
        let schema = table::table("runs")?.arrow(&Dims::new())?;
        let time = |column: &str, at: Option<Timestamp>| -> Result<ArrayRef> {
            let values = TimestampMillisecondArray::from(vec![at.map(Timestamp::as_millisecond)]);
            // The schema decides how the time zone is spelled.
            let field = schema.field_with_name(column);
            field
                .and_then(|field| cast(&values, field.data_type()))
                .context(Kind::Store, || format!("cannot write {column}"))
        };
        let text = |value: &str| arrays::repeated(value, 1);
        let number = |value: u64| arrays::int64(vec![value.cast_signed()]);
        let float = |value: Option<f64>| -> ArrayRef { Arc::new(Float64Array::from(vec![value])) };
        let columns = [
            ("run", text(run)),
            ("pipeline", text(&spec.name)),
            ("dataset", text(&self.dataset)),
            ("tune", text(spec.adapt.tune.name())),
            ("seed", number(spec.seed)),
            ("started", time("started", Some(self.started.at))?),
            ("finished", time("finished", finished)?),
            ("seconds", float(Some(seconds))),
            ("images", number(images)),
            ("image_forwards", number(forwards.images)),
            ("text_forwards", number(forwards.sentences)),
            ("settings", text(&settings)),
            ("versions", text(&versions.to_string())),
            ("invocations", arrays::int64(vec![self.invocations])),
            ("total_seconds", float(Some(self.before + seconds))),
            ("temperature", float(temperature)),
            ("prior", Arc::new(StringArray::from(vec![self.prior()?]))),
        ];
        let batch = table::rows("runs", &schema, columns)?;
        store.partition("runs", run)?.replace("run", &schema, &[batch], &[])?;
        match self.is_prior(self.prior)? {
            true => store.partition(prior::TABLE, run)?.clear(),
            false => Ok(()),
        }
    }
}

impl Record<'_> {
    /// Returns the partition of the prior that the run shares with others; `None` as long as it has
    /// only the one that an earlier version of this program wrote for it alone.
    fn prior(&self) -> Result<Option<&str>> {
        Ok((self.is_prior(self.prior)? || !self.is_prior(self.run)?).then_some(self.prior))
    }

    /// Returns whether the store has a prior of that name.
    fn is_prior(&self, name: &str) -> Result<bool> {
        Ok(!self.store.partition(prior::TABLE, name)?.listed()?.is_empty())
    }
}

/// Returns the partition of `prior_logits` that each of these runs shares with others, by run.
///
/// # Errors
/// Fails if the store cannot be read.
pub(crate) fn shared_priors(store: &Store, runs: &[String]) -> Result<BTreeMap<String, String>> {
    let mut priors = BTreeMap::new();
    for run in runs {
        for batch in reader::batches(&store.partition("runs", run)?, None, 16)? {
            priors.extend(shared_prior(&batch?).map(|prior| (run.clone(), prior)));
        }
    }
    Ok(priors)
}

/// Returns the partition of `prior_logits` that a row of `runs` names; `None` if an earlier version
/// wrote it.
pub(crate) fn shared_prior(row: &RecordBatch) -> Option<String> {
    let names = arrays::optional_strings(row, "prior").ok()?;
    names.first().copied().flatten().map(str::to_owned)
}

/// Returns the partition of `prior_logits` that a run reads.
///
/// # Errors
/// Fails if the store cannot be read.
pub(crate) fn prior_of(store: &Store, run: &str) -> Result<Partition> {
    let shared = shared_priors(store, &[run.to_owned()])?;
    store.partition(prior::TABLE, shared.get(run).map_or(run, String::as_str))
}

/// Returns the runs of a pipeline on a dataset, oldest first.
pub(crate) fn runs_of(store: &Store, pipeline: &str, dataset: &str) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for name in store.partitions("runs")? {
        for batch in
            reader::batches(&store.partition("runs", &name)?, Some(&["run", "pipeline", "dataset", "started"]), 16)?
        {
            let batch = batch?;
            let ours = arrays::strings(&batch, "pipeline")?.first() == Some(&pipeline)
                && arrays::strings(&batch, "dataset")?.first() == Some(&dataset);
            let started =
                batch.column_by_name("started").map(|c| c.to_data()).map(|d| d.buffers()[0].typed_data::<i64>()[0]);
            if ours {
                found.push((started, name.clone()));
            }
        }
    }
    found.sort();
    Ok(found.into_iter().map(|(_, name)| name).collect())
}
