//! The streaming stage: pictures through the frozen vision tower into parts of one table.
//!
//! decode pool -> bounded channel -> as many batches at once as there are cores, each on one thread with the tower that all
//! share -> bounded channel -> writer thread. Work that remains is an anti-join: the pictures whose id has no row in the space.
//! Every batch is of one size, the last one filled up with black pictures: kernels are chosen by sizes, so a picture's features would
//! otherwise depend on how many come with it. What stands beside it in the batch changes nothing (`tests/same_bits.rs`).

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use futures::{Stream, StreamExt};
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;

use crate::clip::ClipConfig;
use crate::cores;
use crate::error::{Error, Kind, Result};
use crate::image::{ImageId, Preprocess};
use crate::stage::feed::{Batches, PixelBatch, Views, feed};
use crate::stage::frozen::FrozenTower;
use crate::stage::pictures::{self, Pictures};
use crate::stage::progress::Progress;
use crate::stop::Stop;
use crate::store::layout::{Partition, Store};

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
    let present: HashSet<ImageId> = pictures::present(partition)?;
    let rows = pictures.rows().iter().enumerate();
    Ok(rows.filter(|(_, picture)| !present.contains(&picture.id)).map(|(n, _)| n).collect())
}

/// Makes rows of the target's table of a batch. May be called by several threads at once.
pub(super) type MakeRows<K> = Box<dyn Fn(&FrozenTower, PixelBatch<K>) -> Result<RecordBatch> + Send + Sync>;

/// Streams `todo` through `make` (on the decode pool) and `rows` (on as many cores as there are), and writes what comes of it. `tower` is
/// built only where there is something to do. Returns the number of pictures done.
///
/// # Errors
/// Where a picture, the tower or the store fails, or stopping was asked for; what was computed until then is kept.
pub(super) async fn stream(
    work: Work<'_>,
    todo: Vec<usize>,
    target: Target,
    make: impl Fn(&Pictures, usize) -> Result<Views> + Send + Sync + 'static,
    tower: impl FnOnce() -> Result<FrozenTower>,
    rows: impl Fn(&FrozenTower, PixelBatch<String>) -> Result<RecordBatch> + Send + Sync + 'static,
) -> Result<u64> {
    let Work { pictures, grouping, progress, .. } = work;
    let (stage, total) = (target.stage, pictures.rows().len());
    let cached = total - todo.len();
    progress.begin(stage, "image", todo.len() as u64, cached as u64);
    let todo = Arc::new(todo);
    let batches = {
        let size = {
            let (pictures, todo) = (pictures.clone(), todo.clone());
            move |place: usize| pictures.rows()[todo[place]].size()
        };
        let (pictures, todo) = (pictures.clone(), todo.clone());
        feed(todo.len(), grouping.batch, size, move |place| make(&pictures, todo[place]))
    };
    let pictures = pictures.clone();
    let named = move |tower: &FrozenTower, PixelBatch { pictures: places, pixels, boxes }: PixelBatch| {
        let ids = places.iter().map(|&place| pictures.rows()[todo[place]].image_id.clone());
        rows(tower, PixelBatch { pictures: ids.collect(), pixels, boxes })
    };
    let done = consume(work.hands(), batches, target, tower, Box::new(named)).await?;
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

/// Takes batches through `rows` and writes what comes of it, in the order of the batches. Returns the number of pictures done.
///
/// # Errors
/// As [`stream`].
pub(super) async fn consume<K: Send + Sync + 'static>(
    hands: Hands<'_>,
    mut batches: Batches<K>,
    target: Target,
    tower: impl FnOnce() -> Result<FrozenTower>,
    rows: MakeRows<K>,
) -> Result<u64> {
    let Hands { grouping, stop, progress } = hands;
    let Some(first) = batches.recv().await else { return Ok(0) };
    let tower = tower()?;
    let workers = tower.workers();
    let batches = futures::stream::once(async { first })
        .chain(futures::stream::poll_fn(move |context| batches.poll_recv(context)))
        // Batches that are in hand when stopping is asked for are finished and kept.
        .take_while(|_| futures::future::ready(!stop.requested()));
    let began = Instant::now();
    let computing = Arc::new(AtomicU64::new(0));
    let spent = computing.clone();
    let computed = on_cores(batches, workers, move |batch: PixelBatch<K>| {
        let (began, count) = (Instant::now(), batch.pictures.len() as u64);
        let made = rows(&tower, batch)?;
        spent.fetch_add(began.elapsed().as_micros() as u64, Ordering::Relaxed);
        Ok((count, made))
    });
    let mut computed = std::pin::pin!(computed);

    let (send, receive) = mpsc::channel(1);
    let writer = spawn_blocking(move || write(receive, &target, grouping.part_rows));
    let (mut done, mut outcome) = (0, Ok(()));
    while let Some(next) = computed.next().await {
        match next {
            Ok((count, rows)) => {
                if send.send(rows).await.is_err() {
                    break;
                }
                done += count;
                let share = computing.load(Ordering::Relaxed) as f64
                    / (began.elapsed().as_micros() as f64 * workers as f64).max(1.0);
                progress.limited_by(if share < 0.5 { "decoding" } else { "the forward pass" });
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
    stop.check()?;
    Ok(done)
}

/// What `compute` makes of each batch, in the order of the batches, of as many at once as there are workers.
///
/// Must be polled within a tokio runtime.
pub(super) fn on_cores<B: Send + 'static, R: Send + 'static>(
    batches: impl Stream<Item = Result<B>>,
    workers: usize,
    compute: impl Fn(B) -> Result<R> + Send + Sync + 'static,
) -> impl Stream<Item = Result<R>> {
    let compute = Arc::new(compute);
    let computed = batches.map(move |batch| {
        let compute = compute.clone();
        async move {
            let batch = batch?;
            cores::run(move || compute(batch)).await.flatten()
        }
    });
    computed.buffered(workers)
}

fn write(mut rows: mpsc::Receiver<RecordBatch>, target: &Target, part_rows: usize) -> Result<()> {
    let mut part = None;
    while let Some(batch) = rows.blocking_recv() {
        let mut open = match part.take() {
            Some(open) => open,
            None => target.partition.append(&target.schema, &target.footer)?,
        };
        {
            let _turn = cores::turn();
            open.write(&batch)?;
        }
        if open.rows() >= part_rows as u64 {
            open.finish()?;
        } else {
            part = Some(open);
        }
    }
    part.map_or(Ok(()), |open| open.finish().map(drop))
}
