//! Ingest: a source of pictures becomes the tables `images`, `rejected`, `labels` and `classes`.
//!
//! Every picture is decoded once here, so that later stages meet none that cannot be; who needs its pixels anyway may have them
//! then ([`Tap`]). A picture that is known by its bytes to have been decoded before is only read. The four tables of a dataset are
//! a snapshot: each is one part, replaced as a whole, and `images` comes last, so that its footer says which snapshot is there. A
//! source that has not changed since is not read again.

mod read;
mod tables;

use std::sync::Arc;

use crate::error::{Context, Error, Kind, Result};
use crate::image::Limits;
use crate::settings::identity_of;
use crate::source::Source;
use crate::stage::cuts::{Mouths, Wishes};
use crate::stage::job::Job;
use crate::stage::pictures;
use crate::stage::progress::Progress;
use crate::store::layout::{Partition, Store};
use crate::store::reader;
use crate::table::arrays;

/// What ingest needs besides the source.
#[derive(Debug, Clone)]
pub struct IngestSettings {
    /// The dataset's partition.
    pub dataset: String,
    /// What a header may claim.
    pub limits: Limits,
    /// Class names, where the pipeline file names a file of them.
    pub classes: Option<Vec<String>>,
}

/// What ingest found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ingested {
    /// Pictures in `images`.
    pub images: u64,
    /// Files in `rejected`.
    pub rejected: u64,
    /// Names of the classes, in the order of their ids.
    pub classes: Vec<String>,
    /// Identity of the snapshot.
    pub snapshot: String,
    /// Whether the source was as the store knew it.
    pub unchanged: bool,
}

impl Ingested {
    /// Returns whether a greater share of the files was rejected than is tolerated.
    pub fn too_many_rejected(&self, tolerance: f64) -> bool {
        self.rejected as f64 > tolerance * (self.images + self.rejected) as f64
    }
}

/// Who takes pictures while they are decoded: one decode serves ingest and the tables that are filled from pixels.
pub(super) struct Tap {
    /// What is wanted of each picture.
    pub(super) wishes: Wishes,
    /// Where it goes, in the order of `images`.
    pub(super) mouths: Mouths,
}

/// Raised wherever the same files become other rows than before, or a default of `[dataset.limits]` becomes another: a dataset is
/// then read again.
const INGEST: u32 = 1;

/// What the snapshot depends on: the source's files, the limits, and the named classes.
///
/// # Errors
/// Where the source cannot be read.
pub fn snapshot(source: &dyn Source, settings: &IngestSettings) -> Result<String> {
    let limits = identity_of(&settings.limits, |_| true)?;
    let classes = serde_json::to_string(&settings.classes);
    let classes = classes.context(Kind::Internal, || "cannot write the names of the classes".to_owned())?;
    let text = format!("ingest {INGEST}; files {}; limits {limits}; classes {classes}", source.fingerprint()?);
    Ok(blake3::hash(text.as_bytes()).to_hex().to_string())
}

/// The names of the classes, by class id: those of the pipeline file where it names some, else the source's.
///
/// # Errors
/// Where there are none, or the source has one that the file does not list.
pub fn classes(source: &dyn Source, settings: &IngestSettings) -> Result<Vec<String>> {
    let found = &source.listing().classes;
    let Some(named) = &settings.classes else {
        if found.is_empty() {
            return Err(Error::new(Kind::Input, "the dataset names no classes")
                .hint("list them in a text file, one name a line, and name it as dataset.classes"));
        }
        return Ok(found.clone());
    };
    if let Some(unknown) = found.iter().find(|class| !named.contains(class)) {
        return Err(Error::new(
            Kind::Input,
            format!("the dataset has a class '{unknown}' that dataset.classes does not list"),
        )
        .hint("add it to that file, or spell it the same way in both"));
    }
    Ok(named.clone())
}

/// Reads what the store knows of the dataset, where that is still what the source holds. A snapshot of which a table is missing,
/// or of another time (writing it was cut short, or a part was damaged), is not known.
///
/// # Errors
/// Where the source or the store cannot be read.
pub fn known(source: &dyn Source, settings: &IngestSettings, store: &Store) -> Result<Option<Ingested>> {
    known_as(&snapshot(source, settings)?, settings, store)
}

/// The same for a source whose snapshot has been worked out.
///
/// # Errors
/// Where the store cannot be read.
pub fn known_as(snapshot: &str, settings: &IngestSettings, store: &Store) -> Result<Option<Ingested>> {
    for table in tables::TABLES {
        let partition = store.partition(table, &settings.dataset)?;
        // Pictures may lie in `images`, of which no row is read here.
        let parts = if table == "images" { partition.listed()? } else { partition.parts()? };
        let [part] = parts.as_slice() else { return Ok(None) };
        if reader::footer(part)?.pairs.get("snapshot").map(String::as_str) != Some(snapshot) {
            return Ok(None);
        }
    }
    let rows = |table: &str| reader::count_rows(&store.partition(table, &settings.dataset)?);
    let (images, rejected) = (rows("images")?, rows("rejected")?);
    let classes = class_names(store, &settings.dataset)?;
    Ok(Some(Ingested { images, rejected, classes, snapshot: snapshot.to_owned(), unchanged: true }))
}

/// The partitions of a dataset's tables.
///
/// # Errors
/// Where the dataset's name is no partition name.
pub fn partitions(store: &Store, dataset: &str) -> Result<Vec<Partition>> {
    tables::TABLES.iter().map(|table| store.partition(table, dataset)).collect()
}

/// The class names of a dataset that was ingested, by class id; none where it was not.
///
/// # Errors
/// Where the store cannot be read.
pub fn class_names(store: &Store, dataset: &str) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for batch in reader::batches(&store.partition("classes", dataset)?, Some(&["name"]), 4096)? {
        names.extend(arrays::strings(&batch?, "name")?.into_iter().map(str::to_owned));
    }
    Ok(names)
}

/// Ingests the source, unless the store holds it already.
///
/// # Errors
/// Where the source as a whole cannot be read, has no picture that decodes, its labels and the named classes do not fit
/// together, or the store cannot be written. A bad picture is no error: it is a row of `rejected`.
pub async fn ingest(source: Box<dyn Source>, settings: &IngestSettings, job: Job<'_>) -> Result<Ingested> {
    let Job { store, progress, .. } = job;
    let snapshot = snapshot(source.as_ref(), settings)?;
    if let Some(known) = known_as(&snapshot, settings, store)? {
        return Ok(unchanged(known, progress.as_ref()));
    }
    let found = read(source, snapshot, settings, job, None).await?.write(settings, store)?;
    progress.end(&found.to_string());
    Ok(found)
}

/// Says that a dataset is as the store knows it.
pub fn unchanged(known: Ingested, progress: &dyn Progress) -> Ingested {
    progress.begin("ingest", "image", 0, known.images);
    progress.end(&format!("unchanged: {known}"));
    known
}

/// A source that was read, and is in no table yet.
pub(super) struct Unwritten {
    found: Ingested,
    read: read::Read,
}

/// Reads the source, whatever the store holds. Progress is begun here, and is the caller's to end.
///
/// # Errors
/// As [`ingest`]. Where nobody takes the tap's pictures any more, reading ends, and an error says so that is not the cause.
pub(super) async fn read(
    source: Box<dyn Source>,
    snapshot: String,
    settings: &IngestSettings,
    job: Job<'_>,
    tap: Option<Tap>,
) -> Result<Unwritten> {
    let Job { store, stop, progress } = job;
    let classes = classes(source.as_ref(), settings)?;
    progress.begin("ingest", "image", source.listing().items, 0);
    // What the snapshot before has was decoded once, and need not be again to know that it can be.
    let decoded = pictures::present(&store.partition("images", &settings.dataset)?)?;
    let reading = read::Reading {
        classes: classes.iter().cloned().zip(0..).collect(),
        limits: settings.limits,
        stop: stop.clone(),
        progress: progress.clone(),
        decoded: Arc::new(decoded),
        tap,
    };
    let read = reading.read(source, store.root()).await?;
    if read.rows.is_empty() {
        let first = read.rejected.first();
        let first = first.map(|(path, r)| format!("; the first of {}: {path}: {}", read.rejected.len(), r.detail));
        let what = format!("no picture of the dataset can be read{}", first.unwrap_or_default());
        return Err(Error::new(Kind::Input, what).hint("JPEG, PNG and WebP are read; check dataset.path"));
    }
    if read.in_both > 0 {
        progress.say(&format!(
            "warning: {} files have the same bytes as a file of the other split: they count as test pictures, and are not trained on",
            read.in_both
        ));
    }
    let (images, rejected) = (read.rows.len() as u64, read.rejected.len() as u64);
    let found = Ingested { images, rejected, classes, snapshot, unchanged: false };
    Ok(Unwritten { found, read })
}

impl Unwritten {
    /// Returns how many pictures went into the tap.
    pub(super) fn tapped(&self) -> u64 {
        self.read.tapped
    }

    /// Writes the dataset's tables.
    ///
    /// # Errors
    /// Where the store cannot be written.
    pub(super) fn write(self, settings: &IngestSettings, store: &Store) -> Result<Ingested> {
        tables::write(&self.found, self.read, settings, store)?;
        Ok(self.found)
    }
}

impl std::fmt::Display for Ingested {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} images, {} rejected", self.images, self.rejected)
    }
}
