//! WebDataset: tars that are read where they are.

use std::fs;
use std::io::Cursor;
use std::path::Path;

use microclip_pipe::image::ImageId;
use microclip_pipe::source::{At, Dataset, Item, Larger, Origin, SourceKind, Split, guess, open};
use tar::{Builder, EntryType};

use crate::pipeline::{CLASSES, Pipeline, entries};
use crate::rows;
use crate::tars::{append, append_raw, tar};

fn picture(shade: u8) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    let picture = image::RgbImage::from_pixel(5, 4, image::Rgb([shade, 0, 0]));
    picture.write_to(&mut bytes, image::ImageFormat::Png).unwrap();
    bytes.into_inner()
}

fn dataset(path: &Path) -> Dataset {
    Dataset::new(SourceKind::WebDataset, path.to_owned())
}

fn items(dataset: &Dataset) -> Vec<Item> {
    open(dataset).unwrap().items().map(Result::unwrap).collect()
}

fn refused(dataset: &Dataset) -> String {
    let error = open(dataset).err().expect("an error");
    format!("{error} | {}", error.hint_text().unwrap_or("no hint"))
}

/// A folder with one shard, and the source of it.
fn one(files: &[(&str, &[u8])]) -> (tempfile::TempDir, Dataset) {
    of_bytes(&tar(files))
}

fn of_bytes(bytes: &[u8]) -> (tempfile::TempDir, Dataset) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.tar");
    fs::write(&path, bytes).unwrap();
    (dir, dataset(&path))
}

/// An item: its name in the shard, its label, and its bytes or why there are none.
type Seen = (String, Option<String>, Result<Vec<u8>, String>);

fn seen(dataset: &Dataset) -> Vec<Seen> {
    let shown = |item: Item| {
        let name = item.path.rsplit_once("a.tar").map_or(item.path.clone(), |(_, name)| name.to_owned());
        let bytes = match &item.origin {
            Origin::Part { place, byte_len } => {
                Ok(Larger::open(&place.file).unwrap().read(place.at, *byte_len).unwrap())
            }
            Origin::Unreadable { detail } => Err(detail.clone()),
            other => panic!("{other:?}"),
        };
        (name, item.label, bytes)
    };
    items(dataset).into_iter().map(shown).collect()
}

#[test]
fn samples_are_read_from_their_place_with_labels_and_splits() {
    let dir = tempfile::tempdir().unwrap();
    let long = format!("{}/{}.png", "folder".repeat(20), "name".repeat(40));
    for (name, first) in [("data/train-000.tar", 0), ("data/train-001.tar", 10), ("data/val-000.tar", 20)] {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let (one, two) = (picture(first), picture(first + 1));
        let label = |n: u8| if n == 0 { &b"1\n"[..] } else { b"0" };
        fs::write(
            &path,
            tar(&[
                ("./a/0.cls", label(first)),
                ("./a/0.png", &one),
                ("./a/0.json", b"{\"label\": \"not this\"}"),
                (&long, &two),
                (&long.replace(".png", ".CLS"), b" 1 "),
                ("__index__", b"x"),
                ("._a.png", b"x"),
            ]),
        )
        .unwrap();
    }
    fs::write(dir.path().join("classnames.txt"), "rose\ntiger lily\n").unwrap();
    let whole = dataset(dir.path());
    let listing = open(&whole).unwrap().listing().clone();
    assert_eq!(listing.classes, ["rose", "tiger lily"]);
    assert_eq!((listing.items, listing.training, listing.has_labels), (6, 4, true));
    assert!(listing.notes.is_empty(), "{:?}", listing.notes);
    let items = items(&whole);
    let labels: Vec<_> = items.iter().map(|item| item.label.as_deref().unwrap()).collect();
    assert_eq!(labels, ["tiger lily", "tiger lily", "rose", "tiger lily", "rose", "tiger lily"]);
    assert_eq!(items[0].path, format!("{}#0/a/0.png", dir.path().join("data/train-000.tar").display()));
    assert_eq!(items[3].path, format!("{}#1/{long}", dir.path().join("data/train-001.tar").display()));
    let splits: Vec<_> = items.iter().map(|item| item.split.unwrap()).collect();
    assert_eq!(splits[2..], [Split::Train, Split::Train, Split::Validation, Split::Validation]);
    for (item, shade) in items.iter().zip([0, 1, 10, 11, 20, 21]) {
        let Origin::Part { place, byte_len } = &item.origin else { panic!("{item:?}") };
        let At::Byte(first) = place.at else { panic!("{place:?}") };
        assert_eq!(fs::read(&place.file.path).unwrap()[first as usize..][..*byte_len as usize], picture(shade)[..]);
    }

    // The pipeline's own list of classes is the one that numbers mean.
    fs::write(dir.path().join("mine.txt"), "a\nb\n").unwrap();
    let mine = Dataset { classes: Some(dir.path().join("mine.txt")), ..whole.clone() };
    assert_eq!(open(&mine).unwrap().listing().classes, ["0", "1"]);
    fs::write(dir.path().join("classnames.txt"), "rose\nlily\n").unwrap();
    let renamed = open(&whole).unwrap().fingerprint().unwrap();
    fs::write(dir.path().join("classnames.txt"), "rose\ntiger lily\n").unwrap();
    assert_ne!(open(&whole).unwrap().fingerprint().unwrap(), renamed, "names beside the shards are a part of them");
    for pattern in ["d*/{train-000,train-001,val-000}.tar", "da?a/*.tar", "[d]ata/{train-{000..001},val-000}.tar"] {
        assert_eq!(self::items(&dataset(&dir.path().join(pattern))), items, "{pattern}");
    }
    let one = dir.path().join("data/train-{000..000}.tar");
    assert_eq!(self::items(&dataset(&one)).len(), 2);
    assert!(
        refused(&dataset(&dir.path().join("data/train-{000..009}.tar"))).contains("8 of 10 do not exist, such as ")
    );
    fs::write(dir.path().join("classnames.txt"), "rose\n\nlily").unwrap();
    fs::write(dir.path().join("data/train-002.tar"), tar(&[("7.png", &picture(7)), ("7.cls", b"2")])).unwrap();
    let beyond = refused(&whole);
    assert!(beyond.contains("train-002.tar#0/7.png: label 2, but classnames.txt lists 2 classes | "), "{beyond}");
}

#[test]
fn labels_are_those_of_cls_json_or_txt_in_this_order_unless_one_is_chosen() {
    let png = picture(0);
    let of = |files: &[(&str, &[u8])], chosen: Option<&str>| {
        let (_dir, dataset) = one(files);
        let dataset = Dataset { label_column: chosen.map(str::to_owned), ..dataset };
        match open(&dataset) {
            Ok(source) => {
                let (classes, why) = (source.listing().classes.clone(), source.listing().unlabelled.clone());
                format!("{}{}", classes.join(","), why.map(|why| format!(" | {why}")).unwrap_or_default())
            }
            Err(error) => error.to_string(),
        }
    };
    let all: &[(&str, &[u8])] = &[
        ("0.png", &png),
        ("0.txt", b"a rose"),
        ("0.json", b"{\"class\": \"Rosa\", \"annotation\": {\"family\": \"Rosaceae\"}, \"n\": 2.5}"),
        ("0.cls", b"3"),
        ("1.png", &png),
        ("1.txt", b"a lily"),
        ("1.json", b"{\"class\": \"Lilium\", \"annotation\": {\"family\": \"Liliaceae\"}}"),
    ];
    assert_eq!(of(all, None), "3", "a sample without a cls has no label where others have one");
    assert_eq!(of(all, Some("txt")), "a lily,a rose");
    assert_eq!(of(all, Some(".TXT")), "a lily,a rose");
    assert_eq!(of(all, Some("json.annotation.family")), "Liliaceae,Rosaceae");
    assert!(of(all, Some("json")).contains("dataset.label_column = \"json\" names no key"));
    assert!(of(all, Some("class")).contains("has a label in its `class`, which dataset.label_column names"));
    let without: Vec<_> = all.iter().filter(|(name, _)| *name != "0.cls").copied().collect();
    assert_eq!(of(&without, None), "Lilium,Rosa");
    let texts: Vec<_> = without.iter().filter(|(name, _)| !name.ends_with("json")).copied().collect();
    assert_eq!(of(&texts, None), "a lily,a rose");
    let caption = "a rose in a garden, ".repeat(400);
    let captions: Vec<_> =
        texts.iter().map(|(name, b)| (*name, if *name == "1.txt" { caption.as_bytes() } else { b })).collect();
    let said = of(&[&captions[..], &[("2.png", &png), ("2.txt", &caption.as_bytes()[..120])]].concat(), None);
    assert!(said.contains("look like captions, not classes: dataset.label_column = \"txt\""), "{said}");
    let said = of(&[("0.png", &png), ("0.json", b"{\"caption\": \"a rose\"}")], None);
    assert!(said.contains("no key of `json` is known to hold labels: dataset.label_column names one"), "{said}");

    // What cannot be read is a row with the reason, never a picture without a label.
    let reason = |name: &str, bytes: &[u8], chosen: Option<&str>| {
        let (_dir, dataset) =
            one(&[("0.png", &png), (name, bytes), ("1.png", &png), (&name.replace('0', "1"), b"{\"a\": 1}")]);
        let dataset = Dataset { label_column: chosen.map(str::to_owned), ..dataset };
        seen(&dataset).remove(0).2.expect_err(name)
    };
    assert!(reason("0.cls", b"\xff\xfe", None).contains("its label, `cls`, cannot be read: not UTF-8"));
    assert!(reason("0.cls", &[b'7'; 5000], None).contains("5000 bytes, more than the 4096 that a label may have"));
    assert!(reason("0.cls", b"a\nb", None).contains("more than one line"));
    assert!(reason("0.json", b"{", Some("json.a")).contains("`json`, cannot be read: not JSON"));
    assert!(reason("0.json", b"{\"a\": 0.5}", Some("json.a")).contains("the label is no whole number"));
}

#[test]
fn what_is_no_file_in_a_shard_is_a_row_with_the_reason() {
    let png = picture(0);
    let mut builder = Builder::new(Vec::new());
    append(&mut builder, "good.png", &png);
    append_raw(&mut builder, b"link.png", EntryType::Symlink, 0, b"");
    append_raw(&mut builder, b"hard.png", EntryType::Link, 0, b"");
    append_raw(&mut builder, b"device.png", EntryType::Char, 0, b"");
    append_raw(&mut builder, b"a/../../up.png", EntryType::Regular, png.len() as u64, &png);
    append_raw(&mut builder, b"/etc/root.png", EntryType::Regular, png.len() as u64, &png);
    append_raw(&mut builder, b"sparse.png", EntryType::GNUSparse, 0, b"");
    append_raw(&mut builder, b"caf\xe9.png", EntryType::Regular, png.len() as u64, &png);
    builder.append_pax_extensions([("GNU.sparse.major", &b"1"[..])]).unwrap();
    append(&mut builder, "pax.png", &png);
    append_raw(&mut builder, b"folder.png", EntryType::Directory, 0, b"");
    append_raw(&mut builder, b"old.png/", EntryType::Regular, 0, b"");
    append(&mut builder, "empty.png", b"");
    append(&mut builder, "label.png", &png);
    append_raw(&mut builder, b"label.cls", EntryType::Symlink, 0, b"");
    append(&mut builder, "twice.png", &png);
    append(&mut builder, "twice.png", &picture(1));
    append(&mut builder, "last.png", &png);
    let (_dir, dataset) = of_bytes(&builder.into_inner().unwrap());
    let seen = seen(&dataset);
    let why = |name: &str| {
        let found = seen.iter().find(|(path, ..)| path.ends_with(name)).unwrap_or_else(|| panic!("{name}: {seen:?}"));
        found.2.as_ref().err().cloned().unwrap_or_default()
    };
    assert!(why("link.png").contains("a symbolic link, which is not followed"));
    assert!(why("hard.png").contains("a hard link, which is not followed"));
    assert!(why("device.png").contains("a device or a pipe"));
    assert!(why("up.png").contains("leads out of the tar"));
    assert!(why("root.png").contains("leads out of the tar"));
    assert!(why("sparse.png").contains("a sparse file"));
    assert!(why("pax.png").contains("a sparse file"));
    assert!(why("caf\u{fffd}.png").contains("not UTF-8"));
    assert!(why("label.png").contains("its label, `cls`, cannot be read: the tar has it as a symbolic link"));
    assert!(why("twice.png").contains("has `png` twice"));
    assert_eq!(seen.iter().filter(|(.., bytes)| bytes.as_ref() == Ok(&png)).count(), 2, "good.png and last.png");
    assert_eq!(seen.iter().find(|(name, ..)| name.ends_with("empty.png")).unwrap().2, Ok(Vec::new()));
    assert_eq!(seen.len(), 13, "{seen:?}");
}

#[test]
fn a_damaged_shard_is_a_row_and_what_stands_before_the_damage_is_read() {
    let png = picture(0);
    let whole = tar(&[("0.png", &png), ("0.cls", b"1"), ("1.png", &picture(1)), ("1.cls", b"0")]);
    let rows = |bytes: &[u8]| {
        let (_dir, dataset) = of_bytes(bytes);
        let source = open(&dataset).map_err(|error| error.to_string())?;
        let notes = source.listing().notes.join("; ");
        let rows: Vec<_> = seen(&dataset).into_iter().map(|(name, _, bytes)| (name, bytes.err())).collect();
        Ok::<_, String>((rows, notes))
    };
    let (sound, notes) = rows(&whole).unwrap();
    assert_eq!((sound.len(), notes.as_str()), (2, ""));
    // The second picture begins in block 5, behind two blocks each of a picture and a label.
    let (cut, notes) = rows(&whole[..5 * 512 + 10]).unwrap();
    assert_eq!(cut[0], ("#0/0.png".to_owned(), None));
    assert!(cut[1].1.as_ref().unwrap().contains("the tar ends before it does: 10 of "), "{cut:?}");
    assert!(notes.contains("without the mark that ends a tar, which may have been cut off"), "{notes}");
    let (cut, notes) = rows(&whole[..4 * 512 + 100]).unwrap();
    assert!(cut[1].0.is_empty() && cut[1].1.as_ref().unwrap().contains("what follows its byte 2048 is left out"));
    assert!(notes.contains("not read to the end, and pictures may be missing"), "{notes}");
    let (cut, notes) = rows(&whole[..4 * 512]).unwrap();
    assert_eq!((cut.len(), notes.contains("may have been cut off")), (1, true));
    let mut flipped = whole.clone();
    flipped[2 * 512 + 3] ^= 1;
    let (cut, _) = rows(&flipped).unwrap();
    assert!(cut[1].1.as_ref().unwrap().contains("archive header checksum mismatch"), "{cut:?}");
    // Where nothing is left to read, that is said at once.
    for (bytes, expected) in [(&b""[..], "the file has no bytes"), (&b"<html>not found</html>"[..], "failed to read")] {
        let refused = rows(bytes).unwrap_err();
        assert!(
            refused.contains("no picture can be read in the shards, first ") && refused.contains(expected),
            "{refused}"
        );
        assert!(refused.contains(".tar: "), "{refused}");
    }
    // An empty tar is one without pictures.
    assert!(rows(&[0; 1024]).unwrap_err().contains("no picture in the tars of"));

    // Sizes that are not true.
    let lying = |claimed: u64| {
        let mut builder = Builder::new(Vec::new());
        append_raw(&mut builder, b"0.png", EntryType::Regular, claimed, &png);
        append(&mut builder, "1.png", &picture(1));
        rows(&builder.into_inner().unwrap())
    };
    let huge = lying(1 << 40);
    assert!(huge.as_ref().unwrap_err().contains("of 1099511627776 bytes are there"), "{huge:?}");
    assert!(lying(u64::MAX).unwrap_err().contains("what follows its byte 0 is left out"));
    let long = lying(600).unwrap().0;
    let why = long.last().unwrap().1.as_ref().unwrap();
    assert!(why.contains("what follows its byte 1536 is left out") && !why.contains(char::is_control), "{why:?}");

    // A name of a gigabyte is refused before it is read: the file is one of holes.
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.tar");
    let mut builder = Builder::new(Vec::new());
    append(&mut builder, "0.png", &png);
    append_raw(&mut builder, b"././@LongLink", EntryType::GNULongName, 1 << 30, b"");
    fs::write(&path, builder.into_inner().unwrap()).unwrap();
    fs::File::options().write(true).open(&path).unwrap().set_len(2 << 30).unwrap();
    let named = seen(&dataset(&path));
    assert!(named[1].2.as_ref().unwrap_err().contains("more than 1048576 bytes stand in front of a file"), "{named:?}");
}

#[test]
fn folders_of_a_tar_that_look_like_classes_are_to_be_unpacked() {
    let unlabelled = |names: &[&str]| {
        let png = picture(0);
        let files: Vec<(&str, &[u8])> = names.iter().map(|name| (*name, &png[..])).collect();
        let (_dir, dataset) = one(&files);
        open(&dataset).unwrap().listing().unlabelled.clone()
    };
    let why = unlabelled(&["rose/1.png", "rose/2.png", "train/lily/1.png", "train/lily/2.png"]).unwrap();
    assert!(why.contains("2 folders of the tar, which look like classes (lily, rose)"), "{why}");
    assert!(why.contains("unpack it, `tar xf FILE`"), "{why}");
    // A folder for all, or for each sample, is none.
    assert_eq!(unlabelled(&["a/1.png", "a/2.png", "a/3.png"]), None);
    assert_eq!(unlabelled(&["1/a.png", "2/a.png", "3/a.png"]), None);
    assert_eq!(unlabelled(&["a/1.png", "a/2.png", "b/1.png", "b/2.png", "3.png"]), None);
    let png = picture(0);
    let labelled = [("a/1.png", &png[..]), ("a/1.cls", b"0"), ("a/2.png", &png), ("b/1.png", &png), ("b/2.png", &png)];
    assert_eq!(open(&one(&labelled).1).unwrap().listing().unlabelled, None);
}

#[test]
fn what_stands_behind_the_end_of_a_tar_is_said_unless_it_is_zeros() {
    let tars = [tar(&[("0.png", &picture(0))]), tar(&[("1.png", &picture(1))])];
    let rows = |bytes: &[u8]| {
        let (_dir, dataset) = of_bytes(bytes);
        let notes = open(&dataset).unwrap().listing().notes.join("; ");
        (seen(&dataset).into_iter().map(|(name, _, bytes)| (name, bytes.err())).collect::<Vec<_>>(), notes)
    };
    let (first, second) = (tars[0].len(), tars.concat());
    let (found, notes) = rows(&second);
    assert_eq!(found[0], ("#0/0.png".to_owned(), None));
    let why = found[1].1.as_ref().expect("the second tar is missing, and that is a row");
    assert!(why.starts_with(&format!("what follows its byte {first} is left out: ")), "{why}");
    assert!(why.contains("`tar --concatenate` joins tars"), "{why}");
    assert!(notes.contains("not read to the end, and pictures may be missing"), "{notes}");
    // A lone block of zeros ends a tar as well, and what follows may lie far behind.
    for padding in [512, 10_240, 3 << 20] {
        let mut padded = tars[0].clone();
        padded.resize(first + padding, 0);
        let (found, notes) = rows(&padded);
        assert_eq!((found.len(), notes.as_str()), (1, ""), "{padding} zeros");
        // What is longer than a header may have been pictures, and is called a tar if it begins so.
        let (found, _) = rows(&[&padded[..], &[b'x'; 512]].concat());
        let why = found[1].1.as_ref().unwrap();
        assert!(why.starts_with(&format!("what follows its byte {} is", first + padding)), "{why}");
        assert!(why.ends_with("and no tar begins there"), "{why}");
        // The end of a line, as a script may append it, takes no picture with it.
        let (found, notes) = rows(&[&padded[..], b"\n"].concat());
        assert_eq!(found, [("#0/0.png".to_owned(), None)]);
        assert!(notes.starts_with("1 byte behind the mark that ends a tar, too few for a picture: /"), "{notes}");
    }
    // Tars of before `ustar` are known by their sums.
    let mut builder = Builder::new(Vec::new());
    let mut header = tar::Header::new_old();
    header.set_size(0);
    header.set_cksum();
    builder.append_data(&mut header, "1.png", &b""[..]).unwrap();
    let (found, _) = rows(&[tars[0].clone(), builder.into_inner().unwrap()].concat());
    assert!(found[1].1.as_ref().unwrap().contains("`cat` does not"), "{found:?}");
    let lone = [&tars[0][..first - 512], &tars[1]].concat();
    assert!(rows(&lone).0[1].1.as_ref().unwrap().starts_with(&format!("what follows its byte {} is", first - 512)));
    // Holes are not read: a terabyte of them takes no time.
    let (dir, dataset) = of_bytes(&tars[0]);
    let file = fs::File::options().write(true).open(dir.path().join("a.tar")).unwrap();
    file.set_len(1 << 40).unwrap();
    assert_eq!((seen(&dataset).len(), open(&dataset).unwrap().listing().notes.len()), (1, 0));
    std::os::unix::fs::FileExt::write_all_at(&file, b"x", 1 << 39).unwrap();
    let why = seen(&dataset).remove(1).2.unwrap_err();
    assert!(why.starts_with("what follows its byte 549755813888 is left out"), "{why}");
}

#[test]
fn samples_without_the_field_of_the_others_are_counted_with_one_of_them() {
    let png = picture(0);
    let files: &[(&str, &[u8])] = &[
        ("0.png", &png),
        ("0.cls", b"1"),
        ("1.png", &png),
        ("2.png", &png),
        ("2.json", b"{\"label\": 1}"),
        ("3.png", &png),
        ("3.cls", b"-1"),
    ];
    let (_dir, dataset) = one(files);
    let notes = |chosen: Option<&str>| {
        let dataset = Dataset { label_column: chosen.map(str::to_owned), ..dataset.clone() };
        open(&dataset).unwrap().listing().notes.iter().find(|note| note.contains("no label in")).cloned()
    };
    let note = notes(None).unwrap();
    assert!(note.starts_with("2 samples have no label in `cls`, where the others have theirs, and count as"), "{note}");
    assert!(note.ends_with("a.tar#2/2.png, which has `json` instead"), "{note}");
    let note = notes(Some("json.label")).unwrap();
    assert!(note.starts_with("3 samples have no label in `json.label`, ") && note.ends_with("a.tar#0/0.png"), "{note}");
    let (_dir, whole) = one(&[&files[..2], &files[5..]].concat());
    let notes = open(&whole).unwrap().listing().notes.clone();
    assert!(notes.len() == 1 && notes[0].contains("stands for none"), "{notes:?}");

    let (_dir, twice) = one(&[
        ("0.png", &png),
        ("0.json", b"{\"label\": 1, \"label\": 2}"),
        ("1.png", &png),
        ("1.json", b"{\"label\": 1}"),
    ]);
    let why = seen(&twice).remove(0).2.unwrap_err();
    assert!(why.ends_with("its label, `json`, cannot be read: `label` stands twice in the object"), "{why}");
}

#[test]
fn samples_that_are_odd_are_counted() {
    let png = picture(0);
    let files: &[(&str, &[u8])] = &[
        ("a.png", &png),
        ("a.jpg", b"x"),
        ("b.txt", b"no picture"),
        ("a.png", &picture(1)),
        ("c.seg.png", &picture(2)),
        ("c.heic", b"x"),
    ];
    let (_dir, dataset) = one(files);
    let names: Vec<String> = seen(&dataset).into_iter().map(|(name, ..)| name).collect();
    assert_eq!(names, ["#0/a.png", "#2/a.png", "#3/c.heic"], "HEIC is rejected later, with how to convert it");
    let notes = open(&dataset).unwrap().listing().notes.join("\n");
    for expected in [
        "1 sample has no picture",
        "1 sample has several pictures, of which the first",
        "1 sample has a name that an earlier",
    ] {
        assert!(notes.contains(expected), "{notes}");
    }
    let chosen = Dataset { image_column: Some("seg.png".to_owned()), ..dataset.clone() };
    assert_eq!(seen(&chosen)[0].0, "#3/c.seg.png");
    let none = Dataset { image_column: Some("webp".to_owned()), ..dataset };
    assert!(refused(&none).contains("has a `webp`, which dataset.image_column names"));

    // A hundred thousand files of one name are one sample, of which little is kept.
    let mut builder = Builder::new(Vec::new());
    (0..100_000).for_each(|_| append(&mut builder, "same.png", b""));
    append(&mut builder, "good.png", &png);
    let (_dir, dataset) = of_bytes(&builder.into_inner().unwrap());
    let found = seen(&dataset);
    assert!(found.len() == 2 && found[0].2.as_ref().unwrap_err().contains("which is meant cannot be told"));
}

#[test]
fn compressed_shards_are_refused_with_how_to_decompress_them() {
    let dir = tempfile::tempdir().unwrap();
    let whole = tar(&[("0.png", &picture(0))]);
    for name in ["a.tar.gz", "b.tgz", "c.tar.zst"] {
        fs::write(dir.path().join(name), &whole).unwrap();
        let refused = refused(&dataset(&dir.path().join(name)));
        assert!(refused.contains("is compressed as a whole") && refused.contains("`gunzip --keep FILE`"), "{refused}");
    }
    let all = refused(&dataset(dir.path()));
    assert!(all.contains("a.tar.gz") && all.contains("c.tar.zst are compressed as a whole"), "{all}");
    // One that was decompressed and kept is not read a second time.
    for name in ["a.tar", "b.tar", "c.tar"] {
        fs::write(dir.path().join(name), &whole).unwrap();
    }
    assert_eq!(items(&dataset(dir.path())).len(), 3);
    fs::write(dir.path().join("a.tar"), b"\x1f\x8b\x08\0\0\0\0\0").unwrap();
    assert!(refused(&dataset(dir.path())).contains("a.tar is compressed as a whole"));
}

#[test]
fn init_and_predict_know_shards() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("train")).unwrap();
    fs::write(dir.path().join("train/0.tar"), tar(&[("0.png", &picture(0)), ("0.cls", b"0")])).unwrap();
    for place in ["", "train", "train/0.tar", "train/*.tar", "train/{0..0}.tar"] {
        assert_eq!(guess(&dir.path().join(place)).unwrap().dataset.kind, SourceKind::WebDataset, "{place}");
    }
    let found = microclip_pipe::source::inputs::pictures(dir.path(), &dataset(dir.path())).unwrap();
    assert_eq!(found.count, 1);
    assert!(found.items.map(Result::unwrap).all(|item| item.label.is_none() && item.split == Some(Split::Train)));
    let folder = Dataset::new(SourceKind::Folder, dir.path().to_owned());
    assert!(refused(&folder).contains("kind = \"webdataset\""));
}

/// The pictures of a pipeline as shards, a tar for each split.
pub(crate) fn shards(pipeline: &Pipeline, folder: &str) {
    fs::create_dir_all(pipeline.path(folder)).unwrap();
    for split in ["train", "test"] {
        let mut builder = Builder::new(Vec::new());
        for (class, name) in CLASSES.iter().enumerate() {
            for (n, path) in
                entries(&pipeline.path(&format!("pictures/{split}/{}", name.replace(' ', "_")))).iter().enumerate()
            {
                append(&mut builder, &format!("{class}-{n}.png"), &fs::read(path).unwrap());
                append(&mut builder, &format!("{class}-{n}.cls"), class.to_string().as_bytes());
            }
        }
        fs::write(pipeline.path(&format!("{folder}/{split}.tar")), builder.into_inner().unwrap()).unwrap();
    }
    fs::write(pipeline.path(&format!("{folder}/classnames.txt")), CLASSES.join("\n")).unwrap();
}

#[test]
fn a_run_on_shards_is_that_on_the_files_in_them_and_copies_none() {
    let pipeline = Pipeline::new(3, 1);
    shards(&pipeline, "shards");
    let settings = ["--set", "adapt.tune=layernorm", "--set", "adapt.epochs=1"];
    let run = |store: &str| {
        let store = pipeline.path(store);
        pipeline.ok("run", &[&settings[..], &["--store", store.to_str().unwrap()]].concat());
    };
    run("of-files");
    pipeline.spec("small", "kind = \"webdataset\"\npath = \"shards\"");
    run("of-shards");
    assert!(pipeline.weights("of-shards") == pipeline.weights("of-files"));
    let kept = |store: &str| rows::rows(&pipeline.path(store));
    let (files, shards) = (kept("of-files"), kept("of-shards"));
    for table in ["labels", "embeddings", "composites"] {
        assert!(!files[table].is_empty() && files[table] == shards[table], "{table}");
    }
    let store = pipeline.path("of-shards");
    let images = pipeline.sql_in(
        "SELECT image_id, file, file_row, file_byte, byte_len, bytes IS NULL AS is_away FROM images",
        &["--store", store.to_str().unwrap()],
    );
    assert_eq!(images.len(), 12);
    for row in images {
        let tar = fs::read(row["file"].as_str().unwrap()).unwrap();
        let bytes = &tar[row["file_byte"].as_u64().unwrap() as usize..][..row["byte_len"].as_u64().unwrap() as usize];
        assert_eq!(ImageId::of(bytes).to_string(), row["image_id"].as_str().unwrap());
        assert!(row["is_away"].as_bool().unwrap() && row["file_row"].is_null(), "{row}");
    }
    let copied = pipeline.path("asked-for-a-copy");
    let rest = ["--store", copied.to_str().unwrap()];
    pipeline.ok("ingest", &[&["--set", "dataset.copy=true"], &rest[..]].concat());
    let count = pipeline.sql_in("SELECT count(bytes) AS copied, count(file_byte) AS away FROM images", &rest);
    assert_eq!(count, [serde_json::json!({"copied": 0, "away": 12})], "the setting is for Parquet");
}

#[test]
fn a_shard_that_has_changed_since_it_was_ingested_is_an_error_until_it_is_ingested_anew() {
    let pipeline = Pipeline::new(3, 1);
    shards(&pipeline, "shards");
    pipeline.spec("small", "kind = \"webdataset\"\npath = \"shards\"");
    pipeline.ok("ingest", &[]);
    let said = |verb: &str| {
        let output = pipeline.output(verb, &[]);
        (output.status.success(), String::from_utf8(output.stderr).unwrap())
    };
    assert!(said("ingest").1.contains("unchanged"));
    let path = pipeline.path("shards/train.tar");
    let (whole, modified) = (fs::read(&path).unwrap(), fs::metadata(&path).unwrap().modified().unwrap());
    let write = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        fs::File::options().write(true).open(&path).unwrap().set_modified(modified).unwrap();
    };
    // Another byte in the first picture, which neither the length nor the time shows.
    let mut flipped = whole.clone();
    flipped[512 + 60] ^= 1;
    write(&flipped);
    let (succeeded, refused) = said("embed");
    assert!(!succeeded && refused.contains("train.tar#0/0-0.png has changed since it was ingested"), "{refused}");
    assert!(refused.contains("snapshot.parquet does not show that"), "the next run reads it anew: {refused}");
    write(&whole);
    assert!(said("embed").0);
    fs::write(&path, &whole).unwrap();
    assert!(!said("ingest").1.contains("unchanged"), "another time is another shard");
    fs::remove_file(&path).unwrap();
    let named = pipeline.output("ingest", &["--set", "dataset.path=shards/{train,test}.tar"]);
    let refused = String::from_utf8(named.stderr).unwrap();
    assert!(refused.contains("1 of 2 do not exist, such as "), "{refused}");
}
