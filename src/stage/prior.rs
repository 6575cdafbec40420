//! The prior: what the frozen model believes of every training picture, from its crops and the frozen head.

use tch::{Kind as Number, Tensor};

use crate::error::Result;
use crate::fusion::blocks::{Blocks, products};
use crate::fusion::stata::StatA;
use crate::stage::describe::Heads;
use crate::stage::pictures::Pictures;
use crate::stage::{features, logits};
use crate::stop::Stop;
use crate::store::layout::Store;
use crate::table::arrays;

/// Where the frozen features of a dataset are.
#[derive(Debug, Clone)]
pub struct FrozenSpaces {
    /// Partition of `embeddings`.
    pub image: String,
    /// Partition of `view_features`.
    pub view: String,
}

/// What the frozen model says of some pictures by their crops.
#[derive(Debug)]
pub struct MultiView {
    /// The composite features, (rows, d), of unit length.
    pub composite: Tensor,
    /// Their cosines to the frozen head, (rows, C).
    pub logits: Tensor,
}

/// The crops' composite and its cosines, for `wanted` pictures in that order.
///
/// # Errors
/// Where the store lacks a picture's features, or stopping was asked for.
pub fn multi_view(
    pictures: &Pictures,
    wanted: &[usize],
    heads: &Heads,
    spaces: &FrozenSpaces,
    store: &Store,
    stop: &Stop,
) -> Result<MultiView> {
    let embeddings = store.partition("embeddings", &spaces.image)?;
    let whole = features::vectors(&embeddings, "cls_feature", pictures, wanted, stop)?;
    let crops = store.partition("view_features", &spaces.view)?;
    let composite = features::composites(&crops, pictures, wanted, &whole, stop)?;
    let logits = products(&composite, &heads.frozen, stop)?.to_kind(Number::Float);
    Ok(MultiView { composite, logits })
}

/// Logits (rows, C) of two models, each by its share, of the pictures at these places.
///
/// # Errors
/// Where stopping was asked for.
pub fn mixed(prior: (&Tensor, f64), adapted: (&Tensor, f64), places: &Tensor, stop: &Stop) -> Result<Tensor> {
    Blocks::of_numbers(places.size()[0], prior.0.size()[1]).map(stop, |block| {
        let places = block.of(places);
        prior.0.index_select(0, &places) * prior.1 + adapted.0.index_select(0, &places) * adapted.1
    })
}

/// Logits (rows, C) after transduction: all pictures are answered at once by [`StatA`], from their composite features (rows, d),
/// first logits (rows, C) that are cosines or cosine-like, and prototypes (C, d). An answer becomes a cosine-like logit, `ln(answer) / scale`, whose softmax at that
/// scale is the answer.
///
/// # Errors
/// Where stopping was asked for.
pub fn transduced(
    composite: &Tensor,
    first: &Tensor,
    prototypes: &Tensor,
    stata: StatA,
    scale: f64,
    stop: &Stop,
) -> Result<Tensor> {
    let rows = Blocks::of_numbers(first.size()[0], first.size()[1]);
    let first = rows.map(stop, |block| (block.of(first) * scale).softmax(-1, None::<Number>))?;
    let answers = stata.answers(composite, prototypes, &first, stop)?;
    rows.map(stop, |block| block.of(&answers).clamp_min(LEAST).log() / scale)
}

/// Answers below this are taken for this: no logit is infinite.
const LEAST: f64 = 1e-12;

/// Writes `prior_logits` (rows, C) of the training pictures of a run.
///
/// # Errors
/// Where the store cannot be written, or stopping was asked for.
pub fn write_prior(
    run: &str,
    pictures: &Pictures,
    train: &[usize],
    logits: &Tensor,
    store: &Store,
    stop: &Stop,
) -> Result<()> {
    let written = logits::write(store, "prior_logits", run, "prior", logits, stop, |rows| {
        let rows = &train[rows];
        let ids = arrays::text(rows.iter().map(|&n| &pictures.rows()[n].image_id));
        vec![("run", arrays::repeated(run, rows.len())), ("image_id", ids)]
    })?;
    store.partition("prior_logits", run)?.retain(|path| path == written.path)
}
