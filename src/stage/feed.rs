//! From a list of pictures to batches of pixels: a decode pool on all cores, and a bounded channel to whoever consumes.
//!
//! What is in flight is bounded by bytes, whatever the size of the dataset and of its pictures: decoded pictures by a budget that
//! each takes its share of before it is decoded, views, which have a fixed size, by the channel's length, the batch and the pool's
//! depth. Batches come in the order of the list, so that the same list gives the same batches.

use std::sync::Arc;

use futures::StreamExt;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::spawn_blocking;

use crate::error::{Error, Kind, Result};

/// Views of some pictures, ready for the device.
#[derive(Debug, Default)]
pub struct PixelBatch {
    /// Places in the list the feed was given.
    pub places: Vec<usize>,
    /// 8-bit RGB, `places.len()` times the views of a picture times S x S x 3.
    pub pixels: Vec<u8>,
    /// What the view maker wants to hand on besides pixels, in the order of `places`.
    pub boxes: Vec<f32>,
}

/// The views of one picture.
#[derive(Debug, Default)]
pub struct Views {
    /// Their pixels, one after the other.
    pub pixels: Vec<u8>,
    /// Where they were cut, four numbers each; empty where nobody asks.
    pub boxes: Vec<f32>,
}

/// Batches that may wait in the channel: one is consumed while the next is filled.
const WAITING: usize = 1;

/// Bytes that decoded pictures may take at any time. A picture that is larger waits for all of it, and is decoded alone.
const DECODED: usize = 256 << 20;

/// Starts to make views of `len` pictures, in order, in batches of `batch`; `decoded` is how many bytes a picture takes while its
/// views are made. Ends when the receiver is dropped.
///
/// Must be called within a tokio runtime.
pub fn feed<D, F>(len: usize, batch: usize, decoded: D, make: F) -> mpsc::Receiver<Result<PixelBatch>>
where
    D: Fn(usize) -> usize + Send + Sync + 'static,
    F: Fn(usize) -> Result<Views> + Send + Sync + 'static,
{
    let (send, receive) = mpsc::channel(WAITING);
    let (make, budget) = (Arc::new(make), Arc::new(Semaphore::new(DECODED)));
    tokio::spawn(async move {
        let depth = 2 * std::thread::available_parallelism().map_or(1, usize::from);
        let mut views = futures::stream::iter(0..len)
            .map(|place| {
                let (make, budget, bytes) = (make.clone(), budget.clone(), decoded(place).min(DECODED) as u32);
                async move {
                    // Shares are given in the order of the list, so that the picture that is waited for is never kept waiting.
                    let share = budget.acquire_many_owned(bytes).await;
                    let made = spawn_blocking(move || {
                        let _until_made = share;
                        make(place)
                    });
                    (place, made.await)
                }
            })
            .buffered(depth);
        let mut filling = PixelBatch::default();
        while let Some((place, made)) = views.next().await {
            let made = made.unwrap_or_else(|e| Err(Error::new(Kind::Input, "decoding was cut short").cause(e)));
            match made {
                Ok(views) => {
                    if filling.places.is_empty() {
                        filling.pixels.reserve_exact(views.pixels.len() * batch.min(len - place));
                    }
                    filling.places.push(place);
                    filling.pixels.extend_from_slice(&views.pixels);
                    filling.boxes.extend_from_slice(&views.boxes);
                }
                Err(error) => {
                    let _ = send.send(Err(error)).await;
                    return;
                }
            }
            let full = filling.places.len() == batch || place + 1 == len;
            if full && send.send(Ok(std::mem::take(&mut filling))).await.is_err() {
                return;
            }
        }
    });
    receive
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn pictures_of_any_size_come_in_order_and_within_the_budget() {
        // Every third is larger than the whole budget; two of the others fit into it, three do not.
        let size = |place: usize| if place.is_multiple_of(3) { 2 * DECODED } else { DECODED / 2 };
        let in_flight = Arc::new(AtomicUsize::new(0));
        let most = Arc::new(AtomicUsize::new(0));
        let (now, peak) = (in_flight.clone(), most.clone());
        let mut batches = feed(40, 7, size, move |place| {
            let bytes = size(place).min(DECODED);
            peak.fetch_max(now.fetch_add(bytes, Ordering::SeqCst) + bytes, Ordering::SeqCst);
            std::thread::sleep(std::time::Duration::from_millis(1));
            now.fetch_sub(bytes, Ordering::SeqCst);
            Ok(Views { pixels: vec![place as u8; 3], boxes: Vec::new() })
        });
        let (mut places, mut sizes) = (Vec::new(), Vec::new());
        while let Some(batch) = batches.recv().await {
            let batch = batch.unwrap();
            assert!(batch.places.iter().zip(batch.pixels.chunks(3)).all(|(&p, pixels)| pixels == [p as u8; 3]));
            sizes.push(batch.places.len());
            places.extend(batch.places);
        }
        assert_eq!((places, sizes), ((0..40).collect(), vec![7, 7, 7, 7, 7, 5]));
        assert!(most.load(Ordering::SeqCst) <= DECODED);
    }
}
