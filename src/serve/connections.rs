//! Connections: a bounded number of them, each of which has to be of use.
//!
//! One ends if nothing that is admitted was asked for by it in some seconds, however far its
//! handshake is, if nothing was asked for in a long time, or if a statement's rows are not taken.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures::Stream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Interval, MissedTickBehavior, interval};
use tonic::Extensions;
use tonic::transport::server::{Connected, TlsConnectInfo};

use super::metrics::{Ended, Metrics};
use crate::panics::guard;

/// How long a connection has until something that is admitted was asked for.
const ADMISSION: Duration = Duration::from_secs(10);

/// How long a connection is kept on which nothing is asked for.
const IDLE: Duration = Duration::from_secs(1_800);

/// How often a connection is looked at.
const LOOK: Duration = Duration::from_secs(1);

/// How long to wait before accepting again, where the system has refused: it may have no more file
/// descriptors.
const REFUSED: Duration = Duration::from_millis(100);

/// What is known of a connection.
pub(super) struct Guest {
    /// Whether something was asked for that is admitted.
    is_admitted: AtomicBool,
    /// How many requests are being answered.
    busy: AtomicUsize,
    /// When it was last asked for something.
    asked: Mutex<Instant>,
    /// Why it is to end, if it is.
    end: Mutex<Option<Ended>>,
}

impl Guest {
    fn new() -> Self {
        let (asked, end) = (Mutex::new(Instant::now()), Mutex::new(None));
        Guest { is_admitted: AtomicBool::new(false), busy: AtomicUsize::new(0), asked, end }
    }

    /// Returns what is known of the connection that a request came by.
    pub(super) fn of(extensions: &Extensions) -> Option<Arc<Guest>> {
        let plain = extensions.get::<Arc<Guest>>();
        plain.or_else(|| Some(extensions.get::<TlsConnectInfo<Arc<Guest>>>()?.get_ref())).cloned()
    }

    /// Records that something was asked for that is admitted.
    pub(super) fn admit(&self) {
        self.is_admitted.store(true, Ordering::SeqCst);
        self.asked_now();
    }

    /// Records that a request is being answered, until what this returns is dropped.
    pub(super) fn busy(self: &Arc<Self>) -> Busy {
        self.busy.fetch_add(1, Ordering::SeqCst);
        Busy(self.clone())
    }

    /// Ends the connection.
    pub(super) fn end(&self, why: Ended) {
        *guard(&self.end) = Some(why);
    }

    fn asked_now(&self) {
        *guard(&self.asked) = Instant::now();
    }

    /// Returns why the connection is to end now, if it is.
    fn overstays(&self) -> Option<Ended> {
        let end = *guard(&self.end);
        let since = guard(&self.asked).elapsed();
        end.or_else(|| match self.is_admitted.load(Ordering::SeqCst) {
            false => (since > ADMISSION).then_some(Ended::Unadmitted),
            true => (since > IDLE && self.busy.load(Ordering::SeqCst) == 0).then_some(Ended::Idle),
        })
    }
}

/// A request that is being answered.
pub(super) struct Busy(Arc<Guest>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.asked_now();
        self.0.busy.fetch_sub(1, Ordering::SeqCst);
    }
}

/// A connection.
pub(super) struct Connection {
    stream: TcpStream,
    guest: Arc<Guest>,
    looks: Interval,
    is_over: bool,
    metrics: Arc<Metrics>,
    _place: OwnedSemaphorePermit,
}

impl Connection {
    fn new(stream: TcpStream, place: OwnedSemaphorePermit, metrics: Arc<Metrics>) -> Self {
        // Messages are written whole: waiting for more of them would only make clients wait.
        let _ = stream.set_nodelay(true);
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        metrics.connections.inc();
        metrics.accepted.inc();
        Connection { stream, guest: Arc::new(Guest::new()), looks, is_over: false, metrics, _place: place }
    }

    /// Looks whether the connection is to end, and arranges for the next look.
    fn look(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        while self.looks.poll_tick(context).is_ready() {
            if let Some(why) = self.guest.overstays().filter(|_| !self.is_over) {
                self.metrics.ended(why);
                self.is_over = true;
            }
        }
        match self.is_over {
            true => Err(io::Error::new(io::ErrorKind::TimedOut, "the connection was of no use")),
            false => Ok(()),
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.metrics.connections.dec();
    }
}

impl Connected for Connection {
    type ConnectInfo = Arc<Guest>;

    fn connect_info(&self) -> Arc<Guest> {
        self.guest.clone()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.look(context)?;
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        // While what is written is not taken, nothing is read.
        self.look(context)?;
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.look(context)?;
        Pin::new(&mut self.stream).poll_write_vectored(context, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

/// Returns the connections that are accepted. While there are `most`, others are ended at once.
pub(super) fn accepted(
    listener: TcpListener,
    most: usize,
    metrics: Arc<Metrics>,
) -> impl Stream<Item = io::Result<Connection>> {
    let places = Arc::new(Semaphore::new(most));
    futures::stream::unfold((listener, places, metrics), |(listener, places, metrics)| async move {
        loop {
            match listener.accept().await {
                Ok((stream, _)) => match places.clone().try_acquire_owned() {
                    Ok(place) => {
                        let connection = Connection::new(stream, place, metrics.clone());
                        return Some((Ok(connection), (listener, places, metrics)));
                    }
                    Err(_) => metrics.ended(Ended::TooMany),
                },
                Err(_) => tokio::time::sleep(REFUSED).await,
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use futures::StreamExt;
    use tokio::io::AsyncReadExt;

    use super::*;

    /// A guest that asked for nothing for so long.
    fn silent(time: Duration) -> Arc<Guest> {
        let guest = Guest::new();
        *guest.asked.lock().unwrap() = Instant::now().checked_sub(time).unwrap();
        Arc::new(guest)
    }

    #[test]
    fn a_connection_ends_that_is_of_no_use() {
        let second = Duration::from_secs(1);
        assert_eq!(silent(ADMISSION - second).overstays(), None);
        let stranger = silent(ADMISSION + second);
        assert_eq!(stranger.overstays(), Some(Ended::Unadmitted));
        stranger.admit();
        assert_eq!(stranger.overstays(), None);
        let idle = silent(IDLE + second);
        idle.is_admitted.store(true, Ordering::SeqCst);
        assert_eq!(idle.overstays(), Some(Ended::Idle));
        // A statement that takes long is no idleness, and its end begins the time anew.
        let busy = idle.busy();
        assert_eq!(idle.overstays(), None);
        drop(busy);
        assert_eq!(idle.overstays(), None);
        idle.end(Ended::Stuck);
        assert_eq!(idle.overstays(), Some(Ended::Stuck));
    }

    #[tokio::test]
    async fn a_silent_connection_is_closed_and_its_place_is_free() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let metrics = Arc::new(Metrics::new().unwrap());
        let mut connections = Box::pin(accepted(listener, 1, metrics.clone()));
        let _client = TcpStream::connect(address).await.unwrap();
        let mut connection = connections.next().await.unwrap().unwrap();
        *connection.guest.asked.lock().unwrap() = Instant::now().checked_sub(ADMISSION * 2).unwrap();
        let mut read = [0; 8];
        let error = connection.read(&mut read).await.unwrap_err();
        assert_eq!((error.kind(), metrics.connections.get()), (io::ErrorKind::TimedOut, 1));
        drop(connection);
        let _other = TcpStream::connect(address).await.unwrap();
        assert!(connections.next().await.unwrap().is_ok());
    }
}
