//! Writes parts: a part exists if and only if it is whole.
//!
//! A part is written under a temporary name in its own folder ([`temporary`](super::temporary));
//! its footer is written and sealed ([`seal`](super::seal)), the file is synced and renamed, and
//! the folder is synced.

use std::fs::{self, File};
use std::io::{BufWriter, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use parquet::arrow::ArrowWriter;
use parquet::file::metadata::KeyValue;

use crate::error::{Context, Error, Kind, Result};
use crate::store::encoding;
use crate::store::layout::Partition;
use crate::store::replica;
use crate::store::seal::{self, Sealing};
use crate::store::space::SCHEMA_VERSION;
use crate::store::temporary::{self, Temporary};

/// A part that was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartInfo {
    /// The part's path.
    pub path: PathBuf,
    /// Rows in the part.
    pub rows: u64,
    /// Bytes of the file.
    pub bytes: u64,
}

/// The name that a part gets.
#[derive(Debug)]
enum Name {
    /// A given name; a part that has it already is replaced.
    Fixed(PathBuf),
    /// The next number that is free when the part is whole.
    Next,
}

/// Writes one part, batch by batch. Dropping it unfinished leaves nothing behind.
#[derive(Debug)]
pub struct PartWriter {
    // Declared first, so that it is dropped before the file is removed.
    writer: ArrowWriter<BufWriter<Sealing<File>>>,
    file: File,
    temporary: Temporary,
    partition: Partition,
    name: Name,
    schema: SchemaRef,
    rows: u64,
}

impl Partition {
    /// Begins a part that will get the next free name: `part-00000`, `part-00001` and so on.
    /// Several writers may do so at the same time. The part is not visible before
    /// [`PartWriter::finish`].
    ///
    /// `footer` is added to the table's name and the schema's version in the part's metadata.
    ///
    /// # Errors
    /// Returns [`Kind::Store`] if the folder or the file cannot be created.
    pub fn append(&self, schema: &SchemaRef, footer: &[(String, String)]) -> Result<PartWriter> {
        PartWriter::begin(self, Name::Next, schema, footer)
    }

    /// Begins the part with that name; a whole part that has the name is replaced atomically at the
    /// end.
    ///
    /// # Errors
    /// Fails like [`append`](Self::append), or if the name is not allowed.
    pub fn writer(&self, part: &str, schema: &SchemaRef, footer: &[(String, String)]) -> Result<PartWriter> {
        PartWriter::begin(self, Name::Fixed(self.part(part)?), schema, footer)
    }

    /// Writes a whole part with that name from batches in memory.
    ///
    /// # Errors
    /// Fails like [`writer`](Self::writer), or if a batch does not fit the schema.
    pub fn write_part(
        &self,
        part: &str,
        schema: &SchemaRef,
        batches: &[RecordBatch],
        footer: &[(String, String)],
    ) -> Result<PartInfo> {
        let mut writer = self.writer(part, schema, footer)?;
        batches.iter().try_for_each(|batch| writer.write(batch))?;
        writer.finish()
    }

    /// Writes a whole part with that name, then removes all others, so that the partition has only
    /// these rows. If the name is the same each time, a reader sees either all old or all new rows.
    ///
    /// # Errors
    /// Fails like [`write_part`](Self::write_part), or if another part cannot be removed.
    pub fn replace(
        &self,
        part: &str,
        schema: &SchemaRef,
        batches: &[RecordBatch],
        footer: &[(String, String)],
    ) -> Result<PartInfo> {
        let info = self.write_part(part, schema, batches, footer)?;
        self.retain(|path| path == info.path)?;
        Ok(info)
    }
}

impl PartWriter {
    fn begin(partition: &Partition, name: Name, schema: &SchemaRef, footer: &[(String, String)]) -> Result<PartWriter> {
        let dir = partition.dir();
        temporary::make_folder(dir)?;
        temporary::sweep(dir);
        let (file, temporary) = Temporary::create(dir)?;
        let pairs = [("table", partition.table()), ("schema_version", SCHEMA_VERSION)];
        let blank = seal::blank();
        let footer = pairs
            .into_iter()
            .chain(footer.iter().map(|(k, v)| (k.as_str(), v.as_str())))
            // The seal comes last, since it is searched for from the end.
            .chain([(seal::KEY, blank.as_str())])
            .map(|(k, v)| KeyValue::new(k.to_owned(), v.to_owned()))
            .collect();
        let properties = encoding::properties(schema, footer)?;
        let out = Sealing::new(file.try_clone().at(Kind::Store, "cannot write", temporary.path())?);
        let writer = ArrowWriter::try_new(BufWriter::with_capacity(1 << 20, out), schema.clone(), Some(properties))
            .at(Kind::Store, "cannot write", temporary.path())?;
        Ok(PartWriter { writer, file, temporary, partition: partition.clone(), name, schema: schema.clone(), rows: 0 })
    }

    /// Adds rows.
    ///
    /// # Errors
    /// Returns [`Kind::Store`] if the batch does not have the part's schema, or the disk is full.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        let folder = self.partition.dir();
        let _span = tracing::debug_span!("write", rows = batch.num_rows()).entered();
        if let Some((want, have)) = mismatch(&self.schema, batch) {
            let what = format!("rows for {} do not fit: {have} where the table has {want}", folder.display());
            return Err(Error::new(Kind::Store, what));
        }
        self.writer.write(batch).at(Kind::Store, "cannot write to", folder)?;
        self.rows += batch.num_rows() as u64;
        Ok(())
    }

    /// Returns the number of rows written so far.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Returns the bytes of the file so far, including what is still in memory.
    pub fn bytes(&self) -> u64 {
        (self.writer.bytes_written() + self.writer.in_progress_size()) as u64
    }

    /// Completes the part and gives it its name.
    ///
    /// # Errors
    /// Returns [`Kind::Store`] if the disk is full or fails. Then there is no new part, unless only
    /// the last sync failed.
    pub fn finish(self) -> Result<PartInfo> {
        self.complete()?.name()
    }

    /// Completes the part, but gives it no name yet.
    ///
    /// # Errors
    /// Returns [`Kind::Store`] if the disk is full or fails.
    pub(super) fn complete(self) -> Result<Whole> {
        let PartWriter { writer, file, temporary, partition, name, rows, .. } = self;
        let folder = partition.dir().display().to_string();
        let _span = tracing::info_span!("part", folder, rows).entered();
        let from = temporary.path();
        let out = writer.into_inner().at(Kind::Store, "cannot write", from)?.into_inner();
        let out = out.map_err(std::io::IntoInnerError::into_error).at(Kind::Store, "cannot write", from)?;
        seal::close(&file, from, &out.digest())?;
        file.sync_all().at(Kind::Store, "cannot write", from)?;
        let bytes = file.metadata().at(Kind::Store, "cannot read", from)?.len();
        Ok(Whole { _file: file, temporary, partition, name, rows, bytes, taken: 0 })
    }
}

/// A part that is whole and has no name yet, so that it does not exist. Gone if it is dropped.
#[derive(Debug)]
pub(super) struct Whole {
    /// Keeps the temporary file from being swept.
    _file: File,
    temporary: Temporary,
    partition: Partition,
    name: Name,
    rows: u64,
    bytes: u64,
    /// How often a name was taken that was to be its own.
    taken: u32,
}

impl Whole {
    /// Returns the temporary path.
    pub(super) fn path(&self) -> &Path {
        self.temporary.path()
    }

    /// Gives the part its name.
    ///
    /// # Errors
    /// Returns [`Kind::Store`] if the disk is full or fails.
    pub(super) fn name(self) -> Result<PartInfo> {
        let mut part = self;
        loop {
            let next = match part.name {
                Name::Fixed(_) => 0,
                Name::Next => {
                    let (parts, aside) = (part.partition.files()?, part.partition.aside()?);
                    next_number(parts.iter().chain(&aside))
                }
            };
            match part.name_after(next)? {
                Named::Done(info) => return Ok(info),
                Named::Taken(again) => part = *again,
            }
        }
    }

    /// Returns the part for another try.
    fn again(mut self) -> Result<Box<Whole>> {
        replica::pause(self.taken);
        self.taken += 1;
        if self.taken > TAKEN {
            let what = format!("{}: {TAKEN} names in a row were free and then taken", self.partition.dir().display());
            return Err(Error::new(Kind::Store, what).hint("does the service list what is there? Run again if it does"));
        }
        Ok(Box::new(self))
    }

    /// Gives the part its name: if it is a number, `next`. In a folder, the process that has the
    /// store's turn gets it, or the first free one after it. On a store of objects, one that
    /// another machine has taken meanwhile is [`Named::Taken`].
    ///
    /// # Errors
    /// Returns [`Kind::Store`] if the disk is full or fails, [`Kind::Network`] if the service that
    /// has the store does not take it.
    pub(super) fn name_after(self, next: u64) -> Result<Named> {
        // On objects, no folder must reach the disk before, and no upload waits for another.
        let _turn = self.partition.replica().is_none().then(temporary::in_turn);
        let Whole { temporary, partition, rows, bytes, .. } = &self;
        let path = match &self.name {
            Name::Fixed(path) => path.clone(),
            Name::Next => match partition.replica() {
                None => take_name(partition, temporary.path(), next)?,
                Some(replica) => {
                    let path = numbered(partition, next)?;
                    if !replica.append(temporary.path(), &path)? {
                        return self.again().map(Named::Taken);
                    }
                    path
                }
            },
        };
        let (partition, info) = (partition.clone(), PartInfo { path: path.clone(), rows: *rows, bytes: *bytes });
        match self.name {
            Name::Fixed(_) => self.temporary.rename(&path)?,
            Name::Next => {
                drop(self.temporary);
                temporary::sync_folder_of(&path)?;
            }
        }
        partition.written(&path);
        COMMITTED.fetch_add(1, Ordering::Relaxed);
        Ok(Named::Done(info))
    }
}

/// How many parts this process has given a name.
static COMMITTED: AtomicU64 = AtomicU64::new(0);

/// Returns how many parts this process has committed, to any store.
pub fn committed() -> u64 {
    COMMITTED.load(Ordering::Relaxed)
}

/// How often a part may find the name taken that is free by the list of parts.
const TAKEN: u32 = 1_000;

/// What came of giving a part its name.
#[derive(Debug)]
pub(super) enum Named {
    /// It has it.
    Done(PartInfo),
    /// Another part has it.
    Taken(Box<Whole>),
}

/// Returns the number after those of some parts.
pub(super) fn next_number<'a>(parts: impl IntoIterator<Item = &'a PathBuf>) -> u64 {
    // One that was set aside may have another number after its name.
    let number = |path: &PathBuf| {
        let name = path.file_name()?.to_str()?.strip_prefix("part-")?;
        name.split('.').next()?.parse::<u64>().ok()
    };
    parts.into_iter().filter_map(number).max().map_or(0, |n| n + 1)
}

fn numbered(partition: &Partition, n: u64) -> Result<PathBuf> {
    partition.part(&format!("part-{n:05}"))
}

/// Links the file to the first free name from a number on: unlike a rename, a link fails if another
/// writer was faster.
fn take_name(partition: &Partition, from: &Path, next: u64) -> Result<PathBuf> {
    for n in next.. {
        let path = numbered(partition, n)?;
        match fs::hard_link(from, &path) {
            Ok(()) => return Ok(path),
            Err(e) if e.kind() == ErrorKind::AlreadyExists => {}
            // Some file systems have no hard links; there the file is renamed.
            Err(e) if matches!(e.kind(), ErrorKind::Unsupported | ErrorKind::PermissionDenied) && !path.exists() => {
                fs::rename(from, &path).at(Kind::Store, "cannot name", &path)?;
                return Ok(path);
            }
            Err(e) => return Err(e).at(Kind::Store, "cannot name", &path),
        }
    }
    Err(Error::new(Kind::Store, format!("no free name in {}", partition.dir().display())))
}

/// Returns the first column that differs, as the schema requires it and as the batch has it.
fn mismatch(schema: &SchemaRef, batch: &RecordBatch) -> Option<(String, String)> {
    let describe = |f: &arrow::datatypes::Field| format!("`{}` {}", f.name(), f.data_type());
    let (want, have) = (schema.fields(), batch.schema_ref().fields());
    if want.len() != have.len() {
        return Some((format!("{} columns", want.len()), format!("{} columns", have.len())));
    }
    for (i, (w, h)) in want.iter().zip(have).enumerate() {
        if w.name() != h.name() || w.data_type() != h.data_type() {
            return Some((describe(w), describe(h)));
        }
        if !w.is_nullable() && batch.column(i).null_count() > 0 {
            return Some((format!("a value in every row of `{}`", w.name()), "null".to_owned()));
        }
    }
    None
}
