//! Compares files with their seals before a run reads them, so that damaged files are found while
//! there is still time to recompute them.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::task::block_in_place;

use crate::error::Result;
use crate::stage::progress::Progress;
use crate::stop::Stop;
use crate::store::{Store, files as stored};
use crate::text::numbers::counted;

/// Bytes per unit of progress.
const MEGABYTE: u64 = 1_000_000;

/// Compares those of `files` with their seals that this process has neither written nor compared
/// yet, on all cores; `what` names them in the final message. Sets aside files that are not as they
/// were written; they are missing from then on.
///
/// Must be called within a multi-threaded tokio runtime.
///
/// # Errors
/// Fails if a file cannot be opened or moved, a later version of the program wrote it, or a stop
/// was requested.
pub fn compare(what: &str, files: Vec<PathBuf>, store: &Store, stop: &Stop, progress: &dyn Progress) -> Result<()> {
    let files = store.uncompared(files);
    if files.is_empty() {
        return Ok(());
    }
    let bytes: u64 = files.iter().filter_map(|file| stored::size(file)).sum();
    progress.begin("checksums", "megabyte", bytes.div_ceil(MEGABYTE), 0);
    let read = AtomicU64::new(0);
    let block = |bytes: u64| {
        stop.check()?;
        let before = read.fetch_add(bytes, Ordering::Relaxed);
        let whole = (before + bytes) / MEGABYTE - before / MEGABYTE;
        if whole > 0 {
            progress.advance(whole);
        }
        Ok(())
    };
    let damaged = block_in_place(|| store.compare(&files, &block))?;
    let count = counted(files.len() as u64, "file");
    progress.end(&match damaged {
        0 => format!("{what}: {count}, as they were written"),
        _ => format!("{what}: {damaged} of {count} set aside"),
    });
    Ok(())
}
