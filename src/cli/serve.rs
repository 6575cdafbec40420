//! `serve`: the tables for other programs.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueHint};
use tokio::signal::unix::{SignalKind, signal};

use super::common::Overrides;
use super::printer::Printer;
use super::{EXIT_CODES, size};
use crate::error::Result;
use crate::serve::{Settings, TOKEN, serve};

/// Returns what `serve --help` says first.
fn long_about() -> String {
    format!(
        "Serves the tables of pipelines to other programs by Arrow Flight SQL: to Python through ADBC (pandas, Polars, DuckDB), and \
         to whatever else has a driver. Statements are those of `sql`: they only read, and see what a run has written until then, also while it \
         goes on. Each pipeline is a catalog of its name; the first one's tables need no prefix.\n\n\
         The first line on standard output is the address, once it is listened to. Without a token, only this machine may \
         connect; for others, a token and a certificate are needed. The token is in a file, or in {TOKEN}. Whoever has it may \
         read all tables of the pipelines, pictures included.\n\n\
         Ctrl-C or SIGTERM ends it at once, with the statements that run. docs/serve.md has clients, bounds and what --metrics \
         counts."
    )
}

const EXAMPLES: &str = "\
Examples:
  microclip-pipe serve pipelines/flowers.toml
      For this machine, at grpc://127.0.0.1:32010.
  microclip-pipe serve flowers.toml birds.toml --port 0 --metrics 9464
      At any free port; what Prometheus reads is at http://127.0.0.1:9464/metrics.
  microclip-pipe serve birds.toml --listen 0.0.0.0 --token-file token \\
      --tls-cert server.pem --tls-key server.key
      For other machines.";

/// Serve the tables to other programs
#[derive(Debug, Args)]
#[command(long_about = long_about(), after_long_help = format!("{EXAMPLES}\n\n{EXIT_CODES}"))]
pub(super) struct Serve {
    /// The pipeline files (TOML)
    #[arg(value_name = "PIPELINE", required = true, value_hint = ValueHint::FilePath)]
    pipelines: Vec<PathBuf>,

    /// The address of this machine to listen to; 0.0.0.0 or :: for all
    #[arg(long, value_name = "IP", default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    listen: IpAddr,

    /// The port to listen to; 0 takes a free one
    #[arg(long, value_name = "PORT", default_value_t = 32_010)]
    port: u16,

    /// The file with the token that clients must send; or set MICROCLIP_SERVE_TOKEN
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    token_file: Option<PathBuf>,

    /// The server's certificate, and those that signed it, as PEM
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, requires = "tls_key")]
    tls_cert: Option<PathBuf>,

    /// The private key of the certificate, as PEM
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, requires = "tls_cert")]
    tls_key: Option<PathBuf>,

    /// Let other machines read the tables without a token
    #[arg(long)]
    allow_anyone: bool,

    /// Let other machines connect without TLS: tables and token can be read on the way
    #[arg(long)]
    allow_plaintext: bool,

    /// Where to answer Prometheus: a port of 127.0.0.1, or ADDRESS:PORT; nothing is asked of who
    /// reads it
    #[arg(long, value_name = "PORT", value_parser = place)]
    metrics: Option<SocketAddr>,

    /// Connections at a time; more are refused
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    connections: u64,

    /// Statements that run at a time; more wait, and are refused after 30 s
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u64).range(1..=1_000))]
    statements: u64,

    /// Memory that statements may take together, e.g. 500MB or 8GB; one fails where it needs more
    #[arg(long, value_name = "SIZE", value_parser = size::parse, default_value = "4GB")]
    memory_limit: u64,

    /// Seconds that a statement may take until its last row was fetched; it fails after that
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..), default_value_t = 600)]
    time_limit: u64,

    #[command(flatten)]
    overrides: Overrides,
}

impl Serve {
    pub(super) fn execute(&self, printer: &Printer) -> Result<()> {
        let load = |pipeline: &PathBuf| self.overrides.load_without_sentences(pipeline);
        let pipelines = self.pipelines.iter().map(load).collect::<Result<_>>()?;
        let number = |count: u64| usize::try_from(count).unwrap_or(usize::MAX);
        let settings = Settings {
            address: self.listen,
            port: self.port,
            token: self.token_file.clone(),
            tls: self.tls_cert.clone().zip(self.tls_key.clone()),
            allow_anyone: self.allow_anyone,
            allow_plaintext: self.allow_plaintext,
            metrics: self.metrics,
            connections: number(self.connections),
            statements: number(self.statements),
            memory: self.memory_limit,
            time: Duration::from_secs(self.time_limit),
        };
        serve(pipelines, &settings, interrupted(), *printer)
    }
}

/// Returns the place that a port alone, or an address with one, means.
pub(super) fn place(text: &str) -> std::result::Result<SocketAddr, String> {
    match text.parse::<u16>() {
        Ok(port) => Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, port))),
        Err(_) => text.parse().map_err(|_| "a port, e.g. 9464, or an address and a port, e.g. 0.0.0.0:9464".to_owned()),
    }
}

/// Ends at the first Ctrl-C or SIGTERM.
async fn interrupted() {
    let (Ok(mut interrupt), Ok(mut terminate)) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        // The system's own handling ends the process then.
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}
