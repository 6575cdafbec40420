//! Pictures named on the command line or on standard input: a picture, a folder with pictures at
//! any depth, a list, or Parquet. Labels and splits do not matter here.

mod paths;

use std::path::Path;

use super::Source;
use super::folder::Below;
use super::hf_parquet::HfParquet;
use super::hf_parquet::files::is_parquet;
use super::item::{Item, Origin};
use super::list;
use crate::error::{Error, Kind, Result};
use crate::image::FORMATS;

pub use paths::{Ends, paths};

/// The pictures that a path stands for, which are read as they are needed.
pub struct Pictures {
    /// The pictures, in their order: by path in a folder, by line in a list, by row in Parquet.
    pub items: Box<dyn Iterator<Item = Result<Item>> + Send>,
    /// Their number.
    pub count: u64,
    /// What the user should know of them.
    pub notes: Vec<String>,
}

impl Pictures {
    fn of(items: impl ExactSizeIterator<Item = Item> + Send + 'static) -> Self {
        Pictures { count: items.len() as u64, items: Box::new(items.map(Ok)), notes: Vec::new() }
    }
}

/// Finds the pictures that `path` stands for; none is read.
///
/// # Errors
/// Returns [`Kind::Input`] if the path does not exist, a folder has neither pictures nor Parquet,
/// or a list or Parquet cannot be read.
pub fn pictures(path: &Path) -> Result<Pictures> {
    if path.is_dir() {
        return in_folder(path);
    }
    if !path.exists() {
        return Err(Error::new(Kind::Input, format!("there is no picture, folder or list {}", path.display()))
            .hint("relative paths start where the command is typed"));
    }
    if is_parquet(path) {
        return in_parquet(path);
    }
    match list::is_list(path) {
        true => {
            let list::Unlabelled { items, notes } = list::unlabelled(path)?;
            Ok(Pictures { notes, ..Pictures::of(items) })
        }
        false => Ok(Pictures::of(std::iter::once(item(path, Origin::of_file(path))))),
    }
}

/// Returns the pictures that a path on standard input stands for. There is no end to such paths, so
/// that one which leads to nothing is a picture that cannot be read, not an error.
pub fn each(path: &Path) -> Box<dyn Iterator<Item = Result<Item>> + Send> {
    if !path.exists() {
        return Box::new(std::iter::once(Ok(item(path, Origin::of_file(path)))));
    }
    match pictures(path) {
        Ok(found) => found.items,
        Err(error) => Box::new(std::iter::once(Ok(item(path, Origin::Unreadable { detail: error.to_string() })))),
    }
}

fn in_folder(folder: &Path) -> Result<Pictures> {
    let found = Below::of(folder).pictures;
    if found.is_empty() {
        return in_parquet(folder).map_err(|parquet| match parquet.to_string().starts_with("no Parquet file") {
            true => Error::new(Kind::Input, format!("no picture in {}", folder.display()))
                .hint(format!("{FORMATS} files are looked for in the folder and below it, and Parquet files")),
            false => parquet,
        });
    }
    let folder = folder.to_path_buf();
    Ok(Pictures::of(found.into_iter().map(move |(place, origin)| item(&folder.join(place), origin))))
}

fn in_parquet(path: &Path) -> Result<Pictures> {
    let parquet = HfParquet::unlabelled(path)?;
    let (count, notes) = (parquet.listing().items, parquet.listing().notes.clone());
    Ok(Pictures { items: Box::new(parquet).items(), count, notes })
}

fn item(path: &Path, origin: Origin) -> Item {
    Item { path: path.display().to_string(), origin, split: None, label: None }
}
