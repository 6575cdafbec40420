//! The classes of a dataset: their names, and which of them a label means.

use std::collections::HashMap;

use super::IngestSettings;
use crate::error::{Error, Kind, Result};
use crate::source::Source;
use crate::text::list::some_of;
use crate::text::names::plain;

/// Names that are worth reading in one message.
const SHOWN: usize = 6;

/// The classes of a dataset.
pub(super) struct Classes {
    /// Names of the classes, by class id.
    pub(super) names: Vec<String>,
    /// The class id of each label of the source.
    pub(super) ids: HashMap<String, i32>,
    /// What the user should know of how labels were matched to names.
    pub(super) notes: Vec<String>,
}

impl Classes {
    /// Returns the classes that the pipeline names, or else those of the source. A label means the
    /// name that is spelled like it, with spaces for underscores and in any case; labels that are
    /// all whole numbers mean places in the pipeline's list, from 0.
    ///
    /// # Errors
    /// Returns [`Kind::Input`] if there are fewer than two, or if a label is not listed.
    pub(super) fn of(source: &dyn Source, settings: &IngestSettings) -> Result<Self> {
        let labels = &source.listing().classes;
        match &settings.classes {
            Some(names) => Self::matched(labels, names),
            None => Self::of_labels(labels),
        }
    }

    fn of_labels(labels: &[String]) -> Result<Self> {
        match labels {
            [] => Err(Error::new(Kind::Input, "the dataset names no classes")
                .hint("list them in a text file, one name a line, and name it as dataset.classes")),
            [one] => Err(Error::new(Kind::Input, format!("the dataset has one class, '{one}': there is nothing to tell it from"))
                .hint(
                    "each folder directly below dataset.path, or below its folders train, validation and test, is a class: \
                     if the classes lie deeper, name the folder that holds them; or list all classes in dataset.classes",
                )),
            many => Ok(Classes {
                names: many.to_vec(),
                ids: many.iter().cloned().zip(0..).collect(),
                notes: Vec::new(),
            }),
        }
    }

    fn matched(labels: &[String], names: &[String]) -> Result<Self> {
        let exact: HashMap<&str, i32> = names.iter().map(String::as_str).zip(0..).collect();
        let alike: HashMap<String, i32> = names.iter().map(|name| plain(name)).zip(0..).collect();
        let find = |label: &String| exact.get(label.as_str()).or_else(|| alike.get(&plain(label))).copied();
        let unknown: Vec<&String> = labels.iter().filter(|label| find(label).is_none()).collect();
        if let [first, ..] = labels
            && unknown.len() == labels.len()
            && let Some(places) = places(labels, names.len())
        {
            let means = &names[places[0] as usize];
            let note = format!("the labels are numbers, and mean places in dataset.classes: {first} is '{means}'");
            let ids = labels.iter().cloned().zip(places).collect();
            return Ok(Classes { names: names.to_vec(), ids, notes: vec![note] });
        }
        let what = match unknown.as_slice() {
            [] => {
                let ids = labels.iter().filter_map(|label| Some((label.clone(), find(label)?))).collect();
                return Ok(Classes { names: names.to_vec(), ids, notes: Vec::new() });
            }
            [one] => format!("the dataset has a class '{one}' that dataset.classes does not list"),
            many => format!(
                "the dataset has {} classes that dataset.classes does not list: {}",
                many.len(),
                some_of(many, SHOWN)
            ),
        };
        let error = Error::new(Kind::Input, what);
        Err(match labels.iter().all(|label| label.parse::<u32>().is_ok()) {
            true => error.hint(format!(
                "numbers mean places in that file, counted from 0: its {} names have the places 0 to {}",
                names.len(),
                names.len().saturating_sub(1)
            )),
            false => error.hint("add them to that file, or spell them alike in both"),
        })
    }
}

/// Returns the places that labels mean, if all of them are whole numbers below `count`.
fn places(labels: &[String], count: usize) -> Option<Vec<i32>> {
    let place =
        |label: &String| label.parse::<i32>().ok().filter(|place| (0..count as i64).contains(&i64::from(*place)));
    labels.iter().map(place).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn labels_are_matched_by_their_spelling_or_as_places() {
        let ids = |labels: &[&str], names: &[&str]| {
            let found = Classes::matched(&texts(labels), &texts(names))
                .map(|classes| labels.iter().map(|label| classes.ids[*label]).collect::<Vec<_>>());
            found.map_err(|error| error.to_string())
        };
        assert_eq!(ids(&["blue bell", "Rose"], &["rose", "blue_bell"]), Ok(vec![1, 0]));
        assert_eq!(ids(&["0", "2"], &["rose", "aster", "iris"]), Ok(vec![0, 2]));
        // Names that are numbers are names, not places.
        assert_eq!(ids(&["1998", "2001"], &["2001", "1998"]), Ok(vec![1, 0]));
        assert!(ids(&["0", "3"], &["rose", "aster", "iris"]).unwrap_err().contains("2 classes that dataset.classes"));
        let counted_from_one = Classes::matched(&texts(&["1", "2"]), &texts(&["rose", "aster"])).err().unwrap();
        assert!(counted_from_one.hint_text().unwrap().ends_with("its 2 names have the places 0 to 1"));
        assert!(ids(&["tulip", "rose"], &["rose", "aster"]).unwrap_err().contains("a class 'tulip' that"));
    }

    #[test]
    fn one_class_is_refused() {
        let refused = Classes::of_labels(&texts(&["images"])).err().unwrap();
        assert!(refused.to_string().contains("one class, 'images'") && refused.hint_text().is_some());
    }
}
