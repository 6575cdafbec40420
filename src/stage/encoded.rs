//! Encoded pictures as a source gives them: read, named by their bytes, and refused where their header says too much.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::image::{Header, ImageId, Limits, Reason, Rejection, probe};
use crate::source::{Item, Origin};

/// A picture whose header is within the limits; it has not been decoded.
#[derive(Debug)]
pub(super) struct Encoded {
    /// The file's bytes.
    pub(super) bytes: Vec<u8>,
    /// Their identity.
    pub(super) id: ImageId,
    /// Format and sizes.
    pub(super) header: Header,
}

impl Encoded {
    /// What decoding the picture takes.
    pub(super) fn decoding_bytes(&self) -> usize {
        self.header.format.decoding_bytes(self.header.width, self.header.height)
    }
}

/// Reads a picture. Its bytes are taken out of the item where they are in it.
pub(super) fn read(item: &mut Item, limits: &Limits) -> Result<Encoded, Rejection> {
    let bytes = match &mut item.origin {
        Origin::File { path, byte_len, .. } => read_file(path, *byte_len, limits)?,
        Origin::Embedded { bytes } => std::mem::take(bytes),
        Origin::Unreadable { detail } => return Err(Rejection::new(Reason::Unreadable, detail.clone())),
    };
    let header = probe(&bytes, limits)?;
    Ok(Encoded { id: ImageId::of(&bytes), bytes, header })
}

fn read_file(path: &Path, byte_len: u64, limits: &Limits) -> Result<Vec<u8>, Rejection> {
    // A file that is too large is not even read.
    if byte_len > limits.max_bytes {
        let detail = format!("{byte_len} bytes, more than dataset.limits.max_bytes = {}", limits.max_bytes);
        return Err(Rejection::new(Reason::TooLargeBytes, detail));
    }
    let mut bytes = Vec::with_capacity(byte_len as usize);
    // It may have grown since it was listed.
    File::open(path)
        .and_then(|file| file.take(limits.max_bytes + 1).read_to_end(&mut bytes))
        .map_err(|e| Rejection::new(Reason::Unreadable, e.to_string()))?;
    Ok(bytes)
}
