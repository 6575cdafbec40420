//! Checksums are compared for what is read, before it is read, and nobody waits for them who wants
//! to stop.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::pipeline::{Pipeline, entries};
use parquet::file::reader::{FileReader, SerializedFileReader};

const NONE: [&str; 2] = ["--set", "adapt.tune=none"];
/// Takes any machine long to hash, and no disk any room.
const HOLE: u64 = 256 << 30;

/// Puts a hole between a part's rows and its footer: what it has can be read as before, and its
/// checksum does not match.
fn hollow(part: &Path) {
    let bytes = fs::read(part).unwrap();
    let length = u32::from_le_bytes(bytes[bytes.len() - 8..][..4].try_into().unwrap()) as usize;
    let footer = &bytes[bytes.len() - 8 - length..];
    let mut file = File::options().write(true).open(part).unwrap();
    file.set_len(HOLE).unwrap();
    file.seek(SeekFrom::Start(HOLE)).unwrap();
    file.write_all(footer).unwrap();
}

/// Flips a bit in the middle of a column; gives the file's bytes as they are then.
fn flip(part: &Path, column: &str) -> Vec<u8> {
    let reader = SerializedFileReader::new(File::open(part).unwrap()).unwrap();
    let columns = reader.metadata().row_group(0).columns();
    let chunk = columns.iter().find(|chunk| chunk.column_path().parts()[0] == column).unwrap();
    let (start, length) = chunk.byte_range();
    let mut bytes = fs::read(part).unwrap();
    bytes[(start + length / 2) as usize] ^= 0x10;
    fs::write(part, &bytes).unwrap();
    bytes
}

fn first_part(store: &Path, table: &str) -> PathBuf {
    entries(&entries(&store.join(table))[0]).remove(0)
}

/// Makes it a pipeline of other pictures, in parts of their own in the same spaces.
fn others(pipeline: &Pipeline) {
    for (n, class) in ["blue_bell", "red_rose", "white_lily"].into_iter().enumerate() {
        for picture in 0..3 {
            pipeline.picture(&format!("others/{class}/{picture}.png"), n as u32, 500 + picture);
        }
    }
    pipeline.spec("others", "kind = \"folder\"\npath = \"others\"");
}

/// Composites are made of the crops that an earlier version kept, of this dataset alone.
#[test]
fn crops_of_other_datasets_are_not_compared() {
    let pipeline = Pipeline::new(4, 1);
    pipeline.ok("embed", &["--set", "views.keep=true"]);
    let store = pipeline.path("store");
    fs::remove_dir_all(store.join("composites")).unwrap();
    let part = first_part(&store, "view_features");
    hollow(&part);
    others(&pipeline);
    pipeline.ok("run", &NONE);
    assert_eq!(pipeline.sql("SELECT count(*) AS n FROM composites"), [serde_json::json!({"n": 9})]);
    assert!(part.metadata().unwrap().len() > HOLE, "it is where it was");
}

#[test]
fn what_is_not_read_is_not_compared() {
    let pipeline = Pipeline::new(4, 1);
    pipeline.ok("run", &NONE);
    let store = pipeline.path("store");
    let hollowed = [first_part(&store, "embeddings"), first_part(&store, "composites")];
    hollowed.iter().for_each(|part| hollow(part));
    // To know which pictures a space has takes their ids, and a finished run takes nothing of it.
    for verb in ["ingest", "embed", "run"] {
        pipeline.ok(verb, &NONE);
    }
    others(&pipeline);
    let output = pipeline.output("run", &NONE);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("27 image forwards"), "{said}");
    assert_eq!(pipeline.sql("SELECT count(*) AS n FROM embeddings"), [serde_json::json!({"n": 9})]);
    assert!(hollowed.iter().all(|part| part.metadata().unwrap().len() > HOLE), "they are where they were");
}

#[test]
fn comparing_can_be_stopped() {
    let pipeline = Pipeline::new(4, 1);
    pipeline.ok("embed", &[]);
    let part = first_part(&pipeline.path("store"), "embeddings");
    hollow(&part);
    let mut child = pipeline.start("run", &NONE);
    let mut lines = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains("checksums  27") {
        line.clear();
        assert_ne!(lines.read_line(&mut line).unwrap(), 0, "it ended before it could be stopped");
    }
    assert!(line.contains("megabytes to do"), "{line}");
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let mut rest = String::new();
    lines.read_to_string(&mut rest).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130), "{rest}");
    assert!(part.exists() && !pipeline.path("store/quarantine").exists(), "nobody knows yet whether it is damaged");
}

#[test]
fn damage_is_found_by_who_reads_it_and_mended_in_the_same_run() {
    let pipeline = Pipeline::new(4, 1);
    let at = |name: &str| pipeline.path(name).to_str().unwrap().to_owned();
    pipeline.ok("run", &[&NONE[..], &["--store", &at("whole")]].concat());
    pipeline.ok("embed", &[]);
    let store = pipeline.path("store");
    let damaged = [
        (first_part(&store, "embeddings"), "patch_tokens"),
        (first_part(&store, "composites"), "composite"),
        (entries(&entries(&store.join("composites"))[0]).remove(1), "image_id"),
    ];
    let before = damaged.each_ref().map(|(part, column)| flip(part, column));
    let output = pipeline.output("run", &NONE);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    for ((part, _), bytes) in damaged.iter().zip(before) {
        assert!(said.contains(&format!("warning: {} is damaged", part.display())), "{}\n{said}", part.display());
        let aside = store.join("quarantine").join(part.strip_prefix(&store).unwrap());
        assert!(fs::read(aside).unwrap() == bytes, "{} is kept", part.display());
    }
    crate::rows::assert_same_rows(&store, &pipeline.path("whole"));
    pipeline.ok("cache verify", &[]);
}
