//! Statements that executors compute.

mod statements;
mod verb;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use microclip_pipe::cluster::{Driver, Joining};

use super::processes::Process;
use super::{Cluster, TOKEN};

/// A scheduler with executors that take two pieces of a statement at a time.
struct Answering {
    cluster: Cluster,
    executors: Vec<Process>,
    _scheduler: Process,
}

impl Answering {
    fn start(executors: usize) -> Answering {
        let cluster = Cluster::new(1, 1);
        let token = cluster.pipeline.path("token");
        fs::write(&token, TOKEN).unwrap();
        fs::set_permissions(&token, fs::Permissions::from_mode(0o600)).unwrap();
        let scheduler = cluster.scheduler(&["--token-file", token.to_str().unwrap()]);
        let mut answering = Answering { cluster, executors: Vec::new(), _scheduler: scheduler };
        for _ in 0..executors {
            answering.join();
        }
        answering
    }

    fn address(&self) -> String {
        self.cluster.address()
    }

    fn token(&self) -> PathBuf {
        self.cluster.pipeline.path("token")
    }

    /// Starts another executor, and returns once it takes work.
    #[track_caller]
    fn join(&mut self) {
        let (address, token) = (self.address(), self.token());
        let named = ["executor", &address, "--slots", "2", "--cluster-token-file", token.to_str().unwrap()];
        let mut executor = Process::start(&mut self.cluster.command("executor", &named));
        executor.until_it_says("at a time from");
        self.executors.push(executor);
    }

    async fn driver(&self) -> Driver {
        let scheduler = self.address().parse().unwrap();
        let joining = Joining::new(scheduler, Some(self.token()), None);
        Driver::connect(&joining, |_| {}).await.unwrap()
    }

    /// What executors have said.
    fn said(&self) -> String {
        self.executors.iter().map(Process::said).collect()
    }

    /// The ports of this machine that an executor listens at.
    fn ports(&self, executor: usize) -> Vec<u16> {
        let id = self.executors[executor].id();
        let inodes: Vec<String> = fs::read_dir(format!("/proc/{id}/fd"))
            .unwrap()
            .filter_map(|fd| fs::read_link(fd.unwrap().path()).ok()?.to_str().map(str::to_owned))
            .filter_map(|link| Some(link.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned()))
            .collect();
        let table = fs::read_to_string("/proc/net/tcp").unwrap();
        let rows = table.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>());
        // 0A is a socket that listens.
        let listening = rows.filter(|row| row[3] == "0A" && inodes.iter().any(|inode| inode == row[9]));
        listening.map(|row| u16::from_str_radix(row[1].split(':').nth(1).unwrap(), 16).unwrap()).collect()
    }
}
