//! The frozen vision tower's outputs for every picture, computed once per space: one table each for
//! [`Embeddings`], [`ViewFeatures`] and [`BlockTokens`].
//!
//! A picture is read and decoded once for all tables that lack it ([`fill()`]), also during ingest
//! ([`fill_while_ingesting`]). To add a table, write its schema, implement [`FrozenTable`] in a
//! file here, and name it where a pipeline is opened.

mod block_tokens;
mod embed;
mod fill;
mod ingesting;
mod tower;
mod views;

use arrow::array::ArrayRef;

use crate::error::Result;
use crate::image::{ImageId, Rgb};
use crate::settings::{settings, whole};
use crate::stage::feed::Views;
use crate::store::layout::{Partition, Store};
use crate::store::space::Space;
use crate::table::Dims;

pub use block_tokens::BlockTokens;
pub use embed::Embeddings;
pub use fill::{Filling, fill, missing};
pub use ingesting::{Ingesting, fill_while_ingesting};
pub use tower::FrozenTower;
pub use views::ViewFeatures;

settings! {
    /// Sizes of the streaming stages. They change speed and memory, not the result.
    Embed: Copy {
        /// Pictures of a forward pass of the frozen encoder.
        batch: usize = 64, whole(1, 65_536), Nothing;
        /// Pictures of a part on disk, rounded up to whole batches: what an interrupted run loses
        /// at most.
        part_rows: usize = 2048, whole(1, 1_000_000), Nothing;
    }
}

/// A table of the frozen vision tower's outputs, with a row for each picture of a space.
pub trait FrozenTable: Send + Sync {
    /// Returns the name of the stage that fills the table, for progress and plans.
    fn stage(&self) -> &'static str;

    /// Returns the table's name in `schemas/`.
    fn table(&self) -> &'static str;

    /// Returns the space of the table's rows, which names their partition.
    fn space(&self) -> &Space;

    /// Returns the dimensions that the table's schema leaves open.
    fn dims(&self) -> Dims;

    /// Returns how many images the tower sees of each picture.
    fn forwards(&self) -> usize {
        1
    }

    /// Cuts the tower's input from a decoded picture.
    ///
    /// # Errors
    /// Fails if the picture cannot be resized.
    fn cut(&self, id: &ImageId, picture: &Rgb) -> Result<Views>;

    /// Computes all columns but `space` and `image_id` from the views of some pictures. The tower
    /// takes `batch` images at once. Several threads may call this at the same time.
    ///
    /// # Errors
    /// Fails if the device fails.
    fn columns(&self, tower: &FrozenTower, views: &Views, batch: usize) -> Result<Vec<(&'static str, ArrayRef)>>;
}

/// Returns the partition of a table's rows.
///
/// # Errors
/// Fails if the space's id is not a valid partition name.
pub fn partition(table: &dyn FrozenTable, store: &Store) -> Result<Partition> {
    store.partition(table.table(), &table.space().id())
}
