//! A store that lies on a store of objects, and the folder of this machine that stands for it.
//!
//! Objects have the names that files of a folder have, so that a store may be copied from one to
//! the other. What a process reads as a whole, or writes, is kept in the folder, by the tag that
//! the service gave it; columns of what is not there are read by ranges. The folder may be removed
//! whenever no process works on the store.
//!
//! - A part that is added gets the next number, by a request that only succeeds if no other has it
//!   ([`Replica::append`]). Since numbers follow one another, a writer has seen every part before
//!   its own, and leaves out the pictures that are in them ([`once`](super::once)). Nothing else is
//!   needed for two writers, one that was thought dead or an answer that was lost.
//! - What is replaced, the tables of a run, has one writer by a [lease](leases).

mod leases;
mod local_first;
mod ranges;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};
use std::time::SystemTime;

use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::object_store::ObjectStore;
use datafusion::object_store::path::Path as ObjectPath;

use self::leases::Leases;
use self::local_first::LocalFirst;
use crate::error::{Context, Error, Kind, Result};
use crate::objects::{self, Address, Bucket, Created, Listed};
use crate::panics::guard;
use crate::store::claim;
use crate::store::temporary::{self, Temporary};

pub use leases::Lease;
pub(super) use leases::pause;
pub use ranges::Ranges;

/// A store on objects that this process has opened.
pub struct Replica {
    root: PathBuf,
    bucket: Bucket,
    /// What was last heard of objects, by key.
    known: Mutex<HashMap<String, Listed>>,
    /// Those that were read in part last, with what was read of them.
    ranged: Mutex<VecDeque<Arc<Ranges>>>,
    /// Held while an object is fetched, so that no two threads fetch the same.
    fetching: Mutex<()>,
    leases: Arc<Leases>,
    /// Set once the service has been found to keep its promises.
    tried: OnceLock<()>,
}

/// How many objects that were read in part are known with what was read: a footer is asked for by
/// one reader after another.
const RANGED: usize = 16;

/// The stores of this process that lie on objects, by their folders.
static OPENED: RwLock<BTreeMap<PathBuf, Arc<Replica>>> = RwLock::new(BTreeMap::new());

/// Opens the store that an address means, if the path is one. Makes no request.
///
/// # Errors
/// Returns [`Kind::Usage`] if there can be no store, [`Kind::System`] if it is not known where its
/// folder is.
pub(super) fn open(path: &Path) -> Result<Option<Arc<Replica>>> {
    // A store that was opened is known by its folder, too.
    let Some(address) = Address::in_place_of(path) else { return Ok(of(path).filter(|replica| replica.root == path)) };
    let root = objects::store_folder(&address)?;
    let mut opened = OPENED.write().unwrap_or_else(PoisonError::into_inner);
    if let Some(replica) = opened.get(&root) {
        return Ok(Some(replica.clone()));
    }
    let bucket = Bucket::open(&address)?;
    let leases = Leases::new(&bucket, &root)?;
    let (known, ranged, fetching, tried) = (Mutex::default(), Mutex::default(), Mutex::default(), OnceLock::new());
    let replica = Arc::new(Replica { root: root.clone(), bucket, known, ranged, fetching, leases, tried });
    opened.insert(root, replica.clone());
    Ok(Some(replica))
}

/// Returns the store on objects that a path is in, if it is in one.
pub(super) fn of(path: &Path) -> Option<Arc<Replica>> {
    let opened = OPENED.read().unwrap_or_else(PoisonError::into_inner);
    if opened.is_empty() {
        return None;
    }
    path.ancestors().find_map(|above| opened.get(above)).cloned()
}

impl Replica {
    /// Returns the folder that stands for it.
    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// Returns where it lies.
    pub(super) fn address(&self) -> &Address {
        self.bucket.address()
    }

    /// Refuses a service that cannot be written to, or does not keep its promises.
    ///
    /// # Errors
    /// Returns [`Kind::Network`] if it is such a one, or is not reached.
    pub(super) fn require_writable(&self) -> Result<()> {
        if self.tried.get().is_none() {
            self.bucket.require_conditions(&format!("locks/tried-{}", leases::unique()))?;
            let _ = self.tried.set(());
        }
        Ok(())
    }

    /// Returns the key of a file's object.
    fn key(&self, path: &Path) -> String {
        let below = path.strip_prefix(&self.root).ok().and_then(Path::to_str);
        below.unwrap_or_default().to_owned()
    }

    /// Returns the address of a file.
    pub(super) fn shown(&self, path: &Path) -> String {
        self.address().below(&self.key(path)).to_string()
    }

    fn path(&self, key: &str) -> PathBuf {
        self.root.join(key)
    }

    /// Returns the files in a folder, of which none is empty: such an object is what a console
    /// makes of a folder. What was kept of them and is not theirs any more is removed here.
    ///
    /// # Errors
    /// Returns [`Kind::Network`] if the service does not list them.
    pub(super) fn entries(&self, dir: &Path) -> Result<Vec<PathBuf>> {
        let folder = self.key(dir);
        let listed = self.bucket.list(&folder)?;
        let is_in = |key: &str| key.rsplit_once('/').map_or("", |(above, _)| above) == folder;
        let listed: HashMap<String, Listed> = listed
            .into_iter()
            .filter(|object| is_in(&object.key) && object.size > 0)
            .map(|object| (object.key.clone(), object))
            .collect();
        let mut known = guard(&self.known);
        known.retain(|key, _| !is_in(key));
        known.extend(listed.iter().map(|(key, object)| (key.clone(), object.clone())));
        drop(known);
        for path in super::files::on_disk(dir)?.into_iter().filter(|path| is_kept(path)) {
            let tag = listed.get(&self.key(&path)).map(|object| object.tag.as_str());
            if tag.is_none() || tag != kept_tag(&path).as_deref() {
                forget(&path)?;
            }
        }
        Ok(listed.keys().map(|key| self.path(key)).collect())
    }

    /// Returns the keys of all objects that are of tables or checkpoints, and what each is known
    /// by, sorted.
    ///
    /// # Errors
    /// Fails like [`entries`](Self::entries).
    #[cfg(feature = "flight")]
    pub(crate) fn objects(&self) -> Result<Vec<(String, String)>> {
        let listed = self.bucket.list("")?.into_iter().filter(|object| !object.key.starts_with("locks/"));
        let mut all: Vec<(String, String)> = listed.map(|object| (object.key, object.tag)).collect();
        all.sort();
        Ok(all)
    }

    /// Returns the folders in a folder.
    ///
    /// # Errors
    /// Fails like [`entries`](Self::entries).
    pub(super) fn folders(&self, dir: &Path) -> Result<Vec<PathBuf>> {
        Ok(self.bucket.folders(&self.key(dir))?.into_iter().map(|name| dir.join(name)).collect())
    }

    /// Returns what is said of an object.
    fn about(&self, path: &Path) -> Result<Listed> {
        let key = self.key(path);
        if let Some(known) = guard(&self.known).get(&key) {
            return Ok(known.clone());
        }
        let there = self.bucket.head(&key)?.ok_or_else(|| {
            Error::new(Kind::Store, format!("there is no {}", self.bucket.address().below(&key)))
                .hint("another process has removed it: run again")
        })?;
        guard(&self.known).insert(key, there.clone());
        Ok(there)
    }

    /// Returns what tells an object from another one that had its name.
    pub(super) fn version(&self, path: &Path) -> Option<String> {
        self.about(path).ok().map(|object| object.tag)
    }

    /// Returns what an object was last known by.
    fn tag(&self, key: &str) -> Option<String> {
        guard(&self.known).get(key).map(|object| object.tag.clone())
    }

    /// Returns whether what was last heard of an object is what is kept of it.
    fn is_here(&self, path: &Path) -> bool {
        if temporary::is_ours(path) {
            // It is unfinished, and of this process.
            return true;
        }
        let Some(tag) = kept_tag(path).filter(|_| path.is_file()) else { return false };
        guard(&self.known).get(&self.key(path)).is_none_or(|known| known.tag == tag)
    }

    /// Fetches a file that is not here.
    ///
    /// # Errors
    /// Returns [`Kind::Store`] if there is none, or it cannot be written; [`Kind::Network`] if the
    /// service does not give it.
    pub(super) fn fetch(&self, path: &Path) -> Result<()> {
        if self.is_here(path) {
            return Ok(());
        }
        let _fetching = guard(&self.fetching);
        if self.is_here(path) {
            return Ok(());
        }
        let object = self.about(path)?;
        let folder = path.parent().unwrap_or(&self.root);
        temporary::make_folder(folder)?;
        let _span = tracing::info_span!("fetch", key = object.key, bytes = object.size).entered();
        let (file, unfinished) = Temporary::create(folder)?;
        self.bucket.fetch(&object, &file)?;
        file.sync_all().at(Kind::Store, "cannot write", path)?;
        let _turn = claim::turn(&self.root)?;
        note(path, &object.tag)?;
        unfinished.rename_here(path)
    }

    /// Fetches a file again, whatever is kept of it, and returns whether it is there.
    ///
    /// # Errors
    /// Fails like [`fetch`](Self::fetch).
    pub(super) fn renew(&self, path: &Path) -> Result<bool> {
        let key = self.key(path);
        let Some(there) = self.bucket.head(&key)? else { return Ok(false) };
        guard(&self.known).insert(key, there);
        forget(path)?;
        self.fetch(path).map(|()| true)
    }

    /// Opens a file for reading some of it; `None` if it is here.
    ///
    /// # Errors
    /// Returns [`Kind::Store`] if there is none, [`Kind::Network`] if the service does not answer.
    pub(super) fn ranges(&self, path: &Path) -> Result<Option<Arc<Ranges>>> {
        if self.is_here(path) {
            return Ok(None);
        }
        let object = self.about(path)?;
        let mut ranged = guard(&self.ranged);
        if let Some(known) = ranged.iter().find(|known| known.is_of(&object)) {
            return Ok(Some(known.clone()));
        }
        let new = Arc::new(Ranges::new(self.bucket.clone(), object));
        ranged.push_back(new.clone());
        let more = ranged.len().saturating_sub(RANGED);
        ranged.drain(..more);
        Ok(Some(new))
    }

    /// Writes a file that is whole under a name, in the place of one that has it, and keeps it.
    ///
    /// # Errors
    /// Returns [`Kind::Network`] if the service does not take it, [`Kind::Store`] if another
    /// process has taken over what this one does.
    pub(super) fn publish(&self, from: Temporary, to: &Path) -> Result<()> {
        self.leases.require()?;
        let bytes = fs::read(from.path()).at(Kind::Store, "cannot read", from.path())?;
        let (key, size) = (self.key(to), bytes.len() as u64);
        let tag = self.bucket.write(&key, bytes.into())?;
        let _turn = claim::turn(&self.root)?;
        self.noted(to, size, tag)?;
        from.rename_here(to)
    }

    /// Writes a file that is whole under a name, unless another file has it, and returns whether it
    /// did.
    ///
    /// # Errors
    /// Fails like [`publish`](Self::publish).
    pub(super) fn append(&self, from: &Path, to: &Path) -> Result<bool> {
        self.leases.require()?;
        let bytes = fs::read(from).at(Kind::Store, "cannot read", from)?;
        let (key, size) = (self.key(to), bytes.len() as u64);
        match self.bucket.create(&key, bytes.into())? {
            Created::Taken => Ok(false),
            Created::New(tag) => {
                let _turn = claim::turn(&self.root)?;
                self.noted(to, size, tag)?;
                fs::rename(from, to).at(Kind::Store, "cannot name", to)?;
                Ok(true)
            }
        }
    }

    fn noted(&self, path: &Path, size: u64, tag: String) -> Result<()> {
        note(path, &tag)?;
        let key = self.key(path);
        guard(&self.known).insert(key.clone(), Listed { key, size, tag, modified: SystemTime::now() });
        Ok(())
    }

    /// Removes a file.
    ///
    /// # Errors
    /// Fails like [`publish`](Self::publish).
    pub(super) fn remove(&self, path: &Path) -> Result<()> {
        self.leases.require()?;
        let key = self.key(path);
        self.bucket.remove(&key)?;
        guard(&self.known).remove(&key);
        forget(path)
    }

    /// Moves a file to the first of some names that no other has, and returns it.
    ///
    /// # Errors
    /// Fails like [`publish`](Self::publish).
    pub(super) fn set_aside(&self, path: &Path, names: impl Iterator<Item = PathBuf>) -> Result<PathBuf> {
        self.leases.require()?;
        self.fetch(path)?;
        let bytes: objects::Bytes = fs::read(path).at(Kind::Store, "cannot read", path)?.into();
        let judged = kept_tag(path).unwrap_or_default();
        for name in names {
            if let Created::New(_) = self.bucket.create(&self.key(&name), bytes.clone())? {
                let key = self.key(path);
                let there = self.bucket.head(&key)?;
                // Another machine may have set it aside, too, and have written the part anew since.
                if there.is_some_and(|there| there.tag.trim_matches('"') == judged.trim_matches('"')) {
                    self.remove(path)?;
                } else {
                    guard(&self.known).remove(&key);
                    forget(path)?;
                }
                return Ok(name);
            }
        }
        Err(Error::new(Kind::Store, format!("no free name for {} in the quarantine", path.display())))
    }

    /// Returns the bytes of a file.
    pub(super) fn size(&self, path: &Path) -> Option<u64> {
        self.about(path).ok().map(|object| object.size)
    }

    /// Returns when the newest file in a folder was written, of those that were listed.
    pub(super) fn written(&self, dir: &Path) -> Option<SystemTime> {
        let below = format!("{}/", self.key(dir));
        let known = guard(&self.known);
        known.values().filter(|object| object.key.starts_with(&below)).map(|object| object.modified).max()
    }

    /// Returns what statements address its files by, and what reads them then.
    pub(crate) fn for_sql(self: &Arc<Self>) -> Result<(ObjectStoreUrl, Arc<dyn ObjectStore>)> {
        Ok((url_for_sql(self.address())?, Arc::new(LocalFirst::new(self.clone(), self.bucket.objects()))))
    }

    /// Returns the location of a file for statements.
    pub(crate) fn location(&self, path: &Path) -> ObjectPath {
        let key = self.key(path);
        // Like the bucket, takes the name as it is.
        ObjectPath::parse(&key).unwrap_or_else(|_| ObjectPath::from(key))
    }
}

/// Returns what statements address the files of a store by that lies at an address.
pub(crate) fn url_for_sql(address: &Address) -> Result<ObjectStoreUrl> {
    let id = blake3::hash(address.to_string().as_bytes()).to_hex();
    let url = ObjectStoreUrl::parse(format!("replica://{}", &id[..16]));
    url.context(Kind::Internal, || "cannot address a store".to_owned())
}

impl std::fmt::Debug for Replica {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Replica").field("address", &self.address().to_string()).finish_non_exhaustive()
    }
}

/// Returns the path of the file that says which version of an object is kept under a path.
fn tag_file(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.tag"))
}

/// Returns the tag of what is kept under a path.
fn kept_tag(path: &Path) -> Option<String> {
    fs::read_to_string(tag_file(path)).ok()
}

/// Returns whether a file is what was kept of an object: not a tag, and not unfinished.
fn is_kept(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    !name.starts_with('.') && !temporary::is_ours(path) && path.is_file()
}

/// Removes what is kept under a path, and notes the tag of what is to take its place. A process
/// that ends between the two leaves a file that is not here, or one that a listing tells apart.
fn note(path: &Path, tag: &str) -> Result<()> {
    forget(path)?;
    let tags = tag_file(path);
    let unfinished = tags.with_extension(format!("{}.unfinished", leases::unique()));
    let written = fs::write(&unfinished, tag).and_then(|()| fs::rename(&unfinished, &tags));
    written.at(Kind::Store, "cannot write", &tags)
}

/// Removes what is kept under a path.
fn forget(path: &Path) -> Result<()> {
    for path in [path, &tag_file(path)] {
        match fs::remove_file(path) {
            Err(e) if e.kind() == ErrorKind::NotFound => {}
            gone => gone.at(Kind::Store, "cannot remove", path)?,
        }
    }
    Ok(())
}
