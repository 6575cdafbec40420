//! Folders of pictures, as users lay them out.

use std::fs;
use std::path::Path;

use microclip_pipe::source::{Dataset, Item, Origin, Source, SourceKind, open};
use tempfile::TempDir;

fn touch(root: &Path, place: &str) {
    let path = root.join(place);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let picture = image::RgbImage::from_pixel(4, 3, image::Rgb([place.len() as u8, 2, 3]));
    match path.extension().and_then(|e| e.to_str()) {
        Some("png" | "jpg") => picture.save(path).unwrap(),
        _ => fs::write(path, "not a picture").unwrap(),
    }
}

fn folder(places: &[&str]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    places.iter().for_each(|place| touch(dir.path(), place));
    dir
}

fn source(dir: &Path) -> Box<dyn Source> {
    open(&Dataset::new(SourceKind::Folder, dir.to_path_buf())).unwrap()
}

fn error(dir: &Path) -> String {
    let error = open(&Dataset::new(SourceKind::Folder, dir.to_path_buf())).err().expect("an error");
    format!("{error} | {}", error.hint_text().unwrap_or("no hint"))
}

/// (place below the folder, split, label) of every item.
fn seen(dir: &Path) -> Vec<(String, &'static str, String)> {
    let items: Vec<Item> = source(dir).items().map(Result::unwrap).collect();
    let place = |path: &str| Path::new(path).strip_prefix(dir).unwrap().display().to_string();
    items.iter().map(|i| (place(&i.path), i.split.unwrap().name(), i.label.clone().unwrap_or("-".to_owned()))).collect()
}

fn row(place: &str, split: &'static str, label: &str) -> (String, &'static str, String) {
    (place.to_owned(), split, label.to_owned())
}

#[test]
fn a_subfolder_per_class() {
    let dir = folder(&["fire_lily/b.jpg", "fire_lily/a.png", "aster/deep/er/c.jpg"]);
    let listing = source(dir.path()).listing().clone();
    assert_eq!(listing.classes, ["aster", "fire lily"]);
    assert!(listing.has_labels);
    assert_eq!(
        seen(dir.path()),
        [
            row("aster/deep/er/c.jpg", "train", "aster"),
            row("fire_lily/a.png", "train", "fire lily"),
            row("fire_lily/b.jpg", "train", "fire lily"),
        ]
    );
}

#[test]
fn splits_above_the_classes() {
    let dir = folder(&["train/aster/1.jpg", "val/lily/2.jpg", "test/rose/3.jpg"]);
    assert_eq!(source(dir.path()).listing().classes, ["aster", "lily", "rose"]);
    assert_eq!(
        seen(dir.path()),
        [
            row("test/rose/3.jpg", "test", "rose"),
            row("train/aster/1.jpg", "train", "aster"),
            row("val/lily/2.jpg", "validation", "lily")
        ]
    );
}

#[test]
fn pictures_without_labels() {
    let flat = folder(&["2.jpg", "1.jpg"]);
    assert!(!source(flat.path()).listing().has_labels);
    assert!(source(flat.path()).listing().classes.is_empty());
    assert_eq!(seen(flat.path()), [row("1.jpg", "train", "-"), row("2.jpg", "train", "-")]);

    let split = folder(&["train/1.jpg", "test/2.jpg"]);
    assert!(!source(split.path()).listing().has_labels);
    assert_eq!(seen(split.path()), [row("test/2.jpg", "test", "-"), row("train/1.jpg", "train", "-")]);
}

#[test]
fn other_files_are_passed_over_but_strange_pictures_are_not() {
    let dir = folder(&[
        "a/1.jpg",
        "a/notes.txt",
        "a/Thumbs.db",
        "a/.hidden.jpg",
        ".git/2.jpg",
        "labels.csv",
        "a/old.gif",
        "a/BIG.JPG",
    ]);
    let places: Vec<String> = seen(dir.path()).into_iter().map(|(place, ..)| place).collect();
    assert_eq!(places, ["a/1.jpg", "a/BIG.JPG", "a/old.gif"]);
}

#[test]
fn what_cannot_be_used_is_refused_with_a_way_out() {
    let dir = folder(&["notes.txt"]);
    assert!(error(dir.path()).starts_with("no picture in "));
    assert!(error(&dir.path().join("gone")).contains("does not exist | name a folder"));
    assert!(error(&dir.path().join("notes.txt")).contains("is not a folder"));
    fs::write(dir.path().join("list.csv"), "path\n").unwrap();
    assert!(error(&dir.path().join("list.csv")).contains("is a list"));
    let mixed = folder(&["train/a/1.jpg", "extra/2.jpg"]);
    let message = error(mixed.path());
    assert!(message.contains("`train`") && message.contains("`extra`") && message.contains("CSV list"), "{message}");
}

#[cfg(unix)]
#[test]
fn links_are_followed_but_not_in_circles() {
    use std::os::unix::fs::symlink;
    let dir = folder(&["a/1.jpg"]);
    symlink(dir.path(), dir.path().join("a/back")).unwrap();
    symlink(dir.path().join("a/1.jpg"), dir.path().join("a/linked.jpg")).unwrap();
    symlink(dir.path().join("nowhere"), dir.path().join("a/broken.jpg")).unwrap();
    symlink(dir.path().join("nowhere"), dir.path().join("a/broken.txt")).unwrap();
    let items: Vec<Item> = source(dir.path()).items().map(Result::unwrap).collect();
    assert_eq!(items.len(), 3);
    assert!(matches!(items[0].origin, Origin::File { byte_len: 1.., modified_ns: 1.., .. }));
    assert!(matches!(&items[1].origin, Origin::Unreadable { detail } if detail.contains("No such file")), "{items:?}");
    assert!(items[2].path.ends_with("linked.jpg"));
}

#[cfg(unix)]
#[test]
fn a_pipe_named_like_a_picture_does_not_hang() {
    let dir = folder(&["a/1.jpg"]);
    let made = std::process::Command::new("mkfifo").arg(dir.path().join("a/2.jpg")).status();
    if !made.is_ok_and(|status| status.success()) {
        return;
    }
    let items: Vec<Item> = source(dir.path()).items().map(Result::unwrap).collect();
    assert!(matches!(&items[1].origin, Origin::Unreadable { detail } if detail == "not an ordinary file"));
}

#[test]
fn the_fingerprint_changes_with_the_files_and_only_then() {
    let dir = folder(&["a/1.jpg", "b/2.jpg"]);
    let print = || source(dir.path()).fingerprint().unwrap();
    let first = print();
    assert_eq!(first.len(), 64);
    assert_eq!(first, print());
    touch(dir.path(), "b/notes.txt");
    assert_eq!(first, print());
    touch(dir.path(), "b/3.jpg");
    let second = print();
    assert_ne!(first, second);
    fs::write(dir.path().join("b/3.jpg"), "now something else").unwrap();
    assert_ne!(second, print());
}

/// Thumbnails of network disks, and what macOS puts into archives.
#[test]
fn folders_of_tools_are_no_classes() {
    let dir =
        folder(&["rose/1.png", "lily/2.png", "rose/@eaDir/1.jpg/thumb.png", "@eaDir/3.png", "__MACOSX/rose/4.png"]);
    let listing = source(dir.path()).listing().clone();
    assert_eq!((listing.items, listing.classes.len(), listing.notes), (2, 2, Vec::new()));
    let dir = folder(&["train/rose/1.png", "train/lily/2.png", "test/rose/3.png", ".git/objects/pack/4.png"]);
    fs::create_dir_all(dir.path().join("train/tulip")).unwrap();
    let notes = source(dir.path()).listing().notes.clone();
    assert!(notes.len() == 1 && notes[0].contains("(tulip)"), "{notes:?}");
    // One class, however deep its pictures lie, is one class.
    let elsewhere = |places: &[&str]| source(folder(places).path()).listing().elsewhere.clone();
    assert_eq!(elsewhere(&["rose/a/b/c/1.png", "rose/a/b/c/2.png"]), None);
    assert!(elsewhere(&["x/images/rose/1.png", "x/images/lily/2.png"]).unwrap().ends_with("x/images"));
}

#[cfg(target_os = "linux")]
#[test]
fn a_folder_whose_name_is_not_utf_8_is_no_class() {
    use std::os::unix::ffi::OsStrExt;
    let dir = folder(&["rose/1.png", "lily/2.png"]);
    let odd = dir.path().join(std::ffi::OsStr::from_bytes(b"cl\xe9"));
    fs::create_dir(&odd).unwrap();
    fs::copy(dir.path().join("rose/1.png"), odd.join("3.png")).unwrap();
    let listing = source(dir.path()).listing().clone();
    assert_eq!((listing.items, listing.classes), (3, vec!["lily".to_owned(), "rose".to_owned()]));
    assert!(
        listing.notes.iter().any(|note| note.starts_with("1 file has a name that is not UTF-8")),
        "{:?}",
        listing.notes
    );
}

#[test]
fn a_list_in_the_folder_is_named() {
    let dir = folder(&["rose/1.jpg", "lily/2.jpg"]);
    assert!(source(dir.path()).listing().notes.is_empty());
    fs::write(dir.path().join("metadata.jsonl"), "{\"file_name\": \"rose/1.jpg\", \"text\": \"a rose\"}\n").unwrap();
    let notes = source(dir.path()).listing().notes.clone();
    assert!(notes[0].ends_with("metadata.jsonl is not read: labels are the names of folders; to take labels from there, set kind = \"list\""), "{notes:?}");
}

/// The same folder on macOS and elsewhere.
#[test]
fn class_names_are_composed() {
    let dir = folder(&["train/Ga\u{308}nse/1.jpg", "test/Gänse/2.jpg", "train/rose/3.jpg"]);
    assert_eq!(source(dir.path()).listing().classes, ["Gänse", "rose"]);
}

/// (What lies in a folder, the kind that it is taken for and the place of it, or the error.)
#[test]
fn the_kind_of_a_source_is_guessed_or_its_format_is_named() {
    let guessed = |places: &[(&str, &str)], what: &str| {
        let dir = folder(&[]);
        for (place, text) in places {
            touch(dir.path(), place);
            if !text.is_empty() {
                fs::write(dir.path().join(place), text).unwrap();
            }
        }
        match microclip_pipe::source::guess(&dir.path().join(what)) {
            Ok(microclip_pipe::source::Guess { dataset, .. }) => {
                let place = dataset.path.strip_prefix(dir.path()).unwrap().display().to_string();
                format!("{} {place}", dataset.kind)
            }
            Err(error) => {
                format!("{error} | {}", error.hint_text().unwrap()).replace(&dir.path().display().to_string(), "")
            }
        }
    };
    let list = "{\"file_name\": \"1.jpg\", \"label\": \"rose\"}\n";
    for (places, expected) in [
        (&[("data/train-00000-of-00001.parquet", ""), ("README.md", "")][..], "hf-parquet "),
        (&[("default/train/0000.parquet", "")], "hf-parquet "),
        (&[("train.parquet", ""), ("pics/1.jpg", "")], "hf-parquet "),
        (&[("rose/1.jpg", ""), (".store/images/a/snapshot.parquet", "")], "folder "),
        (&[("rose/1.jpg", ""), ("store/images/a/snapshot.parquet", "")], "folder "),
        // macOS puts such beside files on disks of other systems.
        (&[("rose/1.jpg", ""), ("._train.parquet", ""), (".cache/metadata.parquet", "")], "folder "),
        (&[("1.jpg", ""), ("metadata.jsonl", list)], "list metadata.jsonl"),
        (&[("train/1.jpg", ""), ("train/metadata.jsonl", list), ("test/metadata.jsonl", list)], "list "),
        (&[("rose/1.jpg", ""), ("metadata.csv", "file_name,text\nrose/1.jpg,a rose\n")], "folder "),
        (&[("train/1.jpg", ""), ("train/metadata.parquet", "")], "hf-parquet "),
    ] {
        assert_eq!(guessed(places, ""), expected, "{places:?}");
    }
    let saved = guessed(&[("dataset_info.json", "{}"), ("state.json", "{}"), ("data-00000-of-00001.arrow", "")], "");
    assert!(saved.contains("is what save_to_disk of `datasets` wrote") && saved.contains(".to_parquet("), "{saved}");
    let dict = guessed(&[("dataset_dict.json", "{}"), ("train/state.json", "{}")], "");
    assert!(dict.contains("save_to_disk") && dict.contains(".items(): ds.to_parquet("), "{dict}");
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n";
    let file = guessed(&[("train.parquet", pointer)], "train.parquet");
    assert!(file.starts_with("/train.parquet is a pointer of Git LFS") && file.contains("`git lfs pull`"), "{file}");
}

#[test]
fn what_lies_in_a_folder_without_pictures_is_named() {
    let of = |kind: SourceKind, place: &str, text: &str| {
        let dir = folder(&["notes.txt"]);
        fs::create_dir_all(dir.path().join(place).parent().unwrap()).unwrap();
        fs::write(dir.path().join(place), text).unwrap();
        let error = open(&Dataset::new(kind, dir.path().to_path_buf())).err().expect("an error");
        format!("{error} | {}", error.hint_text().unwrap_or("no hint"))
    };
    let cached = of(SourceKind::Folder, "plain_text/0.0.0/hash/flowers-train.arrow", "");
    assert!(cached.contains("is an Arrow file, as the cache of `datasets` holds them"), "{cached}");
    assert!(cached.contains("Dataset.from_file(") && cached.contains(".to_parquet("), "{cached}");
    // What a file is called stays text in the command that is copied.
    let quoted = of(SourceKind::Folder, "a\"); exit() #.arrow", "");
    assert!(quoted.contains(r#"a\"); exit() #.arrow").to_parquet("#), "{quoted}");
    assert!(of(SourceKind::HfParquet, "a/b.arrow", "").contains("is an Arrow file"));
    assert!(
        of(SourceKind::Folder, "data/pictures.zip", "").ends_with("unpack it, and name the folder with the pictures")
    );
    assert!(of(SourceKind::Folder, "data/train.parquet", "").ends_with("name it with kind = \"hf-parquet\""));
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n";
    assert!(of(SourceKind::HfParquet, "data/train.parquet", pointer).contains("`git lfs pull`"));
    assert!(of(SourceKind::Folder, "rose/1.jpg", pointer).contains("1.jpg is a pointer of Git LFS"));
}

#[test]
fn files_that_are_no_pictures_by_their_names_are_counted_and_those_that_may_be_are_rejected_later() {
    let dir =
        folder(&["rose/a.png", "rose/a.txt", "rose/b.TXT", "aster/c.HEIC", "aster/d.svg", "notes/e.mp4", "README"]);
    assert_eq!(
        seen(dir.path()),
        [
            row("aster/c.HEIC", "train", "aster"),
            row("aster/d.svg", "train", "aster"),
            row("rose/a.png", "train", "rose")
        ]
    );
    let notes = source(dir.path()).listing().notes.clone();
    let note = "4 files are left aside, since the names are no pictures': 2 .txt, 1 without an extension, 1 .mp4; \
                camera raw files, PDF and videos are to be converted to pictures first";
    assert!(notes.iter().any(|found| found == note), "{notes:?}");
    let text = error(folder(&["a.txt"]).path());
    assert!(text.ends_with("1 file is left aside, since the names are no pictures': 1 .txt"), "{text}");
    let raw = error(folder(&["a.CR2"]).path());
    assert!(raw.contains("1 .cr2; camera raw files") && raw.ends_with("converted to pictures first"), "{raw}");
}
