//! Folders that count as classes and look like something else: splits, whole data sets, or the
//! masks beside pictures. A run would train on test pictures, and tell apart what is no class.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::folders;
use crate::source::item::Split;
use crate::text::list::{SHOWN, some_of};
use crate::text::terminal::in_line;

/// What folders of pictures are called that lie beside folders of masks.
const PICTURES: [&str; 8] = ["images", "image", "imgs", "img", "pictures", "photos", "jpegimages", "rgb"];

/// What folders are called whose pictures say what is where in others.
const MASKS: [&str; 9] = [
    "masks",
    "mask",
    "annotations",
    "labels",
    "segmentation",
    "segmentations",
    "segmentationclass",
    "groundtruth",
    "ground truth",
];

/// Says what the folders directly below `root`, each a class, look like instead.
pub(super) fn note<'a>(root: &Path, places: impl Iterator<Item = &'a PathBuf>) -> Option<String> {
    let mut below: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for place in places {
        let mut above = folders(place);
        if let Some(class) = above.next() {
            below.entry(class).or_default().extend(above.next());
        }
    }
    if below.len() < 2 {
        return None;
    }
    let classes: Vec<&str> = below.keys().map(String::as_str).collect();
    splits(&classes).or_else(|| data_sets(&below)).or_else(|| masks(root, &classes))
}

/// Says that classes are called as splits are: `seg_train` and `seg_test`, or `train_images` and
/// `test_images`. Some may be called otherwise, as `seg_pred`; but among steam trains and express
/// trains is no test.
fn splits(classes: &[&str]) -> Option<String> {
    let mut alike: BTreeMap<String, BTreeSet<Split>> = BTreeMap::new();
    let called: Vec<(Split, String)> = classes.iter().filter_map(|class| split_in(class)).collect();
    for (split, rest) in &called {
        alike.entry(rest.clone()).or_default().insert(*split);
    }
    let differ = alike.values().any(|splits| splits.len() > 1);
    (differ && called.len() * 2 >= classes.len()).then(|| {
        format!(
            "the folders {} count as classes, and all their pictures are for training, but they are called as splits are: if they \
             are splits, call them train and test, with a folder per class in each, or name one of them as dataset.path",
            some_of(classes, SHOWN)
        )
    })
}

/// Returns the split whose word is in a name, and the other words.
fn split_in(name: &str) -> Option<(Split, String)> {
    let name = name.to_lowercase();
    let words: Vec<&str> = name.split(|c: char| !c.is_alphabetic()).filter(|word| !word.is_empty()).collect();
    let (place, split) = words.iter().enumerate().find_map(|(place, word)| Some((place, Split::parse(word)?)))?;
    Some((split, [&words[..place], &words[place + 1..]].concat().join(" ")))
}

/// Says that below each class lie folders of several splits, as where several data sets lie in one
/// folder.
fn data_sets(below: &BTreeMap<String, BTreeSet<String>>) -> Option<String> {
    let splits =
        |folders: &BTreeSet<String>| folders.iter().filter_map(|name| Split::parse(name)).collect::<BTreeSet<_>>();
    if below.values().any(|folders| splits(folders).len() < 2) {
        return None;
    }
    let (first, folders) = below.first_key_value()?;
    let folders: Vec<String> =
        folders.iter().filter(|name| Split::parse(name).is_some()).map(|name| format!("{first}/{name}")).collect();
    let (first, folders) = (in_line(first), some_of(&folders, SHOWN));
    Some(format!(
        "in each folder that counts as a class lie folders of splits, such as {folders}, and all pictures are for training: if \
         {first} is a data set, name it as dataset.path; if it is a class, splits go above classes, as train/{first}"
    ))
}

/// Says that one class is the pictures and another their masks.
fn masks(root: &Path, classes: &[&str]) -> Option<String> {
    let is = |known: &[&str], class: &str| known.contains(&class.to_lowercase().replace(['_', '-'], " ").as_str());
    let pictures = classes.iter().find(|class| is(&PICTURES, class))?;
    let all = classes.iter().all(|class| is(&PICTURES, class) || is(&MASKS, class));
    (all && classes.iter().any(|class| is(&MASKS, class))).then(|| {
        format!(
            "the folders {} count as classes, but are called as pictures and what is marked in them: if they are that, name \
             the pictures as dataset.path, {}",
            some_of(classes, SHOWN),
            in_line(&root.join(pictures).display().to_string())
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is said of pictures in these folders.
    fn of(folders: &[&str]) -> Option<String> {
        let places: Vec<PathBuf> = folders.iter().map(|folder| Path::new(folder).join("1.jpg")).collect();
        note(Path::new("/data"), places.iter())
    }

    #[test]
    fn splits_that_count_as_classes_are_seen() {
        for folders in [
            &["seg_train/seg_train/rose", "seg_test/seg_test/rose", "seg_pred/seg_pred"][..],
            &["train_set/rose", "test_set/rose"],
            &["train_images", "test_images"],
            &["Training Set", "Test Set"],
            &["train2017", "val2017"],
        ] {
            let said = of(folders).unwrap_or_else(|| panic!("{folders:?}"));
            assert!(said.contains("but they are called as splits are"), "{said}");
        }
    }

    #[test]
    fn data_sets_and_masks_that_count_as_classes_are_seen() {
        let said = of(&["flowers/train/rose", "flowers/test/rose", "dusk/train/rose", "dusk/test/rose"]).unwrap();
        assert!(
            said.contains("such as dusk/test, dusk/train, and") && said.contains("name it as dataset.path"),
            "{said}"
        );
        let said = of(&["images/rose", "masks/rose"]).unwrap();
        assert!(said.ends_with("name the pictures as dataset.path, /data/images"), "{said}");
    }

    #[test]
    fn ordinary_classes_are_no_alarm() {
        for folders in [
            &["bus", "steam train", "tram"][..],
            &["steam train", "express train"],
            &["rose/day", "rose/night", "lily/day", "lily/night"],
            // Of one class alone, which may be a name of its own.
            &["rose/train", "rose/test", "lily"],
            &["test tube", "beaker", "flask"],
            &["test tube", "toy train"],
            &["mask", "no mask"],
            &["images", "rose"],
            &["rose", "lily"],
            &["train_set"],
        ] {
            assert_eq!(of(folders), None, "{folders:?}");
        }
    }
}
