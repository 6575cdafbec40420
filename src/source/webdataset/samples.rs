//! Gathers the files of a shard into samples: those that lie next to each other and have the same
//! name up to its first dot, `n01/7.jpg` and `n01/7.cls`.
//!
//! Of a sample no more is kept than its picture's place and its label, however many files it has.

use std::collections::{BTreeSet, HashSet};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::entries::{self, End, Slot};
use super::fields::{Field, Fields, Found};
use crate::error::{Context, Kind, Result};
use crate::source::folder::is_picture;
use crate::source::is_of_tools;
use crate::source::label::Label;
use crate::text::file as text_file;
use crate::text::list::{SHOWN, some_of};
use crate::text::numbers::counted;
use crate::text::terminal::in_line;

/// A sample that has a picture, or a file that should be one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sample {
    /// The sample's number in the shard, from 0; samples without a picture count.
    pub(super) number: u64,
    /// The name of the picture's file.
    pub(super) name: String,
    /// Where the picture is, or why it cannot be read.
    pub(super) picture: std::result::Result<Slot, String>,
    /// Its label.
    pub(super) label: Found,
}

/// What is in a shard.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Shard {
    pub(super) samples: Vec<Sample>,
    /// Samples without a picture.
    pub(super) without: u64,
    /// Samples with several, of which one was taken.
    pub(super) several: u64,
    /// Samples whose name an earlier one had.
    pub(super) again: u64,
    /// What was wrong with the shard itself: from where on it could not be read, and why.
    pub(super) damage: Option<String>,
    /// Whether the mark that ends a tar is missing.
    pub(super) unmarked: bool,
    /// Bytes behind that mark, if they are too few to be anything.
    pub(super) stray: u64,
    /// Whether a sample has JSON.
    pub(super) json: bool,
}

impl Shard {
    /// Reads the headers of a shard, and its labels.
    ///
    /// # Errors
    /// Returns [`Kind::Input`] if the file cannot be read. A damaged one is no error.
    pub(super) fn read(path: &Path, fields: &Fields) -> Result<Self> {
        let tar = text_file::open(path).at(Kind::Input, "cannot open", path)?;
        let byte_len = tar.metadata().at(Kind::Input, "cannot read", path)?.len();
        let mut gathering =
            Gathering { tar: &tar, fields, shard: Shard::default(), now: None, number: 0, seen: HashSet::new() };
        let end = entries::each(&tar, byte_len, |name, slot| gathering.add(name, slot));
        let end = end.at(Kind::Input, "cannot read", path)?;
        gathering.finish();
        let mut shard = gathering.shard;
        match end {
            End::Mark => {}
            End::Stray(bytes) => shard.stray = bytes,
            End::Followed { at, tar } => {
                let joined = if tar {
                    "; `tar --concatenate` joins tars, and `cat` does not"
                } else {
                    ", and no tar begins there"
                };
                shard.damage = Some(format!(
                    "what follows its byte {at} is left out: the mark that ends a tar stands before it{joined}"
                ));
            }
            End::NoMark if byte_len == 0 => shard.damage = Some("the file has no bytes".to_owned()),
            End::NoMark => shard.unmarked = true,
            End::Damaged { at, why } => {
                shard.damage = Some(format!("what follows its byte {at} is left out: {why}"));
            }
        }
        Ok(shard)
    }
}

/// The sample whose files are being seen.
struct Now {
    key: String,
    picture: Option<(String, std::result::Result<Slot, String>)>,
    /// Whether there is a second picture of another extension.
    several: bool,
    label: Found,
}

struct Gathering<'a> {
    tar: &'a File,
    fields: &'a Fields,
    shard: Shard,
    now: Option<Now>,
    /// The number of the sample that comes next.
    number: u64,
    /// Hashes of the names of all samples.
    seen: HashSet<u64>,
}

impl Gathering<'_> {
    fn add(&mut self, name: &str, slot: std::result::Result<Slot, String>) {
        let (folder, file) = name.rsplit_once('/').map_or(("", name), |(folder, file)| (folder, file));
        // What macOS and WebDataset's own tools put between samples.
        if file.starts_with("__") || file.starts_with('.') || folder.split('/').any(is_of_tools) {
            return;
        }
        let Some((stem, extension)) = file.split_once('.') else { return };
        let extension = extension.to_lowercase();
        let is_picture = match &self.fields.picture {
            Some(chosen) => *chosen == extension,
            None => !extension.contains('.') && is_picture(Path::new(file)),
        };
        let field = self.fields.label(&extension);
        let key = &name[..name.len() - file.len() + stem.len()];
        if self.now.as_ref().is_none_or(|now| now.key != key) {
            self.finish();
            self.now = Some(Now { key: key.to_owned(), picture: None, several: false, label: Found::default() });
            let hash = blake3::hash(key.as_bytes());
            let short = hash.as_bytes().first_chunk().map_or(0, |first| u64::from_le_bytes(*first));
            self.shard.again += u64::from(!self.seen.insert(short));
        }
        let Some(now) = self.now.as_mut() else { return };
        if is_picture {
            match &mut now.picture {
                None => now.picture = Some((name.to_owned(), slot.clone())),
                Some((first, found)) if extension_of(first) == extension => {
                    *found = Err(format!("its sample has `{extension}` twice: which is meant cannot be told"));
                }
                Some(_) => now.several = true,
            }
        }
        if let Some(field) = field {
            self.shard.json |= field == Field::Json;
            now.label.add(field, || read_label(self.tar, self.fields, field, &slot));
        }
    }

    /// Ends the sample whose files were seen.
    fn finish(&mut self) {
        let Some(Now { picture, several, label, .. }) = self.now.take() else { return };
        let number = self.number;
        self.number += 1;
        let Some((name, picture)) = picture else {
            self.shard.without += 1;
            return;
        };
        self.shard.several += u64::from(several);
        self.shard.samples.push(Sample { number, name, picture, label });
    }
}

/// Returns what a file's name has behind its first dot, in lower case.
fn extension_of(name: &str) -> String {
    let file = name.rsplit_once('/').map_or(name, |(_, file)| file);
    file.split_once('.').map(|(_, extension)| extension.to_lowercase()).unwrap_or_default()
}

/// Reads the file with a sample's label.
fn read_label(
    tar: &File,
    fields: &Fields,
    field: Field,
    slot: &std::result::Result<Slot, String>,
) -> std::result::Result<Option<Label>, String> {
    let Slot { first, byte_len } = slot.clone()?;
    let longest = field.longest();
    if byte_len > longest {
        return if fields.label.is_none() && field == Field::Text {
            // A long text is a caption.
            Ok(None)
        } else {
            Err(format!("{byte_len} bytes, more than the {longest} that a label may have"))
        };
    }
    let mut bytes = vec![0; byte_len as usize];
    tar.read_exact_at(&mut bytes, first).map_err(|error| error.to_string())?;
    fields.parse(field, &bytes)
}

/// Says that the folders of the pictures in tars may be their classes, if they look so: several in
/// each of several folders.
pub(super) fn like_classes(shards: &[(&Path, &Shard)]) -> Option<String> {
    let samples = || shards.iter().flat_map(|(_, shard)| &shard.samples);
    let folder = |sample: &Sample| -> Option<String> {
        let (folder, _) = sample.name.rsplit_once('/')?;
        Some(folder.rsplit('/').next().unwrap_or(folder).to_owned())
    };
    let folders: BTreeSet<String> = samples().map(folder).collect::<Option<_>>()?;
    if folders.len() < 2 || samples().count() < 2 * folders.len() {
        return None;
    }
    let names: Vec<String> = folders.iter().map(|name| in_line(name).to_string()).collect();
    Some(format!(
        "the pictures lie in {} folders of the tar, which look like classes ({}), and are none in a tar: unpack it, \
         `tar xf FILE`, and name the folder",
        names.len(),
        some_of(&names, SHOWN)
    ))
}

/// Says what the user should know of all shards together.
pub(super) fn notes(shards: &[(&Path, &Shard)]) -> Vec<String> {
    let sum = |of: fn(&Shard) -> u64| shards.iter().map(|(_, shard)| of(shard)).sum::<u64>();
    let samples = |count: u64, one: &str, many: &str| match count {
        1 => format!("1 sample {one}"),
        count => format!("{count} samples {many}"),
    };
    let mut notes = Vec::new();
    let (without, several, again) = (sum(|shard| shard.without), sum(|shard| shard.several), sum(|shard| shard.again));
    if without > 0 {
        notes.push(samples(without, "has no picture and is left aside", "have no picture and are left aside"));
    }
    if several > 0 {
        let have = samples(several, "has several pictures", "have several pictures");
        notes.push(format!("{have}, of which the first is taken: dataset.image_column chooses an extension"));
    }
    if again > 0 {
        let names = samples(
            again,
            "has a name that an earlier one of its shard has",
            "have names that earlier ones of their shards have",
        );
        notes.push(format!("{names}, and counts as another: the files of a sample must lie next to each other"));
    }
    let named = |of: fn(&Shard) -> bool| -> Vec<String> {
        shards.iter().filter(|(_, shard)| of(shard)).map(|(path, _)| path.display().to_string()).collect()
    };
    let damaged = named(|shard| shard.damage.is_some());
    if !damaged.is_empty() {
        let what = "warning: not read to the end, and pictures may be missing, as `rejected` says why";
        notes.push(format!("{what}: {}", some_of(&damaged, SHOWN)));
    }
    let stray = named(|shard| shard.stray > 0);
    if !stray.is_empty() {
        let bytes = counted(sum(|shard| shard.stray), "byte");
        notes.push(format!(
            "{bytes} behind the mark that ends a tar, too few for a picture: {}",
            some_of(&stray, SHOWN)
        ));
    }
    let unmarked = named(|shard| shard.unmarked);
    if !unmarked.is_empty() {
        let what = "warning: without the mark that ends a tar, which may have been cut off";
        notes.push(format!("{what}: {}", some_of(&unmarked, SHOWN)));
    }
    notes
}
