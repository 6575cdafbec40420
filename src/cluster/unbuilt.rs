//! What is in the place of clusters where this program was built without them: each refuses.

use std::convert::Infallible;
use std::sync::Arc;

use datafusion::physical_plan::ExecutionPlan;
use datafusion::prelude::SessionConfig;

use super::{Ended, Executing, Give, Job, Joining, Scheduling, Statement, Watch, Worker};
use crate::error::{Error, Kind, Result};
use crate::net::Told;
use crate::stop::Stop;

fn unbuilt() -> Error {
    Error::new(Kind::Usage, "this program was built without clusters")
        .hint("build it with --features cluster, as docs/installing.md says")
}

/// Refuses before anything is done.
///
/// # Errors
/// Returns [`Kind::Usage`].
pub fn require_built() -> Result<()> {
    Err(unbuilt())
}

/// Nobody, since there is no cluster to ask.
pub struct Driver(Infallible);

impl Driver {
    /// Refuses to connect.
    ///
    /// # Errors
    /// Returns [`Kind::Usage`].
    pub async fn connect(_: &Joining, _: impl Fn(&str)) -> Result<Driver> {
        Err(unbuilt())
    }

    /// Is never asked for, since there is no driver.
    ///
    /// # Errors
    /// None.
    pub async fn run(&mut self, _: Job<'_>, _: &Stop, _: &dyn Watch) -> Result<Ended> {
        match self.0 {}
    }
}

#[allow(clippy::unused_async, missing_docs)]
impl Driver {
    pub fn planning(&self) -> SessionConfig {
        match self.0 {}
    }

    pub fn travelling(&self, _: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
        match self.0 {}
    }

    pub async fn answer(&mut self, _: Statement<'_>, _: &Stop, _: &dyn Watch, _: Give<'_>) -> Result<()> {
        match self.0 {}
    }
}

/// Refuses to schedule.
///
/// # Errors
/// Returns [`Kind::Usage`].
pub fn schedule(_: &Scheduling, _: &Stop, _: impl Told) -> Result<()> {
    Err(unbuilt())
}

/// Refuses to execute.
///
/// # Errors
/// Returns [`Kind::Usage`].
pub fn execute(_: &Executing, _: Arc<dyn Worker>, _: &Stop, _: impl Told) -> Result<()> {
    Err(unbuilt())
}
