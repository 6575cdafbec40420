//! Fills frozen tables during ingest, from the same decode.

use std::sync::Arc;

use super::fill::{Taps, consume_all};
use super::whole::Stored;
use super::{Eye, Filling, FrozenTable, Towers};
use crate::error::{Kind, Result};
use crate::source::Source;
use crate::stage::ingest::{self, IngestSettings, Ingested, Tap};
use crate::stage::job::Job;

/// Ingest's inputs to [`fill_while_ingesting`].
pub struct Ingesting<'a> {
    /// Source of the pictures.
    pub source: Box<dyn Source>,
    /// Identity of the source, from [`ingest::snapshot`].
    pub snapshot: String,
    /// Ingest settings.
    pub settings: &'a IngestSettings,
}

/// Ingests a source and fills tables on the way, so that each picture is read and decoded once.
/// Rows and batches are the same as those of [`fill`](super::fill()). Returns what ingest found,
/// and how many images went through the tower.
///
/// On restart, a file that was found before is not read again unless a table lacks its picture, and
/// a picture that a table already has is decoded only if another table lacks it.
///
/// # Errors
/// Fails as [`ingest::ingest`] and [`fill`](super::fill()) do; rows computed until then are kept.
#[tracing::instrument(name = "stage", skip_all, fields(stage = "ingest and embed"))]
pub async fn fill_while_ingesting(
    filling: Filling<'_>,
    ingesting: Ingesting<'_>,
    tables: &[Arc<dyn FrozenTable>],
    towers: impl Fn(&[Eye]) -> Result<Arc<Towers>>,
) -> Result<(Ingested, u64)> {
    let Ingesting { source, snapshot, settings } = ingesting;
    let Job { store, progress, .. } = filling.job;
    let mut lacking = Vec::new();
    for table in tables {
        let mut have = table.need_no_forward(store, None)?;
        // Where the features of whole pictures are stored, they are compared with their checksums
        // before they are relied on: that is left to `fill`, which knows the pictures.
        if let Some(composites) = table.composing() {
            have.extend(composites.whole().need_no_forward(store, None)?);
        }
        lacking.push((table.clone(), have));
    }
    let Taps { wishes, mouths, tables } = Taps::open(filling, lacking, Stored::default(), |_| true, None)?;
    let filled = consume_all(filling, tables, towers);
    let read = ingest::read(source, snapshot, settings, filling.job, Some(Tap { wishes, mouths }));
    let (read, filled) = tokio::join!(read, filled);
    let (forwards, read) = match (filled, read) {
        // Reading ended, and a table misses what is made of it.
        (Err(missed), Err(reason)) if missed.kind() == Kind::Internal => return Err(reason),
        // If the tower or the store failed, that is why the receivers were dropped, so it is
        // reported first.
        (filled, read) => (filled?, read?),
    };
    let embedded = read.tapped();
    let ingested = read.write(settings, store)?;
    progress.end(&format!("{ingested}, {embedded} embedded on the way"));
    Ok((ingested, forwards))
}
