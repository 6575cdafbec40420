//! Lists, checks and removes what a store holds, by table and partition.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use std::fs;

use crate::error::Result;
use crate::store::files::{self, entries, folders};
use crate::store::layout::{CHECKPOINTS, PART, Store, check_name};
use crate::store::lock::QUARANTINE;
use crate::store::reader::{self, Footer};
use crate::store::seal::{self, Verdict};
use crate::store::space::SCHEMA_VERSION;
use crate::store::temporary;

/// The extension of a checkpoint.
const CHECKPOINT: &str = "safetensors";

/// A folder of the store.
#[derive(Debug, Clone)]
pub struct Holding {
    /// The table, `checkpoints` or `quarantine`.
    pub table: String,
    /// The partition: the id of a dataset, a space or a run.
    pub name: String,
    /// The parts or checkpoints, sorted.
    pub files: Vec<PathBuf>,
    /// Rows, as far as footers can be read; `None` for checkpoints and the quarantine.
    pub rows: Option<u64>,
    /// Bytes of the files.
    pub bytes: u64,
    /// When a run last read or wrote it.
    pub used: Option<SystemTime>,
    /// The newest footer that can be read.
    pub footer: Option<Footer>,
}

/// The result of removing a holding.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Removed {
    /// Number of removed files.
    pub files: usize,
    /// Bytes of the removed files.
    pub bytes: u64,
    /// Files that were left alone because this program does not seem to have written them.
    pub left: Vec<PathBuf>,
}

/// Returns everything that the store holds of these tables, then checkpoints, then the quarantine,
/// by table and name. Ignores files and folders with other names.
///
/// # Errors
/// Returns [`Kind::Store`] if a folder cannot be read.
pub fn holdings(store: &Store, tables: &[&str]) -> Result<Vec<Holding>> {
    let mut found = Vec::new();
    for table in tables.iter().copied().chain([CHECKPOINTS]) {
        for name in store.partitions(table)? {
            let dir = store.root().join(table).join(&name);
            found.push(holding(table, name, &dir, files_in(table, &dir)?));
        }
    }
    let mut quarantined = Vec::new();
    for folder in folders(&store.root().join(QUARANTINE))? {
        for folder in folders(&folder)? {
            quarantined.extend(entries(&folder)?);
        }
    }
    if !quarantined.is_empty() {
        quarantined.sort();
        let dir = store.root().join(QUARANTINE);
        found.push(holding(QUARANTINE, QUARANTINE.to_owned(), &dir, quarantined));
    }
    Ok(found)
}

/// Returns the parts or checkpoints of a folder, sorted.
fn files_in(table: &str, dir: &Path) -> Result<Vec<PathBuf>> {
    let extension = OsStr::new(if table == CHECKPOINTS { CHECKPOINT } else { PART });
    let mut files: Vec<PathBuf> = entries(dir)?;
    files.retain(|path| path.extension() == Some(extension) && files::size(path).is_some());
    files.sort();
    Ok(files)
}

fn holding(table: &str, name: String, dir: &Path, files: Vec<PathBuf>) -> Holding {
    let footers: Vec<Footer> = match table {
        CHECKPOINTS | QUARANTINE => Vec::new(),
        _ => files.iter().filter_map(|part| reader::footer(part).ok()).collect(),
    };
    Holding {
        table: table.to_owned(),
        name,
        rows: (!matches!(table, CHECKPOINTS | QUARANTINE)).then(|| footers.iter().map(|footer| footer.rows).sum()),
        bytes: files.iter().filter_map(|path| files::size(path)).sum(),
        used: files::used(dir),
        footer: footers.into_iter().next_back(),
        files,
    }
}

/// Compares a file with its seal. Footers tell parts written before there were seals from damaged
/// ones.
///
/// # Errors
/// Returns [`Kind::Store`] if it cannot be opened.
pub fn examine(path: &Path) -> Result<Verdict> {
    examine_by_blocks(path, &|_| Ok(()))
}

/// Like [`examine`], but calls `block` with the number of bytes of each block read. If it fails,
/// the comparison stops.
///
/// # Errors
/// Returns [`Kind::Store`] if the file cannot be opened, or the error of `block`.
pub(super) fn examine_by_blocks(path: &Path, block: &dyn Fn(u64) -> Result<()>) -> Result<Verdict> {
    let verdict = examined(path, block)?;
    // What this machine keeps of an object may be damaged where the object is not.
    if matches!(verdict, Verdict::Damaged(_)) && files::renew(path)? {
        return examined(path, block);
    }
    Ok(verdict)
}

fn examined(path: &Path, block: &dyn Fn(u64) -> Result<()>) -> Result<Verdict> {
    let verdict = seal::verdict(path, block)?;
    if !matches!(verdict, Verdict::Damaged(_)) || seal::has_one(path) {
        return Ok(verdict);
    }
    let footer = reader::footer(path).ok().filter(|footer| !footer.sealed);
    let number = |text: &str| text.parse::<u64>().ok();
    let version = footer.and_then(|footer| number(footer.pairs.get("schema_version")?));
    Ok(match version.filter(|version| Some(*version) < number(SCHEMA_VERSION)) {
        Some(version) => Verdict::Older(format!("schema version {version}, without a checksum")),
        None => verdict,
    })
}

/// Returns whether a part seems to be as it was written, by its footer alone: a file that was
/// truncated or overwritten has none. A flipped byte goes unnoticed.
///
/// # Errors
/// Returns [`Kind::Store`] if it cannot be opened.
pub(super) fn seems_sound(part: &Path) -> Result<bool> {
    Ok(seal::is_current(part)? && reader::footer(part).is_ok())
}

/// Removes a holding's files. Outside the quarantine, files that this program did not write stay,
/// and so does their folder.
///
/// # Errors
/// Returns [`Kind::Store`] if a file cannot be removed.
pub fn remove(holding: &Holding) -> Result<Removed> {
    let mut removed = Removed::default();
    for path in &holding.files {
        if holding.table != QUARANTINE && !is_ours(holding, path) {
            removed.left.push(path.clone());
            continue;
        }
        let Some(bytes) = files::size(path) else { continue };
        files::remove(path)?;
        removed.files += 1;
        removed.bytes += bytes;
    }
    for dir in holding.files.iter().filter_map(|path| path.parent()) {
        temporary::sweep(dir);
        // Fails if something is left in it.
        let _ = fs::remove_dir(dir);
    }
    Ok(removed)
}

/// Returns whether this program wrote a file: it has a seal, or the footer of a part from an
/// earlier version.
fn is_ours(holding: &Holding, path: &Path) -> bool {
    let named = path.file_stem().and_then(OsStr::to_str).is_some_and(|stem| check_name("part", stem).is_ok());
    let of_table = || reader::footer(path).is_ok_and(|f| f.pairs.get("table") == Some(&holding.table));
    named && (seal::has_one(path) || of_table())
}
