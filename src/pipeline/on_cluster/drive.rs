//! The driver's side: what is missing, in units, until nothing is.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;

use super::order::{self, Logits, Order, Range, Run, Table, What, written};
use crate::cluster::{Driver, Ended, Job as Asked, Joining, Watch};
use crate::config::Spec;
use crate::error::{Error, Kind, Result};
use crate::fusion::matrix::Matrix;
use crate::net::random;
use crate::pipeline::{self, run::Options};
use crate::runs::lookup::Upto;
use crate::stage::adapt::elsewhere::{Elsewhere, units_of};
use crate::stage::frozen::{self, FrozenTable};
use crate::stage::job::Job;
use crate::stage::pictures::Pictures;
use crate::stage::progress::Progress;
use crate::stop::Stop;
use crate::text::numbers::counted;
use crate::workspace::Workspace;

/// How often executors may say that they have done all and leave pictures missing: a file system of
/// a network may show late what was written.
const PATIENCE: u32 = 5;

/// What is said where a job was forgotten.
const ANEW: &str = "the scheduler was started anew: asking for what is missing";

/// How long to wait then.
const LATE: Duration = Duration::from_secs(2);

/// Makes sure that the scheduler is there and admits us, before anything is computed.
///
/// # Errors
/// Fails as [`Driver::connect`] does.
pub(crate) async fn reach(joining: &Joining) -> Result<()> {
    Driver::connect(joining, |_| {}).await.map(drop)
}

/// Has executors make the rows that `tables` lack of these pictures. Returns a note of it, if rows
/// were missing.
///
/// # Errors
/// Returns the error of a unit that no executor could do, or fails as [`Driver::connect`] does;
/// with [`Kind::Interrupted`] if a stop was requested. Rows made until then are kept.
pub(crate) async fn fill(
    joining: &Joining,
    of: &Frozen<'_>,
    pictures: &Arc<Pictures>,
    tables: &[Arc<dyn FrozenTable>],
    job: Job<'_>,
) -> Result<Option<String>> {
    let Job { store, stop, progress } = job;
    let Some(mut missing) = Some(frozen::lacking(store, pictures, tables)?).filter(|missing| !missing.is_empty())
    else {
        return Ok(None);
    };
    let order = written(&Order::new(What::Frozen(Box::new(order::Frozen {
        spec: of.workspace.written_out(of.spec),
        snapshot: of.snapshot.to_owned(),
        tables: tables.iter().map(|table| Table::of(table.table(), table.space())).collect(),
    }))))?;
    // A driver that was killed and begins again takes the place of its own earlier job.
    let name = format!("{} {}", of.workspace.dataset, store.place().display());
    let mut driver = Driver::connect(joining, |text| progress.say(text)).await?;
    let (all, total) = (missing.len(), pictures.rows().len());
    let stages: Vec<&str> = tables.iter().map(|table| table.stage()).collect();
    progress.begin(stages.first().copied().unwrap_or("embed"), "image", all as u64, (total - all) as u64);
    let watch =
        Watching { progress, all, done: AtomicUsize::new(0), left: AtomicUsize::new(0), rows: of.spec.embed.part_rows };
    let mut in_vain = 0;
    while !missing.is_empty() {
        let units = units(pictures, &missing, of.spec.embed.part_rows)?;
        watch.left.store(missing.len(), Ordering::Relaxed);
        match driver.run(Asked { name: &name, order: &order, units: &units }, stop, &watch).await? {
            Ended::Done => {}
            Ended::Forgotten => watch.say(ANEW),
        }
        let before = missing.len();
        missing = frozen::lacking(store, pictures, tables)?;
        watch.at_least(all - missing.len());
        if missing.len() < before {
            in_vain = 0;
            continue;
        }
        in_vain += 1;
        if in_vain == PATIENCE {
            let what =
                format!("executors have done all units, and {} are still missing", counted(before as u64, "image"));
            return Err(Error::new(Kind::Store, what).hint(format!(
                "do they see the same store as this machine, under the same path? It is {}",
                store.place().display()
            )));
        }
        stop.pause(LATE).await?;
    }
    let images = counted(all as u64, "image");
    progress.end(&format!("{images} by executors ({}), {} cached", stages.join(", "), total - all));
    Ok(Some(format!("frozen model: executors of {} saw {images}", joining.scheduler)))
}

/// Has executors make runs, each with its title. What runs of a dataset share is made first, also
/// by executors; then each run is a unit.
///
/// # Errors
/// Returns the error of the first run that no executor could make, or fails as [`fill`] does. Runs
/// that were finished until then are kept.
pub(crate) async fn runs(joining: &Joining, name: &str, runs: &[(String, &Spec)], options: &Options) -> Result<()> {
    let Options { stop, progress, .. } = options;
    for (title, spec) in runs {
        // What an earlier one has made costs a look at the store.
        let shared = Box::pin(pipeline::run::run(spec, Upto::Embed, options)).await;
        shared.map_err(|error| Error::new(error.kind(), title.clone()).cause(error))?;
    }
    let unit = |(title, spec): &(String, &Spec)| written(&Run { title: title.clone(), spec: (*spec).clone() });
    // Cells may differ in what is shown of one run alone.
    let units: Vec<String> = distinct(runs).iter().map(|run| unit(run)).collect::<Result<_>>()?;
    if units.is_empty() {
        return Ok(());
    }
    let order = written(&Order::new(What::Runs))?;
    let mut driver = Driver::connect(joining, |text| progress.say(text)).await?;
    progress.begin("adapt", "run", units.len() as u64, 0);
    let (done, left) = (AtomicUsize::new(0), AtomicUsize::new(units.len()));
    let watch = Watching { progress, all: units.len(), done, left, rows: 1 };
    // Runs that are finished are found so by the executors that get them again.
    until_done(&mut driver, Asked { name, order: &order, units: &units }, stop, &watch).await?;
    progress.end(&format!("{} by executors of {}", counted(units.len() as u64, "run"), joining.scheduler));
    Ok(())
}

/// Has a job done as often as it takes.
async fn until_done(driver: &mut Driver, job: Asked<'_>, stop: &Stop, watch: &dyn Watch) -> Result<()> {
    while driver.run(job, stop, watch).await? == Ended::Forgotten {
        watch.say(ANEW);
    }
    Ok(())
}

/// Has executors make the fusion logits of a run's passes.
pub(crate) struct Passes<'a> {
    pub(crate) joining: &'a Joining,
    pub(crate) spec: &'a Spec,
    /// Identity of the dataset's pictures.
    pub(crate) snapshot: &'a str,
    /// The run's id.
    pub(crate) run: &'a str,
    pub(crate) job: Job<'a>,
}

/// Pictures of a unit are a multiple of this, so that forward passes have the sizes that they have
/// on one machine, and give the same bits.
const TOGETHER: usize = 128;

#[async_trait(?Send)]
impl Elsewhere for Passes<'_> {
    async fn fusion_logits(&self, pass: u64, rows: usize) -> Result<Matrix> {
        let Job { store, stop, progress } = self.job;
        let order = written(&Order::new(What::Passes(Box::new(order::Passes {
            spec: self.spec.clone(),
            snapshot: self.snapshot.to_owned(),
            run: self.run.to_owned(),
        }))))?;
        let partition = units_of(store, self.run)?;
        partition.clear()?;
        // What a process that was thought dead still writes of an earlier try is not read.
        let tried = random(4)?;
        let at_once = self.spec.embed.part_rows.div_ceil(TOGETHER) * TOGETHER;
        let name = |from: usize| format!("pass-{pass:04}-{tried}-{from:012}");
        let units = (0..rows)
            .step_by(at_once)
            .map(|from| written(&Logits { pass, from, to: (from + at_once).min(rows), part: name(from) }));
        let units: Vec<String> = units.collect::<Result<_>>()?;
        let mut driver = Driver::connect(self.joining, |text| progress.say(text)).await?;
        let name_of_job = format!("{} {}", self.run, store.place().display());
        let watch = Silent(progress);
        until_done(&mut driver, Asked { name: &name_of_job, order: &order, units: &units }, stop, &watch).await?;
        let parts: Vec<PathBuf> =
            (0..rows).step_by(at_once).map(|from| partition.part(&name(from))).collect::<Result<_>>()?;
        let none = || Error::new(Kind::Internal, "logits were not written plainly");
        Matrix::stored(&parts, "logits")?.ok_or_else(none)
    }

    fn forget(&self) -> Result<()> {
        units_of(self.job.store, self.run)?.clear()
    }
}

/// A watch of units within a pass, which the pass's own progress stands for.
struct Silent<'a>(&'a Arc<dyn Progress>);

impl Watch for Silent<'_> {
    fn units(&self, _: usize, _: usize) {}

    fn say(&self, text: &str) {
        self.0.say(text);
    }
}

/// Returns the runs whose settings no earlier one has.
fn distinct<'a>(runs: &'a [(String, &'a Spec)]) -> Vec<&'a (String, &'a Spec)> {
    let mut found: Vec<&(String, &Spec)> = Vec::new();
    for run in runs {
        if found.iter().all(|earlier| earlier.1 != run.1) {
            found.push(run);
        }
    }
    found
}

/// What is filled.
pub(crate) struct Frozen<'a> {
    pub(crate) spec: &'a Spec,
    pub(crate) workspace: &'a Workspace,
    /// Identity of the dataset's pictures.
    pub(crate) snapshot: &'a str,
}

/// Returns units of as many missing pictures as a part has.
fn units(pictures: &Pictures, missing: &[usize], part_rows: usize) -> Result<Vec<String>> {
    let id = |place: usize| pictures.rows()[place].image_id.clone();
    let range = |places: &[usize]| match places {
        [first, .., last] => written(&Range { first: id(*first), last: id(*last) }),
        [only] => written(&Range { first: id(*only), last: id(*only) }),
        [] => Err(Error::new(Kind::Internal, "a unit without pictures")),
    };
    missing.chunks(part_rows.max(1)).map(range).collect()
}

/// Turns units that are left into pictures that are done.
struct Watching<'a> {
    progress: &'a Arc<dyn Progress>,
    all: usize,
    /// Pictures that were said to be done.
    done: AtomicUsize,
    /// Pictures that were missing when the units were made.
    left: AtomicUsize,
    rows: usize,
}

impl Watching<'_> {
    /// Says that so many pictures are done, unless as many were.
    fn at_least(&self, done: usize) {
        let before = self.done.fetch_max(done, Ordering::Relaxed);
        self.progress.advance(done.saturating_sub(before) as u64);
    }
}

impl Watch for Watching<'_> {
    fn units(&self, left: usize, _: usize) {
        let left = (left * self.rows).min(self.left.load(Ordering::Relaxed));
        self.at_least(self.all - left);
    }

    fn say(&self, text: &str) {
        self.progress.say(text);
    }
}
