//! Who may ask: anyone on this machine, unless there is a token; from other machines only those
//! with the token, through TLS.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use tonic::metadata::MetadataMap;
use tonic::transport::{Identity, ServerTlsConfig};

use super::{Settings, TOKEN, Told};
use crate::error::{Context, Error, Kind, Result};

/// The fewest characters of a token.
const SHORTEST: usize = 16;

/// What a client must show.
pub(super) struct Access {
    /// The digest of the token. Comparing two digests takes the same time wherever they differ, and
    /// tells nothing of the token's length.
    token: Option<blake3::Hash>,
    pub(super) tls: Option<ServerTlsConfig>,
}

impl Access {
    /// Reads the token, the certificate and its key.
    ///
    /// # Errors
    /// Returns [`Kind::Usage`] if one of them cannot be used, or if other machines could connect
    /// without one and nobody said that they may.
    pub(super) fn of(settings: &Settings, told: &impl Told) -> Result<Access> {
        let token = token(settings.token.as_deref(), told)?;
        let tls = settings.tls.as_ref().map(|(certificate, key)| identity(certificate, key)).transpose()?;
        require(settings, token.is_some())?;
        Ok(Access { token, tls: tls.map(|identity| ServerTlsConfig::new().identity(identity)) })
    }

    /// Returns whether the client that sent these headers may ask.
    pub(super) fn admits(&self, headers: &MetadataMap) -> bool {
        let Some(token) = &self.token else { return true };
        presented(headers).is_some_and(|given| blake3::hash(given.as_bytes()) == *token)
    }
}

/// Returns the token that a client has sent: after `Bearer`, or as the password after `Basic`, for
/// drivers that know only those.
pub(super) fn presented(headers: &MetadataMap) -> Option<String> {
    let header = headers.get("authorization")?.to_str().ok()?;
    let (scheme, rest) = header.split_once(' ')?;
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(rest.to_owned());
    }
    let decoded = BASE64_STANDARD.decode(rest).ok().filter(|_| scheme.eq_ignore_ascii_case("basic"))?;
    let (_, password) = std::str::from_utf8(&decoded).ok()?.split_once(':')?;
    Some(password.to_owned())
}

/// Refuses what would let other machines read the tables without having been asked to.
fn require(settings: &Settings, token: bool) -> Result<()> {
    let address = settings.address;
    if address.to_canonical().is_loopback() {
        return Ok(());
    }
    if !token && !settings.allow_anyone {
        return Err(Error::new(Kind::Usage, format!("other machines can reach {address}, and there is no token")).hint(
            format!(
                "`openssl rand -hex 32 > token` makes one: name the file with --token-file, or set {TOKEN}; --allow-anyone \
                 serves the tables to whoever connects"
            ),
        ));
    }
    if settings.tls.is_none() && !settings.allow_plaintext {
        let what = format!("other machines can reach {address}, and what is sent there could be read on the way");
        return Err(Error::new(Kind::Usage, what).hint(
            "name a certificate and its key with --tls-cert and --tls-key; --allow-plaintext sends tables and token as they \
             are, for where a proxy adds TLS",
        ));
    }
    Ok(())
}

/// Reads the digest of the token, if there is one.
fn token(file: Option<&Path>, told: &impl Told) -> Result<Option<blake3::Hash>> {
    let (text, place) = match (file, std::env::var(TOKEN).ok().filter(|text| !text.is_empty())) {
        (Some(file), None) => {
            let text = std::fs::read_to_string(file).at(Kind::Usage, "cannot read the token in", file)?;
            let mode = std::fs::metadata(file).map(|about| about.permissions().mode());
            if mode.is_ok_and(|mode| mode & 0o077 != 0) {
                told.note(&format!("warning: other users can read the token in {0}: chmod 600 {0}", file.display()));
            }
            (text, file.display().to_string())
        }
        (Some(file), Some(_)) => {
            let what = format!("there is a token in {} and one in {TOKEN}", file.display());
            return Err(Error::new(Kind::Usage, what).hint("leave one of them out"));
        }
        (None, Some(text)) => (text, TOKEN.to_owned()),
        (None, None) => return Ok(None),
    };
    let text = text.trim_end_matches(['\n', '\r']);
    if text.len() < SHORTEST || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        let what =
            format!("the token in {place} is not {SHORTEST} or more letters, digits and signs of ASCII in one line");
        return Err(Error::new(Kind::Usage, what).hint("`openssl rand -hex 32` makes one"));
    }
    Ok(Some(blake3::hash(text.as_bytes())))
}

fn identity(certificate: &Path, key: &Path) -> Result<Identity> {
    let read = |file: &Path| std::fs::read(file).at(Kind::Usage, "cannot read", file);
    let (certificate_text, key_text) = (read(certificate)?, read(key)?);
    for (file, text, wanted) in [(certificate, &certificate_text, "CERTIFICATE"), (key, &key_text, "PRIVATE KEY")] {
        let text = String::from_utf8_lossy(text);
        if !text.lines().any(|line| line.starts_with("-----BEGIN ") && line.contains(wanted)) {
            let what = format!("{} has no line of PEM that begins a {}", file.display(), wanted.to_lowercase());
            return Err(
                Error::new(Kind::Usage, what).hint("--tls-cert takes the certificate, --tls-key its private key")
            );
        }
    }
    Ok(Identity::from_pem(certificate_text, key_text))
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
