//! The rows of a statement on their way to a client: no more are made than it takes, and making
//! them ends when it goes.
//!
//! Rows are made by one task, on threads that may be busy for long. Another watches it, and ends it
//! when the statement's time is up: that of a client that takes no rows runs, too.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use arrow_flight::FlightData;
use arrow_flight::encode::FlightDataEncoderBuilder;
use arrow_flight::error::FlightError;
use datafusion::common::DataFusionError;
use futures::{Stream, StreamExt};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::task::JoinSet;
use tokio::time::{Duration, Instant, sleep_until, timeout_at};
use tonic::{Code, Status};

use super::connections::{Busy, Guest};
use super::metrics::{Ended, Metrics, Outcome};
use super::refusal::Refusal;
use super::statements::{Planned, too_long};
use crate::error::{Error, Kind};
use crate::table::format::{schema_without_views, without_views};
use crate::table::query::explain;

/// How many messages wait for the client.
const AHEAD: usize = 2;

/// Bytes of a message: what waits for clients takes memory.
const MESSAGE: usize = 1 << 20;

/// How long a client has, once the time of a statement is up, to take what waits for it. Then its
/// connection ends.
const LAST_WORD: Duration = Duration::from_secs(30);

/// What comes to the client next.
enum Next {
    Data(FlightData),
    Failed(Box<Status>),
    /// There are no more rows. A channel that closes without this had its sender fail.
    End,
}

/// The messages with a statement's rows.
pub(super) struct Answer {
    coming: mpsc::Receiver<Next>,
    ended: bool,
    /// The connection is in use as long as this is.
    _busy: Busy,
}

impl Answer {
    /// Starts to make the rows of a statement, whose turn it is. Must be called within a runtime
    /// that is never busy for long.
    pub(super) fn start(
        statement: Arc<Planned>,
        turn: OwnedSemaphorePermit,
        making: &Handle,
        time: Duration,
        metrics: Arc<Metrics>,
        guest: Arc<Guest>,
    ) -> Answer {
        let (send, coming) = mpsc::channel(AHEAD);
        let answer = Answer { coming, ended: false, _busy: guest.busy() };
        let maker = Maker { statement, send, time, metrics: metrics.clone(), is_complete: Arc::default() };
        let mut tasks = JoinSet::new();
        let work = maker.clone();
        tasks.spawn_on(
            async move {
                // Its turn is over when the work is, later than the statement if that is busy.
                let _turn = turn;
                work.make().await
            },
            making,
        );
        tokio::spawn(async move {
            metrics.running.inc();
            let began = Instant::now();
            let watched = maker.watch(tasks, began).await;
            metrics.running.dec();
            metrics.ran(began.elapsed());
            let last = match watched {
                Ok(outcome) => {
                    metrics.statement(outcome);
                    None
                }
                Err((outcome, status)) => {
                    metrics.statement(outcome);
                    Some(Next::Failed(status))
                }
            };
            let taken = async {
                if let Some(last) = last {
                    let _ = maker.send.send(last).await;
                }
                maker.send.closed().await;
            };
            if timeout_at(began + time + LAST_WORD, taken).await.is_err() {
                guest.end(Ended::Stuck);
            }
        });
        answer
    }
}

impl Stream for Answer {
    type Item = Result<FlightData, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let next = ready!(self.coming.poll_recv(context));
        self.ended = !matches!(next, Some(Next::Data(_)));
        Poll::Ready(match next {
            Some(Next::Data(data)) => Some(Ok(data)),
            Some(Next::Failed(status)) => Some(Err(*status)),
            Some(Next::End) => None,
            None => Some(Err(cut_short())),
        })
    }
}

/// Makes the rows of a statement.
#[derive(Clone)]
struct Maker {
    statement: Arc<Planned>,
    send: mpsc::Sender<Next>,
    /// The time that the statement may take.
    time: Duration,
    metrics: Arc<Metrics>,
    /// Whether all rows were made.
    is_complete: Arc<AtomicBool>,
}

impl Maker {
    /// Waits for the end of the statement, which others may bring about, too.
    async fn watch(
        &self,
        mut tasks: JoinSet<Result<(), Box<Status>>>,
        began: Instant,
    ) -> Result<Outcome, (Outcome, Box<Status>)> {
        let mut cancelled = self.statement.cancelled.subscribe();
        let or_done = |outcome| if self.is_complete.load(Ordering::SeqCst) { Outcome::Done } else { outcome };
        // Dropping the tasks ends them when they next yield.
        tokio::select! {
            () = self.send.closed() => Ok(or_done(Outcome::Cancelled)),
            made = tasks.join_next() => match made {
                Some(Ok(Ok(()))) => Ok(or_done(Outcome::Cancelled)),
                Some(Ok(Err(status))) => Err((Outcome::Failed, status)),
                // It panicked, which the panic hook has reported, or the server ends.
                Some(Err(_)) | None => Err((Outcome::Failed, Box::new(cut_short()))),
            },
            _ = cancelled.wait_for(|cancelled| *cancelled) => {
                let refusal = Refusal::from(Error::new(Kind::Interrupted, "the statement was cancelled"));
                Err((Outcome::Cancelled, Box::new(refusal.into())))
            }
            () = sleep_until(began + self.time) => Err((Outcome::TimedOut, Box::new(too_long(self.time).into()))),
        }
    }

    /// Makes rows, and sends them as the client takes them.
    async fn make(&self) -> Result<(), Box<Status>> {
        let schema = schema_without_views(self.statement.frame.schema().as_arrow());
        let schema = schema.as_ref().clone().with_metadata(self.statement.schema.metadata().clone());
        let (schema, sent) = (Arc::new(schema.clone()), Arc::new(schema));
        let rows = self.statement.frame.clone().execute_stream().await.map_err(|e| Box::new(failed(e)))?;
        let counted = self.metrics.rows.clone();
        let rows = rows.map(move |batch| {
            let batch = batch.map_err(|e| FlightError::Tonic(Box::new(failed(e))))?;
            let batch = without_views(&batch, &sent).map_err(|e| Status::from(Refusal::from(e)))?;
            counted.inc_by(batch.num_rows() as u64);
            Ok(batch)
        });
        let encoder = FlightDataEncoderBuilder::new().with_schema(schema).with_max_flight_data_size(MESSAGE);
        let mut messages = encoder.build(rows);
        while let Some(message) = messages.next().await {
            let message = message.map_err(|e| Box::new(Status::from(e)))?;
            self.metrics.bytes.inc_by((message.data_header.len() + message.data_body.len()) as u64);
            if self.send.send(Next::Data(message)).await.is_err() {
                return Ok(());
            }
        }
        self.is_complete.store(true, Ordering::SeqCst);
        // A client that has gone needs no end.
        let _ = self.send.send(Next::End).await;
        Ok(())
    }
}

fn cut_short() -> Status {
    Refusal::new(Code::Unavailable, Error::new(Kind::Interrupted, "the statement was cut short: rows are missing"))
        .into()
}

/// Says why rows cannot be made.
fn failed(error: DataFusionError) -> Status {
    let (exhausted, unread) = match error.find_root() {
        DataFusionError::ResourcesExhausted(_) => (true, false),
        DataFusionError::ParquetError(_) | DataFusionError::ObjectStore(_) | DataFusionError::IoError(_) => {
            (false, true)
        }
        _ => (false, false),
    };
    let error = explain(error, None);
    if unread {
        let error = error.hint(
            "a run may have removed rows after the statement was planned: ask again; if it fails again, \
             `microclip-pipe cache verify PIPELINE` names what is damaged",
        );
        return Refusal::new(Code::Aborted, error).into();
    }
    if exhausted { Refusal::new(Code::ResourceExhausted, error).into() } else { Refusal::from(error).into() }
}
