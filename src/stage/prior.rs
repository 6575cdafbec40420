//! The prior: what the frozen model believes of every training picture, from its crops and the frozen head.

use arrow::array::RecordBatch;
use tch::{Kind as Number, Tensor};

use crate::error::{Context, Kind, Result};
use crate::fusion::views;
use crate::stage::describe::Heads;
use crate::stage::features;
use crate::stage::pictures::Pictures;
use crate::stage::progress::Progress;
use crate::store::layout::Store;
use crate::table::{self, Dims, arrays, tensor};

/// Where the frozen features of a dataset are.
#[derive(Debug, Clone)]
pub struct FrozenSpaces {
    /// Partition of `embeddings`.
    pub image: String,
    /// Partition of `view_features`.
    pub view: String,
}

/// Cosines (rows, C) of the crops' composite to the frozen head, for `wanted` pictures in that order.
///
/// # Errors
/// Where the store lacks a picture's features.
pub fn multi_view_logits(
    pictures: &Pictures,
    wanted: &[usize],
    heads: &Heads,
    spaces: &FrozenSpaces,
    store: &Store,
) -> Result<Tensor> {
    let cls = features::vectors(&store.partition("embeddings", &spaces.image)?, "cls_feature", pictures, wanted)?;
    let crops =
        features::crops(&store.partition("view_features", &spaces.view)?, pictures, wanted, heads.frozen.size()[1])?;
    Ok(views::prior_logits(&crops, &cls, &heads.frozen).to_kind(Number::Float))
}

/// Computes the prior of the training pictures and writes `prior_logits` of the run.
///
/// # Errors
/// As [`multi_view_logits`], and where the store cannot be written.
pub fn prior(
    run: &str,
    pictures: &Pictures,
    train: &[usize],
    heads: &Heads,
    spaces: &FrozenSpaces,
    store: &Store,
    progress: &dyn Progress,
) -> Result<Tensor> {
    progress.begin("prior", "image", train.len() as u64, 0);
    let logits = multi_view_logits(pictures, train, heads, spaces, store)?;
    let classes = logits.size()[1] as usize;
    let schema = table::table("prior_logits")?.arrow(&Dims::new().with("C", classes))?;
    let columns = vec![
        arrays::repeated(run, train.len()),
        arrays::text(train.iter().map(|&n| &pictures.rows()[n].image_id)),
        tensor::to_vectors(&logits)?,
    ];
    let batch = RecordBatch::try_new(schema.clone(), columns)
        .context(Kind::Store, || "cannot make table prior_logits".to_owned())?;
    store.partition("prior_logits", run)?.replace("prior", &schema, &[batch], &[])?;
    progress.advance(train.len() as u64);
    progress.end(&format!("{} images x {classes} classes", train.len()));
    Ok(logits)
}
