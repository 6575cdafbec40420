//! Where a language model is asked, and the key that is shown there.
//!
//! The key is a secret: it is in no message, and is taken out of whatever a server says.

use std::fmt;
use std::net::IpAddr;

use ureq::http::{HeaderValue, Uri};

use crate::error::{Error, Kind, Result};

/// The environment variable of the key.
pub const KEY: &str = "OPENAI_API_KEY";
/// The environment variable of the address.
const BASE: &str = "OPENAI_BASE_URL";
/// The address if none is given.
const OPENAI: &str = "https://api.openai.com/v1";
/// The length from which a key is taken for a secret: servers that want none are given `x` or
/// `none`, which are words that sentences may have.
const SECRET: usize = 12;

/// A server's address, and the key for it.
#[derive(Debug, Clone)]
pub struct Endpoint {
    base: String,
    host: String,
    secure: bool,
    loopback: bool,
    key: Option<Key>,
}

/// A key, which is shown to nobody but its server.
#[derive(Clone)]
struct Key(String);

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[key]")
    }
}

impl Endpoint {
    /// Returns the address that is `named`, or else that of the environment, or else OpenAI's.
    ///
    /// # Errors
    /// Returns [`Kind::Usage`] if it is no `http` or `https` address, has a key in it, or the key
    /// of the environment is none that a header can have.
    pub fn find(named: Option<&str>) -> Result<Endpoint> {
        let of = |name: &str| std::env::var(name).ok().map(|v| v.trim().to_owned()).filter(|v| !v.is_empty());
        match named {
            Some(base) => Endpoint::new(base, "describe.endpoint", of(KEY)),
            None => match of(BASE) {
                Some(base) => Endpoint::new(&base, BASE, of(KEY)),
                None => Endpoint::new(OPENAI, "", of(KEY)),
            },
        }
    }

    /// Makes an endpoint of an address that `place` names.
    fn new(base: &str, place: &str, key: Option<String>) -> Result<Endpoint> {
        // The address itself may hold a secret, and is not repeated.
        let wrong = |what: &str| {
            Error::new(Kind::Usage, format!("{place}: {what}"))
                .hint("e.g. http://localhost:8000/v1, without a key in it")
        };
        let uri: Uri = base.parse().map_err(|_| wrong("not an address"))?;
        let secure = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(wrong("not an http or https address")),
        };
        let authority = uri.authority().ok_or_else(|| wrong("an address without a host"))?;
        if authority.as_str().contains('@') || uri.query().is_some() {
            return Err(wrong("an address with a user, a password or a query").hint(format!("{KEY} is for the key")));
        }
        let host = authority.host();
        let loopback = host == "localhost"
            || host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
        if key.as_ref().is_some_and(|key| HeaderValue::from_str(key).is_err()) {
            return Err(Error::new(Kind::Usage, format!("{KEY} has characters that no key has"))
                .hint("was more than the key copied?"));
        }
        let base = base.trim_end_matches('/').to_owned();
        Ok(Endpoint { base, host: authority.as_str().to_owned(), secure, loopback, key: key.map(Key) })
    }

    /// Checks that what the address wants is there: a key, unless it is a plain one.
    ///
    /// # Errors
    /// Returns [`Kind::Usage`] if a key is missing.
    pub fn require_key(&self) -> Result<()> {
        if self.secure && self.key.is_none() {
            return Err(Error::new(Kind::Usage, format!("{} wants a key, and {KEY} is not set", self.host)).hint(format!(
                "export {KEY}=…; a server that wants none takes any; OPENAI_BASE_URL or describe.endpoint names another server"
            )));
        }
        Ok(())
    }

    /// Returns the address of something that the server offers.
    pub(super) fn url(&self, path: &str) -> String {
        format!("{}/{path}", self.base)
    }

    /// Returns the host, and the port if one was given.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Returns whether the server is on this machine, so that no proxy is asked for it.
    pub(super) fn is_here(&self) -> bool {
        self.loopback
    }

    /// Returns the header `Authorization`. A key is not sent over a network that can read it.
    pub(super) fn authorization(&self) -> Option<HeaderValue> {
        let Key(key) = self.key.as_ref().filter(|_| self.secure || self.loopback)?;
        let mut value = HeaderValue::from_str(&format!("Bearer {key}")).ok()?;
        value.set_sensitive(true);
        Some(value)
    }

    /// Says what became of the key, for a refusal.
    pub(super) fn of_key(&self) -> String {
        match (&self.key, self.secure || self.loopback) {
            (None, _) => format!("{KEY} is not set"),
            (Some(_), true) => format!("is {KEY} the key of this server?"),
            (Some(_), false) => {
                "a key is not sent over plain http to another machine: use https, or a tunnel to localhost".to_owned()
            }
        }
    }

    /// Takes the key out of what a server said.
    pub(super) fn hide(&self, said: &str) -> String {
        match &self.key {
            Some(Key(key)) if key.len() >= SECRET => said.replace(key.as_str(), "[key]"),
            _ => said.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(base: &str, key: Option<&str>) -> Result<Endpoint> {
        Endpoint::new(base, "describe.endpoint", key.map(str::to_owned))
    }

    #[test]
    fn the_key_goes_to_its_server_and_into_no_text() {
        const SECRET: &str = "sk-0123456789abcdef";
        let there = of("https://models.example/v1/", Some(SECRET)).unwrap();
        assert_eq!(there.url("chat/completions"), "https://models.example/v1/chat/completions");
        assert_eq!(there.authorization().unwrap(), format!("Bearer {SECRET}"));
        assert!(!format!("{there:?} {:?}", there.authorization()).contains(SECRET));
        assert_eq!(there.hide(&format!("wrong key {SECRET}!")), "wrong key [key]!");
        assert_eq!(of("http://localhost:1/v1", Some("x")).unwrap().hide("an axe"), "an axe");
        // Plain http: to this machine alone.
        assert!(of("http://127.0.0.1:8000/v1", Some(SECRET)).unwrap().authorization().is_some());
        assert!(of("http://[::1]:8000/v1", Some(SECRET)).unwrap().authorization().is_some());
        assert!(of("http://models.example/v1", Some(SECRET)).unwrap().authorization().is_none());
    }

    #[test]
    fn addresses_are_checked_and_not_repeated() {
        for wrong in
            ["", "models", "ftp://a/v1", "https://user:sk-secret@a/v1", "https://a/v1?key=sk-secret", "https:///v1"]
        {
            let error = of(wrong, None).unwrap_err();
            assert!(error.kind() == Kind::Usage && !error.to_string().contains("sk-secret"), "{wrong}: {error}");
        }
        let error = of("https://a/v1", Some("two\nlines of text")).unwrap_err();
        assert!(!error.to_string().contains("two"));
        assert!(of("https://a/v1", None).unwrap().require_key().unwrap_err().to_string().contains(KEY));
        assert!(of("http://a/v1", None).unwrap().require_key().is_ok());
    }
}
