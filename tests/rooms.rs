//! The order of rooms that `src/lib.rs` draws is the order that the code keeps: a room uses only
//! those below it.

use std::path::{Path, PathBuf};

/// The rooms of the map, from top to bottom.
fn rooms() -> Vec<String> {
    let map = std::fs::read_to_string(source().join("lib.rs")).unwrap();
    let map = map.lines().skip_while(|line| !line.contains("```text")).skip(1);
    let lines = map.take_while(|line| !line.contains("```")).filter_map(|line| line.strip_prefix("//! "));
    lines.filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect()
}

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

fn files(path: &Path) -> Vec<PathBuf> {
    if !path.is_dir() {
        return path.exists().then(|| path.to_owned()).into_iter().collect();
    }
    let entries = std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|entry| files(&entry)).filter(|file| file.extension().is_some_and(|e| e == "rs")).collect()
}

#[test]
fn no_room_uses_one_above_it() {
    let rooms = rooms();
    for (floor, room) in rooms.iter().enumerate() {
        let inside = [files(&source().join(room)), files(&source().join(format!("{room}.rs")))].concat();
        assert!(!inside.is_empty(), "the map has a room {room} that there is not");
        for file in inside {
            let code = std::fs::read_to_string(&file).unwrap();
            for (number, line) in code.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//")) {
                for used in line.split("crate::").skip(1) {
                    let used: String = used.chars().take_while(|c| c.is_lowercase() || *c == '_').collect();
                    let below = rooms.iter().position(|other| *other == used).is_none_or(|other| other >= floor);
                    assert!(below, "{}:{}: {room} uses {used}, which is above it", file.display(), number + 1);
                }
            }
        }
    }
}

#[test]
fn every_room_is_on_the_map() {
    let rooms = rooms();
    for entry in std::fs::read_dir(source()).unwrap() {
        let name = entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned();
        assert!(rooms.contains(&name) || ["lib", "main"].contains(&name.as_str()), "the map has no room {name}");
    }
}
