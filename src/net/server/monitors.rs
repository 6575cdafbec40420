//! What a monitor reads, by HTTP: `/metrics`, `/healthz` and `/readyz`.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::header::CONTENT_TYPE;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::listen;
use crate::error::Result;

/// The most monitors at a time; others wait.
const MONITORS: usize = 8;

/// How long a monitor has to ask and to read.
const ASKING: Duration = Duration::from_secs(10);

/// What monitors ask of a server.
pub(crate) trait Watched: Send + Sync + 'static {
    /// Fails if the server cannot do its work at present.
    fn ready(&self) -> impl Future<Output = Result<()>> + Send;

    /// Returns what it counts, in Prometheus' text.
    fn counted(&self) -> impl Future<Output = Result<String>> + Send;
}

/// A port that monitors ask at.
pub(crate) struct Monitors {
    listener: TcpListener,
    address: SocketAddr,
}

impl Monitors {
    /// Listens to an address, if one is given.
    ///
    /// # Errors
    /// Fails like [`listen`].
    pub(crate) async fn at(address: Option<SocketAddr>) -> Result<Option<Monitors>> {
        let Some(address) = address else { return Ok(None) };
        let (listener, address) = listen(address).await?;
        Ok(Some(Monitors { listener, address }))
    }

    /// Returns what Prometheus reads.
    pub(crate) fn url(&self) -> String {
        format!("http://{}/metrics", self.address)
    }

    /// Answers from now on, beside whatever else the runtime does.
    pub(crate) fn answer(self, watched: impl Watched) {
        tokio::spawn(watching(self.listener, Arc::new(watched)));
    }
}

async fn watching(listener: TcpListener, watched: Arc<impl Watched>) {
    let places = Arc::new(Semaphore::new(MONITORS));
    loop {
        let Ok(place) = places.clone().acquire_owned().await else { return };
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let watched = watched.clone();
        tokio::spawn(async move {
            let service = service_fn(move |request| answer(request, watched.clone()));
            let mut server = http1::Builder::new();
            server.timer(TokioTimer::new()).header_read_timeout(ASKING).keep_alive(false);
            // A monitor that asks for nothing sensible, or goes, is no concern of ours.
            let _ = timeout(ASKING * 2, server.serve_connection(TokioIo::new(stream), service)).await;
            drop(place);
        });
    }
}

async fn answer(request: Request<Incoming>, watched: Arc<impl Watched>) -> Result<Response<String>, Infallible> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return Ok(text(StatusCode::METHOD_NOT_ALLOWED, "only GET\n".to_owned()));
    }
    Ok(match request.uri().path() {
        "/healthz" => text(StatusCode::OK, "ok\n".to_owned()),
        "/readyz" => match watched.ready().await {
            Ok(()) => text(StatusCode::OK, "ready\n".to_owned()),
            Err(error) => text(StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n")),
        },
        "/metrics" => match watched.counted().await {
            Ok(found) => text(StatusCode::OK, found),
            Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
        },
        _ => text(StatusCode::NOT_FOUND, "there are /metrics, /healthz and /readyz\n".to_owned()),
    })
}

fn text(status: StatusCode, text: String) -> Response<String> {
    let mut response = Response::new(text);
    *response.status_mut() = status;
    let kind = hyper::header::HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}
