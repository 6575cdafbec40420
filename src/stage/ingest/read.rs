//! Reading a source: every picture read, named, and decoded on all cores, in the order of the source.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures::StreamExt;

use super::Tap;
use crate::error::{Context, Error, Kind, Result};
use crate::image::{Header, ImageId, Limits, Rejection, decode};
use crate::source::{Item, Origin, Source, Split};
use crate::stage::cuts::{Cuts, Wishes};
use crate::stage::encoded::{self, Encoded};
use crate::stage::pool::Share;
use crate::stage::progress::Progress;
use crate::stop::Stop;

/// A picture that decoded. Bytes without a file of their own wait in a spool on disk until the part is written.
pub(super) struct Row {
    pub(super) id: ImageId,
    pub(super) paths: Vec<String>,
    pub(super) split: Split,
    pub(super) header: Header,
    pub(super) byte_len: u64,
    /// Of a file of its own.
    pub(super) modified: Option<i64>,
    /// Whether its bytes are in the spool: it has no file of its own.
    pub(super) spooled: bool,
    pub(super) class: Option<i32>,
}

/// What a source turned out to hold.
pub(super) struct Read {
    /// In the order of the source; a picture that occurs twice has one row.
    pub(super) rows: Vec<Row>,
    /// By path.
    pub(super) rejected: Vec<(String, Rejection)>,
    /// The bytes of pictures that have no file of their own, one after the other.
    pub(super) spool: File,
    /// Pictures of which the tap wanted something.
    pub(super) tapped: u64,
    /// Files whose bytes are those of a file of the other split.
    pub(super) in_both: u64,
}

/// What reading needs.
pub(super) struct Reading {
    pub(super) classes: HashMap<String, i32>,
    pub(super) limits: Limits,
    pub(super) stop: Stop,
    pub(super) progress: Arc<dyn Progress>,
    /// Pictures that are known to decode.
    pub(super) decoded: Arc<HashSet<ImageId>>,
    pub(super) tap: Option<Tap>,
}

/// One item of the source after its turn on the pool.
struct Checked {
    item: Item,
    outcome: Result<Good, Rejection>,
}

/// A picture that can be decoded.
struct Good {
    id: ImageId,
    header: Header,
    byte_len: u64,
    modified: Option<i64>,
    /// Only of a picture that has no file of its own; with the room that they take.
    bytes: Option<(Vec<u8>, Share)>,
    /// What the tap wants of it.
    cuts: Cuts,
}

impl Reading {
    /// Reads the source to its end. The spool is made below `root`. It runs as a task of its own, so that it goes on while the
    /// caller computes.
    pub(super) async fn read(self, source: Box<dyn Source>, root: &Path) -> Result<Read> {
        let root = root.to_path_buf();
        let task = tokio::spawn(self.run(source, root));
        task.await.unwrap_or_else(|e| Err(Error::new(Kind::Internal, "reading the dataset was cut short").cause(e)))
    }

    async fn run(mut self, source: Box<dyn Source>, root: PathBuf) -> Result<Read> {
        let spool = tempfile::tempfile_in(&root).at(Kind::Store, "cannot write to", &root)?;
        let mut read = Read { rows: Vec::new(), rejected: Vec::new(), spool, tapped: 0, in_both: 0 };
        let mut places = HashMap::new();
        let mut checked = std::pin::pin!(self.checked(source));
        while let Some(next) = checked.next().await {
            self.stop.check()?;
            let Checked { item, outcome } = next?;
            let good = match outcome {
                Ok(good) => good,
                Err(rejection) => {
                    self.progress.advance(1);
                    read.rejected.push((item.path, rejection));
                    continue;
                }
            };
            if let Some(&at) = places.get(&good.id) {
                self.progress.advance(1);
                let row: &mut Row = &mut read.rows[at];
                let split = item.split.unwrap_or(Split::Train);
                if row.split != split {
                    // Whatever its names: what is measured on was not trained on.
                    row.split = Split::Test;
                    read.in_both += 1;
                }
                row.paths.push(item.path);
                continue;
            }
            places.insert(good.id, read.rows.len());
            if let Some((bytes, _)) = &good.bytes {
                read.spool.write_all(bytes).at(Kind::Store, "cannot write to", &root)?;
            }
            read.tapped += u64::from(!good.cuts.is_empty());
            match &mut self.tap {
                // It counts as done when its takers are done with it.
                Some(tap) => tap.mouths.push(good.id.to_string(), good.cuts).await.map_err(|_| abandoned())?,
                None => self.progress.advance(1),
            }
            read.rows.push(Row {
                id: good.id,
                split: item.split.unwrap_or(Split::Train),
                header: good.header,
                byte_len: good.byte_len,
                modified: good.modified,
                spooled: good.bytes.is_some(),
                class: item.label.as_deref().and_then(|label| self.classes.get(label).copied()),
                paths: vec![item.path],
            });
        }
        if let Some(tap) = &mut self.tap {
            tap.mouths.flush().await.map_err(|_| abandoned())?;
        }
        Ok(read)
    }

    /// The items of the source in its order.
    fn checked(&self, source: Box<dyn Source>) -> impl futures::Stream<Item = Result<Checked>> + Send + use<> {
        let limits = self.limits;
        let decoded = self.decoded.clone();
        let wishes = self.tap.as_ref().map(|tap| tap.wishes.clone());
        encoded::each(source.items(), limits, move |item, encoded| {
            let outcome = match encoded {
                Ok(encoded) => check(&item, encoded, &limits, &decoded, wishes.as_ref())?,
                Err(rejection) => Err(rejection),
            };
            Ok(Checked { item, outcome })
        })
    }
}

/// Decodes a picture, unless it is known that it can be and nobody wants its pixels.
fn check(
    item: &Item,
    encoded: Encoded,
    limits: &Limits,
    decoded: &HashSet<ImageId>,
    wishes: Option<&Wishes>,
) -> Result<Result<Good, Rejection>> {
    let id = encoded.id;
    let wanted = wishes.filter(|wishes| wishes.want(&id));
    let proven = decoded.contains(&id) || wishes.is_some_and(|wishes| wishes.know(&id));
    let mut cuts = Cuts::new();
    if wanted.is_some() || !proven {
        match decode(&encoded.bytes, limits) {
            Ok(picture) => cuts = wanted.map_or(Ok(cuts), |wishes| wishes.cut(&id, &picture))?,
            Err(rejection) => return Ok(Err(rejection)),
        }
    }
    Ok(Ok(Good::new(encoded, item, cuts)))
}

impl Good {
    fn new(encoded: Encoded, item: &Item, cuts: Cuts) -> Self {
        let Encoded { bytes, id, header, room } = encoded;
        let byte_len = bytes.len() as u64;
        let (modified, bytes) = match &item.origin {
            Origin::File { modified_ns, .. } => (Some(*modified_ns), None),
            _ => (None, Some((bytes, room))),
        };
        Good { id, header, byte_len, modified, bytes, cuts }
    }
}

/// The taker of the tap's pictures ended, for a reason of its own.
fn abandoned() -> Error {
    Error::new(Kind::Input, "reading the dataset was given up: its pictures are wanted no more")
}
