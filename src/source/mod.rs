//! Sources of pictures. A source lists its classes at once and yields its pictures one after the
//! other, always in the same order; the pictures' bytes are never all in memory.

mod cifar;
mod class_map;
mod class_names;
mod column_names;
mod fingerprint;
pub mod folder;
mod foreign;
mod guess;
pub mod hf_parquet;
pub mod inputs;
pub mod item;
mod label;
pub mod list;
mod look;
mod moved;
mod place;
mod split_names;
pub mod webdataset;
mod within;
mod written;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

pub use class_map::ClassMap;
use walkdir::{DirEntry, WalkDir};

pub use class_names::class_names;
pub use guess::{Guess, guess};
pub(crate) use hf_parquet::part_of::{configurations, on_hub};
pub use item::{Item, Origin, Split};
pub use place::{At, Container, Larger, Within};

use crate::error::{Context, Error, Kind, Result};
use crate::hub;
use crate::image::{Decoding, ExifOrientation, Limits};
use crate::objects::{self, Wanted};
use crate::settings::{Must, SHARE, Want, choice, settings};
use crate::text::pattern;

/// What the file of classes is called that `init` writes beside the pictures, behind the pipeline's
/// name. Neither it nor the two below are lists of pictures.
pub const CLASSES_FILE: &str = "-classes.txt";

/// What the table of labels and names is called that `init` writes.
pub const CLASS_NAMES_FILE: &str = "-class-names.csv";

/// What the file of sentences is called that `init` writes.
pub const SENTENCES_FILE: &str = "-sentences.json";

choice! {
    /// How the pictures are stored.
    SourceKind {
        /// Parquet, as Hugging Face's `datasets`, pandas or polars write it: a file or a folder of
        /// them, with a column of pictures or of their paths, and one of labels if there is one.
        HfParquet = "hf-parquet",
        /// Picture files in folders: one per class or none, with or without `train` and `test`
        /// above.
        Folder = "folder",
        /// A CSV, TSV or JSON Lines file that names picture files, their split and their label if
        /// known; or a list as data sets come with them: `split_zhou_*.json`, lines of a picture
        /// and its class, or the lists of CUB-200-2011 and Birdsnap.
        List = "list",
        /// Shards of WebDataset: tars in which the files of a sample, `0.jpg`, `0.cls`, lie next to
        /// each other under one name.
        WebDataset = "webdataset",
        /// CIFAR-10 or CIFAR-100 in their binary version: a folder of files of records.
        Cifar = "cifar",
    }
}

choice! {
    /// What the pictures of the split for validation count as.
    Validation {
        /// Those that are neither trained on nor measured with those for test.
        Apart = "apart",
        /// Pictures for training: where a data set's own split is called `trainval`.
        Train = "train",
        /// Pictures for test: where those for test have no labels, as ImageNet's.
        Test = "test",
    }
}

settings! {
    /// Where the pictures come from.
    Dataset {
        /// How the pictures are stored.
        kind: SourceKind, SourceKind::WANT, ByContent;
        /// The folder of pictures, the list, the Parquet file or folder, the shards (a tar, or a
        /// folder of some), or a data set on the Hugging Face Hub
        /// (`hf://datasets/ORG/NAME@REVISION`, `hf-parquet`). Lists and shards may be a pattern,
        /// such as `{train,val,test}.txt` or `train-{000..099}.tar`; the splits are then in their
        /// names. Each may be the address of objects, `s3://BUCKET/FOLDER`, if the program was
        /// built with `stores`.
        path: PathBuf, Want::Path(Must::BeDataset), ByContent;
        ..
        /// The configuration of a data set that has several, each in a folder of this name
        /// (`hf-parquet`).
        config: Option<String> = None, Want::Text, ByContent;
        /// The splits to take, joined by `+`, by the names of their files or folders
        /// (`hf-parquet`). Without it all are taken.
        split: Option<String> = None, Want::Text, ByContent;
        /// The folder in which relative paths of pictures start (`list`, `hf-parquet`). Without it
        /// they start in the folder of the file that holds them.
        root: Option<PathBuf> = None, Want::Path(Must::BeFolder), ByContent;
        /// The column that holds the pictures or their paths (`list`, `hf-parquet`), or the
        /// extension of the pictures' files (`webdataset`). Without it the column is found by its
        /// name or type, and the first picture of a sample is taken.
        image_column: Option<String> = None, Want::Text, ByContent;
        /// The column that holds the labels (`list`, `hf-parquet`). Without it the column is found
        /// by its name and, in Parquet, by its declared classes or its values. Of shards it is the
        /// extension of the files with the labels, such as `cls` or `txt`, or a key of those with
        /// JSON, such as `json.label`; without it the first of these three that there is.
        label_column: Option<String> = None, Want::Text, ByContent;
        /// The column that holds the splits (`list`, `hf-parquet`). Without it a column that is
        /// called `split` counts, and the name of a Parquet file without one says its split.
        split_column: Option<String> = None, Want::Text, ByContent;
        /// A text file with one class name a line. Needed where the source itself has no labels.
        classes: Option<PathBuf> = None, Want::Path(Must::BeFile), ByContent;
        /// A CSV file of two columns, or a TOML file of one table, that names the class of each
        /// folder or label: for labels that are numbers or codes. Labels that it does not list keep
        /// their own names.
        class_names: Option<PathBuf> = None, Want::Path(Must::BeFile), ByContent;
        /// What the pictures of the split for validation count as.
        validation: Validation = Validation::Apart, Validation::WANT, ByContent;
        /// Where the data set can be had, and where its files go: said if what the pipeline names
        /// of it is not there.
        obtain: Option<String> = None, Want::Text, Nothing;
        /// The share of files that may be rejected before the run ends with exit code 3.
        tolerance: f64 = 0.05, SHARE, Nothing;
        /// Whether pictures that are rows of Parquet files are copied into the store
        /// (`hf-parquet`). Without a copy they are read again from these files, which must then
        /// stay as they are; each costs the reading of the whole page that has it.
        copy: bool = true, Want::Flag, Nothing;
        /// What is done with the orientation that a picture's EXIF data asks for.
        orientation: ExifOrientation = ExifOrientation::Apply, ExifOrientation::WANT, Features;
        [limits]: Limits;
    }
}

impl Dataset {
    /// Returns how the pictures become pixels.
    pub fn decoding(&self) -> Decoding {
        Decoding { limits: self.limits, orientation: self.orientation }
    }

    /// Reads the class names from the pipeline's file of them, if it names one.
    ///
    /// # Errors
    /// Fails as [`class_names`] does.
    pub fn class_list(&self) -> Result<Option<Vec<String>>> {
        self.classes.as_deref().map(class_names).transpose()
    }

    /// Reads the names of classes by label from the pipeline's file of them, if it names one.
    ///
    /// # Errors
    /// Fails as [`ClassMap::read`] does.
    pub fn class_map(&self) -> Result<Option<ClassMap>> {
        self.class_names.as_deref().map(ClassMap::read).transpose()
    }
}

/// What a source says about itself before any picture is read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listing {
    /// What the user should know of what was found.
    pub notes: Vec<String>,
    /// The class names; a class's index is its id. Empty if there are no labels.
    pub classes: Vec<String>,
    /// Whether any picture has a label.
    pub has_labels: bool,
    /// The number of items, good pictures or not.
    pub items: u64,
    /// How many of them are for training.
    pub training: u64,
    /// How many of them are for validation.
    pub validation: u64,
    /// The encoded bytes of all items.
    pub bytes: u64,
    /// Why there are no labels, where the source has what may be some.
    pub unlabelled: Option<String>,
    /// What `dataset.label_column` may choose then, since nothing says that it is something else.
    pub perhaps_labels: Vec<String>,
    /// What the classes look like, if they seem to be none: splits, data sets or masks.
    pub no_classes: Option<String>,
    /// The folder in which the classes seem to lie, if there is one class alone.
    pub elsewhere: Option<PathBuf>,
}

/// An opened source.
pub trait Source: Send {
    /// Returns the source's classes and sizes.
    fn listing(&self) -> &Listing;

    /// Returns 64 hexadecimal digits that change when a file is added, removed or modified, or a
    /// label in a list changes, so that an unchanged source need not be read again. The pictures
    /// themselves are not read.
    ///
    /// # Errors
    /// Fails if the source can no longer be read.
    fn fingerprint(&self) -> Result<String>;

    /// Returns all pictures, sorted by path, and those of a Parquet file by row. An unreadable
    /// picture is an item of [`Origin::Unreadable`]; an error means that the source as a whole is
    /// at fault, and is the last thing the iterator yields.
    fn items(self: Box<Self>) -> Box<dyn Iterator<Item = Result<Item>> + Send>;
}

/// Opens a source: finds its files and its classes.
///
/// # Errors
/// Fails if the source does not exist, is empty, or is not of the kind that the pipeline says; or
/// if it is named on the hub, and not in the cache.
pub fn open(dataset: &Dataset) -> Result<Box<dyn Source>> {
    // What a store of objects has is read from where it was fetched to.
    let root = objects::root(&dataset.path)?;
    let dataset = &fetched(dataset)?;
    let path = &hub::local(&dataset.path)?;
    foreign::refuse(path)?;
    if let (Some(obtain), Err(error)) = (&dataset.obtain, pattern::paths(path)) {
        return Err(error.hint(obtain.trim()));
    }
    let source: Box<dyn Source> = match dataset.kind {
        SourceKind::Folder => Box::new(folder::Folder::open(path)?),
        SourceKind::List => Box::new(list::List::of(dataset)?),
        SourceKind::HfParquet => Box::new(hf_parquet::HfParquet::open(dataset)?),
        SourceKind::WebDataset => Box::new(webdataset::WebDataset::open(dataset)?),
        SourceKind::Cifar => Box::new(cifar::Cifar::open(dataset)?),
    };
    let source = match root {
        Some(root) => Box::new(within::Within::new(source, root)) as Box<dyn Source>,
        None => source,
    };
    Ok(match dataset.validation {
        Validation::Apart => source,
        Validation::Train => Box::new(moved::Moved::new(source, Split::Train)),
        Validation::Test => Box::new(moved::Moved::new(source, Split::Test)),
    })
}

/// Returns the data set with the path of the folder or file that its address was fetched to, if it
/// has one.
fn fetched(dataset: &Dataset) -> Result<Dataset> {
    let path = objects::local(&dataset.path)?;
    let folder = pattern::folder(&path).unwrap_or_else(|| path.clone());
    if path != dataset.path && !folder.exists() {
        let what = format!("{} has not been fetched", dataset.path.display());
        return Err(Error::new(Kind::Network, what).hint("a run fetches it"));
    }
    Ok(Dataset { path, ..dataset.clone() })
}

/// Returns which kind of pictures an address seems to be of, by its name alone.
pub(crate) fn kind_by_name(name: &Path) -> SourceKind {
    match name {
        name if hf_parquet::files::is_parquet(name) => SourceKind::HfParquet,
        name if webdataset::shards::is_shard(name) => SourceKind::WebDataset,
        name if list::is_list(name) => SourceKind::List,
        _ => SourceKind::Folder,
    }
}

/// Returns which objects are read of an address, for pictures of this kind.
pub(crate) fn wanted(kind: SourceKind) -> Wanted {
    fn parquet(name: &str) -> bool {
        is_visible_path(name) && hf_parquet::files::is_parquet(Path::new(name))
    }
    fn shards(name: &str) -> bool {
        let is_names = || Path::new(name).file_name() == Some(OsStr::new(webdataset::CLASS_NAMES));
        is_visible_path(name) && (webdataset::shards::is_shard(Path::new(name)) || is_names())
    }
    let (is_read, list) = (is_visible_path, kind == SourceKind::List);
    let if_none = (" that this `dataset.kind` reads", "dataset.kind = \"folder\" reads picture files");
    let all = Wanted { is_read, beside: None, list, if_none };
    match kind {
        SourceKind::Folder | SourceKind::List | SourceKind::Cifar => all,
        SourceKind::HfParquet => Wanted { is_read: parquet, ..all },
        SourceKind::WebDataset => Wanted { is_read: shards, beside: Some(webdataset::CLASS_NAMES), ..all },
    }
}

/// Folders of thumbnails and leftovers that network disks and macOS's archives put among pictures.
const OF_TOOLS: [&str; 4] = ["@eaDir", "__MACOSX", "#recycle", "$RECYCLE.BIN"];

/// Returns the files in and below a folder, in no order. Hidden folders hold what tools keep: a
/// store, git's objects, downloads under way.
///
/// # Errors
/// An item is [`Kind::Input`] if a folder cannot be read, which may hold a part of the pictures.
fn files_below(folder: &Path) -> impl Iterator<Item = Result<PathBuf>> {
    let entries = WalkDir::new(folder).follow_links(true).into_iter().filter_entry(is_visible);
    // A link back to a folder above: its target is found without it.
    let entries = entries.filter(|entry| !entry.as_ref().is_err_and(|error| error.loop_ancestor().is_some()));
    entries.filter_map(move |entry| match entry.at(Kind::Input, "cannot look through", folder) {
        Ok(entry) => entry.file_type().is_file().then(|| Ok(entry.into_path())),
        Err(error) => Some(Err(error)),
    })
}

/// Returns whether a file or folder is not hidden; hidden ones belong to tools.
fn is_visible(entry: &DirEntry) -> bool {
    entry.depth() == 0 || is_visible_name(entry.file_name())
}

/// Returns whether neither a file nor a folder above it is hidden, by its path with slashes.
fn is_visible_path(path: &str) -> bool {
    path.split('/').all(|part| is_visible_name(OsStr::new(part)))
}

/// Returns whether a file or folder of this name is not hidden.
fn is_visible_name(name: &OsStr) -> bool {
    !(name.as_encoded_bytes().starts_with(b".") || name.to_str().is_some_and(is_of_tools))
}

/// Returns whether a folder of this name is one of thumbnails and leftovers.
fn is_of_tools(name: &str) -> bool {
    OF_TOOLS.contains(&name)
}
