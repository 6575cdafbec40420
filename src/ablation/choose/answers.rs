//! What a run answers, from the tables that it left in the store.

use tch::{Kind as Number, Tensor};

use super::super::cells::Cell;
use super::set::Set;
use crate::error::{Error, Kind, Result};
use crate::fusion::blocks::Blocks;
use crate::runs::record::prior_of;
use crate::stage::answers::Answering;
use crate::stage::describe;
use crate::stage::evaluate;
use crate::stage::job::Job;
use crate::stage::pictures::Pictures;
use crate::store::reader;
use crate::table::{arrays, tensor};
use crate::workspace::Opened;

/// What the model that a row shows answers about the pictures of its set, in one run.
#[derive(Debug)]
pub(super) struct Answered {
    /// The class of each picture, (n).
    pub(super) classes: Tensor,
    /// Mean confidence on the measured pictures; `None` of frozen models.
    pub(super) confidence: Option<f64>,
    /// Share of the training pictures that the prior answers alike; `None` of frozen models.
    pub(super) prior: Option<f64>,
    /// Mutual information of training pictures and answers in the last pass, in nats; `None` of
    /// frozen models.
    pub(super) information: Option<f64>,
}

/// Models whose answers are in `predictions`.
const ADAPTED: [&str; 2] = ["adapted", "predicted"];

/// Returns whether the model that a row shows is one that is adapted, not frozen.
pub(super) fn is_adapted(cell: &Cell) -> bool {
    ADAPTED.contains(&cell.model.as_str())
}

/// Returns why the store does not have what a row shows, if it does not.
pub(super) fn unknown(cell: &Cell) -> Option<String> {
    let mixed = cell.spec.predict.gamma > 0.0 || cell.spec.transduction.predictions;
    (cell.model == "adapted" && mixed).then(|| {
        format!("row '{}' shows the model 'adapted', but predictions has the mixed answers: show 'predicted'", cell.row)
    })
}

/// Says which row has no `information`, because the logits of its last pass were removed.
pub(super) fn without_logits(cells: &[(&Cell, &String)], answered: &[Answered]) -> Option<String> {
    let mut all = cells.iter().zip(answered);
    let ((cell, _), _) = all.find(|((cell, _), answered)| is_adapted(cell) && answered.information.is_none())?;
    let Cell { row, spec, .. } = cell;
    Some(format!(
        "row '{row}' has no `information`: adapt.keep = \"{}\" leaves of the last pass only the largest logits",
        spec.adapt.keep
    ))
}

/// Reads the answers of an adapted model.
///
/// # Errors
/// Returns [`Kind::Store`] if a picture has no answer or the store cannot be read;
/// [`Kind::Interrupted`] if a stop was requested.
pub(super) fn adapted(cell: &Cell, run: &str, set: &Set, job: Job<'_>) -> Result<Answered> {
    let Job { store, stop, .. } = job;
    let (mut classes, mut confidences) = (vec![-1i64; set.len()], vec![0.0f64; set.len()]);
    let columns = ["image_id", "class_id", "confidence"];
    for batch in reader::batches(&store.partition("predictions", run)?, Some(&columns), 8192)? {
        stop.check()?;
        let batch = batch?;
        let answers = arrays::int32s(&batch, "class_id")?.iter().zip(arrays::floats(&batch, "confidence")?);
        for (id, (class, confidence)) in arrays::strings(&batch, "image_id")?.into_iter().zip(answers) {
            if let Some(place) = set.place(id) {
                classes[place as usize] = i64::from(*class);
                confidences[place as usize] = confidence.unwrap_or(0.0);
            }
        }
    }
    if classes.contains(&-1) {
        let what = format!("run '{run}' of row '{}' does not answer all pictures of {}", cell.row, cell.pipeline);
        return Err(Error::new(Kind::Store, what)
            .hint("rows are compared on the same pictures: no row may change `dataset` with --choose"));
    }
    let confidence = Tensor::from_slice(&confidences).index_select(0, &set.measured);
    let confidence = Some(confidence.mean(Number::Double).double_value(&[])).filter(|mean| mean.is_finite());
    let prior = agreement_with_prior(run, &classes, set, job)?;
    let information = information(cell, run, job)?;
    Ok(Answered { classes: Tensor::from_slice(&classes), confidence, prior, information })
}

/// Returns the share of the rows of `prior_logits` whose best class is the answer.
fn agreement_with_prior(run: &str, answers: &[i64], set: &Set, job: Job<'_>) -> Result<Option<f64>> {
    let (mut alike, mut all) = (0u64, 0u64);
    for batch in reader::batches(&prior_of(job.store, run)?, Some(&["image_id", "logits"]), 1024)? {
        job.stop.check()?;
        let batch = batch?;
        let best = evaluate::answers(&tensor::from_vectors(&batch, "logits")?.into(), job.stop)?;
        for (id, best) in arrays::strings(&batch, "image_id")?.into_iter().zip(best) {
            if let Some(place) = set.place(id) {
                all += 1;
                alike += u64::from(answers[place as usize] == i64::from(best));
            }
        }
    }
    Ok((all > 0).then(|| alike as f64 / all as f64))
}

/// Returns the entropy of the mean answer less the mean entropy of the answers, by the model at the
/// start of the last pass.
fn information(cell: &Cell, run: &str, job: Job<'_>) -> Result<Option<f64>> {
    let parts = job.store.partition("fusion_logits", run)?.parts()?;
    let (mut sum, mut entropy, mut rows) = (None::<Tensor>, 0.0, 0i64);
    // Each pass is a part, and their names are in order.
    for batch in reader::batches_of(parts.into_iter().next_back().into_iter().collect(), Some(&["logits"]), 1024) {
        let logits = tensor::from_vectors(&batch?, "logits")?;
        let (count, classes) = logits.size2().unwrap_or((0, 0));
        Blocks::of_numbers(count, classes).each(job.stop, |block| {
            let answers =
                (block.of(&logits).to_kind(Number::Double) * cell.spec.adapt.logit_scale).softmax(-1, Number::Double);
            entropy += answers.special_entr().sum(Number::Double).double_value(&[]);
            let total = answers.sum_dim_intlist([0i64].as_slice(), false, Number::Double);
            sum = Some(sum.take().map_or_else(|| total.shallow_clone(), |sum| sum + &total));
        })?;
        rows += count;
    }
    let of_mean = |sum: Tensor| (sum / rows as f64).special_entr().sum(Number::Double).double_value(&[]);
    Ok(sum.map(|sum| of_mean(sum) - entropy / rows as f64))
}

/// Computes the answers of a frozen model from the features in the store.
///
/// # Errors
/// Fails if the store cannot be read or has other pictures than the set, the run gives no such
/// model, or a stop was requested.
pub(super) fn frozen(cell: &Cell, opened: &Opened, set: &Set, job: Job<'_>) -> Result<Answered> {
    let (spec, w, Job { store, stop, .. }) = (&cell.spec, &opened.workspace, job);
    let pictures = Pictures::open(&store.partition("images", &w.dataset)?, spec.dataset.decoding())?;
    let text = || w.sentence_tower();
    let heads = describe::heads(&opened.sentences, &w.text_space, &w.clip.tokenizer, text, store, stop)?;
    let seen = w.multi_view(&pictures, &heads, job)?;
    let train = pictures.training()?;
    let bias = w.class_bias(spec, &pictures, &heads, &seen, &train, job)?;
    let second = w.second_space(spec, &pictures, &seen, &bias, &train, job)?;
    let answering = Answering {
        pictures: &pictures,
        seen: &seen,
        bias: spec.dka.balance.is_on().then_some(&bias),
        second: second.as_ref().map(|(_, logits)| logits),
        heads: &heads,
        transduction: spec.transduction,
        predict: spec.predict,
        scale: spec.adapt.logit_scale,
        stop,
    };
    let (named, _) = answering.baselines()?;
    let Some((_, answers)) = named.iter().find(|(model, _)| *model == cell.model) else {
        let models: Vec<&str> = named.iter().map(|(model, _)| *model).collect();
        let Cell { place, row, model, .. } = cell;
        let what = format!("{place}: row '{row}' shows the model '{model}', which its run does not give");
        return Err(Error::new(Kind::Input, what).hint(format!("it gives {}", models.join(", "))));
    };
    let same = pictures.rows().iter().zip(0..).all(|(picture, place)| set.place(&picture.image_id) == Some(place));
    if !same || pictures.rows().len() != set.len() {
        let what = format!("row '{}' is about other pictures than the first row of {}", cell.row, cell.pipeline);
        return Err(Error::new(Kind::Input, what).hint("no row may change `dataset` with --choose"));
    }
    let classes: Vec<i64> = answers.iter().map(|&class| i64::from(class)).collect();
    Ok(Answered { classes: Tensor::from_slice(&classes), confidence: None, prior: None, information: None })
}
