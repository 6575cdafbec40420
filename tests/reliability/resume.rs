//! An ingest that was killed goes on from what it had found in the files.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::Path;
use std::time::Duration;

use microclip_pipe::store::{Store, reader};
use microclip_pipe::table::arrays;

use crate::pipeline::Pipeline;
use crate::rows::assert_same_rows;

/// The paths of the files that a store knows of an ingest under way.
fn found(store: &Path) -> BTreeSet<String> {
    let store = Store::open_read(store).unwrap();
    let mut paths = BTreeSet::new();
    for dataset in store.partitions("read_files").unwrap() {
        let partition = store.partition("read_files", &dataset).unwrap();
        for batch in reader::batches(&partition, Some(&["path"]), 1024).unwrap() {
            paths.extend(arrays::strings(&batch.unwrap(), "path").unwrap().into_iter().map(str::to_owned));
        }
    }
    paths
}

/// Begins an ingest and kills it once it has written something; gives the files that it had found.
fn killed(pipeline: &Pipeline, store: &str) -> BTreeSet<String> {
    let path = pipeline.path(store);
    let mut ingest = pipeline.start("ingest", &["--store", path.to_str().unwrap()]);
    while found(&path).is_empty() && ingest.try_wait().unwrap().is_none() {
        std::thread::sleep(Duration::from_millis(1));
    }
    ingest.kill().unwrap();
    ingest.wait().unwrap();
    found(&path)
}

/// Takes the bytes of a file away, and leaves its length and time of change.
fn spoil(path: &Path) {
    let before = fs::metadata(path).unwrap();
    fs::write(path, vec![0; before.len() as usize]).unwrap();
    File::options().write(true).open(path).unwrap().set_modified(before.modified().unwrap()).unwrap();
}

#[test]
fn what_was_read_before_a_kill_is_not_read_again() {
    let pipeline = Pipeline::new(150, 50);
    let whole = pipeline.path("whole");
    pipeline.ok("ingest", &["--store", whole.to_str().unwrap()]);
    pipeline.ok("ingest", &[]);
    assert!(!pipeline.ok("cache ls", &[]).contains("read_files"), "nothing is left of an ingest that came to its end");

    let mut tries = (0..20).map(|n| format!("killed-{n}"));
    let (store, known) = tries
        .find_map(|store| Some(killed(&pipeline, &store)).filter(|known| !known.is_empty()).map(|known| (store, known)))
        .expect("an ingest that is killed under way");
    assert!(known.len() < 600, "it had not come to its end");
    // Whoever reads one of these again finds no picture.
    known.iter().for_each(|path| spoil(Path::new(path)));
    let ingest = pipeline.output("ingest", &["--store", pipeline.path(&store).to_str().unwrap()]);
    let said = String::from_utf8(ingest.stderr).unwrap();
    assert!(ingest.status.success(), "{said}");
    let not_again = format!("{} files are as an ingest found them that was interrupted", known.len());
    assert!(said.contains(&not_again), "{said}");
    assert_same_rows(&pipeline.path(&store), &whole);
}
