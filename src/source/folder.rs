//! A folder of pictures. It may have three layouts:
//!
//! - `rose/1.jpg`: a subfolder per class, at any depth below it; all pictures are for training;
//! - `train/rose/1.jpg` and `test/rose/2.jpg` (or `validation`): the same layout below a folder per
//!   split;
//! - `1.jpg`, or `train/1.jpg`: pictures without labels.
//!
//! Class names are the folders' names with underscores replaced by spaces. Files without a
//! picture's extension are left aside, and a note counts them; pictures in an unsupported format
//! are not, so that users see them rejected.

mod no_classes;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

use walkdir::WalkDir;

use super::fingerprint::Fingerprint;
use super::foreign::Asked;
use super::item::{Item, NOT_UTF_8, Origin, Split};
use super::list::{is_list, metadata_lists};
use super::{Listing, Source, foreign, is_visible, look};
use crate::error::{Error, Kind, Result};
use crate::image::FORMATS;
use crate::text::list::{SHOWN, some_of};
use crate::text::names::composed;

/// Extensions of pictures, in supported formats or not.
const PICTURES: [&str; 35] = [
    // Decoded.
    "jpg", "jpeg", "jpe", "jfif", "pjpeg", "png", "apng", "webp", "gif", "bmp", "dib", "tif", "tiff", "ppm",
    // Rejected, with the reason and how to convert them.
    "heic", "heif", "hif", "avif", "jxl", "jp2", "j2k", "jpx", "jxr", "svg", "psd", "ico", "tga", "dds", "exr", "hdr",
    "qoi", "pcx", "pbm", "pgm", "pnm",
];

/// Extensions of what holds pictures and is left aside: what cameras write, documents and videos.
const CONVERTED: [&str; 23] = [
    "cr2", "cr3", "nef", "nrw", "arw", "dng", "orf", "rw2", "raf", "pef", "srw", "x3f", "pdf", "mp4", "m4v", "mov",
    "avi", "mkv", "webm", "wmv", "mpg", "mpeg", "flv",
];

/// A folder whose files have been found.
pub struct Folder {
    items: Vec<Item>,
    listing: Listing,
}

impl Folder {
    /// Finds the pictures below `root` and derives their classes from their folders.
    ///
    /// # Errors
    /// Returns [`Kind::Input`] if `root` is not a folder, holds no picture, or mixes folders for
    /// splits with other folders of pictures.
    pub fn open(root: &Path) -> Result<Self> {
        if !root.is_dir() {
            let what = if root.exists() { "is not a folder" } else { "does not exist" };
            let hint = match is_list(root) {
                true => "a file of paths is a list: use the kind of source for lists",
                false => "name a folder of pictures, with or without a subfolder per class",
            };
            return Err(Error::new(Kind::Input, format!("image folder {} {what}", root.display())).hint(hint));
        }
        let Below { pictures: found, aside } = Below::of(root);
        if found.is_empty() {
            let looked_for = format!("{FORMATS} files are looked for in the folder and below it");
            let hint = left_aside(&aside).into_iter().fold(looked_for, |hint, aside| format!("{hint}; {aside}"));
            let nothing = || Error::new(Kind::Input, format!("no picture in {}", root.display())).hint(hint);
            return Err(foreign::instead(root, Asked::Pipeline).unwrap_or_else(nothing));
        }
        let by_split = has_splits(root, found.iter().map(|(place, _)| place))?;
        let no_classes = if by_split { None } else { no_classes::note(root, found.iter().map(|(place, _)| place)) };
        let items: Vec<Item> = found.into_iter().map(|(place, origin)| item(root, &place, origin, by_split)).collect();
        // In a clone without its files, every picture is a pointer of a hundred bytes.
        let small = items.iter().find(|item| (1..POINTER).contains(&item.origin.byte_len()));
        if let Some(pointer) = small.and_then(|item| foreign::pointer(Path::new(&item.path))) {
            return Err(pointer);
        }
        let classes: BTreeSet<&String> = items.iter().filter_map(|i| i.label.as_ref()).collect();
        let classes: Vec<String> = classes.into_iter().cloned().collect();
        let listing = Listing {
            elsewhere: if classes.len() == 1 { deeper(root, &items) } else { None },
            unlabelled: if classes.is_empty() { unread_lists(root) } else { None },
            perhaps_labels: Vec::new(),
            no_classes,
            notes: empty_folders(root, by_split, &classes)
                .into_iter()
                .chain(if classes.is_empty() { None } else { unread_lists(root) })
                .chain(unreadable_names(&items))
                .chain(left_aside(&aside))
                .collect(),
            has_labels: !classes.is_empty(),
            classes,
            items: items.len() as u64,
            training: items.iter().filter(|item| item.split == Some(Split::Train)).count() as u64,
            validation: items.iter().filter(|item| item.split == Some(Split::Validation)).count() as u64,
            bytes: items.iter().map(|item| item.origin.byte_len()).sum(),
        };
        Ok(Folder { items, listing })
    }
}

/// Names the folders that look like classes and hold no picture, which make no class.
fn empty_folders(root: &Path, by_split: bool, classes: &[String]) -> Option<String> {
    // Without a class folder, the folders below the root mean nothing, and there may be many files.
    if classes.is_empty() {
        return None;
    }
    let depth = if by_split { 2 } else { 1 };
    // A minimum of the depth would keep hidden folders above it from being left out.
    let folders = WalkDir::new(root).follow_links(true).max_depth(depth).into_iter().filter_entry(is_visible);
    let folders = folders.flatten().filter(|entry| entry.depth() == depth && entry.file_type().is_dir());
    let names = folders.map(|entry| class_name(&entry.file_name().to_string_lossy()));
    let empty: BTreeSet<String> = names.filter(|name| !classes.contains(name)).collect();
    let empty: Vec<String> = empty.into_iter().collect();
    (!empty.is_empty()).then(|| {
        format!(
            "no picture lies in the folders of {} ({}); a class of that name must be listed in dataset.classes",
            if empty.len() == 1 { "1 class".to_owned() } else { format!("{} classes", empty.len()) },
            some_of(&empty, SHOWN)
        )
    })
}

/// How many folders, each the only one in another, are gone through in search of classes.
const DEEPEST: usize = 8;

/// Returns the folder in which the classes of a folder with one class seem to lie: the first, from
/// the top, that has several folders of pictures.
fn deeper(root: &Path, items: &[Item]) -> Option<PathBuf> {
    let mut top = root.to_path_buf();
    for _ in 0..DEEPEST {
        let below = |item: &Item| {
            let place = Path::new(&item.path).strip_prefix(&top).ok()?.to_path_buf();
            Some(place.components().next().filter(|_| place.components().count() > 1)?.as_os_str().to_owned())
        };
        let folders: BTreeSet<_> = items.iter().filter_map(below).collect();
        match folders.len() {
            0 => return None,
            1 => top.push(folders.first()?),
            _ if top == root => return None,
            _ => return Some(top),
        }
    }
    None
}

/// Counts the files that are rejected because of their names.
fn unreadable_names(items: &[Item]) -> Option<String> {
    let is_one = |item: &&Item| matches!(&item.origin, Origin::Unreadable { detail } if detail == NOT_UTF_8);
    let first = items.iter().find(is_one)?;
    let count = items.iter().filter(is_one).count();
    let (files, have) = if count == 1 { ("file", "has") } else { ("files", "have") };
    Some(format!("{count} {files} {have} a name that is not UTF-8 and will be rejected, such as {}", first.path))
}

/// Names the lists in a folder of pictures, which are not read.
fn unread_lists(root: &Path) -> Option<String> {
    let lists = metadata_lists(root);
    let first = lists.first()?.display();
    let (shown, are) = match lists.len() {
        1 => (first.to_string(), "is"),
        many => (format!("{first} and {} more such lists", many - 1), "are"),
    };
    let what = format!("{shown} {are} not read: labels are the names of folders");
    Some(format!("{what}; to take labels from there, set kind = \"list\""))
}

/// Bytes that a pointer of Git LFS has at most.
const POINTER: u64 = 1024;

impl Source for Folder {
    fn listing(&self) -> &Listing {
        &self.listing
    }

    fn fingerprint(&self) -> Result<String> {
        let mut fingerprint = Fingerprint::new("folder");
        self.items.iter().for_each(|item| fingerprint.item(item));
        Ok(fingerprint.finish())
    }

    fn items(self: Box<Self>) -> Box<dyn Iterator<Item = Result<Item>> + Send> {
        Box::new(self.items.into_iter().map(Ok))
    }
}

/// What lies below a folder.
pub(super) struct Below {
    /// The path of every picture below the folder, and of every place that could not be read,
    /// sorted component by component.
    pub(super) pictures: Vec<(PathBuf, Origin)>,
    /// Files whose names are no pictures', by their extensions in lower case.
    aside: BTreeMap<String, usize>,
}

impl Below {
    /// Looks at every visible file below the root.
    pub(super) fn of(root: &Path) -> Self {
        let (mut found, mut unreadable, mut aside) = (Vec::new(), Vec::new(), BTreeMap::<_, usize>::new());
        let place = |path: PathBuf| path.strip_prefix(root).map(Path::to_path_buf).unwrap_or(path);
        for entry in WalkDir::new(root).follow_links(true).into_iter().filter_entry(is_visible) {
            match entry {
                Ok(entry) if entry.file_type().is_dir() => continue,
                Ok(entry) if !is_picture(entry.path()) => {
                    *aside.entry(extension(entry.path())).or_default() += 1;
                }
                Ok(entry) => found.push(place(entry.into_path())),
                // A link back to a folder above: its target is found without it.
                Err(error) if error.loop_ancestor().is_some() => continue,
                Err(error) => {
                    let Some(path) = error.path().map(Path::to_path_buf) else { continue };
                    // A broken link matters only if its name is a picture's.
                    if !path.is_dir() && !is_picture(&path) {
                        continue;
                    }
                    let detail = error.io_error().map_or_else(|| error.to_string(), ToString::to_string);
                    unreadable.push((place(path), Origin::Unreadable { detail }));
                }
            }
        }
        found.sort_unstable();
        let origins = look::at_all(&found, |place| Origin::of_file(&root.join(place)));
        let mut pictures: Vec<(PathBuf, Origin)> = found.into_iter().zip(origins).collect();
        if !unreadable.is_empty() {
            pictures.extend(unreadable);
            pictures.sort_by(|(one, _), (other, _)| one.cmp(other));
        }
        Below { pictures, aside }
    }
}

/// Counts the files that were left aside, the commonest extensions first.
fn left_aside(aside: &BTreeMap<String, usize>) -> Option<String> {
    let count: usize = aside.values().sum();
    let mut kinds: Vec<(&String, &usize)> = aside.iter().collect();
    kinds.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
    let kinds: Vec<String> = kinds
        .into_iter()
        .map(|(extension, count)| match extension.as_str() {
            "" => format!("{count} without an extension"),
            extension => format!("{count} .{extension}"),
        })
        .collect();
    let files = if count == 1 { "1 file is".to_owned() } else { format!("{count} files are") };
    let how = match aside.keys().any(|extension| CONVERTED.contains(&extension.as_str())) {
        true => "; camera raw files, PDF and videos are to be converted to pictures first",
        false => "",
    };
    let kinds = some_of(&kinds, SHOWN);
    (count > 0).then(|| format!("{files} left aside, since the names are no pictures': {kinds}{how}"))
}

/// Returns a file's extension, in lower case.
fn extension(path: &Path) -> String {
    path.extension().map(|extension| extension.to_string_lossy().to_lowercase()).unwrap_or_default()
}

pub(super) fn is_picture(path: &Path) -> bool {
    PICTURES.contains(&extension(path).as_str())
}

/// Returns the folders above a file, below the root.
fn folders(place: &Path) -> impl Iterator<Item = String> {
    let above = place.parent().unwrap_or(Path::new(""));
    above
        .components()
        .filter(|c| matches!(c, Component::Normal(_)))
        .map(|c| c.as_os_str().to_string_lossy().into_owned())
}

/// Returns whether the folders directly below the root are splits.
fn has_splits<'a>(root: &Path, places: impl Iterator<Item = &'a PathBuf>) -> Result<bool> {
    let tops: BTreeSet<String> = places.filter_map(|place| folders(place).next()).collect();
    let (splits, others): (Vec<&String>, Vec<&String>) = tops.iter().partition(|name| Split::parse(name).is_some());
    match (splits.first(), others.first()) {
        (None, _) => Ok(false),
        (Some(_), None) => Ok(true),
        (Some(split), Some(other)) => {
            let message = format!(
                "{} has pictures both in `{split}`, which names a split, and in `{other}`, which does not",
                root.display()
            );
            Err(Error::new(Kind::Input, message).hint(format!(
                "keep either splits or classes directly in the folder, or use a CSV list; {}",
                Split::hint()
            )))
        }
    }
}

/// Returns the name of the class that a folder stands for.
pub(super) fn class_name(folder: &str) -> String {
    composed(folder).replace('_', " ")
}

fn item(root: &Path, place: &Path, origin: Origin, by_split: bool) -> Item {
    let mut above = folders(place);
    let split = if by_split { above.next().and_then(|name| Split::parse(&name)) } else { None };
    // A name that is not UTF-8 would be another in the prompts; such a file is rejected.
    let label = above.next().filter(|_| place.to_str().is_some()).map(|name| class_name(&name));
    Item { path: root.join(place).display().to_string(), origin, split: split.or(Some(Split::Train)), label }
}
