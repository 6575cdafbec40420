//! Turns a list of pictures into batches of pixels: the decode pool, then a bounded channel to the
//! consumer.
//!
//! Memory is bounded, whatever the size of the dataset and of its pictures: decoded pictures by the
//! pool's budget, and views, which have a fixed size, by the channel's length, the batch and the
//! pool's depth. Batches come in the order of the list, so that the same list gives the same
//! batches.

use futures::StreamExt;
use tokio::sync::mpsc;

use crate::error::{Error, Result};
use crate::stage::pool::{self, Budget, Task};

/// Views of some pictures, ready for the device. `K` identifies a picture.
#[derive(Debug)]
pub struct PixelBatch<K = usize> {
    /// The pictures: places in the list that a feed was given, or ids.
    pub pictures: Vec<K>,
    /// 8-bit RGB, `pictures.len()` times the views per picture times S x S x 3.
    pub pixels: Vec<u8>,
    /// Boxes as in [`Views::boxes`], in the order of `pictures`.
    pub boxes: Vec<f32>,
}

/// The views of one or more pictures.
#[derive(Debug, Default)]
pub struct Views {
    /// Pixels of the views, one view after the other.
    pub pixels: Vec<u8>,
    /// Where the views were cut, four numbers each; empty if not needed.
    pub boxes: Vec<f32>,
}

/// Receiver of batches.
pub type Batches<K = usize> = mpsc::Receiver<Result<PixelBatch<K>>>;

/// Batches that may wait in the channel: one is consumed while the next is filled.
const WAITING: usize = 1;

/// Fills batches and sends them.
#[derive(Debug)]
pub(super) struct Batcher<K> {
    size: usize,
    filling: PixelBatch<K>,
    send: mpsc::Sender<Result<PixelBatch<K>>>,
}

/// The receiver was dropped.
#[derive(Debug)]
pub(super) struct Closed;

impl<K> Batcher<K> {
    /// Returns a batcher for batches of `size` pictures, and the receiver.
    pub(super) fn new(size: usize) -> (Self, Batches<K>) {
        let (send, receive) = mpsc::channel(WAITING);
        (Batcher { size, filling: PixelBatch::empty(), send }, receive)
    }

    /// Adds a picture's views; if they complete a batch, sends it, waiting for room.
    pub(super) async fn push(&mut self, picture: K, views: Views) -> Result<(), Closed> {
        if self.filling.pictures.is_empty() {
            self.filling.pixels.reserve_exact(views.pixels.len() * self.size);
        }
        self.filling.pictures.push(picture);
        self.filling.pixels.extend_from_slice(&views.pixels);
        self.filling.boxes.extend_from_slice(&views.boxes);
        if self.filling.pictures.len() == self.size { self.flush().await } else { Ok(()) }
    }

    /// Sends an error in place of a batch.
    pub(super) async fn fail(&mut self, error: Error) {
        let _ = self.send.send(Err(error)).await;
    }

    /// Sends the last, incomplete batch, if there is one.
    pub(super) async fn flush(&mut self) -> Result<(), Closed> {
        if self.filling.pictures.is_empty() {
            return Ok(());
        }
        let batch = std::mem::replace(&mut self.filling, PixelBatch::empty());
        self.send.send(Ok(batch)).await.map_err(|_| Closed)
    }
}

impl<K> PixelBatch<K> {
    fn empty() -> Self {
        PixelBatch { pictures: Vec::new(), pixels: Vec::new(), boxes: Vec::new() }
    }
}

/// Memory that a picture takes while its views are made.
#[derive(Debug, Clone, Copy)]
pub(super) struct Size {
    /// Bytes of the picture's file.
    pub(super) encoded: u64,
    /// Bytes of the picture's pixels and of what its decoder needs besides.
    pub(super) decoded: usize,
}

/// Starts making views of `len` pictures, in order, in batches of `batch`; `size` returns the
/// memory that a picture takes meanwhile. Ends early if the receiver is dropped.
///
/// Must be called within a tokio runtime.
pub(super) fn feed<D, F>(len: usize, batch: usize, size: D, make: F) -> Batches
where
    D: Fn(usize) -> Size + Send + Sync + 'static,
    F: Fn(usize) -> Result<Views> + Send + Sync + 'static,
{
    let (mut batcher, receive) = Batcher::new(batch);
    let make = std::sync::Arc::new(make);
    tokio::spawn(async move {
        let tasks = (0..len).map(|place| {
            let make = make.clone();
            let Size { encoded, decoded } = size(place);
            Task::new(encoded, decoded, move || make(place))
        });
        let mut views = pool::in_order(futures::stream::iter(tasks), Budget::new()).enumerate();
        while let Some((place, made)) = views.next().await {
            match made.flatten() {
                Ok(views) => {
                    if batcher.push(place, views).await.is_err() {
                        return;
                    }
                }
                Err(error) => {
                    batcher.fail(error).await;
                    return;
                }
            }
        }
        let _ = batcher.flush().await;
    });
    receive
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn batches_come_in_the_order_of_the_list() {
        let one = |_| Size { encoded: 1, decoded: 1 };
        let mut batches = feed(40, 7, one, |place| Ok(Views { pixels: vec![place as u8; 3], boxes: Vec::new() }));
        let (mut places, mut sizes) = (Vec::new(), Vec::new());
        while let Some(batch) = batches.recv().await {
            let batch = batch.unwrap();
            assert!(batch.pictures.iter().zip(batch.pixels.chunks(3)).all(|(&p, pixels)| pixels == [p as u8; 3]));
            sizes.push(batch.pictures.len());
            places.extend(batch.pictures);
        }
        assert_eq!((places, sizes), ((0..40).collect(), vec![7, 7, 7, 7, 7, 5]));
    }
}
