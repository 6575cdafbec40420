//! The frozen vision towers' outputs for every picture, computed once per space: one table each for
//! [`Embeddings`], [`Composites`], [`ViewFeatures`], [`BlockTokens`] and, of the second model,
//! [`SecondFeatures`].
//!
//! A picture is read and decoded once for all tables that lack it ([`fill()`]), also during ingest
//! ([`fill_while_ingesting`]). To add a table, write its schema, implement [`FrozenTable`] in a
//! file here, and name it in [`FrozenTables`].

mod block_tokens;
mod composing;
mod composites;
mod embed;
mod fill;
mod ingesting;
mod model;
mod parts;
mod second;
mod tower;
mod views;
mod whole;

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::ArrayRef;

use crate::error::Result;
use crate::fusion::foreground::Saliency;
use crate::image::{Crops, ImageId, Rgb};
use crate::settings::{settings, whole};
use crate::stage::feed::Views;
use crate::stage::pictures;
use crate::store::layout::{Partition, Store};
use crate::store::space::Space;
use crate::store::span::Span;
use crate::table::Dims;

pub use block_tokens::BlockTokens;
pub use composites::Composites;
pub use embed::Embeddings;
pub use fill::{Filling, fill, lacking, missing};
pub use ingesting::{Ingesting, fill_while_ingesting};
pub use model::FrozenModel;
pub use second::SecondFeatures;
pub use tower::{Eye, FrozenTower, Towers};
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

/// A table of a frozen vision tower's outputs, with a row for each picture of a space.
pub trait FrozenTable: Send + Sync {
    /// Returns the name of the stage that fills the table, for progress and plans.
    fn stage(&self) -> &'static str;

    /// Returns the table's name in `schemas/`.
    fn table(&self) -> &'static str;

    /// Returns the space of the table's rows, which names their partition.
    fn space(&self) -> &Space;

    /// Returns the partition of the table's rows.
    ///
    /// # Errors
    /// Fails if the space's id is not a valid partition name.
    fn partition(&self, store: &Store) -> Result<Partition> {
        store.partition(self.table(), &self.space().id())
    }

    /// Returns the dimensions that the table's schema leaves open.
    fn dims(&self) -> Dims;

    /// Returns how many images the tower sees of each picture.
    fn forwards(&self) -> usize {
        1
    }

    /// Returns whose tower fills the table.
    fn eye(&self) -> Eye {
        Eye::Clip
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
    fn columns(&self, towers: &Towers, views: &Views, batch: usize) -> Result<Vec<(&'static str, ArrayRef)>>;

    /// Returns the table if its rows are made of those of `view_features`, which
    /// [`columns`](Self::columns) then makes, and of the features of whole pictures.
    fn composing(&self) -> Option<&Composites> {
        None
    }

    /// Returns the pictures that the tower need not see for this table: those of a span of ids, or
    /// all.
    ///
    /// # Errors
    /// Returns [`Kind::Store`](crate::error::Kind::Store) if a part cannot be read.
    fn need_no_forward(&self, store: &Store, span: Option<&Span>) -> Result<HashSet<ImageId>> {
        pictures::present_in(&self.partition(store)?, span)
    }
}

/// The tables of a model's outputs.
#[derive(Clone)]
pub struct FrozenTables {
    /// The whole pictures.
    pub embeddings: Arc<Embeddings>,
    /// What their crops say together.
    pub composites: Arc<Composites>,
    /// Their crops, if they are kept.
    pub view_features: Arc<ViewFeatures>,
    /// The input of a block, if adaptation starts from one.
    pub block_tokens: Option<Arc<BlockTokens>>,
    /// What the second model sees, if there is one.
    pub second_features: Option<Arc<SecondFeatures>>,
}

impl FrozenTables {
    /// The tables of the pipeline file whose settings are part of one table's space alone. Settings
    /// of any other are part of every space of pictures, so that none can be forgotten.
    pub const SETTINGS: &[&str] = &[Embeddings::SETTINGS, ViewFeatures::SETTINGS];

    /// Works out the tables of a model. `block` is the number of the block that adaptation starts
    /// from; `second` the table of the second model, if there is one.
    ///
    /// # Errors
    /// Returns [`Kind::Internal`](crate::error::Kind::Internal) if a setting cannot be written.
    pub fn new(
        model: &FrozenModel,
        saliency: Saliency,
        crops: Crops,
        block: Option<usize>,
        second: Option<SecondFeatures>,
    ) -> Result<Self> {
        let embeddings = Arc::new(Embeddings::new(model, saliency)?);
        let view_features = Arc::new(ViewFeatures::new(model, crops)?);
        Ok(FrozenTables {
            composites: Arc::new(Composites::new(model, view_features.clone(), embeddings.clone())),
            embeddings,
            view_features,
            block_tokens: block.map(|block| Arc::new(BlockTokens::new(model, block))),
            second_features: second.map(Arc::new),
        })
    }

    /// Returns the tables that the towers fill, in the order in which they are needed. Where crops
    /// are kept, composites are derived from them.
    pub fn filled(&self) -> Vec<Arc<dyn FrozenTable>> {
        let derived = if self.view_features.keeps() { self.composites.table() } else { self.view_features.table() };
        self.all().into_iter().filter(|table| table.table() != derived).collect()
    }

    /// Returns the tables that a run completes: those filled, and what is derived of them.
    pub fn made(&self) -> Vec<Arc<dyn FrozenTable>> {
        let unkept = |table: &str| table == self.view_features.table() && !self.view_features.keeps();
        self.all().into_iter().filter(|table| !unkept(table.table())).collect()
    }

    /// Returns the tables that runs read.
    pub fn read(&self) -> Vec<Arc<dyn FrozenTable>> {
        self.all().into_iter().filter(|table| table.table() != self.view_features.table()).collect()
    }

    /// Returns all tables.
    pub fn all(&self) -> Vec<Arc<dyn FrozenTable>> {
        let FrozenTables { embeddings, composites, view_features, block_tokens, second_features } = self;
        let mut all: Vec<Arc<dyn FrozenTable>> = vec![embeddings.clone(), view_features.clone(), composites.clone()];
        all.extend(block_tokens.iter().map(|table| table.clone() as Arc<dyn FrozenTable>));
        all.extend(second_features.iter().map(|table| table.clone() as Arc<dyn FrozenTable>));
        all
    }
}
