//! What was fetched from an address: the version of each file, and when it was written here. A line
//! follows a file once that is whole, so that a fetch that was cut short goes on, and what has
//! changed or gone since is found out.

use std::collections::HashMap;
use std::fs::{self, File, TryLockError};
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::thread;

use super::address::Address;
use crate::error::{Context, Error, Kind, Result};
use crate::stop::{OFTEN, Stop};

/// How the names of journals begin, and of what belongs to them: they are hidden from who looks for
/// pictures.
const BEGIN: &str = ".fetched-";
const END: &str = ".csv";

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

/// Returns the place of the journal of an address, in the folder of its files.
pub(super) fn place(root: &Path, address: &Address) -> PathBuf {
    let id = blake3::hash(address.to_string().as_bytes()).to_hex();
    root.join(format!("{BEGIN}{}{END}", &id[..8]))
}

/// Returns what all journals say of the files below a folder: its own, and those of the folders
/// above it up to `top`, since addresses may overlap.
///
/// # Errors
/// Returns [`Kind::System`] if one cannot be read.
pub(super) fn all(root: &Path, top: &Path) -> Result<Vec<Known>> {
    let mut all = Vec::new();
    for folder in root.ancestors().take_while(|folder| folder.starts_with(top)) {
        let below = root.strip_prefix(folder).unwrap_or(Path::new("")).to_string_lossy().into_owned();
        for journal in in_folder(folder)? {
            let mut known = parsed(&fs::read(&journal).at(Kind::System, "cannot read", &journal)?);
            if !below.is_empty() {
                let own = |name: &str| Some(name.strip_prefix(&below)?.strip_prefix('/')?.to_owned());
                known = known.into_iter().filter_map(|(name, fetched)| Some((own(&name)?, fetched))).collect();
            }
            all.push(known);
        }
    }
    Ok(all)
}

fn in_folder(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.at(Kind::System, "cannot look through", folder)?,
    };
    let names = entries.map(|entry| entry.map(|entry| entry.path()).at(Kind::System, "cannot look through", folder));
    let is_journal = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().as_encoded_bytes();
        name.starts_with(BEGIN.as_bytes()) && name.ends_with(END.as_bytes())
    };
    names.filter(|path| path.as_ref().map_or(true, is_journal)).collect()
}

impl Journal {
    /// Opens the journal of an address, and waits for a process that has it; `wait` is called once
    /// then.
    ///
    /// # Errors
    /// Returns [`Kind::System`] if it cannot be opened or read; [`Kind::Interrupted`] if a stop was
    /// requested.
    pub(super) fn open(path: PathBuf, stop: &Stop, wait: impl Fn()) -> Result<Journal> {
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
        self.path.with_extension("unfinished")
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

    /// Notes that a file is there no more.
    ///
    /// # Errors
    /// Returns [`Kind::System`] if the journal cannot be written to.
    pub(super) fn note_gone(&mut self, name: &str) -> Result<()> {
        self.known.remove(name);
        self.write([name, "", ""])
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
        match line[2].parse() {
            Ok(written_ns) => {
                known.insert(line[0].to_owned(), Fetched { version: line[1].to_owned(), written_ns });
            }
            Err(_) => drop(known.remove(&line[0])),
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
        let path = dir.path().join(".fetched-0.csv");
        let open = || Journal::open(path.clone(), &Stop::default(), || {}).unwrap();
        let mut journal = open();
        for (name, version) in [("a,\"b\".jpg", "1"), ("gone.jpg", "1"), ("c.jpg", "1"), ("c.jpg", "2")] {
            journal.note(name, fetched(version)).unwrap();
        }
        journal.note_gone("gone.jpg").unwrap();
        drop(journal);
        File::options().append(true).open(&path).unwrap().write_all(b"torn.jpg,12").unwrap();
        let mut journal = open();
        journal.note("d.jpg", fetched("1")).unwrap();
        drop(journal);
        let expected = [("a,\"b\".jpg", "1"), ("c.jpg", "2"), ("d.jpg", "1")];
        let expected: Known = expected.into_iter().map(|(name, version)| (name.to_owned(), fetched(version))).collect();
        assert_eq!(*open().known(), expected);
        let deeper = dir.path().join("c.jpg");
        assert_eq!(all(&deeper, dir.path()).unwrap(), [Known::new()], "a file is no folder above others");
        assert_eq!(all(dir.path(), dir.path()).unwrap(), [expected]);
    }
}
