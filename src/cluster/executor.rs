//! The process that does units, as many at a time as it has slots.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use ballista_core::BALLISTA_PROTOCOL_VERSION;
use ballista_core::extension::SessionConfigExt;
use ballista_core::registry::BallistaFunctionRegistry;
use ballista_core::serde::protobuf::{ExecutorRegistration, ExecutorStoppedParams};
use ballista_core::serde::scheduler::{ExecutorOperatingSystemSpecification, ExecutorSpecification};
use ballista_core::serde::{BallistaCodec, BallistaLogicalExtensionCodec};
use ballista_executor::execution_loop::poll_loop;
use ballista_executor::executor::Executor;
use ballista_executor::health::ExecutorHealth;
use ballista_executor::metrics::LoggingMetricsCollector;
use datafusion::error::DataFusionError;
use datafusion::prelude::SessionConfig;
use datafusion_proto::protobuf::{LogicalPlanNode, PhysicalPlanNode};
use futures::FutureExt;

use super::codec::Codec;
use super::engine::Guarded;
use super::flight::{self, Port};
use super::joining::{Client, ask};
use super::node::Hands;
use super::scheduler::{LONGEST, knowing, session};
use super::travelling::store_of;
use super::watched::text;
use super::{Count, Executing, Worker};
use crate::error::{Error, Kind, Result};
use crate::net::server::{Monitors, Watched, runtime};
use crate::net::{Told, machine, random};
use crate::stop::{OFTEN, Stop};
use crate::store::Store;
use crate::store::replica::Replica;
use crate::table::Bounds;

/// How often a scheduler is looked for that does not answer.
const LOOK: Duration = Duration::from_secs(1);

/// How long a part in hand may take to be finished once a stop was requested.
const ENDING: Duration = Duration::from_secs(60);

/// How long to try to say goodbye.
const GOODBYE: Duration = Duration::from_secs(5);

/// Does units, until a stop is requested. What a unit has committed by then is kept, and the rest
/// of it is given to others at once.
///
/// # Errors
/// Returns [`Kind::Usage`] if the scheduler does not admit us, [`Kind::System`] if a unit has not
/// got on for too long, and [`Kind::Interrupted`] once it is stopped.
pub fn execute(settings: &Executing, worker: Arc<dyn Worker>, stop: &Stop, told: impl Told) -> Result<()> {
    let told: Arc<dyn Told> = Arc::new(told);
    // Polling is what tells the scheduler that this process lives, whatever units do.
    let network = runtime("network", 2, 4 << 20)?;
    let ended = network.block_on(executing(settings, worker, stop, told));
    network.shutdown_background();
    ended
}

async fn executing(settings: &Executing, worker: Arc<dyn Worker>, stop: &Stop, told: Arc<dyn Told>) -> Result<()> {
    let mut client = settings.joining.client(|text| told.note(text))?.max_decoding_message_size(LONGEST);
    let monitors = Monitors::at(settings.metrics).await?;
    let id = name()?;
    let hands = Hands::new(worker.clone(), id.clone(), told.clone());
    let health = Arc::new(AtomicBool::new(false));
    if let Some(monitors) = monitors {
        told.listens(&[monitors.url()])?;
        monitors.answer(Watching { hands: hands.clone(), is_heard: health.clone(), slots: settings.slots });
    }
    let stopped = || Error::new(Kind::Interrupted, "stopped on request");
    if !admitted(&mut client, settings, stop, &told).await? {
        return Err(stopped());
    }
    health.store(true, Ordering::Relaxed);

    // Rows of Ballista's own, a few bytes a unit, which nobody fetches.
    let folder = tempfile::Builder::new().prefix("microclip-executor-").tempdir();
    let cannot = || format!("cannot make a folder in {}", std::env::temp_dir().display());
    let folder = folder.map_err(|cause| {
        Error::new(Kind::System, cannot()).cause(cause).hint("the variable TMPDIR names another place for it")
    })?;
    let place = folder.path().to_string_lossy().into_owned();
    let (host, port, serving) = match Port::open(settings).await? {
        Ok(port) => (port.host.clone(), port.port, port.serve(place.clone(), &settings.joining).boxed()),
        Err(why) => {
            told.note(&format!("it takes no statements: {why}"));
            (machine(), 0, std::future::pending().boxed())
        }
    };
    told.note(&format!("{id} takes {} at a time from {}", units(settings.slots), settings.joining.scheduler));
    let bounds = Bounds::new(settings.memory)?;
    let engine = Guarded::new(id.clone(), told.clone());
    let pieces = engine.pieces();
    let executor = ballista(about(&id, settings.slots, host, port), &place, settings, bounds, hands.clone(), engine)?;
    let executor = Arc::new(executor);
    let logical = Arc::new(BallistaLogicalExtensionCodec::default());
    let codec: BallistaCodec<LogicalPlanNode, PhysicalPlanNode> =
        BallistaCodec::new(logical, Arc::new(Codec::default()));
    let heard = ExecutorHealth::new();
    let mut polling = tokio::spawn(poll_loop(client.clone(), executor, codec, None, None, heard.clone()));
    let ended = tokio::select! {
        biased;
        () = stop.until_requested() => Err(stopped()),
        // It has no end of its own.
        ended = &mut polling => Err(Error::new(Kind::Internal, format!("the executor has ended: {ended:?}"))),
        () = stalled(&hands, settings.stalled) => Err(
            Error::new(Kind::System, format!("a unit has not got on for {} s", settings.stalled.as_secs()))
                .hint("a disk or server that does not answer, or a GPU that hangs; others do the unit once this process has ended"),
        ),
        served = serving => served,
        () = pieces.end_with_jobs(client.clone()) => Ok(()),
        refused = watch(client.clone(), settings, &health, &told) => refused,
    };
    // Its unit is given to others only after what it has made is committed.
    polling.abort();
    if stop.requested() {
        let since = Instant::now();
        while worker.running() > 0 && since.elapsed() < ENDING {
            tokio::time::sleep(OFTEN).await;
        }
    }
    let goodbye = ExecutorStoppedParams { executor_id: id, reason: "it was stopped".to_owned() };
    let _ = tokio::time::timeout(GOODBYE, client.executor_stopped(goodbye)).await;
    ended
}

/// Returns a name that no executor had before: one that comes again under its old name is not
/// given what it had.
fn name() -> Result<String> {
    Ok(format!("{}-{}-{}", machine(), std::process::id(), random(8)?))
}

/// Returns what the scheduler learns of an executor; one without a port gives its rows to nobody.
fn about(id: &str, slots: usize, host: String, port: u16) -> ExecutorRegistration {
    let slots = u32::try_from(slots).unwrap_or(u32::MAX);
    ExecutorRegistration {
        id: id.to_owned(),
        host: Some(host),
        port: port.into(),
        grpc_port: 0,
        specification: Some(ExecutorSpecification::default().with_vcores(slots).into()),
        os_info: Some(ExecutorOperatingSystemSpecification::default().into()),
        ballista_protocol_version: BALLISTA_PROTOCOL_VERSION,
    }
}

/// Makes Ballista's executor, whose tasks find the hands, the functions of statements and the store
/// that each of them reads.
fn ballista(
    about: ExecutorRegistration,
    folder: &str,
    settings: &Executing,
    bounds: Bounds,
    hands: Arc<Hands>,
    engine: Guarded,
) -> Result<Executor> {
    let connect = flight::endpoint(&settings.joining)?;
    let has_tls = settings.joining.scheduler.has_tls();
    let sessions = move || {
        session()
            .with_extension(hands.clone())
            .with_ballista_use_tls(has_tls)
            .with_ballista_override_create_grpc_client_endpoint(connect.clone())
    };
    let runtime = move |config: &SessionConfig| {
        let runtime = bounds.runtime().clone();
        let store = store_of(config);
        if !store.is_empty() {
            // Registered again, it takes the place of what is the same.
            let cannot = |error: Error| DataFusionError::External(Box::new(error));
            let store = Store::open_read(store).map_err(cannot)?;
            if let Some((url, objects)) = store.replica().map(Replica::for_sql).transpose().map_err(cannot)? {
                runtime.register_object_store(url.as_ref(), objects);
            }
        }
        Ok(runtime)
    };
    Ok(Executor::new(
        about,
        folder,
        Arc::new(runtime),
        Arc::new(sessions),
        Arc::new(BallistaFunctionRegistry::from(&knowing(session()))),
        Arc::new(LoggingMetricsCollector::default()),
        settings.slots,
        Arc::new(engine),
    ))
}

/// Waits for a scheduler that admits us; returns whether one does, before a stop.
async fn admitted(client: &mut Client, settings: &Executing, stop: &Stop, told: &Arc<dyn Told>) -> Result<bool> {
    let mut is_said = false;
    while !stop.requested() {
        match ask(client, &settings.joining).await {
            Ok(()) => return Ok(true),
            Err(error) if error.kind() == Kind::Network => {
                if !is_said {
                    told.note(&format!("waiting for the scheduler: {error}"));
                    is_said = true;
                }
                tokio::time::sleep(LOOK).await;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(false)
}

/// Says when the scheduler is gone and comes back; ends if it does not admit us any more.
async fn watch(mut client: Client, settings: &Executing, is_heard: &AtomicBool, told: &Arc<dyn Told>) -> Result<()> {
    loop {
        tokio::time::sleep(LOOK * 5).await;
        match ask(&mut client, &settings.joining).await {
            Ok(()) if !is_heard.swap(true, Ordering::Relaxed) => told.note("the scheduler answers again"),
            Ok(()) => {}
            Err(error) if error.kind() == Kind::Network => {
                if is_heard.swap(false, Ordering::Relaxed) {
                    told.note(&format!("{error}: asking again until it does"));
                }
            }
            Err(error) => return Err(error),
        }
    }
}

/// Ends once units run and none has got on for some time.
async fn stalled(hands: &Hands, longest: Duration) {
    let (mut last, mut since) = (hands.progress(), Instant::now());
    loop {
        tokio::time::sleep(LOOK).await;
        let now = hands.progress();
        if now != last || hands.running() == 0 {
            (last, since) = (now, Instant::now());
        } else if since.elapsed() > longest {
            return;
        }
    }
}

fn units(count: usize) -> String {
    if count == 1 { "1 unit".to_owned() } else { format!("{count} units") }
}

/// What monitors ask of an executor.
struct Watching {
    hands: Arc<Hands>,
    is_heard: Arc<AtomicBool>,
    slots: usize,
}

impl Watched for Watching {
    async fn ready(&self) -> Result<()> {
        if self.is_heard.load(Ordering::Relaxed) {
            return Ok(());
        }
        Err(Error::new(Kind::Network, "the scheduler does not answer"))
    }

    async fn counted(&self) -> Result<String> {
        let mut values = vec![
            Count::now("slots", "Units that the executor does at a time.", self.slots as u64),
            Count::now("units_running", "Units that the executor does.", self.hands.running() as u64),
        ];
        values.extend(self.hands.counted());
        text(&values)
    }
}
