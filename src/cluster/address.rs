//! Where a scheduler listens: `df://HOST:PORT`, or `df+tls://HOST:PORT`.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// The address of a scheduler.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    host: String,
    port: u16,
    tls: bool,
}

const PLAIN: &str = "df://";
const PRIVATE: &str = "df+tls://";

impl Address {
    /// Returns the address of a scheduler that listens here.
    pub fn new(host: &Host, port: u16, tls: bool) -> Self {
        Address { host: host.to_string(), port, tls }
    }

    /// Returns the host, without the brackets of an address of IPv6.
    pub fn host(&self) -> &str {
        self.host.trim_start_matches('[').trim_end_matches(']')
    }

    /// Returns whether it is an address that only this machine reaches.
    pub fn is_on_this_machine(&self) -> bool {
        let ip = self.host().parse::<IpAddr>();
        self.host == "localhost" || ip.is_ok_and(|ip| ip.to_canonical().is_loopback())
    }

    /// Returns the port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Returns whether it is talked to through TLS.
    pub fn has_tls(&self) -> bool {
        self.tls
    }

    /// Returns the address as HTTP has it.
    pub fn url(&self) -> String {
        format!("{}://{}:{}", if self.tls { "https" } else { "http" }, self.host, self.port)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}:{}", if self.tls { PRIVATE } else { PLAIN }, self.host, self.port)
    }
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (tls, rest) = match (text.strip_prefix(PLAIN), text.strip_prefix(PRIVATE)) {
            (Some(rest), _) => (false, rest),
            (_, Some(rest)) => (true, rest),
            _ => return Err("write df://HOST:PORT, or df+tls://HOST:PORT, as `cluster scheduler` does".to_owned()),
        };
        let parts = rest.trim_end_matches('/').rsplit_once(':').filter(|(host, _)| is_host(host));
        match parts.map(|(host, port)| (host, port.parse::<u16>())) {
            Some((host, Ok(port))) if port > 0 => Ok(Address { host: host.to_owned(), port, tls }),
            Some(_) => Err("the port is a number from 1 to 65535".to_owned()),
            None => Err("write a host and a port: df://10.0.0.1:50050".to_owned()),
        }
    }
}

/// What others reach a machine by: a name, or an IP address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host(String);

impl From<IpAddr> for Host {
    /// As it stands in an address: one of IPv6 in brackets.
    fn from(ip: IpAddr) -> Host {
        Host(match ip {
            IpAddr::V4(ip) => ip.to_string(),
            IpAddr::V6(ip) => format!("[{ip}]"),
        })
    }
}

impl FromStr for Host {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse::<IpAddr>() {
            Ok(ip) if ip.is_unspecified() => Err("that means every address, and is none that others reach".to_owned()),
            Ok(ip) => Ok(ip.into()),
            Err(_) if is_host(text) => Ok(Host(text.to_owned())),
            Err(_) => Err("a name or an IP address, without a scheme and a port".to_owned()),
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Returns whether a text may be a name of a host, or an address of IPv4 or, in brackets, IPv6.
fn is_host(text: &str) -> bool {
    let inside = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
    match inside {
        Some(inside) => inside.parse::<std::net::Ipv6Addr>().is_ok(),
        None => !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_is_this_machine() {
        let is_here = |text: &str| text.parse::<Address>().unwrap().is_on_this_machine();
        for here in ["df://127.0.0.1:1", "df+tls://localhost:1", "df://[::1]:1", "df://127.1.2.3:1"] {
            assert!(is_here(here), "{here}");
        }
        for elsewhere in ["df://10.0.0.1:1", "df://localhost.example.org:1", "df://[fe80::1]:1", "df://0.0.0.0:1"] {
            assert!(!is_here(elsewhere), "{elsewhere}");
        }
    }

    #[test]
    fn a_host_is_a_name_or_an_ip_and_nothing_around_it() {
        for (text, host) in [("gpu-1", "gpu-1"), ("10.0.0.1", "10.0.0.1"), ("::1", "[::1]"), ("[fe80::1]", "[fe80::1]")]
        {
            assert_eq!(text.parse::<Host>().unwrap().to_string(), host);
        }
        for text in ["", " ", "http://a", "a:1", "a/b", "[::1", "[a]", "0.0.0.0", "::"] {
            assert!(text.parse::<Host>().is_err(), "{text}");
        }
    }

    #[test]
    fn an_address_is_read_as_it_is_written_or_refused_with_what_is_right() {
        for text in ["df://127.0.0.1:50050", "df+tls://gpu-1.example.org:1", "df://[::1]:65535"] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
        }
        let address: Address = "df+tls://[::1]:8/".parse().unwrap();
        assert_eq!((address.host(), address.url().as_str()), ("::1", "https://[::1]:8"));
        for text in ["", "127.0.0.1:50050", "http://a:1", "df:/a:1", "grpc://a:1"] {
            assert!(text.parse::<Address>().unwrap_err().starts_with("write df://"), "{text}");
        }
        for text in ["df://", "df://a", "df://:5", "df://a b:5", "df://a/b:5", "df://::1:5", "df://me@a:5"] {
            assert!(text.parse::<Address>().unwrap_err().starts_with("write a host"), "{text}");
        }
        for text in ["df://a:", "df://a:0", "df://a:65536", "df://a:b", "df://a:-1"] {
            assert!(text.parse::<Address>().unwrap_err().starts_with("the port"), "{text}");
        }
    }
}
