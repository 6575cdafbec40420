//! Seals files: a seal is a checksum that a file carries within itself.
//!
//! A file is written with a blank seal in its metadata, `microclip-pipe:v3:blake3:` and 64 zeros.
//! The blake3 hash of the whole file, blank seal included, then replaces the zeros. So every byte
//! is covered, including footer and seal; there is no second file to lose, and a file keeps its
//! name when its content changes. The number after `v` is the version of the schemas.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;

use parquet::file::reader::Length;

use crate::error::{Context, Error, Kind, Result};
use crate::store::files;
use crate::store::positioned::Positioned;
use crate::store::space::SCHEMA_VERSION;

/// The key under which a part's footer, or a checkpoint's header, has its seal.
pub const KEY: &str = "seal";

const BEGIN: &str = "microclip-pipe:v";
const MIDDLE: &str = ":blake3:";
/// Hexadecimal digits of a checksum.
const DIGITS: usize = 64;
/// Maximum bytes of metadata: this program writes none that are longer.
const LONGEST: u64 = 1 << 30;
/// Bytes read at once.
const BLOCK: usize = 1 << 20;

/// The result of comparing a file with its seal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// As it was written.
    Sound,
    /// Not as it was written, with the reason.
    Damaged(String),
    /// Written by an earlier version of the program, with other tables.
    Older(String),
    /// As it was written, but by a later version.
    Newer(String),
}

/// Returns the seal that a file is written with at first.
pub fn blank() -> String {
    format!("{BEGIN}{SCHEMA_VERSION}{MIDDLE}{}", "0".repeat(DIGITS))
}

/// Hashes what is written through it.
#[derive(Debug)]
pub(super) struct Sealing<W> {
    inner: W,
    hasher: blake3::Hasher,
}

impl<W: Write> Sealing<W> {
    pub(super) fn new(inner: W) -> Self {
        Sealing { inner, hasher: blake3::Hasher::new() }
    }

    /// Returns the checksum of everything written.
    pub(super) fn digest(self) -> blake3::Hash {
        self.hasher.finalize()
    }
}

impl<W: Write> Write for Sealing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.hasher.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// Puts the checksum into the blank seal of a file that was written through [`Sealing`].
///
/// # Errors
/// Returns [`Kind::Store`] if the file cannot be read back or written to, or has no seal.
pub(super) fn close(file: &File, path: &Path, digest: &blake3::Hash) -> Result<()> {
    let seal = in_file(file).at(Kind::Store, "cannot read", path)?.ok_or_else(|| without(path))?;
    file.write_all_at(digest.to_hex().as_bytes(), seal.digits.start).at(Kind::Store, "cannot write", path)
}

/// Puts the checksum into the blank seal of a file in memory.
///
/// # Errors
/// Returns [`Kind::Store`] if it has none; `path` is the file's future path.
pub(super) fn close_in_memory(bytes: &mut [u8], path: &Path) -> Result<()> {
    let digest = blake3::hash(bytes).to_hex();
    let digits = find_in_memory(bytes).ok_or_else(|| without(path))?.digits;
    bytes[digits.start as usize..digits.end as usize].copy_from_slice(digest.as_bytes());
    Ok(())
}

fn without(path: &Path) -> Error {
    Error::new(Kind::Store, format!("{} was written without a seal", path.display()))
}

/// Reads the whole file and compares it with its seal. Calls `block` with the number of bytes of
/// each block; if it fails, the comparison stops.
///
/// # Errors
/// Returns [`Kind::Store`] if the file cannot be opened, or the error of `block`. A file that
/// cannot be read to its end is damaged.
pub fn verdict(path: &Path, block: &dyn Fn(u64) -> Result<()>) -> Result<Verdict> {
    match compare(&files::open(path)?, block) {
        Ok(verdict) => Ok(verdict),
        Err(Cut::Unreadable(error)) => Ok(Verdict::Damaged(format!("it cannot be read: {error}"))),
        Err(Cut::GivenUp(error)) => Err(error),
    }
}

/// Compares a safetensors file in memory with its seal, so that the bytes used are the bytes
/// compared.
pub fn verdict_in_memory(bytes: &[u8]) -> Verdict {
    let Some(Seal { version, digits }) = find_in_memory(bytes) else {
        return Verdict::Damaged("it has no checksum".to_owned());
    };
    let said = &bytes[digits.start as usize..digits.end as usize];
    match digest(bytes, &digits, &|_| Ok(())) {
        Ok(digest) => judged(said, &digest, version),
        Err(_) => Verdict::Damaged("it cannot be read".to_owned()),
    }
}

/// Returns whether a file has a seal, whatever it says.
pub(super) fn has_one(path: &Path) -> bool {
    Positioned::open(path).is_ok_and(|file| find(&file).is_ok_and(|seal| seal.is_some()))
}

/// Returns whether a file has a seal of this version of the schemas, whatever the rest of the file
/// is.
///
/// # Errors
/// Returns [`Kind::Store`] if the file cannot be opened.
pub(super) fn is_current(path: &Path) -> Result<bool> {
    let file = Positioned::open(path)?;
    Ok(find(&file).is_ok_and(|seal| seal.is_some_and(|seal| seal.version == current())))
}

/// Why a file was not compared to its end.
enum Cut {
    Unreadable(io::Error),
    GivenUp(Error),
}

impl From<io::Error> for Cut {
    fn from(error: io::Error) -> Self {
        Cut::Unreadable(error)
    }
}

/// Returns the version of the schemas, as a number.
fn current() -> u64 {
    SCHEMA_VERSION.parse().unwrap_or(0)
}

fn compare(file: &File, block: &dyn Fn(u64) -> Result<()>) -> Result<Verdict, Cut> {
    let Some(Seal { version, digits }) = in_file(file)? else {
        return Ok(Verdict::Damaged("it has no checksum".to_owned()));
    };
    let mut said = [0; DIGITS];
    file.read_exact_at(&mut said, digits.start)?;
    let mut from_start = file;
    from_start.seek(SeekFrom::Start(0))?;
    Ok(judged(&said, &digest(from_start, &digits, block)?, version))
}

/// Returns the verdict on a file, from the checksum in its seal and that of its bytes.
fn judged(said: &[u8], digest: &blake3::Hash, version: u64) -> Verdict {
    if digest.to_hex().as_bytes() != said {
        return Verdict::Damaged("its checksum does not match".to_owned());
    }
    let known = current();
    let named = format!("schema version {version}; this program has {known}");
    match version.cmp(&known) {
        std::cmp::Ordering::Equal => Verdict::Sound,
        std::cmp::Ordering::Less => Verdict::Older(named),
        std::cmp::Ordering::Greater => Verdict::Newer(named),
    }
}

/// Returns the checksum of a file, read from its start, as if its seal were blank.
fn digest(mut file: impl Read, digits: &Range<u64>, block: &dyn Fn(u64) -> Result<()>) -> Result<blake3::Hash, Cut> {
    let (mut hasher, mut bytes, mut at) = (blake3::Hasher::new(), vec![0; BLOCK], 0);
    loop {
        let read = file.read(&mut bytes)?;
        if read == 0 {
            return Ok(hasher.finalize());
        }
        let end = at + read as u64;
        let (from, to) = (digits.start.clamp(at, end), digits.end.clamp(at, end));
        bytes[(from - at) as usize..(to - at) as usize].fill(b'0');
        hasher.update(&bytes[..read]);
        block(read as u64).map_err(Cut::GivenUp)?;
        at = end;
    }
}

/// A seal found in a file.
#[derive(Debug, PartialEq, Eq)]
struct Seal {
    version: u64,
    /// Byte range of the digits in the file.
    digits: Range<u64>,
}

fn in_file(file: &File) -> io::Result<Option<Seal>> {
    find(&Positioned::new(file.try_clone()?))
}

fn find(file: &Positioned) -> io::Result<Option<Seal>> {
    let length = file.len();
    let (mut first, mut last) = ([0; 8], [0; 8]);
    if length < 16 {
        return Ok(None);
    }
    file.read_exact_at(&mut first, 0)?;
    file.read_exact_at(&mut last, length - 8)?;
    let range = match last {
        [a, b, c, d, b'P', b'A', b'R', b'1'] => {
            let footer = u64::from(u32::from_le_bytes([a, b, c, d]));
            (length - 8).checked_sub(footer).map(|start| start..length - 8)
        }
        _ => header_of_safetensors(&first, length),
    };
    let Some(range) = range.filter(|range| range.end - range.start <= LONGEST) else { return Ok(None) };
    let mut metadata = vec![0; (range.end - range.start) as usize];
    file.read_exact_at(&mut metadata, range.start)?;
    Ok(locate(&metadata, range.start))
}

/// Returns the seal of a safetensors file in memory.
fn find_in_memory(bytes: &[u8]) -> Option<Seal> {
    let header = header_of_safetensors(bytes, bytes.len() as u64)?;
    locate(bytes.get(header.start as usize..header.end as usize)?, header.start)
}

/// Returns the byte range of the header of a safetensors file, from its first 8 bytes and its
/// length.
fn header_of_safetensors(bytes: &[u8], length: u64) -> Option<Range<u64>> {
    let header = u64::from_le_bytes(bytes.first_chunk::<8>().copied()?);
    let end = header.checked_add(8)?;
    (end <= length).then_some(8..end)
}

/// Returns the last seal in metadata that begins at `start`: what users choose, such as paths in
/// statistics, comes before it.
fn locate(metadata: &[u8], start: u64) -> Option<Seal> {
    let begin = metadata.windows(BEGIN.len()).rposition(|window| window == BEGIN.as_bytes())?;
    let rest = &metadata[begin + BEGIN.len()..];
    let version = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let digits = rest[version..].strip_prefix(MIDDLE.as_bytes())?.first_chunk::<DIGITS>()?;
    if !digits.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
        return None;
    }
    let at = start + (begin + BEGIN.len() + version + MIDDLE.len()) as u64;
    let version = std::str::from_utf8(&rest[..version]).ok()?.parse().ok()?;
    Some(Seal { version, digits: at..at + DIGITS as u64 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seal_is_found_with_its_version_and_the_last_one_counts() {
        let text = format!("path {} and {} end", blank().replace('0', "a"), blank());
        let seal = locate(text.as_bytes(), 100).unwrap();
        assert_eq!(seal.version.to_string(), SCHEMA_VERSION);
        assert_eq!(seal.digits.end as usize, 100 + text.len() - " end".len());
        assert_eq!(locate(b"microclip-pipe:v3:blake3:0123", 0), None);
        assert_eq!(locate(b"microclip-pipe:v:blake3:", 0), None);
    }

    #[test]
    fn what_is_too_short_or_not_ours_has_no_seal() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        for bytes in [&b""[..], b"PAR1", &[0xff; 40], b"\x00\x00\x00\x00\x00\x00\x00\x00\xff\xff\xff\xffPAR1"] {
            std::fs::write(&path, bytes).unwrap();
            assert_eq!(verdict(&path, &|_| Ok(())).unwrap(), Verdict::Damaged("it has no checksum".to_owned()));
        }
    }
}
