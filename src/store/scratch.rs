//! Tables of numbers that are too large for memory, in files without a name: nothing is left of
//! them when the process ends, however it ends.
//!
//! A run has them on the store's disk, since `/tmp` is memory on many machines.

use std::env;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{OnceLock, PoisonError, RwLock};

use memmap2::{Advice, Mmap};

use crate::error::{Context, Kind, Result};

/// The folder that files are made in; the system's folder for temporary files if none was set.
static FOLDER: RwLock<Option<PathBuf>> = RwLock::new(None);

/// Sets the folder in which files are made from now on.
pub fn set_folder(folder: &Path) {
    *FOLDER.write().unwrap_or_else(PoisonError::into_inner) = Some(folder.to_owned());
}

/// A file of 32-bit numbers. Threads may read it at the same time.
#[derive(Debug)]
pub struct Scratch {
    file: File,
    folder: PathBuf,
    numbers: u64,
    map: OnceLock<Mmap>,
}

impl Scratch {
    /// Creates an empty file.
    ///
    /// # Errors
    /// Returns [`Kind::Store`] if the folder cannot be written to.
    pub fn create() -> Result<Scratch> {
        let set = FOLDER.read().unwrap_or_else(PoisonError::into_inner).clone();
        let folder = set.unwrap_or_else(env::temp_dir);
        let file = tempfile::tempfile_in(&folder).at(Kind::Store, "cannot make a temporary file in", &folder)?;
        Ok(Scratch { file, folder, numbers: 0, map: OnceLock::new() })
    }

    /// Creates a file of so many zeros, which take no room until others are written in their
    /// place.
    ///
    /// # Errors
    /// Returns [`Kind::Store`] if the folder cannot be written to.
    pub fn of_zeros(numbers: u64) -> Result<Scratch> {
        let scratch = Scratch { numbers, ..Scratch::create()? };
        let set = scratch.file.set_len(numbers * BYTES);
        set.at(Kind::Store, "cannot make a temporary file in", &scratch.folder).map_err(|error| error.hint(ROOM))?;
        Ok(scratch)
    }

    /// Appends numbers.
    ///
    /// # Errors
    /// Returns [`Kind::Store`] if the disk is full or fails.
    pub fn append(&mut self, numbers: &[f32]) -> Result<()> {
        self.write(self.numbers, numbers)?;
        self.numbers += numbers.len() as u64;
        Ok(())
    }

    /// Writes numbers in the place of those from a place on.
    ///
    /// # Errors
    /// Returns [`Kind::Store`] if the disk is full or fails.
    pub fn write(&mut self, from: u64, numbers: &[f32]) -> Result<()> {
        let written = self.file.write_all_at(bytemuck::cast_slice(numbers), from * BYTES);
        written.at(Kind::Store, "cannot write a temporary file in", &self.folder).map_err(|error| error.hint(ROOM))
    }

    /// Reads numbers from a place on.
    ///
    /// # Errors
    /// Returns [`Kind::Store`] if there are fewer, or the disk fails.
    pub fn read(&self, from: u64, into: &mut [f32]) -> Result<()> {
        let read = self.file.read_exact_at(bytemuck::cast_slice_mut(into), from * BYTES);
        read.at(Kind::Store, CANNOT_READ, &self.folder)
    }

    /// Returns all numbers, to read a few here and there: a system call for each place would take
    /// longer than reading it. Nothing may be appended any more.
    ///
    /// # Errors
    /// Returns [`Kind::Store`] if the file cannot be mapped.
    #[allow(unsafe_code)]
    pub fn all(&self) -> Result<&[f32]> {
        if self.numbers == 0 {
            return Ok(&[]);
        }
        if self.map.get().is_none() {
            // SAFETY: the file has no name, so no other process can change it, and this one does
            // not either: nothing is appended while it is borrowed.
            let map = unsafe { Mmap::map(&self.file) }.at(Kind::Store, CANNOT_READ, &self.folder)?;
            // Only advice: without it, more is read ahead than needed.
            let _ = map.advise(Advice::Random);
            let _ = self.map.set(map);
        }
        Ok(self.map.get().map_or(&[], |map| bytemuck::cast_slice(map)))
    }
}

/// Bytes of a number.
const BYTES: u64 = size_of::<f32>() as u64;

const CANNOT_READ: &str = "cannot read a temporary file in";

/// What to do about a full disk.
const ROOM: &str = "free some space there, name another folder with --store DIR, or raise device.memory";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back_from_any_place_and_no_further() {
        let mut scratch = Scratch::create().unwrap();
        scratch.append(&[1.0, 2.0]).unwrap();
        scratch.append(&[3.0]).unwrap();
        let mut read = [0.0; 2];
        scratch.read(1, &mut read).unwrap();
        assert_eq!(read, [2.0, 3.0]);
        assert!(scratch.read(2, &mut read).is_err());
        assert_eq!(scratch.all().unwrap(), [1.0, 2.0, 3.0]);
        assert!(Scratch::create().unwrap().all().unwrap().is_empty());
    }
}
