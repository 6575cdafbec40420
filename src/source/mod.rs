//! Where pictures come from. A source lists its classes at once and yields its pictures one after the other, always in
//! the same order; the pictures' bytes are never all in memory.

mod fingerprint;
pub mod folder;
pub mod hf_parquet;
mod hf_schema;
pub mod item;
pub mod list;
pub mod named;

use std::path::PathBuf;

pub use item::{Item, Origin, Split};

use crate::error::Result;

/// What to open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SourceSpec {
    /// A folder with a subfolder per class, or of pictures without labels; see [`folder`].
    Folder {
        /// The folder.
        path: PathBuf,
    },
    /// A CSV file that names pictures; see [`list`].
    List {
        /// The CSV file.
        path: PathBuf,
        /// What its paths are relative to; the CSV's own folder where absent.
        root: Option<PathBuf>,
    },
    /// Hugging Face Parquet; see [`hf_parquet`].
    HfParquet {
        /// Files, or folders of `*.parquet`.
        paths: Vec<PathBuf>,
    },
}

/// What is known of a source before any picture is read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listing {
    /// Names of the classes; a class's place is its id. Empty where there are no labels.
    pub classes: Vec<String>,
    /// Whether any picture has a label.
    pub has_labels: bool,
    /// How many items it yields, good pictures or not.
    pub items: u64,
    /// Bytes of all of them, encoded.
    pub bytes: u64,
}

/// An opened source.
pub trait Source: Send {
    /// Its classes.
    fn listing(&self) -> &Listing;

    /// 64 hexadecimal digits that change when a file is added, removed or modified, or a label in a list changes, so
    /// that an unchanged source need not be read again. Pictures themselves are not read for it.
    ///
    /// # Errors
    /// Where the source can no longer be read.
    fn fingerprint(&self) -> Result<String>;

    /// All pictures, sorted by path. What cannot be read is an item of [`Origin::Unreadable`]; an error means that the
    /// source as a whole is at fault, and is the last thing the iterator yields.
    fn items(self: Box<Self>) -> Box<dyn Iterator<Item = Result<Item>> + Send>;
}

/// Opens a source: finds its files and its classes.
///
/// # Errors
/// Where it does not exist, is empty, or is not what `spec` says it is.
pub fn open(spec: &SourceSpec) -> Result<Box<dyn Source>> {
    Ok(match spec {
        SourceSpec::Folder { path } => Box::new(folder::Folder::open(path)?),
        SourceSpec::List { path, root } => Box::new(list::List::open(path, root.as_deref())?),
        SourceSpec::HfParquet { paths } => Box::new(hf_parquet::HfParquet::open(paths)?),
    })
}
