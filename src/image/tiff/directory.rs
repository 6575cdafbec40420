//! The first directory of a TIFF: its tags, read in place, so that a file costs no more memory than
//! its bytes. Later directories are never visited, so that no circle of them matters.

use crate::image::foreign::CONVERT;
use crate::image::rejection::{Reason, Rejection};

/// The byte order of a file's numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    Little,
    Big,
}

impl Order {
    pub(super) fn u16(self, bytes: [u8; 2]) -> u16 {
        match self {
            Order::Little => u16::from_le_bytes(bytes),
            Order::Big => u16::from_be_bytes(bytes),
        }
    }

    /// Reads a whole number of one to eight bytes.
    fn number(self, bytes: &[u8]) -> u64 {
        let join = |number: u64, byte: &u8| number << 8 | u64::from(*byte);
        match self {
            Order::Little => bytes.iter().rev().fold(0, join),
            Order::Big => bytes.iter().fold(0, join),
        }
    }
}

/// The first directory.
#[derive(Clone, Copy)]
pub(super) struct Directory<'a> {
    bytes: &'a [u8],
    pub(super) order: Order,
    /// Whether offsets have eight bytes: BigTIFF.
    big: bool,
    entries: &'a [u8],
}

/// The values of a tag, read when they are asked for.
#[derive(Clone, Copy)]
pub(super) struct Values<'a> {
    order: Order,
    /// Bytes of one value.
    size: usize,
    bytes: &'a [u8],
}

impl Values<'_> {
    pub(super) fn len(&self) -> usize {
        self.bytes.len() / self.size
    }

    pub(super) fn get(&self, index: usize) -> Option<u64> {
        self.bytes.chunks_exact(self.size).nth(index).map(|value| self.order.number(value))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = u64> {
        self.bytes.chunks_exact(self.size).map(|value| self.order.number(value))
    }
}

impl<'a> Directory<'a> {
    /// Finds the first directory.
    pub(super) fn new(bytes: &'a [u8]) -> Result<Self, Rejection> {
        let cut = || Rejection::new(Reason::Truncated, "TIFF: the file ends before its directory does");
        let order = if bytes.starts_with(b"II") { Order::Little } else { Order::Big };
        let number = |at: usize, size: usize| Some(order.number(bytes.get(at..)?.get(..size)?));
        let big = match number(2, 2) {
            Some(42) => false,
            Some(43) => true,
            _ => return Err(corrupt("its header is none")),
        };
        let at = if big { number(8, 8) } else { number(4, 4) }.ok_or_else(cut)?;
        let at = usize::try_from(at).map_err(|_| cut())?;
        let (counter, entry) = if big { (8, 20) } else { (2, 12) };
        let entries = number(at, counter)
            .and_then(|count| usize::try_from(count).ok()?.checked_mul(entry))
            .and_then(|length| bytes.get(at + counter..)?.get(..length))
            .ok_or_else(cut)?;
        Ok(Directory { bytes, order, big, entries })
    }

    /// Returns a tag's values, if the directory has it.
    pub(super) fn find(&self, tag: u16) -> Result<Option<Values<'a>>, Rejection> {
        let (entry, width) = if self.big { (20, 8) } else { (12, 4) };
        let Some(found) =
            self.entries.chunks_exact(entry).find(|entry| self.order.number(&entry[..2]) == u64::from(tag))
        else {
            return Ok(None);
        };
        let size = match self.order.number(&found[2..4]) {
            // BYTE, ASCII, UNDEFINED.
            1 | 2 | 7 => 1,
            // SHORT.
            3 => 2,
            // LONG, IFD.
            4 | 13 => 4,
            // LONG8, IFD8.
            16 | 18 => 8,
            kind => return Err(corrupt(format!("tag {tag} has values of type {kind}"))),
        };
        let cut = || Rejection::new(Reason::Truncated, format!("TIFF: the file ends before the values of tag {tag}"));
        let count = self.order.number(&found[4..4 + width]);
        let length = usize::try_from(count).ok().and_then(|count| count.checked_mul(size)).ok_or_else(cut)?;
        let field = &found[4 + width..];
        let bytes = match field.get(..length) {
            Some(inside) => inside,
            None => usize::try_from(self.order.number(field))
                .ok()
                .and_then(|at| self.bytes.get(at..)?.get(..length))
                .ok_or_else(cut)?,
        };
        Ok(Some(Values { order: self.order, size, bytes }))
    }

    /// Returns a tag's only or first value.
    pub(super) fn number(&self, tag: u16) -> Result<Option<u64>, Rejection> {
        Ok(self.find(tag)?.and_then(|values| values.get(0)))
    }

    /// Returns a tag's bytes, as they stand in the file.
    pub(super) fn data(&self, tag: u16) -> Result<Option<&'a [u8]>, Rejection> {
        Ok(self.find(tag)?.map(|values| values.bytes))
    }
}

/// Returns the rejection of a file that contradicts itself.
pub(super) fn corrupt(detail: impl std::fmt::Display) -> Rejection {
    Rejection::new(Reason::Corrupt, format!("TIFF: {detail}"))
}

/// Returns the rejection of a kind of file that is not decoded.
pub(super) fn unsupported(detail: impl std::fmt::Display) -> Rejection {
    Rejection::new(Reason::Unsupported, format!("TIFF {detail}: {CONVERT}"))
}
