//! Pictures named on the command line or on standard input: a picture, a folder with pictures at
//! any depth, a list, Parquet, or tars. Labels and splits do not matter here.

mod paths;

use std::path::Path;

use super::folder::Below;
use super::foreign::{self, Asked};
use super::hf_parquet::HfParquet;
use super::hf_parquet::files::is_parquet;
use super::item::{Item, Origin};
use super::list;
use super::webdataset::{WebDataset, shards::is_shard};
use super::{Dataset, Source};
use crate::error::{Error, Kind, Result};
use crate::hub;
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

/// Finds the pictures that `path` stands for; none is read. `dataset` is what the run was made
/// from: a list or Parquet may be written as its is, with the same column of pictures, and the same
/// folder for paths that lead nowhere from its own.
///
/// # Errors
/// Returns [`Kind::Input`] if the path does not exist, a folder has neither pictures nor Parquet
/// nor tars, or a list, Parquet or a tar cannot be read.
pub fn pictures(path: &Path, dataset: &Dataset) -> Result<Pictures> {
    if path.is_dir() {
        return in_folder(path, dataset);
    }
    if !path.exists() {
        let hint = path.to_str().and_then(|text| hub::instead_of_address(text, None));
        return Err(Error::new(Kind::Input, format!("there is no picture, folder or list {}", path.display()))
            .hint(hint.unwrap_or_else(|| "relative paths start where the command is typed".to_owned())));
    }
    if is_parquet(path)
        && let Some(found) = in_parquet(path, dataset)?
    {
        return Ok(found);
    }
    if is_shard(path)
        && let Some(found) = in_shards(path)?
    {
        return Ok(found);
    }
    match list::is_list(path) {
        true => {
            let list::Unlabelled { items, notes } = list::unlabelled(path, dataset)?;
            Ok(Pictures { notes, ..Pictures::of(items) })
        }
        false => Ok(Pictures::of(std::iter::once(item(path, Origin::of_file(path))))),
    }
}

/// Returns the pictures that a path on standard input stands for. There is no end to such paths, so
/// that one which leads to nothing is a picture that cannot be read, not an error.
pub fn each(path: &Path, dataset: &Dataset) -> Pictures {
    let one = |origin: Origin| Pictures::of(std::iter::once(item(path, origin)));
    if !path.exists() {
        return one(Origin::of_file(path));
    }
    pictures(path, dataset).unwrap_or_else(|error| one(Origin::Unreadable { detail: error.to_string() }))
}

fn in_folder(folder: &Path, dataset: &Dataset) -> Result<Pictures> {
    let found = Below::of(folder).pictures;
    if found.is_empty() {
        let nothing = || {
            Error::new(Kind::Input, format!("no picture in {}", folder.display()))
                .hint(format!("{FORMATS} files are looked for in the folder and below it, and Parquet files"))
        };
        let instead = || foreign::instead(folder, Asked::Paths).unwrap_or_else(nothing);
        return in_parquet(folder, dataset)?.map_or_else(|| in_shards(folder)?.ok_or_else(instead), Ok);
    }
    let folder = folder.to_path_buf();
    Ok(Pictures::of(found.into_iter().map(move |(place, origin)| item(&folder.join(place), origin))))
}

/// Returns the pictures of a Parquet file or a folder of some; `None` if the folder has none.
fn in_parquet(path: &Path, dataset: &Dataset) -> Result<Option<Pictures>> {
    let of = |parquet: HfParquet| {
        let (count, notes) = (parquet.listing().items, parquet.listing().notes.clone());
        Pictures { items: Box::new(parquet).items(), count, notes }
    };
    Ok(HfParquet::unlabelled(path, dataset)?.map(of))
}

/// Returns the pictures of a tar or a folder of some; `None` if the folder has none.
fn in_shards(path: &Path) -> Result<Option<Pictures>> {
    let of = |shards: WebDataset| {
        let (count, notes) = (shards.listing().items, shards.listing().notes.clone());
        Pictures { items: Box::new(shards).items(), count, notes }
    };
    Ok(WebDataset::unlabelled(path)?.map(of))
}

fn item(path: &Path, origin: Origin) -> Item {
    Item { path: path.display().to_string(), origin, split: None, label: None }
}
