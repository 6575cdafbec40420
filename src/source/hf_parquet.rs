//! Pictures in Parquet, as Hugging Face's `datasets`, pandas and polars write them: a column of
//! pictures, and beside it columns of labels and of splits if there are any.
//!
//! Pictures are `struct<bytes, path>`, bytes, or paths of files, which start at the folder of the
//! Parquet file. Labels are names, or numbers whose names may stand in the schema's metadata. Where
//! no column says it, the split is derived from the file's name (`train-00000-of-00002.parquet`) or
//! its folder's (`test/0000.parquet`).

pub mod again;
mod columns;
pub(in crate::source) mod files;
mod guard;
mod pages;
pub(crate) mod part_of;
mod rows;
mod survey;
mod types;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::datatypes::Schema;
use serde_json::Value;

use self::columns::{Columns, Described};
use self::pages::Pages;
use self::survey::Survey;
use super::column_names::Chosen;
use super::fingerprint::Fingerprint;
use super::foreign;
use super::item::{Item, Split, modified_ns};
use super::split_names;
use super::written;
use super::{Dataset, Listing, Source};
use crate::error::{Context, Kind, Result};
use crate::text::file as text_file;

/// Parquet files whose schemas and labels have been read, but not their pictures.
pub struct HfParquet {
    files: Vec<Part>,
    /// Where relative paths start, if the pipeline says.
    root: Option<PathBuf>,
    /// Where relative paths start that lead nowhere from there.
    otherwise: Option<PathBuf>,
    /// The columns that the pipeline chooses.
    chosen: String,
    listing: Listing,
}

/// One Parquet file.
#[derive(Debug, Clone)]
struct Part {
    path: PathBuf,
    /// The split of rows that name none.
    split: Split,
    columns: Arc<Columns>,
    /// The class names in the order of their numbers, if the file declares them.
    names: Option<Vec<String>>,
    /// Whether some of its pictures may be files of their own.
    elsewhere: bool,
}

/// A file whose footer has been read.
struct Opened {
    path: PathBuf,
    schema: Schema,
    features: Value,
    pages: Pages,
}

impl HfParquet {
    /// Opens a file, or all `*.parquet` files in and below a folder that the pipeline takes.
    ///
    /// # Errors
    /// Returns [`Kind::Input`] if there is no file, one is not Parquet, no column holds pictures or
    /// several may, or files disagree about the classes or the splits.
    pub fn open(dataset: &Dataset) -> Result<Self> {
        let (path, paths) = part_of::files(dataset)?;
        let partial = part_of::partial(&paths);
        let mut parquet = Self::read(&path, paths, Chosen::of(dataset))?;
        parquet.listing.notes.extend(partial);
        Ok(HfParquet { root: dataset.root.clone(), ..parquet })
    }

    /// Like [`open`](Self::open), for the pictures alone: labels and splits are not looked at.
    /// Relative paths start at a file's folder, or else where the pipeline of `dataset` says.
    /// Returns `None` if there is no file.
    ///
    /// # Errors
    /// Returns [`Kind::Input`] if a file is not Parquet, or no column holds pictures or several
    /// may.
    pub(super) fn unlabelled(path: &Path, dataset: &Dataset) -> Result<Option<Self>> {
        let paths = files::find(path)?;
        if paths.is_empty() {
            return Ok(None);
        }
        split_names::one_configuration(path, &paths, None)?;
        let parquet = Self::read(path, paths, Chosen::pictures_alone(dataset))?;
        Ok(Some(HfParquet { otherwise: dataset.root.clone(), ..parquet }))
    }

    fn read(path: &Path, paths: Vec<PathBuf>, chosen: Chosen<'_>) -> Result<Self> {
        let splits = split_names::splits(path, &paths);
        let opened = paths.iter().cloned().map(Opened::new).collect::<Result<Vec<_>>>()?;
        let mut columns = Columns::find(&opened.iter().map(Opened::described).collect::<Vec<_>>(), chosen)?;
        let (items, bytes) = (opened.iter().map(Opened::rows).sum(), sizes(&opened)?);
        let parts = |columns: &Columns| -> Vec<Part> {
            let columns = Arc::new(columns.clone());
            let split = |split: &Option<Split>| split.unwrap_or(Split::Train);
            opened.iter().zip(&splits).map(|(file, named)| file.part(split(named), &columns)).collect()
        };
        survey::settle(&mut columns, parts)?;
        if columns.split.is_none() && !chosen.pictures_alone {
            split_names::all_or_none(&paths, &splits)?;
        }
        let files = parts(&columns);
        let Survey { classes, any, hidden } = Survey::of(&files)?;
        let (mut training, mut validation) = (0, 0);
        for (file, part) in opened.iter().zip(&files) {
            let [train, apart] = survey::in_splits(part, file.rows(), [Split::Train, Split::Validation])?;
            (training, validation) = (training + train, validation + apart);
        }
        let mut notes = columns.notes.clone();
        notes.extend(hidden);
        let unlabelled = columns.unlabelled.clone().filter(|_| columns.label.is_none());
        let listing = Listing {
            classes,
            has_labels: any,
            items,
            training,
            validation,
            bytes,
            notes,
            perhaps_labels: if unlabelled.is_some() { columns.choice.clone() } else { Vec::new() },
            unlabelled,
            no_classes: None,
            elsewhere: None,
        };
        let chosen = if chosen.names == [None; 3] { String::new() } else { format!("{:?}", chosen.names) };
        Ok(HfParquet { files, root: None, otherwise: None, chosen, listing })
    }
}

impl Opened {
    fn new(path: PathBuf) -> Result<Self> {
        let pages = open(&path)?;
        let stored = pages.footer().key_value_metadata();
        let features = stored
            .and_then(|pairs| pairs.iter().find(|pair| pair.key == "huggingface")?.value.as_deref())
            .or_else(|| pages.schema().metadata().get("huggingface").map(String::as_str));
        let features = features.and_then(|text| serde_json::from_str::<Value>(text).ok()).unwrap_or(Value::Null);
        let features = features.pointer("/info/features").cloned().unwrap_or(Value::Null);
        Ok(Opened { schema: pages.schema().clone(), features, pages, path })
    }

    fn described(&self) -> Described<'_> {
        Described { path: &self.path, schema: &self.schema, features: &self.features }
    }

    fn rows(&self) -> u64 {
        u64::try_from(self.pages.footer().num_rows()).unwrap_or(0)
    }

    fn part(&self, split: Split, columns: &Arc<Columns>) -> Part {
        let names = columns.label.as_ref().and_then(|label| types::class_names(&self.features[label.as_str()]));
        let elsewhere = self.pages.may_be_elsewhere(&columns.image);
        Part { path: self.path.clone(), split, columns: Arc::clone(columns), names, elsewhere }
    }
}

impl Part {
    /// Returns the folder at which relative paths start.
    fn root(&self, chosen: Option<&Path>) -> PathBuf {
        chosen.or(self.path.parent()).unwrap_or(Path::new("")).to_path_buf()
    }
}

impl Source for HfParquet {
    fn listing(&self) -> &Listing {
        &self.listing
    }

    fn fingerprint(&self) -> Result<String> {
        let mut fingerprint = Fingerprint::new("hf_parquet");
        for part in &self.files {
            let path = &part.path;
            let metadata = std::fs::metadata(path).at(Kind::Input, "cannot read", path)?;
            fingerprint.text(&path.display().to_string());
            fingerprint.file(metadata.len(), modified_ns(&metadata));
        }
        if !self.chosen.is_empty() {
            fingerprint.text(&self.chosen);
        }
        for part in self.files.iter().filter(|part| part.elsewhere) {
            let root = part.root(self.root.as_deref());
            for path in rows::paths(part)? {
                let (place, origin) = written::file(&root, self.otherwise.as_deref(), &path);
                fingerprint.text(&place.display().to_string());
                fingerprint.origin(&origin);
            }
        }
        Ok(fingerprint.finish())
    }

    fn items(self: Box<Self>) -> Box<dyn Iterator<Item = Result<Item>> + Send> {
        let HfParquet { files, root, otherwise, .. } = *self;
        let declared = files.iter().find_map(|part| part.names.clone());
        let mut failed = false;
        let items = files.into_iter().flat_map(move |part| {
            let root = part.root(root.as_deref());
            rows::items(part, root, otherwise.clone(), declared.clone())
        });
        // The iterator ends at an error: the rest after a damaged part would not be the whole data
        // set.
        Box::new(items.take_while(move |item| !std::mem::replace(&mut failed, item.is_err())))
    }
}

fn sizes(files: &[Opened]) -> Result<u64> {
    files.iter().map(|file| Ok(std::fs::metadata(&file.path).at(Kind::Input, "cannot read", &file.path)?.len())).sum()
}

fn open(path: &Path) -> Result<Pages> {
    if let Some(pointer) = foreign::pointer(path) {
        return Err(pointer);
    }
    let file = text_file::open(path).at(Kind::Input, "cannot open", path)?;
    guard::or_damaged(path, || Pages::open(file).at(Kind::Input, "cannot read as Parquet:", path))
}
