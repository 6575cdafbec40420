//! Makes the rows of [`Composites`] while the crops stream: those of a picture wait until the
//! features of the whole picture are known.
//!
//! At most so many pictures wait as lie between the two tables of one pass, which are fed the same
//! pictures in the same order: a few batches of `embeddings`, whatever the number of pictures.

use std::collections::{HashMap, VecDeque};
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use arrow::array::RecordBatch;
use futures::stream::{self, Stream, StreamExt};
use tokio::sync::mpsc::UnboundedReceiver;

use super::Composites;
use super::whole::{self, Stored};
use crate::cores;
use crate::error::{Error, Kind, Result};
use crate::image::ImageId;
use crate::panics::guard;
use crate::stop::Stop;

/// Where the features of whole pictures come from.
pub(super) struct Whole {
    /// Those that are stored.
    pub(super) stored: Stored,
    /// Those that are computed meanwhile.
    pub(super) coming: Option<UnboundedReceiver<(ImageId, Vec<f32>)>>,
}

/// What happens while crops stream.
enum Event {
    Crops(Result<RecordBatch>),
    Whole(ImageId, Vec<f32>),
}

struct Composing<S> {
    table: Composites,
    events: Pin<Box<S>>,
    stored: Arc<Mutex<Stored>>,
    come: HashMap<ImageId, Vec<f32>>,
    waiting: VecDeque<(Vec<ImageId>, RecordBatch)>,
    stop: Stop,
}

/// Turns rows of `view_features` into rows of `composites`, in the order in which they come.
pub(super) fn composed(
    table: Composites,
    crops: impl Stream<Item = Result<RecordBatch>>,
    whole: Whole,
    stop: Stop,
) -> impl Stream<Item = Result<RecordBatch>> {
    let Whole { stored, mut coming } = whole;
    let coming = stream::poll_fn(move |context| match &mut coming {
        Some(coming) => coming.poll_recv(context),
        None => std::task::Poll::Ready(None),
    });
    let events = stream::select(crops.map(Event::Crops), coming.map(|(id, values)| Event::Whole(id, values)));
    let composing = Composing {
        table,
        events: Box::pin(events),
        stored: Arc::new(Mutex::new(stored)),
        come: HashMap::new(),
        waiting: VecDeque::new(),
        stop,
    };
    stream::unfold(composing, |mut composing| async { composing.next().await.map(|rows| (rows, composing)) })
}

impl<S: Stream<Item = Event>> Composing<S> {
    async fn next(&mut self) -> Option<Result<RecordBatch>> {
        loop {
            if self.waiting.front().is_some_and(|(ids, _)| self.is_known(ids)) {
                let (ids, crops) = self.waiting.pop_front()?;
                return Some(self.compose(ids, crops).await);
            }
            match self.events.next().await {
                Some(Event::Whole(id, values)) => drop(self.come.insert(id, values)),
                Some(Event::Crops(crops)) => match crops.and_then(|crops| Ok((whole::ids(&crops)?, crops))) {
                    Ok(crops) => self.waiting.push_back(crops),
                    Err(error) => return Some(Err(error)),
                },
                // After a stop, whole pictures are left that nobody sees.
                None if self.waiting.is_empty() || self.stop.requested() => return None,
                None => {
                    self.waiting.clear();
                    let what = "the features of whole pictures ended before those of their crops";
                    return Some(Err(Error::new(Kind::Internal, what)));
                }
            }
        }
    }

    fn is_known(&self, ids: &[ImageId]) -> bool {
        let stored = guard(&self.stored);
        ids.iter().all(|id| self.come.contains_key(id) || stored.place(id).is_some())
    }

    async fn compose(&mut self, ids: Vec<ImageId>, crops: RecordBatch) -> Result<RecordBatch> {
        let come = ids.iter().filter_map(|id| self.come.remove_entry(id)).collect();
        let (table, stored) = (self.table.clone(), self.stored.clone());
        let made = cores::run(move || {
            let whole = guard(&stored).features(&ids, come)?;
            table.rows(&crops, &whole)
        });
        made.await.flatten()
    }
}
