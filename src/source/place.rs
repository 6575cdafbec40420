//! Places of pictures in larger files, and reading them there again, in any order.

use std::fs::{File, Metadata};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;

use super::hf_parquet::again::Rows;
use super::item::modified_ns;
use crate::error::{Context, Error, Kind, Result};
use crate::text::file as text_file;

/// A place in a larger file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Within {
    /// The file.
    pub file: Arc<Container>,
    /// Where in it.
    pub at: At,
}

/// Where a picture is in a larger file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum At {
    /// In this row, from 0.
    Row(u64),
    /// Its bytes begin at this one of the file, from 0, and follow each other.
    Byte(u64),
}

/// A file that holds many pictures.
#[derive(Debug, PartialEq, Eq)]
pub struct Container {
    /// The file.
    pub path: PathBuf,
    /// When it was last changed, in nanoseconds since 1970 UTC.
    pub modified_ns: i64,
    /// The column of the pictures, if the file has columns.
    pub column: Option<String>,
}

impl Container {
    /// Returns the hint for a file that is not what was ingested.
    pub fn again(&self) -> &'static str {
        match self.column {
            Some(_) => {
                "run again to ingest what is there now, or put back the file that was there; with dataset.copy = true the \
                 store keeps the pictures themselves"
            }
            None => "run again to ingest what is there now, or put back the file that was there",
        }
    }

    /// Opens the file if it has not changed since.
    ///
    /// # Errors
    /// Returns [`Kind::Input`] if it cannot be read, or has changed.
    pub(super) fn open(&self) -> Result<(File, Metadata)> {
        let hinted = |error: Error| error.hint(self.again());
        let file = text_file::open(&self.path).at(Kind::Input, "cannot read", &self.path).map_err(hinted)?;
        let found = file.metadata().at(Kind::Input, "cannot read", &self.path)?;
        if modified_ns(&found) != self.modified_ns {
            return Err(self.refused("has changed since it was ingested"));
        }
        Ok((file, found))
    }

    /// Returns the error about a file of which `what` is true.
    pub(super) fn refused(&self, what: &str) -> Error {
        Error::new(Kind::Input, format!("{} {what}", self.path.display())).hint(self.again())
    }
}

/// A larger file, opened to read single pictures of it. May be shared between threads.
#[derive(Debug)]
pub enum Larger {
    /// Parquet, by row.
    Rows(Box<Rows>),
    /// Any other, by the place of the first byte.
    Bytes {
        /// The opened file.
        file: File,
        /// What it is.
        container: Arc<Container>,
    },
}

impl Larger {
    /// Opens a file that was listed or ingested.
    ///
    /// # Errors
    /// Returns [`Kind::Input`] if the file cannot be read, or has changed since.
    pub fn open(container: &Arc<Container>) -> Result<Self> {
        match container.column {
            Some(_) => Rows::open(container).map(Box::new).map(Larger::Rows),
            None => Ok(Larger::Bytes { file: container.open()?.0, container: Arc::clone(container) }),
        }
    }

    /// Returns the encoded picture at a place; `byte_len` is its length, which a row does not need.
    ///
    /// # Errors
    /// Returns [`Kind::Input`] if the file has no such picture any more, or cannot be read.
    pub fn read(&self, at: At, byte_len: u64) -> Result<Vec<u8>> {
        match (self, at) {
            (Larger::Rows(rows), At::Row(row)) => rows.read(row),
            (Larger::Bytes { file, container }, At::Byte(first)) => {
                let mut bytes = vec![0; usize::try_from(byte_len).unwrap_or(usize::MAX)];
                let read = file.read_exact_at(&mut bytes, first).at(Kind::Input, "cannot read", &container.path);
                read.map(|()| bytes).map_err(|error| error.hint(container.again()))
            }
            _ => Err(Error::new(Kind::Internal, "a row was asked of a file without rows, or a byte of one with them")),
        }
    }
}
