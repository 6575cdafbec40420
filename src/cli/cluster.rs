//! `cluster`: several machines.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, Subcommand, ValueHint};

use super::common::runtime;
use super::printer::Printer;
use super::{EXIT_CODES, serve, size};
use crate::cli::signal;
use crate::cluster::{self, Address, Executing, Host, Joining, Scheduling, Serving, TOKEN};
use crate::device::{DeviceChoice, DeviceSettings};
use crate::error::{Error, Kind, Result};
use crate::pipeline::on_cluster::Worker;
use crate::stop::Stop;

/// Returns what `cluster --help` says first.
fn long_about() -> String {
    format!(
        "Lets several machines work on one pipeline. A scheduler hands out units of work, executors do them, one for each GPU, and \
         `run`, `embed`, `ablate` or `sql` with --cluster asks for it.\n\n\
         All machines see the store, and the pictures and models that the pipeline file names, under the same paths or at the same \
         addresses. Executors write into the store themselves, so a process that is killed loses only the units it has in hand, which others \
         do, and the same command goes on after anything. Executors listen to a port where others fetch rows of statements of `sql`, and to no other.\n\n\
         Whoever has the token may have executors do work. Where none is given, the first process that needs one for this machine alone \
         makes it, and others of the same user find it; for other machines it is in a file, or in {TOKEN}. docs/cluster.md has a walk through it, and what \
         --metrics counts."
    )
}

const EXAMPLES: &str = "\
Examples:
  microclip-pipe cluster scheduler
      On this machine, at df://127.0.0.1:50050.
  microclip-pipe cluster executor df://127.0.0.1:50050
  microclip-pipe run birds.toml --cluster df://127.0.0.1:50050
  microclip-pipe cluster scheduler --listen 10.0.0.1 --token-file token \\
      --tls-cert server.pem --tls-key server.key
      For other machines.
  CUDA_VISIBLE_DEVICES=3 microclip-pipe cluster executor df+tls://10.0.0.1:50050 \\
      --cluster-token-file token --cluster-ca ca.pem --threads 8
      One of eight on a machine of eight GPUs.";

/// Let several machines work on one pipeline
#[derive(Debug, Args)]
#[command(long_about = long_about(), after_long_help = format!("{EXAMPLES}\n\n{EXIT_CODES}"))]
pub(super) struct Cluster {
    #[command(subcommand)]
    process: Process,
}

#[derive(Debug, Subcommand)]
enum Process {
    /// Hand out units of work
    ///
    /// The first line on standard output is the address, once it is listened to. It keeps nothing
    /// on disk: after a kill it is started again at the same address, executors come back by
    /// themselves, and drivers ask for what is still missing.
    Scheduler(Scheduler),
    /// Do units of work on this machine, until it is stopped
    ///
    /// It waits for a scheduler that is not there yet, or not any more. At Ctrl-C or SIGTERM it
    /// commits what it has made of the units in hand and leaves the rest to others.
    Executor(Executor),
}

#[derive(Debug, Args)]
struct Scheduler {
    /// The address of this machine to listen to; 0.0.0.0 or :: for all
    #[arg(long, value_name = "IP", default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    listen: IpAddr,

    /// The port to listen to; 0 takes a free one
    #[arg(long, value_name = "PORT", default_value_t = 50_050)]
    port: u16,

    /// The file with the token that others must send; or set MICROCLIP_CLUSTER_TOKEN
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    token_file: Option<PathBuf>,

    /// The scheduler's certificate, and those that signed it, as PEM
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, requires = "tls_key")]
    tls_cert: Option<PathBuf>,

    /// The private key of the certificate, as PEM
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, requires = "tls_cert")]
    tls_key: Option<PathBuf>,

    /// Let other machines connect without TLS: the token can be read on the way
    #[arg(long)]
    allow_plaintext: bool,

    /// Where to answer Prometheus: a port of 127.0.0.1, or ADDRESS:PORT; nothing is asked of who
    /// reads it
    #[arg(long, value_name = "PORT", value_parser = serve::place)]
    metrics: Option<SocketAddr>,

    /// Seconds after which the units of a silent executor are given to others
    #[arg(long, value_name = "SECONDS", default_value_t = 15, value_parser = clap::value_parser!(u64).range(10..=86_400))]
    executor_timeout: u64,

    /// Seconds after which the job of a silent driver is cancelled
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(5..=86_400))]
    driver_timeout: u64,
}

#[derive(Debug, Args)]
struct Executor {
    /// The scheduler to ask for units: df://HOST:PORT, or df+tls://HOST:PORT
    #[arg(value_name = "SCHEDULER")]
    scheduler: Address,

    /// Units at a time: one for a GPU; two, where reading pictures takes as long as seeing them
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=256))]
    slots: u64,

    #[command(flatten)]
    credentials: Credentials,

    /// Where to answer Prometheus: a port of 127.0.0.1, or ADDRESS:PORT; nothing is asked of who
    /// reads it
    #[arg(long, value_name = "PORT", value_parser = serve::place)]
    metrics: Option<SocketAddr>,

    /// Seconds that a unit may go without any progress until this process gives up and others do it
    #[arg(long, value_name = "SECONDS", default_value_t = 600, value_parser = clap::value_parser!(u64).range(5..))]
    stalled: u64,

    /// What to compute on: auto, cpu, cuda or cuda:N
    ///
    /// Instead of what the driver's pipeline file says.
    #[arg(long, value_name = "DEVICE", default_value_t = DeviceChoice::Auto)]
    device: DeviceChoice,

    /// Cores to use; 0: all that the machine gives
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u64).range(..=1024))]
    threads: u64,

    /// The address of this machine at which others fetch rows of statements; by default the one by
    /// which it reaches the scheduler
    #[arg(long, value_name = "IP", help_heading = "Statements")]
    listen: Option<IpAddr>,

    /// What others reach that address by, if not by itself
    #[arg(long, value_name = "HOST", help_heading = "Statements")]
    host: Option<Host>,

    /// This executor's certificate, and those that signed it, as PEM, where the scheduler has TLS
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, requires = "tls_key", help_heading = "Statements")]
    tls_cert: Option<PathBuf>,

    /// The private key of the certificate, as PEM
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, requires = "tls_cert", help_heading = "Statements")]
    tls_key: Option<PathBuf>,

    /// Send rows of statements to other machines without TLS
    #[arg(long, help_heading = "Statements")]
    allow_plaintext: bool,

    /// Memory that statements may take together on this executor, e.g. 8GB
    #[arg(long, value_name = "SIZE", value_parser = size::parse, default_value = "4GB", help_heading = "Statements")]
    memory_limit: u64,

    /// Memory to plan with, e.g. 16GB; by default half of what the machine gives
    #[arg(long, value_name = "SIZE", value_parser = size::parse)]
    memory: Option<u64>,
}

/// The cluster that a verb gives its work to.
#[derive(Debug, Clone, Args)]
pub(super) struct ByCluster {
    /// Let the executors of this scheduler do the work that can be shared: df://HOST:PORT
    ///
    /// `microclip-pipe help cluster` says how to start one.
    #[arg(long, value_name = "SCHEDULER", help_heading = "Cluster")]
    cluster: Option<Address>,

    #[command(flatten)]
    credentials: Credentials,
}

/// What a scheduler is shown, and has to show.
#[derive(Debug, Clone, Args)]
struct Credentials {
    /// The file with the cluster's token; or set MICROCLIP_CLUSTER_TOKEN
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = "Cluster")]
    cluster_token_file: Option<PathBuf>,

    /// The certificates that the scheduler's is checked against, as PEM, for df+tls://
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = "Cluster")]
    cluster_ca: Option<PathBuf>,
}

impl Credentials {
    fn joining(&self, scheduler: &Address) -> Joining {
        let (token, authority) = (self.cluster_token_file.clone(), self.cluster_ca.clone());
        Joining::new(scheduler.clone(), token, authority)
    }
}

impl ByCluster {
    /// Returns whether a cluster is named.
    pub(super) fn is_named(&self) -> bool {
        self.cluster.is_some()
    }

    /// Returns how to reach the cluster, if one is named.
    ///
    /// # Errors
    /// Returns [`Kind::Usage`] if none is, and something is to be shown to it, or if this program
    /// was built without clusters.
    pub(super) fn joining(&self) -> Result<Option<Joining>> {
        let Credentials { cluster_token_file, cluster_ca } = &self.credentials;
        match &self.cluster {
            Some(scheduler) => {
                cluster::require_built()?;
                Ok(Some(self.credentials.joining(scheduler)))
            }
            None if cluster_token_file.is_some() || cluster_ca.is_some() => {
                let what = "--cluster-token-file and --cluster-ca are for a cluster, and none is named";
                Err(Error::new(Kind::Usage, what).hint("name its scheduler with --cluster, or leave them out"))
            }
            None => Ok(None),
        }
    }
}

impl Cluster {
    pub(super) fn execute(&self, printer: &Printer) -> Result<()> {
        let (stop, progress) = (Stop::default(), printer.progress());
        match &self.process {
            Process::Scheduler(scheduler) => {
                signal::watch_saying("stopping", stop.clone(), progress)?;
                cluster::schedule(&scheduler.settings(), &stop, *printer)
            }
            Process::Executor(executor) => {
                signal::watch(stop.clone(), progress.clone())?;
                let device = executor.device();
                device.set_limits();
                let runtime = runtime()?;
                let worker = Arc::new(Worker::new(device, stop.clone(), progress, runtime.handle()?));
                let ended = cluster::execute(&executor.settings(), worker.clone(), &stop, *printer);
                if let Err(error) = &ended
                    && cluster::Worker::running(worker.as_ref()) > 0
                {
                    // A unit that hangs is not waited for, and may go on at any moment.
                    printer.error(error);
                    signal::leave(error.kind().exit_code());
                }
                runtime.shutdown_background();
                ended
            }
        }
    }
}

impl Scheduler {
    fn settings(&self) -> Scheduling {
        Scheduling {
            address: self.listen,
            port: self.port,
            token: self.token_file.clone(),
            tls: self.tls_cert.clone().zip(self.tls_key.clone()),
            allow_plaintext: self.allow_plaintext,
            metrics: self.metrics,
            executor_timeout: Duration::from_secs(self.executor_timeout),
            driver_timeout: Duration::from_secs(self.driver_timeout),
        }
    }
}

impl Executor {
    fn device(&self) -> DeviceSettings {
        let memory = self.memory.map_or(0.0, |bytes| bytes as f64 / 1e9);
        DeviceSettings { kind: self.device, threads: usize::try_from(self.threads).unwrap_or(0), memory }
    }

    fn settings(&self) -> Executing {
        Executing {
            joining: self.credentials.joining(&self.scheduler),
            slots: usize::try_from(self.slots).unwrap_or(1),
            metrics: self.metrics,
            stalled: Duration::from_secs(self.stalled),
            serving: Serving {
                listen: self.listen,
                host: self.host.clone(),
                tls: self.tls_cert.clone().zip(self.tls_key.clone()),
                allow_plaintext: self.allow_plaintext,
            },
            memory: self.memory_limit,
        }
    }
}
