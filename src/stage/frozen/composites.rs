//! The table `composites`: of every picture, the mean of its crops' features by their likeness to
//! the whole picture (method section 6), and that of either half of them.
//!
//! It is all that runs read of the crops. Rows are made while the crops stream through the tower
//! ([`composing`](super::composing)), or of crops that were kept ([`Composites::derive`]).

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use tch::Tensor;

use super::parts::Parts;
use super::whole::{self, Stored};
use super::{Embeddings, Filling, FrozenModel, FrozenTable, Towers, ViewFeatures};
use crate::cores;
use crate::device::guarded;
use crate::error::{Context, Kind, Result};
use crate::fusion::composite::{composite, halves};
use crate::image::{ImageId, Rgb};
use crate::stage::checksums;
use crate::stage::feed::Views;
use crate::stage::job::Job;
use crate::stage::pictures::{self, Pictures};
use crate::store::layout::Store;
use crate::store::reader;
use crate::store::space::Space;
use crate::store::span::Span;
use crate::table::{self, Dims, arrays, tensor};

/// Fills `composites`.
#[derive(Clone)]
pub struct Composites {
    space: Space,
    crops: Arc<ViewFeatures>,
    whole: Arc<Embeddings>,
}

/// The name of the stage that makes rows of kept crops.
const DERIVED: &str = "composites";

/// Pictures whose kept crops are read at once.
const AT_ONCE: usize = 256;

impl Composites {
    pub(super) fn new(model: &FrozenModel, crops: Arc<ViewFeatures>, whole: Arc<Embeddings>) -> Self {
        // Whole pictures' features do not depend on how their patch graphs are cut.
        let space = model.space("comp").with("view", crops.view());
        Composites { space, crops, whole }
    }

    /// Returns the table of the crops.
    pub(super) fn crops(&self) -> &Arc<ViewFeatures> {
        &self.crops
    }

    /// Returns the table of the whole pictures.
    pub(super) fn whole(&self) -> &Embeddings {
        &self.whole
    }

    /// Makes rows of rows of `view_features`, and the features of the whole pictures (rows, d).
    ///
    /// # Errors
    /// Fails if the rows have no such columns, or libtorch reports an error.
    pub(super) fn rows(&self, crops: &RecordBatch, whole: &Tensor) -> Result<RecordBatch> {
        guarded("the composites of crops", || {
            let _no_grad = tch::no_grad_guard();
            let features = tensor::from_vectors(crops, "features")?;
            let features = features.view([whole.size()[0], -1, whole.size()[1]]);
            let schema = table::table(self.table())?.arrow(&self.dims())?;
            let [first, second] = halves(&features, whole);
            let columns: [(&str, ArrayRef); 5] = [
                ("space", arrays::repeated(&self.space.id(), crops.num_rows())),
                ("image_id", arrays::text(arrays::strings(crops, "image_id")?)),
                ("composite", tensor::to_vectors(&composite(&features, whole))?),
                ("first_half", tensor::to_vectors(&first)?),
                ("second_half", tensor::to_vectors(&second)?),
            ];
            table::rows(self.table(), &schema, columns)
        })
    }

    /// Returns the pictures whose crops are stored.
    fn kept(&self, store: &Store) -> Result<HashSet<ImageId>> {
        pictures::present(&self.crops.partition(store)?)
    }

    /// Returns whether a row is yet to be made of crops that are stored.
    ///
    /// # Errors
    /// Returns [`Kind::Store`] if a part cannot be read.
    pub fn needs_crops(&self, store: &Store) -> Result<bool> {
        let have = pictures::present(&self.partition(store)?)?;
        Ok(!self.kept(store)?.is_subset(&have))
    }

    /// Compares with their checksums the crops and the whole pictures that missing rows will be
    /// made of; what is damaged then counts as missing.
    ///
    /// # Errors
    /// Fails if the store cannot be read, or a stop was requested.
    pub fn compare_what_is_read(&self, pictures: &Pictures, job: Job<'_>) -> Result<()> {
        let Job { store, stop, progress } = job;
        let have = pictures::present(&self.partition(store)?)?;
        let lacking: HashSet<&str> =
            pictures.rows().iter().filter(|row| !have.contains(&row.id)).map(|row| row.image_id.as_str()).collect();
        let mut files = Vec::new();
        for partition in [self.crops.partition(store)?, self.whole.partition(store)?] {
            files.extend(reader::parts_with(&partition, |id| lacking.contains(id))?);
        }
        checksums::compare("what composites are made of", files, store, stop, progress.as_ref())
    }

    /// Makes the rows that are missing of pictures whose crops are stored, without a forward pass.
    /// Needs the features of the whole pictures.
    ///
    /// # Errors
    /// Fails if the store cannot be read or written, libtorch reports an error, or a stop was
    /// requested; rows made until then are kept.
    #[tracing::instrument(name = "stage", skip_all, fields(stage = "composites"))]
    pub fn derive(&self, pictures: &Pictures, filling: Filling<'_>) -> Result<()> {
        let Filling { sizes, job: Job { store, stop, progress } } = filling;
        let (own, crops) = (self.partition(store)?, self.crops.partition(store)?);
        let (have, kept) = (pictures::present(&own)?, self.kept(store)?);
        let lacking = pictures.rows().iter().map(|picture| picture.id).filter(|id| !have.contains(id));
        let mut todo: HashSet<ImageId> = lacking.filter(|id| kept.contains(id)).collect();
        if todo.is_empty() {
            return Ok(());
        }
        let mut whole = Stored::find(&self.whole.partition(store)?, pictures.span(), |id| todo.contains(id))?;
        todo.retain(|id| whole.place(id).is_some());
        let count = todo.len();
        progress.begin(DERIVED, "image", count as u64, 0);
        let schema = table::table(self.table())?.arrow(&self.dims())?;
        let lacking = todo.clone();
        let lacks = move |id: &ImageId| lacking.contains(id);
        let mut parts = Parts::new(own, schema, &self.space, sizes.part_rows, lacks).within(pictures.span());
        let wanted = |id: &str| ImageId::parse(id).is_some_and(|id| todo.contains(&id));
        let batches = reader::batches_with(&crops, Some(&["image_id", "features"]), AT_ONCE, wanted)?;
        for batch in batches {
            if stop.requested() {
                break;
            }
            let batch = batch?;
            let lacking: Vec<bool> = whole::ids(&batch)?.iter().map(|id| todo.remove(id)).collect();
            let batch = arrow::compute::filter_record_batch(&batch, &lacking.into())
                .context(Kind::Internal, || "cannot pick rows of `view_features`".to_owned())?;
            if batch.num_rows() > 0 {
                let of = whole.features(&whole::ids(&batch)?, HashMap::new())?;
                let made = {
                    let _turn = cores::turn();
                    self.rows(&batch, &of)?
                };
                parts.write(&made)?;
                progress.advance(batch.num_rows() as u64);
            }
        }
        parts.finish()?;
        stop.check()?;
        progress.end(&format!("those of {count} images made of stored crops: no forward pass"));
        Ok(())
    }
}

impl FrozenTable for Composites {
    fn stage(&self) -> &'static str {
        if self.crops.keeps() { DERIVED } else { self.crops.stage() }
    }

    fn table(&self) -> &'static str {
        "composites"
    }

    fn space(&self) -> &Space {
        &self.space
    }

    fn dims(&self) -> Dims {
        self.crops.dims()
    }

    fn forwards(&self) -> usize {
        self.crops.forwards()
    }

    fn cut(&self, id: &ImageId, picture: &Rgb) -> Result<Views> {
        self.crops.cut(id, picture)
    }

    fn columns(&self, towers: &Towers, views: &Views, batch: usize) -> Result<Vec<(&'static str, ArrayRef)>> {
        self.crops.columns(towers, views, batch)
    }

    fn composing(&self) -> Option<&Composites> {
        Some(self)
    }

    /// Crops that are stored need not be seen again ([`derive`](Composites::derive)).
    fn need_no_forward(&self, store: &Store, span: Option<&Span>) -> Result<HashSet<ImageId>> {
        let mut have = pictures::present_in(&self.partition(store)?, span)?;
        have.extend(pictures::present_in(&self.crops.partition(store)?, span)?);
        Ok(have)
    }
}
