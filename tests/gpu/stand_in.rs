//! The stand-in for CUDA: compiled once, opened by the real binary, and read afterwards.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use microclip_pipe::device;

use crate::pipeline::{Pipeline, entries};

/// The name by which the program looks for CUDA.
const LIBRARY: &str = "libtorch_cuda.so";

/// Returns the folder with the stand-in. It is compiled if no earlier run of the tests has compiled
/// this source against this libtorch.
pub fn folder() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(compiled)
}

fn compiled() -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/gpu/stand_in");
    let source = folder.join("stand_in.cpp");
    let libtorch = device::libtorch().unwrap().parent().unwrap().to_path_buf();
    let mut made_of = std::fs::read(libtorch.join("build-version")).unwrap_or_default();
    made_of.extend(libtorch.as_os_str().as_encoded_bytes());
    entries(&folder).iter().for_each(|file| made_of.extend(std::fs::read(file).unwrap()));
    let parent = Path::new(env!("CARGO_TARGET_TMPDIR")).join("stand-in");
    let folder = parent.join(&blake3::hash(&made_of).to_hex()[..16]);
    if folder.join(LIBRARY).is_file() {
        return folder;
    }
    // It is complete before it has its name: another test process may look for it at this moment.
    std::fs::create_dir_all(&parent).unwrap();
    let unfinished = tempfile::tempdir_in(&parent).unwrap();
    let compiler = std::env::var_os("CXX").unwrap_or_else(|| "c++".into());
    // Whatever it needs of libtorch, the program that opens it has already loaded.
    let said = Command::new(&compiler)
        .args(["-std=c++17", "-O1", "-fPIC", "-shared", "-I"])
        .arg(libtorch.join("include"))
        .arg(&source)
        .arg("-o")
        .arg(unfinished.path().join(LIBRARY))
        .output()
        .unwrap_or_else(|e| panic!("{} compiles the stand-in for CUDA, and torch-sys: {e}", compiler.display()));
    assert!(said.status.success(), "{}: {}", source.display(), String::from_utf8_lossy(&said.stderr));
    // Another process that was faster has made the same.
    let _ = std::fs::rename(unfinished.path(), &folder);
    assert!(folder.join(LIBRARY).is_file(), "no {LIBRARY} in {}", folder.display());
    folder
}

/// Runs a verb on the stand-in, whose counts go into a file of that name.
pub fn output(pipeline: &Pipeline, counts: &str, verb: &str, rest: &[&str]) -> Output {
    let mut command = pipeline.command(verb, rest);
    command
        .env("MICROCLIP_CUDA_LIBS", folder())
        .env("MICROCLIP_STAND_IN_COUNTS", pipeline.path(counts))
        .env("MICROCLIP_STAND_IN_DEVICES", "2")
        // The backward pass runs on a thread of the device, which would take all cores.
        .env("OMP_NUM_THREADS", "1");
    command.output().unwrap()
}

/// Runs a verb that must succeed on the stand-in; gives its stdout and what it counted.
#[track_caller]
pub fn ok(pipeline: &Pipeline, verb: &str, rest: &[&str]) -> (String, Counts) {
    let output = output(pipeline, "counts", verb, rest);
    assert!(output.status.success(), "{verb} {rest:?}: {}", String::from_utf8_lossy(&output.stderr));
    (String::from_utf8(output.stdout).unwrap(), Counts::read(&pipeline.path("counts")))
}

/// How often something was asked of the devices. `stand_in/stand_in.cpp` says what it counts.
#[derive(Debug)]
pub struct Counts {
    /// By kind (`launch`, `sync`, `copy`) and name, of all devices.
    counts: BTreeMap<(String, String), u64>,
    devices: BTreeSet<String>,
}

impl Counts {
    fn read(path: &Path) -> Self {
        let mut read = Counts { counts: BTreeMap::new(), devices: BTreeSet::new() };
        for line in std::fs::read_to_string(path).unwrap().lines() {
            let [kind, name, device, count, _bytes] = line.split_whitespace().collect::<Vec<_>>()[..] else {
                panic!("{}: {line}", path.display())
            };
            read.devices.insert(device.to_owned());
            *read.counts.entry((kind.to_owned(), name.to_owned())).or_default() += count.parse::<u64>().unwrap();
        }
        read
    }

    /// Returns the names of the devices that were asked.
    pub fn devices(&self) -> impl Iterator<Item = &str> {
        self.devices.iter().map(String::as_str)
    }

    /// Returns the names of a kind, with their counts.
    pub fn of(&self, kind: &str) -> Vec<(&str, u64)> {
        let of_kind = self.counts.iter().filter(|((of, _), _)| of == kind);
        of_kind.map(|((_, name), &count)| (name.as_str(), count)).collect()
    }

    /// Returns the sum of a kind.
    pub fn sum(&self, kind: &str) -> u64 {
        self.of(kind).iter().map(|(_, count)| count).sum()
    }

    /// Returns what `more` counted beyond this, for each of `steps`: both ran the same, but for
    /// that many steps. What is no multiple of them is rounded up.
    pub fn of_a_step(&self, more: &Counts, steps: u64) -> Counts {
        let before = |what| self.counts.get(what).copied().unwrap_or(0);
        let beyond = more.counts.iter().map(|(what, &count)| (what.clone(), count.saturating_sub(before(what))));
        let of_one = beyond.map(|(what, count)| (what, count.div_ceil(steps))).filter(|(_, count)| *count > 0);
        Counts { counts: of_one.collect(), devices: more.devices.clone() }
    }
}

impl std::fmt::Display for Counts {
    /// Writes a line a count, the largest of each kind first.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut lines: Vec<_> = self.counts.iter().collect();
        lines.sort_by_key(|((kind, _), count)| (kind, std::cmp::Reverse(**count)));
        lines.into_iter().try_for_each(|((kind, name), count)| writeln!(f, "{count:>6} {kind} {name}"))
    }
}
