//! What users name as a source that is stored in a way that is not read here, and how to convert
//! it.

mod by_name;

use std::io::Read;
use std::path::Path;

use walkdir::WalkDir;

use super::is_visible;
use super::list::is_list;
use super::webdataset::shards;
use crate::error::{Error, Kind, Result};
use crate::text::file as text_file;
use crate::text::lfs;

/// How far below a folder is looked, and at how many files: enough for the caches of `datasets`.
const DEPTH: usize = 6;
const MOST: usize = 10_000;

/// Refuses what lies at `path` if it is known by name and not read here.
///
/// # Errors
/// Returns [`Kind::Input`] for a pointer of Git LFS, for what `save_to_disk` writes, for Arrow
/// files, for compressed tars, and for what is no data set: one picture, an archive, a document, a
/// pipe.
pub(super) fn refuse(path: &Path) -> Result<()> {
    if let Some(what) = text_file::special(path) {
        let what = format!("{} is {what}, and no file", path.display());
        return Err(Error::new(Kind::Input, what).hint(text_file::INTO_A_FILE));
    }
    let found = match path.is_file() {
        true => pointer(path).or_else(|| arrow_file(path)).or_else(|| packed(path)).or_else(|| by_name::refusal(path)),
        false => saved(path).or_else(|| store(path)),
    };
    found.map_or(Ok(()), Err)
}

/// Returns the error for a file that Git LFS has not fetched yet.
pub(super) fn pointer(path: &Path) -> Option<Error> {
    let mut begin = [0; lfs::BEGIN.len()];
    text_file::open(path).ok()?.read_exact(&mut begin).ok()?;
    lfs::is_pointer(&begin).then(|| {
        Error::new(Kind::Input, format!("{} is a pointer of Git LFS, and not the file itself", path.display()))
            .hint("fetch the files: `git lfs pull` in the clone")
    })
}

/// Returns the error for a pattern of files that are named by their folder: `these` are pictures,
/// or Parquet.
pub(super) fn pattern_of(pattern: &Path, folder: &Path, these: &str) -> Error {
    Error::new(Kind::Input, format!("{} is a pattern, and {these} named by a folder", pattern.display()))
        .hint(format!("name the folder: {}; dataset.split takes some of the splits", folder.display()))
}

/// Who finds nothing in a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    /// A pipeline, which says of what kind its source is.
    Pipeline,
    /// Who names paths of pictures, and no kind.
    Paths,
}

/// Returns the error for a folder in which nothing was found, if what lies there is known by name.
pub(super) fn instead(folder: &Path, asked: Asked) -> Option<Error> {
    let files = || {
        let files = WalkDir::new(folder).follow_links(true).max_depth(DEPTH).into_iter().filter_entry(is_visible);
        files.flatten().take(MOST).filter(|entry| entry.file_type().is_file())
    };
    if let Some((what, hint)) = files().find_map(|entry| by_name::of_folder(entry.path())) {
        return Some(Error::new(Kind::Input, format!("{} {what}", folder.display())).hint(hint));
    }
    files().find_map(|entry| {
        let path = entry.path();
        let extension = path.extension()?.to_str()?.to_lowercase();
        if let Some(parent) = path.parent().filter(|parent| *parent != folder)
            && let Some(error) = saved(parent)
        {
            return Some(error);
        }
        let hint = match extension.as_str() {
            "arrow" => return arrow_file(path),
            "tar" if asked == Asked::Pipeline => {
                "shards of WebDataset are named with kind = \"webdataset\"; unpack any other"
            }
            "zip" | "tar" | "tgz" | "gz" | "7z" | "rar" => "unpack it, and name the folder with the pictures",
            "parquet" if asked == Asked::Pipeline => "name it with kind = \"hf-parquet\"",
            _ if is_list(path) && asked == Asked::Pipeline => "a list of pictures is named with kind = \"list\"",
            _ if is_list(path) => "name the list itself",
            _ => return None,
        };
        let what = format!("no picture in {}, but {}", folder.display(), path.display());
        Some(Error::new(Kind::Input, what).hint(hint))
    })
}

/// Returns the error for a store of this program, whose tables are Parquet, too.
fn store(folder: &Path) -> Option<Error> {
    let datasets = std::fs::read_dir(folder.join("classes")).ok()?;
    let is_one = datasets.flatten().take(MOST).any(|entry| entry.path().join("snapshot.parquet").is_file());
    is_one.then(|| {
        Error::new(
            Kind::Input,
            format!("{} is a store of microclip-pipe, which keeps its tables there", folder.display()),
        )
        .hint("name the pictures themselves; `microclip-pipe sql PIPELINE` reads the tables")
    })
}

/// Returns the error for a folder that `save_to_disk` wrote.
fn saved(folder: &Path) -> Option<Error> {
    let has = |name: &str| folder.join(name).is_file();
    let shown = folder.display();
    let (what, statement) = if has("dataset_dict.json") {
        let statement = "for split, ds in load_from_disk(\"IN\").items(): ds.to_parquet(f\"OUT/{split}.parquet\")";
        ("splits", statement)
    } else if has("state.json") && has("dataset_info.json") {
        ("a split", "load_from_disk(\"IN\").to_parquet(\"OUT/train.parquet\")")
    } else {
        return None;
    };
    let what =
        format!("{shown} is what save_to_disk of `datasets` wrote, {what} in Arrow files, which are not read here");
    Some(Error::new(Kind::Input, what).hint(in_python("load_from_disk", statement, folder)))
}

fn packed(path: &Path) -> Option<Error> {
    shards::is_compressed_by_name(path).then(|| shards::compressed(&[path.to_owned()]))
}

fn arrow_file(path: &Path) -> Option<Error> {
    if !path.extension()?.eq_ignore_ascii_case("arrow") {
        return None;
    }
    // A part of what `save_to_disk` wrote.
    if let Some(error) = path.parent().and_then(saved) {
        return Some(error);
    }
    let what =
        format!("{} is an Arrow file, as the cache of `datasets` holds them, which is not read here", path.display());
    let statement = "Dataset.from_file(\"IN\").to_parquet(\"OUT/train.parquet\")";
    Some(Error::new(Kind::Input, what).hint(in_python("Dataset", statement, path)))
}

fn in_python(import: &str, statement: &str, path: &Path) -> String {
    // A text of JSON is one of Python, too, whatever is in it.
    let place = serde_json::Value::from(path.display().to_string()).to_string();
    let statement = statement.replace("\"IN\"", &place);
    format!("convert it in Python: from datasets import {import}; {statement}; then name the folder OUT")
}
