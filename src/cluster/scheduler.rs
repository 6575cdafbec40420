//! The process that hands out units.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ballista_core::extension::SessionConfigExt;
use ballista_core::serde::protobuf::scheduler_grpc_server::SchedulerGrpcServer;
use ballista_scheduler::cluster::BallistaCluster;
use ballista_scheduler::config::SchedulerConfig;
use ballista_scheduler::scheduler_process::create_scheduler;
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::execution::{SessionState, SessionStateBuilder};
use datafusion::prelude::{SessionConfig, SessionContext};
use object_store::memory::InMemory;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Status};

use super::codec::Codec;
use super::service::Service;
use super::travelling::{OfStatement, store_of};
use super::watched::text;
use super::{Count, Scheduling, TOKEN, token};
use crate::error::{Context, Error, Kind, Result};
use crate::net::Told;
use crate::net::server::{Access, Guarding, Monitors, Watched, listen, runtime};
use crate::objects::Address;
use crate::stop::Stop;
use crate::store::replica::url_for_sql;
use crate::table::udf;

/// Bytes of the longest message: a plan of 10,000 units has four million.
pub(super) const LONGEST: usize = 64 << 20;

/// How long jobs wait for an executor where none is there: for as long as their drivers do.
const FOR_EVER: u64 = 10 * 365 * 24 * 3600;

/// Hands out units, until a stop is requested.
///
/// # Errors
/// Returns [`Kind::Usage`] if the settings would let others in who were not asked for,
/// [`Kind::System`] if nothing can be listened to, and [`Kind::Interrupted`] once it is stopped.
pub fn schedule(settings: &Scheduling, stop: &Stop, told: impl Told) -> Result<()> {
    let told: Arc<dyn Told> = Arc::new(told);
    let network = runtime("network", 2, 4 << 20)?;
    let served = network.block_on(async {
        tokio::select! {
            biased;
            () = stop.until_requested() => Err(Error::new(Kind::Interrupted, "stopped on request; drivers wait for another scheduler")),
            served = serving(settings, told) => served,
        }
    });
    network.shutdown_background();
    served
}

/// Returns the settings of sessions that all processes of a cluster share.
pub(super) fn session() -> SessionConfig {
    SessionConfig::new_with_ballista()
        .with_ballista_physical_extension_codec(Arc::new(Codec::default()))
        .with_option_extension(OfStatement::default())
}

/// Returns a session that knows the functions of plans, and of the store that a statement reads
/// only where it is: a scheduler divides plans, and reads nothing.
pub(super) fn knowing(config: SessionConfig) -> SessionState {
    let runtime = Arc::new(RuntimeEnv::default());
    let address = Address::in_place_of(Path::new(store_of(&config)));
    if let Some(url) = address.and_then(|address| url_for_sql(&address).ok()) {
        runtime.register_object_store(url.as_ref(), Arc::new(InMemory::new()));
    }
    let state =
        SessionStateBuilder::new().with_config(config).with_runtime_env(runtime).with_default_features().build();
    let context = SessionContext::new_with_state(state);
    udf::register(&context);
    context.state()
}

async fn serving(settings: &Scheduling, told: Arc<dyn Told>) -> Result<()> {
    let note = |text: &str| told.note(text);
    let is_ours = settings.address.to_canonical().is_loopback();
    let (token, made) = token::of_scheduler(settings.token.as_deref(), is_ours, note)?;
    let access = Access::of(&Guarding {
        address: settings.address,
        token: token.as_deref(),
        tls: settings.tls.as_ref().map(|(certificate, key)| (certificate.as_path(), key.as_path())),
        allow_anyone: false,
        allow_plaintext: settings.allow_plaintext,
        hints: [
            format!(
                "`openssl rand -hex 32 > token` makes one: name the file with --token-file, or set {TOKEN}; anyone who has it may have \
                 executors do work"
            ),
            "name a certificate and its key with --tls-cert and --tls-key; --allow-plaintext sends the token as it is, for a \
             private network"
                .to_owned(),
        ],
    })?;

    let mut config = SchedulerConfig::default();
    config.scheduling_policy = ballista_core::config::TaskSchedulingPolicy::PullStaged;
    config.executor_timeout_seconds = settings.executor_timeout.as_secs();
    config.expire_dead_executor_interval_seconds = 1;
    config.executor_termination_grace_period = 0;
    config.no_executors_grace_period_seconds = FOR_EVER;
    config.override_physical_codec = Some(Arc::new(Codec::default()));
    config.override_config_producer = Some(Arc::new(session));
    config.override_session_builder = Some(Arc::new(|config| Ok(knowing(config))));
    let config = Arc::new(config);
    let cannot = || "cannot start the scheduler".to_owned();
    let cluster = BallistaCluster::new_from_config(&config).await.context(Kind::Internal, cannot)?;
    let inner = create_scheduler(cluster, config).await.context(Kind::Internal, cannot)?;
    let service = Service::new(inner, settings.executor_timeout, settings.driver_timeout, told.clone());

    let (listener, address) = listen(SocketAddr::new(settings.address, settings.port)).await?;
    let monitors = Monitors::at(settings.metrics).await?;
    let mut addresses = vec![super::Address::new(&address.ip().into(), address.port(), access.has_tls()).to_string()];
    addresses.extend(monitors.as_ref().map(Monitors::url));
    told.listens(&addresses)?;
    if let Some(file) = made {
        told.note(&format!("the token is in {}: processes of this user on this machine find it", file.display()));
    }
    let unauthenticated = Arc::new(AtomicU64::new(0));
    if let Some(monitors) = monitors {
        monitors.answer(Scheduler { service: service.clone(), unauthenticated: unauthenticated.clone() });
    }
    tokio::spawn(service.clone().look_after_jobs());

    let mut server = access.secured(Server::builder())?;
    let admit = move |request: Request<()>| {
        if access.admits(request.metadata()) {
            return Ok(request);
        }
        unauthenticated.fetch_add(1, Ordering::Relaxed);
        Err(Status::unauthenticated("this scheduler wants its token"))
    };
    let service =
        SchedulerGrpcServer::new(service).max_decoding_message_size(LONGEST).max_encoding_message_size(LONGEST);
    let connections = TcpIncoming::from(listener).with_nodelay(Some(true));
    let served = server.add_service(InterceptedService::new(service, admit)).serve_with_incoming(connections);
    served.await.context(Kind::System, || "cannot serve".to_owned())
}

/// What monitors ask of a scheduler.
struct Scheduler {
    service: Service,
    unauthenticated: Arc<AtomicU64>,
}

impl Watched for Scheduler {
    async fn ready(&self) -> Result<()> {
        match self.service.present().await.executors {
            0 => Err(Error::new(Kind::Network, "no executor is there")),
            _ => Ok(()),
        }
    }

    async fn counted(&self) -> Result<String> {
        let (present, counts) = (self.service.present().await, self.service.counts());
        let count = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let (done, failed, handed_out) = (count(&counts.done), count(&counts.failed), count(&counts.handed_out));
        // What was handed out and neither ended nor runs was with an executor that is gone.
        let lost = handed_out.saturating_sub(done + failed + present.running as u64);
        let units = |outcome: &'static str, count: u64| {
            Count::total("units_total", "Units that executors were given, by how they ended.", count)
                .of("outcome", outcome)
        };
        text(&[
            Count::now("executors", "Executors that were heard of lately.", present.executors as u64),
            Count::now("jobs", "Jobs that are not finished.", present.jobs as u64),
            Count::now("units_waiting", "Units that no executor has yet.", present.waiting as u64),
            Count::now("units_running", "Units that executors do.", present.running as u64),
            units("done", done),
            units("failed", failed),
            units("lost", lost),
            Count::total("jobs_total", "Jobs that drivers have asked for.", count(&counts.jobs)),
            Count::total(
                "jobs_abandoned_total",
                "Jobs cancelled since their driver was gone.",
                count(&counts.abandoned),
            ),
            Count::total("unauthenticated_total", "Requests without the token.", count(&self.unauthenticated)),
        ])
    }
}
