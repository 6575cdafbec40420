//! The cache that this program shares with Python's `huggingface_hub`, and its layout:
//!
//! ```text
//! models--ORG--NAME/blobs/ETAG                  the bytes of a file
//!                   blobs/ETAG.incomplete       those that have come so far
//!                   snapshots/COMMIT/FILE       a relative link to the blob
//!                   refs/REVISION               the commit of a branch or tag
//!                   trees/COMMIT.json           the files of a commit
//!                   stand-in                    the revision that is read in place of the main one
//! .locks/models--ORG--NAME/ETAG.lock            held while a blob is fetched
//! ```

use std::fs::{self, File, TryLockError};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::listing::Listing;
use super::name::{Name, RepoType, is_commit, is_revision};
use super::unfinished::Unfinished;
use crate::error::{Context, Error, Kind, Result};
use crate::text::file::{self, beside};

/// The most bytes of a file that names a commit or a revision.
const LINE: u64 = 1 << 10;

/// The most bytes of the file of a listing: room for some million files.
const LISTING: u64 = 1 << 30;

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
        let text = file::read(&self.folder.join("refs").join(revision), Kind::System, LINE).ok()?;
        Some(text.trim().to_owned()).filter(|commit| is_commit(commit))
    }

    /// Notes the commit of a revision. A cache that may only be read stays as it is.
    pub(super) fn note_revision(&self, revision: &str, commit: &str) {
        if self.commit_of(revision).as_deref() != Some(commit) {
            let _ = replace(&self.folder.join("refs").join(revision), commit);
        }
    }

    /// Returns the revision that has what is read here, where the main one has it in another form.
    pub(super) fn stand_in(&self) -> Option<String> {
        let text = file::read(&self.folder.join(STAND_IN), Kind::System, LINE).ok()?;
        Some(text.trim().to_owned()).filter(|revision| is_revision(revision))
    }

    /// Notes which revision that is, or that there is none. A cache that may only be read stays as
    /// it is.
    pub(super) fn note_stand_in(&self, revision: Option<&str>) {
        if self.stand_in().as_deref() != revision {
            let path = self.folder.join(STAND_IN);
            let _ = match revision {
                Some(revision) => replace(&path, revision),
                None => fs::remove_file(path),
            };
        }
    }

    /// Returns the files of a commit, if they are known.
    pub(super) fn listing(&self, commit: &str) -> Option<Listing> {
        Listing::of_file(&file::read(&self.trees(commit), Kind::System, LISTING).ok()?)
    }

    /// Notes the files of a commit. A cache that may only be read stays as it is.
    pub(super) fn note_listing(&self, commit: &str, listing: &Listing) {
        if self.listing(commit).is_none()
            && let Ok(json) = serde_json::to_string_pretty(listing)
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

    /// Makes the place of a blob that is not whole yet, which is this process's own.
    ///
    /// # Errors
    /// Returns [`Kind::System`] if it cannot be made.
    pub(super) fn unfinished(&self, etag: &str) -> Result<Unfinished> {
        let blobs = self.folder.join("blobs");
        Unfinished::begin(&blobs, etag).at(Kind::System, "cannot write into", &blobs).map_err(elsewhere)
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

    /// Locks a blob, as Python does, unless another process has it. The lock spares fetching a file
    /// twice; nothing else depends on it, since it may exclude nobody on a network's file system.
    ///
    /// # Errors
    /// Returns [`Kind::System`] if the lock cannot be made.
    pub(super) fn try_lock(&self, etag: &str) -> Result<Option<File>> {
        let path = self.locks.join(format!("{etag}.lock"));
        let file = File::options().read(true).write(true).create(true).truncate(false).open(&path);
        let file = file.at(Kind::System, "cannot open", &path).map_err(elsewhere)?;
        match file.try_lock() {
            // The error is of a file system without locks.
            Ok(()) | Err(TryLockError::Error(_)) => Ok(Some(file)),
            Err(TryLockError::WouldBlock) => Ok(None),
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

/// Adds to an error about the cache that it can be elsewhere.
pub(super) fn elsewhere(error: Error) -> Error {
    let hint = match error.own_hint() {
        Some(hint) => format!("{hint}; HF_HUB_CACHE names another folder for what comes from the hub"),
        None => "HF_HUB_CACHE names another folder for what comes from the hub".to_owned(),
    };
    error.hint(hint)
}

/// Writes a small file whole or not at all, and its folder.
fn replace(path: &Path, text: &str) -> std::io::Result<()> {
    fs::create_dir_all(path.parent().unwrap_or(Path::new(".")))?;
    beside(path, text)?.persist(path)?;
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
pub(super) fn cached(cache: &Path, of: RepoType) -> Vec<Cached> {
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
