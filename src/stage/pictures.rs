//! The pictures of a dataset as later stages see them: rows of `images`, and access to their
//! pixels.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::Int64Type;

use crate::error::{Context, Error, Kind, Result};
use crate::image::{Decoding, Format, ImageId, Rgb};
use crate::source::item::modified_ns;
use crate::source::{At, Container, Larger, Split};
use crate::stage::feed::Size;
use crate::stage::ingest;
use crate::store::layout::Partition;
use crate::store::pictures::PictureReader;
use crate::store::reader;
use crate::store::span::Span;
use crate::table::arrays;
use crate::text::file as text_file;

/// One row of `images`.
#[derive(Debug, Clone)]
pub struct Picture {
    /// Identity of the picture's bytes.
    pub id: ImageId,
    /// The id as text, as in every table.
    pub image_id: String,
    /// Path, as shown to users.
    pub path: String,
    /// The part of the dataset that the picture belongs to.
    pub split: Split,
    /// Bytes of the encoded picture.
    pub byte_len: u64,
    /// Bytes that decoding the picture takes.
    pub decoding_bytes: usize,
    place: Place,
}

/// Where a picture's bytes are.
#[derive(Debug, Clone, Copy)]
enum Place {
    /// In a file of their own, last modified at this time (nanoseconds since 1970 UTC).
    File { modified_ns: i64 },
    /// In this row of the part of `images`.
    Row(usize),
    /// At this place in a larger file, which is one of [`Pictures::files`].
    Within { file: usize, at: At },
}

/// A larger file, which is opened once a picture in it is asked for.
#[derive(Debug)]
struct Asked {
    container: Arc<Container>,
    opened: OnceLock<Larger>,
}

impl Asked {
    fn read(&self, at: At, byte_len: u64) -> Result<Vec<u8>> {
        let opened = match self.opened.get() {
            Some(opened) => opened,
            None => {
                let opened = Larger::open(&self.container)?;
                self.opened.get_or_init(|| opened)
            }
        };
        opened.read(at, byte_len)
    }
}

/// The key in the footer of `images` that names the column of the pictures in larger files.
pub(super) const COLUMN: &str = "pictures_in";

/// The key in the footer of `images` that says that pictures are bytes of larger files, which have
/// no columns.
pub(super) const BYTES: &str = "pictures_at_bytes";

impl Picture {
    /// Returns what the picture takes while it is read and decoded.
    pub(super) fn size(&self) -> Size {
        Size { encoded: self.byte_len, decoded: self.decoding_bytes }
    }
}

/// All pictures of a dataset, sorted by id, so that results are the same for the same pictures,
/// under any names and from any kind of source.
#[derive(Debug)]
pub struct Pictures {
    rows: Vec<Picture>,
    reader: Option<Arc<PictureReader>>,
    files: Arc<Vec<Asked>>,
    decoding: Decoding,
    images: Partition,
    /// From which id to which the rows are, if they are not all of the dataset's.
    span: Option<Span>,
    /// Whether `images` was found to be outdated and set aside.
    outdated: Arc<AtomicBool>,
}

impl Pictures {
    /// Reads the rows of an `images` partition.
    ///
    /// # Errors
    /// Returns [`Kind::Store`] if a part cannot be read.
    pub fn open(images: &Partition, decoding: Decoding) -> Result<Arc<Self>> {
        Self::read(images, decoding, |_| true).map(Arc::new)
    }

    /// Like [`open`](Self::open), but reads only the rows of `wanted` pictures.
    ///
    /// # Errors
    /// Fails like [`open`](Self::open).
    pub fn open_some(images: &Partition, decoding: Decoding, wanted: impl Fn(&ImageId) -> bool) -> Result<Arc<Self>> {
        let pictures = Self::read(images, decoding, wanted)?;
        Ok(Arc::new(Pictures { span: span_of(&pictures.rows), ..pictures }))
    }

    fn read(images: &Partition, decoding: Decoding, wanted: impl Fn(&ImageId) -> bool) -> Result<Self> {
        let (mut rows, mut row) = (Vec::new(), 0..);
        let mut files = Files::of(images)?;
        for batch in reader::batches(images, Some(&files.columns), 8192)? {
            let batch = batch?;
            let (ids, paths) = (arrays::strings(&batch, "image_id")?, arrays::strings(&batch, "path")?);
            let formats = arrays::strings(&batch, "format")?;
            let (splits, byte_lens) = (arrays::strings(&batch, "split")?, arrays::int64s(&batch, "byte_len")?);
            let (widths, heights) = (arrays::int32s(&batch, "width")?, arrays::int32s(&batch, "height")?);
            let larger = files.places(&batch)?;
            // A picture that was copied has no modification time.
            let modified = batch.column_by_name("modified").and_then(|column| column.as_primitive_opt::<Int64Type>());
            for ((n, image_id), row) in ids.iter().enumerate().zip(row.by_ref()) {
                let id = ImageId::parse(image_id).ok_or_else(|| {
                    Error::new(Kind::Store, format!("'{image_id}' in {} is no image id", images.dir().display()))
                })?;
                if !wanted(&id) {
                    continue;
                }
                // A picture in a format that this version does not know will fail to decode, so any
                // format does here.
                let format = Format::parse(formats[n]).unwrap_or(Format::Png);
                let place = match (modified.filter(|modified| modified.is_valid(n)), larger[n]) {
                    (Some(modified), Some((path, at))) => files.place(path, modified.value(n), at),
                    (Some(modified), None) => Place::File { modified_ns: modified.value(n) },
                    (None, _) => Place::Row(row),
                };
                rows.push(Picture {
                    id,
                    image_id: (*image_id).to_string(),
                    path: paths[n].to_string(),
                    split: Split::parse(splits[n]).unwrap_or(Split::Train),
                    byte_len: byte_lens[n].max(0).cast_unsigned(),
                    decoding_bytes: format.decoding_bytes(widths[n].max(0) as u32, heights[n].max(0) as u32),
                    place,
                });
            }
        }
        let embedded = rows.iter().any(|picture| matches!(picture.place, Place::Row(_)));
        let reader = match (embedded, images.parts()?.as_slice()) {
            (true, [part]) => Some(Arc::new(PictureReader::open(part)?)),
            (true, parts) => {
                let what = format!("{} parts in {}, not one", parts.len(), images.dir().display());
                return Err(Error::new(Kind::Store, what));
            }
            (false, _) => None,
        };
        rows.sort_by_key(|picture| picture.id);
        let (files, images) = (Arc::new(files.files), images.clone());
        Ok(Pictures { rows, reader, files, decoding, images, span: None, outdated: Arc::default() })
    }

    /// Returns the pictures from the first of two ids to the last, both included. They share the
    /// files of all, which are opened once.
    pub fn between(&self, first: &ImageId, last: &ImageId) -> Arc<Self> {
        let from = self.rows.partition_point(|picture| picture.id < *first);
        let to = self.rows.partition_point(|picture| picture.id <= *last);
        let rows = &self.rows[from..to.max(from)];
        Arc::new(Pictures {
            rows: rows.to_vec(),
            span: span_of(rows),
            reader: self.reader.clone(),
            files: self.files.clone(),
            decoding: self.decoding,
            images: self.images.clone(),
            outdated: self.outdated.clone(),
        })
    }

    /// Returns the rows, sorted by id.
    pub fn rows(&self) -> &[Picture] {
        &self.rows
    }

    /// Returns the files that the pictures are read from: their own, or the larger ones that they
    /// are in. Pictures that the store has copied have none.
    pub fn paths(&self) -> Vec<PathBuf> {
        let of = |picture: &Picture| match picture.place {
            Place::File { .. } => Some(PathBuf::from(&picture.path)),
            Place::Within { file, .. } => Some(self.files[file].container.path.clone()),
            Place::Row(_) => None,
        };
        self.rows.iter().filter_map(of).collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// Returns from which id to which the rows are, if they are not all of the dataset's.
    pub fn span(&self) -> Option<&Span> {
        self.span.as_ref()
    }

    /// Returns the places of the pictures of a split, in order.
    pub fn places(&self, split: Split) -> Vec<i64> {
        (0..).zip(&self.rows).filter(|(_, picture)| picture.split == split).map(|(place, _)| place).collect()
    }

    /// Returns the places of the training pictures.
    ///
    /// # Errors
    /// Returns [`Kind::Input`] if there are none.
    pub fn training(&self) -> Result<Vec<i64>> {
        Some(self.places(Split::Train)).filter(|places| !places.is_empty()).ok_or_else(ingest::without_training)
    }

    /// Decodes picture `index`, after checking that its bytes are those that were ingested, because
    /// results are kept under their id.
    ///
    /// # Errors
    /// Returns [`Kind::Input`] if the file vanished, changed since it was ingested or no longer
    /// decodes, and [`Kind::Store`] if its bytes in `images` are damaged.
    pub fn load(&self, index: usize) -> Result<Rgb> {
        let picture = &self.rows[index];
        let bytes = match (picture.place, &self.reader) {
            (Place::Row(row), Some(reader)) => reader.read(row)?.unwrap_or_default(),
            (Place::Within { file, at }, _) => self.files[file].read(at, picture.byte_len)?,
            _ => {
                let path = Path::new(&picture.path);
                let longest = picture.byte_len.min(self.decoding.limits.max_bytes);
                text_file::bytes(path, longest).at(Kind::Input, "cannot read", path).map_err(|e| e.hint(AGAIN))?
            }
        };
        if ImageId::of(&bytes) != picture.id {
            return Err(self.changed(picture));
        }
        let undecodable =
            |detail| Error::new(Kind::Input, format!("{} can no longer be decoded: {detail}", picture.path));
        self.decoding.picture(&bytes).map_err(|rejection| undecodable(rejection.detail))
    }

    /// Returns the error for a picture that is not the one that was ingested. If the next run could
    /// not see that by itself and would fail the same way, sets the rows of `images` aside, so that
    /// it reads the dataset again.
    fn changed(&self, picture: &Picture) -> Error {
        let Picture { path, place, byte_len, .. } = picture;
        let (error, why) = match *place {
            Place::File { modified_ns } => {
                let what = format!("{path} has changed since it was ingested");
                let why = looks_the_same(Path::new(path), *byte_len, modified_ns)
                    .then(|| format!("does not show that {path} has changed"));
                (Error::new(Kind::Input, what).hint(AGAIN), why)
            }
            Place::Within { file, at } => {
                let container = &self.files[file].container;
                let what = match at {
                    At::Row(row) => {
                        format!("row {row} of {} has changed since it was ingested", container.path.display())
                    }
                    At::Byte(_) => format!("{path} has changed since it was ingested"),
                };
                // The file was opened as one that has not changed.
                let why = format!("does not show that {} has changed", container.path.display());
                (Error::new(Kind::Input, what).hint(container.again()), Some(why))
            }
            Place::Row(_) => {
                let what = format!("{} has other bytes of {path} than were ingested", self.images.dir().display());
                let why = format!("has other bytes of {path} than were ingested");
                (Error::new(Kind::Store, what).hint("run again: the dataset is read anew"), Some(why))
            }
        };
        match why {
            // Several pictures are decoded at the same time; only the first one sets `images`
            // aside.
            Some(why) if !self.outdated.swap(true, Ordering::Relaxed) => {
                self.images.set_aside(&why).err().unwrap_or(error)
            }
            _ => error,
        }
    }
}

/// Returns the first and the last id of rows that are sorted by it.
fn span_of(rows: &[Picture]) -> Option<Span> {
    Some((rows.first()?.image_id.clone(), rows.last()?.image_id.clone()))
}

/// The larger files of a dataset, while its rows are read.
struct Files {
    files: Vec<Asked>,
    /// The place of each file, by its path and when it was last changed.
    places: HashMap<(String, i64), usize>,
    /// The column of the pictures in them, if they have columns.
    column: Option<String>,
    /// The columns of `images` that are read.
    columns: Vec<&'static str>,
}

impl Files {
    fn of(images: &Partition) -> Result<Self> {
        let first = images.listed()?.first().map(|part| reader::footer(part)).transpose()?;
        let mut pairs = first.map(|footer| footer.pairs).unwrap_or_default();
        let (column, bytes) = (pairs.remove(COLUMN), pairs.remove(BYTES));
        let mut columns = vec!["image_id", "path", "split", "byte_len", "modified", "format", "width", "height"];
        // Without such pictures there is nothing in these columns, and earlier versions of this
        // program, which copied them, had no such columns.
        columns.extend(column.iter().flat_map(|_| ["file", "file_row"]));
        columns.extend(bytes.iter().flat_map(|_| ["file", "file_byte"]));
        Ok(Files { files: Vec::new(), places: HashMap::new(), column, columns })
    }

    /// Returns the larger file that has each row's picture, and its place there, if one has it.
    fn places<'a>(&self, batch: &'a RecordBatch) -> Result<Vec<Option<(&'a str, At)>>> {
        if batch.column_by_name("file").is_none() {
            return Ok(vec![None; batch.num_rows()]);
        }
        let (name, at): (_, fn(u64) -> At) = match self.column {
            Some(_) => ("file_row", At::Row),
            None => ("file_byte", At::Byte),
        };
        let numbers = batch.column_by_name(name).and_then(|column| column.as_primitive_opt::<Int64Type>());
        let files = arrays::optional_strings(batch, "file")?.into_iter().enumerate();
        let number = |n: usize| numbers.filter(|numbers| numbers.is_valid(n)).map(|numbers| numbers.value(n));
        Ok(files.map(|(n, file)| Some((file?, at(number(n)?.max(0).cast_unsigned())))).collect())
    }

    fn place(&mut self, path: &str, modified_ns: i64, at: At) -> Place {
        let Files { files, places, column, .. } = self;
        let file = *places.entry((path.to_owned(), modified_ns)).or_insert_with(|| {
            let container = Container { path: path.into(), modified_ns, column: column.clone() };
            files.push(Asked { container: Arc::new(container), opened: OnceLock::new() });
            files.len() - 1
        });
        Place::Within { file, at }
    }
}

/// Hint for a file that is not what was ingested.
const AGAIN: &str = "run again to ingest what is there now, or put back the picture that was there";

/// Returns whether a file has the length and modification time that a source is identified by
/// ([`crate::source::Source::fingerprint`]).
fn looks_the_same(path: &Path, byte_len: u64, modified: i64) -> bool {
    path.metadata().is_ok_and(|metadata| metadata.len() == byte_len && modified_ns(&metadata) == modified)
}

/// Returns the pictures that have rows in a partition.
///
/// # Errors
/// Returns [`Kind::Store`] if a part cannot be read.
pub(super) fn present(partition: &Partition) -> Result<HashSet<ImageId>> {
    present_in(partition, None)
}

/// Like [`present`], but those of a span of ids, and perhaps others.
///
/// # Errors
/// Fails like [`present`].
pub(super) fn present_in(partition: &Partition, span: Option<&Span>) -> Result<HashSet<ImageId>> {
    let mut ids = HashSet::new();
    reader::each_image_id_in(partition, span, |id| ids.extend(ImageId::parse(id)))?;
    Ok(ids)
}
