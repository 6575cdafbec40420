//! A key or token: it is shown to the server that it is for, and to nobody else.

use std::fmt;

use ureq::http::HeaderValue;

use super::address::{Address, escaped};

/// The length from which a text is taken for a secret: servers that want none are given `x` or
/// `none`, which are words that a server's other words may have.
const SECRET: usize = 12;

/// A secret, and the server that it is for.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret {
    text: String,
    of: Address,
}

/// A text that no header can hold, so that it is no secret of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoSecret;

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(...)")
    }
}

impl Secret {
    /// Takes a text for the secret of a server.
    ///
    /// # Errors
    /// Returns [`NoSecret`] if it is empty, or has spaces or other characters that no header may
    /// have.
    pub fn new(text: &str, of: Address) -> Result<Secret, NoSecret> {
        let can_be_sent = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
        can_be_sent.then(|| Secret { text: text.to_owned(), of }).ok_or(NoSecret)
    }

    /// Returns the header `Authorization` of a request to `url`: for the secret's own scheme, host
    /// and port, and where nobody on the way can read it.
    pub fn header_for(&self, url: &str) -> Option<HeaderValue> {
        Address::of(url).filter(|address| *address == self.of && address.is_private())?;
        let mut value = HeaderValue::from_str(&format!("Bearer {}", self.text)).ok()?;
        value.set_sensitive(true);
        Some(value)
    }

    /// Takes the secret out of what a server said, also as JSON and addresses may spell it.
    pub fn hide(&self, said: &str) -> String {
        if self.text.len() < SECRET {
            return said.to_owned();
        }
        let in_json = self.text.replace('/', "\\/");
        let in_address = escaped(&self.text);
        [&self.text, &in_json, &in_address].into_iter().fold(said.to_owned(), |said, key| said.replace(key, "[key]"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "sk-0123456789abcdef";

    fn of(base: &str, key: &str) -> Result<Secret, NoSecret> {
        Secret::new(key, Address::of(base).unwrap())
    }

    #[test]
    fn a_secret_goes_to_its_server_and_into_no_text() {
        let key = of("https://models.example/v1", KEY).unwrap();
        let header = key.header_for("https://models.example/v1/chat/completions").unwrap();
        assert_eq!(header, format!("Bearer {KEY}"));
        assert!(!format!("{key:?} {header:?}").contains(KEY));
        assert_eq!(key.hide(&format!("wrong key {KEY}!")), "wrong key [key]!");
        let odd = of("https://a/v1", "sk-0123/4567+89").unwrap();
        for said in ["sk-0123/4567+89", "sk-0123\\/4567+89", "sk-0123%2F4567%2B89"] {
            assert_eq!(odd.hide(said), "[key]");
        }
        assert_eq!(of("http://localhost:1/v1", "x").unwrap().hide("an axe"), "an axe");
        for other in ["http://models.example/v1", "https://models.example:8/v1", "https://evil.example/v1", "nonsense"]
        {
            assert_eq!(key.header_for(other), None, "{other}");
        }
    }

    #[test]
    fn a_secret_is_not_sent_where_others_read_it() {
        for (base, is_sent) in [("http://127.0.0.1:8/v1", true), ("http://models.example/v1", false)] {
            assert_eq!(of(base, KEY).unwrap().header_for(base).is_some(), is_sent, "{base}");
        }
        for text in ["", "two words", "sk-1\nx-evil: 1", "schlüssel"] {
            assert_eq!(of("https://a/v1", text), Err(NoSecret));
        }
    }
}
