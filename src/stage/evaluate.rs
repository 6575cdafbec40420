//! Evaluate: the only stage that reads `labels`.
//!
//! Measures top-1 and the true mean per class (a class without a right answer counts, unlike in the
//! released code) of the baselines and the adapted model, on all splits.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, Float32Array, Float64Array, Int32Array};
use tch::{Kind as Number, Tensor};

use crate::error::{Context, Kind, Result};
use crate::fusion::blocks::Blocks;
use crate::fusion::matrix::Matrix;
use crate::source::Split;
use crate::stage::job::Job;
use crate::stage::pictures::Pictures;
use crate::stop::Stop;
use crate::store::layout::Store;
use crate::store::reader;
use crate::table::{self, Dims, arrays, tensor};

/// The measured models, in the order of tables: the name in `metrics`, and the name shown to
/// people.
pub const MODELS: [(&str, &str); 8] = [
    ("zero_shot", "zero-shot"),
    ("descriptions", "descriptions"),
    ("multi_view", "multi-view"),
    ("balanced", "balanced"),
    ("second", "second model"),
    ("transductive", "transductive"),
    ("adapted", "adapted"),
    ("predicted", "predicted"),
];

/// How often a model is right on a split.
#[derive(Debug, Clone, PartialEq)]
pub struct Score {
    /// One of [`MODELS`].
    pub model: &'static str,
    /// `train`, `validation` or `test`.
    pub split: &'static str,
    /// Share of pictures answered correctly.
    pub top1: f64,
    /// Mean of that share over the classes that have pictures.
    pub mean_class: f64,
    /// Number of labelled pictures measured.
    pub images: u64,
}

/// Returns the ground truth of a dataset, in the order of its pictures.
///
/// # Errors
/// Fails if the store cannot be read, or a stop was requested.
pub fn labels(pictures: &Pictures, dataset: &str, store: &Store, stop: &Stop) -> Result<Vec<Option<i32>>> {
    let mut known = HashMap::new();
    for batch in reader::batches(&store.partition("labels", dataset)?, None, 8192)? {
        stop.check()?;
        let batch = batch?;
        let ids = arrays::strings(&batch, "image_id")?.into_iter().map(str::to_owned);
        known.extend(ids.zip(arrays::int32s(&batch, "class_id")?.iter().copied()));
    }
    Ok(pictures.rows().iter().map(|picture| known.get(&picture.image_id).copied()).collect())
}

/// The predicted class of every picture by each model, with its name, in the order of [`MODELS`].
pub type Named = Vec<(&'static str, Vec<i32>)>;

/// Measures the models' answers about a dataset's pictures, and writes `metrics` of the run; `pass`
/// is the number of the last pass.
///
/// # Errors
/// Fails if the store cannot be read or written, or a stop was requested.
pub fn measure(
    run: &str,
    pass: i32,
    answers: &Named,
    pictures: &Pictures,
    dataset: &str,
    job: Job<'_>,
) -> Result<Vec<Score>> {
    let labels = labels(pictures, dataset, job.store, job.stop)?;
    let scores: Vec<Score> =
        answers.iter().flat_map(|(model, answers)| scores(model, answers, &labels, pictures)).collect();
    write_metrics(run, pass, &scores, job.store)?;
    Ok(scores)
}

/// Returns the scores of one model's answers, a class for every picture, on each split that has
/// labels.
fn scores(model: &'static str, answers: &[i32], labels: &[Option<i32>], pictures: &Pictures) -> Vec<Score> {
    Split::ALL.iter().filter_map(|&split| score(model, split, answers, labels, pictures)).collect()
}

fn score(
    model: &'static str,
    split: Split,
    answers: &[i32],
    labels: &[Option<i32>],
    pictures: &Pictures,
) -> Option<Score> {
    let mut classes: HashMap<i32, (u64, u64)> = HashMap::new();
    for ((picture, label), answer) in pictures.rows().iter().zip(labels).zip(answers) {
        if let (Some(label), true) = (label, picture.split == split) {
            let (right, all) = classes.entry(*label).or_default();
            *right += u64::from(label == answer);
            *all += 1;
        }
    }
    let images: u64 = classes.values().map(|(_, all)| all).sum();
    let right: u64 = classes.values().map(|(right, _)| right).sum();
    // A sum of floats depends on its order, and a map has none.
    let mut shares: Vec<f64> = classes.values().map(|&(right, all)| right as f64 / all as f64).collect();
    shares.sort_by(f64::total_cmp);
    (images > 0).then(|| Score {
        model,
        split: split.name(),
        top1: right as f64 / images as f64,
        mean_class: shares.iter().sum::<f64>() / shares.len() as f64,
        images,
    })
}

/// Returns the places of the pictures of each split, in order. Pictures that are answered at once
/// are answered with their own split alone, as if the other did not exist.
pub fn splits(pictures: &Pictures) -> Vec<Tensor> {
    let splits = Split::ALL.iter().map(|&split| pictures.places(split)).filter(|places| !places.is_empty());
    splits.map(|places| Tensor::from_slice(&places)).collect()
}

/// Returns `answer` of each split, (rows of the split, C), put together in the order of the `rows`
/// pictures.
///
/// # Errors
/// Fails if `answer` fails.
pub fn by_split(splits: Vec<Tensor>, rows: i64, answer: impl Fn(&Tensor) -> Result<Matrix>) -> Result<Matrix> {
    let answers = splits.iter().map(answer).collect::<Result<Vec<Matrix>>>()?;
    let places = Tensor::cat(&splits, 0);
    let mut place_of_row = Tensor::zeros([rows], tch::kind::INT64_CPU);
    let _ = place_of_row.index_copy_(0, &places, &Tensor::arange(rows, tch::kind::INT64_CPU));
    Ok(Matrix::joined(answers).picked(&place_of_row))
}

/// Returns the class of the classifier (C, d) that each feature (rows, d) is nearest to.
///
/// # Errors
/// Fails if libtorch cannot copy the result, or a stop was requested.
pub fn nearest(features: &Matrix, classifier: &Tensor, stop: &Stop) -> Result<Vec<i32>> {
    let blocks = Blocks::of_cosines(features.size().0, classifier.size()[0], classifier.numel() as i64);
    let best = blocks.try_map(stop, |block| Ok(features.block(block)?.matmul(&classifier.tr()).argmax(1, false)))?;
    classes(&best)
}

/// Returns the best class of each row of logits (rows, C).
///
/// # Errors
/// Fails if libtorch cannot copy the result, or a stop was requested.
pub fn answers(logits: &Matrix, stop: &Stop) -> Result<Vec<i32>> {
    classes(&logits.map(stop, |rows| rows.argmax(1, false))?)
}

fn classes(best: &Tensor) -> Result<Vec<i32>> {
    Vec::<i32>::try_from(best.to_kind(Number::Int)).context(Kind::Torch, || "cannot copy predictions".to_owned())
}

fn write_metrics(run: &str, pass: i32, scores: &[Score], store: &Store) -> Result<()> {
    let rows: Vec<(&Score, &str, f64)> =
        scores.iter().flat_map(|s| [(s, "top1", s.top1), (s, "mean_class", s.mean_class)]).collect();
    let schema = table::table("metrics")?.arrow(&Dims::new())?;
    let columns: [(&str, ArrayRef); 7] = [
        ("run", arrays::repeated(run, rows.len())),
        ("pass", arrays::repeated_i32(pass, rows.len())),
        ("model", arrays::text(rows.iter().map(|(s, ..)| s.model))),
        ("split", arrays::text(rows.iter().map(|(s, ..)| s.split))),
        ("metric", arrays::text(rows.iter().map(|(_, metric, _)| metric))),
        ("value", Arc::new(Float64Array::from_iter_values(rows.iter().map(|(.., value)| *value)))),
        ("images", arrays::int64(rows.iter().map(|(s, ..)| s.images.cast_signed()).collect())),
    ];
    let batch = table::rows("metrics", &schema, columns)?;
    store.partition("metrics", run)?.replace("metrics", &schema, &[batch], &[]).map(drop)
}

/// Writes `predictions` of a run: the adapted model's answer for every picture, from its logits
/// (rows, C), and the zero-shot answer beside it.
///
/// # Errors
/// Fails if the store cannot be written, or a stop was requested.
pub fn write_predictions(
    run: &str,
    pictures: &Pictures,
    logits: &Matrix,
    zero_shot: &[i32],
    store: &Store,
    stop: &Stop,
) -> Result<()> {
    let classes = logits.size().1;
    let mut best_classes = Vec::with_capacity(pictures.rows().len());
    let best = logits.blocks().try_map(stop, |block| {
        let logits = logits.block(block)?;
        best_classes.extend(self::classes(&logits.argmax(1, false))?);
        Ok(logits.softmax(-1, None::<Number>).topk(classes.min(2), 1, true, true).0)
    })?;
    let column = |n: i64| tensor::numbers(&best.select(1, n));
    let confidence = column(0)?;
    let margin: Vec<f32> = match classes {
        1 => confidence.clone(),
        _ => confidence.iter().zip(column(1)?).map(|(first, second)| first - second).collect(),
    };
    let rows = pictures.rows();
    let schema = table::table("predictions")?.arrow(&Dims::new())?;
    let columns: [(&str, ArrayRef); 7] = [
        ("run", arrays::repeated(run, rows.len())),
        ("image_id", arrays::text(rows.iter().map(|p| &p.image_id))),
        ("split", arrays::text(rows.iter().map(|p| p.split.name()))),
        ("class_id", Arc::new(Int32Array::from(best_classes))),
        ("confidence", Arc::new(Float32Array::from(confidence))),
        ("margin", Arc::new(Float32Array::from(margin))),
        ("zero_shot_class_id", Arc::new(Int32Array::from(zero_shot.to_vec()))),
    ];
    let batch = table::rows("predictions", &schema, columns)?;
    store.partition("predictions", run)?.replace("predictions", &schema, &[batch], &[]).map(drop)
}
