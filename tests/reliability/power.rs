//! What is on disk when the power fails: a name is given only to what is synced, and a folder is
//! synced after it.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::pipeline::{Pipeline, entries};
use microclip_pipe::store::Store;
use microclip_pipe::store::inventory;
use microclip_pipe::table::schema;

/// Compiles the library that writes down the order of calls. The linker of a Rust toolchain is a C
/// compiler.
fn recorder(folder: &Path) -> PathBuf {
    let library = folder.join("order.so");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reliability/order.c");
    let compiled =
        Command::new("cc").args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(source).arg("-ldl").status();
    assert!(compiled.unwrap().success());
    library
}

fn folder(path: &str) -> String {
    Path::new(path).parent().unwrap().to_str().unwrap().to_owned()
}

/// Whether a path is of a table that the frozen tower fills.
fn frozen(path: &str) -> bool {
    Path::new(path).iter().any(|part| part == "embeddings" || part == "composites")
}

#[test]
fn nothing_is_named_before_it_is_synced_nor_forgotten_after() {
    let pipeline = Pipeline::new(3, 1);
    let store = pipeline.path("store");
    let log = pipeline.path("order.log");
    let output = pipeline
        .command("run", &["--set", "adapt.tune=head"])
        .env("LD_PRELOAD", recorder(pipeline.folder.path()))
        .env("ORDER_LOG", &log)
        .env("ORDER_ROOT", pipeline.folder.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));

    // Files whose bytes, and entries of folders that, may be lost.
    let (mut unsynced, mut entries, mut named) = (BTreeSet::<String>::new(), BTreeSet::<String>::new(), 0);
    for line in fs::read_to_string(&log).unwrap().lines() {
        let [what, one, two] = line.split('\t').collect::<Vec<_>>().try_into().unwrap();
        match what {
            "write" => drop(unsynced.insert(one.to_owned())),
            "make" => drop(entries.insert(one.to_owned())),
            "sync" => {
                unsynced.remove(one);
                entries.retain(|entry| folder(entry) != one);
            }
            "name" => {
                assert!(!unsynced.contains(one), "{two} is named before it is synced");
                // Frozen tables are filled at the same time, and do not wait for each other.
                let waits = |entry: &&String| two.starts_with(*entry) || !(frozen(entry) && frozen(two));
                let lost: Vec<&String> = entries.iter().filter(waits).collect();
                assert!(lost.is_empty(), "{two} is named while {lost:?} may be lost");
                entries.insert(two.to_owned());
                named += 1;
            }
            other => panic!("{other}"),
        }
    }
    assert!(entries.is_empty(), "never synced: {entries:?}");
    let tables: Vec<&str> = schema::all().iter().map(|table| table.name()).collect();
    let held = inventory::holdings(&Store::open_read(&store).unwrap(), &tables).unwrap();
    let files: usize = held.iter().map(|holding| holding.files.len()).sum();
    assert!(named >= files, "all {files} files were named under the recorder's eyes, {named}");
}

#[test]
fn what_has_no_name_yet_is_never_read_and_swept_at_the_next_start() {
    let pipeline = Pipeline::new(3, 1);
    let head = ["--set", "adapt.tune=head"];
    pipeline.ok("run", &head);
    let store = pipeline.path("store");
    let count = "SELECT (SELECT count(*) FROM images) AS i, (SELECT count(*) FROM embeddings) AS e, \
                 (SELECT count(*) FROM passes) AS p, (SELECT count(*) FROM metrics) AS m";
    let before = pipeline.sql(count);
    // Whole copies and halves under temporary names, everywhere, as a process leaves them that is
    // gone.
    let mut left = Vec::new();
    for partition in entries(&store).iter().filter(|path| path.is_dir()).flat_map(|table| entries(table)) {
        let bytes = fs::read(entries(&partition).pop().unwrap()).unwrap();
        for (n, bytes) in [&bytes[..], &bytes[..bytes.len() / 2]].into_iter().enumerate() {
            left.push(partition.join(format!("4194305-{n}.tmp")));
            fs::write(left.last().unwrap(), bytes).unwrap();
        }
    }
    assert!(left.len() > 20);
    let notes = store.join("images/notes.tmp");
    fs::write(&notes, "a user's own").unwrap();
    assert_eq!(pipeline.sql(count), before);
    pipeline.ok("cache verify", &[]);
    pipeline.ok("ingest", &[]);
    assert!(left.iter().all(|path| !path.exists()), "any run sweeps the whole store");
    assert!(notes.exists(), "what is not ours stays");
    pipeline.ok("run", &head);
    assert_eq!(pipeline.sql(count), before);
}
