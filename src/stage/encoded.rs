//! Encoded pictures from a source: read, identified by their bytes, and rejected if their header
//! exceeds the limits.

use std::path::Path;

use futures::{Stream, StreamExt};
use tokio::task::spawn_blocking;

use crate::cores;
use crate::error::{Error, Kind, Result};
use crate::image::{Header, ImageId, Limits, Reason, Rejection, probe};
use crate::source::{Item, Larger, Origin, Within};
use crate::stage::pool::{self, Budget, Share, Task};
use crate::text::file as text_file;

/// A picture whose header is within the limits; it has not been decoded.
#[derive(Debug)]
pub(super) struct Encoded {
    /// The file's bytes.
    pub(super) bytes: Vec<u8>,
    /// Identity of the bytes.
    pub(super) id: ImageId,
    /// Format and sizes.
    pub(super) header: Header,
    /// Memory share of the bytes, given back on drop.
    pub(super) room: Share,
}

impl Encoded {
    /// Returns the bytes that decoding the picture takes.
    pub(super) fn decoding_bytes(&self) -> usize {
        self.header.format.decoding_bytes(self.header.width, self.header.height)
    }
}

/// What comes next: something to read, or what is known of it without that.
pub(super) enum Next<K, I = Item> {
    /// Something to read.
    Read(I),
    /// Something known.
    Known(K),
}

/// Runs `work` on each item of a source and on what was read of it, in the order of the source. A
/// picture is read first; `work` starts when its size is known and there is room to decode it. What
/// is known is passed on in its place.
///
/// Must be polled within a tokio runtime.
pub(super) fn each<T: Send + 'static>(
    items: impl Iterator<Item = Result<Next<T>>> + Send,
    limits: Limits,
    work: impl Fn(Item, Result<Encoded, Rejection>) -> Result<T> + Clone + Send + 'static,
) -> impl Stream<Item = Result<T>> + Send {
    let budget = Budget::new();
    // The next item is taken from the source only when there is room for this one, because an item
    // may carry its bytes.
    let with_room = {
        let budget = budget.clone();
        futures::stream::iter(items).then(move |item| {
            let budget = budget.clone();
            async move {
                let item = match item? {
                    Next::Read(item) => item,
                    Next::Known(known) => return Ok(Next::Known(known)),
                };
                let room = budget.encoded(item.origin.byte_len().min(limits.max_bytes)).await;
                Ok(Next::Read((item, room)))
            }
        })
    };
    let read = with_room.map(move |item: Result<Next<T, (Item, Share)>>| async move {
        let (mut item, room) = match item? {
            Next::Read(read) => read,
            Next::Known(known) => return Ok(Next::Known(known)),
        };
        let read = spawn_blocking(move || {
            let read = read(&mut item, &limits, room);
            (item, read)
        });
        read.await.map(Next::Read).map_err(|e| Error::new(Kind::Internal, "reading a picture was cut short").cause(e))
    });
    let tasks = read.buffered(pool::depth()).map(move |read| {
        let decoded = match &read {
            Ok(Next::Read((_, Ok(encoded)))) => encoded.decoding_bytes(),
            _ => 0,
        };
        let work = work.clone();
        Task::new(0, decoded, move || match read? {
            Next::Read((item, encoded)) => work(item, encoded),
            Next::Known(known) => Ok(known),
        })
    });
    pool::in_order(tasks, budget).map(Result::flatten)
}

/// Reads a picture, taking its bytes out of the item if they are embedded there.
fn read(item: &mut Item, limits: &Limits, room: Share) -> Result<Encoded, Rejection> {
    let bytes = match &mut item.origin {
        Origin::File { path, byte_len, .. } => read_file(path, *byte_len, limits)?,
        Origin::Embedded { bytes, .. } => std::mem::take(bytes),
        Origin::Part { place, byte_len } => read_part(place, *byte_len, limits)?,
        Origin::Unreadable { detail } => return Err(Rejection::new(Reason::Unreadable, detail.clone())),
    };
    let _turn = cores::turn();
    let header = probe(&bytes, limits)?;
    Ok(Encoded { id: ImageId::of(&bytes), bytes, header, room })
}

fn read_file(path: &Path, byte_len: u64, limits: &Limits) -> Result<Vec<u8>, Rejection> {
    within(byte_len, limits)?;
    text_file::bytes(path, limits.max_bytes).map_err(|e| Rejection::new(Reason::Unreadable, e.to_string()))
}

/// Reads a picture where it is in a larger file. The file is opened for each: what was listed may
/// have changed since, and thousands of such files are not open at the same time.
fn read_part(place: &Within, byte_len: u64, limits: &Limits) -> Result<Vec<u8>, Rejection> {
    within(byte_len, limits)?;
    let read = Larger::open(&place.file).and_then(|file| file.read(place.at, byte_len));
    read.map_err(|error| Rejection::new(Reason::Unreadable, error.to_string()))
}

/// Refuses a picture that is too large before any of it is read.
fn within(byte_len: u64, limits: &Limits) -> Result<(), Rejection> {
    match byte_len > limits.max_bytes {
        true => Err(Rejection::new(Reason::TooLargeBytes, limits.bytes_exceeded(byte_len))),
        false => Ok(()),
    }
}
