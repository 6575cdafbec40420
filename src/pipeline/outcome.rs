//! The outcome of a run, and the notes about it.

use crate::config::Spec;
use crate::error::{Error, Kind, Result};
use crate::runs::lookup::{MetricRow, Upto, Whole};
use crate::runs::record::Forwards;
use crate::stage::evaluate::Score;
use crate::stage::ingest::Ingested;
use crate::text::numbers::counted;

/// The outcome of a run.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    /// The run's id; empty if it ended before adaptation.
    pub run: String,
    /// Accuracies, if labels exist.
    pub table: Vec<MetricRow>,
    /// Notes for the user.
    pub notes: Vec<String>,
    /// The pass that it resumed from, in words, if it did.
    pub resume: Option<String>,
    /// Temperature that the answers' logits are divided by to calibrate them, if a model was
    /// adapted and measured.
    pub temperature: Option<f64>,
}

/// The note for a dataset without labels to measure the outcome by.
const NO_LABELS: &str = "no labels: nothing to measure; the table `predictions` has the answers";

impl Outcome {
    /// Begins an outcome with a note about rejected files, if there are any.
    pub(super) fn of(found: &Ingested) -> Self {
        let all = found.images + found.rejected;
        let rejected = format!("{} of {all} files rejected; the table `rejected` says why", found.rejected);
        Outcome { notes: (found.rejected > 0).then_some(rejected).into_iter().collect(), ..Outcome::default() }
    }

    /// Returns the outcome of a run that the store already has whole.
    pub(super) fn of_finished(run: String, upto: Upto, found: &Ingested, whole: Whole) -> Self {
        let Whole { table, temperature } = whole;
        let mut outcome = Outcome { run, temperature, ..Outcome::of(found) };
        let run = &outcome.run;
        outcome
            .notes
            .push(format!("run {run} is finished: nothing had to be computed, no forward pass of the frozen model"));
        match upto {
            Upto::Evaluate => outcome.with_table(table),
            _ => Outcome { table, ..outcome },
        }
    }

    /// Notes how many forward passes of the frozen model there were.
    pub(super) fn say_forwards(&mut self, Forwards { images, sentences }: Forwards) {
        self.notes.push(match images + sentences {
            0 => "every embedding was cached: no forward pass of the frozen model".to_owned(),
            _ => {
                let (images, sentences) = (counted(images, "image forward"), counted(sentences, "text forward"));
                format!("frozen model: {images}, {sentences}")
            }
        });
    }

    /// Adds the accuracies, or notes why there are none.
    pub(super) fn with_table(mut self, table: Vec<MetricRow>) -> Self {
        if table.is_empty() {
            self.notes.push(NO_LABELS.to_owned());
        }
        Outcome { table, ..self }
    }

    /// Returns the outcome, unless more files were rejected than the pipeline tolerates.
    ///
    /// # Errors
    /// Returns [`Kind::Tolerance`] if more were rejected.
    pub(super) fn tolerated(self, spec: &Spec, found: &Ingested) -> Result<Self> {
        let tolerance = spec.dataset.tolerance;
        if !found.too_many_rejected(tolerance) {
            return Ok(self);
        }
        let (rejected, all) = (found.rejected, found.images + found.rejected);
        let what = format!("{rejected} of {all} files were rejected, more than dataset.tolerance = {tolerance} allows");
        Err(Error::new(Kind::Tolerance, what)
            .hint("SELECT path, reason, detail FROM rejected shows them; everything else was done and is kept"))
    }
}

impl From<Score> for MetricRow {
    fn from(score: Score) -> Self {
        let Score { model, split, top1, mean_class, images } = score;
        MetricRow { model: model.to_owned(), split: split.to_owned(), top1, mean_class, images }
    }
}
