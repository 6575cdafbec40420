//! Stores that refuse, break off or change their minds, and processes that are killed.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::server::{Fault, ID, SECRET};
use super::{OnStore, ok, said};

const ONE: &str = "pictures/train/red_rose/0000.png";

#[test]
fn a_store_that_is_busy_or_breaks_off_is_asked_again() {
    let store = OnStore::new();
    store.server.fail("/birds", 1, Fault::Status(503, "SlowDown"));
    store.server.fail(ONE, 1, Fault::Status(500, "InternalError"));
    store.server.fail("blue_bell/0000.png", 1, Fault::Cut(100));
    store.server.fail("blue_bell/0001.png", 1, Fault::Cut(0));
    store.ok("ingest", &[]);
    assert_eq!(store.ok("sql", &["SELECT count(*) AS n FROM images", "--format", "csv"]).trim(), "n\n9");
}

#[test]
fn what_a_store_refuses_is_said_and_what_was_fetched_is_kept() {
    let store = OnStore::new();
    store.server.fail(ONE, 1, Fault::Status(403, "AccessDenied"));
    insta::assert_snapshot!(store.refused("ingest"), @r"
    error: cannot fetch s3://birds/pictures/train/red_rose/0000.png: Server returned non-2xx status code: 403 Forbidden: AccessDenied, As the test wants it.
    hint: credentials are read from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, the region from AWS_REGION, another server than Amazon's from AWS_ENDPOINT_URL; AWS_SKIP_SIGNATURE=true reads a public bucket without any
    exit code 1
    ");
    let first = store.server.given().len();
    store.ok("ingest", &[]);
    assert!(store.server.given().len() <= 9 - first.min(8), "{first} were there");
    for (path, what) in [
        ("s3://birds/nothing", "a folder"),
        ("s3://nobirds/pictures", "a bucket"),
        ("s3://birds/Pictures", "another case"),
    ] {
        store.pipeline.spec("small", &format!("kind = \"folder\"\npath = \"{path}\""));
        insta::assert_snapshot!(format!("without {what}"), store.refused("ingest"));
    }
    store.pipeline.spec("small", "kind = \"hf-parquet\"\npath = \"s3://birds/pictures\"");
    insta::assert_snapshot!(store.refused("ingest"), @r#"
    error: there is nothing at s3://birds/pictures that this `dataset.kind` reads
    hint: dataset.kind = "folder" reads picture files
    exit code 1
    "#);
    store.pipeline.spec("small", "kind = \"folder\"\npath = \"s3://key:secret@birds/pictures\"");
    insta::assert_snapshot!(store.refused("ingest"), @r"
    error: DIR/pipeline.toml:5: 'dataset.path' is an address, which has a user or password in it: credentials are read from the environment
    hint: pictures are at s3://BUCKET/FOLDER, gs://BUCKET/FOLDER, az://CONTAINER/FOLDER or https://HOST/FILE.parquet
    exit code 2
    ");
}

#[test]
fn an_object_that_changes_while_it_is_fetched_is_no_picture() {
    let store = OnStore::new();
    store.server.fail(ONE, 1, Fault::Other);
    insta::assert_snapshot!(store.refused("ingest"), @r"
    error: s3://birds/pictures/train/red_rose/0000.png has changed while it was fetched
    hint: run again, once it is whole
    exit code 1
    ");
    assert!(!store.fetched(ONE).exists());
    store.ok("ingest", &[]);
}

#[test]
fn a_killed_fetch_goes_on_and_has_no_half_of_a_file() {
    let store = OnStore::new();
    store.server.fail(ONE, 1, Fault::Stall(50));
    let mut child = store.command("ingest", &[]).stderr(Stdio::null()).spawn().unwrap();
    let until = Instant::now() + Duration::from_secs(30);
    let is_there = |name: &str| store.fetched(name).exists();
    // All others are there while this one is awaited.
    while !["pictures/train/white_lily/0001.png", "pictures/test/blue_bell/1000.png"].into_iter().all(is_there) {
        assert!(Instant::now() < until, "nothing is fetched");
        thread::sleep(Duration::from_millis(20));
    }
    thread::sleep(Duration::from_millis(100));
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!is_there(ONE));
    let before = store.server.given().len();
    store.ok("ingest", &[]);
    let again = store.server.given();
    assert!(again.contains(&ONE.to_owned()) && before + again.len() <= 10, "{before} before, {again:?} again");
}

#[test]
fn a_stop_ends_a_silent_store() {
    let store = OnStore::new();
    store.server.fail(ONE, 1, Fault::Stall(50));
    let child = store.command("ingest", &[]).stderr(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let until = Instant::now() + Duration::from_secs(30);
    while !store.fetched("pictures/train/white_lily/0001.png").exists() {
        assert!(Instant::now() < until, "nothing is fetched");
        thread::sleep(Duration::from_millis(20));
    }
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", said(&output));
}

#[test]
fn two_processes_fetch_each_object_once() {
    let store = OnStore::new();
    store.server.fail(ONE, 1, Fault::Stall(50));
    let start = |name: &str| {
        let into = store.pipeline.path(name);
        let mut command = store.command("ingest", &["--store", into.to_str().unwrap()]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let first = start("one");
    let until = Instant::now() + Duration::from_secs(30);
    while !store.fetched("pictures/train/white_lily/0001.png").exists() {
        assert!(Instant::now() < until, "nothing is fetched");
        thread::sleep(Duration::from_millis(20));
    }
    let mut second = start("two");
    let mut lines = BufReader::new(second.stderr.take().unwrap()).lines();
    let waits = "another process fetches s3://birds/pictures: waiting for it";
    assert!(lines.any(|line| line.unwrap().contains(waits)), "it waits for nothing");
    store.server.go_on();
    ok(&first.wait_with_output().unwrap());
    // Its other lines are read, lest it cannot write them.
    lines.for_each(drop);
    ok(&second.wait_with_output().unwrap());
    // The one that stalled is not counted by the server.
    assert_eq!(store.server.given().len(), 8);
}

#[test]
fn a_variable_that_cannot_be_meant_is_named_and_an_empty_one_says_nothing() {
    let store = OnStore::new();
    for (name, value) in [
        ("AWS_ENDPOINT_URL", "127.0.0.1:9000"),
        ("AWS_ENDPOINT_URL", "http://"),
        ("AWS_ENDPOINT_URL", "http://a b"),
        ("AWS_SECRET_ACCESS_KEY", "two\nlines"),
    ] {
        let output = store.command("ingest", &[]).env(name, value).output().unwrap();
        let said = said(&output);
        assert_eq!(output.status.code(), Some(2), "{name} {value}: {said}");
        assert!(said.starts_with(&format!("error: {name} ")) && !said.contains("two"), "{said}");
    }
    ok(&store.command("ingest", &[]).env("AWS_SESSION_TOKEN", "").output().unwrap());
}

#[test]
fn credentials_are_in_no_message_plan_or_table() {
    let store = OnStore::new();
    let mut said_all = String::new();
    for (verb, rest) in [
        ("run", &["--dry-run"][..]),
        ("doctor", &[]),
        ("ingest", &["--verbose"]),
        ("sql", &["SELECT * FROM runs"]),
        ("sql", &["SELECT * FROM images"]),
    ] {
        let output = store.output(verb, rest);
        said_all += &format!("{}{}", said(&output), String::from_utf8_lossy(&output.stdout));
    }
    store.server.fail("/birds", 1, Fault::Status(403, "SignatureDoesNotMatch"));
    said_all += &store.refused("ingest");
    for canary in [ID, SECRET, "canary%2F8b1f"] {
        assert!(!said_all.contains(canary), "{said_all}");
        for folder in [store.pipeline.path("store"), store.cache()] {
            let mut folders = vec![folder];
            while let Some(folder) = folders.pop() {
                for entry in fs::read_dir(folder).unwrap() {
                    let path = entry.unwrap().path();
                    match path.is_dir() {
                        true => folders.push(path),
                        false => {
                            let bytes = fs::read(&path).unwrap();
                            assert!(!bytes.windows(canary.len()).any(|window| window == canary.as_bytes()), "{path:?}");
                        }
                    }
                }
            }
        }
    }
}
