//! What the fuzzers begin with, and what they once found, through the same functions: none panics,
//! and none takes long.
//!
//! `cargo test --release --test corpora -- --ignored` makes the seeds anew.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, dead_code)]

#[path = "../hostile/corpus.rs"]
mod hostile;
mod seeds;
#[path = "../../fuzz/src/target.rs"]
mod target;
#[path = "../common/tars.rs"]
mod tars;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// For one input, on a busy machine; the fuzzers allow ten.
const LONG: Duration = Duration::from_secs(10);

/// The corpus is part of the repository.
const LARGEST: u64 = 1 << 20;

fn corpus(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(name)
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

#[test]
fn no_input_of_a_corpus_panics_or_hangs() {
    let (mut inputs, mut bytes) = (0, 0);
    for (name, run) in target::ALL {
        let files = files(&corpus(name));
        assert!(files.len() >= 3, "{name} has {} inputs", files.len());
        for file in files {
            let input = fs::read(&file).unwrap();
            (inputs, bytes) = (inputs + 1, bytes + input.len() as u64);
            let began = Instant::now();
            let done = std::panic::catch_unwind(|| run(&input));
            assert!(done.is_ok(), "{} panics", file.display());
            assert!(began.elapsed() < LONG, "{} takes {:?}", file.display(), began.elapsed());
        }
    }
    assert!(bytes < LARGEST, "{bytes} bytes of corpora");
    eprintln!("{inputs} inputs, {} kB", bytes >> 10);
}

#[test]
fn every_target_has_a_corpus_and_a_program() {
    let manifest = fs::read_to_string(corpus("").join("../Cargo.toml")).unwrap();
    let names: Vec<&str> = target::ALL.map(|(name, _)| name).to_vec();
    let found: Vec<String> =
        files(&corpus("")).iter().map(|path| path.file_name().unwrap().to_str().unwrap().to_owned()).collect();
    assert_eq!(found, names);
    for name in names {
        assert!(manifest.contains(&format!("path = \"fuzz_targets/{name}.rs\"")), "{name}");
        assert!(corpus("").join(format!("../fuzz_targets/{name}.rs")).is_file(), "{name}");
    }
}

/// The versions of every crate that a lock file names.
fn locked(path: PathBuf) -> BTreeMap<String, BTreeSet<String>> {
    let file: toml::Table = fs::read_to_string(path).unwrap().parse().unwrap();
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for package in file["package"].as_array().unwrap() {
        let text = |key: &str| package[key].as_str().unwrap().to_owned();
        found.entry(text("name")).or_default().insert(text("version"));
    }
    found
}

#[test]
fn fuzzers_are_built_with_the_programs_crates() {
    let programs = locked(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.lock"));
    for (name, versions) in locked(corpus("").join("../Cargo.lock")) {
        let Some(known) = programs.get(&name) else { continue };
        assert!(versions.is_subset(known), "{name}: {versions:?} in fuzz/Cargo.lock, {known:?} in Cargo.lock");
    }
}

#[test]
#[ignore = "writes into fuzz/corpus"]
fn seeds_are_made_anew() {
    for (target, name, bytes) in seeds::all() {
        fs::create_dir_all(corpus(target)).unwrap();
        fs::write(corpus(target).join(name), bytes).unwrap();
    }
}
