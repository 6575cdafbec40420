//! What a store holds, and whether it is as it was written.

use std::path::PathBuf;

use crate::error::Result;
use crate::store::inventory::{self, Holding};
use crate::store::layout::Store;
use crate::store::lock::QUARANTINE;
use crate::store::seal::Verdict;
use crate::table::schema;

/// All that the store holds.
///
/// # Errors
/// Where the store cannot be read.
pub fn holdings(store: &Store) -> Result<Vec<Holding>> {
    let tables: Vec<&str> = schema::all().iter().map(schema::TableSchema::name).collect();
    inventory::holdings(store, &tables)
}

/// What comparing every file of a store with its checksum has shown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Examined {
    /// Files that were compared; what was set aside is not among them.
    pub files: usize,
    /// Their bytes.
    pub bytes: u64,
    /// Those that cannot be relied on, and why.
    pub unsound: Vec<(PathBuf, String)>,
}

/// Compares every file of a store with its checksum. Nothing is changed.
///
/// # Errors
/// Where the store cannot be read.
pub fn examine(store: &Store) -> Result<Examined> {
    let mut examined = Examined::default();
    for holding in holdings(store)?.iter().filter(|holding| holding.table != QUARANTINE) {
        for path in &holding.files {
            let why = match inventory::examine(path) {
                // A run has replaced or removed it meanwhile.
                Err(_) if !path.exists() => continue,
                Err(error) => format!("cannot be read: {error}"),
                Ok(Verdict::Sound) => String::new(),
                Ok(Verdict::Damaged(why)) => format!("damaged: {why}"),
                Ok(Verdict::Older(which)) => format!("of an earlier version: {which}"),
                Ok(Verdict::Newer(which)) => format!("of a later version: {which}"),
            };
            examined.files += 1;
            examined.bytes += path.metadata().map_or(0, |metadata| metadata.len());
            if !why.is_empty() {
                examined.unsound.push((path.clone(), why));
            }
        }
    }
    Ok(examined)
}
