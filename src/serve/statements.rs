//! Statements: planning them, with bounds, and holding them until their rows are fetched.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use arrow_flight::encode::FlightDataEncoderBuilder;
use datafusion::dataframe::DataFrame;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tonic::Code;
use tracing::Instrument;

use super::catalogue::{Catalogue, Session};
use super::held::{Held, Room};
use super::metrics::Metrics;
use super::refusal::{Answered, Refusal};
use crate::error::{Context, Error, Kind, Result};
use crate::table::format::schema_without_views;
use crate::table::kept_logits::removed_logits;
use crate::table::parameters::{numbered, parameters, with_values};
use crate::table::query;
use crate::text::numbers::counted;

/// How long a statement waits for others to end.
const WAIT: Duration = Duration::from_secs(30);

/// What is kept of statements whose rows are to be fetched. A plan takes up to some tens of times
/// the bytes of its text.
const PLANS: Room = Room { things: 1_000, bytes: 4 << 20, unused: Duration::from_secs(600) };

/// What is kept of prepared statements: their texts, and what is bound to their parameters.
const PREPARED: Room = Room { things: 1_000, bytes: 16 << 20, unused: Duration::from_secs(3_600) };

/// The key of the notes in the metadata of a result's schema.
const NOTES: &str = "microclip.notes";

/// What a client asks.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    pub(super) sql: String,
    /// The pipeline whose tables the statement names without their catalog.
    pub(super) pipeline: Option<String>,
    /// The row that is bound to the parameters.
    pub(super) values: Option<RecordBatch>,
}

impl Asked {
    /// Returns the bytes that it takes to keep it.
    fn bytes(&self) -> usize {
        self.sql.len() + self.values.as_ref().map_or(0, RecordBatch::get_array_memory_size)
    }
}

/// A statement whose rows can be fetched.
pub(super) struct Planned {
    pub(super) frame: DataFrame,
    /// The columns as they are sent: both answers about a statement promise the same ones.
    pub(super) schema: SchemaRef,
    /// Becomes true if a client asks for its end.
    pub(super) cancelled: watch::Sender<bool>,
}

/// What statements share.
pub(super) struct Statements {
    pub(super) catalogue: Arc<Catalogue>,
    pub(super) metrics: Arc<Metrics>,
    /// Where plans are made and rows computed: threads that may be busy for long.
    pub(super) runtime: Handle,
    /// The time that a statement may take.
    pub(super) time: Duration,
    planning: Arc<Semaphore>,
    running: Arc<Semaphore>,
    most: usize,
    plans: Held<Arc<Planned>>,
    prepared: Held<Asked>,
}

impl Statements {
    pub(super) fn new(
        catalogue: Arc<Catalogue>,
        metrics: Arc<Metrics>,
        runtime: Handle,
        most: usize,
        time: Duration,
    ) -> Self {
        let turns = || Arc::new(Semaphore::new(most));
        let (plans, prepared) = (Held::new(PLANS), Held::new(PREPARED));
        Statements { catalogue, metrics, runtime, time, planning: turns(), running: turns(), most, plans, prepared }
    }

    /// Plans a statement, and holds it under a handle.
    pub(super) async fn ask(&self, asked: Asked) -> Answered<(Vec<u8>, Arc<Planned>)> {
        let bytes = asked.bytes();
        let planned = Arc::new(self.planned(asked).await?);
        Ok((self.plans.keep(planned.clone(), bytes)?, planned))
    }

    /// Returns the statement that is held under a handle.
    pub(super) fn held(&self, handle: &[u8]) -> Answered<Arc<Planned>> {
        self.plans.get(handle).ok_or_else(|| {
            let error = Error::new(Kind::Query, "the ticket is of no statement that is held")
                .hint("a ticket is good for 10 minutes after it was last used: ask for the statement again");
            Refusal::new(Code::NotFound, error)
        })
    }

    /// Plans a statement without its values, and keeps it under a handle. Returns that, the columns
    /// of its rows and its parameters.
    pub(super) async fn prepare(&self, asked: Asked) -> Answered<(Vec<u8>, SchemaRef, Schema)> {
        let planned = self.planned(asked.clone()).await?;
        let parameters = parameters(&planned.frame)?;
        let bytes = asked.bytes();
        let handle = self.prepared.keep_if_it_fits(asked, bytes)?.ok_or_else(too_many)?;
        Ok((handle, planned.schema, parameters))
    }

    /// Binds a row to the parameters of a prepared statement.
    pub(super) fn bind(&self, handle: &[u8], row: RecordBatch) -> Answered<()> {
        let asked = Asked { values: Some(row), ..self.prepared(handle)? };
        let bytes = asked.bytes();
        match self.prepared.replace_if_it_fits(handle, asked, bytes).ok_or_else(unprepared)? {
            true => Ok(()),
            false => Err(too_many()),
        }
    }

    /// Returns a prepared statement with what is bound to it.
    pub(super) fn prepared(&self, handle: &[u8]) -> Answered<Asked> {
        self.prepared.get(handle).ok_or_else(unprepared)
    }

    /// Forgets a prepared statement.
    pub(super) fn close(&self, handle: &[u8]) {
        self.prepared.forget(handle);
    }

    /// Returns how many prepared statements are kept.
    pub(super) fn kept(&self) -> usize {
        self.prepared.len()
    }

    /// Waits for the turn of a statement that is to run.
    pub(super) async fn turn(&self) -> Answered<OwnedSemaphorePermit> {
        self.turn_of(&self.running).await.inspect_err(|refusal| self.metrics.statement(refusal.outcome()))
    }

    async fn turn_of(&self, turns: &Arc<Semaphore>) -> Answered<OwnedSemaphorePermit> {
        if let Ok(Ok(turn)) = timeout(WAIT, turns.clone().acquire_owned()).await {
            return Ok(turn);
        }
        let running = counted(self.most as u64, "statement");
        let error =
            Error::new(Kind::Query, format!("{running} are running, and none ended within {} s", WAIT.as_secs()))
                .hint("ask again later; serve's --statements lets more run at a time");
        Err(Refusal::new(Code::ResourceExhausted, error))
    }

    async fn planned(&self, asked: Asked) -> Answered<Planned> {
        self.try_plan(asked).await.inspect_err(|refusal| self.metrics.statement(refusal.outcome()))
    }

    async fn try_plan(&self, asked: Asked) -> Answered<Planned> {
        let opened = self.catalogue.current().await?;
        let session = opened.session(asked.pipeline.as_deref())?.clone();
        let turn = self.turn_of(&self.planning).await?;
        let span = tracing::info_span!("statement", sql = asked.sql.trim());
        // Its turn ends with the plan, not with the client's patience.
        let work = async move {
            let planned = plan(session, asked).await;
            drop(turn);
            planned
        };
        self.in_time(work.instrument(span)).await
    }

    /// Does some work of a statement on the threads for that, and drops it when its time is up or
    /// this is dropped.
    async fn in_time<T: Send + 'static>(&self, work: impl Future<Output = Result<T>> + Send + 'static) -> Answered<T> {
        let mut tasks = JoinSet::new();
        tasks.spawn_on(work, &self.runtime);
        match timeout(self.time, tasks.join_next()).await {
            Ok(Some(done)) => {
                let done = done.context(Kind::Internal, || "the statement was cut short".to_owned())?;
                Ok(done?)
            }
            Ok(None) => Err(Error::new(Kind::Internal, "the statement was cut short").into()),
            Err(_) => Err(too_long(self.time)),
        }
    }
}

/// Returns the refusal of a statement whose time is up.
pub(super) fn too_long(limit: Duration) -> Refusal {
    let error = Error::new(Kind::Query, format!("the statement took longer than {} s", limit.as_secs()))
        .hint("ask for less, and fetch rows as they come; serve's --time-limit allows more");
    Refusal::new(Code::DeadlineExceeded, error)
}

fn too_many() -> Refusal {
    let error = Error::new(Kind::Query, "too many prepared statements are kept, with what is bound to them")
        .hint("close some; those that are not used for an hour go by themselves");
    Refusal::new(Code::ResourceExhausted, error)
}

fn unprepared() -> Refusal {
    let error = Error::new(Kind::Query, "the handle is of no prepared statement that is kept")
        .hint("one that is not used for an hour is forgotten: prepare it again");
    Refusal::new(Code::NotFound, error)
}

async fn plan(session: Session, asked: Asked) -> Result<Planned> {
    let Session { context, mut notes, .. } = session;
    let mut frame = query(&context, &numbered(&asked.sql)).await?;
    if let Some(values) = &asked.values {
        frame = with_values(frame, values)?;
    }
    notes.extend(removed_logits(&context, &frame).await?);
    let mut schema = schema_without_views(frame.schema().as_arrow());
    if !notes.is_empty() {
        let mut metadata = schema.metadata().clone();
        metadata.insert(NOTES.to_owned(), notes.join("\n"));
        schema = Arc::new(schema.as_ref().clone().with_metadata(metadata));
    }
    // The encoder sends dictionaries as what they are of, and says so in the schema.
    let encoder = FlightDataEncoderBuilder::new().with_schema(schema.clone()).build(futures::stream::empty());
    let schema = encoder.known_schema().unwrap_or(schema);
    Ok(Planned { frame, schema, cancelled: watch::Sender::new(false) })
}
