//! Which objects an address means.

use std::collections::HashSet;

use futures::{StreamExt, TryStreamExt};
use object_store::path::Path as Location;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt};

use super::Wanted;
use super::address::{Address, Service};
use super::refused::refused;
use crate::error::{Context, Error, Kind, Result};
use crate::text::pattern::Names;

/// How many objects are asked about at once, where each must be.
const AT_ONCE: usize = 16;

/// What to look at where there is no such object.
pub(super) const NAMES: &str = "is that its name? Names of objects tell capital letters from small ones";

/// An object that is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Object {
    /// Its path below the listing's folder.
    pub(super) name: String,
    pub(super) location: Location,
    pub(super) bytes: u64,
    /// What changes with its bytes; empty if the server says nothing of the kind.
    pub(super) version: String,
}

/// The objects of an address.
#[derive(Debug)]
pub(super) struct Listing {
    /// The folder that the names of objects are below.
    pub(super) folder: Address,
    /// Those that are read, by name.
    pub(super) objects: Vec<Object>,
    /// The names of all that there are in the folder, read or not, if that is known.
    pub(super) all: Option<HashSet<String>>,
}

/// Returns what an object's bytes are known by: its tag, or when it was last changed.
pub(super) fn version(meta: &ObjectMeta) -> String {
    let tag = meta.e_tag.as_deref().map(|tag| tag.trim_start_matches("W/").trim_matches('"'));
    match tag.filter(|tag| !tag.is_empty()) {
        Some(tag) => tag.to_owned(),
        // What no server said is the beginning of time.
        None if meta.last_modified.timestamp() == 0 => String::new(),
        None => meta.last_modified.to_rfc3339(),
    }
}

/// Lists the objects that an address means.
///
/// # Errors
/// Returns [`Kind::Network`] if the service is not reached, or does not give them; [`Kind::Input`]
/// if there are none, or the pattern means nothing.
pub(super) async fn list(store: &dyn ObjectStore, address: &Address, wanted: Wanted) -> Result<Listing> {
    match address.service {
        Service::Http => one_by_one(store, address, wanted).await,
        _ => below(store, address, wanted).await,
    }
}

/// Asks for each object that an address spells out: a server of HTTP lists none.
async fn one_by_one(store: &dyn ObjectStore, address: &Address, wanted: Wanted) -> Result<Listing> {
    let unlisted = |what: &str| {
        Error::new(Kind::Input, format!("{address} {what}, and a server of HTTP does not say which files it has"))
            .hint("name files: https://host/a.parquet, or https://host/train-{000..099}.tar")
    };
    if wanted.list {
        return Err(unlisted("is a list, whose pictures are files of their own"));
    }
    let names = Names::of(&address.key)?;
    let names = names.exact().filter(|names| !names.contains(&"")).ok_or_else(|| unlisted("names no file"))?;
    if let Some(name) = names.iter().find(|name| !(wanted.is_read)(name)) {
        return Err(unlisted(&format!("means {name}, which is no file of this kind")));
    }
    let ask = |name: String| async move {
        let location = location(address, &name)?;
        let meta = store.head(&location).await;
        let meta = meta.map_err(|error| refused("cannot find", &address.at(&name), &error))?;
        Ok::<_, Error>(Object { bytes: meta.size, version: version(&meta), location, name })
    };
    let asked = futures::stream::iter(names.into_iter().map(str::to_owned).map(ask)).buffered(AT_ONCE);
    let objects: Vec<Object> = asked.try_collect().await?;
    Ok(Listing { folder: address.at(""), objects, all: None })
}

/// Lists what lies below the folder of an address, or the object that it is.
async fn below(store: &dyn ObjectStore, address: &Address, wanted: Wanted) -> Result<Listing> {
    let (key, pattern) = address.folder();
    let names = pattern.as_deref().map(Names::of).transpose()?;
    let parent = |key: &str| key.rsplit_once('/').map_or(String::new(), |(folder, _)| folder.to_owned());
    let (mut folder, mut is_object) = (address.at(&key), false);
    let mut found = all_below(store, &folder).await?;
    if found.is_empty() && names.is_none() && !key.is_empty() {
        let (one, name) = (location(address, &key)?, key.rsplit('/').next().unwrap_or(&key).to_owned());
        match store.head(&one).await {
            Ok(meta) => {
                folder = address.at(&parent(&key));
                is_object = !wanted.list;
                found = if wanted.list { all_below(store, &folder).await? } else { vec![(name, meta)] };
            }
            Err(object_store::Error::NotFound { .. }) => {}
            Err(error) => return Err(refused("cannot find", address, &error)),
        }
    }
    let all: HashSet<String> = found.iter().map(|(name, _)| name.clone()).collect();
    let is_beside = |name: &str| wanted.beside.is_some_and(|beside| name.rsplit('/').next() == Some(beside));
    let is_named = |name: &str| wanted.list || names.as_ref().is_none_or(|names| names.has(name) || is_beside(name));
    let is_meant = |name: &str| is_named(name) && (wanted.is_read)(name);
    let mut objects: Vec<Object> = found
        .into_iter()
        .filter(|(name, _)| is_meant(name))
        .map(|(name, meta)| Object { name, bytes: meta.size, version: version(&meta), location: meta.location })
        .collect();
    objects.sort_unstable_by(|one, other| one.name.cmp(&other.name));
    if objects.is_empty() {
        let nothing = |what: &str, hint: &str| {
            Err(Error::new(Kind::Input, format!("there is nothing at {address}{what}")).hint(hint))
        };
        return match all.len() {
            0 => nothing("", NAMES),
            _ => nothing(" that this `dataset.kind` reads", "dataset.kind = \"folder\" reads picture files"),
        };
    }
    require_folders(&objects, &folder)?;
    Ok(Listing { folder, objects, all: (!is_object).then_some(all) })
}

/// Returns the names and places of all objects below a folder. The markers that consoles make of
/// empty folders are none.
async fn all_below(store: &dyn ObjectStore, folder: &Address) -> Result<Vec<(String, ObjectMeta)>> {
    let prefix = location(folder, &folder.key)?;
    let prefix = (!folder.key.is_empty()).then_some(&prefix);
    let mut found = Vec::new();
    let mut listed = store.list(prefix);
    while let Some(meta) = listed.next().await {
        let meta = meta.map_err(|error| refused("cannot list", folder, &error))?;
        let name = meta.location.as_ref();
        let name = match folder.key.as_str() {
            "" => Some(name),
            key => name.strip_prefix(key).and_then(|rest| rest.strip_prefix('/')),
        };
        if let Some(name) = name.filter(|name| !name.is_empty()).map(str::to_owned) {
            found.push((name, meta));
        }
    }
    drop(listed);
    let folders: HashSet<String> =
        found.iter().flat_map(|(name, _)| name.match_indices('/').map(|(at, _)| name[..at].to_owned())).collect();
    found.retain(|(name, meta)| meta.size > 0 || !folders.contains(name));
    Ok(found)
}

/// Refuses objects that cannot lie beside each other in folders: `a` and `a/b`.
fn require_folders(objects: &[Object], folder: &Address) -> Result<()> {
    let names: HashSet<&str> = objects.iter().map(|object| object.name.as_str()).collect();
    for Object { name, .. } in objects {
        if let Some((at, _)) = name.match_indices('/').find(|(at, _)| names.contains(&name[..*at])) {
            let what = format!("{folder} has both {} and {name}, and one cannot be a file and a folder", &name[..at]);
            return Err(Error::new(Kind::Input, what).hint("name a folder that has one of them"));
        }
    }
    Ok(())
}

/// Returns the place of an object on its service.
fn location(address: &Address, key: &str) -> Result<Location> {
    let parsed = match address.service {
        Service::Http => Location::from_url_path(key),
        _ => Location::parse(key),
    };
    parsed.context(Kind::Input, || format!("{} cannot be the name of an object", address.at(key)))
}
