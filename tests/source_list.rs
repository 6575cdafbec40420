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

/// What a list in a file of this name says: each picture with its split and label, and the notes.
fn seen(name: &str, text: &str) -> Result<(Vec<String>, Vec<String>), String> {
    let (dir, _) = list(b"");
    fs::write(dir.path().join(name), text).unwrap();
    let source = open(&Dataset::new(SourceKind::List, dir.path().join(name))).map_err(|error| {
        let message = format!("{error} | {}", error.hint_text().unwrap_or("-"));
        message.replace(&format!("{}/", dir.path().display()), "")
    })?;
    let notes = source.listing().notes.clone();
    let read = |item: Item| {
        assert!(matches!(item.origin, Origin::File { .. }), "{item:?}");
        let place = Path::new(&item.path).strip_prefix(dir.path()).unwrap().display().to_string();
        format!("{place} {} {}", item.split.unwrap().name(), item.label.as_deref().unwrap_or("-"))
    };
    Ok((source.items().map(|item| read(item.unwrap())).collect(), notes))
}

/// The reader would take the rest of the file for one field.
#[test]
fn a_quote_without_an_end_is_refused_where_it_opens() {
    let error = |text: &str| seen("a.csv", &format!("path,label,caption\n{text}")).unwrap_err();
    let said = error("a.png,\"rose,x\nb.png,lily,y\n");
    assert!(said.contains("a.csv:2: ") && said.contains("double quote"), "{said}");
    assert!(error("a.png,rose,x\nb.png,lily,\"y").contains("a.csv:3: a double quote opens a field that has no end"));
    assert!(error("a.png,rose,\"x\nb.png,lily,y\nc.png,iris,z\n").contains("a.csv:2: a double quote opens"));
    assert!(
        error("a.png,\"rose\nb.png\",y\n").contains("a.csv:2: the field that begins with 'rose' goes on in the next")
    );
    // Captions may have several lines, and quotes.
    let (items, _) =
        seen("a.csv", "path,label,caption\na.png,rose,\"two\nlines, \"\"q\"\"\"\nb.png,5\" lily,\"y\"").unwrap();
    assert_eq!(items, ["a.png train rose", "b.png train 5\" lily"]);
}

#[test]
fn json_lines_are_lists() {
    let expected = ["a.png train rose", "b.png validation -", "sub/c.png test 3"];
    let text = "\u{feff}{\"file_name\": \"a.png\", \"label\": \"rose\", \"width\": 2}\r\n\n\
                {\"file_name\": \"sub\\\\c.png\", \"split\": \"test\", \"label\": 3.0}\n\
                {\"split\": \"val\", \"label\": null, \"file_name\": \"b.png\", \"objects\": {\"bbox\": [[1, 2]]}}";
    for name in ["metadata.jsonl", "a.ndjson", "LIST.JSONL", "a.json", "without-a-name"] {
        let (items, notes) = seen(name, text).unwrap();
        assert_eq!(items, expected, "{name}");
        assert!(notes.len() == 1 && notes[0].ends_with("columns width, objects are left aside"), "{notes:?}");
    }
    // The first lines may lack what later ones have.
    let (items, _) = seen("a.jsonl", "{\"path\":\"a.png\"}\n{\"path\":\"b.png\",\"class\":true}").unwrap();
    assert_eq!(items, ["a.png train -", "b.png train 1"]);
    let (items, notes) =
        seen("a.jsonl", "{\"path\":\"a.png\",\"label\":-1}\n{\"path\":\"b.png\",\"label\":0}").unwrap();
    assert_eq!(items, ["a.png train -", "b.png train 0"]);
    assert_eq!(notes, ["1 picture has a label that stands for none (-1, NaN, null, ...) and counts as unlabelled"]);
}

#[test]
fn faults_of_json_lines_name_the_line() {
    let good = "{\"path\":\"a.png\",\"label\":\"rose\"}\n";
    let error = |text: &str| seen("a.jsonl", &format!("{good}{text}")).unwrap_err();
    assert!(error("{\"path\":\"b.png\",").starts_with("a.jsonl:2: not JSON: EOF while parsing"));
    assert!(error("[1]").starts_with("a.jsonl:2: not an object | every line is an object"));
    assert!(error("\"b.png\"").starts_with("a.jsonl:2: not an object"));
    assert!(error("{\"label\":\"x\"}").starts_with("a.jsonl:2: `path` is empty"));
    assert!(error("{\"path\":5}").starts_with("a.jsonl:2: `path` is no text"));
    assert!(
        error("{\"path\":\"b.png\",\"label\":[1,2]}")
            .starts_with("a.jsonl:2: `label` is a list | each picture has one")
    );
    assert!(error("{\"path\":\"b.png\",\"label\":0.5}").starts_with("a.jsonl:2: `label` is no whole number"));
    assert!(error("{\"path\":\"b.png\",\"split\":\"holdout\"}").starts_with("a.jsonl:2: `split` is `holdout`"));
    assert!(error("{\"path\":\"b.png\",\"file\":\"b.png\"}").contains("columns `path` and `file` both mean `path`"));
    // pandas writes a whole array unless it is asked for lines.
    let array = seen("list.json", "[\n  {\"path\": \"a.png\"}\n]").unwrap_err();
    assert!(array.starts_with("list.json:1: not an object") && array.ends_with("lines=True)"), "{array}");
    let deep = format!("{{\"path\":\"b.png\",\"x\":{}", "[".repeat(100_000));
    assert!(error(&deep).starts_with("a.jsonl:2: not JSON: recursion limit exceeded"));
    let giant = format!("{{\"path\":\"{}\"}}", "a".repeat(2 << 20));
    assert!(error(&giant).starts_with("a.jsonl:2: longer than the 1 MB that a line may have"));
    assert!(seen("a.jsonl", "\n \n").unwrap_err().contains("no column `path`"));
}

#[test]
fn a_chosen_column_counts_for_what_it_is_chosen_for() {
    let (_dir, plain) = list(b"id,photo,species,class\n1,a.png,rose,plant\n2,sub/c.png,lily,plant\n");
    let spec = Dataset { image_column: Some("photo".into()), label_column: Some("Species".into()), ..plain };
    assert_eq!(open(&spec).unwrap().listing().classes, ["lily", "rose"]);
    let slip = Dataset { label_column: Some("spceies".into()), ..spec.clone() };
    let slip = open(&slip).err().unwrap();
    assert!(slip.to_string().ends_with("list.csv:1: no column `spceies`, which dataset.label_column names"), "{slip}");
    assert_eq!(slip.hint_text(), Some("did you mean `species`?"));
    let (_dir, spec) = list(b"path,species,photographer\na.png,rose,x\n");
    let why = "no column is known to hold labels: dataset.label_column chooses one of species, photographer";
    assert_eq!(open(&spec).unwrap().listing().unlabelled.as_deref(), Some(why));
}

/// pandas writes whole numbers as fractions where some are missing, and `datasets` -1 where there
/// is no label.
#[test]
fn numbers_of_other_programs_are_whole() {
    let (items, _) = seen("a.csv", ",path,label\n0,a.png,1.0\n1,b.png,\n2,sub/c.png,0.0\n").unwrap();
    assert_eq!(items, ["a.png train 1", "b.png train -", "sub/c.png train 0"]);
    let (items, _) = seen("a.csv", "path,label\na.png,1.0\nb.png,1.5\n").unwrap();
    assert_eq!(items, ["a.png train 1.0", "b.png train 1.5"], "versions are names");
    let (items, notes) = seen("a.csv", "path,label\na.png,1\nb.png,-1\n").unwrap();
    assert_eq!((items.as_slice(), notes.len()), (&["a.png train 1".to_owned(), "b.png train -".to_owned()][..], 1));
}

/// A name looks the same whether its accents are composed, as keyboards write them, or apart, as
/// macOS does.
#[test]
fn names_that_look_alike_are_one() {
    let apart = "Bu\u{308}schel";
    let (dir, _) = list(b"");
    fs::rename(dir.path().join("a.png"), dir.path().join(format!("{apart}.png"))).unwrap();
    fs::write(dir.path().join("list.csv"), "path,label\nBüschel.png,Gänse\nb.png,Ga\u{308}nse\n").unwrap();
    let source = open(&Dataset::new(SourceKind::List, dir.path().join("list.csv"))).unwrap();
    assert_eq!(source.listing().classes, ["Gänse"]);
    let items: Vec<Item> = source.items().map(Result::unwrap).collect();
    assert!(items.iter().all(|item| matches!(item.origin, Origin::File { .. })), "{items:?}");
    assert!(items.iter().any(|item| item.path.ends_with(&format!("{apart}.png"))), "{items:?}");
}

#[test]
fn the_lists_of_an_image_folder_are_read_with_their_splits() {
    let (dir, _) = list(b"");
    for split in ["train", "test"] {
        fs::create_dir(dir.path().join(split)).unwrap();
        fs::copy(dir.path().join("a.png"), dir.path().join(split).join("x.png")).unwrap();
        let line = format!("{{\"file_name\": \"x.png\", \"label\": \"{split} rose\"}}\n");
        fs::write(dir.path().join(split).join("metadata.jsonl"), line).unwrap();
    }
    let spec = Dataset::new(SourceKind::List, dir.path().to_owned());
    let found: Vec<_> =
        items(&spec).into_iter().map(|item| (item.split.unwrap().name(), item.label.unwrap())).collect();
    assert_eq!(found, [("test", "test rose".to_owned()), ("train", "train rose".to_owned())]);
    // The folder's own list is the one that counts.
    fs::write(dir.path().join("metadata.csv"), "file_name,label\ntrain/x.png,lily\n").unwrap();
    assert_eq!(items(&spec).len(), 1);
    fs::write(dir.path().join("metadata.jsonl"), "").unwrap();
    let refused = open(&spec).err().unwrap().to_string();
    assert!(refused.contains("metadata.csv and ") && refused.ends_with("may both list the pictures"), "{refused}");
    let none = Dataset::new(SourceKind::List, dir.path().join("sub"));
    assert!(open(&none).err().unwrap().to_string().starts_with("no list in "));
}

#[test]
fn an_address_is_no_path() {
    let (_dir, spec) = list(b"path\nhttps://example.org/a.png\n");
    assert!(
        matches!(&items(&spec)[0].origin, Origin::Unreadable { detail } if detail.starts_with("`https://` is an address")),
        "{:?}",
        items(&spec)
    );
}

#[test]
fn a_key_that_stands_twice_in_a_line_of_json_is_refused_where_it_is_read() {
    let of = |line: &str| {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("list.jsonl");
        fs::write(&path, format!("{{\"file_name\": \"a.png\", \"label\": \"rose\"}}\n{line}\n")).unwrap();
        open(&Dataset::new(SourceKind::List, path)).map(|source| source.listing().items).map_err(|e| e.to_string())
    };
    let twice = of("{\"file_name\": \"b.png\", \"label\": \"rose\", \"label\": \"lily\"}").unwrap_err();
    assert!(twice.ends_with("list.jsonl:2: `label` stands twice in the object"), "{twice}");
    assert_eq!(of("{\"file_name\": \"b.png\", \"label\": \"lily\", \"note\": 1, \"note\": 2}"), Ok(2));
    assert!(of("[1]").unwrap_err().ends_with("list.jsonl:2: not an object"));
}
