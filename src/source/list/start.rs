//! Where the paths of a list start, for those who do not say: data sets keep their pictures in a
//! folder beside the list, whose name is in none of its lines.

use std::collections::BTreeSet;
use std::fs::DirEntry;
use std::path::{Path, PathBuf};

use super::{Lines, lines_of, lists};
use crate::error::{Error, Kind, Result};
use crate::source::column_names::Chosen;
use crate::source::item::Origin;
use crate::source::{is_visible_name, written};
use crate::text::list::some_of;

/// How many pictures are looked for, from the first of a list to its last: each in every folder.
const TRIED: usize = 16;

/// Most folders of a level that are looked into, the levels below a list, and most folders that are
/// named.
const FOLDERS: usize = 256;
const LEVELS: usize = 3;
const NAMED: usize = 3;

/// What folders of pictures are called: of two with the same names in them, the other one may hold
/// masks, or the pictures in another size.
const OF_PICTURES: [&str; 12] =
    ["images", "image", "img", "imgs", "jpg", "jpgs", "jpeg", "jpegs", "pictures", "pics", "photos", "photo"];

/// Where the pictures of a list were found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::source) struct Start {
    /// The folder in which its paths start.
    pub(in crate::source) root: PathBuf,
    /// How the folder lies to the list.
    pub(in crate::source) place: Place,
    /// How many pictures were looked for, and how many of them are there.
    pub(in crate::source) tried: usize,
    pub(in crate::source) found: usize,
    /// Other folders in which as many of the pictures are.
    pub(in crate::source) others: Vec<PathBuf>,
    /// Whether no two of those that were looked for are the same.
    pub(in crate::source) are_distinct: bool,
}

/// Where a folder lies that a list's paths start in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::source) enum Place {
    /// They start there without a word of the pipeline.
    Own,
    /// Below the list.
    Below,
    /// Above it, or beside it: another data set may have its pictures there.
    Elsewhere,
}

/// Finds where the paths of a list start: in the folder that they start in unless a pipeline says
/// otherwise, or in the one below the list that has most of its pictures. Where none has any, the
/// folders around the list are looked into, of which one must have all: pictures are called alike
/// in many data sets. `image_column` is the column with the paths, if the list has none that is
/// called so.
///
/// # Errors
/// Returns [`Kind::Input`] if the list cannot be read, if none of its pictures is found in any of
/// these folders, or if several around it have all.
pub(in crate::source) fn start(path: &Path, image_column: Option<&str>) -> Result<Start> {
    let chosen = Chosen { names: [image_column, None, None], pictures_alone: false };
    let (mut looked_for, mut own) = (Vec::new(), BTreeSet::new());
    for (list, _) in lists(path)? {
        let Lines { rows, pictures, .. } = lines_of(&list, chosen)?;
        let beside = list.parent().unwrap_or(Path::new("")).to_path_buf();
        let start = pictures.unwrap_or_else(|| beside.clone());
        let step = rows.len().div_ceil(TRIED).max(1);
        looked_for.extend(rows.into_iter().step_by(step).map(|row| (start.clone(), row.path)));
        own.insert(beside);
    }
    let tried = looked_for.len();
    let are_distinct = looked_for.iter().map(|(_, written)| written).collect::<BTreeSet<_>>().len() == tried;
    let start_at = |root: PathBuf, place, found, others| Start { root, place, tried, found, others, are_distinct };
    let is_there =
        |root: &Path, written: &str| !matches!(written::file(root, None, written).1, Origin::Unreadable { .. });
    let at_their_own = looked_for.iter().filter(|(start, written)| is_there(start, written)).count();
    let (start, first) = &looked_for[0];
    if at_their_own == tried {
        return Ok(start_at(start.clone(), Place::Own, tried, Vec::new()));
    }
    let count = |folder: &Path| looked_for.iter().filter(|(_, written)| is_there(folder, written)).count();
    let mut level: Vec<PathBuf> = own.iter().cloned().collect();
    let (mut most, mut best) = (at_their_own, Vec::new());
    for _ in 0..LEVELS {
        level = inside(&level);
        for folder in &level {
            match count(folder) {
                0 => {}
                found if found > most => (most, best) = (found, vec![folder.clone()]),
                found if found == most && !best.is_empty() => best.push(folder.clone()),
                _ => {}
            }
        }
        if most == tried {
            break;
        }
    }
    if !best.is_empty() {
        let root = best.remove(preferred(&best).unwrap_or(0));
        return Ok(start_at(root, Place::Below, most, best));
    }
    if at_their_own > 0 {
        return Ok(start_at(start.clone(), Place::Own, at_their_own, Vec::new()));
    }
    let around = around(&own);
    let mut whole: Vec<PathBuf> = around.iter().filter(|folder| count(folder) == tried).cloned().collect();
    if let Some(only) = if whole.len() == 1 { Some(0) } else { preferred(&whole) } {
        let root = whole.remove(only);
        return Ok(start_at(root, Place::Elsewhere, tried, whole));
    }
    let shown = |folders: &mut dyn Iterator<Item = &PathBuf>| {
        some_of(&folders.map(|folder| folder.display().to_string()).collect::<Vec<_>>(), NAMED)
    };
    if !whole.is_empty() {
        let folders = shown(&mut whole.iter());
        let what =
            format!("{}: pictures called as it says are in several folders beside it: {folders}", path.display());
        return Err(Error::new(Kind::Input, what)
            .hint("put the list into the folder that its paths start in, or beside that one alone"));
    }
    let detail = match written::file(start, None, first).1 {
        Origin::Unreadable { detail } => format!(" ({detail})"),
        _ => String::new(),
    };
    let what = format!("{}: no picture that it names is found, such as {first}{detail}", path.display());
    let looked = shown(&mut own.iter().chain(&around));
    Err(Error::new(Kind::Input, what)
        .hint(format!("looked for in {looked}: put the list beside the pictures' folder, or into it")))
}

/// Returns the place of the folder that is called as folders of pictures are.
fn preferred(folders: &[PathBuf]) -> Option<usize> {
    let is_called = |folder: &PathBuf, name: &str| {
        folder.file_name().and_then(|own| own.to_str()).is_some_and(|own| own.eq_ignore_ascii_case(name))
    };
    OF_PICTURES.iter().find_map(|name| folders.iter().position(|folder| is_called(folder, name)))
}

/// Returns the folders directly in these, sorted in each.
fn inside(folders: &[PathBuf]) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for folder in folders {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        // Files, of which there may be a million, are not looked at.
        let may_be_folder = |entry: &DirEntry| entry.file_type().is_ok_and(|kind| !kind.is_file());
        let shown = entries.filter(|entry| is_visible_name(&entry.file_name()) && may_be_folder(entry));
        let mut found: Vec<PathBuf> = shown.map(|entry| entry.path()).filter(|path| path.is_dir()).collect();
        found.sort_unstable();
        all.extend(found);
        if all.len() >= FOLDERS {
            all.truncate(FOLDERS);
            break;
        }
    }
    all
}

/// Returns the folders above those of the lists and the ones directly in them, each once.
fn around(own: &BTreeSet<PathBuf>) -> Vec<PathBuf> {
    let above: BTreeSet<PathBuf> = own.iter().filter_map(|folder| folder.parent()).map(Path::to_path_buf).collect();
    let mut found: Vec<PathBuf> = Vec::new();
    for folder in above {
        found.extend(inside(std::slice::from_ref(&folder)));
        // The folder itself comes last: a short path is found in it by chance.
        found.push(folder);
    }
    let mut seen = own.clone();
    found.retain(|folder| seen.insert(folder.clone()));
    found
}
