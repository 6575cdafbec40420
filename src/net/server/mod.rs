//! Serving: listening, who may connect, and answering what watches a server.

mod access;
mod monitors;

use std::net::SocketAddr;

use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};

pub(crate) use access::{Access, Guarding, pem, presented, token};
pub(crate) use monitors::{Monitors, Watched};

use crate::error::{Context, Error, Kind, Result};

/// Listens to an address, and returns it with the port that was taken.
///
/// # Errors
/// Returns [`Kind::System`] if the system refuses it.
pub(crate) async fn listen(address: SocketAddr) -> Result<(TcpListener, SocketAddr)> {
    let cannot = || format!("cannot listen to {address}");
    let listener = TcpListener::bind(address).await.map_err(|cause| {
        Error::new(Kind::System, cannot())
            .cause(cause)
            .hint("port 0 takes one that is free; `ss -ltn` shows who listens")
    })?;
    let taken = listener.local_addr().context(Kind::System, cannot)?;
    Ok((listener, taken))
}

/// Makes a runtime of its own for one side of a server, so that the other is answered whatever this
/// one does. `stack` is in bytes.
///
/// # Errors
/// Returns [`Kind::System`] if threads cannot be started.
pub(crate) fn runtime(name: &str, threads: usize, stack: usize) -> Result<Runtime> {
    let built = Builder::new_multi_thread()
        .worker_threads(threads)
        .thread_name(name)
        .thread_stack_size(stack)
        .enable_all()
        .build();
    built.context(Kind::System, || "cannot start the threads of the server".to_owned())
}
