//! How much memory large tables and SQL may take.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

/// What [`limit`] is where the machine does not say how much it has.
const UNKNOWN: u64 = 8_000_000_000;

/// The limit that was set, in bytes; 0 where none was.
static LIMIT: AtomicU64 = AtomicU64::new(0);

/// Sets how many bytes large tables and SQL may take together from now on; 0 means half of what the
/// machine gives.
pub fn set_limit(bytes: u64) {
    LIMIT.store(bytes, Ordering::Relaxed);
}

/// Returns how many bytes large tables and SQL may take together. Models, batches and what is known
/// of each picture (its id, path and label) come on top.
pub fn limit() -> u64 {
    match LIMIT.load(Ordering::Relaxed) {
        0 => given() / 2,
        bytes => bytes,
    }
}

/// What a statement needs at least: to sort anything, DataFusion sets 10 MB aside for each core.
const LEAST: u64 = 256_000_000;

/// Returns how many bytes a statement may take: half of the [`limit`], but not less than any needs.
pub fn of_a_statement() -> u64 {
    (limit() / 2).max(LEAST)
}

/// Returns how many bytes a table of numbers may take; a larger one lies in a file. A run has a
/// dozen such tables at once, so that a share of 1/32 leaves room for statements.
pub fn of_a_table() -> u64 {
    limit() / 32
}

/// Returns how many bytes those columns of a table may take that are worked on in memory at a time,
/// step after step. There are two such tables at once.
pub fn of_columns() -> u64 {
    limit() / 8
}

/// Returns how many bytes the machine gives this process: all that it has, but at most its control
/// group's limit (versions 1 and 2).
fn given() -> u64 {
    let machine = fs::read_to_string("/proc/meminfo").ok().and_then(|text| total(&text)).unwrap_or(UNKNOWN);
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    limits_of(&groups, Path::new("/sys/fs/cgroup")).fold(machine, u64::min)
}

/// Returns the machine's memory in bytes from the text of `/proc/meminfo`.
fn total(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kilobytes| kilobytes * 1024)
}

/// Returns the limits of the control groups that `/proc/self/cgroup` names, and of those above
/// them. A group without a limit says `max`, or a number larger than any machine's memory.
fn limits_of(groups: &str, root: &Path) -> impl Iterator<Item = u64> {
    let root = root.to_owned();
    let group = |line: &str| {
        let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
        match controllers {
            "" => Some((path.to_owned(), "", "memory.max")),
            _ => controllers
                .split(',')
                .any(|c| c == "memory")
                .then(|| (path.to_owned(), "memory", "memory.limit_in_bytes")),
        }
    };
    let groups: Vec<_> = groups.lines().filter_map(group).collect();
    groups.into_iter().flat_map(move |(path, below, file)| {
        let base = root.join(below);
        let folders: Vec<_> = Path::new(path.trim_start_matches('/')).ancestors().map(|path| base.join(path)).collect();
        folders.into_iter().filter_map(move |folder| fs::read_to_string(folder.join(file)).ok()?.trim().parse().ok())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machines_memory_is_read() {
        assert_eq!(total("MemTotal:       24552480 kB\nMemFree: 1 kB\n"), Some(24_552_480 * 1024));
        assert_eq!(total("MemFree: 1 kB\n"), None);
        assert!(given() > 100_000_000, "{}", given());
    }

    #[test]
    fn the_limits_of_a_control_group_and_those_above_it_hold() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("job/step")).unwrap();
        fs::write(root.path().join("job/memory.max"), "4000\n").unwrap();
        fs::write(root.path().join("job/step/memory.max"), "max\n").unwrap();
        let found: Vec<u64> = limits_of("0::/job/step\n", root.path()).collect();
        assert_eq!(found, [4000]);
        fs::create_dir_all(root.path().join("memory/old")).unwrap();
        fs::write(root.path().join("memory/old/memory.limit_in_bytes"), "5000\n").unwrap();
        let found: Vec<u64> = limits_of("4:cpu,memory:/old\n3:pids:/old\n", root.path()).collect();
        assert_eq!(found, [5000]);
    }
}
