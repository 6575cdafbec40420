//! Talking HTTP: one kind of client for all that this program asks of a network, requests that a
//! stop ends, when to ask again, how far fetching is, where a secret may go, what this machine is
//! called, and what every server of this program has.

mod address;
mod exchange;
mod fetching;
mod machine;
mod retries;
mod secret;
#[cfg(feature = "flight")]
pub(crate) mod server;
mod told;

use std::sync::Arc;
use std::time::Duration;

use ureq::tls::{RootCerts, TlsConfig};

pub use address::{Address, escaped};
pub use exchange::{Incoming, Trouble, exchange};
pub use fetching::{Missing, Watch};
pub(crate) use machine::{machine, random};
pub(crate) use retries::LONGEST_WAIT;
pub use retries::{Retries, is_busy, may_pass, retry_after};
pub use secret::{NoSecret, Secret};
pub use told::Told;

use crate::error::{Error, Kind};

/// How long to try to connect before giving up.
const CONNECT: Duration = Duration::from_secs(15);

/// Returns a client that gives up where a server says nothing for `silence`.
///
/// - Certificates are checked against those of the system, as curl does it.
/// - A proxy named by `HTTPS_PROXY`, `HTTP_PROXY` or `ALL_PROXY` is used, except for `NO_PROXY`.
/// - No redirect is followed: who asks decides what may be said at another place.
/// - An answer of 400 and above is an answer, not an error: its body says what was wrong.
///
/// The client blocks: [`exchange`] makes requests on a thread of their own.
pub fn client(silence: Duration) -> ureq::Agent {
    let tls = TlsConfig::builder()
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .root_certs(RootCerts::PlatformVerifier)
        .build();
    ureq::Agent::config_builder()
        .tls_config(tls)
        .http_status_as_error(false)
        .max_redirects(0)
        .user_agent(concat!("microclip-pipe/", env!("CARGO_PKG_VERSION")))
        .timeout_resolve(Some(CONNECT))
        .timeout_connect(Some(CONNECT))
        .timeout_recv_response(Some(silence))
        .timeout_per_read(Some(silence))
        .build()
        .new_agent()
}

/// Wraps what kept a request from being answered, as an error about `doing` (`cannot fetch URL`).
pub fn failed(doing: impl Into<String>, cause: ureq::Error) -> Error {
    Error::new(Kind::Network, doing).cause(cause)
}
