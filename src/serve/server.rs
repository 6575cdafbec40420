//! Starts the server, and ends it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arrow_flight::flight_service_server::FlightServiceServer;
use tokio::runtime::Handle;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Server;
use tonic::{Request, Status};

use super::catalogue::Catalogue;
use super::connections::{Guest, accepted};
use super::metrics::Metrics;
use super::service::Service;
use super::statements::Statements;
use super::{Settings, TOKEN};
use crate::config::Spec;
use crate::cores;
use crate::error::{Context, Error, Kind, Result};
use crate::net::Told;
use crate::net::server::{Access, Guarding, Monitors, Watched, listen, runtime, token};
use crate::table::session::Bounds;
use crate::text::numbers::counted;

/// Bytes of the stack that a statement is planned on, as large as the main thread's.
const STACK: usize = 8 << 20;

/// Bytes of the longest message, and so of the longest statement.
const LONGEST: usize = 2 << 20;

/// The most requests of a connection at a time.
const REQUESTS: u32 = 16;

/// How long headers of a request may be, which are its token and what a client adds.
const HEADERS: u32 = 16 << 10;

/// How long to wait for statements to end with the server: long enough that what they have written
/// to the disk is removed.
const ENDING: Duration = Duration::from_secs(2);

/// Serves the tables of pipelines, until `stopped` ends.
///
/// # Errors
/// Returns [`Kind::Usage`] if the settings would let others read the tables who were not asked for,
/// [`Kind::System`] if nothing can be listened to, and [`Kind::Interrupted`] once it is stopped.
pub fn serve(
    pipelines: Vec<Spec>,
    settings: &Settings,
    stopped: impl Future<Output = ()>,
    told: impl Told,
) -> Result<()> {
    let access = access(settings, &told)?;
    // Whatever statements do, connections are answered.
    let network = runtime("network", 2, 2 << 20)?;
    let making = runtime("statement", cores::limit(), STACK)?;
    let metrics = Arc::new(Metrics::new()?);
    let served = network.block_on(async {
        tokio::select! {
            biased;
            () = stopped => {
                let running = u64::try_from(metrics.running.get()).unwrap_or(0);
                Err(Error::new(Kind::Interrupted, match running {
                    0 => "stopped on request".to_owned(),
                    _ => format!("stopped on request, with {} running", counted(running, "statement")),
                }))
            }
            served = serving(pipelines, settings, access, making.handle().clone(), metrics.clone(), told) => served,
        }
    });
    making.shutdown_timeout(ENDING);
    network.shutdown_background();
    served
}

async fn serving(
    pipelines: Vec<Spec>,
    settings: &Settings,
    access: Access,
    making: Handle,
    metrics: Arc<Metrics>,
    told: impl Told,
) -> Result<()> {
    let told = Arc::new(told);
    let bounds = Bounds::new(settings.memory)?;
    let catalogue = Catalogue::new(pipelines, bounds.clone(), making.clone(), metrics.clone(), told.clone())?;
    let catalogue = Arc::new(catalogue);
    // What cannot be read is said now, and not to the first client.
    catalogue.current().await?;
    let statements = Statements::new(catalogue, metrics.clone(), making, settings.statements, settings.time);
    let statements = Arc::new(statements);

    let (listener, address) = listen(SocketAddr::new(settings.address, settings.port)).await?;
    let monitors = Monitors::at(settings.metrics).await?;
    let mut addresses = vec![format!("{}://{address}", if access.has_tls() { "grpc+tls" } else { "grpc" })];
    addresses.extend(monitors.as_ref().map(Monitors::url));
    told.listens(&addresses)?;
    if let Some(monitors) = monitors {
        monitors.answer(Tables { statements: statements.clone(), bounds });
    }

    let server = Server::builder()
        .max_concurrent_streams(REQUESTS)
        .http2_max_header_list_size(HEADERS)
        .http2_keepalive_interval(Some(Duration::from_secs(30)))
        .http2_keepalive_timeout(Some(Duration::from_secs(20)));
    let mut server = access.secured(server)?;
    let service = FlightServiceServer::new(Service(statements)).max_decoding_message_size(LONGEST);
    let counted_refusals = metrics.clone();
    let admit = move |request: Request<()>| {
        if !access.admits(request.metadata()) {
            counted_refusals.unauthenticated.inc();
            return Err(Status::unauthenticated(
                "this server wants its token\nhint: send `authorization: Bearer TOKEN`",
            ));
        }
        if let Some(guest) = Guest::of(request.extensions()) {
            guest.admit();
        }
        Ok(request)
    };
    let connections = accepted(listener, settings.connections, metrics.clone());
    let served = server.add_service(InterceptedService::new(service, admit)).serve_with_incoming(connections);
    served.await.context(Kind::System, || "cannot serve".to_owned())
}

/// What monitors ask of a server of tables.
struct Tables {
    statements: Arc<Statements>,
    bounds: Bounds,
}

impl Watched for Tables {
    async fn ready(&self) -> Result<()> {
        self.statements.catalogue.current().await.map(drop)
    }

    async fn counted(&self) -> Result<String> {
        // Where the tables cannot be read, the rest is of all the more interest.
        let opened = self.statements.catalogue.current().await.ok();
        self.statements.metrics.text(opened.as_deref(), &self.bounds, self.statements.kept())
    }
}

/// Reads the token, the certificate and its key.
///
/// # Errors
/// Fails like [`Access::of`] and [`token`].
fn access(settings: &Settings, told: &impl Told) -> Result<Access> {
    let token = token(settings.token.as_deref(), TOKEN, |text| told.note(text))?;
    Access::of(&Guarding {
        address: settings.address,
        token: token.as_deref(),
        tls: settings.tls.as_ref().map(|(certificate, key)| (certificate.as_path(), key.as_path())),
        allow_anyone: settings.allow_anyone,
        allow_plaintext: settings.allow_plaintext,
        hints: [
            format!(
                "`openssl rand -hex 32 > token` makes one: name the file with --token-file, or set {TOKEN}; --allow-anyone \
                 serves the tables to anyone who connects"
            ),
            "name a certificate and its key with --tls-cert and --tls-key; --allow-plaintext sends tables and token as they \
             are, for where a proxy adds TLS"
                .to_owned(),
        ],
    })
}
