//! Statements: their plans are submitted as they were made, and their rows fetched from the
//! executors that have them.
//!
//! Where an executor is lost, Ballista hands out again what it had, and then counts rows of other
//! executors twice (seen with 55.0.0: sums of some groups doubled). The scheduler says if a piece
//! was handed out again, and the statement begins anew.
//!
//! Rows are given in the order of the plan's partitions, which is that of `ORDER BY`. What has been
//! given cannot be taken back, so that is so only as long as nothing was.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arrow::array::RecordBatch;
use ballista_core::client::BallistaClient;
use ballista_core::extension::{BallistaConfigGrpcEndpoint, SessionConfigExt};
use ballista_core::serde::protobuf::{CancelJobParams, CleanJobDataParams, PartitionLocation, RemoveSessionParams};
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::prelude::SessionConfig;
use futures::TryStreamExt;

use super::driver::{CANCEL, Driver, Finished, encoded};
use super::scheduler::{LONGEST, session};
use super::travelling::{self, STORE};
use super::{Give, Statement, Watch, flight};
use crate::error::{Context, Error, Kind, Result};
use crate::net::random;
use crate::stop::Stop;
use crate::table::query::short_of;

/// Into how many partitions a statement's rows are divided: a few for each core of a small cluster,
/// and few enough that the files between two steps, one for each pair of partitions, stay few.
const PARTITIONS: usize = 16;

/// The most rows, and their bytes by the planner's estimate, of the smaller side of a join that is
/// sent to all executors as a whole: the ids of a million pictures. Beyond that both sides are sent
/// by their keys, and sorted.
const WHOLE_ROWS: usize = 1_000_000;
const WHOLE_BYTES: usize = 128 << 20;

/// How often a statement is begun.
const TIMES: usize = 4;

/// The most bytes of a statement's plan; it is a message of its own, as a whole.
const LONGEST_PLAN: usize = LONGEST / 2;

/// Why a statement begins again.
const LOST: &str = "an executor was lost";

/// How an attempt ended.
enum Attempt {
    Done,
    /// Executors that had rows are gone.
    Lost(String),
}

impl Driver {
    /// Returns the settings of sessions that plan statements for a cluster.
    pub fn planning(&self) -> SessionConfig {
        session()
            .with_target_partitions(PARTITIONS)
            .set_usize("datafusion.optimizer.hash_join_single_partition_threshold_rows", WHOLE_ROWS)
            .set_usize("datafusion.optimizer.hash_join_single_partition_threshold", WHOLE_BYTES)
            .with_ballista_broadcast_join_threshold_rows(WHOLE_ROWS)
            .with_ballista_broadcast_join_threshold_bytes(WHOLE_BYTES)
    }

    /// Returns a plan that a cluster computes right.
    ///
    /// # Errors
    /// Returns [`Kind::Query`], and why, if there is none.
    pub fn travelling(&self, plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
        let plan = travelling::prepared(plan).map_err(|why| Error::new(Kind::Query, why))?;
        written(plan.clone())?;
        Ok(plan)
    }

    /// Has a statement computed, and gives its rows.
    ///
    /// # Errors
    /// Returns [`Kind::Query`] if the statement fails, [`Kind::Network`] if too many executors were
    /// lost, [`Kind::Interrupted`] if a stop was requested, and the error of `give`.
    pub async fn answer(
        &mut self,
        statement: Statement<'_>,
        stop: &Stop,
        watch: &dyn Watch,
        give: Give<'_>,
    ) -> Result<()> {
        let bytes = written(statement.plan.clone())?;
        let given = AtomicBool::new(false);
        let mut note = |batch: &RecordBatch| {
            given.fetch_or(batch.num_rows() > 0, Ordering::Relaxed);
            give(batch)
        };
        let mut why = String::new();
        for time in 1..=TIMES {
            if time > 1 {
                watch.say(&format!("{why}: the statement begins again"));
            }
            match self.attempt(&bytes, &statement, stop, watch, &mut note).await? {
                Attempt::Done => return Ok(()),
                Attempt::Lost(what) => why = what,
            }
            if given.load(Ordering::Relaxed) {
                let what = format!("{why}, and some rows had been given");
                return Err(Error::new(Kind::Network, what).hint("run the statement again"));
            }
        }
        Err(Error::new(Kind::Network, format!("{why}, {TIMES} times")).hint("the executors' own messages say more"))
    }

    async fn attempt(
        &mut self,
        bytes: &[u8],
        statement: &Statement<'_>,
        stop: &Stop,
        watch: &dyn Watch,
        give: Give<'_>,
    ) -> Result<Attempt> {
        let name = format!("sql-{}", random(8)?);
        let settings = statement.settings.clone().set_str(STORE, statement.store);
        let job = self.submit(self.asked(&name, bytes.to_vec(), &settings), stop, watch).await?;
        let ended = self.rows_of(&job, stop, watch, give).await;
        // If the scheduler does not hear of it, it does the same when it has missed us for a while.
        let client = &mut self.client;
        let data = CleanJobDataParams { job_id: job.clone(), ..CleanJobDataParams::default() };
        let forgotten = async {
            if !matches!(ended, Ok(Attempt::Done)) {
                let _ = client.cancel_job(CancelJobParams { job_id: job.clone() }).await;
            }
            let _ = client.clean_job_data(data).await;
            let _ = client.remove_session(RemoveSessionParams { session_id: name }).await;
        };
        let _ = tokio::time::timeout(CANCEL, forgotten).await;
        ended
    }

    async fn rows_of(&mut self, job: &str, stop: &Stop, watch: &dyn Watch, give: Give<'_>) -> Result<Attempt> {
        let locations = match self.finished(job, stop, watch, of_statement).await? {
            Finished::Forgotten => return Ok(Attempt::Lost("the scheduler was started anew".to_owned())),
            Finished::Again => return Ok(Attempt::Lost(LOST.to_owned())),
            Finished::Done(locations) => locations,
        };
        let Some(locations) = one_each(locations) else { return Ok(Attempt::Lost(LOST.to_owned())) };
        let endpoint = Arc::new(BallistaConfigGrpcEndpoint::new(flight::endpoint(&self.joining)?));
        for location in locations {
            let mut rows = match stop.or(fetch(&location, &endpoint, self.joining.scheduler.has_tls())).await {
                Err(error) if error.kind() == Kind::Network => return Ok(Attempt::Lost(error.to_string())),
                rows => rows?,
            };
            loop {
                let next = async { Ok(rows.try_next().await) };
                match stop.or(next).await? {
                    Ok(Some(batch)) if give(&batch)? => {}
                    Ok(Some(_)) => return Ok(Attempt::Done),
                    Ok(None) => break,
                    Err(error) => return Ok(Attempt::Lost(format!("rows could not be fetched: {error}"))),
                }
            }
        }
        Ok(Attempt::Done)
    }
}

/// Writes down the plan of a statement, which is not longer than a message.
fn written(plan: Arc<dyn ExecutionPlan>) -> Result<Vec<u8>> {
    let bytes = encoded(plan).context(Kind::Query, || "its plan cannot be sent".to_owned())?;
    if bytes.len() > LONGEST_PLAN {
        return Err(Error::new(Kind::Query, format!("its plan takes {} MB", bytes.len() / 1_000_000)));
    }
    Ok(bytes)
}

/// What stands in an error of DataFusion's, as programmers write it down, where memory was missing.
const EXHAUSTED: &str = "ResourcesExhausted(\"";

/// Returns the error of a statement that failed.
fn of_statement(text: &str) -> Error {
    if let Some((_, why)) = text.split_once(EXHAUSTED) {
        let why = short_of(why.split(['"', '\\']).next().unwrap_or_default());
        let what = format!("the statement needs more memory than an executor has for statements: {why}");
        return Error::new(Kind::Query, what).hint(
            "ask for fewer rows or columns at once, or allow executors more with `cluster executor --memory-limit`",
        );
    }
    let text = text.lines().next().unwrap_or_default();
    let text = text.rsplit_once("runtime execution error: ").map_or(text, |(_, said)| said).trim();
    Error::new(Kind::Query, format!("the statement failed on the cluster: {text}"))
}

/// Returns where each partition is, in their order; `None` if one is in two places: the first of
/// them is of an executor that was lost, or was thought to be.
fn one_each(locations: Vec<PartitionLocation>) -> Option<Vec<PartitionLocation>> {
    let count = locations.len();
    let number = |location: &PartitionLocation| Some(location.partition_id.as_ref()?.partition_id);
    let by_number: Option<BTreeMap<u32, PartitionLocation>> =
        locations.into_iter().map(|location| Some((number(&location)?, location))).collect();
    by_number.filter(|all| all.len() == count).map(|all| all.into_values().collect())
}

/// How long to try to reach an executor.
const REACH: Duration = Duration::from_secs(10);

/// Begins to fetch a partition.
async fn fetch(
    location: &PartitionLocation,
    endpoint: &Arc<BallistaConfigGrpcEndpoint>,
    has_tls: bool,
) -> Result<SendableRecordBatchStream> {
    let (Some(executor), Some(partition)) = (location.executor_meta.clone(), location.partition_id.clone()) else {
        return Err(Error::new(Kind::Internal, "the scheduler does not say where rows are"));
    };
    let port = u16::try_from(executor.port).unwrap_or(0);
    let fetching = async {
        let mut client =
            BallistaClient::try_new(&executor.host, port, LONGEST, has_tls, Some(endpoint.clone()), 3, 500, 0, 0)
                .await?;
        client.fetch_partition(&executor.id, &partition.into(), location.file_id, location.layout(), true).await
    };
    let gone = || Error::new(Kind::Network, format!("executor {} does not give its rows", executor.id));
    match tokio::time::timeout(REACH, fetching).await {
        Ok(Ok(rows)) => Ok(rows),
        Ok(Err(error)) => Err(gone().cause(error)),
        Err(_) => Err(gone()),
    }
}

#[cfg(test)]
mod tests {
    use ballista_core::serde::protobuf::PartitionId;

    use super::*;

    #[test]
    fn a_lack_of_memory_says_what_to_do() {
        let text = "Job failed due to stage 2 failed: Task failed due to runtime execution error: \
                    DataFusionError(Shared(Context(\"Not enough memory\", ResourcesExhausted(\"1.0 MB are not there\\nfor it\"))))";
        let error = of_statement(text);
        assert!(error.to_string().ends_with("for statements: 1.0 MB are not there"), "{error}");
        assert!(error.hint_text().unwrap().contains("--memory-limit"));
    }

    #[test]
    fn a_partition_in_two_places_is_not_read_twice() {
        let at = |number: u32| PartitionLocation {
            partition_id: Some(PartitionId { job_id: "job".to_owned(), stage_id: 1, partition_id: number }),
            ..PartitionLocation::default()
        };
        let found = one_each(vec![at(2), at(0), at(1)]).unwrap();
        assert_eq!(found, [at(0), at(1), at(2)]);
        assert_eq!(one_each(vec![at(0), at(1), at(0)]), None);
        assert_eq!(one_each(vec![PartitionLocation::default()]), None);
        assert_eq!(one_each(Vec::new()), Some(Vec::new()));
    }
}
