//! Fills frozen tables: runs pictures through the tower and writes the rows into parts.
//!
//! decode pool -> cuts for each table that lacks the picture -> one bounded channel per table ->
//! one batch per worker at a time, each on its own thread, with a shared tower -> bounded channel
//! -> writer thread. The remaining work is an anti-join: the pictures whose id has no row in the
//! space. All forward passes have one size, the last one padded with black pictures: kernels are
//! chosen by size, so a picture's features would otherwise depend on how many come with it. The
//! other pictures of a batch change nothing (`tests/same_bits.rs`).

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use std::time::Instant;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use futures::future::join_all;
use futures::{Stream, StreamExt};
use tokio::sync::{OnceCell, mpsc};
use tokio::task::spawn_blocking;

use super::composing::{Whole, composed};
use super::parts::Parts;
use super::whole::{Stored, Telling};
use super::{Embed, Eye, FrozenTable, Towers};
use crate::cores;
use crate::device::guarded;
use crate::error::{Error, Kind, Result};
use crate::image::ImageId;
use crate::stage::cuts::{Mouths, Waiting, Wish, Wishes};
use crate::stage::feed::{Batches, PixelBatch, Views};
use crate::stage::job::Job;
use crate::stage::pictures::{self, Pictures};
use crate::stage::pool::{self, Budget, Task};
use crate::stop::Stop;
use crate::store::layout::{Partition, Store};
use crate::store::span::Span;
use crate::table::{self, arrays};
use crate::text::numbers::counted;

/// What filling needs besides tables, pictures and the tower.
#[derive(Clone, Copy)]
pub struct Filling<'a> {
    /// Batch and part sizes.
    pub sizes: Embed,
    /// The store, the stop request and the progress.
    pub job: Job<'a>,
}

/// Returns the places of the pictures that have no row in a partition.
///
/// # Errors
/// Fails if the store cannot be read.
pub fn missing(pictures: &Pictures, partition: &Partition) -> Result<Vec<usize>> {
    let present = pictures::present(partition)?;
    Ok((0..pictures.rows().len()).filter(|&n| !present.contains(&pictures.rows()[n].id)).collect())
}

/// Returns the places of the pictures of which one of `tables` lacks a row that a tower has to
/// make.
///
/// # Errors
/// Fails if the store cannot be read.
pub fn lacking(store: &Store, pictures: &Pictures, tables: &[Arc<dyn FrozenTable>]) -> Result<Vec<usize>> {
    let mut lacks = vec![false; pictures.rows().len()];
    for table in tables {
        let have = table.need_no_forward(store, pictures.span())?;
        lacks.iter_mut().zip(pictures.rows()).for_each(|(lacks, picture)| *lacks |= !have.contains(&picture.id));
    }
    Ok((0..lacks.len()).filter(|&place| lacks[place]).collect())
}

/// Computes the rows that `tables` lack of these pictures; each picture is read and decoded once
/// for all tables. Calls `towers` once, and only if rows are missing. Returns how many images went
/// through it.
///
/// # Errors
/// Fails if a picture, the tower or the store fails, or a stop was requested; rows computed until
/// then are kept.
#[tracing::instrument(name = "stage", skip_all, fields(stage = "embed"))]
pub async fn fill(
    filling: Filling<'_>,
    pictures: &Arc<Pictures>,
    tables: &[Arc<dyn FrozenTable>],
    towers: impl Fn(&[Eye]) -> Result<Arc<Towers>>,
) -> Result<u64> {
    let Job { store, progress, .. } = filling.job;
    let (mut lacking, mut stored) = (Vec::new(), Stored::default());
    // The space of whole pictures, and the pictures whose composites are to be made with them.
    let mut composing: Option<(String, HashSet<ImageId>)> = None;
    // In reverse, since a table that others are made with may turn out to be damaged as they are
    // asked for.
    for table in tables.iter().rev() {
        let mut have = table.need_no_forward(store, pictures.span())?;
        if let Some((_, lacks)) = composing.as_ref().filter(|(space, _)| *space == table.space().id()) {
            // What another process has stored since `stored` was found is made again, and kept
            // once.
            have.retain(|id| !lacks.contains(id) || stored.place(id).is_some());
        }
        let lacks: HashSet<ImageId> =
            pictures.rows().iter().map(|picture| picture.id).filter(|id| !have.contains(id)).collect();
        if lacks.is_empty() {
            continue;
        }
        if let Some(composites) = table.composing() {
            stored = Stored::find(&composites.whole().partition(store)?, pictures.span(), |id| lacks.contains(id))?;
            composing = Some((composites.whole().space().id(), lacks));
        }
        lacking.insert(0, (table.clone(), have));
    }
    let stages: Vec<&str> = lacking.iter().map(|(table, _)| table.stage()).collect();
    let lacks = |id: &ImageId| lacking.iter().any(|(_, have)| !have.contains(id));
    let (total, id) = (pictures.rows().len(), |n: usize| &pictures.rows()[n].id);
    let mut todo: Vec<usize> = (0..total).filter(|&n| lacks(id(n))).collect();
    // Stored rows are read fastest in the order in which they lie.
    todo.sort_by_key(|&n| stored.place(id(n)));
    let asked = pictures.clone();
    let among = move |id: &ImageId| asked.rows().binary_search_by_key(id, |picture| picture.id).is_ok();
    let taps = Taps::open(filling, lacking, stored, among, pictures.span())?;
    let (done, cached) = (todo.len(), total - todo.len());
    progress.begin(stages.first().copied().unwrap_or("embed"), "image", done as u64, cached as u64);
    let Taps { wishes, mouths, tables } = taps;
    cut_all(pictures.clone(), todo, wishes, mouths);
    let forwards = consume_all(filling, tables, towers).await?;
    progress.end(&match done {
        0 => format!("{}, all cached: no forward pass", counted(total as u64, "image")),
        done => {
            let images = counted(done as u64, "image");
            format!("{images} through the vision tower ({}), {cached} cached", stages.join(", "))
        }
    });
    Ok(forwards)
}

/// The opened tables that lack pictures.
pub(super) struct Taps {
    pub(super) wishes: Wishes,
    pub(super) mouths: Mouths,
    pub(super) tables: Vec<Opened>,
}

/// A table that is being filled.
pub(super) struct Opened {
    table: Arc<dyn FrozenTable>,
    partition: Partition,
    schema: SchemaRef,
    /// Whether a picture is one of those that it lacks.
    lacks: Box<dyn Fn(&ImageId) -> bool + Send>,
    batches: Batches<Waiting>,
    /// Images that the tower takes at once.
    batch: usize,
    /// Who is to know the features of whole pictures.
    telling: Option<Telling>,
    /// Where the table has them from, if it needs them.
    whole: Option<Whole>,
    /// From which id to which the pictures are, if they are not all of the dataset's.
    span: Option<Span>,
}

impl Taps {
    /// Opens tables, each paired with the pictures that it already has, to be filled with the
    /// pictures `among` which that is, all with ids of a span if there is one. `stored` has the
    /// features of whole pictures that a table needs and no other makes.
    pub(super) fn open(
        filling: Filling<'_>,
        tables: Vec<(Arc<dyn FrozenTable>, HashSet<ImageId>)>,
        stored: Stored,
        among: impl Fn(&ImageId) -> bool + Send + Clone + 'static,
        span: Option<&Span>,
    ) -> Result<Self> {
        let store = filling.job.store;
        let tables: Vec<_> = tables.into_iter().map(|(table, have)| (table, Arc::new(have))).collect();
        let composing = tables.iter().find_map(|(table, have)| Some((table.composing()?.whole().space().id(), have)));
        let (mut told_by, mut whole) = (None, None);
        if let Some((space, have)) = composing {
            let among = tables.iter().any(|(table, _)| table.space().id() == space);
            let (telling, coming) = among.then(|| Telling::new(have.clone())).unzip();
            told_by = telling.map(|telling| (space, telling));
            whole = Some(Whole { stored, coming });
        }
        // The batch size counts images, and a picture may have several.
        let pictures = |table: &Arc<dyn FrozenTable>| (filling.sizes.batch / table.forwards()).max(1);
        let sizes: Vec<usize> = tables.iter().map(|(table, _)| pictures(table)).collect();
        let (mouths, batches) = Mouths::new(sizes.iter().copied(), filling.job.progress.clone());
        let mut opened = Vec::new();
        let mut wishes = Vec::new();
        for (((table, have), batches), size) in tables.into_iter().zip(batches).zip(sizes) {
            let (cutter, among) = (table.clone(), among.clone());
            wishes.push(Wish { have: have.clone(), cut: Arc::new(move |id, picture| cutter.cut(id, picture)) });
            opened.push(Opened {
                telling: told_by.take_if(|(space, _)| *space == table.space().id()).map(|(_, telling)| telling),
                whole: table.composing().and_then(|_| whole.take()),
                partition: table.partition(store)?,
                lacks: Box::new(move |id| !have.contains(id) && among(id)),
                schema: table::table(table.table())?.arrow(&table.dims())?,
                batch: size * table.forwards(),
                table,
                batches,
                span: span.cloned(),
            });
        }
        Ok(Taps { wishes: Wishes::new(wishes), mouths, tables: opened })
    }
}

/// Spawns a task that decodes pictures and sends their cuts, in order; it ends early if a receiver
/// is dropped.
fn cut_all(pictures: Arc<Pictures>, todo: Vec<usize>, wishes: Wishes, mut mouths: Mouths) {
    tokio::spawn(async move {
        let tasks = todo.into_iter().map(|place| {
            let (pictures, wishes) = (pictures.clone(), wishes.clone());
            let size = pictures.rows()[place].size();
            Task::new(size.encoded, size.decoded, move || {
                let picture = &pictures.rows()[place];
                Ok((picture.image_id.clone(), wishes.cut(&picture.id, &pictures.load(place)?)?))
            })
        });
        let mut cuts = std::pin::pin!(pool::in_order(futures::stream::iter(tasks), Budget::new()));
        while let Some(made) = cuts.next().await {
            match made.flatten() {
                Ok((image_id, cuts)) => {
                    if mouths.push(image_id, cuts).await.is_err() {
                        return;
                    }
                }
                Err(error) => return mouths.fail(error).await,
            }
        }
        let _ = mouths.flush().await;
    });
}

/// Consumes the batches of all tables concurrently. Returns how many images went through the tower.
///
/// # Errors
/// Fails as [`fill`] does.
pub(super) async fn consume_all(
    filling: Filling<'_>,
    tables: Vec<Opened>,
    towers: impl Fn(&[Eye]) -> Result<Arc<Towers>>,
) -> Result<u64> {
    let eyes: Vec<Eye> = tables.iter().map(|opened| opened.table.eye()).collect();
    let open = || towers(&eyes);
    let shared = Shared { towers: OnceCell::new(), began: Instant::now(), computing: Arc::default() };
    // If one table fails, the others end by themselves and keep their rows.
    let consumed = join_all(tables.into_iter().map(|table| consume(filling, table, &shared, &open))).await;
    let (done, failed): (Vec<_>, Vec<_>) = consumed.into_iter().partition(Result::is_ok);
    // Where one table fails, another that is made with its rows misses them, which is no reason.
    if let Some(error) = failed.into_iter().filter_map(Result::err).min_by_key(|error| error.kind() == Kind::Internal) {
        return Err(error);
    }
    let forwards = done.into_iter().sum::<Result<u64>>()?;
    filling.job.stop.check()?;
    Ok(forwards)
}

/// State that the consumers of all tables share.
struct Shared {
    towers: OnceCell<Arc<Towers>>,
    began: Instant,
    /// Microseconds that cores spent in the tower.
    computing: Arc<AtomicU64>,
}

/// Runs a table's batches through the tower, and writes the rows in the order of the batches.
async fn consume(
    filling: Filling<'_>,
    opened: Opened,
    shared: &Shared,
    open: &impl Fn() -> Result<Arc<Towers>>,
) -> Result<u64> {
    let Filling { sizes, job: Job { stop, progress, .. } } = filling;
    let Opened { table, partition, schema, lacks, mut batches, batch: at_once, telling, whole, span } = opened;
    let Some(first) = batches.recv().await else { return Ok(0) };
    let towers = shared.towers.get_or_try_init(|| async { open() }).await?.clone();
    let workers = towers.workers();
    let batches = futures::stream::once(async { first }).chain(until_stopped(batches, stop.clone()));
    let forwards = table.forwards() as u64;
    let parts = Parts::new(partition, schema.clone(), table.space(), sizes.part_rows, lacks).within(span.as_ref());
    let composites = table.composing().cloned();
    let computed = {
        // The tower makes rows of crops, of which those of composites are made.
        let seen = composites.as_ref().map_or(table, |composites| composites.crops().clone());
        let schema = table::table(seen.table())?.arrow(&seen.dims())?;
        let spent = shared.computing.clone();
        cores::buffered(batches, workers, move |batch: PixelBatch<Waiting>| {
            let began = Instant::now();
            let made = rows(seen.as_ref(), &towers, &schema, batch, at_once)?;
            telling.as_ref().map_or(Ok(()), |telling| telling.tell(&made))?;
            spent.fetch_add(began.elapsed().as_micros() as u64, Ordering::Relaxed);
            Ok(made)
        })
    };
    let computed = match composites.zip(whole) {
        Some((composites, whole)) => composed(composites, computed, whole, stop.clone()).left_stream(),
        None => computed.right_stream(),
    };
    let mut computed = std::pin::pin!(computed);

    let (send, receive) = mpsc::channel(1);
    let writer = spawn_blocking(move || write(receive, parts));
    let (mut done, mut outcome) = (0, Ok(()));
    while let Some(next) = computed.next().await {
        match next {
            Ok(rows) => {
                let count = rows.num_rows() as u64;
                if send.send(rows).await.is_err() {
                    break;
                }
                done += count;
                let spent = shared.computing.load(Ordering::Relaxed) as f64;
                let share = spent / (shared.began.elapsed().as_micros() as f64 * workers as f64).max(1.0);
                progress.limited_by(if share < 0.5 { "decoding" } else { "the forward pass" });
            }
            Err(error) => {
                outcome = Err(error);
                break;
            }
        }
    }
    // Closing the channel makes the writer finish the current part.
    drop(send);
    let written = writer.await.unwrap_or_else(|e| Err(Error::new(Kind::Internal, "writing was cut short").cause(e)));
    // A write error, such as a full disk, is why the channel closed, so it is what the user should
    // read.
    written?;
    outcome?;
    Ok(done * forwards)
}

/// Returns batches until a stop is requested; those in progress by then are finished and kept. The
/// receiver goes at once: who waits for room in it would keep pictures from the other tables, which
/// have not heard of the stop.
fn until_stopped(batches: Batches<Waiting>, stop: Stop) -> impl Stream<Item = Result<PixelBatch<Waiting>>> {
    let mut open = Some(batches);
    futures::stream::poll_fn(move |context| {
        let next = open.as_mut().map_or(Poll::Ready(None), |batches| batches.poll_recv(context));
        if !stop.requested() {
            return next;
        }
        open = None;
        Poll::Ready(None)
    })
}

/// Computes the rows of a batch, and drops its pictures, which counts them as done.
fn rows(
    table: &dyn FrozenTable,
    towers: &Towers,
    schema: &SchemaRef,
    batch: PixelBatch<Waiting>,
    at_once: usize,
) -> Result<RecordBatch> {
    guarded("the frozen vision tower", || {
        let _no_grad = tch::no_grad_guard();
        let _span = tracing::debug_span!("forward", table = table.table(), pictures = batch.pictures.len()).entered();
        let PixelBatch { pictures, pixels, boxes } = batch;
        let mut columns = table.columns(towers, &Views { pixels, boxes }, at_once)?;
        columns.push(("space", arrays::repeated(&table.space().id(), pictures.len())));
        columns.push(("image_id", arrays::text(pictures.iter().map(|waiting| &waiting.image_id))));
        table::rows(table.table(), schema, columns)
    })
}

fn write(mut rows: mpsc::Receiver<RecordBatch>, mut parts: Parts) -> Result<()> {
    while let Some(batch) = rows.blocking_recv() {
        parts.write(&batch)?;
    }
    parts.finish()
}
