//! Reads all labels before any picture: which classes there are, and whether every label is one.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::ControlFlow;

use super::columns::Columns;
use super::{Part, rows};
use crate::error::{Error, Kind, Result};
use crate::source::column_names::KEYS;
use crate::source::item::Split;
use crate::source::label::{Label, LikeClasses, hidden_note};
use crate::text::list::some_of;
use crate::text::terminal::in_line;

/// Columns that are worth naming in one message.
const SHOWN: usize = 12;

/// What the labels of all files are.
pub(super) struct Survey {
    /// The names that the files declare, or otherwise the labels that occur, sorted.
    pub(super) classes: Vec<String>,
    /// Whether any picture has a label.
    pub(super) any: bool,
    /// Says how many pictures have a label that means none, where no declaration explains it.
    pub(super) hidden: Option<String>,
}

impl Survey {
    /// Reads the labels of the files.
    ///
    /// # Errors
    /// Returns [`Kind::Input`] if files declare different classes, or a label is none of them.
    pub(super) fn of(files: &[Part]) -> Result<Self> {
        let declared = declared(files)?;
        let (mut found, mut hidden) = (BTreeSet::new(), 0);
        for part in files {
            let Some(column) = &part.columns.label else { continue };
            rows::labels(part, column, |row, label| {
                let Some(label) = label else { return Ok(()) };
                if label.is_hidden() {
                    hidden += 1;
                } else if !found.contains(&label) {
                    rows::named(label.clone(), part, declared, row)?;
                    found.insert(label);
                }
                Ok(())
            })?;
        }
        let any = !found.is_empty();
        // With declared names, the label for none is the habit of `datasets`.
        let hidden = if declared.is_some() { None } else { hidden_note(hidden) };
        let classes = match declared {
            Some(names) => names.to_vec(),
            None => found.into_iter().map(Label::into_name).collect(),
        };
        Ok(Survey { classes, any, hidden })
    }
}

/// Returns the names that the files declare, which must be the same in all, and differ.
fn declared(files: &[Part]) -> Result<Option<&[String]>> {
    let mut declared = files.iter().filter_map(|part| Some((part, part.names.as_ref()?)));
    let Some((first, names)) = declared.next() else { return Ok(None) };
    if let Some((other, _)) = declared.find(|(_, others)| *others != names) {
        let (first, other) = (first.path.display(), other.path.display());
        return Err(Error::new(Kind::Input, format!("{first} and {other} have different classes"))
            .hint("files of one data set must have the same class names in the same order"));
    }
    let mut seen = HashMap::new();
    for (number, name) in names.iter().enumerate() {
        if let Some(before) = seen.insert(name, number) {
            let (file, name) = (first.path.display(), in_line(name));
            return Err(Error::new(Kind::Input, format!("{file} calls the classes {before} and {number} '{name}'"))
                .hint("give one of them another name in the features of the data set, and write it anew"));
        }
    }
    Ok(Some(names))
}

/// Settles what only the values of columns can say: whether a column called `split` holds splits,
/// and which column of text holds labels.
///
/// # Errors
/// Returns [`Kind::Input`] if a column holds splits and other words.
pub(super) fn settle(columns: &mut Columns, parts: impl Fn(&Columns) -> Vec<Part>) -> Result<()> {
    let files = parts(columns);
    settle_split(columns, &files)?;
    if columns.label.is_some() || columns.perhaps_labels.is_empty() {
        return Ok(());
    }
    let mut fit = Vec::new();
    for name in &columns.perhaps_labels {
        if repeats(&files, name)? {
            fit.push(name.clone());
        }
    }
    match fit.as_slice() {
        [] => {}
        [one] => {
            columns.label = Some(one.clone());
            columns.notes.push(format!("labels are those of column `{one}`, the only one that may hold some"));
        }
        several => {
            columns.choice = several.to_vec();
            let several: Vec<String> = several.iter().map(|name| format!("`{name}`")).collect();
            let several = some_of(&several, SHOWN);
            let why = format!("labels may be in any of the columns {several}: choose one with {}", KEYS[1]);
            columns.unlabelled = Some(why);
        }
    }
    Ok(())
}

fn settle_split(columns: &mut Columns, files: &[Part]) -> Result<()> {
    let Some(name) = &columns.split else { return Ok(()) };
    // The first row of each word.
    let mut words: BTreeMap<Label, (&Part, usize)> = BTreeMap::new();
    let mut more = false;
    for part in files {
        let seen = rows::labels_until(part, name, |row, word| {
            let Some(word) = word.filter(|word| !words.contains_key(word)) else {
                return Ok(ControlFlow::Continue(()));
            };
            more = words.len() == SHOWN;
            if more {
                return Ok(ControlFlow::Break(()));
            }
            words.insert(word, (part, row));
            Ok(ControlFlow::Continue(()))
        })?;
        if seen.is_break() {
            break;
        }
    }
    let is_split = |word: &Label| Split::parse(&word.clone().into_name()).is_some();
    if !columns.split_is_chosen && !words.keys().any(is_split) {
        if !words.is_empty() {
            let words: Vec<String> = words.into_keys().map(Label::into_name).collect();
            let words = some_of(&words, SHOWN) + if more { " and more" } else { "" };
            columns.notes.push(format!("column `{name}` names no split and is left aside: its words are {words}"));
        }
        columns.split = None;
        return Ok(());
    }
    words.into_iter().try_for_each(|(word, (part, row))| rows::split_of(word, part, row).map(drop))
}

/// Returns how many of the file's `rows` are in each of some splits.
///
/// # Errors
/// Returns [`Kind::Input`] if a word for a split is none.
pub(super) fn in_splits<const N: usize>(part: &Part, rows: u64, splits: [Split; N]) -> Result<[u64; N]> {
    let Some(name) = &part.columns.split else {
        return Ok(splits.map(|split| if part.split == split { rows } else { 0 }));
    };
    let mut counts = [0; N];
    rows::labels(part, name, |row, word| {
        let found = word.map(|word| rows::split_of(word, part, row)).transpose()?.unwrap_or(part.split);
        counts.iter_mut().zip(splits).for_each(|(count, split)| *count += u64::from(found == split));
        Ok(())
    })?;
    Ok(counts)
}

/// Returns whether the values of a column of text may be classes.
fn repeats(files: &[Part], name: &str) -> Result<bool> {
    let mut like = LikeClasses::default();
    for part in files {
        let seen = rows::labels_until(part, name, |_, label| {
            let fits = label.is_none_or(|label| like.take(label));
            Ok(if fits { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
        })?;
        if seen.is_break() {
            return Ok(false);
        }
    }
    Ok(like.are())
}
