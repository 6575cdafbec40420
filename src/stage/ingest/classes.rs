//! The classes of a dataset: their names, and which of them a label means.

use std::collections::{HashMap, HashSet};

use super::IngestSettings;
use crate::error::{Error, Kind, Result};
use crate::source::{ClassMap, Source};
use crate::text::list::{SHOWN, some_of};
use crate::text::names::{Apart, after_numbers, are_numbers, plain, without_numbers};
use crate::text::terminal::in_line;

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
    /// name that the pipeline's map gives it, or else the name that is spelled like it, with spaces
    /// for underscores and in any case; labels that are all whole numbers mean places in the
    /// pipeline's list, from 0.
    ///
    /// # Errors
    /// Returns [`Kind::Input`] if there are fewer than two, if a label is not listed, or if the map
    /// lists none of them.
    pub(super) fn of(source: &dyn Source, settings: &IngestSettings) -> Result<Self> {
        let labels = &source.listing().classes;
        let (names, mut notes) = match &settings.class_map {
            Some(map) => named(labels, map)?,
            None => (labels.clone(), Vec::new()),
        };
        let found = match &settings.classes {
            Some(listed) => Self::matched(&names, listed)?,
            None if let Some(why) = source.listing().unlabelled.as_ref().filter(|_| labels.is_empty()) => {
                return Err(Error::new(Kind::Input, format!("the dataset names no classes: {why}"))
                    .hint("or list the classes in a text file, one name a line, and name it as dataset.classes"));
            }
            None => Self::of_labels(&names).map_err(|error| match &source.listing().elsewhere {
                Some(folder) => Error::new(error.kind(), error.to_string()).hint(format!(
                    "the folders in {} look like classes or splits: name it as dataset.path",
                    folder.display()
                )),
                None => error,
            })?,
        };
        let id = |(label, name): (&String, &String)| Some((label.clone(), *found.ids.get(name)?));
        let ids = labels.iter().zip(&names).filter_map(id).collect();
        notes.extend(found.notes);
        // The map gives them the same name, of which nothing else would be said.
        if settings.class_map.is_some() && settings.classes.is_none() {
            let alike = Apart::of(labels).notes;
            notes.extend(alike.into_iter().filter(|note| !notes.contains(note)).collect::<Vec<_>>());
        }
        notes.extend(numbers_in_prompts(&found.names, settings.class_map.as_ref()));
        notes.extend(comments_among(&found.names));
        Ok(Classes { names: found.names, ids, notes })
    }

    /// Makes a class of each label; labels that are spelled alike are one.
    fn of_labels(labels: &[String]) -> Result<Self> {
        let Apart { names, places, notes } = Apart::of(labels);
        let ids = labels.iter().cloned().zip(places.into_iter().map(|place| place as i32)).collect();
        match names.as_slice() {
            [] => Err(Error::new(Kind::Input, "the dataset names no classes")
                .hint("list them in a text file, one name a line, and name it as dataset.classes")),
            [one] => Err(Error::new(Kind::Input, format!("the dataset has one class, '{}': there is nothing to tell it from", in_line(one)))
                .hint(
                    "each folder directly below dataset.path, or below its folders train, validation and test, is a class: \
                     if the classes lie deeper, name the folder that holds them; or list all classes in dataset.classes",
                )),
            _ => Ok(Classes { names, ids, notes }),
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
            let means = in_line(&names[places[0] as usize]);
            let note = format!("the labels are numbers, and mean places in dataset.classes: {first} is '{means}'");
            let ids = labels.iter().cloned().zip(places).collect();
            return Ok(Classes { names: names.to_vec(), ids, notes: vec![note] });
        }
        let what = match unknown.as_slice() {
            [] => {
                let ids = labels.iter().filter_map(|label| Some((label.clone(), find(label)?))).collect();
                return Ok(Classes { names: names.to_vec(), ids, notes: Vec::new() });
            }
            [one] => format!("the dataset has a class '{}' that dataset.classes does not list", in_line(one)),
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

/// Returns the name that a map gives each label, or the label itself where the map does not list
/// it; and what the user should know of that.
///
/// # Errors
/// Returns [`Kind::Input`] if the map lists none of the labels.
fn named(labels: &[String], map: &ClassMap) -> Result<(Vec<String>, Vec<String>)> {
    let by_label: HashMap<String, &String> = map.pairs.iter().map(|(label, name)| (plain(label), name)).collect();
    let file = map.path.display();
    let unlisted: Vec<&String> = labels.iter().filter(|label| !by_label.contains_key(&plain(label))).collect();
    if unlisted.len() == labels.len() && !labels.is_empty() {
        let what = format!("{file} names none of the dataset's labels, which are {}", some_of(labels, SHOWN));
        return Err(Error::new(Kind::Input, what)
            .hint("each line gives a label as the dataset has it, then the name of its class"));
    }
    let used: HashSet<String> = labels.iter().map(|label| plain(label)).collect();
    let unused: Vec<&String> =
        map.pairs.iter().map(|(label, _)| label).filter(|label| !used.contains(&plain(label))).collect();
    let mut notes = Vec::new();
    if !unlisted.is_empty() {
        let (labels, keep) = if unlisted.len() == 1 { ("label", "keeps its") } else { ("labels", "keep their") };
        let count = unlisted.len();
        notes.push(format!(
            "{file} does not list {count} {labels}, which {keep} own name: {}",
            some_of(&unlisted, SHOWN)
        ));
    }
    if !unused.is_empty() && !labels.is_empty() {
        notes.push(format!("{file} lists what is no label of the dataset: {}", some_of(&unused, SHOWN)));
    }
    let name = |label: &String| by_label.get(&plain(label)).map_or(label, |name| *name).clone();
    Ok((labels.iter().map(name).collect(), notes))
}

/// Says how classes are given other names than their labels.
pub(super) fn to_name_them(map: Option<&ClassMap>) -> String {
    match map {
        Some(map) => format!("write names into {}, in place of the labels", map.path.display()),
        None => "name the classes in a file of labels and names, dataset.class_names".to_owned(),
    }
}

/// Says that class names are numbers, or begin with them, and so do the prompts that are made of
/// them.
fn numbers_in_prompts(names: &[String], map: Option<&ClassMap>) -> Option<String> {
    let mend = to_name_them(map);
    let are_all = are_numbers(names);
    if let Some(number) = names.iter().find(|name| are_all || name.bytes().all(|byte| byte.is_ascii_digit())) {
        let number = in_line(number);
        return Some(format!(
            "a class is called '{number}', and a prompt such as 'a photo of a {number}.' says nothing of its looks: {mend}"
        ));
    }
    let rests = after_numbers(names)?;
    let mend = match (without_numbers(names), map) {
        (Some(_), Some(_)) => mend,
        (Some(_), None) => format!("{mend}, as `microclip-pipe init` writes one"),
        (None, _) => format!("{mend}; without the numbers, some would be the same"),
    };
    let (first, plain) = (in_line(names.first()?), in_line(rests.first()?));
    Some(format!(
        "the class names begin with numbers, and prompts read 'a photo of a {first}.', not 'a photo of a {plain}.': {mend}"
    ))
}

/// Says that names look like comments, which a list of names does not have.
fn comments_among(names: &[String]) -> Option<String> {
    let first = in_line(names.iter().find(|name| name.starts_with('#'))?);
    Some(format!("'{first}' is a class as any line of dataset.classes: remove it if it is a comment"))
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
    fn labels_are_named_by_the_map_and_alike_ones_are_one_class() {
        let map = ClassMap {
            path: "map.csv".into(),
            pairs: [("001.Laysan_Albatross", "Laysan albatross"), ("7", "auk")]
                .map(|(l, n)| (l.to_owned(), n.to_owned()))
                .to_vec(),
        };
        let (names, notes) = named(&texts(&["001.Laysan Albatross", "wren"]), &map).unwrap();
        assert_eq!(names, ["Laysan albatross", "wren"]);
        assert_eq!(notes[0], "map.csv does not list 1 label, which keeps its own name: wren");
        assert_eq!(notes[1], "map.csv lists what is no label of the dataset: 7");
        let refused = named(&texts(&["wren", "owl"]), &map).unwrap_err();
        assert_eq!(refused.to_string(), "map.csv names none of the dataset's labels, which are wren, owl");
        let alike = Classes::of_labels(&texts(&["auk", "tiger lily", "Tiger_Lily"])).unwrap();
        assert_eq!((alike.names.len(), alike.ids["tiger lily"], alike.ids["Tiger_Lily"]), (2, 1, 1));
        assert_eq!(alike.notes, ["the labels 'tiger lily' and 'Tiger_Lily' are spelled alike, and are one class"]);
    }

    #[test]
    fn numbers_that_prompts_would_say_are_a_note() {
        let note = |names: &[&str]| numbers_in_prompts(&texts(names), None);
        assert!(note(&["0", "1"]).unwrap().contains("'a photo of a 0.' says nothing"));
        let numbered = note(&["001.Black footed Albatross", "002.Auk"]).unwrap();
        assert!(
            numbered.contains("'a photo of a 001.Black footed Albatross.', not 'a photo of a Black footed Albatross.'")
        );
        assert!(note(&["n01440764", "n01443537"]).unwrap().contains("'a photo of a n01440764.' says nothing"));
        let map = ClassMap { path: "map.csv".into(), pairs: Vec::new() };
        let filled = numbers_in_prompts(&texts(&["0", "1"]), Some(&map)).unwrap();
        assert!(filled.ends_with("of its looks: write names into map.csv, in place of the labels"), "{filled}");
        assert_eq!(note(&["707-320", "A300"]), None);
        assert_eq!(note(&["rose", "aster"]), None);
        assert!(note(&["01_rose", "02_rose", "03_iris"]).unwrap().contains("some would be the same"));
        assert!(comments_among(&texts(&["# mine", "rose"])).unwrap().contains("'# mine'"));
    }

    #[test]
    fn one_class_is_refused() {
        let refused = Classes::of_labels(&texts(&["images"])).err().unwrap();
        assert!(refused.to_string().contains("one class, 'images'") && refused.hint_text().is_some());
    }
}
