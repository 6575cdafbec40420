//! What the environment says of the hub, by the variables that Python's `huggingface_hub` reads.

use std::ffi::OsString;
use std::path::PathBuf;

use crate::error::{Error, Kind, Result};
use crate::net::{Address, Secret};
use crate::text::path::from_home;

/// Where the hub is if `HF_ENDPOINT` does not say.
const HUB: &str = "https://huggingface.co";

/// Where to fetch from, and where to keep what was fetched.
#[derive(Debug, Clone)]
pub(super) struct Environment {
    /// The folder of the cache: `HF_HUB_CACHE`, or `hub` in `HF_HOME`.
    pub(super) cache: PathBuf,
    /// The hub's address, without a slash at its end: `HF_ENDPOINT`.
    pub(super) endpoint: String,
    /// Whether no request may be made: `HF_HUB_OFFLINE`.
    pub(super) offline: bool,
    /// Whether a model is taken as its owner has published it, never as the hub's bot has converted
    /// it: `DISABLE_SAFETENSORS_CONVERSION`, which transformers reads.
    pub(super) as_published: bool,
    /// Who asks: `HF_TOKEN`, or the file that `hf auth login` writes.
    pub(super) token: Option<Secret>,
}

impl Environment {
    /// Reads the variables of this process.
    ///
    /// # Errors
    /// Returns [`Kind::Usage`] if one of them cannot be meant; [`Kind::System`] if none says where
    /// the cache is.
    pub(super) fn read() -> Result<Self> {
        Self::of(|name| std::env::var_os(name))
    }

    fn of(variable: impl Fn(&str) -> Option<OsString>) -> Result<Self> {
        // An empty variable counts as none.
        let text = |name: &str| -> Result<Option<String>> {
            let Some(value) = variable(name).filter(|value| !value.is_empty()) else { return Ok(None) };
            let value = value.into_string();
            // The value is not shown: it may be a token.
            value.map(Some).map_err(|_| Error::new(Kind::Usage, format!("{name} is not UTF-8 text")))
        };
        let first = |names: &[&str]| -> Result<Option<String>> {
            for name in names {
                if let Some(value) = text(name)? {
                    return Ok(Some(value));
                }
            }
            Ok(None)
        };
        let path = |written: &str| PathBuf::from(expanded(&from_home(written).to_string_lossy(), &variable));
        let home = match (text("HF_HOME")?, text("XDG_CACHE_HOME")?, text("HOME")?) {
            (Some(home), ..) => Some(path(&home)),
            (None, Some(caches), _) => Some(path(&caches).join("huggingface")),
            (None, None, Some(home)) => Some(PathBuf::from(home).join(".cache/huggingface")),
            (None, None, None) => None,
        };
        let cache = match first(&["HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"])? {
            Some(cache) => path(&cache),
            None => home.as_ref().map(|home| home.join("hub")).ok_or_else(|| {
                Error::new(Kind::System, "it is not known where models of the hub are kept: there is no HOME")
                    .hint("HF_HOME names the folder")
            })?,
        };
        let endpoint = text("HF_ENDPOINT")?.unwrap_or_else(|| HUB.to_owned());
        let endpoint = endpoint.trim_end_matches('/').to_owned();
        if endpoint.contains('@') {
            // It would be shown wherever the address is.
            return Err(Error::new(Kind::Usage, "HF_ENDPOINT has a user or password in it")
                .hint("name the address alone, and set HF_TOKEN"));
        }
        if !["http://", "https://"].iter().any(|scheme| endpoint.strip_prefix(scheme).is_some_and(|at| !at.is_empty()))
        {
            return Err(Error::new(Kind::Usage, format!("HF_ENDPOINT is '{endpoint}', which is no address"))
                .hint(format!("unset it, or name a hub: HF_ENDPOINT={HUB}")));
        }
        let is_set = |value: Option<String>| {
            value.is_some_and(|value| ["1", "on", "yes", "true"].contains(&value.trim().to_lowercase().as_str()))
        };
        let offline = is_set(first(&["HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"])?);
        let as_published = is_set(text("DISABLE_SAFETENSORS_CONVERSION")?);
        let nameless = is_set(text("HF_HUB_DISABLE_IMPLICIT_TOKEN")?);
        let token = match first(&["HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"])? {
            Some(token) => token,
            None => {
                let file = text("HF_TOKEN_PATH")?.map(|file| path(&file));
                let file = file.or_else(|| home.map(|home| home.join("token")));
                file.and_then(|file| std::fs::read_to_string(file).ok()).unwrap_or_default()
            }
        };
        let token = secret(token.trim(), &endpoint)?.filter(|_| !nameless);
        Ok(Environment { cache: std::path::absolute(&cache).unwrap_or(cache), endpoint, offline, as_published, token })
    }
}

/// Returns a text with the values of variables in place of `$NAME` and `${NAME}`, as Python expands
/// paths: what is not set stays as it is written.
fn expanded(text: &str, variable: impl Fn(&str) -> Option<OsString>) -> String {
    let (mut all, mut rest) = (String::new(), text);
    while let Some(at) = rest.find('$') {
        let (before, from) = rest.split_at(at);
        all += before;
        let after = &from[1..];
        let is_of_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let (name, end) = match after.strip_prefix('{').and_then(|inner| inner.split_once('}')) {
            Some((name, _)) => (name, name.len() + 3),
            None => {
                let length = after.find(|c| !is_of_name(c)).unwrap_or(after.len());
                (&after[..length], length + 1)
            }
        };
        let value = Some(name).filter(|name| !name.is_empty()).and_then(&variable);
        all += &value.map_or_else(|| from[..end].into(), |value| value.to_string_lossy().into_owned());
        rest = &from[end..];
    }
    all + rest
}

/// Returns a token as a secret of the hub.
fn secret(token: &str, endpoint: &str) -> Result<Option<Secret>> {
    if token.is_empty() {
        return Ok(None);
    }
    let of = Address::of(endpoint).and_then(|hub| Secret::new(token, hub).ok());
    of.map(Some).ok_or_else(|| {
        Error::new(Kind::Usage, "the token of the hub has spaces or other characters that no token has")
            .hint("HF_TOKEN holds the token alone, and so does the file that HF_TOKEN_PATH names")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(set: &[(&str, &str)]) -> Result<Environment> {
        Environment::of(|name| set.iter().find(|(known, _)| *known == name).map(|(_, value)| value.into()))
    }

    #[test]
    fn the_cache_is_where_python_keeps_it() {
        let cache = |set: &[(&str, &str)]| of(set).unwrap().cache;
        let home = ("HOME", "/home/me");
        assert_eq!(cache(&[home]), PathBuf::from("/home/me/.cache/huggingface/hub"));
        assert_eq!(cache(&[home, ("XDG_CACHE_HOME", "/x")]), PathBuf::from("/x/huggingface/hub"));
        assert_eq!(cache(&[home, ("HF_HOME", "/h"), ("XDG_CACHE_HOME", "/x")]), PathBuf::from("/h/hub"));
        assert_eq!(cache(&[home, ("HF_HOME", "/h"), ("HF_HUB_CACHE", "/c")]), PathBuf::from("/c"));
        for written in ["$DISK/hub", "${DISK}/hub"] {
            assert_eq!(cache(&[home, ("DISK", "/data"), ("HF_HUB_CACHE", written)]), PathBuf::from("/data/hub"));
        }
        let caches = [home, ("DISK", "/data"), ("XDG_CACHE_HOME", "/x$DISK/$NOT/${}$")];
        assert_eq!(cache(&caches), PathBuf::from("/x/data/$NOT/${}$/huggingface/hub"));
        assert_eq!(of(&[]).unwrap_err().kind(), Kind::System);
    }

    #[test]
    fn the_endpoint_is_an_address_and_offline_is_said_in_many_ways() {
        let home = ("HOME", "/home/me");
        assert_eq!(of(&[home, ("HF_ENDPOINT", "http://127.0.0.1:8000/")]).unwrap().endpoint, "http://127.0.0.1:8000");
        assert_eq!(of(&[home, ("HF_ENDPOINT", "hub.local")]).unwrap_err().kind(), Kind::Usage);
        let error = of(&[home, ("HF_ENDPOINT", "https://me:secret@hub.local/x")]).unwrap_err();
        assert!(!error.to_string().contains("secret"), "{error}");
        let offline = |value: &str| of(&[home, ("HF_HUB_OFFLINE", value)]).unwrap().offline;
        assert_eq!(["1", "True", "0", "", "no"].map(offline), [true, true, false, false, false]);
    }

    #[test]
    fn a_token_is_found_and_never_shown() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("token"), "hf_of_the_file\n").unwrap();
        let home = folder.path().to_str().unwrap();
        let header = |set: &[(&str, &str)]| {
            let header = of(set).unwrap().token?.header_for(HUB)?;
            Some(header.to_str().unwrap().to_owned())
        };
        assert_eq!(header(&[("HF_HOME", home)]).as_deref(), Some("Bearer hf_of_the_file"));
        assert_eq!(header(&[("HF_HOME", home), ("HF_TOKEN", "hf_a")]).as_deref(), Some("Bearer hf_a"));
        let other = folder.path().join("other");
        std::fs::write(&other, "hf_b").unwrap();
        let named = header(&[("HF_HOME", home), ("HF_TOKEN_PATH", other.to_str().unwrap())]);
        assert_eq!(named.as_deref(), Some("Bearer hf_b"));
        assert_eq!(header(&[("HOME", "/nowhere")]), None);
        let nameless = [("HF_HOME", home), ("HF_TOKEN", "hf_a"), ("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1")];
        assert_eq!(header(&nameless), None);
        let read = of(&[("HF_HOME", home), ("HF_TOKEN", "hf_secret")]).unwrap();
        assert!(!format!("{read:?}").contains("hf_secret"));
        let error = of(&[("HF_HOME", home), ("HF_TOKEN", "hf_secret\nX-Evil: 1")]).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("hf_secret"));
    }
}
