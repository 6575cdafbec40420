//! The cache that this program shares with Python's `huggingface_hub`, and its layout:
//!
//! ```text
//! models--ORG--NAME/blobs/ETAG                  the bytes of a file
//!                   blobs/ETAG.HOST.incomplete  those that have come so far
//!                   snapshots/COMMIT/FILE       a relative link to the blob
//!                   refs/REVISION               the commit of a branch or tag
//!                   trees/COMMIT.json           the files of a commit
//!                   stand-in                    the revision that is read in place of the main one
//! .locks/models--ORG--NAME/ETAG.lock            held while a blob is fetched
//! ```

use std::fs::{self, File, TryLockError};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use super::listing::Listing;
use super::name::{Name, Of, is_commit, is_revision};
use crate::error::{Context, Error, Kind, Result};

/// The right to fetch a blob, until it is dropped.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
    /// Whether other processes of this machine see it.
    is_held: bool,
}

/// The one file that Python does not keep: it lets a pull request stay the one that was taken.
const STAND_IN: &str = "stand-in";

/// The folder of a repository in the cache.
#[derive(Debug, Clone)]
pub(super) struct Repository {
    folder: PathBuf,
    locks: PathBuf,
}

impl Repository {
    /// Returns the repository's folder, which need not exist.
    pub(super) fn new(cache: &Path, name: &Name) -> Self {
        let folder = name.folder();
        Repository { locks: cache.join(".locks").join(&folder), folder: cache.join(folder) }
    }

    /// Returns the folder of a commit's files.
    pub(super) fn snapshot(&self, commit: &str) -> PathBuf {
        self.folder.join("snapshots").join(commit)
    }

    /// Returns the commit that a revision had when it was last asked for.
    pub(super) fn commit_of(&self, revision: &str) -> Option<String> {
        let text = fs::read_to_string(self.folder.join("refs").join(revision)).ok()?;
        Some(text.trim().to_owned()).filter(|commit| is_commit(commit))
    }

    /// Notes the commit of a revision. A cache that may only be read stays as it is.
    pub(super) fn note_revision(&self, revision: &str, commit: &str) {
        if self.commit_of(revision).as_deref() != Some(commit) {
            let _ = replace(&self.folder.join("refs").join(revision), commit.as_bytes());
        }
    }

    /// Returns the revision that has what is read here, where the main one has it in another form.
    pub(super) fn stand_in(&self) -> Option<String> {
        let text = fs::read_to_string(self.folder.join(STAND_IN)).ok()?;
        Some(text.trim().to_owned()).filter(|revision| is_revision(revision))
    }

    /// Notes which revision that is, or that there is none. A cache that may only be read stays as
    /// it is.
    pub(super) fn note_stand_in(&self, revision: Option<&str>) {
        if self.stand_in().as_deref() != revision {
            let path = self.folder.join(STAND_IN);
            let _ = match revision {
                Some(revision) => replace(&path, revision.as_bytes()),
                None => fs::remove_file(path),
            };
        }
    }

    /// Returns the files of a commit, if they are known.
    pub(super) fn listing(&self, commit: &str) -> Option<Listing> {
        Listing::of_file(&fs::read_to_string(self.trees(commit)).ok()?)
    }

    /// Notes the files of a commit. A cache that may only be read stays as it is.
    pub(super) fn note_listing(&self, commit: &str, listing: &Listing) {
        if self.listing(commit).is_none()
            && let Ok(json) = serde_json::to_vec_pretty(listing)
        {
            let _ = replace(&self.trees(commit), &json);
        }
    }

    fn trees(&self, commit: &str) -> PathBuf {
        self.folder.join("trees").join(format!("{commit}.json"))
    }

    /// Returns the place of a blob.
    pub(super) fn blob(&self, etag: &str) -> PathBuf {
        self.folder.join("blobs").join(etag)
    }

    /// Returns the place of a blob that is not whole yet. It is this machine's own, since others
    /// that share the folder may not see the lock, and this process's own where there are no locks.
    /// What an earlier version of Python has left becomes its beginning.
    pub(super) fn incomplete(&self, etag: &str, lock: &Lock) -> PathBuf {
        let blobs = self.folder.join("blobs");
        if !lock.is_held {
            return blobs.join(format!("{etag}.{}-{}.incomplete", machine(), std::process::id()));
        }
        let place = blobs.join(format!("{etag}.{}.incomplete", machine()));
        if !place.exists() {
            // Of several machines that try, one succeeds.
            let _ = fs::rename(blobs.join(format!("{etag}.incomplete")), &place);
        }
        place
    }

    /// Makes the folders that a blob is fetched into.
    ///
    /// # Errors
    /// Returns [`Kind::System`] if one cannot be made.
    pub(super) fn make(&self) -> Result<()> {
        for folder in [&self.folder.join("blobs"), &self.locks] {
            fs::create_dir_all(folder).at(Kind::System, "cannot make", folder).map_err(elsewhere)?;
        }
        Ok(())
    }

    /// Locks a blob, as Python does, unless another process has it.
    ///
    /// # Errors
    /// Returns [`Kind::System`] if the lock cannot be made.
    pub(super) fn try_lock(&self, etag: &str) -> Result<Option<Lock>> {
        let path = self.locks.join(format!("{etag}.lock"));
        let file = File::options().read(true).write(true).create(true).truncate(false).open(&path);
        let file = file.at(Kind::System, "cannot open", &path).map_err(elsewhere)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Lock { _file: file, is_held: true })),
            Err(TryLockError::WouldBlock) => Ok(None),
            // A file system without locks.
            Err(TryLockError::Error(_)) => Ok(Some(Lock { _file: file, is_held: false })),
        }
    }

    /// Puts a file into the folder of a commit, as a relative link to its blob.
    ///
    /// # Errors
    /// Returns [`Kind::System`] if it cannot be made.
    pub(super) fn link(&self, commit: &str, file: &str, etag: &str) -> Result<()> {
        let place = self.snapshot(commit).join(file);
        let folder = place.parent().unwrap_or(&self.folder);
        fs::create_dir_all(folder).at(Kind::System, "cannot make", folder).map_err(elsewhere)?;
        // Out of `snapshots/COMMIT`, and of each folder of the repository.
        let up = "../".repeat(2 + file.matches('/').count());
        let blob = PathBuf::from(format!("{up}blobs/{etag}"));
        match std::os::unix::fs::symlink(&blob, &place) {
            Err(e) if e.kind() == ErrorKind::AlreadyExists => {}
            made => return made.at(Kind::System, "cannot make", &place).map_err(elsewhere),
        }
        if fs::read_link(&place).is_ok_and(|there| there == blob) {
            return Ok(());
        }
        // A link to another blob, or a file where the cache was copied without its links.
        let made = (|| {
            let beside = tempfile::Builder::new().prefix(".").tempdir_in(folder)?;
            let link = beside.path().join("link");
            std::os::unix::fs::symlink(&blob, &link)?;
            fs::rename(&link, &place)
        })();
        made.at(Kind::System, "cannot replace", &place).map_err(elsewhere)
    }
}

/// Returns this machine's name, as far as it can be part of a file's.
fn machine() -> String {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name: String = name.trim().chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').take(64).collect();
    if name.is_empty() { "here".to_owned() } else { name }
}

/// Adds to an error about the cache that it can be elsewhere.
pub(super) fn elsewhere(error: Error) -> Error {
    let hint = match error.own_hint() {
        Some(hint) => format!("{hint}; HF_HUB_CACHE names another folder for what comes from the hub"),
        None => "HF_HUB_CACHE names another folder for what comes from the hub".to_owned(),
    };
    error.hint(hint)
}

/// Writes a small file under another name, and renames it.
fn replace(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let permissions = std::os::unix::fs::PermissionsExt::from_mode(0o666);
    let mut file = tempfile::Builder::new().permissions(permissions).tempfile_in(folder)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}

/// A commit of a repository that the cache has files of.
#[derive(Debug, Clone)]
pub struct Cached {
    /// The repository, at the commit.
    pub name: Name,
    /// The branches and tags that had this commit when they were last asked for, sorted.
    pub revisions: Vec<String>,
    /// The folder of its files.
    pub folder: PathBuf,
    /// Bytes of its files.
    pub bytes: u64,
}

/// Returns what the cache has of models or of data sets, by name and commit. What cannot be read is
/// left out.
pub(super) fn cached(cache: &Path, of: Of) -> Vec<Cached> {
    let mut found = Vec::new();
    for folder in names(cache) {
        let Some(name) = Name::of_folder(&folder, "main").filter(|name| name.of() == of) else { continue };
        let repository = Repository::new(cache, &name);
        let mut refs = Vec::new();
        revisions(&repository.folder.join("refs"), "", &mut refs);
        for commit in names(&repository.folder.join("snapshots")).into_iter().filter(|commit| is_commit(commit)) {
            let there = |revision: &&String| repository.commit_of(revision).as_ref() == Some(&commit);
            let folder = repository.snapshot(&commit);
            found.push(Cached {
                revisions: refs.iter().filter(there).cloned().collect(),
                bytes: bytes(&folder),
                name: name.at(&commit),
                folder,
            });
        }
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    found
}

/// Returns the names of what is in a folder.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort();
    names
}

/// Gathers the names of revisions: `refs/pr/1` is a file in folders.
fn revisions(folder: &Path, above: &str, found: &mut Vec<String>) {
    for name in names(folder) {
        let (path, revision) = (folder.join(&name), format!("{above}{name}"));
        match path.is_dir() {
            true => revisions(&path, &format!("{revision}/"), found),
            false => found.push(revision),
        }
    }
}

fn bytes(folder: &Path) -> u64 {
    let files = walkdir::WalkDir::new(folder).follow_links(true).into_iter().flatten();
    files.filter_map(|entry| entry.metadata().ok().filter(fs::Metadata::is_file)).map(|file| file.len()).sum()
}
