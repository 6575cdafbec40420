//! The executor's side: what does units.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use tokio::runtime::Handle;

use super::order::{Order, Run, What, read};
use super::passes::Passes;
use super::prepared::Prepared;
use crate::cluster::{self, Count};
use crate::config::Spec;
use crate::device::{self, DeviceSettings, GpuMemory};
use crate::error::{Context, Error, Kind, Result};
use crate::panics::guard;
use crate::pipeline;
use crate::pipeline::run::Options;
use crate::runs::lookup::Upto;
use crate::stage::pool;
use crate::stage::progress::Progress;
use crate::stop::Stop;
use crate::store::{self, Store, scratch};

/// How many jobs are kept open: a driver has one at a time, and there may be several drivers.
const OPEN: usize = 2;

/// How often the worker looks whether units run.
const LOOK: Duration = Duration::from_secs(1);

/// How long a job stays open without a unit. While it is open, its store is in use: nobody can
/// remove anything of it.
const IDLE: Duration = Duration::from_secs(30);

/// Does units of pipelines on this machine.
pub struct Worker(Arc<Shared>);

struct Shared {
    device: DeviceSettings,
    stop: Stop,
    counts: Arc<Counts>,
    /// Where units run, so that whatever they do, the scheduler hears of this process.
    runtime: Handle,
    /// The jobs that were last worked on, by their orders.
    open: tokio::sync::Mutex<Vec<(blake3::Hash, Open)>>,
    running: AtomicUsize,
    /// When the last unit ended.
    ended: Mutex<Instant>,
}

/// A job that this process has opened.
#[derive(Clone)]
enum Open {
    Frozen(Arc<Prepared>),
    /// One unit at a time has it, since tensors are not shared between threads.
    Passes(Arc<tokio::sync::Mutex<Passes>>),
}

/// What units have done.
struct Counts {
    /// Pictures or other units of each stage.
    of_stage: Mutex<BTreeMap<String, u64>>,
    all: AtomicU64,
    /// Who tells the user.
    progress: Arc<dyn Progress>,
}

impl Worker {
    /// Makes a worker that computes on `device`, with work on `runtime`. `progress` is told what
    /// users should know.
    pub fn new(device: DeviceSettings, stop: Stop, progress: Arc<dyn Progress>, runtime: Handle) -> Self {
        let counts = Arc::new(Counts { of_stage: Mutex::default(), all: AtomicU64::new(0), progress });
        let (open, running, ended) = (tokio::sync::Mutex::default(), AtomicUsize::new(0), Mutex::new(Instant::now()));
        let shared = Arc::new(Shared { device, stop, counts, runtime, open, running, ended });
        shared.runtime.spawn(close_idle(Arc::downgrade(&shared)));
        Worker(shared)
    }
}

#[async_trait]
impl cluster::Worker for Worker {
    async fn work(&self, order: &str, unit: &str) -> Result<String> {
        let (shared, order, unit) = (self.0.clone(), order.to_owned(), unit.to_owned());
        // On a thread of its own, since a run holds tensors, which no two threads may share.
        let work = self.0.runtime.spawn_blocking(move || {
            let _running = Running::new(&shared);
            shared.runtime.block_on(shared.work(&order, &unit))
        });
        work.await.context(Kind::Internal, || "a unit was cut short".to_owned())?
    }

    fn progress(&self) -> u64 {
        self.0.counts.all.load(Ordering::Relaxed)
    }

    fn running(&self) -> usize {
        self.0.running.load(Ordering::Relaxed)
    }

    fn counted(&self) -> Vec<Count> {
        let items = |(stage, count): (&String, &u64)| {
            Count::total("items_total", "Pictures, or other items, that a stage has done.", *count).of("stage", stage)
        };
        let mut all: Vec<Count> = guard(&self.0.counts.of_stage).iter().map(items).collect();
        let about = "Parts that the executor has committed to stores.";
        all.push(Count::total("parts_total", about, store::part::committed()));
        let queued = |(queue, bytes): (&str, u64)| {
            Count::now("queue_bytes", "Bytes set aside for pictures between reading and forward.", bytes)
                .of("queue", queue)
        };
        all.extend(pool::queued().map(queued));
        let gpus = device::gpu_memory();
        let used = |gpu: &GpuMemory| {
            Count::now("gpu_memory_used_bytes", "Memory of a GPU that any process uses.", gpu.used).of("gpu", &gpu.gpu)
        };
        let total = |gpu: &GpuMemory| Count::now("gpu_memory_bytes", "Memory of a GPU.", gpu.total).of("gpu", &gpu.gpu);
        all.extend(gpus.iter().map(used).chain(gpus.iter().map(total)));
        all
    }
}

impl Shared {
    async fn work(&self, order: &str, unit: &str) -> Result<String> {
        let (began, progress) = (Instant::now(), self.counts.clone().of_unit());
        let id = blake3::hash(order.as_bytes());
        let order: Order = read(order)?;
        order.require_version()?;
        let done = match order.what {
            What::Runs => self.run(read(unit)?, &progress).await?,
            what => match self.opened(id, what, &progress).await? {
                Open::Frozen(prepared) => prepared.fill(&read(unit)?, &self.stop, &progress).await?,
                Open::Passes(passes) => passes.lock().await.write(&read(unit)?, &self.stop, &progress).await?,
            },
        };
        self.counts.progress.say(&format!("a unit is done: {done} ({:.1} s)", began.elapsed().as_secs_f64()));
        Ok(done)
    }

    /// Returns the pipeline of a job, or opens it.
    async fn opened(&self, id: blake3::Hash, what: What, progress: &Arc<dyn Progress>) -> Result<Open> {
        // Held meanwhile, so that a unit beside this one waits for it.
        let mut all = self.open.lock().await;
        if let Some((_, open)) = all.iter().find(|(of, _)| *of == id) {
            return Ok(open.clone());
        }
        // What the last job held is given back before more is taken.
        let more = (all.len() + 1).saturating_sub(OPEN);
        all.drain(..more);
        let (device, stop) = (self.device, &self.stop);
        let open = match what {
            What::Frozen(frozen) => {
                scratch::set_folder(&Store::folder(&frozen.spec.store)?);
                Open::Frozen(Arc::new(Prepared::open(*frozen, device, stop, progress).await?))
            }
            What::Passes(passes) => {
                scratch::set_folder(&Store::folder(&passes.spec.store)?);
                Open::Passes(Arc::new(tokio::sync::Mutex::new(Passes::open(*passes, device, stop, progress).await?)))
            }
            What::Runs => return Err(Error::new(Kind::Internal, "runs are not opened together")),
        };
        all.push((id, open.clone()));
        Ok(open)
    }

    /// Makes a run, as the driver would.
    async fn run(&self, run: Run, progress: &Arc<dyn Progress>) -> Result<String> {
        let Run { title, spec } = run;
        let spec = Spec { device: self.device, ..spec };
        let options = Options { stop: self.stop.clone(), progress: progress.clone(), cluster: None };
        // A future that holds all stages is large, and this one is held by those of all units.
        let made = Box::pin(pipeline::run::run(&spec, Upto::Evaluate, &options)).await;
        made.map(|outcome| format!("run {}", outcome.run)).map_err(|error| Error::new(error.kind(), title).cause(error))
    }
}

/// Closes the jobs of which no unit was asked for in a while, for as long as there is a worker.
async fn close_idle(of: Weak<Shared>) {
    loop {
        tokio::time::sleep(LOOK).await;
        let Some(shared) = of.upgrade() else { return };
        // A unit that begins meanwhile waits for what is open, and opens what was closed.
        let mut open = shared.open.lock().await;
        if shared.running.load(Ordering::Relaxed) == 0 && guard(&shared.ended).elapsed() > IDLE {
            open.clear();
        }
    }
}

/// A unit that is being done, until this is dropped.
struct Running<'a>(&'a Shared);

impl<'a> Running<'a> {
    fn new(of: &'a Shared) -> Self {
        of.running.fetch_add(1, Ordering::Relaxed);
        Running(of)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        *guard(&self.0.ended) = Instant::now();
        self.0.running.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Counts {
    /// Returns the progress of a unit, whose stages are its own.
    fn of_unit(self: Arc<Self>) -> Arc<dyn Progress> {
        Arc::new(OfUnit { counts: self, stage: Mutex::default() })
    }
}

struct OfUnit {
    counts: Arc<Counts>,
    stage: Mutex<String>,
}

impl Progress for OfUnit {
    fn begin(&self, stage: &str, _: &'static str, _: u64, _: u64) {
        stage.clone_into(&mut guard(&self.stage));
    }

    fn advance(&self, done: u64) {
        self.counts.all.fetch_add(done, Ordering::Relaxed);
        let stage = guard(&self.stage).clone();
        *guard(&self.counts.of_stage).entry(stage).or_default() += done;
    }

    fn end(&self, _: &str) {}

    fn say(&self, line: &str) {
        self.counts.progress.say(line);
    }
}
