//! Addresses on stores of objects and on servers of HTTP: `s3://bucket/birds`,
//! `https://host/shards/train-{000..099}.tar`.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::text::pattern;

/// The schemes of addresses that are read, and the service behind each.
const SCHEMES: [(&str, Service); 9] = [
    ("s3", Service::S3),
    ("s3a", Service::S3),
    ("gs", Service::Google),
    ("az", Service::Azure),
    ("azure", Service::Azure),
    ("abfs", Service::Azure),
    ("abfss", Service::Azure),
    ("http", Service::Http),
    ("https", Service::Http),
];

/// How addresses are written.
pub const FORMS: &str =
    "pictures are at s3://BUCKET/FOLDER, gs://BUCKET/FOLDER, az://CONTAINER/FOLDER or https://HOST/FILE.parquet";

/// How the addresses of models are written.
pub const MODELS: &str = "a model is at s3://BUCKET/FOLDER, gs://BUCKET/FOLDER or az://CONTAINER/FOLDER";

/// How the places of stores are written.
pub const STORES: &str = "a store is a folder, or s3://BUCKET/FOLDER, gs://BUCKET/FOLDER or az://CONTAINER/FOLDER";

/// A kind of server that has objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// Amazon's S3, and what answers like it.
    S3,
    /// Google's Cloud Storage.
    Google,
    /// Azure's Blob Storage.
    Azure,
    /// Any server of HTTP, which does not say what it has.
    Http,
}

/// Where objects are: a bucket or host, and the beginning of their names there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    pub(super) scheme: &'static str,
    pub(super) service: Service,
    pub(super) host: String,
    /// The path below, without slashes at its ends. It may be a pattern.
    pub(super) key: String,
}

impl Address {
    /// Reads an address; `None` if the text has no scheme of [`SCHEMES`]. An address that cannot be
    /// meant is an error: why not.
    pub fn parse(text: &str) -> Option<Result<Address, String>> {
        let (scheme, rest) = text.split_once("://")?;
        let known = |(name, _): &&(&str, Service)| name.eq_ignore_ascii_case(scheme);
        let (scheme, service) = *SCHEMES.iter().find(known)?;
        let (host, key) = rest.split_once('/').unwrap_or((rest, ""));
        let address = Address { scheme, service, host: host.to_owned(), key: key.trim_end_matches('/').to_owned() };
        Some(address.problem().map_or(Ok(address), |why| Err(why.to_owned())))
    }

    /// Reads the address of a store: like [`parse`](Self::parse), but every other text with a
    /// scheme is an error, since a folder of that name would be made otherwise.
    pub fn of_store(text: &str) -> Option<Result<Address, String>> {
        let (scheme, rest) = text.split_once(':')?;
        let is_file = scheme.eq_ignore_ascii_case("file");
        let is_known = SCHEMES.iter().any(|(name, _)| name.eq_ignore_ascii_case(scheme));
        let Some(rest) = rest.strip_prefix("//") else {
            let without = rest.trim_start_matches('/');
            return match is_known {
                true => Some(Err(format!("with a slash too few: {scheme}://{without}"))),
                false => is_file.then(|| Err(format!("and a folder is named without it: {rest}"))),
            };
        };
        let is_scheme = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
        Address::parse(text).or_else(|| {
            is_scheme.then(|| match is_file {
                true => Err(format!("and a folder is named without it: {rest}")),
                false => Err("at which no store can be".to_owned()),
            })
        })
    }

    /// Reads the address of a model: like [`parse`](Self::parse), but one of HTTP is none, since
    /// its server does not say which files a model has, and a pattern is an error.
    pub fn of_model(text: &str) -> Option<Result<Address, String>> {
        let is_of_http = |address: &Address| address.service == Service::Http;
        let address = Address::parse(text).filter(|address| !address.as_ref().is_ok_and(is_of_http))?;
        let is_pattern = pattern::folder(Path::new(text)).is_some();
        Some(if is_pattern { Err("which is a pattern, and a model is one folder".to_owned()) } else { address })
    }

    /// Returns the address that stands in the place of a path, if one does.
    pub fn in_place_of(path: &Path) -> Option<Address> {
        Address::parse(path.to_str()?)?.ok()
    }

    /// Returns the service that has the objects.
    pub fn service(&self) -> Service {
        self.service
    }

    /// Returns what is wrong with it.
    fn problem(&self) -> Option<&'static str> {
        let Address { service, host, key, .. } = self;
        let account = *service == Service::Azure && !host.contains(':');
        if host.is_empty() || host.starts_with('@') || host.bytes().all(|byte| byte == b'.') {
            return Some("which names no bucket, container or host");
        }
        if host.contains('@') && !account {
            return Some("which has a user or password in it: credentials are read from the environment");
        }
        if host.contains(|c: char| !(c.is_ascii_alphanumeric() || "-_.:@[]".contains(c))) {
            return Some("whose bucket or host has a character that none has");
        }
        if *service == Service::Http && key.contains(['?', '#']) {
            return Some("which has a query or a fragment: plain addresses are read");
        }
        if key.contains(|c: char| c.is_control()) {
            return Some("which has a control character in it");
        }
        let is_odd = |part: &str| matches!(part, "" | "." | "..");
        (!key.is_empty() && key.split('/').any(is_odd))
            .then_some("which has an empty part, a `.` or a `..` in its path")
    }

    /// Returns the address of another object or folder of the same bucket or host.
    pub(super) fn at(&self, key: &str) -> Address {
        Address { key: key.to_owned(), ..self.clone() }
    }

    /// Returns the address of what lies below it.
    #[cfg(feature = "stores")]
    pub(crate) fn below(&self, key: &str) -> Address {
        let parts = [self.key.as_str(), key];
        self.at(&parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("/"))
    }

    /// Returns the folder of what is fetched from the address, below that of all. Each address has
    /// its own, in which everything is that address's.
    pub(super) fn root(&self) -> PathBuf {
        let id = blake3::hash(self.to_string().as_bytes()).to_hex();
        Path::new(self.scheme).join(&self.host).join(&id[..8])
    }

    /// Returns the path of the address below the folder of all that was fetched.
    pub(super) fn place(&self) -> PathBuf {
        if self.key.is_empty() { self.root() } else { self.root().join(&self.key) }
    }
}

#[cfg(feature = "stores")]
impl Address {
    /// Returns the folder whose objects may be meant, and the pattern of their names below it: the
    /// address itself and none, if it is no pattern.
    pub(super) fn folder(&self) -> (String, Option<String>) {
        let Some(folder) = pattern::folder(Path::new(&self.key)) else { return (self.key.clone(), None) };
        let folder = folder.to_string_lossy().into_owned();
        let rest = self.key[folder.len()..].trim_start_matches('/').to_owned();
        (folder, Some(rest))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Address { scheme, host, key, .. } = self;
        if key.is_empty() { write!(f, "{scheme}://{host}") } else { write!(f, "{scheme}://{host}/{key}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_told_from_paths_and_from_what_cannot_be_meant() {
        for (text, read) in [
            ("s3://bucket", "s3://bucket"),
            ("S3://bucket/", "s3://bucket"),
            ("s3://bucket/two words/a+b/", "s3://bucket/two words/a+b"),
            ("gs://b/shards/train-{000..099}.tar", "gs://b/shards/train-{000..099}.tar"),
            ("abfss://container@account.dfs.core.windows.net/a", "abfss://container@account.dfs.core.windows.net/a"),
            ("https://host:8000/a%20b.parquet", "https://host:8000/a%20b.parquet"),
        ] {
            assert_eq!(Address::parse(text).unwrap().unwrap().to_string(), read);
        }
        for text in ["birds", "/data/s3:/x", "hf://datasets/a/b", "ftp://host/a", "s3:bucket", "://x"] {
            assert!(Address::parse(text).is_none(), "{text}");
        }
        for (text, why) in [
            ("s3://", "names no bucket"),
            ("s3:///key", "names no bucket"),
            ("s3://../bucket", "names no bucket"),
            ("https://user:password@host/a.tar", "has a user or password"),
            ("s3://key:secret@bucket/a", "has a user or password"),
            ("abfss://c:secret@account/a", "has a user or password"),
            ("https://host/a.tar?sig=1", "has a query"),
            ("s3://bucket/../other", "a `..` in its path"),
            ("s3://bucket/a//b", "an empty part"),
            ("s3://bucket/a\nb", "a control character"),
            ("s3://buc ket/a", "a character that none has"),
        ] {
            let refused = Address::parse(text).unwrap().unwrap_err();
            assert!(refused.contains(why), "{text}: {refused}");
        }
    }

    #[test]
    fn a_store_is_at_an_address_that_takes_objects_or_is_a_folder() {
        assert_eq!(Address::of_store("s3://b/a").unwrap().unwrap().to_string(), "s3://b/a");
        for text in ["birds", "/data/store", "a b://c", "://x"] {
            assert!(Address::of_store(text).is_none(), "{text}");
        }
        let refused = |text: &str| Address::of_store(text).unwrap().unwrap_err();
        assert_eq!(refused("file:///data/store"), "and a folder is named without it: /data/store");
        assert_eq!(refused("ftp://host/store"), "at which no store can be");
        assert_eq!(refused("s3+x://host/store"), "at which no store can be");
        for text in ["s3:/bucket/store", "s3:bucket/store"] {
            assert_eq!(refused(text), "with a slash too few: s3://bucket/store");
        }
        assert_eq!(refused("file:/data/store"), "and a folder is named without it: /data/store");
        assert!(Address::of_store("C:\\store").is_none() && Address::of_store("runs:old").is_none());
        assert!(refused("s3://").contains("names no bucket"));
    }

    #[cfg(feature = "stores")]
    #[test]
    fn a_pattern_is_looked_for_in_the_folder_before_it() {
        let folder = |text: &str| Address::parse(text).unwrap().unwrap().folder();
        assert_eq!(folder("s3://b/a/c"), ("a/c".to_owned(), None));
        assert_eq!(folder("s3://b/a/c-*.tar"), ("a".to_owned(), Some("c-*.tar".to_owned())));
        assert_eq!(folder("s3://b/{a,b}/c.tar"), (String::new(), Some("{a,b}/c.tar".to_owned())));
    }
}
