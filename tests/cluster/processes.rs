//! Processes of the program on this machine, what they say, and what a monitor reads of them.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long anything may take that a test waits for.
const LONGEST: Duration = Duration::from_secs(120);

/// A process, which ends with this.
pub struct Process {
    child: Child,
    printed: Lines,
    said: Lines,
}

/// Lines that a process writes, as they come.
struct Lines {
    text: Arc<Mutex<String>>,
    reading: Option<JoinHandle<()>>,
}

/// How a process ended.
#[derive(Debug)]
pub struct Ended {
    pub code: Option<i32>,
    pub printed: String,
    pub said: String,
}

impl Ended {
    /// What it said, if it did what it was to do.
    #[track_caller]
    pub fn well(self) -> String {
        assert_eq!(self.code, Some(0), "{}", self.said);
        self.said
    }
}

impl Lines {
    fn of(from: impl Read + Send + 'static) -> Lines {
        let text = Arc::new(Mutex::new(String::new()));
        let kept = text.clone();
        let reading = std::thread::spawn(move || {
            for line in BufReader::new(from).lines().map_while(Result::ok) {
                let mut kept = kept.lock().unwrap();
                kept.push_str(&line);
                kept.push('\n');
            }
        });
        Lines { text, reading: Some(reading) }
    }

    fn now(&self) -> String {
        self.text.lock().unwrap().clone()
    }

    fn all(&mut self) -> String {
        self.reading.take().map(JoinHandle::join).transpose().unwrap();
        self.now()
    }
}

impl Process {
    pub fn start(command: &mut Command) -> Process {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (printed, said) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        Process { child, printed: Lines::of(printed), said: Lines::of(said) }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn said(&self) -> String {
        self.said.now()
    }

    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Waits until it has said something.
    #[track_caller]
    pub fn until_it_says(&mut self, text: &str) {
        let until = Instant::now() + LONGEST;
        while !self.said().contains(text) {
            assert!(self.is_running() && Instant::now() < until, "it does not say '{text}': {}", self.said());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// The address that it prints first, once it listens there.
    #[track_caller]
    pub fn address(&mut self) -> String {
        let until = Instant::now() + LONGEST;
        loop {
            if let Some((first, _)) = self.printed.now().split_once('\n') {
                return first.to_owned();
            }
            assert!(self.is_running() && Instant::now() < until, "it does not listen: {}", self.said());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    pub fn signal(&self, signal: i32) {
        // SAFETY: the process is a child that was not waited for.
        assert_eq!(unsafe { libc::kill(i32::try_from(self.child.id()).unwrap(), signal) }, 0);
    }

    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits until it ends by itself.
    #[track_caller]
    pub fn end(mut self) -> Ended {
        let until = Instant::now() + LONGEST;
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(Instant::now() < until, "it does not end: {}", self.said());
            std::thread::sleep(Duration::from_millis(10));
        };
        Ended { code: status.code(), printed: self.printed.all(), said: self.said.all() }
    }

    /// Asks it to stop, and waits until it has.
    #[track_caller]
    pub fn stop(self) -> Ended {
        self.signal(libc::SIGTERM);
        self.end()
    }

    /// Stops it where it is, as a machine does that sleeps; not while it has the turn to name a
    /// part, which would hold up whoever shares its disk.
    pub fn freeze(&self) {
        loop {
            self.signal(libc::SIGSTOP);
            let locks = std::fs::read_to_string("/proc/locks").unwrap();
            let pid = self.child.id().to_string();
            let has_turn = locks.lines().any(|line| {
                let words: Vec<&str> = line.split_whitespace().collect();
                words.contains(&pid.as_str()) && words.contains(&"WRITE")
            });
            if !has_turn {
                return;
            }
            self.signal(libc::SIGCONT);
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// What a monitor reads at a path: the head, and the text.
    #[track_caller]
    pub fn monitored(&self, path: &str) -> (String, String) {
        let printed = self.printed.now();
        let monitor = printed.lines().find_map(|line| line.strip_prefix("http://")).expect("it has --metrics");
        let place = monitor.split('/').next().unwrap();
        let mut stream = TcpStream::connect(place).unwrap();
        stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: {place}\r\n\r\n").as_bytes()).unwrap();
        let mut said = String::new();
        stream.read_to_string(&mut said).unwrap();
        let (head, body) = said.split_once("\r\n\r\n").unwrap();
        (head.to_owned(), body.to_owned())
    }

    /// The numbers that it counts, by their names with labels, less what all of them begin with.
    #[track_caller]
    pub fn counted(&self) -> BTreeMap<String, u64> {
        let (_, text) = self.monitored("/metrics");
        let lines = text.lines().filter(|line| !line.starts_with('#')).map(|line| line.rsplit_once(' ').unwrap());
        lines
            .map(|(name, n)| (name.strip_prefix("microclip_cluster_").unwrap().to_owned(), n.parse().unwrap()))
            .collect()
    }

    /// Waits until something that it counts is so.
    #[track_caller]
    pub fn until_it_counts(&self, is_so: impl Fn(&BTreeMap<String, u64>) -> bool) -> BTreeMap<String, u64> {
        let until = Instant::now() + LONGEST;
        loop {
            let counted = self.counted();
            if is_so(&counted) {
                return counted;
            }
            assert!(Instant::now() < until, "it does not come to it: {counted:#?}\n{}", self.said());
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A port of this machine that nobody listens to.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
