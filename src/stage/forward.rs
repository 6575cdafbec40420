//! The streaming stage: pictures through the frozen vision tower into parts of one table.
//!
//! decode pool -> bounded channel -> this thread, which owns the tower -> bounded channel -> writer thread. Work that
//! remains is an anti-join: the pictures whose id has no row in the space. A part holds whole batches, so that a run that was
//! killed goes on with the very batches that an undisturbed one would have made.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use tokio::sync::mpsc;
use tokio::task::{block_in_place, spawn_blocking};

use crate::clip::ClipConfig;
use crate::error::{Error, Kind, Result};
use crate::image::Preprocess;
use crate::stage::feed::{Batches, PixelBatch, Views, feed};
use crate::stage::pictures::Pictures;
use crate::stage::progress::Progress;
use crate::stage::stop::Stop;
use crate::store::layout::{Partition, Store};
use crate::store::reader;

/// How pictures are grouped.
#[derive(Debug, Clone, Copy)]
pub struct Grouping {
    /// Pictures per forward pass.
    pub batch: usize,
    /// Pictures per part, rounded up to whole batches.
    pub part_rows: usize,
}

/// What the stages that fill a table by the frozen vision tower have in common.
#[derive(Clone, Copy)]
pub struct Work<'a> {
    /// The dataset's pictures.
    pub pictures: &'a Arc<Pictures>,
    /// The model's sizes.
    pub config: &'a ClipConfig,
    /// How pictures are prepared for it.
    pub preprocess: &'a Preprocess,
    /// How they are grouped.
    pub grouping: Grouping,
    /// Where the tables are.
    pub store: &'a Store,
    /// Asks the stage to stop.
    pub stop: &'a Stop,
    /// Where it says how far it is.
    pub progress: &'a dyn Progress,
}

/// One table that the vision tower fills.
pub struct Target {
    /// The stage's name, for progress.
    pub stage: &'static str,
    /// Where the rows go.
    pub partition: Partition,
    /// Their columns.
    pub schema: SchemaRef,
    /// What the parts' footers say of the space.
    pub footer: Vec<(String, String)>,
}

/// Pictures of the dataset that have no row in the partition, in order.
///
/// # Errors
/// Where the store cannot be read.
pub fn missing(pictures: &Pictures, partition: &Partition) -> Result<Vec<usize>> {
    let present: BTreeSet<String> = reader::image_ids(partition)?;
    let rows = pictures.rows().iter().enumerate();
    Ok(rows.filter(|(_, picture)| !present.contains(&picture.image_id)).map(|(n, _)| n).collect())
}

/// Streams `todo` through `make` (on the decode pool) and `compute` (on this thread), and writes what comes of it. Returns the
/// number of pictures done.
///
/// # Errors
/// Where a picture, the tower or the store fails, or stopping was asked for; what was computed until then is kept.
pub async fn stream(
    work: Work<'_>,
    todo: Vec<usize>,
    target: Target,
    make: impl Fn(&Pictures, usize) -> Result<Views> + Send + Sync + 'static,
    mut compute: impl FnMut(&PixelBatch, Vec<String>) -> Result<RecordBatch>,
) -> Result<u64> {
    let Work { pictures, grouping, progress, .. } = work;
    let (stage, total) = (target.stage, pictures.rows().len());
    let cached = total - todo.len();
    progress.begin(stage, "image", todo.len() as u64, cached as u64);
    let todo = Arc::new(todo);
    let batches = {
        let decoded = {
            let (pictures, todo) = (pictures.clone(), todo.clone());
            move |place: usize| pictures.rows()[todo[place]].decoding_bytes
        };
        let (pictures, todo) = (pictures.clone(), todo.clone());
        feed(todo.len(), grouping.batch, decoded, move |place| make(&pictures, todo[place]))
    };
    let named = |batch: &PixelBatch| {
        let ids = batch.pictures.iter().map(|&place| pictures.rows()[todo[place]].image_id.clone());
        compute(batch, ids.collect())
    };
    let done = consume(work.hands(), batches, target, named).await?;
    progress.end(&match done {
        0 => format!("{total} images, all cached: no forward pass"),
        _ => format!("{done} images through the vision tower ({stage}), {cached} cached"),
    });
    Ok(done)
}

/// How batches are worked off.
#[derive(Clone, Copy)]
pub(super) struct Hands<'a> {
    /// Pictures per part are taken from here.
    pub(super) grouping: Grouping,
    /// Asks to stop.
    pub(super) stop: &'a Stop,
    /// Where is said how far it is.
    pub(super) progress: &'a dyn Progress,
}

impl<'a> Work<'a> {
    fn hands(&self) -> Hands<'a> {
        Hands { grouping: self.grouping, stop: self.stop, progress: self.progress }
    }
}

/// Takes batches through `compute` (on this thread) and writes what comes of it. Returns the number of pictures done.
///
/// # Errors
/// As [`stream`].
pub(super) async fn consume<K>(
    hands: Hands<'_>,
    mut batches: Batches<K>,
    target: Target,
    mut compute: impl FnMut(&PixelBatch<K>) -> Result<RecordBatch>,
) -> Result<u64> {
    let Hands { grouping, stop, progress } = hands;
    let (send, receive) = mpsc::channel(1);
    let writer = spawn_blocking(move || write(receive, &target, grouping.part_rows));

    let mut done = 0;
    let mut outcome = Ok(());
    let (mut waiting, mut computing) = (Duration::ZERO, Duration::ZERO);
    loop {
        let began = Instant::now();
        let Some(batch) = batches.recv().await else { break };
        waiting += began.elapsed();
        let began = Instant::now();
        let step = stop.check().and(batch).and_then(|batch| {
            let rows = block_in_place(|| compute(&batch))?;
            Ok((batch.pictures.len() as u64, rows))
        });
        computing += began.elapsed();
        match step {
            Ok((count, rows)) => {
                if send.send(rows).await.is_err() {
                    break;
                }
                done += count;
                progress.limited_by(if waiting > computing { "decoding" } else { "the forward pass" });
                progress.advance(count);
            }
            Err(error) => {
                outcome = Err(error);
                break;
            }
        }
    }
    // Closing the channel makes the writer finish the part in hand.
    drop(send);
    let written = writer.await.unwrap_or_else(|e| Err(Error::new(Kind::Store, "writing was cut short").cause(e)));
    // A full disk is the cause of the closed channel, so it is what the user should read.
    written?;
    outcome?;
    Ok(done)
}

fn write(mut rows: mpsc::Receiver<RecordBatch>, target: &Target, part_rows: usize) -> Result<()> {
    let mut part = None;
    while let Some(batch) = rows.blocking_recv() {
        let mut open = match part.take() {
            Some(open) => open,
            None => target.partition.append(&target.schema, &target.footer)?,
        };
        open.write(&batch)?;
        if open.rows() >= part_rows as u64 {
            open.finish()?;
        } else {
            part = Some(open);
        }
    }
    part.map_or(Ok(()), |open| open.finish().map(drop))
}
