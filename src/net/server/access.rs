//! Who may ask: anyone on this machine, unless there is a token; from other machines only those
//! with the token, through TLS.

use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use tonic::metadata::MetadataMap;
use tonic::transport::{Identity, Server, ServerTlsConfig};

use crate::error::{Context, Error, Kind, Result};
use crate::text::file::bytes;

/// The fewest characters of a token.
const SHORTEST: usize = 16;

/// Bytes that are read of a file with a token or certificates: those of a system are 200 kB.
const LONGEST: u64 = 4 << 20;

/// What a server asks of those who connect.
pub(crate) struct Guarding<'a> {
    /// The address that it listens to.
    pub(crate) address: IpAddr,
    /// The token that clients must send, if there is one.
    pub(crate) token: Option<&'a str>,
    /// The files of a certificate and its private key, as PEM.
    pub(crate) tls: Option<(&'a Path, &'a Path)>,
    /// Whether other machines may connect without a token.
    pub(crate) allow_anyone: bool,
    /// Whether other machines may connect without TLS.
    pub(crate) allow_plaintext: bool,
    /// What to do where there is no token, and where there is no TLS.
    pub(crate) hints: [String; 2],
}

/// What a client must show.
#[derive(Clone)]
pub(crate) struct Access {
    /// The digest of the token. Comparing two digests takes the same time wherever they differ, and
    /// tells nothing of the token's length.
    token: Option<blake3::Hash>,
    tls: Option<ServerTlsConfig>,
}

impl Access {
    /// Reads the certificate and its key.
    ///
    /// # Errors
    /// Returns [`Kind::Usage`] if one of them cannot be used or they do not go together, or if
    /// other machines could connect without a token or TLS and nobody said that they may.
    pub(crate) fn of(guarding: &Guarding<'_>) -> Result<Access> {
        let tls = guarding.tls.map(|(certificate, key)| identity(certificate, key)).transpose()?;
        require(guarding)?;
        let token = guarding.token.map(|token| blake3::hash(token.as_bytes()));
        let access = Access { token, tls: tls.map(|identity| ServerTlsConfig::new().identity(identity)) };
        // What does not go together is said before anyone is told where to connect.
        access.secured(Server::builder())?;
        Ok(access)
    }

    /// Returns whether clients connect through TLS.
    pub(crate) fn has_tls(&self) -> bool {
        self.tls.is_some()
    }

    /// Returns a server that has the certificate, if there is one.
    ///
    /// # Errors
    /// Returns [`Kind::Usage`] if the certificate and its key do not go together.
    pub(crate) fn secured(&self, server: Server) -> Result<Server> {
        let Some(tls) = self.tls.clone() else { return Ok(server) };
        server.tls_config(tls).map_err(|cause| {
            Error::new(Kind::Usage, "the certificate and its key cannot be used").cause(cause).hint(
                "--tls-cert takes the certificate and those that signed it, --tls-key its private key, both as PEM",
            )
        })
    }

    /// Returns whether the client that sent these headers may ask.
    pub(crate) fn admits(&self, headers: &MetadataMap) -> bool {
        let Some(token) = &self.token else { return true };
        presented(headers).is_some_and(|given| blake3::hash(given.as_bytes()) == *token)
    }
}

/// Returns the token that a client has sent: after `Bearer`, or as the password after `Basic`, for
/// drivers that know only those.
pub(crate) fn presented(headers: &MetadataMap) -> Option<String> {
    let header = headers.get("authorization")?.to_str().ok()?;
    let (scheme, rest) = header.split_once(' ')?;
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(rest.to_owned());
    }
    let decoded = BASE64_STANDARD.decode(rest).ok().filter(|_| scheme.eq_ignore_ascii_case("basic"))?;
    let (_, password) = std::str::from_utf8(&decoded).ok()?.split_once(':')?;
    Some(password.to_owned())
}

/// Refuses what would let other machines connect without having been asked to.
fn require(guarding: &Guarding<'_>) -> Result<()> {
    let (address, [without_token, without_tls]) = (guarding.address, &guarding.hints);
    if address.to_canonical().is_loopback() {
        return Ok(());
    }
    if guarding.token.is_none() && !guarding.allow_anyone {
        let what = format!("other machines can reach {address}, and there is no token");
        return Err(Error::new(Kind::Usage, what).hint(without_token));
    }
    if guarding.tls.is_none() && !guarding.allow_plaintext {
        let what = format!("other machines can reach {address}, and what is sent there could be read on the way");
        return Err(Error::new(Kind::Usage, what).hint(without_tls));
    }
    Ok(())
}

/// Reads the token in a file, or in a variable of the environment; `None` if there is neither.
/// `note` is told where others could read it, too.
///
/// # Errors
/// Returns [`Kind::Usage`] if there are both, or the text is no token.
pub(crate) fn token(file: Option<&Path>, variable: &str, note: impl Fn(&str)) -> Result<Option<String>> {
    let (text, place) = match (file, std::env::var(variable).ok().filter(|text| !text.is_empty())) {
        (Some(file), None) => {
            let text = bytes(file, LONGEST).at(Kind::Usage, "cannot read the token in", file)?;
            let text = String::from_utf8_lossy(&text).into_owned();
            let mode = std::fs::metadata(file).map(|about| about.permissions().mode());
            if mode.is_ok_and(|mode| mode & 0o077 != 0) {
                note(&format!("warning: other users can read the token in {0}: chmod 600 {0}", file.display()));
            }
            (text, file.display().to_string())
        }
        (Some(file), Some(_)) => {
            let what = format!("there is a token in {} and one in {variable}", file.display());
            return Err(Error::new(Kind::Usage, what).hint("leave one of them out"));
        }
        (None, Some(text)) => (text, variable.to_owned()),
        (None, None) => return Ok(None),
    };
    let text = text.trim_end_matches(['\n', '\r']);
    if text.len() < SHORTEST || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        let what =
            format!("the token in {place} is not {SHORTEST} or more letters, digits and signs of ASCII in one line");
        return Err(Error::new(Kind::Usage, what).hint("`openssl rand -hex 32` makes one"));
    }
    Ok(Some(text.to_owned()))
}

fn identity(certificate: &Path, key: &Path) -> Result<Identity> {
    let read = |file: &Path, wanted: &str| {
        pem(file, wanted).map_err(|error| error.hint("--tls-cert takes the certificate, --tls-key its private key"))
    };
    Ok(Identity::from_pem(read(certificate, "CERTIFICATE")?, read(key, "PRIVATE KEY")?))
}

/// Reads a file of PEM with something in it of the kind that is `wanted`.
///
/// # Errors
/// Returns [`Kind::Usage`] if it cannot be read, or has no such thing in it.
pub(crate) fn pem(file: &Path, wanted: &str) -> Result<Vec<u8>> {
    let found = bytes(file, LONGEST).at(Kind::Usage, "cannot read", file)?;
    let text = String::from_utf8_lossy(&found);
    if text.lines().any(|line| line.starts_with("-----BEGIN ") && line.contains(wanted)) {
        return Ok(found);
    }
    let what = format!("{} has no line of PEM that begins a {}", file.display(), wanted.to_lowercase());
    Err(Error::new(Kind::Usage, what))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_from_either_kind_of_header() {
        let sent = |header: &str| {
            let mut headers = MetadataMap::new();
            headers.insert("authorization", header.parse().unwrap());
            presented(&headers)
        };
        assert_eq!(sent("Bearer abc").as_deref(), Some("abc"));
        assert_eq!(sent("bearer abc").as_deref(), Some("abc"));
        assert_eq!(sent("Basic YW55Ym9keTpzZWM6cmV0").as_deref(), Some("sec:ret"));
        for odd in ["abc", "Bearer", "Digest YTpi", "Basic ???", "Basic YWJj"] {
            assert_eq!(sent(odd), None, "{odd}");
        }
    }

    #[test]
    fn only_the_token_is_admitted() {
        let access = Access { token: Some(blake3::hash(b"0123456789abcdef")), tls: None };
        let admits = |header: &str| {
            let mut headers = MetadataMap::new();
            headers.insert("authorization", header.parse().unwrap());
            access.admits(&headers)
        };
        assert!(admits("Bearer 0123456789abcdef"));
        for wrong in ["Bearer 0123456789abcdeg", "Bearer 0123456789abcdef0", "Bearer ", "0123456789abcdef"] {
            assert!(!admits(wrong), "{wrong}");
        }
        assert!(!access.admits(&MetadataMap::new()));
        assert!(Access { token: None, tls: None }.admits(&MetadataMap::new()));
    }
}
