//! Pictures in Parquet as Hugging Face's `datasets` writes them: a column
//! `image: struct<bytes, path>`, and a column of labels, either numbers with the class names in the
//! schema's metadata, or the names themselves.
//!
//! The split is derived from the file's name (`train-00000-of-00002.parquet`) or its folder's
//! (`test/0000.parquet`).

mod guard;
mod pages;
mod rows;

use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Path, PathBuf};

use walkdir::WalkDir;

use self::pages::Pages;
use super::fingerprint::Fingerprint;
use super::hf_schema::HfSchema;
use super::item::{Item, Split, modified_ns};
use super::{Listing, Source};
use crate::error::{Context, Error, Kind, Result};

/// Parquet files whose schemas and labels have been read, but not their pictures.
pub struct HfParquet {
    files: Vec<Part>,
    listing: Listing,
}

/// One Parquet file.
#[derive(Debug, Clone)]
struct Part {
    path: PathBuf,
    schema: HfSchema,
    split: Split,
}

impl HfParquet {
    /// Opens files, or all `*.parquet` files in and below folders.
    ///
    /// # Errors
    /// Returns [`Kind::Input`] if there is no file, one is not Parquet or holds no pictures, or
    /// files disagree about the classes.
    pub fn open(paths: &[PathBuf]) -> Result<Self> {
        let (mut files, mut items, mut bytes) = (Vec::new(), 0, 0);
        for path in find(paths)? {
            let pages = open(&path)?;
            let features = pages
                .footer()
                .key_value_metadata()
                .and_then(|pairs| pairs.iter().find(|pair| pair.key == "huggingface")?.value.as_deref())
                .or_else(|| pages.schema().metadata().get("huggingface").map(String::as_str));
            let schema = HfSchema::of(pages.schema(), features, &path)?;
            items += u64::try_from(pages.footer().num_rows()).unwrap_or(0);
            bytes += std::fs::metadata(&path).at(Kind::Input, "cannot read", &path)?.len();
            files.push(Part { split: split_of(&path), schema, path });
        }
        let classes = classes(&files)?;
        let has_labels = files.iter().any(|part| part.schema.label.is_some());
        Ok(HfParquet { files, listing: Listing { classes, has_labels, items, bytes, notes: Vec::new() } })
    }
}

impl Source for HfParquet {
    fn listing(&self) -> &Listing {
        &self.listing
    }

    fn fingerprint(&self) -> Result<String> {
        let mut fingerprint = Fingerprint::new("hf_parquet");
        for Part { path, .. } in &self.files {
            let metadata = std::fs::metadata(path).at(Kind::Input, "cannot read", path)?;
            fingerprint.text(&path.display().to_string());
            fingerprint.file(metadata.len(), modified_ns(&metadata));
        }
        Ok(fingerprint.finish())
    }

    fn items(self: Box<Self>) -> Box<dyn Iterator<Item = Result<Item>> + Send> {
        let declared = self.files.iter().find_map(|part| part.schema.names.clone());
        let mut failed = false;
        let items = self.files.into_iter().flat_map(move |part| rows::items(part, declared.clone()));
        // The iterator ends at an error: the rest after a damaged part would not be the whole data
        // set.
        Box::new(items.take_while(move |item| !std::mem::replace(&mut failed, item.is_err())))
    }
}

/// Returns the files that `paths` refer to, sorted.
fn find(paths: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let hint = "name Parquet files, or folders of them";
    let mut found = BTreeSet::new();
    for path in paths {
        if path.is_file() {
            found.insert(path.clone());
        } else if path.is_dir() {
            for entry in WalkDir::new(path).follow_links(true) {
                // A folder that cannot be read may hold a part of the pictures. A link back to a
                // folder above: its target is found without it.
                if entry.as_ref().is_err_and(|error| error.loop_ancestor().is_some()) {
                    continue;
                }
                let entry = entry.at(Kind::Input, "cannot look through", path)?;
                let is_parquet = entry.path().extension().is_some_and(|e| e.eq_ignore_ascii_case("parquet"));
                found.extend((is_parquet && entry.file_type().is_file()).then(|| entry.into_path()));
            }
        } else {
            return Err(Error::new(Kind::Input, format!("{} does not exist", path.display())).hint(hint));
        }
    }
    if found.is_empty() {
        let given: Vec<String> = paths.iter().map(|p| p.display().to_string()).collect();
        return Err(Error::new(Kind::Input, format!("no Parquet file in {}", given.join(", "))).hint(hint));
    }
    Ok(found.into_iter().collect())
}

fn open(path: &Path) -> Result<Pages> {
    let file = File::open(path).at(Kind::Input, "cannot open", path)?;
    guard::or_damaged(path, || Pages::open(file).at(Kind::Input, "cannot read as Parquet:", path))
}

/// Returns the split named by a word of the file's name, or of its folder's; otherwise `Train`.
fn split_of(path: &Path) -> Split {
    let words = |name: Option<&std::ffi::OsStr>| {
        let name = name.unwrap_or_default().to_string_lossy().into_owned();
        name.split(|c: char| !c.is_alphanumeric()).find_map(Split::parse)
    };
    words(path.file_stem()).or_else(|| words(path.parent().and_then(Path::file_name))).unwrap_or(Split::Train)
}

/// Returns the names that the files declare, which must be the same in all, or otherwise the labels
/// that occur, sorted.
fn classes(files: &[Part]) -> Result<Vec<String>> {
    let mut declared = files.iter().filter_map(|part| Some((part, part.schema.names.as_ref()?)));
    if let Some((first, names)) = declared.next() {
        if let Some((other, _)) = declared.find(|(_, others)| *others != names) {
            let (first, other) = (first.path.display(), other.path.display());
            return Err(Error::new(Kind::Input, format!("{first} and {other} have different classes"))
                .hint("files of one data set must have the same class names in the same order"));
        }
        return Ok(names.clone());
    }
    let mut found = BTreeSet::new();
    for part in files {
        found.extend(rows::labels(part)?);
    }
    Ok(found.into_iter().map(rows::Label::into_name).collect())
}
