//! Jobs in one process: a scheduler, executors on threads, and workers that sleep or fail.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use arrow::array::AsArray;
use async_trait::async_trait;
use ballista_core::BALLISTA_PROTOCOL_VERSION;
use ballista_core::execution_plans::ChaosExec;
use ballista_core::serde::protobuf::{ExecutorRegistration, PollWorkParams};
use ballista_core::serde::scheduler::{ExecutorOperatingSystemSpecification, ExecutorSpecification};
use datafusion::physical_plan::{ExecutionPlan, collect};
use datafusion::prelude::SessionContext;
use tempfile::TempDir;

use super::node::{Hands, UnitsExec, table};
use super::scheduler::session;
use super::{Count, Driver, Ended, Executing, Job, Joining, Scheduling, Serving, Watch, Worker, execute, schedule};
use crate::error::{Error, Kind, Result};
use crate::net::Told;
use crate::stop::Stop;

/// A worker that sleeps, and fails as its units say.
#[derive(Default)]
struct Sleeper {
    sleep: Duration,
    /// How often each unit was begun, and how often it was done.
    begun: Mutex<BTreeMap<String, usize>>,
    done: Mutex<BTreeMap<String, usize>>,
    running: AtomicUsize,
}

impl Sleeper {
    fn new(millis: u64) -> Arc<Self> {
        Arc::new(Sleeper { sleep: Duration::from_millis(millis), ..Sleeper::default() })
    }

    fn done(&self) -> usize {
        self.done.lock().unwrap().values().sum()
    }

    fn begun(&self, unit: &str) -> usize {
        self.begun.lock().unwrap().get(unit).copied().unwrap_or(0)
    }
}

fn failed(kind: Kind) -> Error {
    Error::new(kind, "no \"luck\";\nnot today").hint("wait for tomorrow")
}

#[async_trait]
impl Worker for Sleeper {
    async fn work(&self, order: &str, unit: &str) -> Result<String> {
        self.running.fetch_add(1, Ordering::SeqCst);
        let before = {
            let mut begun = self.begun.lock().unwrap();
            let times = begun.entry(unit.to_owned()).or_default();
            *times += 1;
            *times - 1
        };
        tokio::time::sleep(self.sleep).await;
        self.running.fetch_sub(1, Ordering::SeqCst);
        match unit.split(' ').next() {
            Some("at-first") if before == 0 => return Err(failed(Kind::Network)),
            Some("never") => return Err(failed(Kind::Torch)),
            Some("wrong") => return Err(failed(Kind::Input)),
            _ => *self.done.lock().unwrap().entry(unit.to_owned()).or_default() += 1,
        }
        Ok(format!("{order}: {unit}"))
    }

    fn progress(&self) -> u64 {
        0
    }

    fn running(&self) -> usize {
        self.running.load(Ordering::SeqCst)
    }

    fn counted(&self) -> Vec<Count> {
        Vec::new()
    }
}

/// What a test hears of a process.
struct Heard(Mutex<Sender<String>>);

impl Told for Heard {
    fn listens(&self, addresses: &[String]) -> Result<()> {
        addresses.iter().for_each(|address| drop(self.0.lock().unwrap().send(address.clone())));
        Ok(())
    }

    fn note(&self, _: &str) {}
}

/// A watch that keeps what it was told.
#[derive(Default)]
struct Watched {
    said: Mutex<Vec<String>>,
}

impl Watch for Watched {
    fn units(&self, _: usize, _: usize) {}

    fn say(&self, text: &str) {
        self.said.lock().unwrap().push(text.to_owned());
    }
}

/// A scheduler with its executors, which end with this.
struct Cluster {
    joining: Joining,
    stop: Stop,
    threads: Vec<JoinHandle<()>>,
    _folder: TempDir,
}

impl Cluster {
    fn start() -> Cluster {
        let folder = tempfile::tempdir().unwrap();
        let token = folder.path().join("token");
        std::fs::write(&token, "0123456789abcdef").unwrap();
        let settings = Scheduling {
            address: IpAddr::V4(Ipv4Addr::LOCALHOST),
            port: 0,
            token: Some(token.clone()),
            tls: None,
            allow_plaintext: false,
            metrics: None,
            executor_timeout: Duration::from_secs(10),
            driver_timeout: Duration::from_secs(5),
        };
        let (sender, heard) = channel();
        let stop = Stop::default();
        let stopped = stop.clone();
        let told = Heard(Mutex::new(sender));
        let thread = std::thread::spawn(move || {
            let ended = schedule(&settings, &stopped, told);
            assert_eq!(ended.unwrap_err().kind(), Kind::Interrupted);
        });
        let scheduler = heard.recv_timeout(Duration::from_secs(20)).unwrap().parse().unwrap();
        let joining = Joining::new(scheduler, Some(token), None);
        Cluster { joining, stop, threads: vec![thread], _folder: folder }
    }

    fn executor(&mut self, slots: usize, worker: Arc<dyn Worker>) {
        let settings = Executing {
            joining: self.joining.clone(),
            slots,
            metrics: None,
            stalled: Duration::from_secs(600),
            serving: Serving::default(),
            memory: 1 << 30,
        };
        let stop = self.stop.clone();
        self.threads.push(std::thread::spawn(move || {
            let ended = execute(&settings, worker, &stop, Heard(Mutex::new(channel().0)));
            assert_eq!(ended.unwrap_err().kind(), Kind::Interrupted);
        }));
    }

    async fn run(&self, units: &[String]) -> Result<Ended> {
        let job = Job { name: "a job", order: "sleep", units };
        Driver::connect(&self.joining, |_| {}).await?.run(job, &Stop::default(), &Watched::default()).await
    }

    /// Runs a plan that is not of units alone.
    async fn run_plan(&self, plan: Arc<dyn ExecutionPlan>) -> Result<Ended> {
        let (watched, stop) = (Watched::default(), Stop::default());
        let mut driver = Driver::connect(&self.joining, |_| {}).await?;
        driver.run_plan("a plan", plan, &stop, &watched).await
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.stop.request();
        for thread in self.threads.drain(..) {
            let ended = thread.join();
            assert!(ended.is_ok() || std::thread::panicking());
        }
    }
}

fn units(kind: &str, count: usize) -> Vec<String> {
    (0..count).map(|n| format!("{kind} {n}")).collect()
}

fn chaos(fault: &str, probability: f64) -> Arc<dyn ExecutionPlan> {
    let input = table(&units("nap", 4)).unwrap();
    let faulty = Arc::new(ChaosExec::new(input, probability, fault, Some(1)).unwrap());
    Arc::new(UnitsExec::new("sleep".into(), faulty))
}

#[tokio::test]
async fn the_node_is_the_same_on_one_machine() {
    let worker = Sleeper::new(0);
    let hands = Hands::new(worker.clone(), "here".to_owned(), Arc::new(Heard(Mutex::new(channel().0))));
    let context = SessionContext::new_with_config(session().with_extension(hands));
    let made = collect(UnitsExec::of("sleep", &units("nap", 5)).unwrap(), context.task_ctx()).await.unwrap();
    let mut rows: Vec<String> = made
        .iter()
        .flat_map(|batch| batch.column(1).as_string::<i32>().iter().flatten().map(str::to_owned).collect::<Vec<_>>())
        .collect();
    rows.sort();
    assert_eq!(rows, ["sleep: nap 0", "sleep: nap 1", "sleep: nap 2", "sleep: nap 3", "sleep: nap 4"]);
    assert_eq!(worker.done(), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_pass_is_tried_again_and_every_unit_is_done_once() {
    let (mut cluster, one, other) = (Cluster::start(), Sleeper::new(5), Sleeper::new(5));
    cluster.executor(1, one.clone());
    cluster.executor(2, other.clone());
    let all: Vec<String> = units("nap", 20).into_iter().chain(units("at-first", 6)).collect();
    assert_eq!(cluster.run(&all).await.unwrap(), Ended::Done);
    assert_eq!(one.done() + other.done(), 26);
    for unit in &all {
        let begun = one.begun(unit) + other.begun(unit);
        // Each worker fails such a unit the first time that it sees it.
        let most = if unit.starts_with("at-first") { 3 } else { 1 };
        assert!((1..=most).contains(&begun), "{unit}: {begun}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_unit_that_nobody_can_do_ends_the_job_with_its_own_error() {
    let (mut cluster, worker) = (Cluster::start(), Sleeper::new(0));
    cluster.executor(1, worker.clone());
    let error = cluster.run(&units("wrong", 1)).await.unwrap_err();
    assert_eq!((error.kind(), error.own_hint()), (Kind::Input, Some("wait for tomorrow")));
    assert!(error.to_string().starts_with("no \"luck\";\nnot today (on executor "), "{error}");
    assert_eq!(worker.begun("wrong 0"), 1, "it is not tried again");
    let error = cluster.run(&units("never", 1)).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Torch);
    assert_eq!(worker.begun("never 0"), 4, "it is tried three times more");
    // Its executor is none the worse.
    assert_eq!(cluster.run(&units("nap", 3)).await.unwrap(), Ended::Done);
}

#[tokio::test(flavor = "multi_thread")]
async fn chaos_below_a_unit_ends_in_an_error_and_never_in_less_than_all() {
    let (mut cluster, worker) = (Cluster::start(), Sleeper::new(0));
    cluster.executor(1, worker.clone());
    for (fault, words) in [("transient", "TRANSIENT"), ("fatal", "FATAL"), ("panic", "PANIC")] {
        let error = cluster.run_plan(chaos(fault, 1.0)).await.unwrap_err();
        assert!(error.to_string().contains(words), "{error}");
        assert_eq!(worker.done(), 0);
    }
    assert_eq!(cluster.run_plan(chaos("delay:20", 1.0)).await.unwrap(), Ended::Done);
    assert_eq!(worker.done(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_is_only_slow_keeps_its_unit_and_gets_fewer() {
    let (mut cluster, slow, fast) = (Cluster::start(), Sleeper::new(1_500), Sleeper::new(20));
    cluster.executor(1, slow.clone());
    cluster.executor(1, fast.clone());
    let all = units("nap", 20);
    assert_eq!(cluster.run(&all).await.unwrap(), Ended::Done);
    assert_eq!(slow.done() + fast.done(), 20);
    assert!(fast.done() > slow.done(), "{} and {}", slow.done(), fast.done());
}

#[tokio::test(flavor = "multi_thread")]
async fn work_of_more_units_than_a_job_has_is_several_jobs() {
    let (mut cluster, worker) = (Cluster::start(), Sleeper::new(0));
    cluster.executor(4, worker.clone());
    let all = units("nap", 7);
    let mut driver = Driver::connect(&cluster.joining, |_| {}).await.unwrap();
    driver.most = 3;
    let job = Job { name: "a job", order: "sleep", units: &all };
    assert_eq!(driver.run(job, &Stop::default(), &Watched::default()).await.unwrap(), Ended::Done);
    assert_eq!(worker.done(), 7);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_unit_is_begun_once_the_driver_stops_or_is_gone() {
    for is_asked in [true, false] {
        let (mut cluster, worker) = (Cluster::start(), Sleeper::new(200));
        cluster.executor(1, worker.clone());
        let (all, stop) = (units("nap", 500), Stop::default());
        let (joining, stopped) = (cluster.joining.clone(), stop.clone());
        let driver = tokio::spawn(async move {
            let job = Job { name: "a job", order: "sleep", units: &all };
            Driver::connect(&joining, |_| {}).await?.run(job, &stopped, &Watched::default()).await
        });
        while worker.done() < 2 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        if is_asked {
            stop.request();
            assert_eq!(driver.await.unwrap().unwrap_err().kind(), Kind::Interrupted);
        } else {
            driver.abort();
            // The scheduler waits for five seconds to hear of it.
            tokio::time::sleep(Duration::from_secs(7)).await;
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
        let done = worker.done();
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(worker.done(), done);
        assert_eq!(cluster.run(&units("other", 1)).await.unwrap(), Ended::Done);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_unit_is_not_lost_with_the_answer_that_gave_it() {
    let (mut cluster, worker) = (Cluster::start(), Sleeper::new(10));
    // An executor that never gets the answers to what it asks.
    let mut deaf = cluster.joining.client(|_| {}).unwrap();
    let about = ExecutorRegistration {
        id: "deaf".to_owned(),
        host: Some("here".to_owned()),
        specification: Some(ExecutorSpecification::default().with_vcores(0).into()),
        os_info: Some(ExecutorOperatingSystemSpecification::default().into()),
        ballista_protocol_version: BALLISTA_PROTOCOL_VERSION,
        ..ExecutorRegistration::default()
    };
    let asks = PollWorkParams { metadata: Some(about), num_free_vcores: 1, task_status: Vec::new() };
    let joining = cluster.joining.clone();
    let driver = tokio::spawn(async move {
        let (all, stop) = (units("nap", 6), Stop::default());
        let job = Job { name: "a job", order: "sleep", units: &all };
        Driver::connect(&joining, |_| {}).await?.run(job, &stop, &Watched::default()).await
    });
    while deaf.poll_work(asks.clone()).await.unwrap().into_inner().tasks.is_empty() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    cluster.executor(1, worker.clone());
    let began = Instant::now();
    while !driver.is_finished() && began.elapsed() < Duration::from_secs(30) {
        // It is heard of, does nothing, and asks for no more.
        let _ = deaf.poll_work(PollWorkParams { num_free_vcores: 0, ..asks.clone() }).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(driver.await.unwrap().unwrap(), Ended::Done);
    assert_eq!(worker.done(), 6);
}

/// Whatever else runs on this machine, a sleep takes no core, so the time of a job is that of the
/// sleeps, and of what the cluster adds.
#[tokio::test(flavor = "multi_thread")]
async fn two_executors_do_almost_twice_as_much_as_one() {
    let mut ratio = 0.0;
    // A machine that is busy elsewhere may add to either.
    for _ in 0..3 {
        let mut seconds = Vec::new();
        for executors in [1, 2] {
            let (mut cluster, worker) = (Cluster::start(), Sleeper::new(500));
            (0..executors).for_each(|_| cluster.executor(1, worker.clone()));
            // All are there before the clock begins.
            cluster.run(&units("warm", 4)).await.unwrap();
            let began = Instant::now();
            cluster.run(&units("nap", 12)).await.unwrap();
            seconds.push(began.elapsed().as_secs_f64());
        }
        ratio = seconds[0] / seconds[1];
        println!("one executor {:.2} s, two {:.2} s: {ratio:.2} times", seconds[0], seconds[1]);
        if ratio >= 1.9 {
            return;
        }
    }
    panic!("two executors do {ratio:.2} times as much as one");
}
