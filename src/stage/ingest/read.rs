//! Reads a source: every picture is read, hashed and decoded on all cores, in the order of the
//! source.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures::StreamExt;

use super::Tap;
use super::found::{Finding, Found, InFile};
use crate::error::{Context, Error, Kind, Result};
use crate::image::{Decoding, Header, ImageId, Rejection};
use crate::source::{Item, Origin, Source, Split, Within};
use crate::stage::cuts::{Cuts, Wishes};
use crate::stage::encoded::{self, Encoded, Next};
use crate::stage::pool::Share;
use crate::stage::progress::Progress;
use crate::stop::Stop;

/// A picture that can be decoded. Bytes that are copied wait in a spool on disk until the part is
/// written.
pub(super) struct Row {
    pub(super) id: ImageId,
    /// The files that it was found in: more than one if they have the same bytes.
    pub(super) files: Vec<SourceFile>,
    /// The latest split of its files.
    pub(super) split: Split,
    pub(super) header: Header,
    pub(super) byte_len: u64,
    /// Modification time of the file that has the picture (nanoseconds since 1970 UTC), unless it
    /// is copied.
    pub(super) modified: Option<i64>,
    /// The place in a larger file that has the picture, unless it is copied.
    pub(super) within: Option<Within>,
    /// Whether its bytes are in the spool.
    pub(super) spooled: bool,
    /// The label of its first file.
    pub(super) class: Option<i32>,
    /// Its colour, as `#rrggbb`, if it has only one.
    pub(super) colour: Option<String>,
}

/// A file as its source describes it.
pub(super) struct SourceFile {
    pub(super) path: String,
    pub(super) split: Split,
    pub(super) class: Option<i32>,
}

/// The contents of a source.
pub(super) struct Read {
    /// Rows in the order of the source; a picture that occurs twice has one row.
    pub(super) rows: Vec<Row>,
    /// Rejected files, by path.
    pub(super) rejected: Vec<(String, Rejection)>,
    /// Bytes of the pictures that are copied, one after the other.
    pub(super) spool: File,
    /// Number of files that an interrupted ingest had found, and that were not read again.
    pub(super) not_again: u64,
    /// Number of pictures that the tap wanted.
    pub(super) tapped: u64,
    /// Number of pictures that are not the way up that they are stored.
    pub(super) turned: u64,
    /// Number of files with the same bytes as an earlier one.
    pub(super) equal: u64,
    /// How many of these lie in another split.
    pub(super) in_two_splits: u64,
    /// How many of these have another label.
    pub(super) two_labels: u64,
}

/// Everything needed to read a source.
pub(super) struct Reading {
    pub(super) classes: HashMap<String, i32>,
    pub(super) decoding: Decoding,
    pub(super) stop: Stop,
    pub(super) progress: Arc<dyn Progress>,
    /// What is known of pictures before they are decoded.
    pub(super) known: Arc<Known>,
    /// Where what is found goes.
    pub(super) finding: Finding,
    /// Whether pictures that have no file of their own are copied.
    pub(super) copy: bool,
    pub(super) tap: Option<Tap>,
}

/// What earlier readings found.
pub(super) struct Known {
    /// Pictures of the dataset that decode.
    pub(super) decoded: HashSet<ImageId>,
    /// Pictures of one colour, if that was looked at. Without it every picture is decoded.
    pub(super) constant: Option<HashMap<ImageId, String>>,
    /// What an interrupted ingest found.
    pub(super) found: Found,
}

impl Known {
    /// Returns the colour of a picture, if it has only one; `None` if it must be decoded. `proven`
    /// says that a table has what was decoded from it.
    fn colour(&self, id: &ImageId, proven: bool) -> Option<Option<String>> {
        let of_tables = || {
            let proven = proven || self.decoded.contains(id);
            self.constant.as_ref().filter(|_| proven).map(|constant| constant.get(id).cloned())
        };
        self.found.colour(id).or_else(of_tables)
    }
}

/// An item of the source, and what checking it found.
struct Checked {
    item: Item,
    outcome: Result<Good, Rejection>,
    /// Whether an interrupted ingest found it, and it was not read again.
    found: bool,
}

/// A picture that can be decoded.
pub(super) struct Good {
    pub(super) id: ImageId,
    pub(super) header: Header,
    pub(super) byte_len: u64,
    modified: Option<i64>,
    /// The place in a larger file that has it, unless it is copied.
    within: Option<Within>,
    /// Bytes of a picture that is copied, with their memory share.
    bytes: Option<(Vec<u8>, Share)>,
    /// What the tap wants of the picture.
    cuts: Cuts,
    /// Its colour, if it has only one.
    pub(super) colour: Option<String>,
}

impl Reading {
    /// Reads the source to its end, with a spool below `root`. Runs as a separate task, so that it
    /// goes on while the caller computes.
    pub(super) async fn read(self, source: Box<dyn Source>, root: &Path) -> Result<Read> {
        let root = root.to_path_buf();
        let task = tokio::spawn(self.run(source, root));
        task.await.unwrap_or_else(|e| Err(Error::new(Kind::Internal, "reading the dataset was cut short").cause(e)))
    }

    async fn run(mut self, source: Box<dyn Source>, root: PathBuf) -> Result<Read> {
        let read = self.read_all(source, root).await;
        if read.is_err() {
            // The error is why this ends, whatever becomes of the last part.
            let _ = self.finding.flush();
        }
        read
    }

    async fn read_all(&mut self, source: Box<dyn Source>, root: PathBuf) -> Result<Read> {
        let spool = tempfile::tempfile_in(&root).at(Kind::Store, "cannot write to", &root)?;
        let mut read = Read {
            rows: Vec::new(),
            rejected: Vec::new(),
            spool,
            not_again: 0,
            tapped: 0,
            equal: 0,
            turned: 0,
            in_two_splits: 0,
            two_labels: 0,
        };
        let mut places = HashMap::new();
        let mut checked = std::pin::pin!(self.checked(source));
        while let Some(next) = checked.next().await {
            self.stop.check()?;
            let Checked { item, outcome, found } = next?;
            match found {
                true => read.not_again += 1,
                false => self.finding.add(&item, &outcome)?,
            }
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
                let (row, file): (&mut Row, _) = (&mut read.rows[at], self.file(item));
                read.equal += 1;
                read.in_two_splits += u64::from(row.split != file.split);
                read.two_labels += u64::from(row.class != file.class);
                // A picture in two splits belongs to the later one: what is measured on must not be
                // trained on.
                row.split = row.split.max(file.split);
                row.files.push(file);
                continue;
            }
            places.insert(good.id, read.rows.len());
            if let Some((bytes, _)) = &good.bytes {
                read.spool.write_all(bytes).at(Kind::Store, "cannot write to", &root)?;
            }
            read.turned += u64::from(self.decoding.turns(&good.header));
            read.tapped += u64::from(!good.cuts.is_empty());
            match &mut self.tap {
                // It counts as done when the tap's tables are done with it.
                Some(tap) => tap.mouths.push(good.id.to_string(), good.cuts).await.map_err(|_| abandoned())?,
                None => self.progress.advance(1),
            }
            let (modified, within, spooled) = (good.modified, good.within, good.bytes.is_some());
            let file = self.file(item);
            read.rows.push(Row {
                id: good.id,
                split: file.split,
                header: good.header,
                byte_len: good.byte_len,
                modified,
                within,
                spooled,
                class: file.class,
                colour: good.colour,
                files: vec![file],
            });
        }
        if let Some(tap) = &mut self.tap {
            tap.mouths.flush().await.map_err(|_| abandoned())?;
        }
        Ok(read)
    }

    /// Returns what an item says by itself.
    fn file(&self, item: Item) -> SourceFile {
        let class = item.label.as_deref().and_then(|label| self.classes.get(label).copied());
        SourceFile { path: item.path, split: item.split.unwrap_or(Split::Train), class }
    }

    /// Returns the checked items, in the order of the source.
    fn checked(&self, source: Box<dyn Source>) -> impl futures::Stream<Item = Result<Checked>> + Send + use<> {
        let decoding = self.decoding;
        let known = self.known.clone();
        let (copy, wishes) = (self.copy, self.tap.as_ref().map(|tap| tap.wishes.clone()));
        let items = {
            let (known, wishes) = (known.clone(), wishes.clone());
            source.items().map(move |item| {
                Ok(match item? {
                    item if let Some(outcome) = found(&item, &known.found, wishes.as_ref()) => {
                        Next::Known(Checked { item, outcome, found: true })
                    }
                    item => Next::Read(item),
                })
            })
        };
        encoded::each(items, decoding.limits, move |item, encoded| {
            let outcome = match encoded {
                Ok(encoded) => {
                    check(&item, encoded, &decoding, &known, wishes.as_ref())?.map(|good| good.kept(&item, copy))
                }
                Err(rejection) => Err(rejection),
            };
            Ok(Checked { item, outcome, found: false })
        })
    }
}

/// Returns what an interrupted ingest found in an item's file, unless a table wants its pixels.
fn found(item: &Item, found: &Found, wishes: Option<&Wishes>) -> Option<Result<Good, Rejection>> {
    match found.in_file(item)? {
        InFile::Rejected(rejection) => Some(Err(rejection.clone())),
        InFile::Picture { id, .. } if wishes.is_some_and(|wishes| wishes.want(id)) => None,
        InFile::Picture { id, header, colour } => Some(Ok(Good::known(*id, *header, item, colour.clone()))),
    }
}

/// Decodes a picture, unless it is known to decode and no table wants its pixels.
fn check(
    item: &Item,
    encoded: Encoded,
    decoding: &Decoding,
    known: &Known,
    wishes: Option<&Wishes>,
) -> Result<Result<Good, Rejection>> {
    let id = encoded.id;
    let wanted = wishes.filter(|wishes| wishes.want(&id));
    let proven = wishes.is_some_and(|wishes| wishes.know(&id));
    let mut cuts = Cuts::new();
    let colour = match known.colour(&id, proven) {
        Some(colour) if wanted.is_none() => colour,
        _ => match decoding.picture(&encoded.bytes) {
            Ok(picture) => {
                cuts = wanted.map_or(Ok(cuts), |wishes| wishes.cut(&id, &picture))?;
                picture.only_colour().map(|[r, g, b]| format!("#{r:02x}{g:02x}{b:02x}"))
            }
            Err(rejection) => return Ok(Err(rejection)),
        },
    };
    let Encoded { bytes, id, header, room } = encoded;
    Ok(Ok(Good { cuts, bytes: Some((bytes, room)), ..Good::known(id, header, item, colour) }))
}

impl Good {
    /// Returns the picture in an item's file without reading it.
    pub(super) fn known(id: ImageId, header: Header, item: &Item, colour: Option<String>) -> Self {
        let (byte_len, modified) = (item.origin.byte_len(), item.origin.modified_ns());
        let within = match &item.origin {
            Origin::Part { place, .. } => Some(place.clone()),
            _ => None,
        };
        Good { id, header, byte_len, modified, within, bytes: None, cuts: Cuts::new(), colour }
    }

    /// Returns the picture with what is kept of it: its bytes, or where they are.
    fn kept(self, item: &Item, copy: bool) -> Self {
        let byte_len = self.bytes.as_ref().map_or(self.byte_len, |(bytes, _)| bytes.len() as u64);
        match &item.origin {
            // Tables hold text.
            Origin::Embedded { place: Some(place), .. } if !copy && place.file.path.to_str().is_some() => {
                let (modified, within) = (Some(place.file.modified_ns), Some(place.clone()));
                Good { byte_len, modified, within, bytes: None, ..self }
            }
            Origin::Embedded { .. } => Good { byte_len, ..self },
            // What stays where it is.
            _ => Good { byte_len, bytes: None, ..self },
        }
    }
}

/// Returns the error for when the tap's receivers were dropped; the tables report the cause.
fn abandoned() -> Error {
    Error::new(Kind::Input, "reading the dataset was given up: its pictures are wanted no more")
}
