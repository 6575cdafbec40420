//! How executors run a piece of a plan: as Ballista does, once they have looked at it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use ballista_core::JobId;
use ballista_core::serde::protobuf::GetJobStatusParams;
use ballista_core::serde::protobuf::job_status::Status as State;
use ballista_executor::execution_engine::{DefaultExecutionEngine, ExecutionEngine, QueryStageExecutor};
use datafusion::error::Result;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::prelude::SessionConfig;
use tonic::Request;
use tonic::metadata::MetadataValue;

use super::endable::endable;
use super::failure::sent;
use super::joining::Client;
use super::service::BYSTANDER;
use super::travelling;
use crate::error::{Error, Kind};
use crate::net::Told;
use crate::panics::guard;

/// How often to ask whether jobs go on.
const LOOK: Duration = Duration::from_secs(2);

/// Runs pieces of plans that may be run here.
pub(super) struct Guarded {
    /// What the executor is called.
    executor: String,
    told: Arc<dyn Told>,
    pieces: Arc<Pieces>,
    inner: DefaultExecutionEngine,
}

impl Guarded {
    pub(super) fn new(executor: String, told: Arc<dyn Told>) -> Self {
        Guarded { executor, told, pieces: Arc::default(), inner: DefaultExecutionEngine::new() }
    }

    pub(super) fn pieces(&self) -> Arc<Pieces> {
        self.pieces.clone()
    }
}

/// The jobs of which pieces have begun here, and what ends these.
#[derive(Default)]
pub(super) struct Pieces(Mutex<HashMap<JobId, Arc<AtomicBool>>>);

impl Pieces {
    /// Returns what ends a piece of a job.
    fn of(&self, job: &JobId) -> Arc<AtomicBool> {
        self.begun().entry(job.clone()).or_default().clone()
    }

    fn begun(&self) -> MutexGuard<'_, HashMap<JobId, Arc<AtomicBool>>> {
        guard(&self.0)
    }

    /// Ends the pieces of jobs that have ended, for as long as it is awaited: an executor that
    /// asks for work is not told of jobs that were cancelled.
    pub(super) async fn end_with_jobs(&self, mut client: Client) {
        loop {
            tokio::time::sleep(LOOK).await;
            let jobs: Vec<JobId> = self.begun().keys().cloned().collect();
            for job in jobs {
                let mut asked = Request::new(GetJobStatusParams { job_id: job.to_string() });
                asked.metadata_mut().insert(BYSTANDER, MetadataValue::from_static("yes"));
                let Ok(answer) = client.get_job_status(asked).await else { continue };
                let state = answer.into_inner().status.and_then(|status| status.status);
                if matches!(state, Some(State::Queued(_) | State::Running(_))) {
                    continue;
                }
                if let Some(ended) = self.begun().remove(&job) {
                    ended.store(true, Ordering::Relaxed);
                }
            }
        }
    }
}

impl ExecutionEngine for Guarded {
    fn create_query_stage_exec(
        &self,
        job: JobId,
        stage: usize,
        task: usize,
        partitions: Vec<usize>,
        plan: Arc<dyn ExecutionPlan>,
        folder: &str,
        config: &SessionConfig,
    ) -> Result<Arc<dyn QueryStageExecutor>> {
        if let Some(why) = travelling::refusal(&plan, config) {
            let error = Error::new(Kind::Query, format!("a plan is refused: {why}"));
            self.told.note(&error.to_string());
            return Err(sent(&error, &self.executor));
        }
        let plan = match travelling::store_of(config) {
            "" => plan,
            _ => endable(plan, &self.pieces.of(&job))?,
        };
        self.inner.create_query_stage_exec(job, stage, task, partitions, plan, folder, config)
    }
}
