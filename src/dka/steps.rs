//! A pass made step by step, as in the released code: pseudo-labels of one batch after another,
//! each made by the model at that step.

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;

use crate::dka::pass::{PseudoLabels, Summary};
use crate::error::{Context, Error, Kind, Result};

/// The labels of the steps so far.
#[derive(Debug, Default)]
pub struct Steps {
    batches: Vec<RecordBatch>,
    changed: u64,
    /// The sum of the confidences, and their number.
    confidence: (f64, usize),
}

impl Steps {
    /// Adds the labels of one step.
    pub fn add(&mut self, labels: &PseudoLabels) {
        let rows = labels.batch.num_rows();
        self.changed += labels.summary.changed;
        if !labels.summary.mean_confidence.is_nan() {
            self.confidence.0 += labels.summary.mean_confidence * rows as f64;
            self.confidence.1 += rows;
        }
        self.batches.push(labels.batch.clone());
    }

    /// Returns the whole pass; `class_ids` are the labels of all its pictures, -1 for none.
    ///
    /// # Errors
    /// Returns [`Kind::Query`] if there was no step.
    pub fn finish(self, class_ids: Vec<i32>, classes: usize) -> Result<PseudoLabels> {
        let Some(first) = self.batches.first() else {
            return Err(Error::new(Kind::Query, "a pass without a step has no pseudo-labels"));
        };
        let batch = concat_batches(&first.schema(), &self.batches)
            .context(Kind::Store, || "cannot make table pseudo_labels".to_owned())?;
        let mut alive = vec![false; classes];
        for class in class_ids.iter().filter_map(|&class| usize::try_from(class).ok()) {
            if let Some(alive) = alive.get_mut(class) {
                *alive = true;
            }
        }
        let summary = Summary {
            changed: self.changed,
            dead_classes: alive.iter().filter(|alive| !**alive).count() as u64,
            mean_confidence: self.confidence.0 / self.confidence.1 as f64,
        };
        Ok(PseudoLabels { batch, class_ids, summary })
    }
}
