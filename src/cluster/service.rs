//! What the scheduler answers: Ballista's own service, less what nobody here asks for, and with
//! what it does not say of itself.
//!
//! - Plans come from drivers as physical ones; statements in any other form are refused.
//! - The answer about a job says in headers how many of its units are left and run, and how many
//!   executors there are, of which the protocol has nothing.
//! - A job is cancelled if its driver has not asked about it for some time, or asks for it anew.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use ballista_core::JobId;
use ballista_core::config::BALLISTA_JOB_NAME;
use ballista_core::serde::protobuf::execute_query_params::Query;
use ballista_core::serde::protobuf::scheduler_grpc_server::SchedulerGrpc;
use ballista_core::serde::protobuf::task_status::Status as Ended;
use ballista_core::serde::protobuf::{
    CancelJobParams, CancelJobResult, CleanJobDataParams, CleanJobDataResult, CreateUpdateSessionParams,
    CreateUpdateSessionResult, ExecuteQueryParams, ExecuteQueryResult, ExecutorStoppedParams, ExecutorStoppedResult,
    GetJobMetricsParams, GetJobMetricsResult, GetJobStatusParams, GetJobStatusResult, HeartBeatParams, HeartBeatResult,
    PollWorkParams, PollWorkResult, RegisterExecutorParams, RegisterExecutorResult, RemoveSessionParams,
    RemoveSessionResult, TaskDefinition, UpdateTaskStatusParams, UpdateTaskStatusResult,
};
use ballista_core::serde::scheduler::ExecutorSpecification;
use ballista_scheduler::scheduler_server::SchedulerServer;
use datafusion_proto::protobuf::{LogicalPlanNode, PhysicalPlanNode};
use tonic::{Request, Response, Status};

use super::travelling::STORE;
use crate::net::Told;
use crate::panics::guard;

/// Ballista's scheduler, for plans as DataFusion writes them.
pub(super) type Inner = SchedulerServer<LogicalPlanNode, PhysicalPlanNode>;

/// The headers of an answer about a job.
pub(super) const LEFT: &str = "x-microclip-units-left";
pub(super) const RUNNING: &str = "x-microclip-units-running";
pub(super) const EXECUTORS: &str = "x-microclip-executors";
/// Says of a statement that a piece of it was handed out again, or may have been. Ballista then
/// counts the rows of some pieces twice, so that what comes of it is of no use.
pub(super) const REPEATED: &str = "x-microclip-again";

/// The header of one who asks about another's job, for which nobody waits if only such ask.
pub(super) const BYSTANDER: &str = "x-microclip-bystander";

/// How often jobs are looked at whose driver may be gone.
const LOOK: Duration = Duration::from_secs(1);

/// How long an executor may ask for more units while it does not do all that it was given. It may
/// do so for a moment, between the end of a unit and its report.
const LACKING: Duration = Duration::from_secs(3);

/// How long an executor counts as there after it was last heard of, at least.
const HEARD_OF: Duration = Duration::from_secs(10);

/// The scheduler's service.
#[derive(Clone)]
pub(super) struct Service(Arc<Shared>);

struct Shared {
    inner: Inner,
    /// The executors that were heard of, by their names.
    executors: Mutex<HashMap<String, Heard>>,
    /// When drivers were last heard of, by their jobs.
    drivers: Mutex<HashMap<JobId, Instant>>,
    /// What was handed out of statements, by their jobs.
    given: Mutex<HashMap<JobId, Given>>,
    executor_timeout: Duration,
    driver_timeout: Duration,
    counts: Counts,
    told: Arc<dyn Told>,
}

/// What was heard of an executor.
struct Heard {
    /// When it last asked for units.
    last: Instant,
    /// Whether others can fetch rows there.
    gives: bool,
    /// Since when it does fewer units than it was given.
    lacks: Option<Instant>,
}

/// What was handed out of a statement.
struct Given {
    /// The executors that were given pieces.
    executors: HashSet<String>,
    /// Whether some were handed out again, or may have been.
    again: bool,
    last: Instant,
}

/// What is counted since the start.
#[derive(Default)]
pub(super) struct Counts {
    pub(super) handed_out: AtomicU64,
    pub(super) done: AtomicU64,
    pub(super) failed: AtomicU64,
    pub(super) jobs: AtomicU64,
    pub(super) abandoned: AtomicU64,
}

/// What is so at present.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Present {
    pub(super) executors: usize,
    pub(super) jobs: usize,
    pub(super) waiting: usize,
    pub(super) running: usize,
}

impl Service {
    pub(super) fn new(inner: Inner, executor_timeout: Duration, driver_timeout: Duration, told: Arc<dyn Told>) -> Self {
        let (executors, drivers, given) = (Mutex::default(), Mutex::default(), Mutex::default());
        let counts = Counts::default();
        Service(Arc::new(Shared { inner, executors, drivers, given, executor_timeout, driver_timeout, counts, told }))
    }

    pub(super) fn counts(&self) -> &Counts {
        &self.0.counts
    }

    /// Cancels the jobs of drivers that are gone, for as long as it is awaited.
    pub(super) async fn look_after_jobs(self) {
        loop {
            tokio::time::sleep(LOOK).await;
            let mut gone = Vec::new();
            for job in self.0.inner.state.task_manager.get_running_job_cache().keys() {
                let mut drivers = guard(&self.0.drivers);
                if drivers.entry(job.clone()).or_insert_with(Instant::now).elapsed() > self.0.driver_timeout {
                    drivers.remove(job);
                    gone.push(job.clone());
                }
            }
            for job in gone {
                self.0.counts.abandoned.fetch_add(1, Ordering::Relaxed);
                self.0.told.note(&format!("job {job} is cancelled: its driver is gone"));
                let _ = self.0.inner.cancel_job(job).await;
            }
            let longest = self.0.driver_timeout * 10;
            let running = self.0.inner.state.task_manager.get_running_job_cache();
            guard(&self.0.given).retain(|job, given| running.contains_key(job) || given.last.elapsed() < longest);
            guard(&self.0.drivers).retain(|_, heard| heard.elapsed() < longest);
            guard(&self.0.executors).retain(|_, heard| heard.last.elapsed() < longest);
        }
    }

    /// Returns how many executors were heard of lately.
    fn executors(&self) -> usize {
        let lately = self.0.executor_timeout.max(HEARD_OF);
        guard(&self.0.executors).values().filter(|heard| heard.last.elapsed() < lately).count()
    }

    /// Remembers which statements an executor is given pieces of.
    fn remember(&self, executor: &str, tasks: &[TaskDefinition]) {
        let is_of_statement = |task: &&TaskDefinition| {
            task.props.iter().any(|pair| pair.key == STORE && pair.value.as_deref() != Some(""))
        };
        for task in tasks.iter().filter(is_of_statement) {
            let mut all = guard(&self.0.given);
            let none = || Given { executors: HashSet::new(), again: false, last: Instant::now() };
            let given = all.entry(task.job_id.clone().into()).or_insert_with(none);
            given.last = Instant::now();
            given.executors.insert(executor.to_owned());
            given.again |= task.task_attempt_num > 0 || task.stage_attempt_num > 0;
        }
    }

    /// Says of all statements that an executor has pieces of that they may have been handed out
    /// again.
    fn distrust(&self, executor: &str) {
        for given in guard(&self.0.given).values_mut() {
            given.again |= given.executors.contains(executor);
        }
    }

    /// Returns whether Ballista may have given up an executor that was heard of then.
    fn may_be_given_up(&self, heard: Instant) -> bool {
        // It counts in whole seconds.
        heard.elapsed() + Duration::from_secs(2) >= self.0.executor_timeout
    }

    /// Returns whether a piece of a statement was handed out again, or may have been.
    fn is_again(&self, job: &JobId) -> bool {
        let all = guard(&self.0.given);
        let Some(given) = all.get(job) else { return false };
        let executors = guard(&self.0.executors);
        let lost = |name: &String| executors.get(name).is_none_or(|heard| self.may_be_given_up(heard.last));
        given.again || given.executors.iter().any(lost)
    }

    /// Refuses a statement where an executor is there that would be given some of it, and whose
    /// rows nobody could fetch.
    fn require_rows(&self) -> Result<(), Status> {
        let lately = self.0.executor_timeout.max(HEARD_OF);
        let executors = guard(&self.0.executors);
        let without = executors.iter().find(|(_, heard)| heard.last.elapsed() < lately && !heard.gives);
        match without {
            None => Ok(()),
            Some((name, _)) => Err(Status::permission_denied(format!(
                "executor {name} takes no statements, and says why where it was started"
            ))),
        }
    }

    /// Returns what is so at present.
    pub(super) async fn present(&self) -> Present {
        let mut present = Present { executors: self.executors(), ..Present::default() };
        for job in self.0.inner.state.task_manager.get_running_job_cache().values() {
            let graph = job.execution_graph.read().await;
            present.jobs += 1;
            present.waiting += graph.available_tasks();
            present.running += graph.running_tasks().len();
        }
        present
    }

    /// Takes an executor's units from it if it was given one by an answer that it never got, as
    /// where a network was cut: nobody would do that unit for as long as the executor lives.
    async fn look_for_lost(&self, asked: &PollWorkParams) {
        let Some(executor) = &asked.metadata else { return };
        let about: Option<ExecutorSpecification> = executor.specification.clone().map(Into::into);
        let slots = about.map_or(0, |about| about.vcores);
        let (id, does) = (&executor.id, slots.saturating_sub(asked.num_free_vcores) as usize + asked.task_status.len());
        let mut given = 0;
        for job in self.0.inner.state.task_manager.get_running_job_cache().values() {
            let graph = job.execution_graph.read().await;
            given += graph.running_tasks().iter().filter(|task| task.executor_id == *id).count();
        }
        let (is_lost, before) = {
            let mut executors = guard(&self.0.executors);
            let now = Instant::now();
            let new = || Heard { last: now, gives: false, lacks: None };
            let heard = executors.entry(id.clone()).or_insert_with(new);
            let before = std::mem::replace(&mut heard.last, now);
            heard.gives = executor.port > 0;
            heard.lacks = (given > does).then(|| heard.lacks.unwrap_or(now));
            let is_lost = heard.lacks.is_some_and(|since| since.elapsed() > LACKING);
            heard.lacks = heard.lacks.filter(|_| !is_lost);
            (is_lost, before)
        };
        if self.may_be_given_up(before) {
            self.distrust(id);
        }
        if is_lost {
            self.distrust(id);
            self.0.told.note(&format!("{id} was given a unit that it never got: its units are given to others"));
            let reason = "an answer was lost".to_owned();
            let stopped = ExecutorStoppedParams { executor_id: id.clone(), reason };
            let _ = self.0.inner.executor_stopped(Request::new(stopped)).await;
        }
    }

    /// Cancels running jobs of a name, whose driver has asked for them anew.
    async fn cancel_earlier(&self, name: &str) {
        for (job, of) in self.0.inner.state.task_manager.get_running_job_cache().iter() {
            if of.execution_graph.read().await.job_name() == name {
                let _ = self.0.inner.cancel_job(job.clone()).await;
            }
        }
    }
}

fn refused<T>() -> Result<Response<T>, Status> {
    Err(Status::unimplemented("this scheduler takes jobs of microclip-pipe alone"))
}

#[tonic::async_trait]
impl SchedulerGrpc for Service {
    async fn poll_work(&self, request: Request<PollWorkParams>) -> Result<Response<PollWorkResult>, Status> {
        let asked = request.get_ref();
        self.look_for_lost(asked).await;
        let counts = &self.0.counts;
        for task in &asked.task_status {
            match task.status {
                Some(Ended::Successful(_)) => counts.done.fetch_add(1, Ordering::Relaxed),
                Some(Ended::Failed(_)) => counts.failed.fetch_add(1, Ordering::Relaxed),
                Some(Ended::Running(_)) | None => 0,
            };
        }
        let executor = asked.metadata.as_ref().map(|executor| executor.id.clone()).unwrap_or_default();
        let answer = self.0.inner.poll_work(request).await?;
        self.remember(&executor, &answer.get_ref().tasks);
        counts.handed_out.fetch_add(answer.get_ref().tasks.len() as u64, Ordering::Relaxed);
        Ok(answer)
    }

    async fn register_executor(
        &self,
        request: Request<RegisterExecutorParams>,
    ) -> Result<Response<RegisterExecutorResult>, Status> {
        self.0.inner.register_executor(request).await
    }

    async fn heart_beat_from_executor(
        &self,
        request: Request<HeartBeatParams>,
    ) -> Result<Response<HeartBeatResult>, Status> {
        self.0.inner.heart_beat_from_executor(request).await
    }

    async fn update_task_status(
        &self,
        request: Request<UpdateTaskStatusParams>,
    ) -> Result<Response<UpdateTaskStatusResult>, Status> {
        self.0.inner.update_task_status(request).await
    }

    async fn create_update_session(
        &self,
        _: Request<CreateUpdateSessionParams>,
    ) -> Result<Response<CreateUpdateSessionResult>, Status> {
        refused()
    }

    async fn remove_session(
        &self,
        request: Request<RemoveSessionParams>,
    ) -> Result<Response<RemoveSessionResult>, Status> {
        self.0.inner.remove_session(request).await
    }

    type ExecuteQueryPushStream = <Inner as SchedulerGrpc>::ExecuteQueryPushStream;

    async fn execute_query_push(
        &self,
        _: Request<ExecuteQueryParams>,
    ) -> Result<Response<Self::ExecuteQueryPushStream>, Status> {
        refused()
    }

    async fn execute_query(
        &self,
        request: Request<ExecuteQueryParams>,
    ) -> Result<Response<ExecuteQueryResult>, Status> {
        let asked = request.get_ref();
        if !matches!(asked.query, Some(Query::PhysicalPlan(_))) {
            return refused();
        }
        if asked.settings.iter().any(|pair| pair.key == STORE && pair.value.as_ref().is_some_and(|of| !of.is_empty())) {
            self.require_rows()?;
        }
        let name = asked.settings.iter().find(|pair| pair.key == BALLISTA_JOB_NAME).and_then(|pair| pair.value.clone());
        if let Some(name) = name.filter(|name| !name.is_empty()) {
            self.cancel_earlier(&name).await;
        }
        self.0.counts.jobs.fetch_add(1, Ordering::Relaxed);
        self.0.inner.execute_query(request).await
    }

    async fn get_job_status(
        &self,
        request: Request<GetJobStatusParams>,
    ) -> Result<Response<GetJobStatusResult>, Status> {
        let job = JobId::from(request.get_ref().job_id.clone());
        if !request.metadata().contains_key(BYSTANDER) {
            guard(&self.0.drivers).insert(job.clone(), Instant::now());
        }
        let mut answer = self.0.inner.get_job_status(request).await?;
        let headers = answer.metadata_mut();
        if let Some(job) = self.0.inner.state.task_manager.get_running_job_cache().get(&job) {
            let graph = job.execution_graph.read().await;
            let running = graph.running_tasks().len();
            headers.insert(LEFT, (graph.available_tasks() + running).into());
            headers.insert(RUNNING, running.into());
        }
        if self.is_again(&job) {
            headers.insert(REPEATED, 1.into());
        }
        headers.insert(EXECUTORS, self.executors().into());
        Ok(answer)
    }

    async fn get_job_metrics(
        &self,
        request: Request<GetJobMetricsParams>,
    ) -> Result<Response<GetJobMetricsResult>, Status> {
        self.0.inner.get_job_metrics(request).await
    }

    async fn executor_stopped(
        &self,
        request: Request<ExecutorStoppedParams>,
    ) -> Result<Response<ExecutorStoppedResult>, Status> {
        guard(&self.0.executors).remove(&request.get_ref().executor_id);
        self.distrust(&request.get_ref().executor_id);
        self.0.inner.executor_stopped(request).await
    }

    async fn cancel_job(&self, request: Request<CancelJobParams>) -> Result<Response<CancelJobResult>, Status> {
        SchedulerGrpc::cancel_job(&self.0.inner, request).await
    }

    async fn clean_job_data(
        &self,
        request: Request<CleanJobDataParams>,
    ) -> Result<Response<CleanJobDataResult>, Status> {
        self.0.inner.clean_job_data(request).await
    }
}
