//! The features of whole pictures, by id, while the rows of [`Composites`](super::Composites) are
//! made with them: from `embeddings` where they are stored, or as they are computed in the same
//! pass over the pictures.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::RecordBatch;
use tch::Tensor;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::error::{Context, Error, Kind, Result};
use crate::image::ImageId;
use crate::store::layout::Partition;
use crate::store::reader;
use crate::store::row_groups::RowGroups;
use crate::store::span::Span;
use crate::table::arrays;

/// The column of `embeddings` that has them.
const COLUMN: &str = "cls_feature";

/// Where the stored features of some pictures are. The features themselves stay on disk, but for
/// those of one row group.
#[derive(Debug, Default)]
pub(super) struct Stored {
    parts: Vec<PathBuf>,
    /// The part and the row of each picture.
    places: HashMap<ImageId, (usize, usize)>,
    /// The part that was read last, by its number.
    open: Option<(usize, RowGroups)>,
}

impl Stored {
    /// Finds the `wanted` pictures in a partition of `embeddings`, all of a span of ids if there is
    /// one. Parts that have some are compared with their checksums first.
    ///
    /// # Errors
    /// Returns [`Kind::Store`] if a part cannot be read.
    pub(super) fn find(
        embeddings: &Partition,
        span: Option<&Span>,
        wanted: impl Fn(&ImageId) -> bool,
    ) -> Result<Stored> {
        let mut found = Stored::default();
        for part in reader::listed_in(embeddings, span)? {
            let ids = reader::ids_of(embeddings, &part)?.unwrap_or_default();
            let ids = ids.iter().enumerate().filter_map(|(row, id)| Some((row, ImageId::parse(id)?)));
            let rows: Vec<(usize, ImageId)> = ids.filter(|(_, id)| wanted(id)).collect();
            if !rows.is_empty() && embeddings.verify(&part)? {
                let number = found.parts.len();
                found.places.extend(rows.into_iter().map(|(row, id)| (id, (number, row))));
                found.parts.push(part);
            }
        }
        Ok(found)
    }

    /// Returns the part and the row of a picture, by which reading is fastest in order.
    pub(super) fn place(&self, id: &ImageId) -> Option<(usize, usize)> {
        self.places.get(id).copied()
    }

    /// Adds the features of a picture to `all`.
    fn read(&mut self, id: &ImageId, all: &mut Vec<f32>) -> Result<()> {
        let Some((number, row)) = self.place(id) else {
            return Err(Error::new(Kind::Internal, "the features of a whole picture are not known"));
        };
        let mut open = match self.open.take() {
            Some((part, open)) if part == number => open,
            _ => RowGroups::open(&self.parts[number], &[COLUMN])?,
        };
        let (batch, place) = open.with_row(row)?;
        let (values, width) = arrays::rows_f32(batch, COLUMN)?;
        all.extend_from_slice(&values[place * width..][..width]);
        self.open = Some((number, open));
        Ok(())
    }

    /// Returns the features (rows, d) of pictures: those that have `come`, or else those stored.
    ///
    /// # Errors
    /// Returns [`Kind::Store`] if a part cannot be read, and [`Kind::Internal`] if a picture is
    /// neither here nor there.
    pub(super) fn features(&mut self, ids: &[ImageId], mut come: HashMap<ImageId, Vec<f32>>) -> Result<Tensor> {
        let mut all = Vec::new();
        for id in ids {
            match come.remove(id) {
                Some(values) => all.extend(values),
                None => self.read(id, &mut all)?,
            }
        }
        let shape = [ids.len() as i64, -1];
        Tensor::f_from_slice(&all)
            .and_then(|all| all.f_reshape(shape))
            .context(Kind::Torch, || "cannot copy the features of whole pictures".to_owned())
    }
}

/// Tells the features of whole pictures as they are computed, to who lacks them.
#[derive(Debug)]
pub(super) struct Telling {
    send: UnboundedSender<(ImageId, Vec<f32>)>,
    /// The pictures that need not be told.
    have: Arc<HashSet<ImageId>>,
}

impl Telling {
    /// Returns a teller of pictures that are not among `have`, and the receiver. What waits in
    /// between is bounded, since both tables are fed the same pictures in the same order.
    pub(super) fn new(have: Arc<HashSet<ImageId>>) -> (Self, UnboundedReceiver<(ImageId, Vec<f32>)>) {
        let (send, receive) = unbounded_channel();
        (Telling { send, have }, receive)
    }

    /// Tells the features in rows of `embeddings`.
    ///
    /// # Errors
    /// Returns [`Kind::Store`] if the rows have no such columns.
    pub(super) fn tell(&self, rows: &RecordBatch) -> Result<()> {
        let (values, width) = arrays::rows_f32(rows, COLUMN)?;
        for (id, values) in ids(rows)?.into_iter().zip(values.chunks_exact(width.max(1))) {
            if !self.have.contains(&id) {
                // Without a receiver, its table has failed and says why.
                let _ = self.send.send((id, values.to_vec()));
            }
        }
        Ok(())
    }
}

/// Returns the ids of the pictures in rows of a table.
///
/// # Errors
/// Returns [`Kind::Store`] if one is no id.
pub(super) fn ids(rows: &RecordBatch) -> Result<Vec<ImageId>> {
    let parsed = arrays::strings(rows, "image_id")?
        .into_iter()
        .map(|id| ImageId::parse(id).ok_or_else(|| Error::new(Kind::Store, format!("'{id}' is no image id"))));
    parsed.collect()
}
