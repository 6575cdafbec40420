//! Several machines: a scheduler that hands out units of work, executors that do them, and drivers
//! that ask for it, on [Ballista](https://datafusion.apache.org/ballista/).
//!
//! A job is one physical node of DataFusion (`node`) over a table of units, a row each, which the
//! scheduler slices into tasks and executors pull when they are free. What a unit is, only its
//! [`Worker`] knows. Nothing that a unit makes goes through the cluster: workers write parts into
//! the store themselves, and the store's listing is the only truth, so that a unit that is done
//! twice, or whose answer is lost, does no harm. A job is therefore never recovered: its driver
//! asks for what is still missing.
//!
//! Statements of SQL are computed as well (`statements`): the driver plans them, the scheduler cuts
//! the plan into pieces (`travelling` says which ones may be run), and rows between two pieces, and
//! at the end, are fetched from the executors that have them (`flight`).
//!
//! - `scheduler` answers executors and drivers (`service`); it keeps nothing on disk.
//! - `executor` asks for units, and has a new name each time it is started.
//! - `driver` submits jobs and waits for them.
//! - `codec` is how the node travels, `failure` how a worker's error does, `token` who may connect.

mod address;
#[cfg(feature = "cluster")]
mod codec;
#[cfg(feature = "cluster")]
mod driver;
#[cfg(feature = "cluster")]
mod endable;
#[cfg(feature = "cluster")]
mod engine;
#[cfg(feature = "cluster")]
mod executor;
#[cfg(feature = "cluster")]
mod failure;
#[cfg(feature = "cluster")]
mod flight;
#[cfg(feature = "cluster")]
mod joining;
#[cfg(feature = "cluster")]
mod node;
#[cfg(feature = "cluster")]
mod scheduler;
#[cfg(feature = "cluster")]
mod service;
#[cfg(feature = "cluster")]
mod statements;
#[cfg(test)]
#[cfg(feature = "cluster")]
mod tests;
#[cfg(feature = "cluster")]
mod token;
#[cfg(feature = "cluster")]
mod travelling;
#[cfg(not(feature = "cluster"))]
mod unbuilt;
#[cfg(feature = "cluster")]
mod watched;

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use arrow::array::RecordBatch;
use async_trait::async_trait;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::prelude::SessionConfig;

pub use address::{Address, Host};
#[cfg(feature = "cluster")]
pub use driver::Driver;
#[cfg(feature = "cluster")]
pub use executor::execute;
#[cfg(feature = "cluster")]
pub use scheduler::schedule;
#[cfg(not(feature = "cluster"))]
pub use unbuilt::{Driver, execute, require_built, schedule};

use crate::error::Result;

/// The variable that the cluster's token may be given in.
pub const TOKEN: &str = "MICROCLIP_CLUSTER_TOKEN";

/// Makes sure that this program was built with clusters.
///
/// # Errors
/// None, since it was.
#[cfg(feature = "cluster")]
pub fn require_built() -> Result<()> {
    Ok(())
}

/// How to schedule.
#[derive(Debug, Clone)]
pub struct Scheduling {
    /// The address to listen at.
    pub address: IpAddr,
    /// The port to listen at; 0 takes a free one.
    pub port: u16,
    /// The file that has the token in it.
    pub token: Option<PathBuf>,
    /// The files of a certificate and its private key, as PEM.
    pub tls: Option<(PathBuf, PathBuf)>,
    /// Whether other machines may connect without TLS.
    pub allow_plaintext: bool,
    /// Where Prometheus is answered, if it is.
    pub metrics: Option<SocketAddr>,
    /// How long an executor may be silent until its units are given to others.
    pub executor_timeout: Duration,
    /// How long a driver may be silent until its jobs are cancelled.
    pub driver_timeout: Duration,
}

/// How to reach a scheduler.
#[derive(Debug, Clone)]
pub struct Joining {
    /// Where it listens.
    pub scheduler: Address,
    /// The file that has the token in it.
    pub token: Option<PathBuf>,
    /// The file of the certificates, as PEM, that its own is checked against.
    pub authority: Option<PathBuf>,
    /// Whether it has admitted this process before, by this or a copy of it.
    #[cfg_attr(not(feature = "cluster"), expect(dead_code, reason = "nobody is admitted"))]
    was_met: Arc<AtomicBool>,
}

impl Joining {
    /// Makes what connects to a scheduler, with the files of a token and of certificates.
    pub fn new(scheduler: Address, token: Option<PathBuf>, authority: Option<PathBuf>) -> Joining {
        Joining { scheduler, token, authority, was_met: Arc::default() }
    }
}

/// How to do units.
#[derive(Debug, Clone)]
pub struct Executing {
    /// The scheduler to ask for them.
    pub joining: Joining,
    /// Units at a time.
    pub slots: usize,
    /// Where Prometheus is answered, if it is.
    pub metrics: Option<SocketAddr>,
    /// How long a unit may go without a sign of progress until the process gives up.
    pub stalled: Duration,
    /// How others fetch the rows of statements from it.
    pub serving: Serving,
    /// Bytes of memory that statements may take together.
    pub memory: u64,
}

/// How an executor lets others fetch the rows of statements.
#[derive(Debug, Clone, Default)]
pub struct Serving {
    /// The address to listen at; by default the one by which the scheduler is reached.
    pub listen: Option<IpAddr>,
    /// What others reach it by; by default that address.
    pub host: Option<Host>,
    /// The files of a certificate and its private key, as PEM, if the scheduler has TLS.
    pub tls: Option<(PathBuf, PathBuf)>,
    /// Whether rows may be sent to other machines without TLS.
    pub allow_plaintext: bool,
}

/// A statement that is computed.
#[derive(Clone)]
pub struct Statement<'a> {
    /// Its plan, of a session with these settings.
    pub plan: Arc<dyn ExecutionPlan>,
    /// The settings of the session that planned it.
    pub settings: &'a SessionConfig,
    /// The store that it reads: an address, or a folder that all executors have.
    pub store: &'a str,
}

/// Does units of work. Units of one job, and of several, may be asked for at the same time.
#[async_trait]
pub trait Worker: Send + Sync + 'static {
    /// Does a unit, and returns what came of it, in a few words. `order` is what all units of the
    /// job have in common.
    ///
    /// # Errors
    /// An error that may pass, such as of a network or of a GPU's memory, makes others try the unit
    /// as well, three times; any other one ends the job.
    async fn work(&self, order: &str, unit: &str) -> Result<String>;

    /// Returns how much was done so far, in any unit; it grows as long as there is progress.
    fn progress(&self) -> u64;

    /// Returns how many units are being done, whether or not anyone still waits for them.
    fn running(&self) -> usize;

    /// Returns what the worker counts; counts of one name stand together.
    fn counted(&self) -> Vec<Count>;
}

/// Something that is counted, for monitors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Count {
    /// Its name, without prefix.
    pub name: &'static str,
    /// What it counts, as a sentence.
    pub about: &'static str,
    /// The name of a label and its value.
    pub label: Option<(&'static str, String)>,
    /// Whether it only grows.
    pub grows: bool,
    /// How many there were, or are.
    pub value: u64,
}

impl Count {
    /// Makes a count of what there was so far, which only grows.
    pub fn total(name: &'static str, about: &'static str, value: u64) -> Count {
        Count { name, about, label: None, grows: true, value }
    }

    /// Makes a count of what there is at present.
    pub fn now(name: &'static str, about: &'static str, value: u64) -> Count {
        Count { name, about, label: None, grows: false, value }
    }

    /// Adds a label.
    #[must_use]
    pub fn of(self, label: &'static str, value: impl Into<String>) -> Count {
        Count { label: Some((label, value.into())), ..self }
    }
}

/// What is asked for.
#[derive(Debug, Clone, Copy)]
pub struct Job<'a> {
    /// What the job is called; a running one of that name is cancelled, since its driver is gone.
    pub name: &'a str,
    /// What all units have in common.
    pub order: &'a str,
    /// The units.
    pub units: &'a [String],
}

/// How a job ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// All units were done.
    Done,
    /// The scheduler knows nothing of it any more: it was started anew. Some units were done.
    Forgotten,
}

/// Receives the rows of a statement; returns whether there should be more.
pub type Give<'a> = &'a mut (dyn FnMut(&RecordBatch) -> Result<bool> + Send);

/// Receives how a job goes on.
pub trait Watch: Send + Sync {
    /// Says how many units are left, and how many of them executors do.
    fn units(&self, left: usize, running: usize);

    /// Says something that is worth knowing.
    fn say(&self, text: &str);
}
