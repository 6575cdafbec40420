//! Pictures and models on stores of objects (S3, Google's, Azure's, and what answers like them) and
//! on servers of HTTP, by their addresses: `s3://bucket/birds`.
//!
//! What an address of these means is [fetched](fetch) into a folder of this machine, which
//! mirrors it: what is there already and has not changed is not fetched again, and what is gone
//! there goes here. Everything after that works on [that folder](local), without the network, and
//! nothing is ever written to the other side. A store of results reads and writes single objects,
//! by its `Bucket`.

mod address;
#[cfg(feature = "stores")]
mod bucket;
#[cfg(feature = "stores")]
mod client;
#[cfg(feature = "stores")]
mod journal;
#[cfg(feature = "stores")]
mod listing;
#[cfg(feature = "stores")]
mod mirror;
#[cfg(feature = "stores")]
mod refused;

use std::path::{Path, PathBuf};

pub use address::{Address, FORMS, MODELS, STORES, Service};
#[cfg(feature = "stores")]
pub use bucket::{Bucket, Bytes, Created, Listed, Version};
#[cfg(feature = "stores")]
pub use mirror::{fetch, fetch_some, missing};

use crate::error::{Error, Kind, Result};
#[cfg(not(feature = "stores"))]
use crate::net::{Missing, Watch};
#[cfg(not(feature = "stores"))]
use crate::stop::Stop;

/// The variable that names the folder of what was fetched.
const CACHE: &str = "MICROCLIP_CACHE";

/// What to do about a folder for what is fetched that cannot be made.
pub const KEPT: &str =
    "what is fetched is kept below the folder that MICROCLIP_CACHE names: name one that you may write to";

/// Which of the objects below an address are fetched.
#[derive(Debug, Clone, Copy)]
pub struct Wanted {
    /// Whether a file of this name is read.
    pub is_read: fn(&str) -> bool,
    /// The name of a file that is read, too, where it lies beside those that a pattern means.
    pub beside: Option<&'static str>,
    /// Whether the address is of a file, beside and below which what it belongs to lies: of a list
    /// of pictures, or of a model's weights.
    pub list: bool,
    /// What is said where nothing that is there is read: the end of a sentence, and a hint.
    pub if_none: (&'static str, &'static str),
}

/// Returns the path that a path or an address means: for an address, where what is fetched from it
/// lies, whether or not it has been. Makes no request.
///
/// # Errors
/// Returns [`Kind::System`] if the environment does not say where that is.
pub fn local(path: &Path) -> Result<PathBuf> {
    match Address::in_place_of(path) {
        Some(address) => Ok(cache()?.join(address.place())),
        None => Ok(path.to_owned()),
    }
}

/// Returns the folder of all that is fetched from the address in the place of a path, if one is.
///
/// # Errors
/// Returns [`Kind::System`] if the environment does not say where that is.
pub fn root(path: &Path) -> Result<Option<PathBuf>> {
    Address::in_place_of(path).map(|address| Ok(cache()?.join(address.root()))).transpose()
}

/// Returns the address that a path below what was fetched from `address` was fetched from; the path
/// itself, if it is elsewhere.
pub fn named(path: &Path, address: &Address) -> PathBuf {
    let root = cache().map(|cache| cache.join(address.root()));
    match root.ok().and_then(|root| path.strip_prefix(root).ok()?.to_str().map(str::to_owned)) {
        Some(key) => PathBuf::from(address.at(&key).to_string()),
        None => path.to_owned(),
    }
}

/// Returns the folder of all that was fetched: `objects` in `MICROCLIP_CACHE`, or in
/// `microclip-pipe` in the user's cache.
///
/// # Errors
/// Returns [`Kind::System`] if the environment does not say where that is.
pub fn cache() -> Result<PathBuf> {
    cached("objects")
}

/// Returns the folder of this machine that stands for a store of results at an address: in
/// `stores`, beside [what was fetched](cache).
///
/// # Errors
/// Fails like [`cache`].
#[cfg(feature = "stores")]
pub fn store_folder(address: &Address) -> Result<PathBuf> {
    Ok(cached("stores")?.join(address.root()))
}

/// Returns the folder of this machine that keeps what is of a kind.
///
/// # Errors
/// Fails like [`cache`].
pub(crate) fn cached(kind: &str) -> Result<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let caches = || set("XDG_CACHE_HOME").or_else(|| Some(set("HOME")?.join(".cache")));
    let folder = set(CACHE).or_else(|| Some(caches()?.join("microclip-pipe")));
    let folder = folder.ok_or_else(|| {
        Error::new(Kind::System, "it is not known where to keep what is fetched: there is no HOME")
            .hint(format!("{CACHE} names the folder"))
    })?;
    Ok(std::path::absolute(folder)
        .map_err(|cause| Error::new(Kind::System, "cannot find the cache").cause(cause))?
        .join(kind))
}

/// Refuses to fetch, since this program was built without what it takes.
///
/// # Errors
/// Returns [`Kind::Usage`].
#[cfg(not(feature = "stores"))]
pub fn fetch(address: &Address, _: Wanted, _: &Stop, _: &dyn Watch) -> Result<()> {
    Err(unbuilt(address))
}

/// Refuses to fetch, like [`fetch`].
///
/// # Errors
/// Returns [`Kind::Usage`].
#[cfg(not(feature = "stores"))]
pub fn fetch_some(address: &Address, _: &[PathBuf], _: &Stop, _: &dyn Watch) -> Result<()> {
    Err(unbuilt(address))
}

/// Refuses to look, like [`fetch`].
///
/// # Errors
/// Returns [`Kind::Usage`].
#[cfg(not(feature = "stores"))]
pub fn missing(address: &Address, _: Wanted, _: &Stop) -> Result<Missing> {
    Err(unbuilt(address))
}

/// Returns the error of an address in a program that was built without what it takes.
#[cfg(not(feature = "stores"))]
pub(crate) fn unbuilt(address: &Address) -> Error {
    Error::new(
        Kind::Usage,
        format!("{address} is on another machine, and this program was built without stores of objects"),
    )
    .hint("build it with --features stores, or copy what is there to a folder and name that")
}
