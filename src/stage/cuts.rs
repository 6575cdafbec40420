//! One decode for several tables: each table's views are cut while the picture's pixels are in
//! memory, and go to that table's batches.

use std::collections::HashSet;
use std::sync::Arc;

use crate::error::Result;
use crate::image::{ImageId, Rgb};
use crate::stage::feed::{Batcher, Batches, Closed, Views};
use crate::stage::progress::Progress;

/// Cuts a table's views from a decoded picture.
pub(super) type Cut = Arc<dyn Fn(&ImageId, &Rgb) -> Result<Views> + Send + Sync>;

/// A table's wish: a cut of each picture that it lacks.
#[derive(Clone)]
pub(super) struct Wish {
    /// The pictures that the table has.
    pub(super) have: Arc<HashSet<ImageId>>,
    /// Cuts the table's views of the others.
    pub(super) cut: Cut,
}

/// The views cut from a picture, by the number of the table.
pub(super) type Cuts = Vec<(usize, Views)>;

/// The wishes of all tables.
#[derive(Clone)]
pub(super) struct Wishes(Arc<[Wish]>);

impl Wishes {
    pub(super) fn new(wishes: impl IntoIterator<Item = Wish>) -> Self {
        Wishes(wishes.into_iter().collect())
    }

    /// Returns whether a table lacks the picture.
    pub(super) fn want(&self, id: &ImageId) -> bool {
        self.0.iter().any(|wish| !wish.have.contains(id))
    }

    /// Returns whether a table has the picture, which proves that it can be decoded.
    pub(super) fn know(&self, id: &ImageId) -> bool {
        self.0.iter().any(|wish| wish.have.contains(id))
    }

    /// Cuts the picture's views for the tables that lack it.
    ///
    /// # Errors
    /// Fails if the picture cannot be cut.
    pub(super) fn cut(&self, id: &ImageId, picture: &Rgb) -> Result<Cuts> {
        let _span = tracing::debug_span!("cut").entered();
        let lacking = self.0.iter().enumerate().filter(|(_, wish)| !wish.have.contains(id));
        lacking.map(|(table, wish)| Ok((table, (wish.cut)(id, picture)?))).collect()
    }
}

/// A picture on its way through a table's batches. It counts as done when no table holds it any
/// more.
pub(super) struct Waiting {
    /// The picture's id, as in the tables.
    pub(super) image_id: String,
    _done: Arc<Done>,
}

/// Advances the progress by one picture when the last table drops it.
struct Done(Arc<dyn Progress>);

impl Drop for Done {
    fn drop(&mut self) {
        self.0.advance(1);
    }
}

/// Sends cuts to the tables, through one batcher each.
pub(super) struct Mouths {
    batchers: Vec<Batcher<Waiting>>,
    progress: Arc<dyn Progress>,
}

impl Mouths {
    /// Returns a batcher for each table, and the receivers of their batches. `sizes` are pictures
    /// per batch.
    pub(super) fn new(
        sizes: impl IntoIterator<Item = usize>,
        progress: Arc<dyn Progress>,
    ) -> (Self, Vec<Batches<Waiting>>) {
        let (batchers, batches) = sizes.into_iter().map(Batcher::new).unzip();
        (Mouths { batchers, progress }, batches)
    }

    /// Sends what was cut from a picture, waiting if a table has no room for it.
    ///
    /// # Errors
    /// Fails if a table's receiver was dropped.
    pub(super) async fn push(&mut self, image_id: String, cuts: Cuts) -> Result<(), Closed> {
        let done = Arc::new(Done(self.progress.clone()));
        for (table, views) in cuts {
            let waiting = Waiting { image_id: image_id.clone(), _done: done.clone() };
            self.batchers[table].push(waiting, views).await?;
        }
        Ok(())
    }

    /// Sends the last, incomplete batches.
    ///
    /// # Errors
    /// Fails as [`push`](Self::push) does.
    pub(super) async fn flush(&mut self) -> Result<(), Closed> {
        for batcher in &mut self.batchers {
            batcher.flush().await?;
        }
        Ok(())
    }

    /// Sends an error to the first table; the others end when their batchers are dropped.
    pub(super) async fn fail(&mut self, error: crate::error::Error) {
        if let Some(batcher) = self.batchers.first_mut() {
            batcher.fail(error).await;
        }
    }
}
