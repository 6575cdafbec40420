//! The row of `runs`: what a run was made from, and what it cost.

use std::sync::Arc;
use std::time::Instant;

use arrow::array::{Array, ArrayRef, Float64Array, RecordBatch, TimestampMillisecondArray};
use arrow::compute::cast;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::clip::{Clip, ClipConfig};
use crate::config::Spec;
use crate::cores;
use crate::error::{Context, Kind, Result};
use crate::stage::describe::Sentences;
use crate::store::layout::Store;
use crate::store::reader;
use crate::table::{self, Dims, arrays};

/// What a run was made from besides pictures and settings, as hexadecimal digests. One that an
/// older version did not write is `None`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MadeFrom {
    /// Digest of the weights' bytes.
    pub weights: Option<String>,
    /// Digest of the rest of the model: its sizes, its preprocessing, its tokenizer.
    pub model: Option<String>,
    /// Digest of the class names, in the order of their ids.
    pub classes: Option<String>,
    /// Digest of the sentences about the classes.
    pub sentences: Option<String>,
}

impl MadeFrom {
    /// Computes the digests of the current model, classes and sentences.
    pub(crate) fn of(clip: &Clip, classes: &[String], sentences: Option<&Sentences>) -> Self {
        let ClipConfig { vision, text, joint } = &clip.config;
        let (vision, text, tokenizer) = (vision.canonical(), text.canonical(), clip.tokenizer.identity());
        let model = format!("{vision} {text} joint={joint} {} {}", clip.preprocess.canonical(), tokenizer.to_hex());
        let hex = |hash: blake3::Hash| Some(hash.to_hex().to_string());
        MadeFrom {
            weights: hex(clip.weights_hash()),
            model: hex(blake3::hash(model.as_bytes())),
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

/// The clock and counters of one invocation.
pub(crate) struct Record {
    run: String,
    dataset: String,
    started: Timestamp,
    clock: Instant,
    invocations: i64,
    /// Seconds of earlier invocations of the same run.
    before: f64,
    /// Pictures of the dataset.
    pub(crate) images: u64,
    /// Forwards of the frozen vision tower, crops included.
    pub(crate) image_forwards: u64,
    /// Forwards of the text tower.
    pub(crate) text_forwards: u64,
    /// What the run is made from.
    pub(crate) made_from: MadeFrom,
    /// Temperature that calibration found; `None` if nothing was trained, or not measured yet.
    pub(crate) temperature: Option<f64>,
}

impl Record {
    /// Begins an invocation of `run`, which started at `clock`; earlier ones are read from the
    /// store.
    pub(crate) fn begin(store: &Store, run: &str, dataset: &str, started: Timestamp, clock: Instant) -> Result<Self> {
        let (mut invocations, mut before) = (0, 0.0);
        for batch in reader::batches(&store.partition("runs", run)?, None, 16)? {
            let batch = batch?;
            invocations = arrays::int64s(&batch, "invocations")?.first().copied().unwrap_or(0);
            before = arrays::floats(&batch, "total_seconds")?.first().copied().flatten().unwrap_or(0.0);
        }
        Ok(Record {
            run: run.to_owned(),
            dataset: dataset.to_owned(),
            started,
            clock,
            invocations: invocations + 1,
            before,
            images: 0,
            image_forwards: 0,
            text_forwards: 0,
            made_from: MadeFrom::default(),
            temperature: None,
        })
    }

    /// Writes the row, replacing that of an earlier invocation of this run.
    pub(crate) fn write(&self, spec: &Spec, store: &Store, finished: bool) -> Result<()> {
        let seconds = self.clock.elapsed().as_secs_f64();
        let settings = serde_json::to_string(spec).context(Kind::Store, || "cannot write the settings".to_owned())?;
        let versions = serde_json::json!({
            "microclip-pipe": env!("CARGO_PKG_VERSION"),
            "libtorch": "2.11.0",
            "threads": cores::limit(),
            "weights": self.made_from.weights,
            "model": self.made_from.model,
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
            ("run", text(&self.run)),
            ("pipeline", text(&spec.name)),
            ("dataset", text(&self.dataset)),
            ("tune", text(spec.adapt.tune.name())),
            ("seed", number(spec.seed)),
            ("started", time("started", Some(self.started))?),
            ("finished", time("finished", finished.then(Timestamp::now))?),
            ("seconds", float(Some(seconds))),
            ("images", number(self.images)),
            ("image_forwards", number(self.image_forwards)),
            ("text_forwards", number(self.text_forwards)),
            ("settings", text(&settings)),
            ("versions", text(&versions.to_string())),
            ("invocations", arrays::int64(vec![self.invocations])),
            ("total_seconds", float(Some(self.before + seconds))),
            ("temperature", float(self.temperature)),
        ];
        let batch = table::rows("runs", &schema, columns)?;
        store.partition("runs", &self.run)?.replace("run", &schema, &[batch], &[]).map(drop)
    }
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
