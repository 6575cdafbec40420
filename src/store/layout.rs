//! Where things lie in the store.

use std::ffi::OsStr;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::{Context, Error, Kind, Result};
use crate::store::lock::{Lock, Watch};
use crate::store::temporary;

/// The extension of a part.
pub(crate) const PART: &str = "parquet";

/// The folder of checkpoints, beside those of the tables.
pub const CHECKPOINTS: &str = "checkpoints";

/// A folder with everything that the pipeline has computed.
#[derive(Debug, Clone)]
pub struct Store {
    root: PathBuf,
    /// Held by the store of a process that works on it: see [`Store::try_lock`].
    lock: Option<Arc<Lock>>,
}

impl Store {
    /// Opens the store for writing, and makes its folder where there is none. Parts are read as they are found; a process that
    /// is to work on a store that others may use takes [`Store::try_lock`].
    ///
    /// # Errors
    /// Where the folder cannot be made or written to.
    pub fn open(path: impl Into<PathBuf>) -> Result<Store> {
        let root = path.into();
        let hint = "name a folder that you may write to with --store DIR, or with `store` in the pipeline file";
        temporary::make_folder(&root).map_err(|e| {
            Error::new(Kind::Store, format!("cannot make the store {}", root.display())).cause(e).hint(hint)
        })?;
        // The only question that permissions, read-only mounts and full disks all answer.
        tempfile::tempfile_in(&root).at(Kind::Store, "cannot write to the store", &root).map_err(|e| e.hint(hint))?;
        Store::absolute(root)
    }

    /// Opens the store for reading only: a folder that is not there is an empty store, and none is made.
    ///
    /// # Errors
    /// Where the path is something else than a folder.
    pub fn open_read(path: impl Into<PathBuf>) -> Result<Store> {
        let root = path.into();
        if root.exists() && !root.is_dir() {
            return Err(Error::new(Kind::Store, format!("the store {} is not a folder", root.display()))
                .hint("name a folder with --store DIR, or `store` in the pipeline file"));
        }
        Store::absolute(root)
    }

    fn absolute(root: PathBuf) -> Result<Store> {
        let root = std::path::absolute(&root).at(Kind::Store, "cannot find the store", &root)?;
        Ok(Store { root, lock: None })
    }

    /// The same store, held by this process.
    pub(super) fn held(self, lock: Arc<Lock>) -> Store {
        Store { lock: Some(lock), ..self }
    }

    /// Whether a file of the store can be relied on: always, unless this process holds the store and finds that the file is
    /// not as it was written. Then it is set aside, and is there no more.
    ///
    /// # Errors
    /// Where the file cannot be opened or moved, or a later version of the program wrote it.
    pub fn vouch(&self, path: &Path) -> Result<bool> {
        self.lock.as_ref().map_or(Ok(true), |lock| lock.vouch(path))
    }

    /// Those of some files that this process has neither written nor compared with their seals yet; none where it does not hold
    /// the store, since then it compares nothing.
    pub fn uncompared(&self, files: Vec<PathBuf>) -> Vec<PathBuf> {
        self.lock.as_ref().map_or_else(Vec::new, |lock| lock.uncompared(files))
    }

    /// Compares files with their seals, before they are relied on. What is not as it was written is set aside. Returns the number
    /// of such files. Nothing happens where this process does not hold the store.
    ///
    /// # Errors
    /// Where a file cannot be opened or moved, or a later version of the program wrote it; and of `watch`.
    pub fn compare(&self, files: &[PathBuf], watch: Watch<'_>) -> Result<usize> {
        let Some(lock) = &self.lock else { return Ok(0) };
        Ok(lock.compare(files, watch)?.into_iter().filter(|sound| !sound).count())
    }

    /// Sets a file aside that is as it was written, but of no use any more; says why. Nothing happens where this process does
    /// not hold the store.
    ///
    /// # Errors
    /// Where it cannot be moved.
    pub fn set_aside(&self, path: &Path, why: &str) -> Result<()> {
        self.lock.as_ref().map_or(Ok(()), |lock| lock.set_aside(path, why))
    }

    /// The store's folder, as an absolute path.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// A table's partition, whether or not anything is in it.
    ///
    /// # Errors
    /// Where a name has other characters than `a-z0-9._-`, or starts with a dot.
    pub fn partition(&self, table: &str, partition: &str) -> Result<Partition> {
        // Tables are words of the program: `pseudo_labels`.
        check_name("table", &table.replace('_', "-"))?;
        check_name("partition", partition)?;
        let dir = self.root.join(table).join(partition);
        Ok(Partition { dir, table: table.to_owned(), name: partition.to_owned(), lock: self.lock.clone() })
    }

    /// Names of the table's partitions that are on disk, sorted.
    ///
    /// # Errors
    /// Where the table's folder cannot be read.
    pub fn partitions(&self, table: &str) -> Result<Vec<String>> {
        let mut names: Vec<String> = entries(&self.root.join(table))?
            .into_iter()
            .filter(|path| path.is_dir())
            .filter_map(|path| path.file_name().and_then(OsStr::to_str).map(str::to_owned))
            .filter(|name| check_name("partition", name).is_ok())
            .collect();
        names.sort();
        Ok(names)
    }

    /// The folder of a run's checkpoints, whether it is there or not.
    ///
    /// # Errors
    /// Where the run's name is no partition name.
    pub fn checkpoints_of(&self, run: &str) -> Result<PathBuf> {
        check_name("run", run)?;
        Ok(self.root.join(CHECKPOINTS).join(run))
    }

    /// The folder of a run's checkpoints, made where there is none.
    ///
    /// # Errors
    /// Where the run's name is no partition name, or the folder cannot be made.
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
    lock: Option<Arc<Lock>>,
}

impl Partition {
    /// Its folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The table it is of.
    pub fn table(&self) -> &str {
        &self.table
    }

    /// Its name: the id of a dataset, a space or a run.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The whole parts in it, sorted by name, to be read. None where the folder is not there. Where this process holds the
    /// store, each is read once and compared with its seal; one that is damaged is set aside. Where that takes long,
    /// [`Store::compare`] does it before, and says how far it is.
    ///
    /// # Errors
    /// Where the folder cannot be read, a damaged part cannot be moved, or a later version of the program wrote one.
    pub fn parts(&self) -> Result<Vec<PathBuf>> {
        let parts = self.files()?;
        match &self.lock {
            Some(lock) => lock.vouch_all(&self.dir, parts),
            None => Ok(parts),
        }
    }

    /// The parts in it, sorted by name, to see what there is: of each the footer is looked at, and no more. Where this process
    /// holds the store, one that is damaged at a glance is set aside. Before its rows are relied on, a part must be asked
    /// for by [`parts`](Self::parts) or [`vouch`](Self::vouch).
    ///
    /// # Errors
    /// As [`parts`](Self::parts).
    pub fn listed(&self) -> Result<Vec<PathBuf>> {
        let parts = self.files()?;
        match &self.lock {
            Some(lock) => lock.glance_at(&self.dir, parts),
            None => Ok(parts),
        }
    }

    /// Whether one of its parts can be relied on, as [`Store::vouch`].
    ///
    /// # Errors
    /// As [`Store::vouch`].
    pub fn vouch(&self, part: &Path) -> Result<bool> {
        self.lock.as_ref().map_or(Ok(true), |lock| lock.vouch(part))
    }

    /// Notes that it was used now. Nothing happens where this process does not hold the store.
    pub fn touch(&self) {
        if let Some(lock) = &self.lock {
            lock.uses(&self.dir);
        }
    }

    /// The parts as they are found.
    pub(super) fn files(&self) -> Result<Vec<PathBuf>> {
        let mut parts: Vec<PathBuf> =
            entries(&self.dir)?.into_iter().filter(|path| path.extension() == Some(OsStr::new(PART))).collect();
        parts.sort();
        Ok(parts)
    }

    /// The path of the part of that name.
    ///
    /// # Errors
    /// Where the name has other characters than `a-z0-9._-`, or starts with a dot.
    pub fn part(&self, name: &str) -> Result<PathBuf> {
        check_name("part", name)?;
        Ok(self.dir.join(format!("{name}.{PART}")))
    }

    /// A part that this process has just written.
    pub(super) fn written(&self, part: &Path) {
        if let Some(lock) = &self.lock {
            lock.written(part);
        }
    }

    /// Sets its parts aside, which are of no use any more; says why. Nothing happens where this process does not hold the store.
    ///
    /// # Errors
    /// Where the folder cannot be read, or a part cannot be moved.
    pub fn set_aside(&self, why: &str) -> Result<()> {
        let Some(lock) = &self.lock else { return Ok(()) };
        self.files()?.iter().try_for_each(|part| lock.set_aside(part, why))
    }

    /// Removes the parts for which `keep` is false. Temporaries of others are left alone.
    ///
    /// # Errors
    /// Where a part cannot be removed.
    pub fn retain(&self, keep: impl Fn(&Path) -> bool) -> Result<()> {
        for part in self.files()?.into_iter().filter(|part| !keep(part)) {
            match fs::remove_file(&part) {
                Err(e) if e.kind() != ErrorKind::NotFound => return Err(e).at(Kind::Store, "cannot remove", &part),
                _ => {}
            }
        }
        Ok(())
    }
}

/// Paths of what is in a folder; nothing where there is no folder.
pub(super) fn entries(dir: &Path) -> Result<Vec<PathBuf>> {
    let found = match fs::read_dir(dir) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        found => found.at(Kind::Store, "cannot read", dir)?,
    };
    found.map(|entry| entry.map(|e| e.path()).at(Kind::Store, "cannot read", dir)).collect()
}

/// Names become folders and files on every file system, and parts of URLs.
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
