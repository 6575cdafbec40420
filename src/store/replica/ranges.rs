//! Reads some of a file that is not on this machine: a footer, or the columns that are asked for.

use std::collections::VecDeque;
use std::io;
use std::sync::Mutex;

use crate::error::Error;
use crate::objects::{Bucket, Bytes, Listed};
use crate::panics::guard;

/// Bytes of a block: a footer is in one or two.
const BLOCK: u64 = 64 << 10;

/// Blocks that are kept for the next reading.
const KEPT: usize = 64;

/// An object that is read by ranges. Threads may read it at the same time.
pub struct Ranges {
    bucket: Bucket,
    object: Listed,
    /// Blocks that were read last, by their numbers.
    blocks: Mutex<VecDeque<(u64, Bytes)>>,
}

impl Ranges {
    pub(super) fn new(bucket: Bucket, object: Listed) -> Self {
        Ranges { bucket, object, blocks: Mutex::default() }
    }

    /// Returns whether these are ranges of an object as it is now.
    pub(super) fn is_of(&self, object: &Listed) -> bool {
        self.object.key == object.key && self.object.tag == object.tag
    }

    /// Returns the object's bytes.
    pub(in crate::store) fn len(&self) -> u64 {
        self.object.size
    }

    /// Fills as much of a buffer as follows a position, and returns how much that is.
    pub(in crate::store) fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        let end = (position + buffer.len() as u64).min(self.object.size);
        let Some(wanted) = end.checked_sub(position).filter(|wanted| *wanted > 0) else { return Ok(0) };
        if wanted > KEPT as u64 / 2 * BLOCK {
            buffer[..wanted as usize].copy_from_slice(&self.ask(position, end)?);
            return Ok(wanted as usize);
        }
        let mut at = position;
        while at < end {
            let number = at / BLOCK;
            let block = self.block(number, end.div_ceil(BLOCK))?;
            let from = (at - number * BLOCK) as usize;
            let these = (block.len() - from).min((end - at) as usize);
            let to = (at - position) as usize;
            buffer[to..to + these].copy_from_slice(&block[from..from + these]);
            at += these as u64;
        }
        Ok(wanted as usize)
    }

    /// Returns a block; if it is not here, it is asked for together with the others up to `last`.
    fn block(&self, number: u64, last: u64) -> io::Result<Bytes> {
        let kept = |blocks: &VecDeque<(u64, Bytes)>, wanted: u64| {
            blocks.iter().find(|(number, _)| *number == wanted).map(|(_, block)| block.clone())
        };
        if let Some(block) = kept(&guard(&self.blocks), number) {
            return Ok(block);
        }
        let missing = (number..last).take_while(|number| kept(&guard(&self.blocks), *number).is_none()).count() as u64;
        let (start, end) = (number * BLOCK, ((number + missing) * BLOCK).min(self.object.size));
        let bytes = self.ask(start, end)?;
        let mut blocks = guard(&self.blocks);
        for (n, from) in (0..bytes.len()).step_by(BLOCK as usize).enumerate() {
            let to = bytes.len().min(from + BLOCK as usize);
            blocks.push_back((number + n as u64, bytes.slice(from..to)));
        }
        let more = blocks.len().saturating_sub(KEPT);
        blocks.drain(..more);
        Ok(bytes.slice(..bytes.len().min(BLOCK as usize)))
    }

    fn ask(&self, from: u64, to: u64) -> io::Result<Bytes> {
        let Listed { key, tag, .. } = &self.object;
        self.bucket.range(key, tag, from..to).map_err(said)
    }
}

/// Returns what kept bytes from being read as an error of reading a file.
fn said(error: Error) -> io::Error {
    io::Error::other(error)
}

impl std::fmt::Debug for Ranges {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ranges").field("key", &self.object.key).finish_non_exhaustive()
    }
}
