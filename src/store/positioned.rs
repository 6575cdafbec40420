//! A Parquet file that several threads read at positions of their own.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use parquet::errors::ParquetError;
use parquet::file::reader::{ChunkReader, Length};

use crate::error::{Context, Kind, Result};
use crate::store::replica::{self, Ranges};

/// Parquet's type for shared bytes, under the only name that needs no dependency on its crate.
pub type Bytes = <datafusion::object_store::PutPayload as IntoIterator>::Item;

/// A file that is read at positions, so that threads do not move each other's cursor. It may lie on
/// a store of objects, and is then read by ranges.
#[derive(Debug, Clone)]
pub struct Positioned(Arc<Place>);

#[derive(Debug)]
enum Place {
    Here(File),
    Elsewhere(Arc<Ranges>),
}

impl Positioned {
    /// Returns a file that may be shared between threads.
    pub fn new(file: File) -> Self {
        Positioned(Arc::new(Place::Here(file)))
    }

    /// Opens a file of a store, of which some is to be read: if it is not on this machine, it is
    /// not fetched.
    ///
    /// # Errors
    /// Returns [`Kind::Store`] if there is none or it cannot be read, [`Kind::Network`] if the
    /// service that has it does not answer.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        if let Some(ranges) = replica::of(path).map(|replica| replica.ranges(path)).transpose()?.flatten() {
            return Ok(Positioned(Arc::new(Place::Elsewhere(ranges))));
        }
        File::open(path).at(Kind::Store, "cannot read", path).map(Positioned::new)
    }

    /// Fills a buffer with what follows a position.
    pub(crate) fn read_exact_at(&self, buffer: &mut [u8], position: u64) -> io::Result<()> {
        match self.0.as_ref() {
            Place::Here(file) => file.read_exact_at(buffer, position),
            Place::Elsewhere(ranges) if ranges.read_at(buffer, position)? == buffer.len() => Ok(()),
            Place::Elsewhere(_) => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }

    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        match self.0.as_ref() {
            Place::Here(file) => file.read_at(buffer, position),
            Place::Elsewhere(ranges) => ranges.read_at(buffer, position),
        }
    }
}

/// Reads sequentially from a position.
#[derive(Debug)]
pub struct From {
    file: Positioned,
    position: u64,
}

impl Read for From {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(buffer, self.position)?;
        self.position += read as u64;
        Ok(read)
    }
}

impl Length for Positioned {
    fn len(&self) -> u64 {
        match self.0.as_ref() {
            Place::Here(file) => file.metadata().map_or(0, |m| m.len()),
            Place::Elsewhere(ranges) => ranges.len(),
        }
    }
}

impl ChunkReader for Positioned {
    type T = io::BufReader<From>;

    fn get_read(&self, start: u64) -> std::result::Result<Self::T, ParquetError> {
        Ok(io::BufReader::new(From { file: self.clone(), position: start }))
    }

    fn get_bytes(&self, start: u64, length: usize) -> std::result::Result<Bytes, ParquetError> {
        let mut buffer = vec![0; length];
        self.read_exact_at(&mut buffer, start)?;
        Ok(buffer.into())
    }
}
