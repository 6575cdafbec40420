//! One decode for several tables: what each wants of a picture is cut while its pixels are in memory, and goes to that table's
//! batches.

use std::collections::HashSet;
use std::sync::Arc;

use crate::error::Result;
use crate::image::{ImageId, Rgb};
use crate::stage::feed::{Batcher, Batches, Closed, Views};
use crate::stage::progress::Progress;

/// Cuts what a table wants from a decoded picture.
pub(super) type Cut = Arc<dyn Fn(&ImageId, &Rgb) -> Result<Views> + Send + Sync>;

/// What a table wants: a cut of each picture that it does not have.
#[derive(Clone)]
pub(super) struct Wish {
    /// The pictures that it has.
    pub(super) have: Arc<HashSet<ImageId>>,
    /// Cuts the others.
    pub(super) cut: Cut,
}

/// What was cut of a picture, by the number of the table.
pub(super) type Cuts = Vec<(usize, Views)>;

/// What all tables want.
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

    /// Returns whether a table has the picture, which shows that it can be decoded.
    pub(super) fn know(&self, id: &ImageId) -> bool {
        self.0.iter().any(|wish| wish.have.contains(id))
    }

    /// Cuts what tables lack of the picture.
    ///
    /// # Errors
    /// Where it cannot be cut.
    pub(super) fn cut(&self, id: &ImageId, picture: &Rgb) -> Result<Cuts> {
        let lacking = self.0.iter().enumerate().filter(|(_, wish)| !wish.have.contains(id));
        lacking.map(|(table, wish)| Ok((table, (wish.cut)(id, picture)?))).collect()
    }
}

/// A picture on its way through a table's batches. It counts as done once no table has it in hand.
pub(super) struct Waiting {
    /// The picture's id, as tables have it.
    pub(super) image_id: String,
    _done: Arc<Done>,
}

/// Tells progress of a picture when the last table drops it.
struct Done(Arc<dyn Progress>);

impl Drop for Done {
    fn drop(&mut self) {
        self.0.advance(1);
    }
}

/// Where cuts go in, one mouth for each table.
pub(super) struct Mouths {
    batchers: Vec<Batcher<Waiting>>,
    progress: Arc<dyn Progress>,
}

impl Mouths {
    /// Makes a mouth for each table, and what comes out behind it. `sizes` are the pictures of a batch.
    pub(super) fn new(
        sizes: impl IntoIterator<Item = usize>,
        progress: Arc<dyn Progress>,
    ) -> (Self, Vec<Batches<Waiting>>) {
        let (batchers, batches) = sizes.into_iter().map(Batcher::new).unzip();
        (Mouths { batchers, progress }, batches)
    }

    /// Hands over what was cut of a picture, and waits where a table has no room for it.
    ///
    /// # Errors
    /// Where a table takes no more pictures.
    pub(super) async fn push(&mut self, image_id: String, cuts: Cuts) -> Result<(), Closed> {
        let done = Arc::new(Done(self.progress.clone()));
        for (table, views) in cuts {
            let waiting = Waiting { image_id: image_id.clone(), _done: done.clone() };
            self.batchers[table].push(waiting, views).await?;
        }
        Ok(())
    }

    /// Hands over what does not make a whole batch.
    ///
    /// # Errors
    /// As [`push`](Self::push).
    pub(super) async fn flush(&mut self) -> Result<(), Closed> {
        for batcher in &mut self.batchers {
            batcher.flush().await?;
        }
        Ok(())
    }

    /// Hands over an error, which ends every table.
    pub(super) async fn fail(&mut self, error: crate::error::Error) {
        if let Some(batcher) = self.batchers.first_mut() {
            batcher.fail(error).await;
        }
    }
}
