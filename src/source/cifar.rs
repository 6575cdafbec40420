//! CIFAR-10 and CIFAR-100 in their binary version: files of records, each a label or two and the
//! red, green and blue values of 32 x 32 pixels.
//!
//! A record has no encoding that other programs know. Each becomes a PNG, without compression, so
//! that no compression's choices show in its bytes, which are what is stored and hashed. A test
//! pins the hash of one, since another version of the encoder could still lay a PNG out otherwise.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::{ExtendedColorType, ImageEncoder};

use super::fingerprint::Fingerprint;
use super::item::{Item, Origin, Split, modified_ns};
use super::{Dataset, Listing, Source, class_names};
use crate::error::{Context, Error, Kind, Result};
use crate::text::file as text_file;

/// Pixels of a side.
const SIDE: u32 = 32;
/// Values of a colour of a picture.
const PLANE: usize = (SIDE * SIDE) as usize;

/// One of the two data sets.
#[derive(Debug, Clone, Copy)]
struct Version {
    /// Bytes of labels before the pixels; the last one counts.
    labels: usize,
    /// The file of class names.
    names: &'static str,
    classes: usize,
    files: &'static [(&'static str, Split)],
}

const VERSIONS: [Version; 2] = [
    Version {
        labels: 1,
        names: "batches.meta.txt",
        classes: 10,
        files: &[
            ("data_batch_1.bin", Split::Train),
            ("data_batch_2.bin", Split::Train),
            ("data_batch_3.bin", Split::Train),
            ("data_batch_4.bin", Split::Train),
            ("data_batch_5.bin", Split::Train),
            ("test_batch.bin", Split::Test),
        ],
    },
    // The first label is of the coarse classes.
    Version {
        labels: 2,
        names: "fine_label_names.txt",
        classes: 100,
        files: &[("train.bin", Split::Train), ("test.bin", Split::Test)],
    },
];

const HINT: &str =
    "name the folder cifar-10-batches-bin or cifar-100-binary, as the binary version of the archive has it";

/// Files of records that have been found, but not read.
pub struct Cifar {
    files: Vec<Records>,
    listing: Listing,
}

/// A file of records.
#[derive(Debug, Clone)]
struct Records {
    path: PathBuf,
    split: Split,
    labels: usize,
    count: u64,
    byte_len: u64,
    modified_ns: i64,
}

impl Cifar {
    /// Finds the files of one of the two data sets.
    ///
    /// # Errors
    /// Returns [`Kind::Input`] if one is missing, or does not consist of whole records.
    pub fn open(dataset: &Dataset) -> Result<Self> {
        let folder = &dataset.path;
        let version = VERSIONS.iter().find(|version| folder.join(version.names).is_file());
        let version = version.ok_or_else(|| {
            let names = VERSIONS.map(|version| version.names).join(" nor ");
            Error::new(Kind::Input, format!("{} has neither {names}", folder.display())).hint(HINT)
        })?;
        let names = class_names(&folder.join(version.names))?;
        let classes: Vec<String> = names.iter().map(|name| name.replace('_', " ")).collect();
        if classes.len() != version.classes {
            let (file, found) = (folder.join(version.names), classes.len());
            let what = format!("{} has {found} names, and not {}", file.display(), version.classes);
            return Err(Error::new(Kind::Input, what).hint("unpack the archive again"));
        }
        let files = version.files.iter().map(|(name, split)| Records::find(folder.join(name), *split, version.labels));
        let files = files.collect::<Result<Vec<_>>>()?;
        let sum = |split: Option<Split>| {
            let files = files.iter().filter(|file| split.is_none_or(|split| file.split == split));
            files.map(|file| file.count).sum()
        };
        let listing = Listing {
            items: sum(None),
            training: sum(Some(Split::Train)),
            bytes: files.iter().map(|file| file.byte_len).sum(),
            notes: vec!["each record becomes a PNG: pictures are known by the bytes of that".to_owned()],
            has_labels: true,
            classes,
            ..Listing::default()
        };
        Ok(Cifar { files, listing })
    }
}

impl Records {
    fn find(path: PathBuf, split: Split, labels: usize) -> Result<Self> {
        let found = std::fs::metadata(&path).at(Kind::Input, "cannot read", &path).map_err(|error| error.hint(HINT))?;
        let (byte_len, record) = (found.len(), (labels + 3 * PLANE) as u64);
        if byte_len == 0 || !byte_len.is_multiple_of(record) {
            let what = format!("{} has {byte_len} bytes, which are no whole records of {record}", path.display());
            return Err(Error::new(Kind::Input, what).hint("fetch it again, or unpack the archive again"));
        }
        let modified_ns = modified_ns(&found);
        Ok(Records { path, split, labels, count: byte_len / record, byte_len, modified_ns })
    }

    /// Returns the pictures, one after the other; iteration ends at the first error.
    fn items(self, classes: Vec<String>) -> impl Iterator<Item = Result<Item>> + Send {
        let mut file = None;
        let mut failed = false;
        (0..self.count).map_while(move |number| {
            if failed {
                return None;
            }
            let item = self.item(&mut file, number, &classes);
            failed = item.is_err();
            Some(item)
        })
    }

    fn item(&self, file: &mut Option<BufReader<File>>, number: u64, classes: &[String]) -> Result<Item> {
        let path = &self.path;
        let file = match file {
            Some(file) => file,
            None => file.insert(BufReader::new(text_file::open(path).at(Kind::Input, "cannot open", path)?)),
        };
        let mut record = vec![0; self.labels + 3 * PLANE];
        file.read_exact(&mut record).at(Kind::Input, "cannot read", path)?;
        let (labels, planes) = record.split_at(self.labels);
        let label = labels.last().and_then(|label| classes.get(usize::from(*label)));
        let shown = format!("{}#{number}", path.display());
        let label = label.ok_or_else(|| {
            let what = format!("{shown}: label {}, but there are {} classes", labels[self.labels - 1], classes.len());
            Error::new(Kind::Input, what).hint("fetch it again, or unpack the archive again")
        })?;
        let bytes = png(planes).at(Kind::Internal, "cannot write as PNG a record of", path)?;
        let origin = Origin::Embedded { bytes, place: None };
        Ok(Item { path: shown, origin, split: Some(self.split), label: Some(label.clone()) })
    }
}

/// Writes three planes of a record as PNG.
fn png(planes: &[u8]) -> image::ImageResult<Vec<u8>> {
    let pixels: Vec<u8> = (0..PLANE).flat_map(|at| [0, 1, 2].map(|colour| planes[colour * PLANE + at])).collect();
    let mut bytes = Vec::new();
    PngEncoder::new_with_quality(&mut bytes, CompressionType::Uncompressed, FilterType::NoFilter).write_image(
        &pixels,
        SIDE,
        SIDE,
        ExtendedColorType::Rgb8,
    )?;
    Ok(bytes)
}

/// Returns whether a folder holds one of the two data sets.
pub(super) fn is_cifar(folder: &Path) -> bool {
    VERSIONS.iter().any(|version| {
        folder.join(version.names).is_file() && version.files.iter().all(|(name, _)| folder.join(name).is_file())
    })
}

impl Source for Cifar {
    fn listing(&self) -> &Listing {
        &self.listing
    }

    fn fingerprint(&self) -> Result<String> {
        let mut fingerprint = Fingerprint::new("cifar");
        for file in &self.files {
            fingerprint.text(&file.path.display().to_string());
            fingerprint.file(file.byte_len, file.modified_ns);
        }
        self.listing.classes.iter().for_each(|name| fingerprint.text(name));
        Ok(fingerprint.finish())
    }

    fn items(self: Box<Self>) -> Box<dyn Iterator<Item = Result<Item>> + Send> {
        let Cifar { files, listing } = *self;
        let mut failed = false;
        let items = files.into_iter().flat_map(move |file| file.items(listing.classes.clone()));
        Box::new(items.take_while(move |item| !std::mem::replace(&mut failed, item.is_err())))
    }
}
