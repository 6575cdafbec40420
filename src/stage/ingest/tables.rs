//! Writes what was read into the tables of a dataset.

use std::collections::HashMap;
use std::fs::File;
use std::io::{Read as _, Seek};
use std::sync::Arc;

use arrow::array::{ArrayRef, BinaryArray, Int32Array, Int64Array};

use super::read::{Read, Row, SourceFile};
use super::{IngestSettings, Ingested};
use crate::error::{Context, Kind, Result};
use crate::image::ImageId;
use crate::source::At;
use crate::stage::{picture_set, pictures};
use crate::store::{layout::Store, reader};
use crate::table::{self, Dims, arrays};

/// The tables of a dataset, in the order in which they are written.
pub(super) const TABLES: [&str; 6] = ["classes", "rejected", "labels", "equal_files", CONSTANT, "images"];

/// The table of pictures of one colour.
const CONSTANT: &str = "constant_pictures";

/// Name of the only part of each table.
const PART: &str = "snapshot";
/// Rows converted to Arrow at once.
const ROWS: usize = 256;

/// Writes the tables.
pub(super) fn write(found: &Ingested, read: Read, settings: &IngestSettings, store: &Store) -> Result<()> {
    let Read { rows, rejected, mut spool, .. } = read;
    let footer = [("snapshot".to_owned(), found.snapshot.clone())];
    let dims = Dims::new();
    let replace = |name: &str, columns: Vec<(&str, ArrayRef)>| -> Result<()> {
        let schema = table::table(name)?.arrow(&dims)?;
        let batch = table::rows(name, &schema, columns)?;
        store.partition(name, &settings.dataset)?.replace(PART, &schema, &[batch], &footer).map(drop)
    };
    let class_ids = 0..i32::try_from(found.classes.len()).unwrap_or(i32::MAX);
    let class_ids = Arc::new(Int32Array::from_iter_values(class_ids));
    replace("classes", vec![("class_id", class_ids), ("name", arrays::text(&found.classes))])?;
    replace(
        "rejected",
        vec![
            ("path", arrays::text(rejected.iter().map(|(path, _)| path))),
            ("stage", arrays::repeated("ingest", rejected.len())),
            ("reason", arrays::text(rejected.iter().map(|(_, r)| r.reason.as_str()))),
            ("detail", arrays::text(rejected.iter().map(|(_, r)| &r.detail))),
            ("image_id", arrow::array::new_null_array(&arrow::datatypes::DataType::Utf8, rejected.len())),
        ],
    )?;
    let labelled = || rows.iter().filter_map(|row| Some((row.id.to_string(), row.class?)));
    replace(
        "labels",
        vec![
            ("image_id", arrays::text(labelled().map(|(id, _)| id))),
            ("class_id", Arc::new(Int32Array::from_iter_values(labelled().map(|(_, class)| class)))),
        ],
    )?;

    let equal = rows.iter().filter(|row| row.files.len() > 1);
    let equal: Vec<(&Row, &SourceFile)> = equal.flat_map(|row| row.files.iter().map(move |file| (row, file))).collect();
    replace(
        "equal_files",
        vec![
            ("image_id", arrays::text(equal.iter().map(|(row, _)| row.id.to_string()))),
            ("path", arrays::text(equal.iter().map(|(_, file)| &file.path))),
            ("split", arrays::text(equal.iter().map(|(_, file)| file.split.name()))),
            ("class_id", Arc::new(Int32Array::from_iter(equal.iter().map(|(_, file)| file.class)))),
        ],
    )?;

    let constant = || rows.iter().filter_map(|row| Some((row.id.to_string(), row.colour.as_ref()?)));
    replace(
        CONSTANT,
        vec![
            ("image_id", arrays::text(constant().map(|(id, _)| id))),
            ("colour", arrays::text(constant().map(|(_, colour)| colour))),
        ],
    )?;

    let schema = table::table("images")?.arrow(&dims)?;
    let images = store.partition("images", &settings.dataset)?;
    let mut ids: Vec<ImageId> = rows.iter().map(|row| row.id).collect();
    ids.sort_unstable();
    let [snapshot] = footer;
    let mut footer = vec![snapshot, (picture_set::KEY.to_owned(), picture_set::of(ids))];
    // All files of a dataset are of one kind, and have the same columns.
    if let Some(within) = rows.iter().find_map(|row| row.within.as_ref()) {
        footer.push(match &within.file.column {
            Some(column) => (pictures::COLUMN.to_owned(), column.clone()),
            None => (pictures::BYTES.to_owned(), "true".to_owned()),
        });
    }
    let mut writer = images.writer(PART, &schema, &footer)?;
    spool.rewind().at(Kind::Store, "cannot read", store.root())?;
    for rows in rows.chunks(ROWS) {
        let bytes = rows.iter().map(|row| unspool(row, &mut spool)).collect::<Result<Vec<_>>>()?;
        let column = |of: fn(&Row) -> &str| arrays::text(rows.iter().map(of));
        let within = || rows.iter().map(|row| row.within.as_ref());
        let at = |of: fn(At) -> Option<u64>| -> ArrayRef {
            Arc::new(Int64Array::from_iter(within().map(|within| of(within?.at).map(u64::cast_signed))))
        };
        let columns: [(&str, ArrayRef); 13] = [
            ("image_id", arrays::text(rows.iter().map(|row| row.id.to_string()))),
            ("path", column(|row| &row.files[0].path)),
            ("paths", arrays::text_lists(rows.iter().map(|row| row.files.iter().map(|file| &file.path)))),
            ("split", column(|row| row.split.name())),
            ("bytes", Arc::new(BinaryArray::from_iter(bytes))),
            ("byte_len", arrays::int64(rows.iter().map(|row| row.byte_len as i64).collect())),
            ("modified", Arc::new(Int64Array::from_iter(rows.iter().map(|row| row.modified)))),
            ("file", arrays::optional_text(within().map(|within| within?.file.path.to_str()))),
            ("file_row", at(|at| if let At::Row(row) = at { Some(row) } else { None })),
            ("file_byte", at(|at| if let At::Byte(first) = at { Some(first) } else { None })),
            ("format", column(|row| row.header.format.as_str())),
            ("width", Arc::new(Int32Array::from_iter_values(rows.iter().map(|row| row.header.width as i32)))),
            ("height", Arc::new(Int32Array::from_iter_values(rows.iter().map(|row| row.header.height as i32)))),
        ];
        writer.write(&table::rows("images", &schema, columns)?)?;
    }
    let info = writer.finish()?;
    images.retain(|path| path == info.path)
}

/// Returns the pictures of one colour of all datasets, with their colours: a picture that is known
/// to decode is not looked at again. Returns nothing if this dataset was read before there was such
/// a table.
pub(super) fn constant(settings: &IngestSettings, store: &Store) -> Result<Option<HashMap<ImageId, String>>> {
    let parts = |table: &str| store.partition(table, &settings.dataset)?.listed();
    if parts(CONSTANT)?.is_empty() && !parts("images")?.is_empty() {
        return Ok(None);
    }
    let mut found = HashMap::new();
    for dataset in store.partitions(CONSTANT)? {
        for batch in reader::batches(&store.partition(CONSTANT, &dataset)?, None, 4096)? {
            let batch = batch?;
            let (ids, colours) = (arrays::strings(&batch, "image_id")?, arrays::strings(&batch, "colour")?);
            let rows = ids.into_iter().zip(colours);
            found.extend(rows.filter_map(|(id, colour)| Some((ImageId::parse(id)?, colour.to_owned()))));
        }
    }
    Ok(Some(found))
}

/// Returns the bytes of a spooled row, reading on from where the last row's ended.
fn unspool(row: &Row, spool: &mut File) -> Result<Option<Vec<u8>>> {
    if !row.spooled {
        return Ok(None);
    }
    let mut bytes = vec![0; row.byte_len as usize];
    spool.read_exact(&mut bytes).context(Kind::Store, || "cannot read a picture back".to_owned())?;
    Ok(Some(bytes))
}
