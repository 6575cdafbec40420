//! The table `neighbours`: the nearest neighbours of every picture among all of its dataset, by the
//! cosine of the frozen features of the whole pictures.
//!
//! A partition belongs to a set of pictures in a space: datasets that have exactly these pictures
//! share it, and one that gets another picture has another partition. So no row is ever outdated.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float32Array, Int32Array};
use tch::Tensor;

use crate::device::guarded;
use crate::error::{Context, Kind, Result};
use crate::fusion::blocks::Blocks;
use crate::fusion::neighbours::Neighbours;
use crate::settings::{settings, whole};
use crate::stage::frozen::{Embeddings, FrozenTable};
use crate::stage::job::Job;
use crate::stage::pictures::Pictures;
use crate::stage::{features, picture_set};
use crate::store::layout::{Partition, Store};
use crate::store::space::Space;
use crate::table::{self, Dims, arrays, tensor};

/// The table's name in `schemas/`.
pub const TABLE: &str = "neighbours";

settings! {
    /// The nearest neighbours of every picture, by the frozen features: the table `neighbours`.
    Kept: Copy, Eq {
        /// How many are kept of each picture. The view `duplicates` shows no more pairs of a
        /// picture than that.
        k: usize = 10, whole(1, 100), ByContent;
    }
}

impl Kept {
    /// Returns the space of the rows of the pictures in a partition of `images`.
    ///
    /// # Errors
    /// Returns [`Kind::Store`] if a part cannot be read.
    pub fn space(self, embeddings: &Embeddings, images: &Partition) -> Result<Space> {
        Ok(self.space_of(embeddings, &picture_set::stored(images)?))
    }

    fn space_of(self, embeddings: &Embeddings, pictures: &str) -> Space {
        embeddings.whole_pictures().of_kind("nn").with("pictures", pictures).with("k", self.k)
    }

    /// Finds the neighbours of all pictures, unless the store has them. Needs the features of all.
    ///
    /// # Errors
    /// Fails if a picture has no features, the store cannot be written, libtorch reports an error,
    /// or a stop was requested; then there are no rows.
    #[tracing::instrument(name = "stage", skip_all, fields(stage = "neighbours"))]
    pub fn fill(self, pictures: &Pictures, embeddings: &Embeddings, job: Job<'_>) -> Result<()> {
        let space = self.space_of(embeddings, &picture_set::of(pictures.rows().iter().map(|picture| picture.id)));
        if is_filled(&space, job.store)? {
            return Ok(());
        }
        let Job { store, stop, progress } = job;
        let count = pictures.rows().len() as u64;
        progress.begin(TABLE, "image", count, 0);
        let features = features::vectors(&embeddings.partition(store)?, "cls_feature", pictures, stop)?;
        let advancing = progress.clone();
        let found = guarded("the nearest neighbours", || {
            Neighbours::on_all_cores(&features, self.k, stop, move |done| advancing.advance(done))
        })?;
        write(&space, pictures, &found, job)?;
        progress.end(&match found.count() {
            0 => "a single image has no neighbours".to_owned(),
            nearest => format!("the {nearest} nearest of {count} images"),
        });
        Ok(())
    }
}

/// Returns whether the store has the rows of a space.
///
/// # Errors
/// Returns [`Kind::Store`] if the folder cannot be read, or a damaged part cannot be set aside.
pub fn is_filled(space: &Space, store: &Store) -> Result<bool> {
    Ok(!store.partition(TABLE, &space.id())?.parts()?.is_empty())
}

fn write(space: &Space, pictures: &Pictures, found: &Neighbours, job: Job<'_>) -> Result<()> {
    let (id, rows, k) = (space.id(), pictures.rows(), found.count());
    let schema = table::table(TABLE)?.arrow(&Dims::new())?;
    let mut writer = job.store.partition(TABLE, &id)?.writer(TABLE, &schema, &space.footer())?;
    // A neighbour takes two ids of 64 digits.
    Blocks::of_numbers(rows.len() as i64, k * 32).try_each(job.stop, |block| {
        let (from, to) = block.range();
        let pairs = ((to - from) * k) as usize;
        let others = Vec::<i64>::try_from(block.of(&found.places).flatten(0, 1))
            .context(Kind::Torch, || "cannot copy the neighbours".to_owned())?;
        let own: Vec<i64> = (from..to).flat_map(|own| std::iter::repeat_n(own, k as usize)).collect();
        let ranks: Vec<i32> = (from..to).flat_map(|_| 1..=k as i32).collect();
        let id_of = |place: i64| &rows[place as usize].image_id;
        let columns: [(&str, ArrayRef); 5] = [
            ("space", arrays::repeated(&id, pairs)),
            ("image_id", arrays::text(own.into_iter().map(id_of))),
            ("rank", Arc::new(Int32Array::from(ranks))),
            ("other_id", arrays::text(others.into_iter().map(id_of))),
            ("cosine", Arc::new(Float32Array::from(cosines(&block.of(&found.cosines))?))),
        ];
        writer.write(&table::rows(TABLE, &schema, columns)?)
    })?;
    writer.finish().map(drop)
}

/// Returns the cosines; rounding can put that of equal features a little above 1.
fn cosines(found: &Tensor) -> Result<Vec<f32>> {
    tensor::numbers(&found.flatten(0, 1).clamp(-1.0, 1.0))
}
