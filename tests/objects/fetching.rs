//! What is fetched, and what is not fetched again.

use std::fs;

use super::OnStore;
use crate::pipeline::entries;
use crate::source_hf_parquet::{plain_images, texts, write};
use crate::tars::tar;

/// The training picture of a class.
const ONE: &str = "pictures/train/red_rose/0000.png";

#[test]
fn a_folder_of_a_bucket_is_read_as_from_disk_and_fetched_once() {
    let store = OnStore::new();
    store.server.put("pictures/train/.DS_Store", *b"of no use");
    store.server.put("pictures/train/", *b"");
    store.server.put("pictures2/train/other/0.png", *b"another folder's");
    let plan = store.ok("run", &["--dry-run"]);
    assert!(plan.contains("s3://birds/pictures") && plan.contains("9 files, "), "{plan}");
    assert!(store.server.given().is_empty() && !store.cache().exists(), "a dry run fetches nothing");
    let rows = store.ingested();
    insta::assert_snapshot!(rows, @r"
    name,split,n
    blue bell,test,1
    blue bell,train,2
    red rose,test,1
    red rose,train,2
    white lily,test,1
    white lily,train,2
    ");
    let mut given = store.server.given();
    given.sort_unstable();
    assert_eq!(given.len(), 9, "{given:?}");
    assert_eq!(given[3], "pictures/train/blue_bell/0000.png");
    assert_eq!(store.ingested(), rows);
    assert_eq!(store.server.given(), [""; 0]);
    let plan = store.ok("run", &["--dry-run"]);
    assert!(!plan.contains("fetch"), "{plan}");
    // The run itself needs no more than the listing.
    store.ok("embed", &["--without-views"]);
    assert_eq!(store.server.given(), [""; 0]);
}

#[test]
fn what_has_changed_is_fetched_and_what_is_gone_goes() {
    let store = OnStore::new();
    store.ingested();
    store.server.given();
    let bytes = fs::read(store.fetched("pictures/train/white_lily/0001.png")).unwrap();
    store.server.put(ONE, bytes.clone());
    store.server.remove("pictures/test/red_rose/1000.png");
    // Nor does what somebody, or a process that was killed, has put there pass for an object.
    fs::write(store.fetched("pictures/train/red_rose/9.png"), &bytes).unwrap();
    let said = super::said(&store.output("ingest", &[]));
    assert!(said.contains("s3://birds/pictures has 2 files no more: removed here, too"), "{said}");
    assert_eq!(store.server.given(), [ONE]);
    assert_eq!(fs::read(store.fetched(ONE)).unwrap(), bytes);
    assert!(
        !store.fetched("pictures/test/red_rose").exists() && !store.fetched("pictures/train/red_rose/9.png").exists()
    );
    // Neither does a file that was written to here pass for the object.
    fs::write(store.fetched(ONE), &bytes[..bytes.len() - 1]).unwrap();
    store.ok("ingest", &[]);
    assert_eq!(store.server.given(), [ONE]);
    let same_length = [b"x", &bytes[1..]].concat();
    fs::write(store.fetched(ONE), same_length).unwrap();
    store.ok("ingest", &[]);
    assert_eq!(store.server.given(), [ONE]);
}

#[test]
fn addresses_that_overlap_have_nothing_to_do_with_each_other() {
    let store = OnStore::new();
    let of = |path: &str| store.pipeline.spec("small", &format!("kind = \"folder\"\npath = \"{path}\""));
    of("s3://birds/pictures/train/");
    store.ok("ingest", &[]);
    store.server.given();
    store.server.remove(ONE);
    of("s3://birds/pictures");
    store.ok("ingest", &[]);
    assert_eq!(store.server.given().len(), 8);
    assert!(!store.fetched(ONE).exists() && store.fetched_from("s3://birds/pictures/train", ONE).exists());
    // A list names nothing but what is fetched with it.
    let elsewhere = store.fetched("pictures/train/white_lily/0000.png");
    let rows =
        format!("path,label\n{},white lily\n../../../other/1.png,red rose\n0.png,red rose\n", elsewhere.display());
    store.server.put("list/train.csv", rows);
    store.server.put("list/0.png", fs::read(&elsewhere).unwrap());
    store.pipeline.spec("list", "kind = \"list\"\npath = \"s3://birds/list/train.csv\"\ntolerance = 1.0");
    store.ok("ingest", &[]);
    let rejected = store.ok("sql", &["SELECT detail FROM rejected ORDER BY detail", "--format", "csv"]);
    assert!(rejected.contains("outside of what is fetched") && rejected.lines().count() == 3, "{rejected}");
}

#[test]
fn a_list_that_is_not_whole_takes_nothing_away() {
    let store = OnStore::new();
    // Neither the first time nor later.
    for _ in 0..2 {
        store.server.fail("continuation-token", 1, super::server::Fault::Nonsense);
        assert_eq!(
            store.refused("ingest"),
            "error: s3://birds/pictures was not listed as a whole: s3://birds/pictures/train/blue_bell/0000.png is there, \
             and not in the list\nhint: run again\nexit code 1"
        );
        store.ok("ingest", &[]);
    }
    store.server.given();
    store.ok("ingest", &[]);
    assert_eq!(store.server.given(), [""; 0]);
    // A folder that a console has made, and nothing lies in.
    store.server.put("pictures/train/empty/", *b"");
    store.ok("ingest", &[]);
}

#[test]
fn names_of_objects_are_names_of_files() {
    let store = OnStore::new();
    for (n, name) in ["two words", "a+b", "50%25", "Blümchen", "q\"uote", "a&b=c", "#1", "x<y"].into_iter().enumerate()
    {
        store.pipeline.picture("picture.png", 0, n as u32);
        store.server.put(&format!("odd/{name}/{name}.png"), fs::read(store.pipeline.path("picture.png")).unwrap());
    }
    let bytes = *b"a file";
    store.pipeline.spec("odd", "kind = \"folder\"\npath = \"s3://birds/odd\"");
    store.pipeline.write("sentences.json", "{}");
    store.ok("ingest", &["--set", "text.prototypes=templates"]);
    let classes = store.ok("sql", &["SELECT count(*) AS n FROM classes", "--format", "csv"]);
    assert_eq!(classes.trim(), "n\n8");
    store.server.put("both/a", bytes);
    store.server.put("both/a/b.png", bytes);
    store.pipeline.spec("both", "kind = \"folder\"\npath = \"s3://birds/both\"");
    insta::assert_snapshot!(store.refused("ingest"), @r"
    error: s3://birds/both has both both/a and both/a/b.png, and one cannot be a file and a folder
    hint: name a folder that has one of them
    exit code 1
    ");
}

#[test]
fn shards_parquet_and_lists_are_fetched_with_what_they_need_and_nothing_else() {
    let store = OnStore::new();
    store.ok("ingest", &[]);
    store.server.given();
    let (rose, lily) =
        (fs::read(store.fetched(ONE)).unwrap(), fs::read(store.fetched("pictures/train/white_lily/0000.png")).unwrap());
    for (n, picture) in [&rose, &lily, &rose].into_iter().enumerate() {
        store.server.put(&format!("shards/train-{n}.tar"), tar(&[("a.png", picture), ("a.cls", b"1")]));
    }
    store.server.put("shards/classnames.txt", *b"red rose\nwhite lily\n");
    store.pipeline.spec("shards", "kind = \"webdataset\"\npath = \"s3://birds/shards/train-{0..1}.tar\"");
    store.ok("ingest", &[]);
    let mut given = store.server.given();
    given.sort_unstable();
    assert_eq!(given, ["shards/classnames.txt", "shards/train-0.tar", "shards/train-1.tar"]);
    store.pipeline.spec("shard", "kind = \"webdataset\"\npath = \"s3://birds/shards/train-2.tar\"");
    store.ok("ingest", &[]);
    assert_eq!(
        store.ok("sql", &["SELECT name FROM classes ORDER BY 1", "--format", "csv"]),
        "name\nred rose\nwhite lily\n"
    );
    store.server.given();

    let table = store.pipeline.path("table.parquet");
    write(&table, vec![("image", plain_images(2)), ("label", texts(&["red rose", "white lily"]))], None);
    store.server.put("tables/train.parquet", fs::read(&table).unwrap());
    store.server.put("tables/README.md", *b"# Tables");
    for (path, fetched) in [("tables", 1), ("tables/train.parquet", 1)] {
        store.pipeline.spec("tables", &format!("kind = \"hf-parquet\"\npath = \"s3://birds/{path}\""));
        store.ok("ingest", &[]);
        assert_eq!(store.server.given().len(), fetched, "{path}");
    }
    // A list is fetched with what lies beside it.
    store.server.put("lists/train.csv", *b"path,label\na/0.png,red rose\na/1.png,white lily\n");
    store.server.put("lists/a/0.png", rose);
    store.server.put("lists/a/1.png", lily);
    store.pipeline.spec("lists", "kind = \"list\"\npath = \"s3://birds/lists/train.csv\"");
    store.ok("ingest", &[]);
    assert_eq!(store.server.given().len(), 3);
    assert_eq!(entries(&store.fetched_from("s3://birds/lists/train.csv", "lists/a")).len(), 2);
}

#[test]
fn a_large_file_of_a_server_of_http_comes_in_blocks() {
    let store = OnStore::new();
    store.ok("ingest", &[]);
    store.server.given();
    let mut shard = tar(&[("a.png", &fs::read(store.fetched(ONE)).unwrap()), ("a.txt", b"red rose")]);
    // Tars are padded with zeros, of which there may be any number.
    shard.resize(40 << 20, 0);
    store.server.put("shards/train-0 of 1.tar", shard.clone());
    let named = |path: &str| {
        format!("kind = \"webdataset\"\npath = \"{}/open/{path}\"\nclasses = \"classes.txt\"", store.server.address())
    };
    store.pipeline.write("classes.txt", "red rose\nwhite lily\n");
    store.pipeline.write("sentences.json", r#"{"red rose": ["a rose."], "white lily": ["a lily."]}"#);
    store.pipeline.spec("large", &named("shards/train-{0..0}%20of%201.tar"));
    store.ok("ingest", &[]);
    assert_eq!(store.server.given(), ["shards/train-0 of 1.tar"; 10], "ten blocks");
    let host = entries(&store.cache().join("objects/http")).remove(0);
    assert!(fs::read(entries(&host).remove(0).join("open/shards/train-0%20of%201.tar")).unwrap() == shard);
    store.ok("ingest", &[]);
    assert_eq!(store.server.given(), [""; 0]);
    store.pipeline.spec("folder", &named("shards/").replace("webdataset", "folder"));
    insta::assert_snapshot!(store.refused("ingest"), @r#"
    error: DIR/pipeline.toml:5: 'dataset.path' must be on a store that lists its objects for kind = "folder"
    hint: a server of HTTP does not say which files it has: name Parquet files or shards there
    exit code 2
    "#);
    store.pipeline.spec("stars", &named("shards/*.tar"));
    insta::assert_snapshot!(store.refused("ingest"), @r"
    error: STORE/open/shards/*.tar names no file, and a server of HTTP does not say which files it has
    hint: name files: https://host/a.parquet, or https://host/train-{000..099}.tar
    exit code 1
    ");
}
