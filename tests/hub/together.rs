//! Processes that fetch the same at a time, where locks exclude nobody, and what others leave.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use super::server::{Fault, sha256};
use super::{OnHub, clip, ok, said};
use crate::pipeline::entries;

/// Bytes after which the server stalls: whole blocks, as they are written.
const STALL: usize = 1 << 20;

fn weights() -> Vec<u8> {
    fs::read(clip().join("model.safetensors")).unwrap()
}

/// A process that has fetched the first part of the weights, and where it keeps them.
fn stalled(hub: &OnHub) -> (Child, PathBuf) {
    let etag = sha256(&weights());
    hub.server.fail(&etag, 1, Fault::Stall(STALL));
    let mut command = hub.program(&["model", "pull", "tiny/clip"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let is_it = |path: &PathBuf| {
        path.file_name().unwrap().to_str().unwrap().starts_with(&etag)
            && fs::metadata(path).is_ok_and(|file| file.len() == STALL as u64)
    };
    let began = Instant::now();
    let mut found = None;
    while found.is_none() && began.elapsed() < Duration::from_secs(60) {
        std::thread::sleep(Duration::from_millis(10));
        let blobs = hub.cached("blobs");
        found = blobs.is_dir().then(|| entries(&blobs).into_iter().find(is_it)).flatten();
    }
    match found {
        Some(path) => (child, path),
        None => {
            child.kill().unwrap();
            child.wait().unwrap();
            panic!("no part of the weights came");
        }
    }
}

/// The cache has the model whole, and nothing else.
#[track_caller]
fn is_whole(hub: &OnHub, folder: &str) {
    assert!(fs::read(format!("{}/model.safetensors", folder.trim())).unwrap() == weights(), "other bytes");
    assert_eq!(entries(&hub.cached("blobs")).len(), entries(&clip()).len(), "nothing unfinished is left");
}

/// A lock that is gone is one that nobody sees, as on a network's file system.
#[test]
fn where_locks_exclude_nobody_each_process_writes_its_own() {
    let hub = OnHub::new();
    let (first, unfinished) = stalled(&hub);
    fs::remove_dir_all(hub.home().join("hub/.locks")).unwrap();
    let second = ok(&hub.pull());
    assert!(fs::metadata(&unfinished).is_ok_and(|file| file.len() == STALL as u64), "it is the first one's");
    hub.server.go_on();
    let first = first.wait_with_output().unwrap();
    assert_eq!(ok(&first), second);
    assert_eq!(said(&first).matches("warning").count(), 0, "{}", said(&first));
    is_whole(&hub, &second);
}

#[test]
fn bytes_that_another_process_wrote_meanwhile_are_found_out() {
    let hub = OnHub::new();
    let (process, unfinished) = stalled(&hub);
    let mut written = fs::read(&unfinished).unwrap();
    written[1_000..2_000].fill(0xa5);
    // Into the same file: `fs::write` puts no other in its place.
    fs::write(&unfinished, written).unwrap();
    hub.server.go_on();
    let output = process.wait_with_output().unwrap();
    is_whole(&hub, &ok(&output));
    assert!(said(&output).contains("warning: model.safetensors of hf://tiny/clip@"), "{}", said(&output));
}

#[test]
fn what_a_killed_process_wrote_is_gone_on_with() {
    let hub = OnHub::new();
    let (mut process, _) = stalled(&hub);
    process.kill().unwrap();
    process.wait().unwrap();
    hub.server.asked();
    is_whole(&hub, &ok(&hub.pull()));
    let asked = hub.server.asked();
    let etag = sha256(&weights());
    let ranges: Vec<_> = asked.iter().filter(|a| a.path.contains(&etag)).map(|a| &a.headers["range"]).collect();
    assert_eq!(ranges, [&format!("bytes={STALL}-")]);
}

/// As another program, or an earlier version of this one, may have left it.
#[test]
fn a_blob_with_other_bytes_is_not_linked() {
    let hub = OnHub::new();
    for file in ["model.safetensors", "config.json"] {
        let folder = ok(&hub.pull());
        let link = format!("{}/{file}", folder.trim());
        let right = fs::read(&link).unwrap();
        let mut wrong = right.clone();
        wrong[10] ^= 1;
        fs::write(&link, wrong).unwrap();
        fs::remove_file(&link).unwrap();
        let pulled = hub.pull();
        is_whole(&hub, &ok(&pulled));
        assert_eq!(fs::read(&link).unwrap(), right);
        let warning = format!("warning: the cache has {file} of hf://tiny/clip@");
        assert!(said(&pulled).contains(&warning), "{}", said(&pulled));
    }
}
