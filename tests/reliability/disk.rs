//! Full disks, read-only folders, missing permissions, vanished pictures: a clear error, nothing
//! harmed, and going on works.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::hub_server::Server;
use crate::pipeline::{Pipeline, entries};

/// A file system in memory, gone when this is dropped.
struct Tmpfs(PathBuf);

impl Tmpfs {
    /// None where this process may not mount.
    fn mount(folder: PathBuf, kilobytes: u64) -> Option<Self> {
        fs::create_dir(&folder).unwrap();
        let mut command = Command::new("mount");
        let tmpfs = Tmpfs(folder);
        let mounted =
            command.args(["-t", "tmpfs", "-o", &format!("size={kilobytes}k"), "tmpfs"]).arg(&tmpfs.0).output();
        if mounted.is_ok_and(|output| output.status.success()) {
            return Some(tmpfs);
        }
        eprintln!("skipped: this process may not mount a file system");
        None
    }

    fn remount(&self, options: &str) {
        let mounted = Command::new("mount").args(["-o", &format!("remount,{options}")]).arg(&self.0).status();
        assert!(mounted.unwrap().success());
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).output();
    }
}

#[track_caller]
fn failed(output: &Output, expected: &str) -> String {
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains(expected) && !said.contains("internal error"), "{said}");
    said
}

/// Both stores hold the same in the end.
fn assert_same(pipeline: &Pipeline, store: &str) {
    crate::rows::assert_same_rows(&pipeline.path(store), &pipeline.path("whole"));
    assert!(pipeline.weights(store) == pipeline.weights("whole"));
}

#[test]
fn a_full_disk_is_named_and_space_is_all_it_takes_to_go_on() {
    let pipeline = Pipeline::new(4, 1);
    let Some(disk) = Tmpfs::mount(pipeline.path("disk"), 40) else { return };
    let at = |name: &str| ["--store".to_owned(), pipeline.path(name).to_str().unwrap().to_owned()];
    let run = |store: &[String; 2]| pipeline.output("run", &[&store[0], &store[1]]);
    assert!(run(&at("whole")).status.success());
    let (store, mut full) = (at("disk/store"), 0);
    for kilobytes in (40..).step_by(130) {
        disk.remount(&format!("size={kilobytes}k"));
        let output = run(&store);
        if output.status.success() {
            break;
        }
        full += 1;
        failed(&output, "No space left on device");
        if pipeline.path("disk/store").exists() {
            pipeline.ok("cache verify", &[&store[0], &store[1]]);
        }
    }
    assert!(full > 4, "it was full in several stages: {full}");
    assert_same(&pipeline, "disk/store");
}

#[test]
fn a_full_disk_keeps_what_has_come_of_a_model_and_space_is_all_it_takes_to_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let Some(disk) = Tmpfs::mount(folder.path().join("home"), 1_000) else { return };
    let server = Server::start();
    server.model("tiny/clip", &Path::new(env!("CARGO_MANIFEST_DIR")).join("data/clip-flora"));
    let pull = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_microclip-pipe"));
        server.environment(command.args(["model", "pull", "tiny/clip"]), &disk.0).output().unwrap()
    };
    let said = failed(&pull(), "No space left on device");
    assert!(said.contains("make room") && said.contains("HF_HUB_CACHE names another folder"), "{said}");
    server.asked();
    disk.remount("size=6000k");
    let pulled = pull();
    assert!(pulled.status.success(), "{}", String::from_utf8_lossy(&pulled.stderr));
    let resumed = server.asked().iter().filter(|asked| asked.headers.contains_key("range")).count();
    assert!(resumed >= 1, "it went on where it was");
}

#[test]
fn a_file_that_may_not_grow_is_named_and_nothing_is_harmed() {
    let pipeline = Pipeline::new(4, 1);
    let whole = pipeline.path("whole");
    pipeline.ok("run", &["--store", whole.to_str().unwrap()]);
    let mut full = 0;
    // In blocks of 512 bytes; a signal would end the program before it could say why.
    for blocks in [2, 8, 24, 64, 400, 1 << 20] {
        let program = pipeline.command("run", &[]);
        let limited = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" \"$@\"");
        let mut command = Command::new("sh");
        let output =
            command.args(["-c", &limited]).arg(program.get_program()).args(program.get_args()).output().unwrap();
        if output.status.success() {
            break;
        }
        full += 1;
        failed(&output, "File too large");
        pipeline.ok("cache verify", &[]);
    }
    assert!(full > 2, "it was stopped in several stages: {full}");
    assert_same(&pipeline, "store");
}

#[test]
fn a_store_that_may_only_be_read_can_be_read() {
    let pipeline = Pipeline::new(2, 1);
    let Some(disk) = Tmpfs::mount(pipeline.path("disk"), 50_000) else { return };
    let store = pipeline.path("disk/store");
    let arguments = ["--set", "adapt.tune=none", "--store", store.to_str().unwrap()];
    pipeline.ok("run", &arguments);
    disk.remount("ro");
    let said = failed(&pipeline.output("run", &arguments), "cannot write to the store");
    assert!(said.contains("hint: name a folder that you may write to with --store DIR"), "{said}");
    assert_eq!(pipeline.sql_in("SELECT count(*) AS n FROM images", &arguments[2..]), [serde_json::json!({"n": 9})]);
    pipeline.ok("cache verify", &arguments[2..]);
    pipeline.ok("cache ls", &arguments[2..]);
    let plan = pipeline.output("run", &[&arguments[..], &["--dry-run"]].concat());
    let said = String::from_utf8_lossy(&plan.stderr).into_owned();
    assert!(plan.status.success() && said.contains("a run would be refused: cannot write to the store"), "{said}");
    disk.remount("rw");
    pipeline.ok("run", &arguments);
}

/// The program without the superuser's right to pass over permissions. None where that cannot be
/// had.
fn as_anybody(pipeline: &Pipeline, verb: &str, rest: &[&str]) -> Option<Output> {
    let program = pipeline.command(verb, rest);
    let mut command = Command::new("setpriv");
    let rights = "-dac_override,-dac_read_search";
    command.args(["--bounding-set", rights, "--inh-caps", rights]).arg(program.get_program()).args(program.get_args());
    command.env("NO_COLOR", "1");
    let superuser = fs::metadata("/proc/self").is_ok_and(|me| std::os::unix::fs::MetadataExt::uid(&me) == 0);
    let output = if superuser { command.output().ok() } else { Some(pipeline.output(verb, rest)) };
    let output = output.filter(|output| !String::from_utf8_lossy(&output.stderr).starts_with("setpriv:"));
    if output.is_none() {
        eprintln!("skipped: this process cannot give up its rights");
    }
    output
}

fn allow(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

#[test]
fn what_may_not_be_read_or_written_is_named() {
    let pipeline = Pipeline::new(2, 1);
    let none = ["--set", "adapt.tune=none", "--set", "dataset.tolerance=0.5"];
    let picture = pipeline.path("pictures/train/red_rose/0000.png");
    allow(&picture, 0);
    let Some(output) = as_anybody(&pipeline, "run", &none) else {
        return;
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let rejected = pipeline.sql("SELECT reason, detail FROM rejected");
    assert_eq!(rejected[0]["reason"], "unreadable");
    assert!(rejected[0]["detail"].as_str().unwrap().contains("Permission denied"));

    // A part that may not be read is no damaged part. Another seed is another run, which reads it.
    let other = [&none[..], &["--seed", "1"]].concat();
    let part = entries(&entries(&pipeline.path("store/embeddings"))[0]).remove(0);
    allow(&part, 0);
    let said = failed(&as_anybody(&pipeline, "run", &other).unwrap(), "Permission denied");
    assert!(said.contains(part.to_str().unwrap()), "{said}");
    assert!(part.exists());
    allow(&part, 0o644);

    let store = pipeline.path("store");
    allow(&store, 0o555);
    failed(&as_anybody(&pipeline, "run", &none).unwrap(), "cannot write to the store");
    allow(&store, 0o755);
    allow(&picture, 0o644);
    pipeline.ok("run", &none);
}

#[test]
fn pictures_that_vanish_are_missed_only_where_they_are_needed() {
    let pipeline = Pipeline::new(2, 1);
    let none = ["--set", "adapt.tune=none"];
    pipeline.ok("run", &none);
    fs::remove_file(pipeline.path("pictures/train/red_rose/0001.png")).unwrap();
    pipeline.ok("run", &none);
    assert_eq!(pipeline.sql("SELECT count(*) AS n FROM images"), [serde_json::json!({"n": 8})]);

    fs::rename(pipeline.path("pictures"), pipeline.path("elsewhere")).unwrap();
    let output = pipeline.output("run", &none);
    assert_eq!(output.status.code(), Some(2), "the pipeline file names what is not there");
    assert!(String::from_utf8_lossy(&output.stderr).contains("names pictures, which does not exist"));
    fs::rename(pipeline.path("elsewhere"), pipeline.path("pictures")).unwrap();
    let again = pipeline.output("run", &none);
    assert!(String::from_utf8_lossy(&again.stderr).contains("no forward pass"), "nothing was lost");
}
