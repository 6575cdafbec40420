//! Claims: what the processes that work on a store say that they do ([`Work`]), so that no two
//! write the same.
//!
//! A claim is a file in `<store>/locks`, named after the work, with an `flock` that the kernel
//! releases when the process ends, however it ends. A process claims several at once or none of
//! them, while it has the store's turn, so two never claim what excludes each other.

use std::fmt;
use std::fs::{self, File, TryLockError};
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use jiff::Timestamp;

use super::files::on_disk;
use super::layout::Store;
use super::replica::Lease;
use super::temporary;
use super::work::Work;
use crate::error::{Context, Kind, Result};
use crate::net::machine;

/// The folder of claims.
const CLAIMS: &str = "locks";

/// The file whose lock is the turn.
const TURN: &str = "turn";

/// What a process does to a store. Given up on drop.
#[derive(Debug)]
#[must_use]
pub struct Claim {
    path: PathBuf,
    /// Open for as long as the claim is held.
    _file: File,
    /// The same for processes of other machines, if the store lies on objects.
    _lease: Option<Lease>,
}

/// Who holds what another process wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// The process, in words.
    pub process: String,
    /// What it does, if it says so.
    pub work: Option<Work>,
    /// Since when, if it says so.
    pub since: Option<String>,
}

/// The result of [`Store::try_claim`].
#[derive(Debug)]
pub enum Claimed {
    /// This process has all claims, in the order in which it asked.
    Ours(Vec<Claim>),
    /// Another process does what excludes one of them.
    Busy(Holder),
}

impl Store {
    /// Claims all of `works`, unless a process does what excludes one of them.
    ///
    /// # Errors
    /// Returns [`Kind::Store`] if the folder of claims cannot be read or written.
    pub fn try_claim(&self, works: &[Work]) -> Result<Claimed> {
        let folder = self.root().join(CLAIMS);
        temporary::make_folder(&folder)?;
        let turn = turn(self.root())?;
        if let Some(holder) = busy(self.root(), |theirs| works.iter().any(|work| work.excludes(theirs)))? {
            return Ok(Claimed::Busy(holder));
        }
        let mut claims: Vec<Claim> = works.iter().map(|work| Claim::make(&folder, work)).collect::<Result<_>>()?;
        drop(turn);
        if let Some(replica) = self.replica() {
            match replica.lease(works)? {
                Err(holder) => return Ok(Claimed::Busy(holder)),
                Ok(leases) => claims.iter_mut().zip(leases).for_each(|(claim, lease)| claim._lease = Some(lease)),
            }
        }
        Ok(Claimed::Ours(claims))
    }
}

/// Returns a process that does something to the store for which `excluded` is true. Removes claims
/// of processes that are gone.
///
/// # Errors
/// Returns [`Kind::Store`] if the folder of claims cannot be read.
pub(super) fn busy(root: &Path, excluded: impl Fn(&Work) -> bool) -> Result<Option<Holder>> {
    for path in on_disk(&root.join(CLAIMS))? {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let Some(work) = name.rsplit_once('.').and_then(|(work, _)| Work::parse(work)) else { continue };
        let mut file = match File::options().read(true).write(true).open(&path) {
            Err(e) if e.kind() == ErrorKind::NotFound => continue,
            opened => opened.at(Kind::Store, "cannot open", &path)?,
        };
        match file.try_lock() {
            Err(TryLockError::WouldBlock) if excluded(&work) => return Ok(Some(Holder::read(&mut file, Some(work)))),
            Err(TryLockError::WouldBlock) => {}
            // Its process is gone, or the file system has no locks and cannot tell.
            Ok(()) | Err(TryLockError::Error(_)) => drop(fs::remove_file(&path)),
        }
    }
    Ok(None)
}

/// Waits until no other process names parts or claims, and keeps others from it until the file is
/// dropped. Where the file system has no locks, nothing is waited for.
///
/// # Errors
/// Returns [`Kind::Store`] if the file cannot be opened.
pub(super) fn turn(root: &Path) -> Result<File> {
    let path = root.join(TURN);
    let options = File::options().read(true).write(true).create(true).truncate(false).open(&path);
    let file = options.at(Kind::Store, "cannot open", &path)?;
    let _ = file.lock();
    Ok(file)
}

impl Claim {
    fn make(folder: &Path, work: &Work) -> Result<Claim> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        loop {
            let count = COUNT.fetch_add(1, Ordering::Relaxed);
            let path = folder.join(format!("{}.{}-{count}", work.name(), std::process::id()));
            let mut file = match File::options().read(true).write(true).create_new(true).open(&path) {
                // Of a process of the same number, on another machine or gone.
                Err(e) if e.kind() == ErrorKind::AlreadyExists => continue,
                opened => opened.at(Kind::Store, "cannot make", &path)?,
            };
            let _ = file.try_lock();
            // Only tells waiting processes who it is.
            let _ = file.write_all(introduction().as_bytes());
            return Ok(Claim { path, _file: file, _lease: None });
        }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// Returns what a process says of itself in a file that it locks: its number, its machine and the
/// time, a line each.
pub(super) fn introduction() -> String {
    format!("{}\n{}\n{}\n", std::process::id(), machine(), now())
}

/// Returns the time as processes tell each other since when they do something.
pub(super) fn now() -> String {
    Timestamp::now().strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

/// Returns what a process is called here, by its number and its machine.
pub(super) fn process(number: &str, there: &str) -> String {
    if there == machine() { format!("process {number}") } else { format!("process {number} on {there}") }
}

impl Holder {
    /// Reads who holds a file.
    pub(super) fn read(file: &mut File, work: Option<Work>) -> Holder {
        let mut text = String::new();
        // What cannot be read is not known.
        let _ = file.take(1_000).read_to_string(&mut text);
        let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        let process = match (lines.next(), lines.next()) {
            (Some(number), Some(there)) => process(number, there),
            (Some(number), None) => format!("process {number}"),
            (None, _) => "another process".to_owned(),
        };
        Holder { process, work, since: lines.next().map(str::to_owned) }
    }

    /// Returns what it does and since when, in brackets after a space, as far as that is known.
    pub fn details(&self) -> String {
        let work = self.work.as_ref().map(Work::to_string);
        let since = self.since.as_ref().map(|since| format!("since {since}"));
        let known: Vec<String> = work.into_iter().chain(since).collect();
        if known.is_empty() { String::new() } else { format!(" ({})", known.join(", ")) }
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.process)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dataset(name: &str) -> Work {
        Work::Dataset(name.to_owned())
    }

    #[track_caller]
    fn ours(store: &Store, works: &[Work]) -> Vec<Claim> {
        match store.try_claim(works).unwrap() {
            Claimed::Ours(claims) => claims,
            Claimed::Busy(holder) => panic!("{holder}{} holds it", holder.details()),
        }
    }

    #[test]
    fn all_is_claimed_or_nothing_and_given_up_at_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let run = Work::Run("birds-s0".to_owned());
        let held = ours(&store, &[dataset("birds")]);
        let Claimed::Busy(holder) = store.try_claim(&[run.clone(), dataset("birds")]).unwrap() else { panic!() };
        assert_eq!(
            (holder.process.as_str(), holder.work.as_ref()),
            (format!("process {}", std::process::id()).as_str(), Some(&dataset("birds")))
        );
        assert!(holder.details().starts_with(" (dataset birds, since 20"), "{}", holder.details());
        let others = ours(&store, &[run.clone(), dataset("cars")]);
        assert_eq!(others.len(), 2, "the run was not claimed before");
        drop(held);
        drop(others);
        assert!(on_disk(&folder.path().join(CLAIMS)).unwrap().is_empty());
        drop(ours(&store, &[run, dataset("birds")]));
    }

    #[test]
    fn the_claims_of_a_process_that_is_gone_hold_nothing_and_go() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        drop(ours(&store, &[dataset("birds")]));
        let left = folder.path().join(CLAIMS).join("dataset.birds.4194305-7");
        fs::write(&left, "4194305\nelsewhere\n2026-01-01 00:00:00 UTC\n").unwrap();
        fs::write(folder.path().join(CLAIMS).join("notes.txt"), "a user's own").unwrap();
        let _held = ours(&store, &[dataset("birds")]);
        assert!(!left.exists());
        assert!(folder.path().join(CLAIMS).join("notes.txt").exists());
    }

    #[test]
    fn a_process_on_another_machine_is_called_by_it() {
        let mut file = tempfile::tempfile().unwrap();
        std::os::unix::fs::FileExt::write_all_at(&file, b"12\nelsewhere\n2026-01-01 00:00:00 UTC\n", 0).unwrap();
        let holder = Holder::read(&mut file, None);
        assert_eq!(format!("{holder}{}", holder.details()), "process 12 on elsewhere (since 2026-01-01 00:00:00 UTC)");
    }
}
