//! Hostile pictures: each ends in `images` or in `rejected` with its reason; none hangs the program
//! or fills the memory.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use crate::corpus::{Fate, Hostile};
use crate::pipeline::Pipeline;

/// Bytes in memory by which a run on the whole corpus may pass a run on a few small pictures: one
/// picture of 81 million pixels, decoded and as RGB, and what the allocator keeps.
const MORE_MEMORY: u64 = 600 << 20;

/// After this a program that has not ended hangs. The corpus takes seconds.
const HANGS: Duration = Duration::from_secs(300);

/// Waits for the end; returns the most memory that the process had.
#[track_caller]
fn most_memory(mut child: Child) -> u64 {
    let began = Instant::now();
    let mut most = 0;
    loop {
        let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kilobytes = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
        most = most.max(kilobytes.unwrap_or(0) << 10);
        if let Some(status) = child.try_wait().unwrap() {
            assert!(status.success(), "{status}");
            return most;
        }
        if began.elapsed() > HANGS {
            child.kill().unwrap();
            panic!("it hangs");
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn start(pipeline: &Pipeline, verb: &str) -> Child {
    let mut command = pipeline.command(verb, &["--set", "dataset.tolerance=1", "--quiet"]);
    command.stdout(std::process::Stdio::null()).spawn().unwrap()
}

#[test]
fn every_hostile_picture_is_read_or_rejected_with_its_reason() {
    let pipeline = Pipeline::new(2, 1);
    let usual = most_memory(start(&pipeline, "ingest"));
    let corpus = crate::corpus::corpus();
    assert!(corpus.len() >= 60, "{} files", corpus.len());
    let folder = pipeline.path("pictures/train/blue_bell");
    for Hostile { name, bytes, .. } in &corpus {
        fs::write(folder.join(name), bytes).unwrap();
    }
    // What is no ordinary file must not even be opened: reading it could take for ever.
    let special = ["endless.jpg", "nowhere.jpg", "pipe.jpg"];
    symlink("/dev/zero", folder.join(special[0])).unwrap();
    symlink("/nowhere/at/all", folder.join(special[1])).unwrap();
    assert!(Command::new("mkfifo").arg(folder.join(special[2])).status().unwrap().success());

    let most = most_memory(start(&pipeline, "ingest"));
    assert!(most < usual + MORE_MEMORY, "{} MB, {} MB on small pictures", most >> 20, usual >> 20);

    let text = |row: &serde_json::Value, key: &str| row[key].as_str().unwrap().to_owned();
    let name = |path: &str| path.rsplit_once("/blue_bell/").map(|(_, name)| name.to_owned());
    let mut fates: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for row in pipeline.sql("SELECT unnest(paths) AS path FROM images") {
        fates.entry(name(&text(&row, "path")).unwrap_or_default()).or_default().push("read".to_owned());
    }
    for row in pipeline.sql("SELECT path, reason, detail FROM rejected") {
        assert!(!text(&row, "detail").is_empty(), "{row}");
        fates.entry(name(&text(&row, "path")).unwrap()).or_default().push(text(&row, "reason"));
    }
    for Hostile { name, fate, .. } in &corpus {
        let [found] = fates[name].as_slice() else { panic!("{name}: {:?}", fates[name]) };
        let right = match fate {
            Fate::Read => found == "read",
            Fate::Rejected(reasons) => reasons.contains(&found.as_str()),
            Fate::Either => found != "decoder_panicked",
        };
        assert!(right, "{name}: {found}, not {fate:?}");
    }
    for name in special {
        assert_eq!(fates[name], ["unreadable"], "{name}");
    }

    // What was read goes through everything that follows.
    let most = most_memory(start(&pipeline, "embed"));
    assert!(most < usual + 2 * MORE_MEMORY, "{} MB while embedding", most >> 20);
}

/// Bytes that one picture of 108 million pixels takes beyond the usual: its RGB, and as much again
/// for a decoder and the allocator.
const PHONE: u64 = 700 << 20;

#[test]
fn pictures_of_phones_are_admitted_one_at_a_time_and_larger_ones_say_what_would_admit_them() {
    let pipeline = Pipeline::new(2, 1);
    let usual = most_memory(start(&pipeline, "ingest"));
    for number in 0..4u8 {
        // The tables differ, so that the files do.
        let mut bytes = crate::corpus::photograph(12_000, 9_000);
        bytes[7 + usize::from(number)] = 2;
        fs::write(pipeline.path(&format!("pictures/train/blue_bell/phone-{number}.jpg")), bytes).unwrap();
    }
    fs::write(pipeline.path("pictures/train/blue_bell/larger.jpg"), crate::corpus::photograph(16_320, 12_240)).unwrap();
    let most = most_memory(start(&pipeline, "ingest"));
    assert!(most < usual + PHONE, "{} MB, {} MB on small pictures", most >> 20, usual >> 20);
    let read = pipeline.sql("SELECT count(*) AS n FROM images WHERE width * height = 108000000");
    assert_eq!(read[0]["n"], 4);
    let rejected = pipeline.sql("SELECT reason, detail FROM rejected");
    assert_eq!(rejected[0]["reason"], "too_many_pixels");
    let detail = "16320 x 12240 = 199756800 pixels, more than dataset.limits.max_pixels = 178956970; a larger value admits \
                  the picture";
    assert_eq!(rejected[0]["detail"], detail);
}
