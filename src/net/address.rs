//! Where a server is.

use std::net::IpAddr;

use ureq::http::Uri;

/// The scheme, host and port of an address of HTTP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    is_secure: bool,
    /// In lower case.
    host: String,
    port: u16,
}

impl Address {
    /// Returns where an address leads; `None` if it is none of HTTP, or has a user in it.
    pub fn of(url: &str) -> Option<Address> {
        let uri: Uri = url.parse().ok()?;
        let is_secure = match uri.scheme_str()? {
            "https" => true,
            "http" => false,
            _ => return None,
        };
        let host = uri.host().filter(|host| !host.is_empty())?.to_ascii_lowercase();
        if uri.authority()?.as_str().contains('@') {
            return None;
        }
        let port = uri.port_u16().unwrap_or(if is_secure { 443 } else { 80 });
        Some(Address { is_secure, host, port })
    }

    /// Returns whether it leads to this machine.
    pub fn is_here(&self) -> bool {
        self.host == "localhost"
            || self.host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
    }

    /// Returns whether what is sent there is encrypted.
    pub fn is_secure(&self) -> bool {
        self.is_secure
    }

    /// Returns whether nobody on the way can read what is sent there: it is encrypted, or stays on
    /// this machine.
    pub fn is_private(&self) -> bool {
        self.is_secure || self.is_here()
    }
}

/// Writes a text as a part of an address: what has a meaning there, and what is not ASCII, as `%`
/// and two digits for each byte.
pub fn escaped(text: &str) -> String {
    text.bytes()
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
    fn only_the_same_scheme_host_and_port_are_the_same() {
        let hub = Address::of("https://huggingface.co").unwrap();
        assert_eq!(Address::of("https://HUGGINGFACE.co:443/a/b?c"), Some(hub.clone()));
        for other in [
            "http://huggingface.co/a",
            "https://huggingface.co.evil.org/a",
            "https://huggingface.co:444/",
            "https://cdn-lfs.huggingface.co/a",
            "https://huggingface.co@evil.org/a",
            "ftp://huggingface.co",
            "nonsense",
        ] {
            assert_ne!(Address::of(other), Some(hub.clone()), "{other}");
        }
    }

    #[test]
    fn what_is_private_is_encrypted_or_stays_here() {
        for (url, is_private) in [
            ("https://a/v1", true),
            ("http://a/v1", false),
            ("http://localhost:8000", true),
            ("http://LOCALHOST", true),
            ("http://127.0.0.1:8000/v1", true),
            ("http://[::1]:8000/v1", true),
            ("http://127.0.0.1.evil.org/v1", false),
            ("http://localhost.evil.org/v1", false),
            ("http://10.0.0.1/v1", false),
        ] {
            assert_eq!(Address::of(url).unwrap().is_private(), is_private, "{url}");
        }
    }
}
