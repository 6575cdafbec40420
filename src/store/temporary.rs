//! Writes files atomically. A file is written under a temporary name in its final folder, synced
//! and renamed, and the folder is synced: a file under its final name is whole, even after a power
//! failure.
//!
//! A temporary file is locked as long as its writer lives, so that an abandoned one can be told
//! from one in use.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard};

use crate::error::{Context, Kind, Result};
use crate::panics::guard;
use crate::store::{replica, seal};

/// The extension of a file that is not whole yet.
const TEMPORARY: &str = "tmp";

/// The path of a temporary file, which is removed on drop unless it was renamed.
#[derive(Debug)]
pub(super) struct Temporary(PathBuf);

impl Temporary {
    /// Creates a file that no other process has, and locks it. The folder must exist.
    pub(super) fn create(dir: &Path) -> Result<(File, Temporary)> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        loop {
            let name = format!("{}-{}.{TEMPORARY}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
            let path = dir.join(name);
            let file = match File::options().read(true).write(true).create_new(true).open(&path) {
                Err(e) if e.kind() == ErrorKind::AlreadyExists => continue,
                opened => opened.at(Kind::Store, "cannot make", &path)?,
            };
            // Another process may have swept the file before it was locked: then create another.
            match file.try_lock() {
                Ok(()) if path.exists() => return Ok((file, Temporary(path))),
                Ok(()) | Err(fs::TryLockError::WouldBlock) => {}
                // The file system has no locks, so sweeping does nothing there either.
                Err(fs::TryLockError::Error(_)) => return Ok((file, Temporary(path))),
            }
        }
    }

    /// Returns the temporary path.
    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// Gives the file its final name, and atomically replaces one that had it.
    pub(super) fn rename(self, path: &Path) -> Result<()> {
        match replica::of(path) {
            Some(replica) => replica.publish(self, path),
            None => self.rename_here(path),
        }
    }

    /// Like [`rename`](Self::rename), but on this machine alone.
    pub(super) fn rename_here(mut self, path: &Path) -> Result<()> {
        fs::rename(&self.0, path).at(Kind::Store, "cannot name", path)?;
        self.0 = PathBuf::new();
        sync_folder_of(path)
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.0.as_os_str().is_empty() {
            let _ = fs::remove_file(&self.0);
        }
    }
}

/// Writes a whole safetensors file that has a blank seal, and fills in the seal.
///
/// # Errors
/// Returns [`Kind::Store`] if the disk is full or fails. Then there is no such file, or still the
/// previous one.
pub fn write_sealed(path: &Path, mut bytes: Vec<u8>) -> Result<()> {
    seal::close_in_memory(&mut bytes, path)?;
    let (mut file, temporary) = Temporary::create(path.parent().unwrap_or(Path::new(".")))?;
    file.write_all(&bytes).at(Kind::Store, "cannot write", path)?;
    file.sync_all().at(Kind::Store, "cannot write", path)?;
    temporary.rename(path)
}

/// Removes temporary files of a folder that no running process holds. Ignores files that are not
/// named like this program's.
pub(super) fn sweep(dir: &Path) {
    let Ok(entries) = fs::read_dir(dir) else { return };
    for path in entries.flatten().map(|entry| entry.path()).filter(|path| is_ours(path)) {
        // The lock is free only if the writer is gone. Failing to remove a file is no reason to
        // stop.
        if let Ok(file) = File::open(&path)
            && file.try_lock().is_ok()
        {
            // The lock is held until the file is gone: a writer that has just made it, and waits
            // for the lock, then sees that its file is not there any more.
            let _ = fs::remove_file(&path);
        }
    }
}

/// Returns whether a file is named like `4242-0.tmp`: a process and a count.
pub(super) fn is_ours(path: &Path) -> bool {
    let number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let stem = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.strip_suffix(".tmp"));
    stem.and_then(|stem| stem.split_once('-')).is_some_and(|(process, count)| number(process) && number(count))
}

/// Waits until no other thread makes a folder or names a part. Since this is done one after the
/// other, the name of a part reaches the disk after every folder that any thread made before it.
pub(super) fn in_turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    guard(&TURN)
}

/// Creates a folder and its parents, and syncs the parents: a folder is on disk only once its
/// parent is.
pub(super) fn make_folder(dir: &Path) -> Result<()> {
    if dir.is_dir() {
        return Ok(());
    }
    let _turn = in_turn();
    make_below(dir)
}

fn make_below(dir: &Path) -> Result<()> {
    if dir.is_dir() {
        return Ok(());
    }
    let above = dir.parent().filter(|above| !above.as_os_str().is_empty());
    above.map_or(Ok(()), make_below)?;
    match fs::create_dir(dir) {
        // Another process created it meanwhile; a file in its place is an error.
        Err(e) if e.kind() == ErrorKind::AlreadyExists && dir.is_dir() => {}
        made => made.at(Kind::Store, "cannot make", dir)?,
    }
    sync_folder_of(dir)
}

/// Syncs the folder of a file: a name is on disk only once its folder is.
pub(super) fn sync_folder_of(path: &Path) -> Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder).and_then(|folder| folder.sync_all()).at(Kind::Store, "cannot sync", folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_temporaries_are_swept() {
        let dir = tempfile::tempdir().unwrap();
        let names = ["4242-0.tmp", "notes.tmp", "1-2-3.tmp", "-1.tmp", "12-.tmp", "1-2.tmp.parquet"];
        for name in names {
            fs::write(dir.path().join(name), "").unwrap();
        }
        let (_file, held) = Temporary::create(dir.path()).unwrap();
        sweep(dir.path());
        assert!(held.path().exists(), "one in use");
        let left: Vec<&str> = names.into_iter().filter(|name| dir.path().join(name).exists()).collect();
        assert_eq!(left, names[1..]);
    }
}
