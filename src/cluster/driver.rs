//! Asking the cluster for work, and waiting for it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use ballista_core::config::BALLISTA_JOB_NAME;
use ballista_core::extension::{SessionConfigExt, SessionConfigHelperExt};
use ballista_core::serde::protobuf::execute_query_params::Query;
use ballista_core::serde::protobuf::execute_query_result::Result as Answer;
use ballista_core::serde::protobuf::job_status::Status as State;
use ballista_core::serde::protobuf::{
    CancelJobParams, ExecuteQueryParams, GetJobStatusParams, GetJobStatusResult, PartitionLocation,
};
use ballista_core::version::insert_version_header;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::prelude::SessionConfig;
use datafusion_proto::physical_plan::AsExecutionPlan;
use datafusion_proto::protobuf::PhysicalPlanNode;
use tonic::{Request, Response};

use super::codec::Codec;
use super::failure::{has_word, received};
use super::joining::{Client, ask, failed, may_pass};
use super::node::UnitsExec;
use super::scheduler::{LONGEST, session};
use super::service::{EXECUTORS, LEFT, REPEATED, RUNNING};
use super::{Ended, Job, Joining, Watch};
use crate::error::{Context, Error, Kind, Result};
use crate::stop::Stop;

/// How often to ask how a job is, at first and after a while.
const SOON: Duration = Duration::from_millis(50);
const LATER: Duration = Duration::from_millis(100);

/// How often to ask a scheduler that does not answer.
const AGAIN: Duration = Duration::from_secs(1);

/// How long to ask for the end of a job.
pub(super) const CANCEL: Duration = Duration::from_secs(5);

/// The most units of a job: its plan takes some hundred bytes of each, in the driver, in one
/// message and in the scheduler.
const MOST: usize = 10_000;

const CANNOT_WRITE: &str = "cannot write a plan";

/// The setting of Ballista that says how many units an executor's slot takes at a time.
const UNITS_OF_A_TASK: &str = "ballista.scheduler.max_partitions_per_task";

/// Who asks a scheduler for work.
pub struct Driver {
    pub(super) client: Client,
    pub(super) joining: Joining,
    /// The most units of a job.
    pub(super) most: usize,
}

/// How a job ended that did not fail.
pub(super) enum Finished {
    /// It is done, and its rows are there.
    Done(Vec<PartitionLocation>),
    /// The scheduler knows nothing of it.
    Forgotten,
    /// It is a statement of which a piece was handed out again.
    Again,
}

impl Driver {
    /// Connects to a scheduler that admits us.
    ///
    /// # Errors
    /// Returns [`Kind::Usage`] if the token or a certificate cannot be used or it does not admit
    /// us, [`Kind::Network`] if it is not reached and never was.
    pub async fn connect(joining: &Joining, note: impl Fn(&str)) -> Result<Driver> {
        let client = joining.client(note)?.max_decoding_message_size(LONGEST).max_encoding_message_size(LONGEST);
        let mut driver = Driver { client, joining: joining.clone(), most: MOST };
        match ask(&mut driver.client, joining).await {
            Ok(()) => joining.was_met.store(true, Ordering::Relaxed),
            // It has gone in between, and is waited for once there is something to ask it for.
            Err(error) if error.kind() == Kind::Network && joining.was_met.load(Ordering::Relaxed) => {}
            Err(error) => return Err(error),
        }
        Ok(driver)
    }

    /// Has a job done, and waits for it; where the scheduler does not answer or no executor is
    /// there, for as long as it takes.
    ///
    /// # Errors
    /// Returns the error of a unit that ended the job, or [`Kind::Interrupted`] if a stop was
    /// requested: then no unit is begun any more.
    pub async fn run(&mut self, job: Job<'_>, stop: &Stop, watch: &dyn Watch) -> Result<Ended> {
        let mut units = job.units;
        while !units.is_empty() {
            let (now, later) = units.split_at(units.len().min(self.most));
            let watch = After { watch, now: now.len(), later: later.len() };
            if self.run_some(Job { units: now, ..job }, stop, &watch).await? == Ended::Forgotten {
                return Ok(Ended::Forgotten);
            }
            units = later;
        }
        Ok(Ended::Done)
    }

    async fn run_some(&mut self, job: Job<'_>, stop: &Stop, watch: &After<'_>) -> Result<Ended> {
        let plan = UnitsExec::of(job.order, job.units).context(Kind::Internal, || CANNOT_WRITE.to_owned())?;
        self.run_plan(job.name, plan, stop, watch).await
    }

    /// Has the partitions of a plan done.
    pub(super) async fn run_plan(
        &mut self,
        name: &str,
        plan: Arc<dyn ExecutionPlan>,
        stop: &Stop,
        watch: &dyn Watch,
    ) -> Result<Ended> {
        let plan = encoded(plan).context(Kind::Internal, || CANNOT_WRITE.to_owned())?;
        let settings = session().set_str(UNITS_OF_A_TASK, "1");
        let id = self.submit(self.asked(name, plan, &settings), stop, watch).await?;
        let ended = self.finished(&id, stop, watch, received).await.map(|finished| match finished {
            Finished::Done(_) => Ended::Done,
            Finished::Forgotten | Finished::Again => Ended::Forgotten,
        });
        if ended.as_ref().is_err_and(|error| error.kind() == Kind::Interrupted) {
            let cancelled = self.client.cancel_job(CancelJobParams { job_id: id });
            // If it is not heard, the scheduler cancels the job when it has missed us for a while.
            let _ = tokio::time::timeout(CANCEL, cancelled).await;
        }
        ended
    }

    /// Returns the question to compute a plan, as the job of that name.
    pub(super) fn asked(&self, name: &str, plan: Vec<u8>, settings: &SessionConfig) -> ExecuteQueryParams {
        // Settings of a job take the place of an executor's own.
        let has_tls = self.joining.scheduler.has_tls();
        let settings = settings.clone().set_str(BALLISTA_JOB_NAME, name).with_ballista_use_tls(has_tls);
        ExecuteQueryParams {
            query: Some(Query::PhysicalPlan(plan)),
            settings: settings.to_key_value_pairs(),
            session_id: name.to_owned(),
            operation_id: name.to_owned(),
        }
    }

    /// Submits a job, and returns its id.
    pub(super) async fn submit(&mut self, asked: ExecuteQueryParams, stop: &Stop, watch: &dyn Watch) -> Result<String> {
        let mut silent = false;
        let answer = loop {
            let mut request = Request::new(asked.clone());
            insert_version_header(request.metadata_mut());
            // Asked again, it takes the place of the job that it may have become.
            match self.client.execute_query(request).await {
                Ok(answer) => break answer,
                Err(status) if may_pass(&status) => self.wait(&mut silent, stop, watch).await?,
                Err(status) => return Err(failed(&self.joining, status)),
            }
        };
        match answer.into_inner().result {
            Some(Answer::Success(success)) => Ok(success.job_id),
            refused => {
                Err(Error::new(Kind::Internal, format!("the scheduler does not understand a plan: {refused:?}")))
            }
        }
    }

    /// Waits a moment for a scheduler that does not answer, and says so once.
    async fn wait(&self, is_said: &mut bool, stop: &Stop, watch: &dyn Watch) -> Result<()> {
        if !std::mem::replace(is_said, true) {
            let place = &self.joining.scheduler;
            watch.say(&format!("the scheduler {place} does not answer: waiting for it, or another one there"));
        }
        stop.pause(AGAIN).await
    }

    /// Waits for the end of a job; `failure` makes an error of what the scheduler says of one.
    pub(super) async fn finished(
        &mut self,
        id: &str,
        stop: &Stop,
        watch: &dyn Watch,
        failure: fn(&str) -> Error,
    ) -> Result<Finished> {
        let (began, mut silent, mut alone) = (Instant::now(), false, false);
        loop {
            stop.check()?;
            let answer = match self.client.get_job_status(GetJobStatusParams { job_id: id.to_owned() }).await {
                Ok(answer) => answer,
                Err(status) if may_pass(&status) => {
                    self.wait(&mut silent, stop, watch).await?;
                    continue;
                }
                Err(status) => return Err(failed(&self.joining, status)),
            };
            silent = false;
            let about = About::of(&answer);
            if about.again {
                return Ok(Finished::Again);
            }
            match answer.into_inner().status.and_then(|status| status.status) {
                None => return Ok(Finished::Forgotten),
                Some(State::Successful(job)) => return Ok(Finished::Done(job.partition_location)),
                Some(State::Failed(failed)) => {
                    return Err(match has_word(&failed.error) {
                        true => received(&failed.error),
                        false => failure(&failed.error),
                    });
                }
                Some(State::Queued(_) | State::Running(_)) => {}
            }
            if let Some(left) = about.left {
                watch.units(left, about.running.unwrap_or(0));
            }
            let is_alone = about.executors == Some(0);
            if is_alone && !alone {
                watch.say("no executor is there: `microclip-pipe cluster executor` starts one; waiting for it");
            }
            alone = is_alone;
            stop.pause(if began.elapsed() < AGAIN { SOON } else { LATER }).await?;
        }
    }
}

/// Writes a plan down.
pub(super) fn encoded(plan: Arc<dyn ExecutionPlan>) -> datafusion::error::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    PhysicalPlanNode::try_from_physical_plan(plan, &Codec::default())?.try_encode(&mut bytes)?;
    Ok(bytes)
}

/// What the answer about a job says in headers.
struct About {
    left: Option<usize>,
    running: Option<usize>,
    executors: Option<usize>,
    again: bool,
}

impl About {
    fn of(answer: &Response<GetJobStatusResult>) -> About {
        let number = |name: &str| answer.metadata().get(name)?.to_str().ok()?.parse().ok();
        About {
            left: number(LEFT),
            running: number(RUNNING),
            executors: number(EXECUTORS),
            again: number(REPEATED).is_some(),
        }
    }
}

/// A watch of a job that others of the same work come after.
struct After<'a> {
    watch: &'a dyn Watch,
    now: usize,
    later: usize,
}

impl Watch for After<'_> {
    fn units(&self, left: usize, running: usize) {
        self.watch.units(left.min(self.now) + self.later, running);
    }

    fn say(&self, text: &str) {
        self.watch.say(text);
    }
}
