//! The pictures of a dataset as later stages see them: rows of `images`, and how to get at their pixels.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;

use crate::error::{Context, Error, Kind, Result};
use crate::image::{Format, ImageId, Limits, Rgb, decode};
use crate::stage::feed::Size;
use crate::store::layout::Partition;
use crate::store::pictures::PictureReader;
use crate::store::reader;
use crate::table::arrays;

/// One row of `images`.
#[derive(Debug, Clone)]
pub struct Picture {
    /// Identity of its bytes.
    pub id: ImageId,
    /// The same as text, as in every table.
    pub image_id: String,
    /// As shown to users.
    pub path: String,
    /// Whether it is of the test split.
    pub test: bool,
    /// Bytes of its file.
    pub byte_len: u64,
    /// What decoding it takes.
    pub decoding_bytes: usize,
    /// Its row in the part of `images`, where its bytes are in it.
    row: Option<usize>,
}

impl Picture {
    /// What it takes while it is read and decoded.
    pub(super) fn size(&self) -> Size {
        Size { encoded: self.byte_len, decoded: self.decoding_bytes }
    }
}

/// All pictures of a dataset, by their ids: whatever is made of them in this order is the same for the same pictures, under any
/// names and from any kind of source.
#[derive(Debug)]
pub struct Pictures {
    rows: Vec<Picture>,
    reader: Option<PictureReader>,
    limits: Limits,
}

impl Pictures {
    /// Reads the rows of an `images` partition.
    ///
    /// # Errors
    /// [`Kind::Store`] where a part cannot be read.
    pub fn open(images: &Partition, limits: Limits) -> Result<Arc<Self>> {
        let mut rows = Vec::new();
        let mut embedded = false;
        for batch in reader::batches(
            images,
            Some(&["image_id", "path", "split", "byte_len", "modified", "format", "width", "height"]),
            8192,
        )? {
            let batch = batch?;
            let (ids, paths) = (arrays::strings(&batch, "image_id")?, arrays::strings(&batch, "path")?);
            let formats = arrays::strings(&batch, "format")?;
            let (splits, byte_lens) = (arrays::strings(&batch, "split")?, arrays::int64s(&batch, "byte_len")?);
            let (widths, heights) = (arrays::int32s(&batch, "width")?, arrays::int32s(&batch, "height")?);
            // A file of its own has a time of modification; a picture inside a larger file has none.
            let modified = batch.column_by_name("modified").cloned();
            for (n, image_id) in ids.iter().enumerate() {
                let id = ImageId::parse(image_id).ok_or_else(|| {
                    Error::new(Kind::Store, format!("'{image_id}' in {} is no image id", images.dir().display()))
                })?;
                // A word that this version does not know is of a picture that it will refuse to decode.
                let format = Format::parse(formats[n]).unwrap_or(Format::Png);
                let inside = modified.as_ref().is_none_or(|m| m.is_null(n));
                embedded |= inside;
                rows.push(Picture {
                    id,
                    image_id: (*image_id).to_string(),
                    path: paths[n].to_string(),
                    test: splits[n] == "test",
                    byte_len: byte_lens[n].max(0).cast_unsigned(),
                    decoding_bytes: format.decoding_bytes(widths[n].max(0) as u32, heights[n].max(0) as u32),
                    row: inside.then_some(rows.len()),
                });
            }
        }
        let reader = match (embedded, images.parts()?.as_slice()) {
            (true, [part]) => Some(PictureReader::open(part)?),
            (true, parts) => {
                let what = format!("{} parts in {}, not one", parts.len(), images.dir().display());
                return Err(Error::new(Kind::Store, what));
            }
            (false, _) => None,
        };
        rows.sort_by_key(|picture| picture.id);
        Ok(Arc::new(Pictures { rows, reader, limits }))
    }

    /// The rows.
    pub fn rows(&self) -> &[Picture] {
        &self.rows
    }

    /// Decodes picture `index`.
    ///
    /// # Errors
    /// [`Kind::Input`] where the file vanished or changed since it was ingested.
    pub fn load(&self, index: usize) -> Result<Rgb> {
        let picture = &self.rows[index];
        let bytes = match (picture.row, &self.reader) {
            (Some(row), Some(reader)) => reader.read(row)?.ok_or_else(|| changed(picture, "it has no bytes"))?,
            _ => {
                let path = PathBuf::from(&picture.path);
                std::fs::read(&path).at(Kind::Input, "cannot read", &path).map_err(|e| {
                    e.hint("the file was there when the dataset was ingested; run again to ingest what is there now")
                })?
            }
        };
        decode(&bytes, &self.limits).map_err(|rejection| changed(picture, &rejection.detail))
    }
}

/// The pictures that a partition has rows of.
///
/// # Errors
/// [`Kind::Store`] where a part cannot be read.
pub(super) fn present(partition: &Partition) -> Result<HashSet<ImageId>> {
    Ok(reader::image_ids(partition)?.iter().filter_map(|id| ImageId::parse(id)).collect())
}

fn changed(picture: &Picture, detail: &str) -> Error {
    Error::new(Kind::Input, format!("{} can no longer be decoded: {detail}", picture.path))
        .hint("the file changed since it was ingested; run again to ingest what is there now")
}
