//! What an ingest under way has found in files: parts of the table `read_files` are written as it
//! reads, and one that was interrupted goes on from them. A file that has changed since is read
//! again. The parts are removed once the dataset's tables are written.

use std::collections::HashMap;
use std::sync::Arc;

use ::image::metadata::Orientation;
use arrow::array::{Array, ArrayRef, AsArray, Int32Array, Int64Array, RecordBatch};
use arrow::datatypes::{Int32Type, Int64Type, SchemaRef};

use super::read::Good;
use super::{INGEST, IngestSettings};
use crate::error::Result;
use crate::image::{Format, Header, ImageId, Reason, Rejection};
use crate::settings::identity_of;
use crate::source::{Item, Origin};
use crate::stop::Stop;
use crate::store::layout::{Partition, Store};
use crate::store::reader;
use crate::table::{self, Dims, arrays};

/// The table's name.
pub(super) const TABLE: &str = "read_files";

/// The key of the footer that says what the rows depend on besides the files.
const READING: &str = "reading";

/// What is in a file.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum InFile {
    /// A picture that can be decoded.
    Picture {
        id: ImageId,
        header: Header,
        /// Its colour, as `#rrggbb`, if it has only one.
        colour: Option<String>,
    },
    /// Something else.
    Rejected(Rejection),
}

/// A file's path, length and modification time, in 128 bits of blake3.
type Key = [u8; 16];

/// What an interrupted ingest found, by file and by picture.
#[derive(Debug, Default)]
pub(super) struct Found {
    files: HashMap<Key, InFile>,
    /// The colour of each picture that decodes, if it has only one.
    colours: HashMap<ImageId, Option<String>>,
}

impl Found {
    /// Reads what the store has of an ingest with the same limits.
    ///
    /// # Errors
    /// Fails if the store cannot be read, or a stop was requested.
    pub(super) fn read(settings: &IngestSettings, store: &Store, stop: &Stop) -> Result<Self> {
        let (mut found, reading) = (Found::default(), reading(settings)?);
        for part in partition(settings, store)?.parts()? {
            if reader::footer(&part)?.pairs.get(READING) != Some(&reading) {
                continue;
            }
            for batch in reader::batches_of(vec![part], None, 8192) {
                stop.check()?;
                found.add(&batch?)?;
            }
        }
        Ok(found)
    }

    fn add(&mut self, batch: &RecordBatch) -> Result<()> {
        let [paths, ids, formats, colours, reasons, details] =
            ["path", "image_id", "format", "colour", "reason", "detail"].map(|name| Texts::of(batch, name));
        let [widths, heights, orientations] = ["width", "height", "orientation"].map(|name| numbers(batch, name));
        let lengths = arrays::int64s(batch, "byte_len")?;
        let modified = batch.column_by_name("modified").and_then(|column| column.as_primitive_opt::<Int64Type>());
        for (row, &length) in lengths.iter().enumerate() {
            let picture = || {
                let header = Header {
                    format: Format::parse(formats.at(row)?)?,
                    width: widths(row)?,
                    height: heights(row)?,
                    orientation: Orientation::from_exif(u8::try_from(orientations(row)?).ok()?)?,
                };
                let colour = colours.at(row).map(str::to_owned);
                Some(InFile::Picture { id: ImageId::parse(ids.at(row)?)?, header, colour })
            };
            let rejected = || Some(Rejection::new(Reason::parse(reasons.at(row)?)?, details.at(row)?));
            let Some(is) = picture().or_else(|| rejected().map(InFile::Rejected)) else { continue };
            if let InFile::Picture { id, colour, .. } = &is {
                self.colours.insert(*id, colour.clone());
            }
            let modified = modified.filter(|modified| modified.is_valid(row));
            if let (Some(path), Some(modified)) = (paths.at(row), modified) {
                self.files.insert(key(path, length.max(0).cast_unsigned(), modified.value(row)), is);
            }
        }
        Ok(())
    }

    /// Returns what is in the file of an item, if it was found and has not changed since.
    pub(super) fn in_file(&self, item: &Item) -> Option<&InFile> {
        match &item.origin {
            Origin::File { byte_len, modified_ns, .. } => self.files.get(&key(&item.path, *byte_len, *modified_ns)),
            Origin::Part { place, byte_len } => self.files.get(&key(&item.path, *byte_len, place.file.modified_ns)),
            _ => None,
        }
    }

    /// Returns the colour of a picture, if it has only one; `None` if the picture was not found.
    pub(super) fn colour(&self, id: &ImageId) -> Option<Option<String>> {
        self.colours.get(id).cloned()
    }
}

/// Writes what is found, a part each `part_rows` files.
pub(super) struct Finding {
    partition: Partition,
    schema: SchemaRef,
    footer: [(String, String); 1],
    rows: Vec<FoundRow>,
    part_rows: usize,
}

struct FoundRow {
    path: String,
    byte_len: u64,
    modified: Option<i64>,
    is: InFile,
}

impl Finding {
    /// Begins to write; what is there already stays.
    ///
    /// # Errors
    /// Fails if the limits cannot be written, or the dataset's name is none of a partition.
    pub(super) fn new(settings: &IngestSettings, store: &Store) -> Result<Self> {
        Ok(Finding {
            partition: partition(settings, store)?,
            schema: table::table(TABLE)?.arrow(&Dims::new())?,
            footer: [(READING.to_owned(), reading(settings)?)],
            rows: Vec::new(),
            part_rows: settings.part_rows,
        })
    }

    /// Adds what is in an item's file. What could not be read is left out, since it may be another
    /// time.
    ///
    /// # Errors
    /// Fails if the store cannot be written.
    pub(super) fn add(&mut self, item: &Item, outcome: &std::result::Result<Good, Rejection>) -> Result<()> {
        let modified = item.origin.modified_ns();
        let is = match outcome {
            Err(rejection) if rejection.reason == Reason::Unreadable => return Ok(()),
            Err(rejection) => InFile::Rejected(rejection.clone()),
            Ok(Good { id, header, colour, .. }) => InFile::Picture { id: *id, header: *header, colour: colour.clone() },
        };
        // A file is known again by the length that it was listed with.
        let byte_len = match outcome {
            Ok(good) if modified.is_none() => good.byte_len,
            _ => item.origin.byte_len(),
        };
        self.rows.push(FoundRow { path: item.path.clone(), byte_len, modified, is });
        if self.rows.len() >= self.part_rows { self.flush() } else { Ok(()) }
    }

    /// Writes the last part.
    ///
    /// # Errors
    /// Fails if the store cannot be written.
    pub(super) fn flush(&mut self) -> Result<()> {
        if self.rows.is_empty() {
            return Ok(());
        }
        let rows = std::mem::take(&mut self.rows);
        let mut part = self.partition.append(&self.schema, &self.footer)?;
        part.write(&table::rows(TABLE, &self.schema, columns(&rows))?)?;
        part.finish().map(drop)
    }
}

/// Removes what was found of a dataset, whose tables are written.
///
/// # Errors
/// Fails if the store cannot be written.
pub(super) fn forget(settings: &IngestSettings, store: &Store) -> Result<()> {
    partition(settings, store)?.clear()
}

fn partition(settings: &IngestSettings, store: &Store) -> Result<Partition> {
    store.partition(TABLE, &settings.dataset)
}

/// Returns what rows depend on besides the files.
fn reading(settings: &IngestSettings) -> Result<String> {
    Ok(format!("ingest {INGEST}; limits {}", identity_of(&settings.decoding.limits, |_| true)?))
}

fn key(path: &str, byte_len: u64, modified: i64) -> Key {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&byte_len.to_le_bytes()).update(&modified.to_le_bytes()).update(path.as_bytes());
    let mut key = Key::default();
    hasher.finalize_xof().fill(&mut key);
    key
}

/// A column of texts, which may be missing.
struct Texts<'a>(Option<&'a arrow::array::StringArray>);

impl<'a> Texts<'a> {
    fn of(batch: &'a RecordBatch, name: &str) -> Self {
        Texts(batch.column_by_name(name).and_then(|column| column.as_string_opt()))
    }

    fn at(&self, row: usize) -> Option<&'a str> {
        self.0.filter(|texts| texts.is_valid(row)).map(|texts| texts.value(row))
    }
}

fn numbers<'a>(batch: &'a RecordBatch, name: &str) -> impl Fn(usize) -> Option<u32> + use<'a> {
    let column = batch.column_by_name(name).and_then(|column| column.as_primitive_opt::<Int32Type>());
    move |row| column.filter(|column| column.is_valid(row)).and_then(|column| u32::try_from(column.value(row)).ok())
}

fn columns(rows: &[FoundRow]) -> [(&'static str, ArrayRef); 11] {
    let pictures = || {
        rows.iter().map(|row| match &row.is {
            InFile::Picture { id, header, colour } => Some((id, header, colour)),
            InFile::Rejected(_) => None,
        })
    };
    let rejected = || {
        rows.iter().map(|row| match &row.is {
            InFile::Rejected(rejection) => Some(rejection),
            InFile::Picture { .. } => None,
        })
    };
    let header = |of: fn(&Header) -> i32| -> ArrayRef {
        Arc::new(Int32Array::from_iter(pictures().map(|picture| picture.map(|(_, header, _)| of(header)))))
    };
    [
        ("path", arrays::text(rows.iter().map(|row| &row.path))),
        ("byte_len", arrays::int64(rows.iter().map(|row| row.byte_len as i64).collect())),
        ("modified", Arc::new(Int64Array::from_iter(rows.iter().map(|row| row.modified)))),
        ("image_id", arrays::optional_text(pictures().map(|picture| picture.map(|(id, ..)| id.to_string())))),
        (
            "format",
            arrays::optional_text(pictures().map(|picture| picture.map(|(_, header, _)| header.format.as_str()))),
        ),
        ("width", header(|header| header.width as i32)),
        ("height", header(|header| header.height as i32)),
        ("orientation", header(|header| i32::from(header.orientation.to_exif()))),
        ("colour", arrays::optional_text(pictures().map(|picture| picture.and_then(|(.., colour)| colour.as_ref())))),
        ("reason", arrays::optional_text(rejected().map(|rejection| rejection.map(|r| r.reason.as_str())))),
        ("detail", arrays::optional_text(rejected().map(|rejection| rejection.map(|r| &r.detail)))),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::{Decoding, ExifOrientation, Limits};

    fn settings(max_side: u32) -> IngestSettings {
        let limits = Limits { max_side, ..Limits::default() };
        let decoding = Decoding { limits, orientation: ExifOrientation::Apply };
        IngestSettings {
            dataset: "set".to_owned(),
            decoding,
            classes: None,
            class_map: None,
            part_rows: 2,
            copy: false,
        }
    }

    fn item(name: &str, byte_len: u64, modified_ns: i64) -> Item {
        let origin = Origin::File { path: name.into(), byte_len, modified_ns };
        Item { path: name.to_owned(), origin, split: None, label: None }
    }

    fn good(bytes: &[u8], colour: Option<&str>) -> std::result::Result<Good, Rejection> {
        let header = Header { format: Format::Tiff, width: 9, height: 5, orientation: Orientation::Rotate90 };
        Ok(Good::known(ImageId::of(bytes), header, &item("x", 7, 1), colour.map(str::to_owned)))
    }

    #[test]
    fn what_was_found_is_known_again_until_the_file_changes() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let mut finding = Finding::new(&settings(100), &store).unwrap();
        let rejected = Rejection::new(Reason::Truncated, "ends early");
        finding.add(&item("a.tif", 7, 1), &good(b"a", Some("#ffffff"))).unwrap();
        finding.add(&item("b.tif", 8, 2), &Err(rejected.clone())).unwrap();
        finding.add(&item("c.tif", 9, 3), &Err(Rejection::new(Reason::Unreadable, "busy"))).unwrap();
        finding.add(&item("d.tif", 9, 3), &good(b"d", None)).unwrap();
        let read = |settings: &IngestSettings| Found::read(settings, &store, &Stop::default()).unwrap();
        let parts = || partition(&settings(100), &store).unwrap().parts().unwrap().len();
        assert_eq!((parts(), read(&settings(100)).in_file(&item("d.tif", 9, 3))), (1, None), "it is in no part yet");
        finding.flush().unwrap();

        let found = read(&settings(100));
        let Some(InFile::Picture { id, header, colour }) = found.in_file(&item("a.tif", 7, 1)) else { panic!() };
        assert_eq!((*id, colour.as_deref()), (ImageId::of(b"a"), Some("#ffffff")));
        assert_eq!((header.format, header.width, header.height), (Format::Tiff, 9, 5));
        assert_eq!(header.orientation, Orientation::Rotate90);
        assert_eq!(found.in_file(&item("b.tif", 8, 2)), Some(&InFile::Rejected(rejected)));
        assert!(found.in_file(&item("d.tif", 9, 3)).is_some());
        assert_eq!(found.colour(&ImageId::of(b"d")), Some(None));
        for changed in [item("c.tif", 9, 3), item("a.tif", 8, 1), item("a.tif", 7, 2), item("aa.tif", 7, 1)] {
            assert_eq!(found.in_file(&changed), None, "{}", changed.path);
        }
        assert!(read(&settings(200)).in_file(&item("a.tif", 7, 1)).is_none(), "other limits reject others");

        forget(&settings(100), &store).unwrap();
        assert_eq!(parts(), 0);
    }
}
