//! What the columns of lists and tables are called.

use super::Dataset;
use crate::text::list::some_of;
use crate::text::nearest::nearest;

/// The names of each column, in lower case: what this program calls it, then what `datasets`,
/// FiftyOne, fastai, Kaggle and spreadsheets call it.
pub(super) const NAMES: [(&str, &[&str]); 3] = [
    ("path", &["file_name", "filename", "filepath", "file_path", "file", "image_path", "image_file", "image", "img"]),
    ("label", &["class", "class_name", "label_name", "category", "target"]),
    ("split", &["subset", "partition", "set"]),
];

/// The keys that choose a column, in the order of [`NAMES`].
pub(super) const KEYS: [&str; 3] = ["dataset.image_column", "dataset.label_column", "dataset.split_column"];

/// Columns that are worth naming in one message.
const SHOWN: usize = 8;

/// Which columns are looked for.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Chosen<'a> {
    /// Those that a pipeline chooses, in the order of [`NAMES`].
    pub(super) names: [Option<&'a str>; 3],
    /// Whether labels and splits are left aside, whatever they are. The source is then another than
    /// the pipeline's, and may lack the column that it chooses.
    pub(super) pictures_alone: bool,
}

impl<'a> Chosen<'a> {
    /// Returns the columns that a pipeline chooses.
    pub(super) fn of(dataset: &'a Dataset) -> Self {
        let Dataset { image_column, label_column, split_column, .. } = dataset;
        let names = [image_column.as_deref(), label_column.as_deref(), split_column.as_deref()];
        Chosen { names, pictures_alone: false }
    }

    /// Returns a choice of the column of pictures alone: the one that the pipeline chooses if it is
    /// there, or else one of the usual names.
    pub(super) fn pictures_alone(dataset: &'a Dataset) -> Self {
        Chosen { names: [dataset.image_column.as_deref(), None, None], pictures_alone: true }
    }
}

/// Returns whether a column of this name says where a picture is.
pub(super) fn means_path(name: &str) -> bool {
    means(0, name)
}

/// Returns whether a column of this name says which split a picture belongs to.
pub(super) fn means_split(name: &str) -> bool {
    means(2, name)
}

fn means(column: usize, name: &str) -> bool {
    let (own, aliases) = NAMES[column];
    let lower = name.to_lowercase();
    own == lower || aliases.contains(&lower.as_str())
}

/// Returns the place in [`NAMES`] of what a column of this name means.
pub(super) fn meaning(name: &str) -> Option<usize> {
    (0..NAMES.len()).find(|column| means(*column, name))
}

/// Returns the column of a chosen name: as it is written, or else in any case.
pub(super) fn position<'a>(chosen: &str, names: impl Iterator<Item = &'a str> + Clone) -> Option<usize> {
    let lower = chosen.to_lowercase();
    names
        .clone()
        .position(|name| name == chosen)
        .or_else(|| names.clone().position(|name| name.to_lowercase() == lower))
}

/// Returns the hint for a chosen column that is not there.
pub(super) fn instead(chosen: &str, names: &[&str]) -> String {
    match nearest(chosen, names.iter().map(|name| (*name, *name))) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("the columns are {}", some_of(names, SHOWN)),
    }
}
