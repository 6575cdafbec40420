//! The tables of a pass. Each pass is one part, named by its number.

use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, RecordBatch, new_null_array};
use arrow::datatypes::DataType;
use tch::Tensor;

use crate::dka::{PseudoLabels, Summary};
use crate::error::{Error, Kind, Result};
use crate::fusion::class_bias::ClassBias;
use crate::fusion::matrix::Matrix;
use crate::stage::adapt::Images;
use crate::stage::adapt::epoch::{Labelled, Totals};
use crate::stage::adapt::keep::passes_with_logits;
use crate::stage::class_bias;
use crate::stage::logits::Part;
use crate::stop::Stop;
use crate::store::layout::{Partition, Store};
use crate::store::reader;
use crate::table::{self, Dims, arrays};

/// Returns the name of a pass's part in each table.
pub(super) fn part(pass: u64) -> String {
    format!("pass-{pass:04}")
}

fn write(store: &Store, name: &str, run: &str, pass: u64, rows: RecordBatch) -> Result<()> {
    store.partition(name, run)?.write_part(&part(pass), &rows.schema(), &[rows], &[]).map(drop)
}

/// The cosines (rows, C) of the current model, while they are made.
pub(super) struct FusionLogits<'a> {
    part: Part,
    run: &'a str,
    pass: u64,
    /// The pictures that have no row yet.
    ids: &'a [String],
}

impl<'a> FusionLogits<'a> {
    /// Begins the rows of a pass over these pictures, about so many classes.
    ///
    /// # Errors
    /// Fails if the store cannot be written.
    pub(super) fn begin(store: &Store, run: &'a str, pass: u64, ids: &'a [String], classes: i64) -> Result<Self> {
        Self::begin_in(&store.partition("fusion_logits", run)?, &part(pass), (run, pass), ids, classes)
    }

    /// Like [`begin`](Self::begin), but in a part of this name.
    ///
    /// # Errors
    /// Fails like [`begin`](Self::begin).
    pub(super) fn begin_in(
        partition: &Partition,
        part: &str,
        (run, pass): (&'a str, u64),
        ids: &'a [String],
        classes: i64,
    ) -> Result<Self> {
        Ok(FusionLogits { part: Part::begin(partition, part, classes, &[])?, run, pass, ids })
    }

    /// Adds the cosines (m, C) of the next m pictures.
    ///
    /// # Errors
    /// Fails if the store cannot be written.
    pub(super) fn add(&mut self, logits: &Tensor) -> Result<()> {
        let count = logits.size()[0] as usize;
        let (ids, rest) = self.ids.split_at(count.min(self.ids.len()));
        self.ids = rest;
        let pass = arrays::repeated_i32(self.pass as i32, count);
        let others = [("run", arrays::repeated(self.run, count)), ("pass", pass), ("image_id", arrays::text(ids))];
        self.part.add(logits, others)
    }

    /// Completes the table, and returns the cosines as they are read from it.
    ///
    /// # Errors
    /// Fails if the store cannot be written or read, or a stop was requested.
    pub(super) fn finish(self, stop: &Stop) -> Result<Matrix> {
        self.part.finish(stop)
    }
}

pub(super) fn write_class_bias(store: &Store, run: &str, pass: u64, found: &ClassBias) -> Result<()> {
    class_bias::write_pass(run, &part(pass), pass, found, store)
}

pub(super) fn write_pseudo_labels(store: &Store, run: &str, pass: u64, labels: &PseudoLabels) -> Result<()> {
    write(store, "pseudo_labels", run, pass, labels.batch.clone())
}

pub(super) fn write_pass(
    store: &Store,
    run: &str,
    pass: u64,
    summary: &Summary,
    totals: &Totals,
    images: usize,
    seconds: f64,
) -> Result<()> {
    // A pass without steps has no mean loss, a statement without confidences no mean confidence,
    // and training from the cache no strong views.
    let number = |value: f64| -> ArrayRef { Arc::new(Float64Array::from(vec![Some(value).filter(|v| !v.is_nan())])) };
    let [spared, moved, recoloured] = totals.strong.shares();
    let count = |value: u64| arrays::int64(vec![value.cast_signed()]);
    let columns = [
        ("run", arrays::repeated(run, 1)),
        ("pass", arrays::repeated_i32(pass as i32, 1)),
        ("loss", number(totals.loss())),
        ("ce", number(totals.ce())),
        ("fairness", number(totals.fairness())),
        ("changed", count(summary.changed)),
        ("dead_classes", count(summary.dead_classes)),
        ("mean_confidence", number(summary.mean_confidence)),
        ("learning_rate", number(totals.learning_rate)),
        ("images", count(images as u64)),
        ("steps", count(totals.steps)),
        ("seconds", number(seconds)),
        ("spared_agreement", number(spared)),
        ("moved_agreement", number(moved)),
        ("recoloured_agreement", number(recoloured)),
        ("kept", new_null_array(&DataType::Int32, 1)),
    ];
    let schema = table::table("passes")?.arrow(&Dims::new())?;
    write(store, "passes", run, pass, table::rows("passes", &schema, columns)?)
}

/// Returns how many passes, from the first on, have all their tables, the logits as far as they
/// were kept; biases are among them if each pass re-estimates them.
pub(super) fn whole_passes(store: &Store, run: &str, rebalances: bool) -> Result<u64> {
    let mut whole = passes_with_logits(store, run, Partition::parts)?;
    let biases = rebalances.then_some("class_bias");
    for table in ["pseudo_labels", "passes"].into_iter().chain(biases) {
        let partition = store.partition(table, run)?;
        let parts: BTreeSet<PathBuf> = partition.parts()?.into_iter().collect();
        let mut pass = 0;
        while parts.contains(&partition.part(&part(pass))?) {
            pass += 1;
        }
        whole = whole.min(pass);
    }
    Ok(whole)
}

/// Returns the pseudo-labels of a completed pass, in the order of `images`; -1 for a picture
/// without one.
pub(super) fn pseudo_labels_of(store: &Store, run: &str, pass: u64, images: &Images) -> Result<Vec<i32>> {
    let path = store.partition("pseudo_labels", run)?.part(&part(pass))?;
    let mut labels = HashMap::new();
    for batch in reader::batches_of(vec![path], Some(&["image_id", "class_id"]), 8192) {
        let batch = batch?;
        let ids = arrays::strings(&batch, "image_id")?.into_iter().map(str::to_owned);
        labels.extend(ids.zip(arrays::int32s(&batch, "class_id")?.iter().copied()));
    }
    Ok(images.ids().iter().map(|id| labels.get(id).copied().unwrap_or(-1)).collect())
}

/// Returns the training rows of a table of pseudo-labels, in its order.
pub(super) fn training_rows(labels: &RecordBatch, ids: &[String]) -> Result<Vec<Labelled>> {
    let places: HashMap<&str, usize> = ids.iter().enumerate().map(|(at, id)| (id.as_str(), at)).collect();
    let chosen = arrays::strings(labels, "image_id")?.into_iter().zip(arrays::int32s(labels, "class_id")?);
    chosen
        .map(|(id, &class)| {
            let at = places.get(id).copied();
            at.map(|at| (at, i64::from(class)))
                .ok_or_else(|| Error::new(Kind::Query, format!("pseudo-label for an unknown picture {id}")))
        })
        .collect()
}
