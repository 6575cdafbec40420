//! What every verb takes: the pipeline file, and what overrides it.

use std::path::{Path, PathBuf};

use clap::{Args, ValueHint};

use crate::config::Spec;
use crate::cores;
use crate::device::DeviceChoice;
use crate::error::{Context, Error, Kind, Result};
use crate::objects::{Address, STORES};

/// The pipeline file, and what overrides it.
#[derive(Debug, Args)]
pub(super) struct Common {
    /// The pipeline file (TOML)
    #[arg(value_name = "PIPELINE", value_hint = ValueHint::FilePath)]
    pub(super) pipeline: PathBuf,

    #[command(flatten)]
    overrides: Overrides,
}

/// How much of the machine to use.
#[derive(Debug, Args)]
pub(super) struct Cores {
    /// Cores to use, for decoding, hashing, SQL and computing; 0: all that the machine gives
    ///
    /// What the machine gives follows a container's or job's quota (cgroups) and `taskset`. Results
    /// are the same to the bit whatever the number.
    #[arg(
        long,
        value_name = "N",
        allow_negative_numbers = true,
        value_parser = clap::value_parser!(u64).range(..=1024),
        help_heading = "Overrides"
    )]
    threads: Option<u64>,
}

impl Cores {
    /// Returns the number that was asked for, if any.
    pub(super) fn asked(&self) -> Option<usize> {
        self.threads.and_then(|threads| usize::try_from(threads).ok())
    }
}

/// What overrides a pipeline file.
#[derive(Debug, Args)]
pub(super) struct Overrides {
    /// Keep tables and checkpoints in this folder
    ///
    /// Instead of what `store` in the pipeline file says. A relative path starts at the current
    /// folder.
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath, help_heading = "Overrides")]
    store: Option<PathBuf>,

    /// Seed of initialisation, batch order and augmentation
    ///
    /// Each seed is a run of its own. All of them share the cached embeddings and views.
    #[arg(
        long,
        value_name = "N",
        allow_negative_numbers = true,
        value_parser = clap::value_parser!(u64).range(..=i64::MAX as u64),
        help_heading = "Overrides"
    )]
    seed: Option<u64>,

    /// Override a key of the pipeline file, e.g. adapt.epochs=3; repeatable
    ///
    /// The value is read as TOML, or else as bare text: `--set views.scale=[0.4,0.8]`,
    /// `--set adapt.tune=head`. Relative paths start at the pipeline file. The last one of a key
    /// wins.
    #[arg(long = "set", value_name = "KEY=VALUE", help_heading = "Overrides")]
    set: Vec<String>,

    /// What to compute on: auto, cpu, cuda or cuda:N
    ///
    /// `auto` takes the first CUDA GPU where there is one; `cuda` fails where there is none;
    /// `cuda:1` is the second.
    #[arg(long, value_name = "DEVICE", help_heading = "Overrides")]
    device: Option<DeviceChoice>,

    #[command(flatten)]
    cores: Cores,
}

impl Common {
    /// Loads the pipeline file with all overrides in place.
    pub(super) fn load(&self) -> Result<Spec> {
        self.overrides.load(&self.pipeline)
    }

    /// Like [`load`](Self::load), for a verb that needs no sentences about the classes.
    pub(super) fn load_without_sentences(&self) -> Result<Spec> {
        self.overrides.load_without_sentences(&self.pipeline)
    }
}

impl Overrides {
    /// Loads a pipeline file with all overrides in place, and limits the cores as it says.
    pub(super) fn load(&self, pipeline: &Path) -> Result<Spec> {
        self.loaded(|overrides| crate::config::load(pipeline, overrides))
    }

    /// Like [`load`](Self::load), for a verb that needs no sentences about the classes.
    pub(super) fn load_without_sentences(&self, pipeline: &Path) -> Result<Spec> {
        self.loaded(|overrides| crate::config::load_without_sentences(pipeline, overrides))
    }

    fn loaded(&self, load: impl FnOnce(&[String]) -> Result<Spec>) -> Result<Spec> {
        let mut overrides = self.set.clone();
        if let Some(store) = &self.store {
            let store = store_folder(store)?;
            let text = store.to_str().ok_or_else(|| {
                Error::new(Kind::Usage, format!("--store {}: the path is not UTF-8", store.display()))
                    .hint("give the folder another name")
            })?;
            overrides.push(format!("store={text}"));
        }
        overrides.extend(self.seed.map(|seed| format!("seed={seed}")));
        overrides.extend(self.device.map(|kind| format!("device.kind={kind}")));
        overrides.extend(self.cores.asked().map(|threads| format!("device.threads={threads}")));
        let spec = load(&overrides)?;
        spec.device.set_limits();
        Ok(spec)
    }
}

/// Returns the folder that `--store` names, as an absolute path, or the address; it need not exist
/// yet.
pub(super) fn store_folder(store: &Path) -> Result<PathBuf> {
    if let Some(address) = store.to_str().and_then(Address::of_store) {
        return match address {
            Ok(address) => Ok(PathBuf::from(address.to_string())),
            Err(why) => Err(Error::new(Kind::Usage, format!("--store is an address, {why}")).hint(STORES)),
        };
    }
    if store.exists() && !store.is_dir() {
        return Err(Error::new(Kind::Usage, format!("--store {}: not a folder", store.display()))
            .hint("name a folder; it is made where there is none"));
    }
    std::path::absolute(store).at(Kind::Usage, "--store: cannot find", store)
}

/// The runtime that verbs run on; `None` only once it was shut down.
pub(super) struct Runtime(Option<tokio::runtime::Runtime>);

impl Runtime {
    /// Runs a verb to its end.
    ///
    /// # Errors
    /// Returns the verb's error.
    pub(super) fn block_on<T>(&self, verb: impl Future<Output = Result<T>>) -> Result<T> {
        match &self.0 {
            Some(runtime) => runtime.block_on(verb),
            None => Err(Error::new(Kind::Internal, "the threads of the pipeline have ended")),
        }
    }

    /// Returns a handle to it.
    ///
    /// # Errors
    /// Returns [`Kind::Internal`] if it has ended.
    pub(super) fn handle(&self) -> Result<tokio::runtime::Handle> {
        let ended = || Error::new(Kind::Internal, "the threads of the pipeline have ended");
        self.0.as_ref().map(|runtime| runtime.handle().clone()).ok_or_else(ended)
    }

    /// Shuts down without waiting for what still runs.
    pub(super) fn shutdown_background(mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

impl Drop for Runtime {
    /// Ends the tasks of a verb that failed, then waits for the work they left on the cores.
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            drop(runtime);
            cores::rest();
        }
    }
}

/// Builds a runtime with as many threads as the process may use cores.
pub(super) fn runtime() -> Result<Runtime> {
    let built = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(cores::limit())
        .on_thread_start(cores::one_thread_a_kernel)
        .enable_all()
        .build();
    built
        .map(|runtime| Runtime(Some(runtime)))
        .context(Kind::System, || "cannot start the threads of the pipeline".to_owned())
}
