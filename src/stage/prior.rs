//! The prior: the frozen model's logits of every picture, from its crops and the frozen head.

use crate::error::Result;
use crate::fusion::matrix::{Matrix, products};
use crate::stage::describe::Heads;
use crate::stage::features;
use crate::stage::job::Job;
use crate::stage::logits::Part;
use crate::stage::pictures::Pictures;
use crate::stop::Stop;
use crate::store::layout::Partition;
use crate::table::arrays;

/// The frozen model's features and logits of all pictures.
#[derive(Debug)]
pub struct MultiView {
    /// Features of the whole pictures, (rows, d), of unit length: `[CLS]` projected.
    pub cls: Matrix,
    /// Composite features of the pictures' crops, (rows, d), of unit length.
    pub composite: Matrix,
    /// Cosines of the composites to the frozen head, (rows, C).
    pub logits: Matrix,
}

/// Reads the features of all pictures from a partition of `embeddings` and one of `composites`, and
/// computes the composites' cosines, in the order of the pictures.
///
/// # Errors
/// Fails if the store lacks a picture's features, or a stop was requested.
#[tracing::instrument(name = "stage", skip_all, fields(stage = "prior"))]
pub fn multi_view(
    pictures: &Pictures,
    heads: &Heads,
    embeddings: &Partition,
    composites: &Partition,
    stop: &Stop,
) -> Result<MultiView> {
    let cls = features::vectors(embeddings, "cls_feature", pictures, stop)?;
    let composite = features::composites(composites, pictures, stop)?;
    let logits = products(&composite, &heads.frozen, stop)?;
    Ok(MultiView { cls, composite, logits })
}

/// Writes `prior_logits` (rows, C) of the training pictures of a run, and returns them as they are
/// read from there.
///
/// # Errors
/// Fails if the store cannot be written, or a stop was requested.
pub fn write_prior(run: &str, pictures: &Pictures, train: &[i64], logits: &Matrix, job: Job<'_>) -> Result<Matrix> {
    let Job { store, stop, .. } = job;
    let mut part = Part::begin(store, "prior_logits", run, PART, logits.size().1)?;
    logits.blocks().try_each(stop, |block| {
        let (from, to) = block.range();
        let rows = &train[from as usize..to as usize];
        let ids = arrays::text(rows.iter().map(|&n| &pictures.rows()[n as usize].image_id));
        part.add(&logits.block(block)?, [("run", arrays::repeated(run, rows.len())), ("image_id", ids)])
    })?;
    let written = part.finish(stop)?;
    let partition = store.partition("prior_logits", run)?;
    let path = partition.part(PART)?;
    partition.retain(|other| other == path)?;
    Ok(written)
}

/// The name of the part.
pub(crate) const PART: &str = "prior";
