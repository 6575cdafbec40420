//! Which objects an address means.

use std::collections::HashSet;

use futures::{StreamExt, TryStreamExt};
use object_store::path::Path as Location;
use object_store::{Error as Theirs, ObjectMeta, ObjectStore, ObjectStoreExt};

use super::Wanted;
use super::address::{Address, Service};
use super::refused::refused;
use crate::error::{Context, Error, Kind, Result};
use crate::text::pattern::Names;

/// How many objects are asked about at once, where each must be.
pub(super) const AT_ONCE: usize = 16;

/// The most objects below an address: a listing of more has no end.
const MOST: usize = 20_000_000;

/// What to look at where there is no such object.
pub(super) const NAMES: &str = "is that its name? Names of objects tell capital letters from small ones";

/// An object that is read.
#[derive(Debug, Clone)]
pub(super) struct Object {
    /// Its path below the bucket or host, as the address spells it.
    pub(super) name: String,
    /// What was said of it.
    pub(super) meta: ObjectMeta,
}

impl Object {
    /// Returns what its bytes are known by; empty if the server says nothing of the kind.
    pub(super) fn version(&self) -> String {
        match tag(&self.meta) {
            Some(tag) => tag.to_owned(),
            None if self.meta.last_modified.timestamp() == 0 => String::new(),
            None => self.meta.last_modified.to_rfc3339(),
        }
    }

    /// Returns whether it is what was given, as far as both say what it is known by: a list and an
    /// answer may not say the same.
    pub(super) fn is(&self, given: &ObjectMeta) -> bool {
        let known = |meta: &ObjectMeta| meta.last_modified.timestamp() != 0;
        self.meta.size == given.size
            && match (tag(&self.meta), tag(given)) {
                (Some(listed), Some(given)) => listed == given,
                // Lists have fractions of a second, and answers none.
                _ if known(&self.meta) && known(given) => {
                    self.meta.last_modified.timestamp() == given.last_modified.timestamp()
                }
                _ => true,
            }
    }
}

/// Returns an object's tag, without the mark of a weak one.
fn tag(meta: &ObjectMeta) -> Option<&str> {
    let tag = meta.e_tag.as_deref()?.trim_start_matches("W/").trim_matches('"');
    (!tag.is_empty()).then_some(tag)
}

/// The objects of an address.
#[derive(Debug)]
pub(super) struct Listing {
    /// Those that are read, by name.
    pub(super) objects: Vec<Object>,
    /// The names of all that there are, read or not.
    pub(super) all: HashSet<String>,
}

/// Lists the objects that an address means.
///
/// # Errors
/// Returns [`Kind::Network`] if the service is not reached, or does not give them; [`Kind::Input`]
/// if there are none, the pattern means nothing, or they cannot lie in folders.
pub(super) async fn list(store: &dyn ObjectStore, address: &Address, wanted: Wanted) -> Result<Listing> {
    let listing = match address.service {
        Service::Http => one_by_one(store, address, wanted).await?,
        _ => below(store, address, wanted).await?,
    };
    require_folders(&listing.objects, address)?;
    Ok(listing)
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
    let folders: HashSet<&str> = names.iter().map(|name| folder_of(name)).collect();
    let beside: Vec<String> =
        wanted.beside.into_iter().flat_map(|name| folders.iter().map(move |folder| joined(folder, name))).collect();
    let ask = |name: String| async move {
        match head(store, address, &name).await? {
            Some(meta) => Ok(Object { meta, name }),
            None => Err(Error::new(Kind::Input, format!("there is no {}", address.at(&name))).hint(NAMES)),
        }
    };
    let asked = futures::stream::iter(names.into_iter().map(str::to_owned).map(ask)).buffered(AT_ONCE);
    let mut objects: Vec<Object> = asked.try_collect().await?;
    for name in beside {
        objects.extend(head(store, address, &name).await?.map(|meta| Object { meta, name }));
    }
    let all = objects.iter().map(|object| object.name.clone()).collect();
    Ok(Listing { objects, all })
}

/// Lists what lies below the folder of an address, or the object that it is.
async fn below(store: &dyn ObjectStore, address: &Address, wanted: Wanted) -> Result<Listing> {
    let (key, pattern) = address.folder();
    let names = pattern.as_deref().map(Names::of).transpose()?;
    let mut folder = key.clone();
    let mut found = all_below(store, address, &folder).await?;
    if found.is_empty()
        && names.is_none()
        && !key.is_empty()
        && let Some(meta) = head(store, address, &key).await?
    {
        folder = folder_of(&key).to_owned();
        if wanted.list {
            found = all_below(store, address, &folder).await?;
        } else {
            found = vec![Object { meta, name: key.clone() }];
            if let Some(name) = wanted.beside.map(|name| joined(&folder, name)) {
                found.extend(head(store, address, &name).await?.map(|meta| Object { meta, name }));
            }
        }
    }
    let all: HashSet<String> = found.iter().map(|object| object.name.clone()).collect();
    let is_beside = |name: &str| wanted.beside.is_some_and(|beside| name.rsplit('/').next() == Some(beside));
    let is_named = |name: &str| wanted.list || names.as_ref().is_none_or(|names| names.has(name) || is_beside(name));
    let mut objects = found;
    objects.retain(|Object { name, .. }| {
        let below = name[folder.len()..].trim_start_matches('/');
        is_named(below) && (wanted.is_read)(below)
    });
    objects.sort_unstable_by(|one, other| one.name.cmp(&other.name));
    if objects.is_empty() {
        let nothing = |what: &str, hint: &str| {
            Err(Error::new(Kind::Input, format!("there is nothing at {address}{what}")).hint(hint))
        };
        return match all.len() {
            0 => nothing("", NAMES),
            _ => nothing(wanted.if_none.0, wanted.if_none.1),
        };
    }
    Ok(Listing { objects, all })
}

/// Returns all objects below a folder. The markers that consoles make of folders are none.
async fn all_below(store: &dyn ObjectStore, address: &Address, folder: &str) -> Result<Vec<Object>> {
    let prefix = location(address, folder)?;
    let prefix = (!folder.is_empty()).then_some(&prefix);
    let refused = |error: Theirs| refused("cannot list", &address.at(folder), &error);
    let (mut found, mut last) = (Vec::new(), None);
    let mut listed = store.list(prefix);
    while let Some(meta) = listed.next().await {
        let meta = meta.map_err(refused)?;
        last = Some(meta.location.clone());
        let name = meta.location.as_ref().to_owned();
        let is_below = folder.is_empty() || name.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'));
        if is_below && !name.is_empty() {
            found.push(Object { name, meta });
        }
        if found.len() > MOST {
            let what = format!("{} has more than {MOST} objects, or a listing without an end", address.at(folder));
            return Err(Error::new(Kind::Network, what).hint("name a folder with fewer"));
        }
    }
    drop(listed);
    // A page that is not one of a list, such as that of a proxy, is read as an empty last one.
    if let Some(last) = last
        && let Some(more) = store.list_with_offset(prefix, &last).next().await
    {
        let more = address.at(more.map_err(refused)?.location.as_ref());
        let what = format!("{address} was not listed as a whole: {more} is there, and not in the list");
        return Err(Error::new(Kind::Network, what).hint("run again"));
    }
    let folders: HashSet<String> = found
        .iter()
        .flat_map(|Object { name, .. }| name.match_indices('/').map(|(at, _)| name[..at].to_owned()))
        .collect();
    found.retain(|Object { name, meta }| meta.size > 0 || !folders.contains(name));
    Ok(found)
}

/// Asks about one object; `None` if there is none.
///
/// # Errors
/// Fails if the service is not reached, or does not say.
pub(super) async fn head(store: &dyn ObjectStore, address: &Address, name: &str) -> Result<Option<ObjectMeta>> {
    match store.head(&location(address, name)?).await {
        Ok(meta) => Ok(Some(meta)),
        Err(Theirs::NotFound { .. }) => Ok(None),
        Err(error) => Err(refused("cannot find", &address.at(name), &error)),
    }
}

/// Refuses objects that cannot lie beside each other in folders: `a` and `a/b`.
fn require_folders(objects: &[Object], address: &Address) -> Result<()> {
    let names: HashSet<&str> = objects.iter().map(|object| object.name.as_str()).collect();
    for Object { name, .. } in objects {
        if let Some((at, _)) = name.match_indices('/').find(|(at, _)| names.contains(&name[..*at])) {
            let what = format!("{address} has both {} and {name}, and one cannot be a file and a folder", &name[..at]);
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

/// Returns the folder that an object lies in.
fn folder_of(name: &str) -> &str {
    name.rsplit_once('/').map_or("", |(folder, _)| folder)
}

fn joined(folder: &str, name: &str) -> String {
    if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") }
}
