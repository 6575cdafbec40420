//! Several processes on this machine: a scheduler, executors, and whoever asks them.

mod statements;

use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use microclip_pipe::cluster::{Address, Driver, Joining};

const TOKEN: &str = "canary-0123456789abcdef";

/// A scheduler and executors, which end with this.
struct Cluster {
    folder: tempfile::TempDir,
    scheduler: Child,
    address: Address,
    executors: Vec<Child>,
}

fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_microclip-pipe"));
    command.env_remove("RUST_BACKTRACE").env_remove("MICROCLIP_CLUSTER_TOKEN").env("NO_COLOR", "1");
    command.stdin(Stdio::null());
    command
}

impl Cluster {
    fn start(executors: usize) -> Cluster {
        let folder = tempfile::tempdir().unwrap();
        let token = folder.path().join("token");
        std::fs::write(&token, TOKEN).unwrap();
        std::fs::set_permissions(&token, std::fs::Permissions::from_mode(0o600)).unwrap();
        let mut command = program();
        command.args(["cluster", "scheduler", "--port", "0", "--executor-timeout", "10", "--token-file"]).arg(&token);
        let mut scheduler = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let Some(Ok(line)) = BufReader::new(scheduler.stdout.take().unwrap()).lines().next() else {
            let mut said = String::new();
            scheduler.stderr.take().unwrap().read_to_string(&mut said).unwrap();
            panic!("it does not start: {said}");
        };
        let mut cluster = Cluster { folder, scheduler, address: line.parse().unwrap(), executors: Vec::new() };
        for _ in 0..executors {
            cluster.join(&[]);
        }
        cluster
    }

    fn token(&self) -> PathBuf {
        self.folder.path().join("token")
    }

    /// Starts another executor, and returns once it takes work.
    fn join(&mut self, arguments: &[&str]) {
        let log = self.folder.path().join(format!("executor-{}", self.executors.len()));
        let mut command = program();
        command.args(["cluster", "executor", &self.address.to_string(), "--slots", "2", "--cluster-token-file"]);
        command.arg(self.token()).args(arguments).stdout(Stdio::null());
        let child = command.stderr(std::fs::File::create(&log).unwrap()).spawn().unwrap();
        self.executors.push(child);
        let until = Instant::now() + Duration::from_secs(20);
        while !std::fs::read_to_string(&log).unwrap().contains("at a time from") {
            assert!(Instant::now() < until, "{}", std::fs::read_to_string(&log).unwrap());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn joining(&self) -> Joining {
        Joining { scheduler: self.address.clone(), token: Some(self.token()), authority: None }
    }

    async fn driver(&self) -> Driver {
        Driver::connect(&self.joining(), |_| {}).await.unwrap()
    }

    /// What executors have said.
    fn said(&self) -> String {
        let logs = (0..self.executors.len()).map(|n| self.folder.path().join(format!("executor-{n}")));
        logs.map(|log| std::fs::read_to_string(log).unwrap()).collect()
    }

    /// Ends an executor as a power cut would.
    fn kill(&mut self, executor: usize) {
        self.executors[executor].kill().unwrap();
        self.executors[executor].wait().unwrap();
    }

    /// The ports of this machine that an executor listens at.
    fn ports(&self, executor: usize) -> Vec<u16> {
        let id = self.executors[executor].id();
        let inodes: Vec<String> = std::fs::read_dir(format!("/proc/{id}/fd"))
            .unwrap()
            .filter_map(|fd| std::fs::read_link(fd.unwrap().path()).ok()?.to_str().map(str::to_owned))
            .filter_map(|link| Some(link.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned()))
            .collect();
        let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
        let rows = table.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>());
        // 0A is a socket that listens.
        let listening = rows.filter(|row| row[3] == "0A" && inodes.iter().any(|inode| inode == row[9]));
        listening.map(|row| u16::from_str_radix(row[1].split(':').nth(1).unwrap(), 16).unwrap()).collect()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for child in self.executors.iter_mut().chain([&mut self.scheduler]) {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
