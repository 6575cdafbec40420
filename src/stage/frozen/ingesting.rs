//! Filling frozen tables while pictures are ingested, from the same decode.

use std::sync::Arc;

use super::fill::{Taps, consume_all};
use super::{Filling, FrozenTable, FrozenTower, partition};
use crate::error::Result;
use crate::source::Source;
use crate::stage::ingest::{self, IngestSettings, Ingested, Tap};
use crate::stage::job::Job;
use crate::stage::pictures;

/// What ingest needs, for [`fill_while_ingesting`].
pub struct Ingesting<'a> {
    /// Where pictures come from.
    pub source: Box<dyn Source>,
    /// What [`ingest::snapshot`] says of it.
    pub snapshot: String,
    /// How they are ingested.
    pub settings: &'a IngestSettings,
}

/// Ingests a source and fills tables on the way: a picture is read and decoded once. Rows and batches are those that
/// [`fill`](super::fill()) makes. Returns what ingest found, and how many images went through the tower.
///
/// On a restart, a picture that a table has a row of is read and hashed, but decoded only where another table lacks it.
///
/// # Errors
/// As [`ingest::ingest`] and [`fill`](super::fill()); what was computed until then is kept.
pub async fn fill_while_ingesting(
    filling: Filling<'_>,
    ingesting: Ingesting<'_>,
    tables: &[Arc<dyn FrozenTable>],
    tower: impl Fn() -> Result<FrozenTower>,
) -> Result<(Ingested, u64)> {
    let Ingesting { source, snapshot, settings } = ingesting;
    let Job { store, progress, .. } = filling.job;
    let mut lacking = Vec::new();
    for table in tables {
        lacking.push((table.clone(), pictures::present(&partition(table.as_ref(), store)?)?));
    }
    let Taps { wishes, mouths, tables } = Taps::open(filling, lacking)?;
    let filled = consume_all(filling, tables, tower);
    let read = ingest::read(source, snapshot, settings, filling.job, Some(Tap { wishes, mouths }));
    let (read, filled) = tokio::join!(read, filled);
    // Where the tower or the store failed, that is why nobody took pictures any more.
    let forwards = filled?;
    let read = read?;
    let embedded = read.tapped();
    let ingested = read.write(settings, store)?;
    progress.end(&format!("{ingested}, {embedded} embedded on the way"));
    Ok((ingested, forwards))
}
