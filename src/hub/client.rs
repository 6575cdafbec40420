//! Asking the hub: requests, redirects, and answers whose bytes come as a stream.
//!
//! A request is made on a thread of its own, so that a stop is noticed while a server is silent.

use std::io::Read;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use ureq::http::{HeaderMap, Uri};

use super::environment::{Environment, Token};
use crate::error::{Context, Error, Kind, Result};
use crate::net;
use crate::stop::Stop;

/// How long a server may be silent.
const SILENCE: Duration = Duration::from_secs(60);

/// How often a stop is looked for.
const OFTEN: Duration = Duration::from_millis(100);

/// Bytes that are handed on at once.
const BLOCK: usize = 256 << 10;

/// The most redirects of one request.
const REDIRECTS: usize = 10;

/// Who asks the hub.
#[derive(Debug, Clone)]
pub(super) struct Client {
    agent: ureq::Agent,
    pub(super) endpoint: String,
    token: Option<Token>,
}

/// What kept an answer from coming, or from coming whole.
pub(super) enum Trouble {
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
pub(super) struct Answer {
    /// The status of HTTP.
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    /// The headers of the hub itself, where it sent the request on to another place.
    pub(super) hubs: HeaderMap,
    from: Receiver<Sent>,
}

type Sent = Result<Message, ureq::Error>;

enum Message {
    Head(u16, HeaderMap),
    Bytes(Vec<u8>),
}

impl Client {
    pub(super) fn new(environment: &Environment) -> Self {
        let Environment { endpoint, token, .. } = environment;
        Client { agent: net::client(SILENCE), endpoint: endpoint.clone(), token: token.clone() }
    }

    /// Returns whether requests say who asks.
    pub(super) fn has_token(&self) -> bool {
        self.token.is_some()
    }

    /// Asks for a path of the hub, from a byte on. Redirects are followed; the token is sent to the
    /// hub alone.
    ///
    /// # Errors
    /// Fails if a stop was requested, or no answer came.
    pub(super) fn get(&self, path: &str, first: Option<u64>, stop: &Stop) -> Result<Answer, Trouble> {
        let mut url = format!("{}{path}", self.endpoint);
        let mut hubs = None;
        for _ in 0..REDIRECTS {
            let answer = self.ask(&url, first, stop)?;
            let to = answer.headers.get("location").and_then(|to| to.to_str().ok());
            let Some(to) = to.filter(|_| matches!(answer.status, 301 | 302 | 303 | 307 | 308)) else {
                let hubs = hubs.unwrap_or_else(|| answer.headers.clone());
                return Ok(Answer { hubs, ..answer });
            };
            let next = joined(&url, to).ok_or(Trouble::Theirs(ureq::Error::RedirectFailed))?;
            if url.starts_with("https://") && !next.starts_with("https://") {
                return Err(Trouble::Theirs(ureq::Error::TlsRequired));
            }
            // A renamed repository is first sent on within the hub.
            if !same_host(&next, &self.endpoint) || answer.headers.contains_key("x-linked-etag") {
                hubs.get_or_insert(answer.headers.clone());
            }
            url = next;
        }
        Err(Trouble::Theirs(ureq::Error::TooManyRedirects))
    }

    /// Makes one request.
    fn ask(&self, url: &str, first: Option<u64>, stop: &Stop) -> Result<Answer, Trouble> {
        let mut request = self.agent.get(url).header("accept-encoding", "identity");
        if let Some(first) = first {
            request = request.header("range", format!("bytes={first}-"));
        }
        if let Some(token) = self.token.as_ref().filter(|_| same_host(url, &self.endpoint)) {
            request = request.header("authorization", token.header());
        }
        let (to, from) = sync_channel(4);
        let work = move || {
            if let Err(error) = answer(|| request.call(), &to) {
                // Nobody listens any more after a stop.
                let _ = to.send(Err(error));
            }
        };
        thread::Builder::new()
            .name("hub".to_owned())
            .spawn(work)
            .context(Kind::System, || "cannot start a thread for a request".to_owned())?;
        match next(&from, stop)? {
            Some(Message::Head(status, headers)) => Ok(Answer { status, headers, hubs: HeaderMap::new(), from }),
            _ => Err(Trouble::Theirs(ureq::Error::ConnectionFailed)),
        }
    }
}

/// Makes a request and sends its answer on. Ends early where nobody listens.
fn answer(
    call: impl FnOnce() -> Result<ureq::http::Response<ureq::Body>, ureq::Error>,
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
fn next(from: &Receiver<Sent>, stop: &Stop) -> Result<Option<Message>, Trouble> {
    loop {
        stop.check()?;
        match from.recv_timeout(OFTEN) {
            Ok(sent) => return sent.map(Some).map_err(Trouble::Theirs),
            Err(RecvTimeoutError::Disconnected) => return Ok(None),
            Err(RecvTimeoutError::Timeout) => {}
        }
    }
}

impl Answer {
    /// Waits for the next bytes; `None` after the last.
    ///
    /// # Errors
    /// Fails if a stop was requested, or the connection broke.
    pub(super) fn bytes(&self, stop: &Stop) -> Result<Option<Vec<u8>>, Trouble> {
        Ok(match next(&self.from, stop)? {
            Some(Message::Bytes(bytes)) => Some(bytes),
            Some(Message::Head(..)) | None => None,
        })
    }

    /// Reads all bytes, if they are at most so many.
    ///
    /// # Errors
    /// Fails if a stop was requested, the connection broke, or more came.
    pub(super) fn all(&self, most: usize, stop: &Stop) -> Result<Vec<u8>, Trouble> {
        let mut all = Vec::new();
        while let Some(bytes) = self.bytes(stop)? {
            all.extend(bytes);
            if all.len() > most {
                return Err(Trouble::Theirs(ureq::Error::BodyExceedsLimit(most as u64)));
            }
        }
        Ok(all)
    }

    /// Returns the text of a header, of the hub's own answer.
    pub(super) fn of_hub(&self, header: &str) -> Option<&str> {
        self.hubs.get(header)?.to_str().ok()
    }
}

/// Returns whether two addresses are of one scheme, host and port.
fn same_host(one: &str, other: &str) -> bool {
    let of = |url: &str| {
        let uri: Uri = url.parse().ok()?;
        let port = uri.port_u16().or(if uri.scheme_str() == Some("https") { Some(443) } else { Some(80) });
        Some((uri.scheme_str()?.to_owned(), uri.host()?.to_ascii_lowercase(), port))
    };
    of(one).is_some_and(|one| Some(one) == of(other))
}

/// Returns where a redirect leads.
fn joined(url: &str, to: &str) -> Option<String> {
    if to.starts_with("http://") || to.starts_with("https://") {
        return Some(to.to_owned());
    }
    let (scheme, rest) = url.split_once("://")?;
    if let Some(host) = to.strip_prefix("//") {
        return Some(format!("{scheme}://{host}"));
    }
    let path = rest.find(['/', '?']).unwrap_or(rest.len());
    match to.starts_with('/') {
        true => Some(format!("{scheme}://{}{to}", &rest[..path])),
        false => {
            let folder =
                rest.split(['?', '#']).next().unwrap_or(rest).rsplit_once('/').map_or(rest, |(folder, _)| folder);
            Some(format!("{scheme}://{folder}/{to}"))
        }
    }
}

/// Writes a part of a path of the hub's addresses, with each slash of it escaped.
pub(super) fn escaped(part: &str) -> String {
    part.split('/').map(escaped_name).collect::<Vec<_>>().join("%2F")
}

/// Writes a path of the hub's addresses.
pub(super) fn escaped_path(path: &str) -> String {
    path.split('/').map(escaped_name).collect::<Vec<_>>().join("/")
}

fn escaped_name(name: &str) -> String {
    name.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => char::from(byte).to_string(),
            other => format!("%{other:02X}"),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_scheme_host_and_port_are_the_hub() {
        let hub = "https://huggingface.co";
        assert!(same_host("https://HUGGINGFACE.co:443/a/b?c", hub));
        for other in [
            "http://huggingface.co/a",
            "https://huggingface.co.evil.org/a",
            "https://huggingface.co:444/",
            "https://cdn-lfs.huggingface.co/a",
            "https://huggingface.co@evil.org/a",
            "nonsense",
        ] {
            assert!(!same_host(other, hub), "{other}");
        }
    }

    #[test]
    fn redirects_lead_where_they_say() {
        let url = "http://hub:80/a/resolve/main/b.json?x=1";
        for (to, expected) in [
            ("https://cdn/x?y", "https://cdn/x?y"),
            ("//cdn/x", "http://cdn/x"),
            ("/c/d", "http://hub:80/c/d"),
            ("c.json", "http://hub:80/a/resolve/main/c.json"),
        ] {
            assert_eq!(joined(url, to).as_deref(), Some(expected));
        }
    }

    #[test]
    fn names_are_escaped_in_addresses() {
        assert_eq!(escaped("refs/convert/parquet"), "refs%2Fconvert%2Fparquet");
        assert_eq!(escaped_path("data/ä b#1.parquet"), "data/%C3%A4%20b%231.parquet");
    }
}
