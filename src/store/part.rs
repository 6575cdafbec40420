//! Writing parts: a part exists if and only if it is whole.
//!
//! A part is written under a temporary name in its own folder; its footer is written, the file is synced, renamed, and the
//! folder is synced. Whoever finds the final name finds a whole part, also after the power failed. A temporary is held
//! by a file lock as long as its writer lives, so that another process can tell a forgotten one from one in use.

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
use crate::store::space::SCHEMA_VERSION;

/// The extension of a part that is not whole yet.
const TEMPORARY: &str = "tmp";

/// A part that was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartInfo {
    /// Where it is.
    pub path: PathBuf,
    /// Rows in it.
    pub rows: u64,
    /// Bytes of the file.
    pub bytes: u64,
}

/// What name a part gets.
#[derive(Debug)]
enum Name {
    /// This one; a part that has it already is replaced.
    Fixed(PathBuf),
    /// The next number that is free when the part is whole.
    Next(Partition),
}

/// Writes one part, batch by batch. Dropping it unfinished leaves nothing behind.
#[derive(Debug)]
pub struct PartWriter {
    // Declared first, to be dropped before the file is removed.
    writer: ArrowWriter<BufWriter<File>>,
    file: File,
    temporary: Temporary,
    name: Name,
    schema: SchemaRef,
    rows: u64,
}

impl Partition {
    /// Begins a part that will have the next free name: `part-00000`, `part-00001` and so on. Several writers may do so at
    /// the same time. Nothing is seen of it before [`PartWriter::finish`].
    ///
    /// `footer` is added to the table's name and the schema's version in the part's metadata.
    ///
    /// # Errors
    /// Where the folder or the file cannot be made.
    pub fn append(&self, schema: &SchemaRef, footer: &[(String, String)]) -> Result<PartWriter> {
        PartWriter::begin(self, Name::Next(self.clone()), schema, footer)
    }

    /// Begins the part of that name; a whole part that has the name is replaced at the end, all at once.
    ///
    /// # Errors
    /// As [`append`](Self::append), and where the name is not allowed.
    pub fn writer(&self, part: &str, schema: &SchemaRef, footer: &[(String, String)]) -> Result<PartWriter> {
        PartWriter::begin(self, Name::Fixed(self.part(part)?), schema, footer)
    }

    /// Writes a whole part of that name from batches in memory.
    ///
    /// # Errors
    /// As [`writer`](Self::writer), and where a batch does not fit the schema.
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

    /// Writes a whole part of that name, then removes all others: the partition has these rows and no more. With the same
    /// name each time, a reader sees either all old or all new rows.
    ///
    /// # Errors
    /// As [`write_part`](Self::write_part).
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

    /// Removes temporaries that no living process holds. Done whenever a part is begun.
    fn sweep(&self) {
        let Ok(entries) = fs::read_dir(self.dir()) else { return };
        for path in entries.flatten().map(|e| e.path()).filter(|p| p.extension().is_some_and(|e| e == TEMPORARY)) {
            // The lock is had only where the writer is gone. Failing to remove one is no reason to stop.
            if File::open(&path).is_ok_and(|file| file.try_lock().is_ok()) {
                let _ = fs::remove_file(&path);
            }
        }
    }
}

impl PartWriter {
    fn begin(partition: &Partition, name: Name, schema: &SchemaRef, footer: &[(String, String)]) -> Result<PartWriter> {
        let dir = partition.dir();
        fs::create_dir_all(dir).at(Kind::Store, "cannot make", dir)?;
        partition.sweep();
        let (file, temporary) = Temporary::create(dir)?;
        let pairs = [("table", partition.table()), ("schema_version", SCHEMA_VERSION)];
        let footer = pairs
            .into_iter()
            .chain(footer.iter().map(|(k, v)| (k.as_str(), v.as_str())))
            .map(|(k, v)| KeyValue::new(k.to_owned(), v.to_owned()))
            .collect();
        let properties = encoding::properties(schema, footer)?;
        let writer = file.try_clone().at(Kind::Store, "cannot write", &temporary.0).and_then(|f| {
            ArrowWriter::try_new(BufWriter::with_capacity(1 << 20, f), schema.clone(), Some(properties)).at(
                Kind::Store,
                "cannot write",
                &temporary.0,
            )
        })?;
        Ok(PartWriter { writer, file, temporary, name, schema: schema.clone(), rows: 0 })
    }

    /// Adds rows.
    ///
    /// # Errors
    /// Where the batch does not have the part's schema, or the disk is full.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        let folder = self.temporary.0.parent().unwrap_or(Path::new(""));
        if let Some((want, have)) = mismatch(&self.schema, batch) {
            let what = format!("rows for {} do not fit: {have} where the table has {want}", folder.display());
            return Err(Error::new(Kind::Store, what));
        }
        self.writer.write(batch).at(Kind::Store, "cannot write to", folder)?;
        self.rows += batch.num_rows() as u64;
        Ok(())
    }

    /// Rows written so far.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Bytes of the file so far, with what is still in memory.
    pub fn bytes(&self) -> u64 {
        (self.writer.bytes_written() + self.writer.in_progress_size()) as u64
    }

    /// Makes the part whole and gives it its name.
    ///
    /// # Errors
    /// Where the disk is full or failed. Then there is no part.
    pub fn finish(self) -> Result<PartInfo> {
        let PartWriter { writer, file, mut temporary, name, rows, .. } = self;
        let from = temporary.0.clone();
        writer
            .into_inner()
            .at(Kind::Store, "cannot write", &from)?
            .into_inner()
            .map_err(std::io::IntoInnerError::into_error)
            .at(Kind::Store, "cannot write", &from)?;
        file.sync_all().at(Kind::Store, "cannot write", &from)?;
        let bytes = file.metadata().at(Kind::Store, "cannot read", &from)?.len();
        let path = match name {
            Name::Fixed(path) => {
                fs::rename(&from, &path).at(Kind::Store, "cannot name", &path)?;
                temporary.keep();
                path
            }
            Name::Next(partition) => take_next_name(&partition, &from)?,
        };
        drop(temporary);
        sync_folder(&path)?;
        Ok(PartInfo { path, rows, bytes })
    }
}

/// Links the file to the first free name: unlike a rename, a link fails where another writer was faster.
fn take_next_name(partition: &Partition, from: &Path) -> Result<PathBuf> {
    let number = |path: &PathBuf| path.file_stem()?.to_str()?.strip_prefix("part-")?.parse::<u64>().ok();
    let first_free = partition.parts()?.iter().filter_map(number).max().map_or(0, |n| n + 1);
    for n in first_free.. {
        let path = partition.part(&format!("part-{n:05}"))?;
        match fs::hard_link(from, &path) {
            Ok(()) => return Ok(path),
            Err(e) if e.kind() == ErrorKind::AlreadyExists => {}
            // Some file systems have no links; there the rename must do.
            Err(e) if matches!(e.kind(), ErrorKind::Unsupported | ErrorKind::PermissionDenied) && !path.exists() => {
                fs::rename(from, &path).at(Kind::Store, "cannot name", &path)?;
                return Ok(path);
            }
            Err(e) => return Err(e).at(Kind::Store, "cannot name", &path),
        }
    }
    Err(Error::new(Kind::Store, format!("no free name in {}", partition.dir().display())))
}

/// The first column that differs, as the schema wants it and as the batch has it.
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

/// A rename is on disk only once its folder is.
fn sync_folder(path: &Path) -> Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    File::open(folder).and_then(|f| f.sync_all()).at(Kind::Store, "cannot sync", folder)
}

/// A temporary's path; the file is removed when this is dropped, unless it was kept.
#[derive(Debug)]
struct Temporary(PathBuf);

impl Temporary {
    /// Makes a file that no other process has, and locks it.
    fn create(dir: &Path) -> Result<(File, Temporary)> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        loop {
            let name = format!("{}-{}.{TEMPORARY}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
            let path = dir.join(name);
            let file = match File::options().read(true).write(true).create_new(true).open(&path) {
                Err(e) if e.kind() == ErrorKind::AlreadyExists => continue,
                opened => opened.at(Kind::Store, "cannot make", &path)?,
            };
            // Between making and locking, another process may have swept it: then make another.
            match file.try_lock() {
                Ok(()) if path.exists() => return Ok((file, Temporary(path))),
                Ok(()) | Err(fs::TryLockError::WouldBlock) => {}
                // A file system without locks: sweeping does nothing there either.
                Err(fs::TryLockError::Error(_)) => return Ok((file, Temporary(path))),
            }
        }
    }

    /// The file has its final name now.
    fn keep(&mut self) {
        self.0 = PathBuf::new();
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.0.as_os_str().is_empty() {
            let _ = fs::remove_file(&self.0);
        }
    }
}
