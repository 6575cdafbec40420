//! Stores of results on a store of objects: the rows are those of a folder, whatever machine asks,
//! whoever is killed or held up, and whatever the service answers.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::server::{Fault, SECRET, Server};
use super::{ok, said};
use crate::pipeline::Pipeline;
use crate::rows::{assert_same_rows, rows};

/// Where the results lie.
const PLACE: &str = "s3://birds/results/of flowers";
/// The prefix of their keys.
const KEYS: &str = "results/of flowers";

/// A pipeline on pictures of this disk, and a store of objects for its results.
struct Results {
    server: Server,
    pipeline: Pipeline,
}

/// A machine: one that has kept nothing, by a name.
type Machine = &'static str;

impl Results {
    fn new() -> Results {
        Results { server: Server::start(), pipeline: Pipeline::new(9, 2) }
    }

    fn command_on(&self, machine: Machine, verb: &str, rest: &[&str]) -> Command {
        let mut command = self.pipeline.command(verb, rest);
        self.server.environment(&mut command, &self.pipeline.path(machine));
        command.args(["--store", PLACE]).env("MICROCLIP_LEASE_SECONDS", "2");
        command
    }

    #[track_caller]
    fn ok_on(&self, machine: Machine, verb: &str, rest: &[&str]) -> String {
        ok(&self.command_on(machine, verb, rest).output().unwrap())
    }

    fn start_on(&self, machine: Machine, verb: &str, rest: &[&str]) -> Child {
        self.command_on(machine, verb, rest).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// What is on the service, as a store that is a folder.
    fn copied(&self) -> PathBuf {
        let folder = self.pipeline.path("copied");
        for key in self.server.keys(KEYS) {
            let path = folder.join(key.strip_prefix(KEYS).unwrap().trim_start_matches('/'));
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, self.server.object(&key)).unwrap();
        }
        folder
    }

    /// The store that a run leaves which nothing happens to.
    fn alone(&self, verb: &str) -> PathBuf {
        let folder = self.pipeline.path("alone");
        self.pipeline.ok(verb, &["--store", folder.to_str().unwrap()]);
        folder
    }

    /// Waits until the service has so many objects whose keys have a text.
    fn until(&self, text: &str, many: usize) {
        let end = Instant::now() + Duration::from_secs(120);
        while self.server.keys(KEYS).iter().filter(|key| key.contains(text)).count() < many {
            assert!(Instant::now() < end, "there are no {many} of {text}");
            thread::sleep(Duration::from_millis(2));
        }
    }
}

#[track_caller]
pub fn end(child: Child) -> String {
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    said(&output)
}

fn signal(child: &Child, signal: i32) {
    // SAFETY: the process is a child that was not waited for.
    assert_eq!(unsafe { libc::kill(i32::try_from(child.id()).unwrap(), signal) }, 0);
}

/// Whether each picture has one row in a table.
pub fn each_once(store: &Path, table: &str) -> bool {
    let mut ids: Vec<String> =
        rows(store)[table].iter().map(|row| row.split(" | ").nth(1).unwrap().to_owned()).collect();
    let all = ids.len();
    ids.dedup();
    all == ids.len() && all > 0
}

#[test]
fn a_run_leaves_on_objects_what_it_leaves_in_a_folder_and_any_machine_reads_it() {
    let results = Results::new();
    let alone = results.alone("run");
    results.ok_on("one", "run", &[]);
    assert_same_rows(&results.copied(), &alone);
    let leases = results.server.object(&format!("{KEYS}/locks/leases"));
    assert_eq!(String::from_utf8(leases).unwrap(), "{\n  \"leases\": []\n}", "all are given up at the end");
    // Another machine has nothing to compute, and asks for no more than it needs.
    let said = said(&results.command_on("two", "run", &[]).output().unwrap());
    assert!(said.contains("nothing had to be computed"), "{said}");
    for statement in ["SELECT * FROM predictions ORDER BY image_id", "SELECT * FROM changed_labels ORDER BY 1, 2"] {
        let local = results.pipeline.ok("sql", &[statement, "--format", "csv", "--store", alone.to_str().unwrap()]);
        assert_eq!(results.ok_on("three", "sql", &[statement, "--format", "csv"]), local);
    }
    let listed = results.ok_on("three", "cache ls", &[]);
    assert!(listed.contains("embeddings") && listed.contains("checkpoints"), "{listed}");
    let verified = results.command_on("three", "cache verify", &[]).output().unwrap();
    assert!(verified.status.success(), "{}", self::said(&verified));
    let page = results.pipeline.path("page.html");
    results.ok_on("four", "report", &["--output", page.to_str().unwrap()]);
    assert!(fs::read_to_string(page).unwrap().contains("red rose"));
    let runs = results.ok_on("four", "runs", &["--format", "csv"]);
    assert!(runs.contains("small-"), "{runs}");
    let predicted = results.pipeline.path("pictures/test/red_rose").to_str().unwrap().to_owned();
    assert!(results.ok_on("five", "predict", &[&predicted]).contains("red rose"));
    // No key of the service is anywhere.
    for key in results.server.keys("") {
        assert!(!String::from_utf8_lossy(&results.server.object(&key)).contains(SECRET), "{key}");
    }
}

#[test]
fn a_statement_asks_for_its_columns_and_not_for_whole_parts() {
    let results = Results::new();
    results.ok_on("one", "embed", &["--set", "embed.part_rows=64"]);
    let embeddings = format!("{KEYS}/embeddings");
    let all: usize = results.server.keys(&embeddings).iter().map(|key| results.server.object(key).len()).sum();
    results.server.bytes_given("");
    let counted = results.ok_on("two", "sql", &["SELECT count(DISTINCT image_id) FROM embeddings", "--format", "csv"]);
    assert!(counted.ends_with("\n33\n"), "{counted}");
    let given = results.server.bytes_given(&embeddings);
    assert!(given < all / 2, "{given} bytes of {all} were asked for");
}

#[test]
fn shards_on_two_machines_at_once_leave_what_one_process_leaves() {
    let results = Results::new();
    let alone = results.alone("embed");
    let children =
        [("one", "1/2"), ("two", "2/2")].map(|(at, shard)| results.start_on(at, "embed", &["--shard", shard]));
    children.into_iter().for_each(|child| drop(end(child)));
    let copied = results.copied();
    assert_same_rows(&copied, &alone);
    assert!(each_once(&copied, "embeddings"));
}

#[test]
fn the_same_run_on_two_machines_is_done_once() {
    let results = Results::new();
    let alone = results.alone("run");
    let children = ["one", "two"].map(|at| results.start_on(at, "run", &[]));
    let said = children.map(end);
    assert_same_rows(&results.copied(), &alone);
    assert!(said.iter().any(|said| said.contains("waiting for process ")), "{said:?}");
}

#[test]
fn datasets_with_pictures_in_common_are_embedded_once_by_two_machines() {
    let results = Results::new();
    let dataset = "kind = \"folder\"\npath = \"pictures\"";
    results.pipeline.spec("other", dataset);
    fs::rename(results.pipeline.path("pipeline.toml"), results.pipeline.path("other.toml")).unwrap();
    results.pipeline.spec("small", dataset);
    let one = results.start_on("one", "embed", &[]);
    let mut other = Command::new(env!("CARGO_BIN_EXE_microclip-pipe"));
    results.server.environment(&mut other, &results.pipeline.path("two"));
    other.arg("embed").arg(results.pipeline.path("other.toml")).args(["--store", PLACE]);
    let two = other.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    end(one);
    end(two);
    assert!(each_once(&results.copied(), "embeddings"));
}

#[test]
fn a_process_that_is_killed_is_followed_by_another_machine_and_nothing_is_lost_or_twice() {
    let results = Results::new();
    let alone = results.alone("run");
    let mut killed = 0;
    for (n, after) in
        ["images/", "embeddings/", "prior_logits/", "pseudo_labels/", "checkpoints/"].into_iter().enumerate()
    {
        let machine = ["one", "two"][n % 2];
        let mut child = results.start_on(machine, "run", &[]);
        results.until(after, 1 + n % 2);
        killed += usize::from(child.try_wait().unwrap().is_none());
        child.kill().unwrap();
        child.wait().unwrap();
    }
    assert!(killed >= 3, "only {killed} were killed before their end");
    results.ok_on("three", "run", &[]);
    assert_same_rows(&results.copied(), &alone);
}

#[test]
fn a_process_of_the_same_machine_need_not_wait_for_the_lease_of_one_that_was_killed() {
    let results = Results::new();
    let run = || {
        let mut command = results.command_on("one", "run", &[]);
        command.env("MICROCLIP_LEASE_SECONDS", "3600").stdout(Stdio::null()).stderr(Stdio::piped());
        command
    };
    let mut child = run().spawn().unwrap();
    results.until("embeddings/", 1);
    child.kill().unwrap();
    child.wait().unwrap();
    let output = run().output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
}

#[test]
fn a_process_that_was_held_up_writes_nothing_once_another_has_taken_over() {
    let results = Results::new();
    let alone = results.alone("run");
    let mut held = results.start_on("one", "run", &[]);
    results.until("embeddings/", 2);
    signal(&held, libc::SIGSTOP);
    let second = results.ok_on("two", "run", &[]);
    drop(second);
    let before = results.server.keys(KEYS);
    signal(&held, libc::SIGCONT);
    let status = held.wait().unwrap();
    let mut said = String::new();
    held.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert!(!status.success() && said.contains("is not its own any more"), "{said}");
    assert_eq!(results.server.keys(KEYS), before);
    assert_same_rows(&results.copied(), &alone);
}

#[test]
fn answers_that_are_late_lost_or_errors_change_nothing() {
    let results = Results::new();
    let alone = results.alone("run");
    for (request, times, fault) in [
        ("PUT /birds/results/of%20flowers/images", 1, Fault::Lost),
        ("PUT /birds/results/of%20flowers/embeddings", 2, Fault::Lost),
        ("PUT /birds/results/of%20flowers/embeddings", 1, Fault::Status(503, "SlowDown")),
        ("PUT /birds/results/of%20flowers/pseudo_labels", 1, Fault::Lost),
        ("PUT /birds/results/of%20flowers/checkpoints", 1, Fault::Status(500, "InternalError")),
        ("PUT /birds/results/of%20flowers/locks/leases", 2, Fault::Lost),
        ("GET /birds/results/of%20flowers/embeddings", 2, Fault::Cut(100)),
        ("list-type=2", 2, Fault::Status(503, "SlowDown")),
        ("POST", 1, Fault::Status(500, "InternalError")),
    ] {
        results.server.fail(request, times, fault);
    }
    results.ok_on("one", "run", &[]);
    assert_same_rows(&results.copied(), &alone);
}

#[test]
fn a_service_that_ignores_conditions_is_refused_before_anything_is_computed() {
    let results = Results::new();
    results.server.ignore_conditions();
    let output: Output = results.command_on("one", "run", &[]).output().unwrap();
    let said = said(&output);
    assert!(said.contains("overwrites an object that is to be new (If-None-Match is ignored)"), "{said}");
    assert!(said.contains("SeaweedFS") && output.status.code() == Some(1), "{said}");
    assert_eq!(results.server.keys(KEYS), [""; 0]);
}

#[test]
fn leases_that_cannot_be_read_are_no_permission() {
    let results = Results::new();
    results.server.put(&format!("{KEYS}/locks/leases"), *b"of a later version");
    let output: Output = results.command_on("one", "ingest", &[]).output().unwrap();
    let said = said(&output);
    assert!(said.contains("s3://birds/results/of flowers/locks/leases has no leases in it"), "{said}");
    assert_eq!(results.server.keys(KEYS), [format!("{KEYS}/locks/leases")]);
}

#[test]
fn gc_keeps_away_from_a_store_that_another_machine_works_on() {
    let results = Results::new();
    let mut child = results.start_on("one", "run", &[]);
    results.until("embeddings/", 1);
    let output: Output = results.command_on("two", "cache gc", &["--unreferenced"]).output().unwrap();
    let said = said(&output);
    assert!(!output.status.success() && said.contains("works on the store s3://birds/results/of flowers"), "{said}");
    child.kill().unwrap();
    child.wait().unwrap();
    // It is taken to be gone once its time is over.
    let output = results.command_on("two", "cache gc", &["--unreferenced"]).output().unwrap();
    let said = self::said(&output);
    assert!(output.status.success() && said.contains("waiting whether it is renewed"), "{said}");
}

#[test]
fn what_another_machine_removed_or_damaged_is_computed_anew() {
    let results = Results::new();
    let alone = results.alone("embed");
    results.ok_on("one", "embed", &[]);
    let parts = results.server.keys(&format!("{KEYS}/embeddings"));
    results.server.remove(&parts[1]);
    let mut damaged = results.server.object(&parts[2]);
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    results.server.put(&parts[2], damaged.clone());
    // A run reads what embedding does not.
    let output = results.command_on("one", "run", &[]).output().unwrap();
    let said = said(&output);
    assert!(output.status.success() && said.contains("its checksum does not match"), "{said}");
    let aside: Vec<String> = results.server.keys(&format!("{KEYS}/quarantine"));
    assert_eq!(aside.len(), 1, "{aside:?}");
    assert_eq!(results.server.object(&aside[0]), damaged);
    let copied = results.copied();
    assert_eq!(rows(&copied)["embeddings"], rows(&alone)["embeddings"]);
}

#[test]
fn places_where_no_store_can_be_are_refused_with_what_can() {
    let results = Results::new();
    for (place, why) in [
        ("https://host/results", "a server of HTTP only gives"),
        ("s3://key:secret@bucket/results", "which has a user or password in it"),
        ("s3://", "which names no bucket"),
    ] {
        let mut command = results.pipeline.command("run", &["--store", place]);
        let output = results.server.environment(&mut command, &results.pipeline.path("one")).output().unwrap();
        let said = said(&output);
        assert!(said.contains(why) && said.contains("s3://BUCKET/FOLDER") && !said.contains("secret"), "{said}");
        assert_eq!(output.status.code(), Some(2), "{place}: {said}");
    }
}

#[test]
fn a_copy_that_is_damaged_here_is_fetched_again_and_takes_nothing_from_others() {
    let results = Results::new();
    let alone = results.alone("run");
    results.ok_on("one", "run", &[]);
    let before = results.server.keys(KEYS);
    let stores = results.pipeline.path("one/stores/s3/birds");
    let [store] = crate::pipeline::entries(&stores).try_into().unwrap();
    let mut spoilt = 0;
    for table in ["embeddings", "composites", "checkpoints"] {
        for file in crate::pipeline::entries(&store.join(table)).iter().flat_map(|part| crate::pipeline::entries(part))
        {
            let name = file.file_name().unwrap().to_str().unwrap();
            if name.starts_with('.') {
                continue;
            }
            let mut bytes = fs::read(&file).unwrap();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            fs::write(&file, bytes).unwrap();
            spoilt += 1;
        }
    }
    assert!(spoilt > 5, "{spoilt}");
    let output: Output = results.command_on("one", "run", &["--seed", "1"]).output().unwrap();
    assert!(output.status.success() && !said(&output).contains("set aside"), "{}", said(&output));
    let after = results.server.keys(KEYS);
    assert!(before.iter().all(|key| after.contains(key)), "nothing went");
    let copied = results.copied();
    assert_eq!(rows(&copied)["embeddings"], rows(&alone)["embeddings"]);
}

#[test]
fn a_cache_that_was_copied_is_another_machines() {
    let results = Results::new();
    results.ok_on("one", "ingest", &[]);
    crate::pipeline::copy(&results.pipeline.path("one"), &results.pipeline.path("two"));
    let one = results.start_on("one", "run", &[]);
    results.until("embeddings/", 1);
    let two = results.start_on("two", "run", &[]);
    let said = [one, two].map(end);
    assert!(said[1].contains("waiting for process "), "{}", said[1]);
}

#[test]
fn names_are_those_of_the_address() {
    let results = Results::new();
    for (place, prefix) in [("s3://birds/blümchen~", "blümchen~/"), ("s3://birds/100%", "100%/")] {
        let mut command = results.pipeline.command("ingest", &["--store", place]);
        results.server.environment(&mut command, &results.pipeline.path("one"));
        ok(&command.output().unwrap());
        assert!(!results.server.keys(&format!("{prefix}images/")).is_empty(), "{:?}", results.server.keys(""));
    }
}
