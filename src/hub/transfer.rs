//! Fetching one file into the cache: from where an earlier attempt ended, and under its name only
//! once the bytes on the disk have the hash that the hub lists.

use std::fs::{self, File};
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::time::Duration;

use super::cache::{Repository, elsewhere};
use super::client::{Answer, Client, Trouble, escaped, escaped_path};
use super::hash::Hash;
use super::listing::Listed;
use super::name::{Name, RepoType};
use super::refused::{refused, unanswered};
use super::unfinished::Unfinished;
use crate::error::{Context, Error, Kind, Result};
use crate::net::{self, Retries, Watch};
use crate::stop::Stop;

/// How often a file is asked for again after an attempt that brought nothing.
const ATTEMPTS: u32 = 5;

/// Bytes after which an attempt counts as one that brought something.
const SOMETHING: u64 = 1 << 20;

/// How often another process is looked at that fetches the same.
const OFTEN: Duration = Duration::from_millis(200);

/// A file to be fetched.
pub(super) struct Transfer<'a> {
    pub(super) client: &'a Client,
    pub(super) repository: &'a Repository,
    /// The repository, at a commit.
    pub(super) name: &'a Name,
    /// The file's path in it.
    pub(super) path: &'a str,
    pub(super) listed: &'a Listed,
    pub(super) stop: &'a Stop,
    pub(super) watch: &'a dyn Watch,
}

/// How an attempt ended that did not bring the whole file.
enum Ended {
    /// It may go better from here.
    Early(Error, Option<Duration>),
    /// The bytes are not those of the file: they are gone again.
    Wrong(Error),
    /// Another attempt is of no use.
    Failed(Error),
}

impl From<Error> for Ended {
    fn from(error: Error) -> Self {
        Ended::Failed(error)
    }
}

impl Transfer<'_> {
    /// Fetches the file into the blobs of its repository, unless it is there already.
    ///
    /// # Errors
    /// Returns [`Kind::Network`] if the hub refuses it, fails, or sends other bytes;
    /// [`Kind::System`] if it cannot be written; [`Kind::Interrupted`] if a stop was requested.
    pub(super) fn fetch(&self) -> Result<()> {
        let blob = self.repository.blob(self.listed.etag());
        self.repository.make()?;
        let _lock = self.locked()?;
        // Another process, or another commit, may have brought it.
        if self.is_there(&blob)? {
            self.watch.advance(self.listed.bytes());
            return Ok(());
        }
        let (mut retries, mut was_wrong) = (Retries::new(ATTEMPTS), false);
        let unfinished = self.repository.unfinished(self.listed.etag())?;
        let mut there = unfinished.length();
        self.watch.advance(there);
        loop {
            let Err(ended) = self.attempt(unfinished.path(), there) else { break };
            let now = unfinished.length();
            if now >= there + SOMETHING {
                retries = Retries::new(ATTEMPTS);
            }
            there = now;
            match ended {
                Ended::Failed(error) => return Err(error),
                Ended::Wrong(error) if was_wrong => return Err(error),
                Ended::Wrong(error) => {
                    self.watch.say(&format!("warning: {error}; it is fetched once more"));
                    was_wrong = true;
                }
                Ended::Early(error, asked) => match retries.wait(asked) {
                    Some(wait) => self.stop.sleep(wait)?,
                    None => return Err(error),
                },
            }
        }
        self.name(&unfinished, &blob)
    }

    /// Returns whether the file is among the blobs. One that has other bytes is to be replaced.
    fn is_there(&self, blob: &Path) -> Result<bool> {
        match fs::metadata(blob) {
            Ok(found) if found.len() == self.listed.bytes() => {}
            _ => return Ok(false),
        }
        let is_it = self.hash_of(blob)? == self.listed.etag();
        if !is_it {
            self.watch.say(&format!(
                "warning: the cache has {} of {} with other bytes than the hub lists; it is fetched again",
                self.path, self.name
            ));
        }
        Ok(is_it)
    }

    /// Gives a whole file its name among the blobs.
    fn name(&self, unfinished: &Unfinished, blob: &Path) -> Result<()> {
        match fs::rename(unfinished.path(), blob) {
            // It was taken from here by a process that has it whole by now.
            Err(e) if e.kind() == ErrorKind::NotFound && self.is_there(blob)? => return Ok(()),
            named => named.at(Kind::System, "cannot name", blob).map_err(elsewhere)?,
        }
        let folder = blob.parent().unwrap_or(Path::new("/"));
        File::open(folder).and_then(|folder| folder.sync_all()).at(Kind::System, "cannot sync", folder)
    }

    /// Returns the hash of a file's bytes as they are on the disk.
    fn hash_of(&self, path: &Path) -> Result<String> {
        let mut file = File::open(path).at(Kind::System, "cannot read", path).map_err(elsewhere)?;
        let (mut hash, mut block) = (Hash::of(self.listed), vec![0; 1 << 20]);
        loop {
            self.stop.check()?;
            match file.read(&mut block).at(Kind::System, "cannot read", path)? {
                0 => return Ok(hash.finish()),
                read => hash.update(&block[..read]),
            }
        }
    }

    /// Waits for the lock of the blob.
    fn locked(&self) -> Result<File> {
        let mut said = false;
        loop {
            if let Some(lock) = self.repository.try_lock(self.listed.etag())? {
                return Ok(lock);
            }
            if !std::mem::replace(&mut said, true) {
                self.watch.say(&format!("another process fetches {} of {}: waiting for it", self.path, self.name));
            }
            self.stop.sleep(OFTEN)?;
        }
    }

    /// Fetches what is missing after the first `there` bytes.
    fn attempt(&self, path: &Path, there: u64) -> Result<(), Ended> {
        let options = File::options().write(true).create(true).truncate(false).open(path);
        let file = options.at(Kind::System, "cannot make", path).map_err(elsewhere)?;
        let mut part = Part { file, path, length: 0, transfer: self };
        // More than the whole is of something else.
        part.keep(if there > self.listed.bytes() { 0 } else { there })?;
        if part.length < self.listed.bytes() {
            let first = (part.length > 0).then_some(part.length);
            let answer = self.client.get(&self.address(), first, self.stop).map_err(|trouble| self.cut(trouble))?;
            part.receive(&answer)?;
        }
        part.check()
    }

    /// Returns the file's path on the hub.
    fn address(&self) -> String {
        let of = if self.name.of() == RepoType::Dataset { "/datasets" } else { "" };
        format!("{of}/{}/resolve/{}/{}", self.name.id(), escaped(self.name.revision()), escaped_path(self.path))
    }

    /// Says how an attempt ended whose answer did not come, or not whole.
    fn cut(&self, trouble: Trouble) -> Ended {
        match trouble {
            Trouble::Ours(error) => Ended::Failed(error),
            Trouble::Theirs(cause) => {
                let may_pass = net::may_pass(&cause);
                let error = unanswered(self.path, self.name, self.client, cause);
                if may_pass { Ended::Early(error, None) } else { Ended::Failed(error) }
            }
        }
    }

    /// Returns the error for bytes that are not those of the file.
    fn wrong(&self, why: &str) -> Error {
        Error::new(Kind::Network, format!("{} of {} came wrong: {why}", self.path, self.name))
            .hint("a proxy or mirror between here and the hub may change files: fetch past it, or set HF_ENDPOINT")
    }
}

/// The part of a file that is on the disk.
struct Part<'a> {
    file: File,
    path: &'a Path,
    length: u64,
    transfer: &'a Transfer<'a>,
}

impl Part<'_> {
    /// Keeps the first bytes that are there, and drops the others.
    fn keep(&mut self, length: u64) -> Result<(), Ended> {
        let cut = self.file.set_len(length).and_then(|()| self.file.seek(SeekFrom::Start(length)));
        self.length = cut.at(Kind::System, "cannot cut", self.path)?;
        Ok(())
    }

    /// Writes what an answer brings.
    fn receive(&mut self, answer: &Answer) -> Result<(), Ended> {
        let Transfer { stop, watch, listed, path, name, client, .. } = *self.transfer;
        match answer.incoming.status {
            200 if self.length > 0 => {
                // The server sends the whole: what was there is sent again.
                self.keep(0)?;
            }
            200 => {}
            206 if starts_at(answer) == Some(self.length) => {}
            // Another part than was asked for, or none at all: from the start, then.
            206 | 416 => {
                self.keep(0)?;
                let error = self.transfer.wrong("the server sends another part of it than was asked for");
                return Err(Ended::Early(error, None));
            }
            status => {
                let error = refused(status, &answer.incoming.headers, path, name, client);
                return Err(match net::is_busy(status) {
                    true => Ended::Early(error, net::retry_after(&answer.incoming.headers)),
                    false => Ended::Failed(error),
                });
            }
        }
        if let Some(tag) = tag(answer).filter(|tag| *tag != listed.etag()) {
            let why = format!("the hub sends {tag}, and lists {}", listed.etag());
            return Err(Ended::Failed(self.transfer.wrong(&why)));
        }
        while let Some(bytes) = answer.incoming.bytes(stop).map_err(|trouble| self.transfer.cut(trouble))? {
            if self.length + bytes.len() as u64 > listed.bytes() {
                self.keep(0)?;
                let why = format!("there are more than the {} bytes that the hub lists", listed.bytes());
                return Err(Ended::Wrong(self.transfer.wrong(&why)));
            }
            self.file.write_all(&bytes).at(Kind::System, "cannot write", self.path).map_err(elsewhere)?;
            self.length += bytes.len() as u64;
            watch.advance(bytes.len() as u64);
        }
        Ok(())
    }

    /// Checks that the file is whole and as the hub lists it, and puts it on the disk.
    fn check(mut self) -> Result<(), Ended> {
        let Transfer { listed, path, name, client, .. } = *self.transfer;
        if self.length < listed.bytes() {
            let cause = std::io::Error::from(std::io::ErrorKind::UnexpectedEof);
            return Err(Ended::Early(unanswered(path, name, client, cause.into()), None));
        }
        self.file.sync_all().at(Kind::System, "cannot write", self.path).map_err(elsewhere)?;
        // Of what is on the disk, not of what has come: another process may have written there.
        let found = self.transfer.hash_of(self.path)?;
        if found != listed.etag() {
            self.keep(0)?;
            let why = format!("its hash is {found}, not {}", listed.etag());
            return Err(Ended::Wrong(self.transfer.wrong(&why)));
        }
        Ok(())
    }
}

/// Returns the hash by which the hub's answer names the file, if it is one.
fn tag(answer: &Answer) -> Option<&str> {
    let tag = answer.of_hub("x-linked-etag").or_else(|| answer.of_hub("etag"))?;
    let tag = tag.trim_start_matches("W/").trim_matches('"');
    // A mirror may have tags of its own.
    (matches!(tag.len(), 40 | 64) && tag.bytes().all(|byte| byte.is_ascii_hexdigit())).then_some(tag)
}

/// Returns the first byte that an answer with a part of a file brings.
fn starts_at(answer: &Answer) -> Option<u64> {
    let range = answer.incoming.headers.get("content-range")?.to_str().ok()?;
    range.trim().strip_prefix("bytes ")?.split('-').next()?.trim().parse().ok()
}
