//! WebDataset: tars in which the files of a sample lie next to each other under one name, `0.jpg`,
//! `0.cls`.
//!
//! A shard is never unpacked. Its headers are walked once, when it is opened; a picture is then a
//! place in it, [`At::Byte`], from which it is read whenever it is needed. Neither are its bytes
//! copied into the store: `images` has the places.

mod entries;
mod fields;
mod samples;
pub(in crate::source) mod shards;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use self::fields::{Field, Fields, Found};
use self::samples::Shard;
use super::column_names::KEYS;
use super::fingerprint::Fingerprint;
use super::item::{Item, Origin, Split, modified_ns};
use super::label::{Label, hidden_note};
use super::place::{At, Container, Within};
use super::{Dataset, Listing, Source, class_names, look, split_names};
use crate::error::{Context, Error, Kind, Result};
use crate::text::names::plain;
use crate::text::pattern;
use crate::text::terminal::in_line;

/// The file of class names that is looked for beside the shards, as data sets for zero-shot
/// classification have it on the Hub.
pub(super) const CLASS_NAMES: &str = "classnames.txt";

/// Shards whose headers and labels have been read, but not their pictures.
pub struct WebDataset {
    shards: Vec<Opened>,
    /// The field with the labels, if there is one.
    field: Option<Field>,
    /// The class names in the order of their numbers, if a file beside the shards has them.
    names: Option<Vec<String>>,
    /// The fields that the pipeline chooses.
    chosen: String,
    listing: Listing,
}

/// A shard, what is in it, and the split of its samples.
struct Opened {
    file: Arc<Container>,
    byte_len: u64,
    split: Split,
    shard: Shard,
}

impl WebDataset {
    /// Opens the shards of a pipeline.
    ///
    /// # Errors
    /// Returns [`Kind::Input`] if there is none, one is compressed or cannot be read, none has a
    /// readable picture, or a label is none of the classes that a file beside them lists.
    pub fn open(dataset: &Dataset) -> Result<Self> {
        let paths = shards::find(&dataset.path)?;
        if paths.is_empty() {
            return Err(shards::none_in(&dataset.path));
        }
        // Numbers mean places in the pipeline's own list, if it names one.
        let names = if dataset.classes.is_none() { names_beside(&dataset.path, &paths)? } else { None };
        Self::read(&dataset.path, paths, Fields::of(dataset)?, names)
    }

    /// Opens shards for their pictures alone: labels and splits are not looked at. Returns `None`
    /// if there is no shard.
    ///
    /// # Errors
    /// Returns [`Kind::Input`] if one is compressed or cannot be read.
    pub(super) fn unlabelled(path: &Path) -> Result<Option<Self>> {
        let paths = shards::find(path)?;
        if paths.is_empty() {
            return Ok(None);
        }
        Self::read(path, paths, Fields { pictures_alone: true, ..Fields::default() }, None).map(Some)
    }

    fn read(path: &Path, paths: Vec<PathBuf>, fields: Fields, names: Option<Vec<String>>) -> Result<Self> {
        let root = pattern::folder(path).filter(|_| !path.exists()).unwrap_or_else(|| path.to_owned());
        let splits = split_names::splits(&root, &paths);
        if !fields.pictures_alone {
            split_names::one_configuration(&root, &paths, Some("dataset.path"))?;
            split_names::all_or_none(&paths, &splits)?;
        }
        let opened = look::through_all(&paths, |path| {
            let found = std::fs::metadata(path).at(Kind::Input, "cannot read", path)?;
            Ok((found.len(), modified_ns(&found), Shard::read(path, &fields)?))
        });
        let opened = opened.into_iter().collect::<Result<Vec<_>>>()?;
        let shards: Vec<Opened> = paths
            .into_iter()
            .zip(splits)
            .zip(opened)
            .map(|((path, split), (byte_len, modified_ns, shard))| {
                let file = Arc::new(Container { path, modified_ns, column: None });
                Opened { file, byte_len, split: split.unwrap_or(Split::Train), shard }
            })
            .collect();
        let (field, unlabelled) = match &fields.label {
            Some((_, key)) => (Some(if key.is_some() { Field::Json } else { Field::Class }), None),
            None => fields::settle(shards.iter().flat_map(|one| &one.shard.samples).map(|sample| &sample.label)),
        };
        let chosen = match (&fields.picture, &fields.label) {
            (None, None) => String::new(),
            chosen => format!("{chosen:?}"),
        };
        let mut found = WebDataset { shards, field, names, chosen, listing: Listing::default() };
        found.listing = found.survey(unlabelled)?;
        found.listing.notes.extend(field.and_then(|field| found.without_label(field, &fields.shown(field))));
        if let (Some(picture), 0) = (&fields.picture, found.listing.items) {
            let what = format!("no sample in {} has a `{picture}`, which {} names", path.display(), KEYS[0]);
            return Err(
                Error::new(Kind::Input, what).hint("name the extension of the pictures' files, such as jpg or png")
            );
        }
        if let (Some((label, _)), false) = (&fields.label, found.listing.has_labels) {
            let what = format!("no sample in {} has a label in its `{label}`, which {} names", path.display(), KEYS[1]);
            return Err(Error::new(Kind::Input, what).hint(
                "name the extension of the labels' files, such as cls or txt, or a key of JSON, such as json.label",
            ));
        }
        if found.listing.items == 0 {
            return Err(Error::new(Kind::Input, format!("no picture in the tars of {}", path.display()))
                .hint("a sample is files with one name up to its first dot, of which one is a picture: 0.jpg, 0.cls"));
        }
        found.require_a_picture()?;
        Ok(found)
    }

    /// Refuses shards of which no picture can be read, with the reason of the first.
    fn require_a_picture(&self) -> Result<()> {
        if self.shards.iter().flat_map(|one| &one.shard.samples).any(|sample| sample.picture.is_ok()) {
            return Ok(());
        }
        let why = self.shards.iter().find_map(|Opened { file, shard, .. }| {
            let picture = shard.samples.iter().find_map(|sample| sample.picture.as_ref().err());
            picture.or(shard.damage.as_ref()).map(|why| format!("{}: {why}", file.path.display()))
        });
        let what = why.unwrap_or_default();
        Err(Error::new(Kind::Input, format!("no picture can be read in the shards, first {what}"))
            .hint("see what it holds with `tar tf FILE`, and fetch the file again if it is not whole"))
    }

    /// Says what all shards hold.
    fn survey(&self, unlabelled: Option<String>) -> Result<Listing> {
        let mut listing = Listing::default();
        let (mut labels, mut hidden) = (std::collections::BTreeSet::new(), 0);
        for Opened { shard, split, file, .. } in &self.shards {
            let items = shard.samples.len() as u64 + u64::from(shard.damage.is_some());
            listing.items += items;
            listing.training += if *split == Split::Train { items } else { 0 };
            listing.validation += if *split == Split::Validation { items } else { 0 };
            for sample in &shard.samples {
                listing.bytes += sample.picture.as_ref().map_or(0, |slot| slot.byte_len);
                let Some(label) = self.label(&sample.label) else { continue };
                if label.is_hidden() {
                    hidden += 1;
                } else if !labels.contains(label) {
                    self.name(label.clone()).map_err(|what| {
                        let place = place(&file.path, sample.number, &sample.name);
                        Error::new(Kind::Input, format!("{place}: {what}")).hint(format!(
                            "{CLASS_NAMES} beside the shards has a name a line, the first of which is label 0; \
                             dataset.classes names another file"
                        ))
                    })?;
                    labels.insert(label.clone());
                }
            }
        }
        let all: Vec<(&Path, &Shard)> = self.shards.iter().map(|one| (one.file.path.as_path(), &one.shard)).collect();
        listing.notes = samples::notes(&all);
        listing.notes.extend(hidden_note(hidden));
        if self.field == Some(Field::Text) {
            listing.notes.push("labels are the texts of `txt`, which look like classes".to_owned());
        }
        listing.has_labels = !labels.is_empty();
        let json = self.shards.iter().any(|one| one.shard.json);
        let keys = || format!("no key of `json` is known to hold labels: {} names one, such as json.label", KEYS[1]);
        if json && unlabelled.is_none() && labels.is_empty() {
            listing.perhaps_labels = vec!["json.label".to_owned()];
        }
        let like_classes = || samples::like_classes(&all);
        let why = unlabelled.or_else(|| json.then(keys)).or_else(like_classes);
        listing.unlabelled = why.filter(|_| labels.is_empty());
        listing.classes = match &self.names {
            Some(names) => names.clone(),
            None => labels.into_iter().map(Label::into_name).collect(),
        };
        Ok(listing)
    }

    /// Counts the samples that lack the field in which the others have their labels; `shown` is
    /// what the field is called.
    fn without_label(&self, field: Field, shown: &str) -> Option<String> {
        let samples = || self.shards.iter().flat_map(|one| one.shard.samples.iter().map(move |sample| (one, sample)));
        let lacking = || samples().filter(|(_, sample)| matches!(sample.label.of(field), Ok(None)));
        // One that has another field is the best example.
        let other = lacking().find(|(_, sample)| sample.label.field().is_some());
        let (one, sample) = other.or_else(|| lacking().next())?;
        let place = place(&one.file.path, sample.number, &sample.name);
        let instead = sample.label.field().map(|other| format!(", which has {} instead", other.shown()));
        let (samples, count) = match lacking().count() {
            1 => ("1 sample has".to_owned(), "counts"),
            many => (format!("{many} samples have"), "count"),
        };
        Some(format!(
            "{samples} no label in {shown}, where the others have theirs, and {count} as unlabelled, such as {}{}",
            in_line(&place),
            instead.unwrap_or_default()
        ))
    }

    /// Returns the label that a sample has, if it can be read.
    fn label<'a>(&self, found: &'a Found) -> Option<&'a Label> {
        found.of(self.field?).ok().flatten()
    }

    /// Returns the class that a label means, or why it means none.
    fn name(&self, label: Label) -> std::result::Result<String, String> {
        named(self.names.as_deref(), label)
    }
}

fn named(names: Option<&[String]>, label: Label) -> std::result::Result<String, String> {
    let Some(names) = names else { return Ok(label.into_name()) };
    match label {
        Label::Number(number) => {
            let name = usize::try_from(number).ok().and_then(|number| names.get(number));
            name.cloned().ok_or_else(|| format!("label {number}, but {CLASS_NAMES} lists {} classes", names.len()))
        }
        Label::Name(label) => {
            let alike = names.iter().find(|name| plain(name) == plain(&label));
            alike.cloned().ok_or_else(|| format!("label '{}', which {CLASS_NAMES} does not list", in_line(&label)))
        }
    }
}

/// Reads the class names beside the shards: in the folder that the pipeline names, or in that of
/// the shards themselves.
fn names_beside(path: &Path, shards: &[PathBuf]) -> Result<Option<Vec<String>>> {
    let named = pattern::folder(path).filter(|_| !path.exists());
    let named = named.or_else(|| if path.is_dir() { Some(path.to_owned()) } else { None });
    let first = shards.first().and_then(|shard| shard.parent()).map(Path::to_owned);
    let files = named.into_iter().chain(first).map(|folder| folder.join(CLASS_NAMES));
    files.into_iter().find(|file| file.is_file()).map(|file| class_names(&file)).transpose()
}

/// Returns the path of a sample's picture that users see.
fn place(shard: &Path, number: u64, name: &str) -> String {
    format!("{}#{number}/{name}", shard.display())
}

impl Source for WebDataset {
    fn listing(&self) -> &Listing {
        &self.listing
    }

    fn fingerprint(&self) -> Result<String> {
        let mut fingerprint = Fingerprint::new("webdataset");
        for Opened { file, byte_len, .. } in &self.shards {
            fingerprint.text(&file.path.display().to_string());
            fingerprint.file(*byte_len, file.modified_ns);
        }
        if !self.chosen.is_empty() {
            fingerprint.text(&self.chosen);
        }
        self.names.iter().flatten().for_each(|name| fingerprint.text(name));
        Ok(fingerprint.finish())
    }

    fn items(self: Box<Self>) -> Box<dyn Iterator<Item = Result<Item>> + Send> {
        let WebDataset { shards, field, names, .. } = *self;
        Box::new(shards.into_iter().flat_map(move |opened| items(opened, field, names.as_deref())).map(Ok))
    }
}

/// Returns the pictures of a shard, and the shard itself as one that cannot be read if it is
/// damaged.
fn items(opened: Opened, field: Option<Field>, names: Option<&[String]>) -> Vec<Item> {
    let Opened { file, split, shard, .. } = opened;
    let damage = shard.damage.map(|detail| Item {
        path: file.path.display().to_string(),
        origin: Origin::Unreadable { detail },
        split: Some(split),
        label: None,
    });
    let items = shard.samples.into_iter().map(|sample| {
        let path = place(&file.path, sample.number, &sample.name);
        let label = match field {
            Some(field) => sample.label.of(field).map_err(Clone::clone),
            None => Ok(None),
        };
        let (origin, label) = match (sample.picture, label) {
            (Ok(slot), Ok(label)) => {
                let place = Within { file: Arc::clone(&file), at: At::Byte(slot.first) };
                let label = label.filter(|label| !label.is_hidden()).cloned();
                // All labels were found to mean a class when the shards were opened.
                (Origin::Part { place, byte_len: slot.byte_len }, label.and_then(|label| named(names, label).ok()))
            }
            // A picture whose label cannot be read must not pass for one without.
            (Err(detail), _) | (Ok(_), Err(detail)) => (Origin::Unreadable { detail }, None),
        };
        Item { path, origin, split: Some(split), label }
    });
    items.chain(damage).collect()
}
