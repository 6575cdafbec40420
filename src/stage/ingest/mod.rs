//! Ingest: a source of pictures becomes the tables of `tables::TABLES`, such as `images`,
//! `rejected` and `labels`.
//!
//! Every picture is decoded once here, so that later stages meet none that cannot be decoded;
//! tables that need its pixels can take them then ([`Tap`]). A picture whose bytes are known to
//! decode is only read. An ingest that is interrupted goes on from what it has found, without
//! reading those files again ([`found`]). The tables of a dataset are a snapshot: each is one part,
//! replaced as a whole, and `images` comes last, so that its footer says which snapshot is there. A
//! source that has not changed since is not read again.

mod classes;
mod found;
mod read;
mod tables;

use std::sync::Arc;

use classes::Classes;
use futures::StreamExt;

use crate::error::{Context, Error, Kind, Result};
use crate::image::{Decoding, FORMATS, Rejection};
use crate::settings::identity_of;
use crate::source::{ClassMap, Source};
use crate::stage::cuts::{Mouths, Wishes};
use crate::stage::encoded::{self, Next};
use crate::stage::job::Job;
use crate::stage::pictures;
use crate::store::layout::{Partition, Store};
use crate::store::reader;
use crate::table::arrays;
use crate::text::names::are_numbers;
use crate::text::numbers::counted;
use crate::text::terminal::in_line;

/// What ingest needs besides the source.
#[derive(Debug, Clone)]
pub struct IngestSettings {
    /// The dataset's partition.
    pub dataset: String,
    /// How its pictures become pixels.
    pub decoding: Decoding,
    /// Class names, if the pipeline file names a file of them.
    pub classes: Option<Vec<String>>,
    /// Class names by label, if the pipeline file names a file of them.
    pub class_map: Option<ClassMap>,
    /// Files after which what was found in them is stored.
    pub part_rows: usize,
    /// Whether pictures that have no file of their own are copied into the store.
    pub copy: bool,
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
    /// Whether the source is unchanged since the store's snapshot.
    pub unchanged: bool,
}

impl Ingested {
    /// Returns whether the share of rejected files exceeds `tolerance`.
    pub fn too_many_rejected(&self, tolerance: f64) -> bool {
        self.rejected as f64 > tolerance * (self.images + self.rejected) as f64
    }
}

/// A consumer of pictures as they are decoded: one decode serves ingest and the tables that are
/// filled from pixels.
pub(super) struct Tap {
    /// What tables want of each picture.
    pub(super) wishes: Wishes,
    /// Where the cuts go, in the order of `images`.
    pub(super) mouths: Mouths,
}

/// Version, raised when the same files yield different rows, or when a default of
/// `[dataset.limits]` changes: datasets are then read again.
const INGEST: u32 = 3;

/// Returns the identity of a dataset's snapshot: a hash of the source's files, the limits, and the
/// named classes and labels.
///
/// # Errors
/// Fails if the source cannot be read.
pub fn snapshot(source: &dyn Source, settings: &IngestSettings) -> Result<String> {
    let limits = identity_of(&settings.decoding.limits, |_| true)?;
    let classes = serde_json::to_string(&settings.classes);
    let classes = classes.context(Kind::Internal, || "cannot write the names of the classes".to_owned())?;
    let mut text = format!("ingest {INGEST}; files {}; limits {limits}; classes {classes}", source.fingerprint()?);
    if let Some(map) = &settings.class_map {
        let pairs = serde_json::to_string(&map.pairs);
        let pairs = pairs.context(Kind::Internal, || "cannot write the names of the labels".to_owned())?;
        text.push_str(&format!("; class names {pairs}"));
    }
    Ok(blake3::hash(text.as_bytes()).to_hex().to_string())
}

/// Returns the names of the classes, by class id: those of the pipeline file if it names some, else
/// the source's.
///
/// # Errors
/// Returns [`Kind::Input`] if there are fewer than two, or if the source has a label that the file
/// does not list.
pub fn classes(source: &dyn Source, settings: &IngestSettings) -> Result<Vec<String>> {
    Ok(Classes::of(source, settings)?.names)
}

/// Returns what the user should know of the source, and of how its labels were matched to the named
/// classes.
///
/// # Errors
/// Fails like [`classes`].
pub fn notes(source: &dyn Source, settings: &IngestSettings) -> Result<Vec<String>> {
    Ok(all_notes(Classes::of(source, settings)?.notes, source))
}

/// Returns the error about classes whose names are all numbers or codes, of which nobody can say
/// what they look like; `None` if they are names.
pub fn without_names(classes: &[String], settings: &IngestSettings) -> Option<Error> {
    let first = classes.first().filter(|_| are_numbers(classes))?;
    let what =
        format!("the class names are numbers or codes, such as '{}', which say nothing of looks", in_line(first));
    Some(Error::new(Kind::Input, what).hint(classes::to_name_them(settings.class_map.as_ref())))
}

/// Adds the source's notes to those about its classes.
fn all_notes(mut notes: Vec<String>, source: &dyn Source) -> Vec<String> {
    let listing = source.listing();
    notes.extend(listing.no_classes.iter().chain(&listing.notes).cloned());
    notes.extend(listing.unlabelled.as_ref().map(|why| format!("pictures have no labels: {why}")));
    notes
}

/// Refuses a source of which no picture is for training, before anything is computed.
///
/// # Errors
/// Returns [`Kind::Input`] if all its pictures are of another split.
pub fn require_training(source: &dyn Source) -> Result<()> {
    match source.listing().training {
        0 => Err(without_training()),
        _ => Ok(()),
    }
}

/// Returns the error about a dataset that has nothing to adapt to.
pub fn without_training() -> Error {
    Error::new(Kind::Input, "the dataset has no training picture")
        .hint("all its pictures are kept apart for evaluation; name the split to adapt to `train`")
}

/// Reads a source up to the first picture that can be decoded.
///
/// Must be polled within a tokio runtime.
///
/// # Errors
/// Returns [`Kind::Input`] if none can be, as [`ingest`] does, or if the source cannot be read.
pub async fn require_readable(source: Box<dyn Source>, settings: &IngestSettings) -> Result<()> {
    let decoding = settings.decoding;
    let items = source.items().map(|item| item.map(Next::Read));
    let tried = encoded::each(items, decoding.limits, move |item, encoded| {
        Ok((item.path, encoded.and_then(|encoded| decoding.picture(&encoded.bytes)).err()))
    });
    let (mut tried, mut rejected) = (std::pin::pin!(tried), Vec::new());
    while let Some(next) = tried.next().await {
        match next? {
            (_, None) => return Ok(()),
            (path, Some(rejection)) => rejected.push((path, rejection)),
        }
    }
    Err(nothing_readable(&rejected))
}

/// Returns the error about a dataset of which every file was rejected.
fn nothing_readable(rejected: &[(String, Rejection)]) -> Error {
    let first = rejected.first();
    let first = first.map(|(path, r)| format!("; the first of {}: {}: {}", rejected.len(), in_line(path), r.detail));
    let what = format!("no picture of the dataset can be read{}", first.unwrap_or_default());
    Error::new(Kind::Input, what)
        .hint(format!("{FORMATS} are read; check dataset.path, and dataset.root for a list, whose paths start there"))
}

/// Returns what the store knows of the dataset, if the source still has this `snapshot`. Returns
/// `None` if a table is missing or is of another snapshot, because writing was interrupted or a
/// part was damaged, or if pictures are to be copied that were not.
///
/// # Errors
/// Fails if the store cannot be read.
pub fn known(snapshot: &str, settings: &IngestSettings, store: &Store) -> Result<Option<Ingested>> {
    for table in tables::TABLES {
        let partition = store.partition(table, &settings.dataset)?;
        // `images` may hold the pictures' bytes, and none of its rows are read here, so that only
        // its footer is checked.
        let parts = if table == "images" { partition.listed()? } else { partition.parts()? };
        let [part] = parts.as_slice() else { return Ok(None) };
        let pairs = reader::footer(part)?.pairs;
        let to_copy = settings.copy && pairs.contains_key(pictures::COLUMN);
        if to_copy || pairs.get("snapshot").map(String::as_str) != Some(snapshot) {
            return Ok(None);
        }
    }
    let rows = |table: &str| reader::count_rows(&store.partition(table, &settings.dataset)?);
    let (images, rejected) = (rows("images")?, rows("rejected")?);
    let classes = class_names(store, &settings.dataset)?;
    Ok(Some(Ingested { images, rejected, classes, snapshot: snapshot.to_owned(), unchanged: true }))
}

/// Returns which snapshot of a dataset a partition of `images` holds; `None` if it holds none.
///
/// # Errors
/// Fails if the store cannot be read.
pub fn snapshot_in(images: &Partition) -> Result<Option<String>> {
    match images.listed()?.as_slice() {
        [part] => Ok(reader::footer(part)?.pairs.remove("snapshot")),
        _ => Ok(None),
    }
}

/// Returns the partitions of a dataset's tables.
///
/// # Errors
/// Fails if the dataset's name is not a valid partition name.
pub fn partitions(store: &Store, dataset: &str) -> Result<Vec<Partition>> {
    tables::TABLES.iter().map(|table| store.partition(table, dataset)).collect()
}

/// Returns the class names of an ingested dataset, by class id; empty if it was not ingested.
///
/// # Errors
/// Fails if the store cannot be read.
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
/// Fails if the source as a whole cannot be read, has no picture that decodes, its labels do not
/// match the named classes, or the store cannot be written. A bad picture is not an error: it
/// becomes a row of `rejected`.
#[tracing::instrument(name = "stage", skip_all, fields(stage = "ingest"))]
pub async fn ingest(source: Box<dyn Source>, settings: &IngestSettings, job: Job<'_>) -> Result<Ingested> {
    let Job { store, progress, .. } = job;
    let snapshot = snapshot(source.as_ref(), settings)?;
    if let Some(known) = known(&snapshot, settings, store)? {
        return unchanged(known, settings, job);
    }
    let found = read(source, snapshot, settings, job, None).await?.write(settings, store)?;
    progress.end(&found.to_string());
    Ok(found)
}

/// Reports that a dataset is unchanged, and removes what is left of the ingest that found it if
/// that was interrupted at its end.
///
/// # Errors
/// Fails if the store cannot be written.
pub fn unchanged(known: Ingested, settings: &IngestSettings, job: Job<'_>) -> Result<Ingested> {
    found::forget(settings, job.store)?;
    job.progress.begin("ingest", "image", 0, known.images);
    job.progress.end(&format!("unchanged: {known}"));
    Ok(known)
}

/// A source that was read but not yet written to tables.
pub(super) struct Unwritten {
    found: Ingested,
    read: read::Read,
}

/// Reads the source, whatever the store holds. Begins the progress, which the caller must end.
///
/// # Errors
/// Fails as [`ingest`] does. If the tap's receivers were dropped, reading ends with an error that
/// is not the cause.
pub(super) async fn read(
    source: Box<dyn Source>,
    snapshot: String,
    settings: &IngestSettings,
    job: Job<'_>,
    tap: Option<Tap>,
) -> Result<Unwritten> {
    let Job { store, stop, progress } = job;
    let Classes { names: classes, ids, notes } = Classes::of(source.as_ref(), settings)?;
    all_notes(notes, source.as_ref()).iter().for_each(|note| progress.say(note));
    progress.begin("ingest", "image", source.listing().items, 0);
    // Pictures of the previous snapshot are known to decode, so they need not be decoded again.
    let decoded = pictures::present(&store.partition("images", &settings.dataset)?)?;
    let reading = read::Reading {
        classes: ids,
        decoding: settings.decoding,
        stop: stop.clone(),
        progress: progress.clone(),
        known: Arc::new(read::Known {
            decoded,
            constant: tables::constant(settings, store)?,
            found: found::Found::read(settings, store, stop)?,
        }),
        finding: found::Finding::new(settings, store)?,
        copy: settings.copy,
        tap,
    };
    let read = reading.read(source, store.root()).await?;
    if read.rows.is_empty() {
        return Err(nothing_readable(&read.rejected));
    }
    let files = |count: u64, one: &str, many: &str| match count {
        1 => format!("1 {one}"),
        count => format!("{count} {many}"),
    };
    if read.not_again > 0 {
        let files = files(read.not_again, "file is", "files are");
        progress.say(&format!("{files} as an ingest found them that was interrupted, and not read again"));
    }
    if read.turned > 0 {
        progress.say(&format!("{} turned as EXIF data asks", files(read.turned, "picture is", "pictures are")));
    }
    let constant = read.rows.iter().filter(|row| row.colour.is_some());
    if let Some((row, colour)) = constant.clone().find_map(|row| Some((row, row.colour.as_ref()?))) {
        progress.say(&format!(
            "warning: {} one colour all over, such as {} ({colour}); the table `constant_pictures` lists them",
            files(constant.count() as u64, "picture is", "pictures are"),
            in_line(&row.files[0].path)
        ));
    }
    if read.equal > 0 {
        progress.say(&format!(
            "{} the same bytes as another, and such files are one picture; the table `equal_files` lists them",
            files(read.equal, "file has", "files have")
        ));
    }
    if read.two_labels > 0 {
        progress.say(&format!(
            "warning: {} another label than the first; the view `duplicates` shows the pairs",
            files(read.two_labels, "of these has", "of these have")
        ));
    }
    if read.in_two_splits > 0 {
        progress.say(&format!(
            "warning: {} in another split than the first: such a picture belongs to the later of train, validation \
             and test, and only pictures of train are trained on",
            files(read.in_two_splits, "of these lies", "of these lie")
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
    /// Fails if the store cannot be written.
    pub(super) fn write(self, settings: &IngestSettings, store: &Store) -> Result<Ingested> {
        tables::write(&self.found, self.read, settings, store)?;
        found::forget(settings, store)?;
        Ok(self.found)
    }
}

impl std::fmt::Display for Ingested {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}, {} rejected", counted(self.images, "image"), self.rejected)
    }
}
