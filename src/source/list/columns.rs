//! Which columns of a list say where a picture is, what it shows, and which split it belongs to.

use std::path::Path;

use crate::error::{Error, Kind, Result};
use crate::source::column_names::{self, Chosen, KEYS, NAMES};
use crate::text::list::{SHOWN, some_of};
use crate::text::nearest::nearest;

/// The positions of the columns.
#[derive(Debug)]
pub(super) struct Columns {
    pub(super) path: usize,
    pub(super) label: Option<usize>,
    pub(super) split: Option<usize>,
    /// Names the columns that are left aside, if there are any.
    pub(super) note: Option<String>,
    /// Why there are no labels, if other columns may hold some.
    pub(super) unlabelled: Option<String>,
    /// Those columns.
    pub(super) perhaps_labels: Vec<String>,
}

impl Columns {
    /// Finds the columns by their names, which count in any case; other columns are left aside.
    /// `line` is where the names stand.
    ///
    /// # Errors
    /// Returns [`Kind::Input`] if no column says where the pictures are, two say the same, a name
    /// looks like a mistyped one, or a chosen column is missing.
    pub(super) fn find(names: &[String], mut chosen: Chosen<'_>, path: &Path, line: u64) -> Result<Self> {
        let refuse = |what: String| Error::in_line(Kind::Input, path, line, what);
        let shown: Vec<&str> = names.iter().map(String::as_str).filter(|name| !is_index(name)).collect();
        let mut found = [None; 3];
        for (column, name) in chosen.names.into_iter().enumerate() {
            let Some(name) = name else { continue };
            let Some(place) = column_names::position(name, names.iter().map(String::as_str)) else {
                // Other lists than the pipeline's may call it otherwise.
                if chosen.pictures_alone {
                    chosen.names[column] = None;
                    continue;
                }
                let what = format!("no column `{name}`, which {} names", KEYS[column]);
                return Err(refuse(what).hint(column_names::instead(name, &shown)));
            };
            found[column] = Some(place);
        }
        let mut others = Vec::new();
        for (place, name) in names.iter().enumerate() {
            if found.contains(&Some(place))
                && chosen.names.iter().flatten().any(|c| c.to_lowercase() == name.to_lowercase())
            {
                continue;
            }
            match column_names::meaning(name) {
                // What means the same as a chosen column is another column.
                Some(column) if chosen.names[column].is_some() => others.push(name.as_str()),
                Some(column) if column > 0 && chosen.pictures_alone => {}
                Some(column) => {
                    if let Some(before) = found[column].replace(place) {
                        let (before, own) = (&names[before], NAMES[column].0);
                        let what = match before == name {
                            true => format!("column `{name}` stands twice"),
                            false => format!("columns `{before}` and `{name}` both mean `{own}`"),
                        };
                        let hint = "rename one of the two";
                        return Err(refuse(what).hint(match chosen.pictures_alone {
                            true => hint.to_owned(),
                            false => format!("{hint}, or choose with {}", KEYS[column]),
                        }));
                    }
                }
                // pandas writes its index without a name, and a comma at a line's end makes a
                // column.
                None if is_index(name) => {}
                None => others.push(name),
            }
        }
        let looked_for = if chosen.pictures_alone { 1 } else { NAMES.len() };
        let own = || {
            NAMES
                .iter()
                .zip(found)
                .take(looked_for)
                .filter(|(_, place)| place.is_none())
                .map(|((own, _), _)| (*own, *own))
        };
        // A column that is missing and one that is spelled nearly so are one and the same.
        if let Some((name, meant)) = others.iter().find_map(|name| Some((name, nearest(name, own())?))) {
            return Err(refuse(format!("unknown column `{name}`")).hint(format!("did you mean `{meant}`?")));
        }
        let Some(place) = found[0] else {
            let hint = format!("a column says where the pictures are: path (or {})", NAMES[0].1.join(", "));
            return Err(refuse("no column `path`".to_owned()).hint(match chosen.pictures_alone {
                true => hint,
                false => format!("{hint}, and if wanted label and split; {} chooses another", KEYS[0]),
            }));
        };
        let left = some_of(&others, SHOWN);
        let note = (!others.is_empty()).then(|| {
            let (columns, are) = if others.len() == 1 { ("column", "is") } else { ("columns", "are") };
            format!("{}: {columns} {left} {are} left aside", path.display())
        });
        let unlabelled = (found[1].is_none() && !others.is_empty())
            .then(|| format!("no column is known to hold labels: {} chooses one of {left}", KEYS[1]));
        let perhaps_labels = match unlabelled {
            Some(_) => others.iter().map(|name| (*name).to_owned()).collect(),
            None => Vec::new(),
        };
        Ok(Columns { path: place, label: found[1], split: found[2], note, unlabelled, perhaps_labels })
    }
}

/// Returns whether a column without a name of its own numbers the lines.
fn is_index(name: &str) -> bool {
    name.is_empty() || name.to_lowercase().starts_with("unnamed:")
}
