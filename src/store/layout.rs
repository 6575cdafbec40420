//! Defines where files are in the store.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::{Context, Error, Kind, Result};
use crate::objects;
use crate::store::files::{self, entries};
use crate::store::lock::{Lock, QUARANTINE, Watch};
use crate::store::replica::{self, Replica};
use crate::store::temporary;

/// The extension of a part.
pub(crate) const PART: &str = "parquet";

/// The folder of checkpoints, beside those of the tables.
pub const CHECKPOINTS: &str = "checkpoints";

/// A folder with everything that the pipeline has computed.
#[derive(Debug, Clone)]
pub struct Store {
    root: PathBuf,
    /// What the folder stands for, if the store lies on objects.
    replica: Option<Arc<Replica>>,
    /// Lock of the store, if this process holds it: see [`Store::try_lock`].
    lock: Option<Arc<Lock>>,
}

/// What to do about a store that cannot be written to.
const ANOTHER: &str = "name a folder that you may write to with --store DIR, or with `store` in the pipeline file";

fn cannot_make(root: &Path, why: Error) -> Error {
    Error::new(Kind::Store, format!("cannot make the store {}", root.display())).cause(why).hint(ANOTHER)
}

/// Makes a folder and removes it again.
fn try_folder(above: &Path) -> io::Result<()> {
    let tried = above.join(format!(".tried-{}", std::process::id()));
    fs::create_dir(&tried)?;
    fs::remove_dir(&tried)
}

/// Creates a file, which is the only check that covers permissions, read-only mounts and full
/// disks.
fn require_writable(root: &Path) -> Result<()> {
    let made = tempfile::tempfile_in(root).at(Kind::Store, "cannot write to the store", root);
    made.map(drop).map_err(|e| e.hint(ANOTHER))
}

impl Store {
    /// Opens the store for writing, and creates its folder if there is none. Parts are read without
    /// being checked; a process that works on a store that others may use calls [`Store::try_lock`]
    /// instead.
    ///
    /// # Errors
    /// Returns [`Kind::Store`] if the folder cannot be created or written to.
    pub fn open(path: impl Into<PathBuf>) -> Result<Store> {
        let store = Store::at(path.into())?;
        let of_cache = |e: Error| if store.is_on_objects() { e.hint(objects::KEPT) } else { e };
        temporary::make_folder(&store.root).map_err(|e| of_cache(cannot_make(&store.root, e)))?;
        require_writable(&store.root).map_err(of_cache)?;
        store.replica.as_ref().map_or(Ok(()), |replica| replica.require_writable())?;
        Ok(store)
    }

    /// Checks that [`open`](Self::open) would succeed, without making the store's folder.
    ///
    /// # Errors
    /// Fails like [`open`](Self::open).
    pub fn require_openable(root: &Path) -> Result<()> {
        if let Some(replica) = replica::open(root)? {
            return replica.require_writable();
        }
        if root.is_dir() {
            return require_writable(root);
        }
        // A new store is made in the nearest folder that exists.
        let mut first = root;
        let above = loop {
            match first.parent() {
                Some(above) if !above.is_dir() && above.symlink_metadata().is_err() => first = above,
                Some(above) if above.is_dir() => break above,
                above => break above.unwrap_or(first),
            }
        };
        let made = match above.is_dir() && first.symlink_metadata().is_err() {
            true => try_folder(above),
            // A file, or a link to nothing, is in the folder's place.
            false => Err(io::Error::from_raw_os_error(libc::EEXIST)),
        };
        let place = if above.is_dir() { first } else { above };
        made.at(Kind::Store, "cannot make", place).map_err(|e| cannot_make(root, e))
    }

    /// Opens the store for reading only: a missing folder is an empty store, and is not created.
    ///
    /// # Errors
    /// Returns [`Kind::Store`] if the path exists but is not a folder.
    pub fn open_read(path: impl Into<PathBuf>) -> Result<Store> {
        let path = path.into();
        if path.exists() && !path.is_dir() {
            return Err(Error::new(Kind::Store, format!("the store {} is not a folder", path.display()))
                .hint("name a folder with --store DIR, or `store` in the pipeline file"));
        }
        Store::at(path)
    }

    /// Returns the store at a path or an address.
    fn at(path: PathBuf) -> Result<Store> {
        let replica = replica::open(&path)?;
        let root = replica.as_ref().map_or(path, |replica| replica.root().to_owned());
        let root = std::path::absolute(&root).at(Kind::Store, "cannot find the store", &root)?;
        Ok(Store { root, replica, lock: None })
    }

    /// Returns the folder that a store at a path or an address has on this machine.
    ///
    /// # Errors
    /// Fails like [`open_read`](Self::open_read).
    pub fn folder(path: &Path) -> Result<PathBuf> {
        Ok(Store::at(path.to_owned())?.root)
    }

    /// Returns whether the store lies on objects, and its folder merely stands for it.
    pub fn is_on_objects(&self) -> bool {
        self.replica.is_some()
    }

    /// Returns where the store is: its folder, or the address that it lies at.
    pub fn place(&self) -> PathBuf {
        match &self.replica {
            Some(replica) => PathBuf::from(replica.address().to_string()),
            None => self.root.clone(),
        }
    }

    /// Returns what the store's folder stands for, if the store lies on objects.
    pub(crate) fn replica(&self) -> Option<&Arc<Replica>> {
        self.replica.as_ref()
    }

    /// Returns the same store, held by this process.
    pub(super) fn held(self, lock: Arc<Lock>) -> Store {
        Store { lock: Some(lock), ..self }
    }

    /// Returns whether a file of the store can be relied on: always, unless this process holds the
    /// store and finds that the file is not as it was written. Such a file is set aside.
    ///
    /// # Errors
    /// Returns [`Kind::Store`] if the file cannot be opened or moved, or a later version of the
    /// program wrote it.
    pub fn verify(&self, path: &Path) -> Result<bool> {
        self.lock.as_ref().map_or(Ok(true), |lock| lock.verify(path))
    }

    /// Returns the files that this process has neither written nor compared with their seals yet,
    /// or none if it does not hold the store, since it then compares nothing.
    pub fn uncompared(&self, files: Vec<PathBuf>) -> Vec<PathBuf> {
        self.lock.as_ref().map_or_else(Vec::new, |lock| lock.uncompared(files))
    }

    /// Compares files with their seals before they are relied on. Sets aside those that are not as
    /// they were written, and returns their number. Does nothing if this process does not hold the
    /// store.
    ///
    /// # Errors
    /// Returns [`Kind::Store`] if a file cannot be opened or moved, or a later version of the
    /// program wrote it, or the error of `watch`.
    pub fn compare(&self, files: &[PathBuf], watch: Watch<'_>) -> Result<usize> {
        let Some(lock) = &self.lock else { return Ok(0) };
        Ok(lock.compare(files, watch)?.into_iter().filter(|sound| !sound).count())
    }

    /// Sets aside a file that is as it was written but no longer of use, and says `why`. Does
    /// nothing if this process does not hold the store.
    ///
    /// # Errors
    /// Returns [`Kind::Store`] if it cannot be moved.
    pub fn set_aside(&self, path: &Path, why: &str) -> Result<()> {
        self.lock.as_ref().map_or(Ok(()), |lock| lock.set_aside(path, why))
    }

    /// Returns the store's folder, as an absolute path.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Returns a table's partition, whether or not it contains anything.
    ///
    /// # Errors
    /// Returns [`Kind::Store`] if a name has characters other than `a-z0-9._-`, or starts with a
    /// dot.
    pub fn partition(&self, table: &str, partition: &str) -> Result<Partition> {
        // Names of tables have underscores: `pseudo_labels`.
        check_name("table", &table.replace('_', "-"))?;
        check_name("partition", partition)?;
        let dir = self.root.join(table).join(partition);
        let (replica, lock) = (self.replica.clone(), self.lock.clone());
        Ok(Partition { dir, table: table.to_owned(), name: partition.to_owned(), replica, lock })
    }

    /// Returns the names of the table's partitions that are on disk, sorted.
    ///
    /// # Errors
    /// Returns [`Kind::Store`] if the table's folder cannot be read.
    pub fn partitions(&self, table: &str) -> Result<Vec<String>> {
        let mut names: Vec<String> = files::folders(&self.root.join(table))?
            .into_iter()
            .filter_map(|path| path.file_name().and_then(OsStr::to_str).map(str::to_owned))
            .filter(|name| check_name("partition", name).is_ok())
            .collect();
        names.sort();
        Ok(names)
    }

    /// Returns the folder of a run's checkpoints, whether or not it exists.
    ///
    /// # Errors
    /// Returns [`Kind::Store`] if the run's name is not a valid partition name.
    pub fn checkpoints_of(&self, run: &str) -> Result<PathBuf> {
        check_name("run", run)?;
        Ok(self.root.join(CHECKPOINTS).join(run))
    }

    /// Returns the folder of a run's checkpoints, and creates it if there is none.
    ///
    /// # Errors
    /// Returns [`Kind::Store`] if the run's name is not a valid partition name, or the folder
    /// cannot be created.
    pub fn checkpoints(&self, run: &str) -> Result<PathBuf> {
        let dir = self.checkpoints_of(run)?;
        temporary::make_folder(&dir)?;
        Ok(dir)
    }
}

/// A folder of parts: the rows of a table that belong to one dataset, space or run.
#[derive(Debug, Clone)]
pub struct Partition {
    dir: PathBuf,
    table: String,
    name: String,
    replica: Option<Arc<Replica>>,
    lock: Option<Arc<Lock>>,
}

impl Partition {
    /// Returns the folder of the store that it is in.
    pub(super) fn root(&self) -> &Path {
        self.dir.ancestors().nth(2).unwrap_or(&self.dir)
    }

    /// Returns what the store's folder stands for, if the store lies on objects.
    pub(crate) fn replica(&self) -> Option<&Arc<Replica>> {
        self.replica.as_ref()
    }

    /// Returns the partition's folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Returns the name of the partition's table.
    pub fn table(&self) -> &str {
        &self.table
    }

    /// Returns the partition's name: the id of a dataset, a space or a run.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the parts, sorted by name, for reading; none if the folder does not exist. If this
    /// process holds the store, it compares each part with its seal once, and sets damaged ones
    /// aside. If that takes long, call [`Store::compare`] first, which reports progress.
    ///
    /// # Errors
    /// Returns [`Kind::Store`] if the folder cannot be read, a damaged part cannot be moved, or a
    /// later version of the program wrote one.
    pub fn parts(&self) -> Result<Vec<PathBuf>> {
        let parts = self.files()?;
        match &self.lock {
            Some(lock) => lock.verified(&self.dir, parts),
            None => Ok(parts),
        }
    }

    /// Returns the parts, sorted by name, for listing. If this process holds the store, it checks
    /// only their footers, and sets aside parts whose footer shows damage. Before its rows are
    /// relied on, a part must be checked by [`parts`](Self::parts) or [`verify`](Self::verify).
    ///
    /// # Errors
    /// Fails like [`parts`](Self::parts).
    pub fn listed(&self) -> Result<Vec<PathBuf>> {
        let parts = self.files()?;
        match &self.lock {
            Some(lock) => lock.glance_at(&self.dir, parts),
            None => Ok(parts),
        }
    }

    /// Returns whether a part can be relied on, like [`Store::verify`].
    ///
    /// # Errors
    /// Fails like [`Store::verify`].
    pub fn verify(&self, part: &Path) -> Result<bool> {
        self.lock.as_ref().map_or(Ok(true), |lock| lock.verify(part))
    }

    /// Records that the partition was used now. Does nothing if this process does not hold the
    /// store.
    pub fn touch(&self) {
        if let Some(lock) = &self.lock {
            lock.uses(&self.dir);
        }
    }

    /// Returns the parts without checking them.
    pub(super) fn files(&self) -> Result<Vec<PathBuf>> {
        let mut parts: Vec<PathBuf> =
            entries(&self.dir)?.into_iter().filter(|path| path.extension() == Some(OsStr::new(PART))).collect();
        parts.sort();
        Ok(parts)
    }

    /// Returns the parts that were set aside. Their numbers are not given again: another process
    /// may have looked at the part that had the number, and would not look at the new one.
    ///
    /// # Errors
    /// Returns [`Kind::Store`] if the folder cannot be read.
    pub(super) fn aside(&self) -> Result<Vec<PathBuf>> {
        entries(&self.root().join(QUARANTINE).join(&self.table).join(&self.name))
    }

    /// Returns the path of the part with that name.
    ///
    /// # Errors
    /// Returns [`Kind::Store`] if the name has characters other than `a-z0-9._-`, or starts with a
    /// dot.
    pub fn part(&self, name: &str) -> Result<PathBuf> {
        check_name("part", name)?;
        Ok(self.dir.join(format!("{name}.{PART}")))
    }

    /// Records a part that this process has just written.
    pub(super) fn written(&self, part: &Path) {
        if let Some(lock) = &self.lock {
            lock.written(part);
        }
    }

    /// Sets aside the parts, which are no longer of use, and says `why`. Does nothing if this
    /// process does not hold the store.
    ///
    /// # Errors
    /// Returns [`Kind::Store`] if the folder cannot be read, or a part cannot be moved.
    pub fn set_aside(&self, why: &str) -> Result<()> {
        let Some(lock) = &self.lock else { return Ok(()) };
        self.files()?.iter().try_for_each(|part| lock.set_aside(part, why))
    }

    /// Removes the parts for which `keep` is false. Temporary files of other writers are left
    /// alone.
    ///
    /// # Errors
    /// Returns [`Kind::Store`] if a part cannot be removed.
    pub fn retain(&self, keep: impl Fn(&Path) -> bool) -> Result<()> {
        self.files()?.iter().filter(|part| !keep(part)).try_for_each(|part| files::remove(part))
    }

    /// Removes all parts, and the folder if nothing else is in it.
    ///
    /// # Errors
    /// Returns [`Kind::Store`] if a part cannot be removed.
    pub fn clear(&self) -> Result<()> {
        self.retain(|_| false)?;
        temporary::sweep(&self.dir);
        // Fails if something is left in it, or there is no folder.
        let _ = fs::remove_dir(&self.dir);
        Ok(())
    }
}

/// Rejects names that would not work as folders and files on every file system, and as parts of
/// URLs.
pub(super) fn check_name(what: &str, name: &str) -> Result<()> {
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'_' | b'-');
    if name.is_empty() || name.len() > 200 || name.starts_with('.') || !name.bytes().all(allowed) {
        return Err(Error::new(Kind::Store, format!("`{name}` cannot be the name of a {what}"))
            .hint("use lower-case letters, digits, `.`, `_` and `-`, not starting with a dot"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_leave_the_folder_are_refused() {
        let store = Store::open_read("/nowhere").unwrap();
        for bad in ["", "..", ".hidden", "a/b", "A", "ü", "a b", "a\0"] {
            let error = store.partition("images", bad).unwrap_err();
            assert!(error.to_string().contains("cannot be the name of a partition"), "{error}");
        }
        assert!(store.partition("pseudo_labels", "flowers-1.0_x").is_ok());
    }

    #[test]
    fn a_store_that_is_not_there_is_empty_and_not_made() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open_read(dir.path().join("none")).unwrap();
        assert!(store.partition("images", "a").unwrap().parts().unwrap().is_empty());
        assert!(store.partitions("images").unwrap().is_empty());
        assert!(!store.root().exists());
    }

    #[test]
    fn a_store_that_is_a_file_is_refused_with_a_hint() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = Store::open(file.path()).unwrap_err();
        assert!(error.to_string().starts_with("cannot make the store"), "{error}");
        assert!(error.hint_text().unwrap().contains("--store"));
        assert!(Store::open_read(file.path()).is_err());
    }
}
