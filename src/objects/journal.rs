//! What was fetched from an address: the version of each file, and when it was written here. A line
//! follows a file once that is whole, so that a fetch that was cut short goes on, and what has
//! changed or gone since is found out.

use std::collections::HashMap;
use std::fs::{self, File, TryLockError};
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::thread;

use crate::error::{Context, Error, Kind, Result};
use crate::stop::{OFTEN, Stop};

/// What the journal is called; it is hidden from who looks for pictures.
const NAME: &str = ".fetched.csv";

/// What the folder for files that are not whole yet is called.
const UNFINISHED: &str = ".unfinished";

/// A version of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fetched {
    /// What its bytes are known by on the other side.
    pub(super) version: String,
    /// When it was written here, in nanoseconds since 1970: nobody has written to it since.
    pub(super) written_ns: i64,
}

/// The files that were fetched, by their names below a folder.
pub(super) type Known = HashMap<String, Fetched>;

/// The journal of an address. No other process has it at the same time.
#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    file: File,
    known: Known,
}

/// Returns what the journal in a folder says, without holding it: nothing, if there is none.
///
/// # Errors
/// Returns [`Kind::System`] if it cannot be read.
pub(super) fn known(root: &Path) -> Result<Known> {
    let path = root.join(NAME);
    match fs::read(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Known::new()),
        text => Ok(parsed(&text.at(Kind::System, "cannot read", &path)?)),
    }
}

impl Journal {
    /// Opens the journal in the folder of an address, and waits for a process that has it; `wait`
    /// is called once then.
    ///
    /// # Errors
    /// Returns [`Kind::System`] if it cannot be opened or read; [`Kind::Interrupted`] if a stop was
    /// requested.
    pub(super) fn open(root: &Path, stop: &Stop, wait: impl Fn()) -> Result<Journal> {
        let path = root.join(NAME);
        let options = File::options().read(true).append(true).create(true).open(&path);
        let mut file = options.at(Kind::System, "cannot open", &path)?;
        let mut waits = false;
        while let Err(error) = file.try_lock() {
            match error {
                TryLockError::WouldBlock => {
                    stop.check()?;
                    if !std::mem::replace(&mut waits, true) {
                        wait();
                    }
                    thread::sleep(OFTEN);
                }
                // A file system without locks: let there be one process at a time.
                TryLockError::Error(_) => break,
            }
        }
        let known = read(&mut file).map_err(|cause| {
            Error::new(Kind::System, format!("cannot read {}", path.display())).cause(cause).hint("remove it")
        })?;
        Ok(Journal { path, file, known })
    }

    /// Returns the folder for files that are not whole yet: who has the journal has it, too.
    pub(super) fn unfinished(&self) -> PathBuf {
        self.path.with_file_name(UNFINISHED)
    }

    /// Returns the files that were fetched.
    pub(super) fn known(&self) -> &Known {
        &self.known
    }

    /// Notes that a file is there.
    ///
    /// # Errors
    /// Returns [`Kind::System`] if the journal cannot be written to.
    pub(super) fn note(&mut self, name: &str, fetched: Fetched) -> Result<()> {
        self.write([name, &fetched.version, &fetched.written_ns.to_string()])?;
        self.known.insert(name.to_owned(), fetched);
        Ok(())
    }

    fn write(&mut self, line: [&str; 3]) -> Result<()> {
        let mut writer = csv::Writer::from_writer(Vec::new());
        let written = writer.write_record(line).map_err(std::io::Error::from);
        let line = written.and_then(|()| writer.into_inner().map_err(csv::IntoInnerError::into_error));
        line.and_then(|line| self.file.write_all(&line)).at(Kind::System, "cannot write", &self.path)
    }
}

/// Reads the file, and ends a line that was cut off.
fn read(file: &mut File) -> std::io::Result<Known> {
    let mut text = Vec::new();
    file.seek(SeekFrom::Start(0))?;
    file.read_to_end(&mut text)?;
    if text.last().is_some_and(|last| *last != b'\n') {
        file.write_all(b"\n")?;
    }
    Ok(parsed(&text))
}

/// Reads lines; a later one of a file stands for the earlier ones. A line that was cut off says
/// nothing.
fn parsed(text: &[u8]) -> Known {
    let mut known = Known::new();
    let mut lines = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(text);
    for line in lines.records().filter_map(std::result::Result::ok).filter(|line| line.len() == 3) {
        if let Ok(written_ns) = line[2].parse() {
            known.insert(line[0].to_owned(), Fetched { version: line[1].to_owned(), written_ns });
        }
    }
    known
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fetched(version: &str) -> Fetched {
        Fetched { version: version.to_owned(), written_ns: 7 }
    }

    #[test]
    fn a_line_that_was_cut_off_is_a_file_that_was_not_fetched() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(NAME);
        let open = || Journal::open(dir.path(), &Stop::default(), || {}).unwrap();
        let mut journal = open();
        for (name, version) in [("a,\"b\".jpg", "1"), ("c.jpg", "1"), ("c.jpg", "2")] {
            journal.note(name, fetched(version)).unwrap();
        }
        drop(journal);
        File::options().append(true).open(&path).unwrap().write_all(b"torn.jpg,12").unwrap();
        let mut journal = open();
        journal.note("d.jpg", fetched("1")).unwrap();
        drop(journal);
        let expected = [("a,\"b\".jpg", "1"), ("c.jpg", "2"), ("d.jpg", "1")];
        let expected: Known = expected.into_iter().map(|(name, version)| (name.to_owned(), fetched(version))).collect();
        assert_eq!(*open().known(), expected);
        assert_eq!(known(dir.path()).unwrap(), expected);
        assert_eq!(known(&dir.path().join("none")).unwrap(), Known::new());
    }
}
