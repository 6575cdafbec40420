//! One request and its answer, which a stop ends at once.
//!
//! The request is made on a thread of its own, so that a stop is noticed while a server is silent.
//! After a stop, that thread ends at its next word from the server, or with the process.

use std::io::Read;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use ureq::Body;
use ureq::http::{HeaderMap, Response};

use crate::error::{Context, Error, Kind};
use crate::stop::{OFTEN, Stop};

/// Bytes that are handed on at once.
const BLOCK: usize = 256 << 10;

/// What kept an answer from coming, or from coming whole.
#[derive(Debug)]
pub enum Trouble {
    /// The user asked to stop, or this machine cannot go on.
    Ours(Error),
    /// The connection could not be made, broke, or made no sense.
    Theirs(ureq::Error),
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Trouble::Ours(error)
    }
}

/// An answer whose bytes are still to come.
#[derive(Debug)]
pub struct Incoming {
    /// The status of HTTP.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    from: Receiver<Sent>,
}

type Sent = Result<Message, ureq::Error>;

enum Message {
    Head(u16, HeaderMap),
    Bytes(Vec<u8>),
}

/// Makes the request that `call` makes, on a thread called `name`, and waits for the head of its
/// answer.
///
/// # Errors
/// Fails if a stop was requested, or no answer came.
pub fn exchange(
    name: &str,
    call: impl FnOnce() -> Result<Response<Body>, ureq::Error> + Send + 'static,
    stop: &Stop,
) -> Result<Incoming, Trouble> {
    stop.check()?;
    let (to, from) = sync_channel(4);
    let work = move || {
        if let Err(error) = hand_on(call, &to) {
            // The receiver was dropped after a stop.
            let _ = to.send(Err(error));
        }
    };
    thread::Builder::new()
        .name(name.to_owned())
        .spawn(work)
        .context(Kind::System, || "cannot start a thread for a request".to_owned())?;
    match next(&from, None, stop)? {
        Some(Message::Head(status, headers)) => Ok(Incoming { status, headers, from }),
        _ => Err(Trouble::Theirs(ureq::Error::ConnectionFailed)),
    }
}

/// Makes a request and sends its answer on. Ends early where the receiver was dropped.
fn hand_on(
    call: impl FnOnce() -> Result<Response<Body>, ureq::Error>,
    to: &SyncSender<Sent>,
) -> Result<(), ureq::Error> {
    let (head, body) = call()?.into_parts();
    if to.send(Ok(Message::Head(head.status.as_u16(), head.headers))).is_err() {
        return Ok(());
    }
    let mut reader = body.into_reader();
    loop {
        let mut block = Vec::with_capacity(BLOCK);
        let read = (&mut reader).take(BLOCK as u64).read_to_end(&mut block);
        // What has come before the connection broke counts.
        let ended = block.is_empty() || to.send(Ok(Message::Bytes(block))).is_err();
        read?;
        if ended {
            return Ok(());
        }
    }
}

/// Waits for what a thread sends; `None` once it has sent all.
fn next(from: &Receiver<Sent>, until: Option<Instant>, stop: &Stop) -> Result<Option<Message>, Trouble> {
    loop {
        stop.check()?;
        if until.is_some_and(|until| Instant::now() > until) {
            return Err(Trouble::Theirs(ureq::Error::Timeout(ureq::Timeout::RecvBody)));
        }
        match from.recv_timeout(OFTEN) {
            Ok(sent) => return sent.map(Some).map_err(Trouble::Theirs),
            Err(RecvTimeoutError::Disconnected) => return Ok(None),
            Err(RecvTimeoutError::Timeout) => {}
        }
    }
}

impl Incoming {
    /// Waits for the next bytes; `None` after the last.
    ///
    /// # Errors
    /// Fails if a stop was requested, or the connection broke.
    pub fn bytes(&self, stop: &Stop) -> Result<Option<Vec<u8>>, Trouble> {
        self.bytes_until(None, stop)
    }

    fn bytes_until(&self, until: Option<Instant>, stop: &Stop) -> Result<Option<Vec<u8>>, Trouble> {
        Ok(match next(&self.from, until, stop)? {
            Some(Message::Bytes(bytes)) => Some(bytes),
            Some(Message::Head(..)) | None => None,
        })
    }

    /// Reads all bytes, if they are at most so many, and come `within` so long: a server that drips
    /// is never silent.
    ///
    /// # Errors
    /// Fails if a stop was requested, the connection broke, more came, or not all in time.
    pub fn all(&self, most: usize, within: Duration, stop: &Stop) -> Result<Vec<u8>, Trouble> {
        let (mut all, until) = (Vec::new(), Instant::now().checked_add(within));
        while let Some(bytes) = self.bytes_until(until, stop)? {
            all.extend(bytes);
            if all.len() > most {
                return Err(Trouble::Theirs(ureq::Error::BodyExceedsLimit(most as u64)));
            }
        }
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::TcpListener;

    use super::*;

    /// Answers one request with these bytes, then says nothing for a minute.
    fn server(bytes: &'static [u8]) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        thread::spawn(move || {
            let (mut connection, _) = listener.accept().unwrap();
            connection.write_all(bytes).unwrap();
            thread::sleep(Duration::from_secs(60));
        });
        url
    }

    fn get(url: &str, stop: &Stop) -> Result<Incoming, Trouble> {
        let request = crate::net::client(Duration::from_secs(60)).get(url).config().proxy(None).build();
        exchange("test", move || request.call(), stop)
    }

    #[test]
    fn a_stop_ends_a_request_before_and_after_its_head() {
        let began = Instant::now();
        assert!(matches!(get(&server(b""), &Stop::after(3)), Err(Trouble::Ours(_))));
        let head = b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n";
        let answer = get(&server(head), &Stop::default()).unwrap();
        assert!(matches!(answer.bytes(&Stop::after(3)), Err(Trouble::Ours(_))));
        assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    }

    #[test]
    fn an_answer_is_read_up_to_its_bound() {
        let whole = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nrose";
        let stop = Stop::default();
        assert_eq!(get(&server(whole), &stop).unwrap().all(4, Duration::MAX, &stop).unwrap(), b"rose");
        let more = get(&server(whole), &stop).unwrap().all(3, Duration::MAX, &stop);
        assert!(matches!(more, Err(Trouble::Theirs(ureq::Error::BodyExceedsLimit(3)))));
        let begun = b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nrose";
        let late = get(&server(begun), &stop).unwrap().all(9, Duration::from_millis(200), &stop);
        assert!(matches!(late, Err(Trouble::Theirs(ureq::Error::Timeout(_)))));
    }
}
