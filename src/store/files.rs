//! The files of a store, whether it is a folder or lies on a store of objects
//! ([`replica`](super::replica)): everything that lists, opens or removes one goes through here.

use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::error::{Context, Kind, Result};
use crate::store::replica;

/// Returns the paths in a folder, or none if there is no folder.
///
/// # Errors
/// Returns [`Kind::Store`] if the folder cannot be read.
pub(crate) fn entries(dir: &Path) -> Result<Vec<PathBuf>> {
    match replica::of(dir) {
        Some(replica) => replica.entries(dir),
        None => on_disk(dir),
    }
}

/// Returns the folders in a folder, or none if there is no folder.
///
/// # Errors
/// Fails like [`entries`].
pub(super) fn folders(dir: &Path) -> Result<Vec<PathBuf>> {
    match replica::of(dir) {
        Some(replica) => replica.folders(dir),
        None => Ok(on_disk(dir)?.into_iter().filter(|path| path.is_dir()).collect()),
    }
}

/// Like [`entries`], but looks at this machine's disk alone, which has what its processes say to
/// each other.
///
/// # Errors
/// Fails like [`entries`].
pub(super) fn on_disk(dir: &Path) -> Result<Vec<PathBuf>> {
    let found = match fs::read_dir(dir) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        found => found.at(Kind::Store, "cannot read", dir)?,
    };
    found.map(|entry| entry.map(|e| e.path()).at(Kind::Store, "cannot read", dir)).collect()
}

/// Opens a file for reading all of it: it is on this machine's disk then.
///
/// # Errors
/// Returns [`Kind::Store`] if there is none or it cannot be read, [`Kind::Network`] if it cannot be
/// fetched.
pub(crate) fn open(path: &Path) -> Result<File> {
    if let Some(replica) = replica::of(path) {
        replica.fetch(path)?;
    }
    File::open(path).at(Kind::Store, "cannot read", path)
}

/// Fetches what is kept of an object anew, and returns whether there was one: a file of a folder is
/// all that there is of it.
///
/// # Errors
/// Returns [`Kind::Network`] if it cannot be fetched, [`Kind::Store`] if it cannot be written.
pub(super) fn renew(path: &Path) -> Result<bool> {
    replica::of(path).map_or(Ok(false), |replica| replica.renew(path))
}

/// Returns what is in a file.
///
/// # Errors
/// Fails like [`open`].
pub(crate) fn read(path: &Path) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open(path)?.read_to_end(&mut bytes).at(Kind::Store, "cannot read", path)?;
    Ok(bytes)
}

/// Removes a file; none is as good.
///
/// # Errors
/// Returns [`Kind::Store`] or [`Kind::Network`] if it cannot be removed.
pub(crate) fn remove(path: &Path) -> Result<()> {
    if let Some(replica) = replica::of(path) {
        return replica.remove(path);
    }
    match fs::remove_file(path) {
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(()),
        gone => gone.at(Kind::Store, "cannot remove", path),
    }
}

/// Returns a file as users know it: its path, or its address on a store of objects.
pub(crate) fn shown(path: &Path) -> String {
    match replica::of(path) {
        Some(replica) => replica.shown(path),
        None => path.display().to_string(),
    }
}

/// Returns what tells a file from another one that has or had its name, as far as that is known.
pub(crate) fn identity(path: &Path) -> Option<String> {
    match replica::of(path) {
        Some(replica) => replica.version(path),
        None => {
            let about = fs::metadata(path).ok()?;
            Some(format!("{} {} {} {}", about.ino(), about.len(), about.mtime(), about.mtime_nsec()))
        }
    }
}

/// Returns the bytes of a file, or `None` if there is none or they are not known.
pub(crate) fn size(path: &Path) -> Option<u64> {
    match replica::of(path) {
        Some(replica) => replica.size(path),
        None => path.metadata().ok().filter(fs::Metadata::is_file).map(|metadata| metadata.len()),
    }
}

/// Returns when a run last used a folder, as far as that is known.
pub(super) fn used(dir: &Path) -> Option<SystemTime> {
    match replica::of(dir) {
        Some(replica) => replica.written(dir),
        None => dir.metadata().and_then(|metadata| metadata.modified()).ok(),
    }
}
