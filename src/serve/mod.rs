//! Serves the tables of pipelines to other programs: [Arrow Flight
//! SQL](https://arrow.apache.org/docs/format/FlightSql.html) for statements, and numbers for
//! Prometheus.
//!
//! A statement goes through the same door as one of the verb `sql`: it only reads, is not nested
//! too deeply, and has bounds of memory and time. What is here is the way to that door. A client
//! may be refused, and has one of a bounded number of connections (`connections`). What
//! it asks for is planned and held (`statements`) until it fetches the rows, which are made no
//! faster than it takes them (`answer`). Sessions are opened anew when a store has changed
//! (`catalogue`).

#[cfg(feature = "flight")]
mod answer;
#[cfg(feature = "flight")]
mod catalogue;
#[cfg(feature = "flight")]
mod connections;
#[cfg(feature = "flight")]
mod held;
#[cfg(feature = "flight")]
mod metadata;
#[cfg(feature = "flight")]
mod metrics;
#[cfg(feature = "flight")]
mod refusal;
#[cfg(feature = "flight")]
mod server;
#[cfg(feature = "flight")]
mod service;
#[cfg(feature = "flight")]
mod stamp;
#[cfg(feature = "flight")]
mod statements;

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

#[cfg(feature = "flight")]
pub use server::serve;

#[cfg(not(feature = "flight"))]
use crate::config::Spec;
#[cfg(not(feature = "flight"))]
use crate::error::{Error, Kind, Result};
#[cfg(not(feature = "flight"))]
use crate::net::Told;

/// The variable that a token may be given in.
pub const TOKEN: &str = "MICROCLIP_SERVE_TOKEN";

/// How to serve.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The address to listen at.
    pub address: IpAddr,
    /// The port to listen at; 0 takes a free one.
    pub port: u16,
    /// The file that has the token in it. Without one, the variable [`TOKEN`] may have the token.
    pub token: Option<PathBuf>,
    /// The files of a certificate and its private key, as PEM.
    pub tls: Option<(PathBuf, PathBuf)>,
    /// Whether other machines may connect without a token.
    pub allow_anyone: bool,
    /// Whether other machines may connect without TLS.
    pub allow_plaintext: bool,
    /// Where Prometheus is answered, if it is.
    pub metrics: Option<SocketAddr>,
    /// The most connections at a time.
    pub connections: usize,
    /// The most statements that run at a time.
    pub statements: usize,
    /// Bytes of memory that all statements may take together.
    pub memory: u64,
    /// The time that a statement may take, until its last row was fetched.
    pub time: Duration,
}

/// Refuses to serve, since this program was built without what it takes.
///
/// # Errors
/// Returns [`Kind::Usage`].
#[cfg(not(feature = "flight"))]
pub fn serve(_: Vec<Spec>, _: &Settings, _: impl Future<Output = ()>, _: impl Told) -> Result<()> {
    Err(Error::new(Kind::Usage, "this program was built without `serve`")
        .hint("build it with --features flight, as docs/installing.md says"))
}
