//! Running a pipeline.

use std::sync::Arc;

use super::spec::Spec;
use crate::error::{Error, Kind, Result};
use crate::stage::progress::Progress;
use crate::stage::stop::Stop;
use crate::store::Store;
use crate::table::Scope;

/// What a run is given besides the pipeline file.
pub struct Options {
    /// Asks the run to stop.
    pub stop: Stop,
    /// Where it says how far it is.
    pub progress: Arc<dyn Progress>,
}

/// The last step of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Upto {
    /// The pictures are in the tables.
    Ingest,
    /// Everything frozen is computed.
    Embed,
    /// The model is adapted.
    Adapt,
    /// The outcome is measured.
    Evaluate,
}

/// What came of a run.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    /// The run's id.
    pub run: String,
    /// Accuracies, where labels exist.
    pub table: Vec<MetricRow>,
    /// Lines worth reading.
    pub notes: Vec<String>,
    /// Where it went on from, if it did.
    pub resume: Option<String>,
}

/// One row of the accuracy table.
#[derive(Debug, Clone, PartialEq)]
pub struct MetricRow {
    /// `zero_shot`, `descriptions`, `multi_view` or `adapted`.
    pub model: String,
    /// `train` or `test`.
    pub split: String,
    /// Share of pictures that are right.
    pub top1: f64,
    /// Mean over classes of that share.
    pub mean_class: f64,
    /// Pictures it was measured on.
    pub images: u64,
}

/// One row of the plan.
#[derive(Debug, Clone, PartialEq)]
pub struct PlanRow {
    /// The stage.
    pub stage: String,
    /// What its result is cached under.
    pub key: String,
    /// Units that are there already.
    pub cached: u64,
    /// Units to do.
    pub todo: u64,
    /// What a unit is.
    pub unit: &'static str,
    /// What else is to be said.
    pub note: String,
}

/// Runs a pipeline up to a step.
///
/// # Errors
/// Always, until the stages are joined.
pub async fn run(_spec: &Spec, _upto: Upto, _options: &Options) -> Result<Outcome> {
    Err(Error::new(Kind::Store, "running is not part of this build"))
}

/// What a run would do.
///
/// # Errors
/// Always, until the stages are joined.
pub async fn plan(_spec: &Spec) -> Result<Vec<PlanRow>> {
    Err(Error::new(Kind::Store, "planning is not part of this build"))
}

/// What of the store belongs to a pipeline.
///
/// # Errors
/// Where the store is no folder.
pub fn scope(spec: &Spec) -> Result<(Store, Scope)> {
    let scope = Scope { dataset: spec.name.clone(), ..Scope::default() };
    Ok((Store::open_read(&spec.store)?, scope))
}
