//! Several machines: a scheduler, executors and drivers, by the real binary on loopback.

mod ablation;
mod access;
mod addresses;
mod killed;
mod monitors;
mod processes;
mod refused;
mod results;
mod sql;
mod stopping;
mod waiting;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use self::processes::{Ended, Process, free_port};
use crate::objects::server::Server;
use crate::pipeline::{Pipeline, entries};
use crate::rows::rows;

/// The token of clusters that are given one.
const TOKEN: &str = "canary-0123456789abcdef";

/// Units of few pictures, so that much can happen between the first and the last.
const SMALL: [&str; 4] = ["--set", "embed.part_rows=4", "--set", "embed.batch=4"];

/// A pipeline, and the machines of a cluster that work on it.
struct Cluster {
    pipeline: Pipeline,
    /// Where the scheduler listens.
    port: u16,
    /// Where the results lie if they do not lie in a folder: each machine keeps what it fetches.
    objects: Option<Server>,
}

/// The store of objects, and the prefix of its keys.
const PLACE: &str = "s3://birds/results";
const KEYS: &str = "results";

impl Cluster {
    /// On a store in a folder, with so many pictures of each of three classes.
    fn new(train: u32, test: u32) -> Cluster {
        Cluster { pipeline: Pipeline::new(train, test), port: free_port(), objects: None }
    }

    /// On a store of objects.
    fn on_objects(train: u32, test: u32) -> Cluster {
        Cluster { objects: Some(Server::start()), ..Cluster::new(train, test) }
    }

    fn address(&self) -> String {
        format!("df://127.0.0.1:{}", self.port)
    }

    /// A command as a machine has it that is called so.
    fn on(&self, machine: &str, mut command: Command) -> Command {
        command.env_remove("MICROCLIP_CLUSTER_TOKEN").env("NO_COLOR", "1").stdin(Stdio::null());
        match &self.objects {
            None => drop(command.env("MICROCLIP_CACHE", self.pipeline.path("cache"))),
            Some(server) => {
                server.environment(&mut command, &self.pipeline.path(machine));
                command.env("MICROCLIP_CLUSTER_TOKEN", TOKEN).env("MICROCLIP_LEASE_SECONDS", "2");
            }
        }
        command
    }

    /// `cluster` and these arguments.
    fn command(&self, machine: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_microclip-pipe"));
        command.arg("cluster").args(arguments);
        self.on(machine, command)
    }

    /// A scheduler that listens.
    #[track_caller]
    fn scheduler(&self, rest: &[&str]) -> Process {
        let port = self.port.to_string();
        let arguments = [&["scheduler", "--port", &port, "--metrics", "0", "--executor-timeout", "10"], rest].concat();
        let mut scheduler = Process::start(&mut self.command("scheduler", &arguments));
        assert_eq!(scheduler.address(), self.address());
        scheduler
    }

    fn start_executor(&self, machine: &str, rest: &[&str]) -> Process {
        let address = self.address();
        let arguments = ["executor", &address, "--metrics", "0", "--device", "cpu", "--threads", "1"];
        let mut executor = Process::start(&mut self.command(machine, &[&arguments, rest].concat()));
        executor.address();
        executor
    }

    /// An executor that takes units.
    #[track_caller]
    fn executor(&self, machine: &str) -> Process {
        let mut executor = self.start_executor(machine, &[]);
        executor.until_it_says("at a time from");
        executor
    }

    /// A verb on the cluster.
    fn driver_command(&self, verb: &str, rest: &[&str]) -> Command {
        let mut command = self.on("driver", self.pipeline.command(verb, rest));
        command.args(["--cluster", &self.address()]);
        if self.objects.is_some() {
            command.args(["--store", PLACE]);
        }
        command
    }

    fn driver(&self, verb: &str, rest: &[&str]) -> Process {
        Process::start(&mut self.driver_command(verb, rest))
    }

    fn drive(&self, verb: &str, rest: &[&str]) -> Ended {
        self.driver(verb, rest).end()
    }

    /// The store that one process leaves without a cluster.
    fn alone(&self, verb: &str, rest: &[&str]) -> PathBuf {
        let folder = self.pipeline.path("alone");
        self.pipeline.ok(verb, &[rest, &["--store", folder.to_str().unwrap()]].concat());
        folder
    }

    /// The cluster's store as a folder.
    fn store(&self) -> PathBuf {
        let Some(server) = &self.objects else { return self.pipeline.path("store") };
        let folder = self.pipeline.path("copied");
        for key in server.keys(KEYS) {
            let path = folder.join(key.strip_prefix(KEYS).unwrap().trim_start_matches('/'));
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, server.object(&key)).unwrap();
        }
        folder
    }

    /// How many parts a table has.
    fn parts(&self, table: &str) -> usize {
        match &self.objects {
            None => {
                let partitions = entries(&self.pipeline.path("store").join(table));
                let is_part = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "parquet");
                partitions.iter().flat_map(|partition| entries(partition)).filter(is_part).count()
            }
            Some(server) => {
                let keys = server.keys(&format!("{KEYS}/{table}"));
                keys.iter().filter(|key| key.ends_with(".parquet")).count()
            }
        }
    }

    /// Waits until a table has so many parts.
    #[track_caller]
    fn until_parts(&self, table: &str, many: usize) {
        let until = Instant::now() + Duration::from_secs(120);
        while self.parts(table) < many {
            assert!(Instant::now() < until, "{table} has {} parts", self.parts(table));
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Stops an executor where it is, with a unit in hand, once a part is committed, while the
    /// scheduler counts no other executor's.
    #[track_caller]
    fn freeze_with_a_unit(&self, scheduler: &Process, executor: &Process) {
        self.until_parts("composites", 1);
        loop {
            executor.freeze();
            let counted = scheduler.counted();
            assert!(counted["jobs"] == 1, "it is too late: {counted:?}");
            if counted["units_running"] > 0 {
                return;
            }
            executor.signal(libc::SIGCONT);
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// How often executors have read a picture.
fn seen(executors: &[&Process]) -> u64 {
    let is_of_pictures = |name: &str| ["embed", "views"].iter().any(|stage| name.contains(&format!("\"{stage}\"")));
    let of_one = |executor: &&Process| {
        let counted = executor.counted();
        counted.iter().filter(|(name, _)| is_of_pictures(name)).map(|(_, count)| count).sum::<u64>()
    };
    executors.iter().map(of_one).sum()
}

/// Whether each picture has one row in these tables.
#[track_caller]
fn assert_each_once(store: &Path) {
    for table in ["embeddings", "composites"] {
        let mut ids: Vec<String> =
            rows(store)[table].iter().map(|row| row.split(" | ").nth(1).unwrap().to_owned()).collect();
        let all = ids.len();
        ids.dedup();
        assert!(all == ids.len() && all > 0, "{table} has {all} rows of {} pictures", ids.len());
    }
}
