//! A Parquet file that several threads read at positions of their own.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use parquet::errors::ParquetError;
use parquet::file::reader::{ChunkReader, Length};

/// Parquet's type for shared bytes, under the only name that needs no dependency on its crate.
pub type Bytes = <datafusion::object_store::PutPayload as IntoIterator>::Item;

/// A file that is read at positions, so that threads do not move each other's cursor.
#[derive(Debug, Clone)]
pub struct Positioned(Arc<File>);

impl Positioned {
    /// Returns a file that may be shared between threads.
    pub fn new(file: File) -> Self {
        Positioned(Arc::new(file))
    }
}

/// Reads sequentially from a position.
#[derive(Debug)]
pub struct From {
    file: Arc<File>,
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
        self.0.metadata().map_or(0, |m| m.len())
    }
}

impl ChunkReader for Positioned {
    type T = io::BufReader<From>;

    fn get_read(&self, start: u64) -> Result<Self::T, ParquetError> {
        Ok(io::BufReader::new(From { file: self.0.clone(), position: start }))
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        let mut buffer = vec![0; length];
        self.0.read_exact_at(&mut buffer, start)?;
        Ok(buffer.into())
    }
}
