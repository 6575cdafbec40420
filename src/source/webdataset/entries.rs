//! Walks the headers of a tar, and says of each file in it where its bytes are. Nothing is
//! unpacked, and no file's bytes are read.
//!
//! A tar ends at its mark, for Python and GNU tar too. What stands behind it is no part of the tar,
//! but two tars that were joined by `cat` look so, and who joined them must know. Fewer bytes than
//! a header has, such as a line's end, are nothing of a tar.
//!
//! What a hostile or damaged tar can claim is bounded: a name, and whatever else stands in front of
//! a header, may take [`LONGEST`]; a size is compared with the tar's own before it is believed.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::path::{Component, Path};

use rustix::io::Errno;
use tar::{Archive, Entry, EntryType, Header};

use crate::panics::caught;
use crate::source::item::NOT_UTF_8;

/// The most bytes that may be read between two files: long names, PAX records, maps of sparse
/// files.
const LONGEST: u64 = 1 << 20;

/// Bytes that are read at once behind the end of a tar.
const BLOCK: usize = 1 << 18;

/// Bytes of a header, and where its mark and its sum stand in it.
const HEADER: usize = 512;
const MAGIC: usize = 257;
const SUM: std::ops::Range<usize> = 148..156;

/// Where the bytes of a file are in its tar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Slot {
    /// The first byte, from 0.
    pub(super) first: u64,
    /// Their number.
    pub(super) byte_len: u64,
}

/// How a walk ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum End {
    /// At the mark that ends a tar; nothing but zeros follows.
    Mark,
    /// At such a mark, with so many bytes behind it that they hold no picture.
    Stray(u64),
    /// At such a mark, with something else behind it.
    Followed {
        /// Its first byte, from 0.
        at: u64,
        /// Whether it begins as a tar does.
        tar: bool,
    },
    /// At the end of the file, without a mark.
    NoMark,
    /// At this byte, where something else than a header stands.
    Damaged {
        /// The byte, from 0.
        at: u64,
        /// What is wrong.
        why: String,
    },
}

/// Passes the name of each file to `see`, in order, with where its bytes are, or why they are not
/// read. Folders are left out. Names have no `./` before them.
pub(super) fn each(
    tar: &File,
    byte_len: u64,
    mut see: impl FnMut(&str, std::result::Result<Slot, String>),
) -> io::Result<End> {
    let (begun, ended) = (Cell::new(0), Cell::new(false));
    (&*tar).seek(SeekFrom::Start(0))?;
    let walked = caught(|| {
        let mut archive = Archive::new(Headers { tar, read: 0, begun: &begun, ended: &ended });
        for entry in archive.entries_with_seek()? {
            let mut entry = entry?;
            if is_folder(&entry) {
                continue;
            }
            let name = entry.path_bytes().into_owned();
            let Ok(name) = std::str::from_utf8(&name) else {
                see(&String::from_utf8_lossy(&name), Err(NOT_UTF_8.to_owned()));
                continue;
            };
            let name = name.strip_prefix("./").unwrap_or(name).to_owned();
            see(&name, fault(&mut entry, &name).map_or_else(|| slot(&entry, byte_len), Err));
        }
        Ok::<_, io::Error>(())
    });
    Ok(match walked {
        Ok(Ok(())) if ended.get() => End::NoMark,
        Ok(Ok(())) => match first_behind(tar)? {
            None => End::Mark,
            Some(at) if byte_len.saturating_sub(at) < HEADER as u64 => End::Stray(byte_len.saturating_sub(at)),
            Some(at) => End::Followed { at, tar: has_header(tar, at)? },
        },
        Ok(Err(error)) => End::Damaged { at: begun.get(), why: on_one_line(&error.to_string()) },
        Err(panic) => End::Damaged { at: begun.get(), why: on_one_line(&panic) },
    })
}

/// Returns the place of the first byte that is not zero, from where the file was read up to. Tars
/// are padded with zeros, of which there may be any number; a file's holes are not read.
fn first_behind(tar: &File) -> io::Result<Option<u64>> {
    let mut place = (&*tar).stream_position()?;
    let mut block = vec![0; BLOCK];
    loop {
        place = match rustix::fs::seek(tar, rustix::fs::SeekFrom::Data(place)) {
            Ok(data) => data,
            // Nothing but a hole up to the end.
            Err(Errno::NXIO) => return Ok(None),
            // A file system that does not know where its holes are.
            Err(_) => place,
        };
        match tar.read_at(&mut block, place)? {
            0 => return Ok(None),
            read => match block[..read].iter().position(|byte| *byte != 0) {
                Some(at) => return Ok(Some(place + at as u64)),
                None => place += read as u64,
            },
        }
    }
}

/// Returns whether the header of a file in a tar begins at this byte: its sum fits, which is that
/// of its bytes with spaces in its own place.
fn has_header(tar: &File, at: u64) -> io::Result<bool> {
    let mut bytes = [0; HEADER];
    tar.read_exact_at(&mut bytes, at)?;
    let header = Header::from_byte_slice(&bytes);
    let sum: u32 =
        bytes.iter().enumerate().map(|(at, byte)| if SUM.contains(&at) { 32 } else { u32::from(*byte) }).sum();
    Ok(bytes[MAGIC..].starts_with(b"ustar") || header.cksum().is_ok_and(|written| written == sum))
}

/// Returns a message without the control characters that it quotes from the file.
fn on_one_line(message: &str) -> String {
    let plain: String = message.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    plain.trim_end_matches([' ', ':']).to_owned()
}

/// Returns whether an entry is a folder, or is about the tar itself.
fn is_folder<R: Read>(entry: &Entry<'_, R>) -> bool {
    let kind = entry.header().entry_type();
    // Before there was a type for them, folders were files whose names end so.
    kind.is_dir() || kind.is_pax_global_extensions() || (kind.is_file() && entry.path_bytes().ends_with(b"/"))
}

/// Returns why the bytes of an entry are not read, if they are not.
fn fault<R: Read>(entry: &mut Entry<'_, R>, name: &str) -> Option<String> {
    let kind = entry.header().entry_type();
    let what = match kind {
        EntryType::Regular | EntryType::Continuous => {
            let inside = |part| matches!(part, Component::Normal(_) | Component::CurDir);
            if !Path::new(name).components().all(inside) {
                return Some("its name leads out of the tar, and such files are not read".to_owned());
            }
            if !is_sparse(entry) {
                return None;
            }
            "a sparse file: write the tar without --sparse"
        }
        EntryType::GNUSparse => "a sparse file: write the tar without --sparse",
        EntryType::Link => "a hard link, which is not followed: write the tar with --hard-dereference",
        EntryType::Symlink => "a symbolic link, which is not followed: write the tar with --dereference",
        EntryType::Char | EntryType::Block | EntryType::Fifo => "a device or a pipe, not a file",
        _ => "of a kind that is no file",
    };
    Some(format!("the tar has it as {what}"))
}

/// Returns whether the records in front of a header say that its file is sparse: a map then stands
/// before the bytes.
fn is_sparse<R: Read>(entry: &mut Entry<'_, R>) -> bool {
    let Ok(Some(records)) = entry.pax_extensions() else { return false };
    records.flatten().any(|record| record.key_bytes().starts_with(b"GNU.sparse."))
}

fn slot<R: Read>(entry: &Entry<'_, R>, tar: u64) -> std::result::Result<Slot, String> {
    let slot = Slot { first: entry.raw_file_position(), byte_len: entry.size() };
    match slot.first.checked_add(slot.byte_len).is_some_and(|end| end <= tar) {
        true => Ok(slot),
        false => {
            let there = tar.saturating_sub(slot.first);
            Err(format!("the tar ends before it does: {there} of {} bytes are there", slot.byte_len))
        }
    }
}

/// The headers of a tar. Between two of them the reader seeks; it must not read much instead.
struct Headers<'a> {
    tar: &'a File,
    /// Bytes read since the last seek.
    read: u64,
    /// Where the last seek led to.
    begun: &'a Cell<u64>,
    /// Whether the last read was at the end of the file.
    ended: &'a Cell<bool>,
}

impl Read for Headers<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.read >= LONGEST {
            return Err(io::Error::other(format!("more than {LONGEST} bytes stand in front of a file")));
        }
        let read = self.tar.read(buffer)?;
        self.read += read as u64;
        self.ended.set(read == 0);
        Ok(read)
    }
}

impl Seek for Headers<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let place = self.tar.seek(to)?;
        self.read = 0;
        self.begun.set(place);
        Ok(place)
    }
}
