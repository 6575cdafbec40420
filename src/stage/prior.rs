//! The prior: the frozen model's logits of every picture, from its crops and the frozen head.

use crate::error::Result;
use crate::fusion::matrix::{Matrix, products};
use crate::stage::describe::Heads;
use crate::stage::features;
use crate::stage::job::Job;
use crate::stage::logits::Part;
use crate::stage::picture_set;
use crate::stage::pictures::Pictures;
use crate::stop::Stop;
use crate::store::layout::Partition;
use crate::store::reader;
use crate::store::space::Space;
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

/// The table's name in `schemas/`.
pub const TABLE: &str = "prior_logits";

/// The name of a prior's part.
pub(crate) const PART: &str = "prior";

/// The key of a part's footer that says which pictures it is about.
const PICTURES: &str = "training_pictures";

/// Returns the logits (rows, C) of a prior about the training pictures, at the places `train`, if
/// an earlier run has left them in `prior_logits`. Nothing of them depends on the seed, or on
/// training.
///
/// # Errors
/// Fails if the store cannot be read, or a stop was requested.
pub fn known(prior: &Space, pictures: &Pictures, train: &[i64], job: Job<'_>) -> Result<Option<Matrix>> {
    let partition = job.store.partition(TABLE, &prior.id())?;
    let path = partition.part(PART)?;
    if !partition.parts()?.contains(&path) {
        return Ok(None);
    }
    let footer = reader::footer(&path)?;
    let of_these = footer.pairs.get(PICTURES) == Some(&digest(pictures, train));
    let stored = if of_these && Space::from_footer(&footer.pairs).as_ref() == Some(prior) {
        Matrix::stored(&[path], "logits")?
    } else {
        None
    };
    stored.map(|logits| logits.in_memory_if_small(job.stop)).transpose()
}

/// Writes the logits (rows, C) of a prior about the training pictures into `prior_logits`, and
/// returns them as they are read from there.
///
/// # Errors
/// Fails if the store cannot be written, or a stop was requested.
pub fn write(
    prior: &Space,
    pictures: &Pictures,
    train: &[i64],
    logits: &Matrix,
    Job { store, stop, .. }: Job<'_>,
) -> Result<Matrix> {
    let partition = store.partition(TABLE, &prior.id())?;
    let footer = [prior.footer(), vec![(PICTURES.to_owned(), digest(pictures, train))]].concat();
    let mut part = Part::begin(&partition, PART, logits.size().1, &footer)?;
    logits.blocks().try_each(stop, |block| {
        let (from, to) = block.range();
        let rows = &train[from as usize..to as usize];
        let ids = arrays::text(rows.iter().map(|&n| &pictures.rows()[n as usize].image_id));
        part.add(&logits.block(block)?, [("image_id", ids)])
    })?;
    let written = part.finish(stop)?;
    let path = partition.part(PART)?;
    partition.retain(|other| other == path)?;
    Ok(written)
}

/// Returns the digest of the pictures at the places `train`, in their order.
fn digest(pictures: &Pictures, train: &[i64]) -> String {
    picture_set::of(train.iter().map(|&place| pictures.rows()[place as usize].id))
}
