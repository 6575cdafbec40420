//! From a list of pictures to batches of pixels: a decode pool on all cores, and a bounded channel to whoever consumes.
//!
//! What is in flight is bounded by bytes: a view has a fixed size, so the channel's length, the batch and the pool's
//! depth bound the memory, whatever the size of the dataset. Batches come in the order of the list, so that the same list
//! gives the same batches.

use std::sync::Arc;

use futures::StreamExt;
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;

use crate::error::{Error, Kind, Result};

/// Views of some pictures, ready for the device.
#[derive(Debug)]
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

/// Starts to make views of `len` pictures, in order, in batches of `batch`. Ends when the receiver is dropped.
///
/// Must be called within a tokio runtime.
pub fn feed<F>(len: usize, batch: usize, make: F) -> mpsc::Receiver<Result<PixelBatch>>
where
    F: Fn(usize) -> Result<Views> + Send + Sync + 'static,
{
    let (send, receive) = mpsc::channel(WAITING);
    let make = Arc::new(make);
    tokio::spawn(async move {
        let depth = 2 * std::thread::available_parallelism().map_or(1, usize::from);
        let mut views = futures::stream::iter(0..len)
            .map(|place| {
                let make = make.clone();
                async move { (place, spawn_blocking(move || make(place)).await) }
            })
            .buffered(depth);
        let mut filling = PixelBatch { places: Vec::new(), pixels: Vec::new(), boxes: Vec::new() };
        while let Some((place, made)) = views.next().await {
            let made = made.unwrap_or_else(|e| Err(Error::new(Kind::Input, "decoding was cut short").cause(e)));
            match made {
                Ok(views) => {
                    filling.places.push(place);
                    filling.pixels.extend_from_slice(&views.pixels);
                    filling.boxes.extend_from_slice(&views.boxes);
                }
                Err(error) => {
                    let _ = send.send(Err(error)).await;
                    return;
                }
            }
            if filling.places.len() == batch || place + 1 == len {
                let empty = PixelBatch { places: Vec::new(), pixels: Vec::new(), boxes: Vec::new() };
                let full = std::mem::replace(&mut filling, empty);
                if send.send(Ok(full)).await.is_err() {
                    return;
                }
            }
        }
    });
    receive
}
