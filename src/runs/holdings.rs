//! What a store holds, and whether its files are as they were written.

use std::path::PathBuf;

use crate::error::Result;
use crate::store::files;
use crate::store::inventory::{self, Holding};
use crate::store::layout::Store;
use crate::store::lock::QUARANTINE;
use crate::store::seal::Verdict;
use crate::table::schema;

/// Returns everything that the store holds.
///
/// # Errors
/// Fails if the store cannot be read.
pub fn holdings(store: &Store) -> Result<Vec<Holding>> {
    let tables: Vec<&str> = schema::all().iter().map(schema::TableSchema::name).collect();
    inventory::holdings(store, &tables)
}

/// The result of comparing every file of a store with its checksum.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Examined {
    /// Files that were compared, without those that were set aside.
    pub files: usize,
    /// Bytes of those files.
    pub bytes: u64,
    /// Files that cannot be relied on, and why.
    pub unsound: Vec<(PathBuf, String)>,
}

/// Compares every file of a store with its checksum, and changes nothing.
///
/// # Errors
/// Fails if the store cannot be read.
pub fn examine(store: &Store) -> Result<Examined> {
    let mut examined = Examined::default();
    for holding in holdings(store)?.iter().filter(|holding| holding.table != QUARANTINE) {
        for path in &holding.files {
            let why = match inventory::examine(path) {
                // A run has replaced or removed it meanwhile.
                Err(_) if files::size(path).is_none() => continue,
                Err(error) => format!("cannot be read: {error}"),
                Ok(Verdict::Sound) => String::new(),
                Ok(Verdict::Damaged(why)) => format!("damaged: {why}"),
                Ok(Verdict::Older(which)) => format!("of an earlier version: {which}"),
                Ok(Verdict::Newer(which)) => format!("of a later version: {which}"),
            };
            examined.files += 1;
            examined.bytes += files::size(path).unwrap_or(0);
            if !why.is_empty() {
                examined.unsound.push((path.clone(), why));
            }
        }
    }
    Ok(examined)
}
