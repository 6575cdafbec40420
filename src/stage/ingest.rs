//! Ingest: a source of pictures becomes the tables `images`, `rejected`, `labels` and `classes`.
//!
//! Every picture is decoded once here, so that later stages meet none that cannot be. The four tables of a dataset are
//! a snapshot: each is one part, replaced as a whole, and `images` comes last, so that its footer says which snapshot is
//! there. A source that has not changed since is not read again.

use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Seek, Write};
use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::{ArrayRef, BinaryArray, Int32Array, Int64Array, RecordBatch};
use futures::StreamExt;
use tokio::task::spawn_blocking;

use crate::error::{Context, Error, Kind, Result};
use crate::image::{Header, ImageId, Limits, Reason, Rejection, decode, probe};
use crate::source::{Item, Origin, Source, Split};
use crate::stage::progress::Progress;
use crate::stage::stop::Stop;
use crate::store::layout::Store;
use crate::store::reader;
use crate::table::{self, Dims, arrays};

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

/// The name of the one part of each table.
const PART: &str = "snapshot";
/// Rows that are turned into Arrow at once.
const ROWS: usize = 256;

/// A picture that decoded. Bytes without a file of their own wait in a spool on disk until the part is written.
struct Row {
    id: ImageId,
    paths: Vec<String>,
    split: Split,
    header: Header,
    byte_len: u64,
    /// Of a file of its own.
    modified: Option<i64>,
    /// Whether its bytes are in the spool: it has no file of its own.
    spooled: bool,
    class: Option<i32>,
}

/// The tables of a dataset, in the order in which they are written.
const TABLES: [&str; 4] = ["classes", "rejected", "labels", "images"];

/// Reads what the store knows of the dataset, where that is still what the source holds. A snapshot of which a table is missing,
/// or of another time (writing it was cut short, or a part was damaged), is not known.
///
/// # Errors
/// Where the source or the store cannot be read.
pub fn known(source: &dyn Source, settings: &IngestSettings, store: &Store) -> Result<Option<Ingested>> {
    let snapshot = identity(source, settings)?;
    for table in TABLES {
        let parts = store.partition(table, &settings.dataset)?.parts()?;
        let [part] = parts.as_slice() else { return Ok(None) };
        if reader::footer(part)?.pairs.get("snapshot") != Some(&snapshot) {
            return Ok(None);
        }
    }
    let rows = |table: &str| reader::count_rows(&store.partition(table, &settings.dataset)?);
    let (images, rejected) = (rows("images")?, rows("rejected")?);
    let classes = class_names(store, &settings.dataset)?;
    Ok(Some(Ingested { images, rejected, classes, snapshot, unchanged: true }))
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
pub async fn ingest(
    source: Box<dyn Source>,
    settings: &IngestSettings,
    store: &Store,
    stop: &Stop,
    progress: &dyn Progress,
) -> Result<Ingested> {
    if let Some(known) = known(source.as_ref(), settings, store)? {
        progress.begin("ingest", "image", 0, known.images);
        progress.end(&format!("unchanged: {} images, {} rejected", known.images, known.rejected));
        return Ok(known);
    }
    let snapshot = identity(source.as_ref(), settings)?;
    let classes = agreed_classes(source.as_ref(), settings)?;
    progress.begin("ingest", "image", 0, 0);
    let (rows, rejected, mut spool) = read(source, settings, &classes, stop, progress, store).await?;
    if rows.is_empty() {
        let first =
            rejected.first().map(|(path, r)| format!("; the first of {}: {path}: {}", rejected.len(), r.detail));
        let what = format!("no picture of the dataset can be read{}", first.unwrap_or_default());
        return Err(Error::new(Kind::Input, what).hint("JPEG, PNG and WebP are read; check dataset.path"));
    }
    let found =
        Ingested { images: rows.len() as u64, rejected: rejected.len() as u64, classes, snapshot, unchanged: false };
    write(&found, &rows, &rejected, &mut spool, settings, store)?;
    progress.end(&format!("{} images, {} rejected", found.images, found.rejected));
    Ok(found)
}

/// What the snapshot depends on: the source's files, the limits, and the named classes.
fn identity(source: &dyn Source, settings: &IngestSettings) -> Result<String> {
    let Limits { max_side, max_pixels, max_bytes } = settings.limits;
    let text = format!("{} {max_side} {max_pixels} {max_bytes} {:?}", source.fingerprint()?, settings.classes);
    Ok(blake3::hash(text.as_bytes()).to_hex().to_string())
}

fn agreed_classes(source: &dyn Source, settings: &IngestSettings) -> Result<Vec<String>> {
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

type Rejected = Vec<(String, Rejection)>;

/// Decodes every picture on all cores, in the order of the source.
async fn read(
    source: Box<dyn Source>,
    settings: &IngestSettings,
    classes: &[String],
    stop: &Stop,
    progress: &dyn Progress,
    store: &Store,
) -> Result<(Vec<Row>, Rejected, File)> {
    let ids: HashMap<&str, i32> = classes.iter().zip(0..).map(|(name, id)| (name.as_str(), id)).collect();
    let limits = settings.limits;
    let depth = 2 * std::thread::available_parallelism().map_or(1, usize::from);
    let mut checked = futures::stream::iter(source.items())
        .map(|item| async move {
            let item = item?;
            let checked = spawn_blocking(move || check(item, &limits)).await;
            checked.map_err(|e| Error::new(Kind::Input, "decoding was cut short").cause(e))
        })
        .buffered(depth);

    let mut spool = tempfile::tempfile_in(store.root()).at(Kind::Store, "cannot write to", store.root())?;
    let (mut rows, mut rejected, mut places) = (Vec::<Row>::new(), Vec::new(), HashMap::new());
    while let Some(next) = checked.next().await {
        stop.check()?;
        let (item, outcome) = next?;
        progress.advance(1);
        let Checked { id, header, bytes, byte_len, modified } = match outcome {
            Ok(checked) => checked,
            Err(rejection) => {
                rejected.push((item.path, rejection));
                continue;
            }
        };
        if let Some(&at) = places.get(&id) {
            let row: &mut Row = &mut rows[at];
            row.paths.push(item.path);
            continue;
        }
        places.insert(id, rows.len());
        if let Some(bytes) = &bytes {
            spool.write_all(bytes).at(Kind::Store, "cannot write to", store.root())?;
        }
        let class = item.label.as_deref().and_then(|label| ids.get(label).copied());
        let split = item.split.unwrap_or(Split::Train);
        rows.push(Row {
            id,
            paths: vec![item.path],
            split,
            header,
            byte_len,
            modified,
            spooled: bytes.is_some(),
            class,
        });
    }
    Ok((rows, rejected, spool))
}

struct Checked {
    id: ImageId,
    header: Header,
    /// Only of a picture that has no file of its own.
    bytes: Option<Vec<u8>>,
    byte_len: u64,
    modified: Option<i64>,
}

fn check(mut item: Item, limits: &Limits) -> (Item, Result<Checked, Rejection>) {
    let outcome = match &mut item.origin {
        Origin::Unreadable { detail } => Err(Rejection::new(Reason::Unreadable, detail.clone())),
        Origin::Embedded { bytes } => {
            let bytes = std::mem::take(bytes);
            examine(&bytes, limits).map(|(id, header)| {
                let byte_len = bytes.len() as u64;
                Checked { id, header, bytes: Some(bytes), byte_len, modified: None }
            })
        }
        Origin::File { path, byte_len, modified_ns } => read_file(path, *byte_len, limits)
            .and_then(|bytes| examine(&bytes, limits))
            .map(|(id, header)| Checked { id, header, bytes: None, byte_len: *byte_len, modified: Some(*modified_ns) }),
    };
    (item, outcome)
}

/// The encoded picture, where it is within the limits.
pub(super) fn read_file(path: &PathBuf, byte_len: u64, limits: &Limits) -> Result<Vec<u8>, Rejection> {
    // A file that is too large is not even read.
    if byte_len > limits.max_bytes {
        let detail = format!("{byte_len} bytes, more than dataset.limits.max_bytes = {}", limits.max_bytes);
        return Err(Rejection::new(Reason::TooLargeBytes, detail));
    }
    let mut bytes = Vec::new();
    // It may have grown since it was listed.
    File::open(path)
        .and_then(|file| file.take(limits.max_bytes + 1).read_to_end(&mut bytes))
        .map_err(|e| Rejection::new(Reason::Unreadable, e.to_string()))?;
    Ok(bytes)
}

fn examine(bytes: &[u8], limits: &Limits) -> Result<(ImageId, Header), Rejection> {
    let header = probe(bytes, limits)?;
    decode(bytes, limits)?;
    Ok((ImageId::of(bytes), header))
}

fn write(
    found: &Ingested,
    rows: &[Row],
    rejected: &[(String, Rejection)],
    spool: &mut File,
    settings: &IngestSettings,
    store: &Store,
) -> Result<()> {
    let footer = [("snapshot".to_owned(), found.snapshot.clone())];
    let dims = Dims::new();
    let replace = |name: &str, columns: Vec<ArrayRef>| -> Result<()> {
        let schema = table::table(name)?.arrow(&dims)?;
        let batch = RecordBatch::try_new(schema.clone(), columns);
        let batch = batch.context(Kind::Store, || format!("cannot make table {name}"))?;
        store.partition(name, &settings.dataset)?.replace(PART, &schema, &[batch], &footer).map(drop)
    };
    let class_ids = 0..i32::try_from(found.classes.len()).unwrap_or(i32::MAX);
    replace("classes", vec![Arc::new(Int32Array::from_iter_values(class_ids)), arrays::text(&found.classes)])?;
    replace(
        "rejected",
        vec![
            arrays::text(rejected.iter().map(|(path, _)| path)),
            arrays::repeated("ingest", rejected.len()),
            arrays::text(rejected.iter().map(|(_, r)| r.reason.as_str())),
            arrays::text(rejected.iter().map(|(_, r)| &r.detail)),
            arrow::array::new_null_array(&arrow::datatypes::DataType::Utf8, rejected.len()),
        ],
    )?;
    let labelled = || rows.iter().filter_map(|row| Some((row.id.to_string(), row.class?)));
    replace(
        "labels",
        vec![
            arrays::text(labelled().map(|(id, _)| id)),
            Arc::new(Int32Array::from_iter_values(labelled().map(|(_, class)| class))),
        ],
    )?;

    let schema = table::table("images")?.arrow(&dims)?;
    let images = store.partition("images", &settings.dataset)?;
    let mut writer = images.writer(PART, &schema, &footer)?;
    spool.rewind().at(Kind::Store, "cannot read", store.root())?;
    for rows in rows.chunks(ROWS) {
        let bytes = rows.iter().map(|row| unspool(row, spool)).collect::<Result<Vec<_>>>()?;
        let columns: Vec<ArrayRef> = vec![
            arrays::text(rows.iter().map(|row| row.id.to_string())),
            arrays::text(rows.iter().map(|row| &row.paths[0])),
            arrays::text_lists(rows.iter().map(|row| row.paths.iter())),
            arrays::text(rows.iter().map(|row| row.split.as_str())),
            Arc::new(BinaryArray::from_iter(bytes)),
            arrays::int64(rows.iter().map(|row| row.byte_len as i64).collect()),
            Arc::new(Int64Array::from_iter(rows.iter().map(|row| row.modified))),
            arrays::text(rows.iter().map(|row| row.header.format.as_str())),
            Arc::new(Int32Array::from_iter_values(rows.iter().map(|row| row.header.width as i32))),
            Arc::new(Int32Array::from_iter_values(rows.iter().map(|row| row.header.height as i32))),
        ];
        let batch = RecordBatch::try_new(schema.clone(), columns);
        writer.write(&batch.context(Kind::Store, || "cannot make table images".to_owned())?)?;
    }
    let info = writer.finish()?;
    images.retain(|path| path == info.path)
}

/// The bytes of a row, read on from where the last row's ended.
fn unspool(row: &Row, spool: &mut File) -> Result<Option<Vec<u8>>> {
    if !row.spooled {
        return Ok(None);
    }
    let mut bytes = vec![0; row.byte_len as usize];
    spool.read_exact(&mut bytes).context(Kind::Store, || "cannot read a picture back".to_owned())?;
    Ok(Some(bytes))
}
