//! Where a language model is asked, and the key that is shown there.
//!
//! A pipeline file may name any server, and may come from anybody. So the key of the environment is
//! shown to the server that the environment names, to OpenAI, and to this machine, and to no other.

use std::env::VarError;

use ureq::http::HeaderValue;

use crate::error::{Error, Kind, Result};
use crate::net::{Address, Secret};

/// The environment variable of the key.
pub const KEY: &str = "OPENAI_API_KEY";
/// The environment variable of the address.
pub const BASE: &str = "OPENAI_BASE_URL";
/// The address if none is given.
const OPENAI: &str = "https://api.openai.com/v1";

/// A server's address, and the key for it.
#[derive(Debug, Clone)]
pub struct Endpoint {
    base: String,
    /// As it is written, with the port.
    host: String,
    address: Address,
    key: Key,
}

#[derive(Debug, Clone)]
enum Key {
    /// There is none.
    None,
    /// It is this server's.
    Ours(Secret),
    /// There is one, and nobody but a pipeline file says that it is for this server.
    KeptBack,
}

impl Endpoint {
    /// Returns the address that is `named`, or else that of the environment, or else OpenAI's.
    ///
    /// # Errors
    /// Returns [`Kind::Usage`] if it is no `http` or `https` address, has a key in it, or the key
    /// of the environment is none that a header can have.
    pub fn find(named: Option<&str>) -> Result<Endpoint> {
        Endpoint::of(named, |name| std::env::var(name))
    }

    fn of(named: Option<&str>, variable: impl Fn(&str) -> Result<String, VarError>) -> Result<Endpoint> {
        let text = |name: &str| match variable(name) {
            Ok(value) => Ok(Some(value.trim().to_owned()).filter(|value| !value.is_empty())),
            Err(VarError::NotPresent) => Ok(None),
            // The value is not shown: it may be a key.
            Err(VarError::NotUnicode(_)) => Err(Error::new(Kind::Usage, format!("{name} is not UTF-8 text"))),
        };
        let (key, of_environment) = (text(KEY)?, text(BASE)?);
        let (base, place) = match (named, &of_environment) {
            (Some(base), _) => (base, "describe.endpoint"),
            (None, Some(base)) => (base.as_str(), BASE),
            (None, None) => (OPENAI, ""),
        };
        let (base, host, address) = checked(base, place)?;
        let is_meant = address.is_here()
            || [Some(OPENAI), of_environment.as_deref()]
                .into_iter()
                .flatten()
                .any(|base| Address::of(base).as_ref() == Some(&address));
        let key = match key {
            None => Key::None,
            Some(_) if !is_meant => Key::KeptBack,
            Some(key) => Key::Ours(Secret::new(&key, address.clone()).map_err(|_| {
                Error::new(Kind::Usage, format!("{KEY} has characters that no key has"))
                    .hint("was more than the key copied?")
            })?),
        };
        Ok(Endpoint { base, host, address, key })
    }

    /// Checks that what the address wants is there: a key, unless it is a plain one.
    ///
    /// # Errors
    /// Returns [`Kind::Usage`] if a key is missing, or there is one that is not sent there.
    pub fn require_key(&self) -> Result<()> {
        match self.key {
            Key::None if self.address.is_secure() => {
                let what = format!("{} wants a key, and {KEY} is not set", self.host);
                Err(Error::new(Kind::Usage, what).hint(format!(
                    "export {KEY}=…; a server that wants none takes any; {BASE} or describe.endpoint names another server"
                )))
            }
            Key::KeptBack if self.address.is_secure() => {
                let what = format!("{KEY} is not sent to {}, which describe.endpoint alone names", self.host);
                Err(Error::new(Kind::Usage, what).hint(self.of_key()))
            }
            _ => Ok(()),
        }
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
        self.address.is_here()
    }

    /// Returns the header `Authorization` of a request to `url`, if the key may be shown there.
    pub(super) fn authorization(&self, url: &str) -> Option<HeaderValue> {
        match &self.key {
            Key::Ours(key) => key.header_for(url),
            Key::None | Key::KeptBack => None,
        }
    }

    /// Says what became of the key, for a refusal.
    pub(super) fn of_key(&self) -> String {
        match &self.key {
            Key::None => format!("{KEY} is not set"),
            Key::Ours(_) if !self.address.is_private() => {
                "a key is not sent over plain http to another machine: use https, or a tunnel to localhost".to_owned()
            }
            Key::Ours(_) => format!("is {KEY} the key of this server?"),
            Key::KeptBack => format!(
                "a pipeline file may come from anybody, so it does not decide who sees the key; if the key is of this server, \
                 name it in the environment too: export {BASE}={}",
                self.base
            ),
        }
    }

    /// Takes the key out of what a server said.
    pub(super) fn hide(&self, said: &str) -> String {
        match &self.key {
            Key::Ours(key) => key.hide(said),
            Key::None | Key::KeptBack => said.to_owned(),
        }
    }
}

/// Checks an address that `place` names. Messages do not repeat it.
///
/// # Errors
/// Returns [`Kind::Usage`] if it is no `http` or `https` address, or has a user, a password or a
/// query in it.
pub fn require_address(base: &str, place: &str) -> Result<()> {
    checked(base, place).map(drop)
}

/// Returns an address that `place` names without the slashes at its end, and where it leads.
fn checked(base: &str, place: &str) -> Result<(String, String, Address)> {
    use ureq::http::Uri;

    // The address itself may hold a secret, and is not repeated.
    let wrong = |what: &str| {
        Error::new(Kind::Usage, format!("{place}: {what}")).hint("e.g. http://localhost:8000/v1, without a key in it")
    };
    let uri: Uri = base.parse().map_err(|_| wrong("not an address"))?;
    if !matches!(uri.scheme_str(), Some("http" | "https")) {
        return Err(wrong("not an http or https address"));
    }
    let authority = uri.authority().ok_or_else(|| wrong("an address without a host"))?.as_str();
    if authority.contains('@') || base.contains(['?', '#']) {
        return Err(wrong("an address with a user, a password or a query").hint(format!("{KEY} is for the key")));
    }
    let address = Address::of(base).ok_or_else(|| wrong("an address without a host"))?;
    // Some copy the whole address of a request.
    let base = base.trim_end_matches('/');
    let base = base.strip_suffix("/chat/completions").unwrap_or(base).trim_end_matches('/');
    Ok((base.to_owned(), authority.to_owned(), address))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "sk-0123456789abcdef";

    fn of(named: Option<&str>, set: &[(&str, &str)]) -> Result<Endpoint> {
        let value = |name: &str| set.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
        Endpoint::of(named, |name| value(name).ok_or(VarError::NotPresent))
    }

    fn sent(endpoint: &Endpoint) -> bool {
        endpoint.authorization(&endpoint.url("chat/completions")).is_some()
    }

    #[test]
    fn a_pipeline_file_does_not_decide_who_sees_the_key() {
        let key = (KEY, SECRET);
        let named = "https://models.example/v1/";
        let theirs = of(Some(named), &[key]).unwrap();
        let refused = theirs.require_key().unwrap_err();
        assert!(!sent(&theirs) && refused.kind() == Kind::Usage);
        assert!(format!("{refused:?}").contains("export OPENAI_BASE_URL=https://models.example/v1"), "{refused:?}");
        for other in ["https://models.example:8443/v1", "http://models.example/v1", "https://api.openai.com/v1"] {
            assert!(!sent(&of(Some(named), &[key, (BASE, other)]).unwrap()), "{other}");
        }
        // The user names the server, or it is one that the key is for.
        let meant = of(Some(named), &[key, (BASE, "https://models.example")]).unwrap();
        assert!(sent(&meant) && meant.require_key().is_ok() && !format!("{meant:?}").contains(SECRET));
        assert!(sent(&of(None, &[key, (BASE, named)]).unwrap()));
        for trusted in ["https://api.openai.com/v1", "http://127.0.0.1:8000/v1", "http://[::1]:8000/v1"] {
            assert!(sent(&of(Some(trusted), &[key]).unwrap()), "{trusted}");
        }
        assert!(sent(&of(None, &[key]).unwrap()));
        // The key is not sent over plain http, even to a server that the user names.
        assert!(!sent(&of(None, &[key, (BASE, "http://models.example/v1")]).unwrap()));
    }

    #[test]
    fn addresses_are_checked_and_not_repeated() {
        for wrong in [
            "",
            "models",
            "localhost:8000",
            "ftp://a/v1",
            "https://user:sk-secret@a/v1",
            "https://a/v1?key=sk-secret",
            "https://a/v1#sk-secret",
            "https:///v1",
        ] {
            let error = of(Some(wrong), &[]).unwrap_err();
            assert!(error.kind() == Kind::Usage && !error.to_string().contains("sk-secret"), "{wrong}: {error}");
        }
        for base in ["http://a/v1", "http://a/v1/", "http://a/v1//", "http://a/v1/chat/completions"] {
            assert_eq!(of(Some(base), &[]).unwrap().url("models"), "http://a/v1/models");
        }
        let error = of(None, &[(KEY, "two\nlines of text")]).unwrap_err();
        assert!(!error.to_string().contains("two"));
        assert!(of(Some("https://a/v1"), &[]).unwrap().require_key().unwrap_err().to_string().contains(KEY));
        assert!(of(Some("http://a/v1"), &[]).unwrap().require_key().is_ok());
    }
}
