//! Calibration: fits one number that the logits are divided by, so that confidences match how often
//! answers agree with pseudo-labels.
//!
//! True labels would be better, but there are none: what is calibrated is agreement with the labels
//! of the last pass, and output that shows such a probability says so.

use std::collections::HashMap;

use tch::{Kind as Number, Tensor};

use crate::error::Result;
use crate::fusion::matrix::Matrix;
use crate::stage::pictures::Pictures;
use crate::stop::Stop;
use crate::store::layout::Store;
use crate::store::reader;
use crate::table::arrays;

/// Lower bound of temperatures; the upper bound is its inverse.
const COLDEST: f64 = 0.05;

/// Returns the temperature that makes pseudo-labels most likely under
/// `softmax(logits / temperature)`: logits (B, C), labels (B). Returns `None` without labels.
///
/// # Errors
/// Fails if a stop was requested.
pub fn temperature(logits: &Matrix, labels: &[i64], stop: &Stop) -> Result<Option<f64>> {
    if labels.is_empty() {
        return Ok(None);
    }
    let (logits, labels) = sample(logits, labels);
    let labels = labels.view([-1, 1]);
    let rows = logits.blocks();
    let of_labels = rows.try_map(stop, |block| Ok(logits.block(block)?.gather(1, &block.of(&labels), false)))?;
    let of_labels = of_labels.to_kind(Number::Double).mean(None::<Number>).double_value(&[]);
    // The slope of the mean cross-entropy in the inverse temperature, which never decreases.
    let slope = |inverse: f64| -> Result<f64> {
        let mut sum = 0.0;
        rows.try_each(stop, |block| {
            let logits = logits.block(block)?.to_kind(Number::Double);
            let expected = (&logits * inverse).softmax(-1, None::<Number>) * &logits;
            sum += expected
                .sum_dim_intlist([-1i64].as_slice(), false, None::<Number>)
                .sum(None::<Number>)
                .double_value(&[]);
            Ok(())
        })?;
        Ok(sum / logits.size().0 as f64 - of_labels)
    };
    let (mut low, mut high) = (COLDEST, 1.0 / COLDEST);
    if slope(low)? >= 0.0 {
        return Ok(Some(1.0 / low));
    }
    if slope(high)? <= 0.0 {
        return Ok(Some(1.0 / high));
    }
    for _ in 0..50 {
        let middle = 0.5 * (low + high);
        if slope(middle)? < 0.0 { low = middle } else { high = middle }
    }
    Ok(Some(2.0 / (low + high)))
}

/// Returns the places of the pictures that the last pass of a run labelled, and their labels.
///
/// # Errors
/// Fails if the store cannot be read, or a stop was requested.
pub fn last_labels(
    run: &str,
    last: i32,
    pictures: &Pictures,
    store: &Store,
    stop: &Stop,
) -> Result<(Vec<i64>, Vec<i64>)> {
    let mut known = HashMap::new();
    for batch in
        reader::batches(&store.partition("pseudo_labels", run)?, Some(&["pass", "image_id", "class_id"]), 8192)?
    {
        stop.check()?;
        let batch = batch?;
        let ids = arrays::strings(&batch, "image_id")?.into_iter().map(str::to_owned);
        let classes = arrays::int32s(&batch, "class_id")?;
        let rows = arrays::int32s(&batch, "pass")?.iter().zip(ids).zip(classes);
        known.extend(rows.filter(|((pass, _), _)| **pass == last).map(|((_, id), class)| (id, i64::from(*class))));
    }
    let rows = (0..).zip(pictures.rows());
    Ok(rows.filter_map(|(place, picture)| Some((place, *known.get(&picture.image_id)?))).unzip())
}

/// The most numbers that the temperature is fitted to. It is one number, read some fifty times:
/// more pictures would change its third digit.
const MOST: i64 = 50_000_000;

/// Returns the logits and labels of every n-th picture, such that there are at most [`MOST`]
/// numbers: of all pictures, unless these are very many.
fn sample(logits: &Matrix, labels: &[i64]) -> (Matrix, Tensor) {
    let labels = Tensor::from_slice(labels);
    match logits.sample(MOST) {
        Some(places) => (logits.picked(&places), labels.index_select(0, &places)),
        None => (logits.clone(), labels),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    /// Returns the logits of four pictures, each 4 for the first of two classes and 0 for the
    /// second.
    fn logits() -> Matrix {
        Tensor::from_slice(&[4.0f32, 0.0, 4.0, 0.0, 4.0, 0.0, 4.0, 0.0]).view([4, 2]).into()
    }

    fn found(labels: &[i64]) -> Option<f64> {
        temperature(&logits(), labels, &Stop::default()).unwrap()
    }

    #[test]
    fn a_model_that_is_right_three_times_in_four_says_three_quarters() {
        let found = found(&[0, 0, 0, 1]).unwrap();
        let confidence = 1.0 / (1.0 + (-4.0 / found).exp());
        assert!((confidence - 0.75).abs() < 1e-6, "temperature {found}, confidence {confidence}");
    }

    #[test]
    fn a_model_that_always_or_never_agrees_has_a_bounded_temperature() {
        assert!((found(&[0, 0, 0, 0]).unwrap() - COLDEST).abs() < 1e-9);
        assert!((found(&[1, 1, 1, 1]).unwrap() - 1.0 / COLDEST).abs() < 1e-9);
        assert_eq!(found(&[]), None);
    }

    #[test]
    fn it_asks_at_every_temperature_whether_to_stop() {
        for asked in 0..53 {
            let error = temperature(&logits(), &[0, 0, 0, 1], &Stop::after(asked)).unwrap_err();
            assert_eq!(error.kind(), Kind::Interrupted, "after {asked} questions");
        }
        assert!(temperature(&logits(), &[0, 0, 0, 1], &Stop::after(53)).is_ok());
    }
}
