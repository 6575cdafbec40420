//! Pictures named on the command line: a picture, a folder with pictures at any depth, or a list.

use std::path::Path;

use super::Source;
use super::folder::Below;
use super::item::{Item, Origin};
use super::list::{List, is_list};
use crate::error::{Error, Kind, Result};
use crate::image::FORMATS;

/// Returns the pictures that `path` stands for, in the order of their paths. Labels and splits do
/// not matter here.
///
/// # Errors
/// Returns [`Kind::Input`] if the path does not exist, a folder has no picture, or a list cannot be
/// read.
pub fn pictures(path: &Path) -> Result<Vec<Item>> {
    if path.is_dir() {
        let found = Below::of(path).pictures;
        if found.is_empty() {
            return Err(Error::new(Kind::Input, format!("no picture in {}", path.display()))
                .hint(format!("{FORMATS} files are looked for in the folder and below it")));
        }
        return Ok(found.into_iter().map(|(place, origin)| item(&path.join(place), origin)).collect());
    }
    if !path.exists() {
        return Err(Error::new(Kind::Input, format!("there is no picture, folder or list {}", path.display()))
            .hint("relative paths start where the command is typed"));
    }
    match is_list(path) {
        true => Box::new(List::open(path, None)?).items().collect(),
        false => Ok(vec![item(path, Origin::of_file(path))]),
    }
}

fn item(path: &Path, origin: Origin) -> Item {
    Item { path: path.display().to_string(), origin, split: None, label: None }
}
