//! CSV lists of pictures.

use std::fs;
use std::path::Path;

use microclip_pipe::source::{Dataset, Item, Origin, SourceKind, open};
use tempfile::TempDir;

fn list(text: &[u8]) -> (TempDir, Dataset) {
    let dir = tempfile::tempdir().unwrap();
    for name in ["a.png", "b.png", "sub/c.png"] {
        fs::create_dir_all(dir.path().join("sub")).unwrap();
        image::RgbImage::new(2, 2).save(dir.path().join(name)).unwrap();
    }
    fs::write(dir.path().join("list.csv"), text).unwrap();
    let spec = Dataset::new(SourceKind::List, dir.path().join("list.csv"));
    (dir, spec)
}

fn items(spec: &Dataset) -> Vec<Item> {
    open(spec).unwrap().items().map(Result::unwrap).collect()
}

fn error(text: &[u8]) -> String {
    let (_dir, spec) = list(text);
    let error = open(&spec).err().expect("an error");
    let message = format!("{error} | {}", error.hint_text().unwrap_or("-"));
    message.split_once("list.csv").map_or(message.clone(), |(_, rest)| rest.to_owned())
}

#[test]
fn paths_labels_and_splits() {
    let (dir, spec) =
        list(b"\xef\xbb\xbfsplit, path, label\ntest, sub/c.png,\"lily, white\"\n,a.png,aster\nval,b.png,\n");
    let source = open(&spec).unwrap();
    assert_eq!(source.listing().classes, ["aster", "lily, white"]);
    assert!(source.listing().has_labels);
    let seen: Vec<(String, &str, Option<String>)> = items(&spec)
        .into_iter()
        .map(|i| {
            let place = Path::new(&i.path).strip_prefix(dir.path()).unwrap().display().to_string();
            (place, i.split.unwrap().name(), i.label)
        })
        .collect();
    let named = |name: &str| Some(name.to_owned());
    assert_eq!(
        seen,
        [
            ("a.png".to_owned(), "train", named("aster")),
            ("b.png".to_owned(), "validation", None),
            ("sub/c.png".to_owned(), "test", named("lily, white")),
        ]
    );
}

#[test]
fn paths_are_enough() {
    let (_dir, spec) = list(b"path\nb.png\na.png\n");
    let source = open(&spec).unwrap();
    assert!(!source.listing().has_labels && source.listing().classes.is_empty());
    assert_eq!(items(&spec).len(), 2);
    assert!(matches!(items(&spec)[0].origin, Origin::File { .. }));
}

#[test]
fn another_root() {
    let (dir, _) = list(b"path\nc.png\n");
    let spec =
        Dataset { root: Some(dir.path().join("sub")), ..Dataset::new(SourceKind::List, dir.path().join("list.csv")) };
    assert!(matches!(&items(&spec)[0].origin, Origin::File { path, .. } if path.ends_with("sub/c.png")));
}

#[test]
fn a_missing_file_is_one_unreadable_picture() {
    let (_dir, spec) = list(b"path,label\na.png,x\ngone.png,x\nsub,x\n");
    let items = items(&spec);
    assert_eq!(items.len(), 3);
    assert!(matches!(&items[1].origin, Origin::Unreadable { detail } if detail.contains("No such file")));
    assert!(matches!(&items[2].origin, Origin::Unreadable { detail } if detail == "not an ordinary file"));
}

/// Lists as people have them mean what they say.
#[test]
fn other_separators_names_and_columns_are_understood() {
    let seen = |text: &[u8]| {
        let (dir, spec) = list(text);
        let read = |item: Item| {
            let place = Path::new(&item.path).strip_prefix(dir.path()).unwrap().display().to_string();
            (place, item.split.unwrap().name(), item.label.unwrap_or_default())
        };
        let notes = open(&spec).unwrap().listing().notes.clone();
        (items(&spec).into_iter().map(read).collect::<Vec<_>>(), notes)
    };
    let expected =
        vec![("a.png".to_owned(), "train", "rose".to_owned()), ("sub/c.png".to_owned(), "test", "lily".to_owned())];
    for text in [
        b"path,label,split\na.png,rose,train\nsub/c.png,lily,test\n".as_slice(),
        b"path;label;split\na.png;rose;train\nsub/c.png;lily;test\n",
        b"path|label|split\na.png|rose|train\nsub/c.png|lily|test\n",
        b"Path\tLabel\tSplit\na.png\trose\ttrain\nsub/c.png\tlily\ttest\n",
        b"file_name,class,subset\na.png,rose,training\nsub/c.png,lily,eval\n",
        b",Filename,Category,partition\n0,a.png,rose,train\n1,sub/c.png,lily,test\n",
        b"path,label,split,\na.png,rose,train,\nsub/c.png,lily,test,\n",
        b"path,label,split\na.png,rose,train,\nsub/c.png,lily,test,\n",
        b"\"path\",\"label\",\"split\"\r\n\"a.png\",\"rose\",\"train\"\r\n\"sub\\c.png\",\"lily\",\"test\"\r\n",
    ] {
        let (items, notes) = seen(text);
        assert_eq!((items, notes), (expected.clone(), Vec::new()), "{}", String::from_utf8_lossy(text));
    }
    let (items, notes) = seen(b"path,label,split,width,photographer\na.png,rose,,5,x\nsub/c.png,lily,test,5,y\n");
    assert_eq!(items, expected);
    assert!(notes.len() == 1 && notes[0].ends_with("columns width, photographer are left aside"), "{notes:?}");
}

#[test]
fn faults_name_the_line() {
    assert_eq!(error(b"path,lable\na.png,x\n"), ":1: unknown column `lable` | did you mean `label`?");
    assert!(error(b"label\nx\n").starts_with(":1: no column `path`"));
    assert!(error(b"path,path\na,b\n").starts_with(":1: column `path` stands twice"));
    assert!(error(b"path,file\na,b\n").starts_with(":1: columns `path` and `file` both mean `path`"));
    assert_eq!(error(b"path,label\na.png,x\n,y\n"), ":3: `path` is empty | name the picture, or remove the line");
    assert!(error(b"path,split\na.png,train\nb.png,holdout\n").starts_with(":3: `split` is `holdout` | splits are"));
    assert!(error(b"path,label\na.png,x\nb.png,x,y\n").starts_with(":3: 3 fields, but the header has 2"));
    assert_eq!(error(b"path\na.png\n\xff\xfe.png\n"), ":3: not UTF-8 | save it as UTF-8");
    assert!(error(b"path\n").contains("names no picture"));
    let spec = Dataset::new(SourceKind::List, "/nowhere/list.csv".into());
    assert!(open(&spec).err().unwrap().to_string().starts_with("cannot open list /nowhere/list.csv"));
}

#[test]
fn the_fingerprint_sees_labels_and_files() {
    let (dir, spec) = list(b"path,label\na.png,x\nb.png,y\n");
    let print = || open(&spec).unwrap().fingerprint().unwrap();
    let first = print();
    fs::write(dir.path().join("list.csv"), "path,label\nb.png,y\na.png,x\n").unwrap();
    assert_eq!(first, print(), "the order of the lines does not matter");
    fs::write(dir.path().join("list.csv"), "path,label\nb.png,y\na.png,z\n").unwrap();
    let relabelled = print();
    assert_ne!(first, relabelled);
    fs::write(dir.path().join("a.png"), "other bytes").unwrap();
    assert_ne!(relabelled, print());
}

#[test]
fn files_are_looked_at_once_when_the_list_is_opened() {
    let (dir, spec) = list(b"path\na.png\n");
    let source = open(&spec).unwrap();
    let (bytes, fingerprint) = (source.listing().bytes, source.fingerprint().unwrap());
    fs::write(dir.path().join("a.png"), "of another length").unwrap();
    assert_eq!(source.fingerprint().unwrap(), fingerprint);
    let items: Vec<Item> = source.items().map(Result::unwrap).collect();
    assert!(matches!(items[0].origin, Origin::File { byte_len, .. } if byte_len == bytes), "{items:?}");
}
