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

/// Most folders that are looked into, and most of them that are named.
const FOLDERS: usize = 256;
const NAMED: usize = 3;

/// Where the pictures of a list were found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::source) struct Start {
    /// The folder in which its paths start.
    pub(in crate::source) root: PathBuf,
    /// Whether they start there without a word of the pipeline.
    pub(in crate::source) is_own: bool,
    /// Other folders in which as many of the pictures are.
    pub(in crate::source) others: Vec<PathBuf>,
}

/// Finds where the paths of a list start: in the folder that they start in unless a pipeline says
/// otherwise, in one beside the list, in the one above it, or in one beside that. `image_column` is
/// the column with the paths, if the list has none that is called so.
///
/// # Errors
/// Returns [`Kind::Input`] if the list cannot be read, or if none of its pictures is found
/// in any of these folders.
pub(in crate::source) fn start(path: &Path, image_column: Option<&str>) -> Result<Start> {
    let chosen = Chosen { names: [image_column, None, None], pictures_alone: false };
    let lists = lists(path)?;
    let (mut looked_for, mut own) = (Vec::new(), BTreeSet::new());
    for (list, _) in &lists {
        let Lines { rows, pictures, .. } = lines_of(list, chosen)?;
        let beside = list.parent().unwrap_or(Path::new("")).to_path_buf();
        let start = pictures.unwrap_or_else(|| beside.clone());
        let step = rows.len().div_ceil(TRIED).max(1);
        looked_for.extend(rows.into_iter().step_by(step).map(|row| (start.clone(), row.path)));
        own.insert(beside);
    }
    let is_there =
        |root: &Path, written: &str| !matches!(written::file(root, None, written).1, Origin::Unreadable { .. });
    let at_their_own = looked_for.iter().filter(|(start, written)| is_there(start, written)).count();
    let (start, first) = &looked_for[0];
    let at_its_own = || Start { root: start.clone(), is_own: true, others: Vec::new() };
    if at_their_own == looked_for.len() {
        return Ok(at_its_own());
    }
    let folders = around(&own);
    let count = |folder: &PathBuf| looked_for.iter().filter(|(_, written)| is_there(folder, written)).count();
    let counts: Vec<usize> = folders.iter().map(count).collect();
    let most = counts.iter().copied().max().unwrap_or(0);
    let mut best = folders.iter().zip(&counts).filter(|(_, count)| **count == most).map(|(folder, _)| folder.clone());
    if most > at_their_own
        && let Some(root) = best.next()
    {
        return Ok(Start { root, is_own: false, others: best.collect() });
    }
    if at_their_own > 0 {
        return Ok(at_its_own());
    }
    let detail = match written::file(start, None, first).1 {
        Origin::Unreadable { detail } => format!(" ({detail})"),
        _ => String::new(),
    };
    let what = format!("{}: no picture that it names is found, such as {first}{detail}", path.display());
    let looked: Vec<String> = own.iter().chain(&folders).map(|folder| folder.display().to_string()).collect();
    let looked = some_of(&looked, NAMED);
    Err(Error::new(Kind::Input, what)
        .hint(format!("looked for in {looked}: put the list beside the pictures' folder, or into it")))
}

/// Returns the folders in those of the lists, those beside them, and the ones around them, in this
/// order; each once.
fn around(own: &BTreeSet<PathBuf>) -> Vec<PathBuf> {
    let above: BTreeSet<PathBuf> = own.iter().filter_map(|folder| folder.parent()).map(Path::to_path_buf).collect();
    let all = own.iter().chain(&above);
    let mut found: Vec<PathBuf> = Vec::new();
    for folder in all {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        // Files, of which there may be a million, are not looked at.
        let may_be_folder = |entry: &DirEntry| entry.file_type().is_ok_and(|kind| !kind.is_file());
        let shown = entries.filter(|entry| is_visible_name(&entry.file_name()) && may_be_folder(entry));
        let mut inside: Vec<PathBuf> = shown.map(|entry| entry.path()).filter(|path| path.is_dir()).collect();
        inside.sort_unstable();
        inside.truncate(FOLDERS);
        found.extend(inside);
        // The folder itself comes last: a short path is found in it by chance.
        found.push(folder.clone());
    }
    found.retain(|folder| !own.contains(folder));
    let mut seen = BTreeSet::new();
    found.retain(|folder| seen.insert(folder.clone()));
    found
}
