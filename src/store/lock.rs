//! Locks a store: processes work on it together, each on what it [claims](super::claim), or one
//! alone, which removes things; and they clean up what they find there.
//!
//! The lock is an `flock` on `<store>/lock`, shared or not, which the kernel releases when the
//! process ends, however it ends. A holder removes what killed processes left unfinished, and
//! compares a file with its [`seal`](super::seal) before reading it for the first time; files that
//! are never read are not compared. A file that is not as it was written is set aside in
//! `<store>/quarantine`, never deleted. Readers (`sql`) take no lock: they only see whole parts,
//! since parts appear and disappear atomically.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs::{self, File, TryLockError};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::thread;
use std::time::SystemTime;

use crate::cores;
use crate::error::{Context, Error, Kind, Result};
use crate::panics::guard;
use crate::store::claim::{self, Holder};
use crate::store::files::{self, on_disk};
use crate::store::inventory;
use crate::store::layout::Store;
use crate::store::replica::{self, Lease};
use crate::store::seal::Verdict;
use crate::store::temporary;

/// The folder of the store that damaged files are moved to.
pub const QUARANTINE: &str = "quarantine";

/// The file that is locked.
const LOCK: &str = "lock";

/// Receives a lock's messages to the user.
pub type Say = Arc<dyn Fn(&str) + Send + Sync>;

/// The result of [`Store::try_lock`] and [`Store::try_share`].
#[derive(Debug)]
pub enum Turn {
    /// This process holds the store until its last clone is dropped.
    Ours(Store),
    /// Another process holds the store.
    Busy(Holder),
}

/// Called by any thread with the number of bytes of each block read, while files are compared with
/// their seals. An error stops the comparison.
pub type Watch<'a> = &'a (dyn Fn(u64) -> Result<()> + Sync);

/// A store's lock, and what its holder knows about the files.
pub(super) struct Lock {
    root: PathBuf,
    /// Whether no other process may work on the store.
    alone: bool,
    /// Open for as long as the lock is held.
    _file: File,
    /// The same for processes of other machines, if this one has a store on objects alone.
    _leases: Vec<Lease>,
    say: Say,
    /// Files that this process has written or compared with their seals.
    known: Mutex<BTreeSet<PathBuf>>,
    /// Files that seem sound by their footers.
    glanced: Mutex<BTreeSet<PathBuf>>,
    /// Folders that this process has used.
    used: Mutex<BTreeSet<PathBuf>>,
}

/// The locks of this process: it locks each store once, however often it asks.
static HELD: Mutex<BTreeMap<PathBuf, Weak<Lock>>> = Mutex::new(BTreeMap::new());

impl Store {
    /// Opens the store and locks it for this process alone, unless another works on it. `say`
    /// receives warnings, e.g. about damaged files.
    ///
    /// # Errors
    /// Returns [`Kind::Store`] if the folder cannot be created or written to.
    pub fn try_lock(path: impl Into<PathBuf>, say: Say) -> Result<Turn> {
        Self::locked(path.into(), say, true)
    }

    /// Like [`try_lock`](Self::try_lock), but lets other processes work on the store, too. What is
    /// written must be [claimed](Self::try_claim).
    ///
    /// # Errors
    /// Fails like [`try_lock`](Self::try_lock).
    pub fn try_share(path: impl Into<PathBuf>, say: Say) -> Result<Turn> {
        Self::locked(path.into(), say, false)
    }

    fn locked(path: PathBuf, say: Say, alone: bool) -> Result<Turn> {
        let store = Store::open(path)?;
        let mut held = guard(&HELD);
        if let Some(lock) = held.get(store.root()).and_then(Weak::upgrade) {
            if alone && !lock.alone {
                return Ok(Turn::Busy(Holder { process: "this process".to_owned(), work: None, since: None }));
            }
            return Ok(Turn::Ours(store.held(lock)));
        }
        let path = store.root().join(LOCK);
        let options = File::options().read(true).write(true).create(true).truncate(false).open(&path);
        let mut file = options.at(Kind::Store, "cannot open", &path)?;
        match if alone { file.try_lock() } else { file.try_lock_shared() } {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(Turn::Busy(holder(store.root(), &mut file)?)),
            Err(TryLockError::Error(_)) => say(&format!(
                "warning: the file system of {} has no locks: let only one process at a time work on it",
                store.root().display()
            )),
        }
        if alone {
            // Only tells waiting processes who holds the lock.
            let _ = file.set_len(0).and_then(|()| file.write_all(claim::introduction().as_bytes()));
        }
        let leases = match store.replica().filter(|_| alone) {
            None => Vec::new(),
            Some(replica) => match replica.lease_alone(say.as_ref())? {
                Ok(leases) => leases,
                Err(holder) => return Ok(Turn::Busy(holder)),
            },
        };
        let (known, glanced, used) = (Mutex::default(), Mutex::default(), Mutex::default());
        let root = store.root().to_owned();
        let lock = Arc::new(Lock { root, alone, _file: file, _leases: leases, say, known, glanced, used });
        held.insert(store.root().to_owned(), Arc::downgrade(&lock));
        sweep(store.root())?;
        Ok(Turn::Ours(store.held(lock)))
    }
}

/// Returns who holds a lock that this process did not get.
fn holder(root: &Path, file: &mut File) -> Result<Holder> {
    // Nobody may be making a claim, which would seem to be of a process that is gone.
    let _turn = claim::turn(root)?;
    if file.try_lock_shared().is_err() {
        return Ok(Holder::read(file, None));
    }
    // Others share it, and what is in the file is of an earlier one.
    let unknown = Holder { process: "another process".to_owned(), work: None, since: None };
    Ok(claim::busy(root, |_| true)?.unwrap_or(unknown))
}

/// Removes what killed processes left unfinished in all partitions.
fn sweep(root: &Path) -> Result<()> {
    for folder in on_disk(root)?.into_iter().filter(|path| path.is_dir()) {
        on_disk(&folder)?.iter().filter(|path| path.is_dir()).for_each(|dir| temporary::sweep(dir));
    }
    Ok(())
}

impl Lock {
    /// Returns the parts of a folder that are as they were written, and sets the others aside.
    pub(super) fn verified(&self, dir: &Path, parts: Vec<PathBuf>) -> Result<Vec<PathBuf>> {
        self.uses(dir);
        let new = self.uncompared(parts.clone());
        let sound = self.compare(&new, &|_| Ok(()))?;
        let lost: BTreeSet<PathBuf> = new.into_iter().zip(sound).filter(|(_, sound)| !sound).map(|(p, _)| p).collect();
        Ok(parts.into_iter().filter(|part| !lost.contains(part)).collect())
    }

    /// Returns the parts of a folder that seem to be as they were written. The others are compared
    /// in full, and set aside if they are damaged.
    pub(super) fn glance_at(&self, dir: &Path, parts: Vec<PathBuf>) -> Result<Vec<PathBuf>> {
        self.uses(dir);
        let mut there = Vec::with_capacity(parts.len());
        for part in parts {
            if guard(&self.known).contains(&part) || guard(&self.glanced).contains(&part) {
                there.push(part);
            } else if inventory::seems_sound(&part)? {
                guard(&self.glanced).insert(part.clone());
                there.push(part);
            } else if self.verify(&part)? {
                there.push(part);
            }
        }
        Ok(there)
    }

    /// Returns the files that this process has neither written nor compared yet.
    pub(super) fn uncompared(&self, mut files: Vec<PathBuf>) -> Vec<PathBuf> {
        let known = guard(&self.known);
        files.retain(|file| !known.contains(file));
        files
    }

    /// Like [`verified`](Self::verified), but returns whether one file is as it was written.
    pub(super) fn verify(&self, path: &Path) -> Result<bool> {
        if guard(&self.known).contains(path) {
            return Ok(true);
        }
        self.judge(path, inventory::examine(path))
    }

    /// Returns whether each file is as it was written. Files are read by several threads, and
    /// judged in order.
    pub(super) fn compare(&self, files: &[PathBuf], watch: Watch<'_>) -> Result<Vec<bool>> {
        let examine = |path: &Path| inventory::examine_by_blocks(path, watch);
        let workers = cores::limit().min(files.len());
        if workers < 2 {
            return files.iter().map(|path| self.judge(path, examine(path))).collect();
        }
        let next = AtomicUsize::new(0);
        let given_up = AtomicBool::new(false);
        let read = || {
            let taken = || {
                let more = !given_up.load(Ordering::Relaxed);
                more.then(|| files.get(next.fetch_add(1, Ordering::Relaxed))).flatten()
            };
            let mut examined = Vec::new();
            for path in std::iter::from_fn(taken) {
                let verdict = examine(path);
                given_up.fetch_or(verdict.is_err(), Ordering::Relaxed);
                examined.push((path, verdict));
            }
            examined
        };
        let mut verdicts: BTreeMap<&PathBuf, Result<Verdict>> = thread::scope(|scope| {
            let workers: Vec<_> = (0..workers).map(|_| scope.spawn(read)).collect();
            workers.into_iter().flat_map(|worker| worker.join().unwrap_or_default()).collect()
        });
        let judged = files.iter().filter_map(|path| Some(self.judge(path, verdicts.remove(path)?)));
        let judged = judged.collect::<Result<Vec<bool>>>()?;
        if judged.len() < files.len() {
            return Err(Error::new(Kind::Internal, "comparing files with their checksums was cut short"));
        }
        Ok(judged)
    }

    fn judge(&self, path: &Path, verdict: Result<Verdict>) -> Result<bool> {
        match verdict? {
            Verdict::Sound => {
                self.written(path);
                return Ok(true);
            }
            Verdict::Damaged(why) => self.set_aside(path, &format!("is damaged ({why})"))?,
            Verdict::Older(which) => self.set_aside(path, &format!("is of an earlier version ({which})"))?,
            Verdict::Newer(which) => {
                let what = format!("{} was written by a later version of microclip-pipe ({which})", files::shown(path));
                return Err(Error::new(Kind::Store, what).hint("update the program, or use another store: --store DIR"));
            }
        }
        Ok(false)
    }

    /// Moves a file to the quarantine, and warns about it.
    pub(super) fn set_aside(&self, path: &Path, why: &str) -> Result<()> {
        let to = quarantine(&self.root, path)?;
        guard(&self.known).remove(path);
        guard(&self.glanced).remove(path);
        let (from, to) = (files::shown(path), files::shown(&to));
        (self.say)(&format!("warning: {from} {why}: it was set aside as {to}, and what was in it is computed anew"));
        Ok(())
    }

    /// Records a file that need not be compared.
    pub(super) fn written(&self, path: &Path) {
        guard(&self.known).insert(path.to_owned());
    }

    /// Records that a folder is used: its modification time is the time of its last use by a run.
    pub(super) fn uses(&self, dir: &Path) {
        if guard(&self.used).insert(dir.to_owned()) {
            let _ = File::open(dir).and_then(|folder| folder.set_modified(SystemTime::now()));
        }
    }
}

impl fmt::Debug for Lock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lock").field("root", &self.root).finish_non_exhaustive()
    }
}

/// Moves a file of the store to the same relative path in the quarantine, and returns its new path.
fn quarantine(root: &Path, path: &Path) -> Result<PathBuf> {
    let place = root.join(QUARANTINE).join(path.strip_prefix(root).unwrap_or(path));
    let numbered = (1..).map(|n| PathBuf::from(format!("{}.{n}", place.display())));
    let mut names = std::iter::once(place.clone()).chain(numbered);
    if let Some(replica) = replica::of(path) {
        return replica.set_aside(path, names);
    }
    if let Some(folder) = place.parent() {
        temporary::make_folder(folder)?;
    }
    let free = |to: &PathBuf| !to.exists();
    let Some(to) = names.find(free) else {
        return Err(Error::new(Kind::Store, format!("no free name in {}", place.display())));
    };
    match fs::rename(path, &to) {
        // Another process was faster.
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(to),
        moved => moved.at(Kind::Store, "cannot set aside", path)?,
    }
    temporary::sync_folder_of(&to)?;
    temporary::sync_folder_of(path)?;
    Ok(to)
}
