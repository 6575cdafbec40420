//! Asking the hub: requests, redirects, and answers whose bytes come as a stream.

use std::time::Duration;

use ureq::http::HeaderMap;

use super::environment::Environment;
use crate::error::{Error, Kind, Result};
pub(super) use crate::net::Trouble;
use crate::net::{self, Address, Incoming, Secret, exchange};
use crate::stop::Stop;

/// How long a server may be silent.
const SILENCE: Duration = Duration::from_secs(60);

/// How long an answer that is no file may take to come.
const WHOLE: Duration = Duration::from_secs(120);

/// The most redirects of one request.
const REDIRECTS: usize = 10;

/// Who asks the hub.
#[derive(Debug, Clone)]
pub(super) struct Client {
    agent: ureq::Agent,
    pub(super) endpoint: String,
    token: Option<Secret>,
}

/// An answer whose bytes are still to come.
pub(super) struct Answer {
    pub(super) incoming: Incoming,
    /// The headers of the hub itself, where it sent the request on to another place.
    hubs: Option<HeaderMap>,
}

impl Client {
    pub(super) fn new(environment: &Environment) -> Self {
        let Environment { endpoint, token, .. } = environment;
        Client { agent: net::client(SILENCE), endpoint: endpoint.clone(), token: token.clone() }
    }

    /// Returns whether requests say who asks.
    pub(super) fn has_token(&self) -> bool {
        self.token.as_ref().is_some_and(|token| token.header_for(&self.endpoint).is_some())
    }

    /// Returns why a request to the hub that was refused with this status did not say who asks, if
    /// the token was kept back.
    fn kept_back(&self, url: &str, status: u16) -> Option<Error> {
        let is_hub = Address::of(url) == Address::of(&self.endpoint);
        if self.token.is_none() || self.has_token() || !is_hub || !matches!(status, 401 | 403) {
            return None;
        }
        let what = format!("{} wants to know who asks ({status}), and is reached by plain http", self.endpoint);
        Some(Error::new(Kind::Network, what).hint(
            "a token is not sent over plain http to another machine: name the hub by https in HF_ENDPOINT, or use a tunnel \
             to localhost",
        ))
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
            if let Some(error) = self.kept_back(&url, answer.status) {
                return Err(error.into());
            }
            let to = answer.headers.get("location").and_then(|to| to.to_str().ok());
            let Some(to) = to.filter(|_| matches!(answer.status, 301 | 302 | 303 | 307 | 308)) else {
                return Ok(Answer { incoming: answer, hubs });
            };
            let next = joined(&url, to).ok_or(Trouble::Theirs(ureq::Error::RedirectFailed))?;
            if url.starts_with("https://") && !next.starts_with("https://") {
                return Err(Trouble::Theirs(ureq::Error::TlsRequired));
            }
            // A renamed repository is first sent on within the hub.
            if Address::of(&next) != Address::of(&self.endpoint) || answer.headers.contains_key("x-linked-etag") {
                hubs.get_or_insert(answer.headers.clone());
            }
            url = next;
        }
        Err(Trouble::Theirs(ureq::Error::TooManyRedirects))
    }

    /// Makes one request.
    fn ask(&self, url: &str, first: Option<u64>, stop: &Stop) -> Result<Incoming, Trouble> {
        let mut request = self.agent.get(url).header("accept-encoding", "identity");
        if let Some(first) = first {
            request = request.header("range", format!("bytes={first}-"));
        }
        if let Some(header) = self.token.as_ref().and_then(|token| token.header_for(url)) {
            request = request.header("authorization", header);
        }
        exchange("hub", move || request.call(), stop)
    }
}

impl Answer {
    /// Reads all bytes, if they are at most so many.
    ///
    /// # Errors
    /// Fails if a stop was requested, the connection broke, or more came.
    pub(super) fn all(&self, most: usize, stop: &Stop) -> Result<Vec<u8>, Trouble> {
        self.incoming.all(most, WHOLE, stop)
    }

    /// Returns the text of a header, of the hub's own answer.
    pub(super) fn of_hub(&self, header: &str) -> Option<&str> {
        self.hubs.as_ref().unwrap_or(&self.incoming.headers).get(header)?.to_str().ok()
    }
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
    part.split('/').map(net::escaped).collect::<Vec<_>>().join("%2F")
}

/// Writes a path of the hub's addresses.
pub(super) fn escaped_path(path: &str) -> String {
    path.split('/').map(net::escaped).collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_kept_back_where_others_read_it() {
        let client = |endpoint: &str| Client {
            agent: net::client(SILENCE),
            endpoint: endpoint.to_owned(),
            token: Secret::new("hf_secret", Address::of(endpoint).unwrap()).ok(),
        };
        for (endpoint, is_sent) in
            [("https://huggingface.co", true), ("http://127.0.0.1:1", true), ("http://mirror.example", false)]
        {
            let client = client(endpoint);
            assert_eq!(
                (client.has_token(), client.kept_back(endpoint, 401).is_some()),
                (is_sent, !is_sent),
                "{endpoint}"
            );
            assert!(client.kept_back(endpoint, 404).is_none() && !format!("{client:?}").contains("hf_secret"));
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
