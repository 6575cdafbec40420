//! The arguments that choose a run.

use std::path::{Path, PathBuf};

use clap::{Args, ValueHint};

use super::common::{Cores, store_folder};
use crate::cores;
use crate::error::Result;
use crate::runs::stored_run::{self, StoredRun};

/// A run, and where it is kept.
#[derive(Debug, Args)]
pub(super) struct WhichRun {
    /// A pipeline file, whose newest finished run is meant, or a run's id
    ///
    /// Of an id, a beginning or an end that no other run has is enough.
    /// `microclip-pipe runs PIPELINE` lists them. A run that is not finished is only taken by its
    /// id, as far as it has come.
    #[arg(value_name = "RUN", value_hint = ValueHint::FilePath)]
    run: String,

    /// The store that the run is in
    ///
    /// By default that of the pipeline file; for an id, .store in the current folder.
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    store: Option<PathBuf>,

    #[command(flatten)]
    cores: Cores,
}

impl WhichRun {
    /// Finds the run, and limits the cores as the command line or else the run's settings say.
    pub(super) fn find(&self) -> Result<StoredRun> {
        let chosen = self.chosen()?;
        cores::set_limit(self.cores.asked().unwrap_or(chosen.spec.device.threads));
        Ok(chosen)
    }

    fn chosen(&self) -> Result<StoredRun> {
        let store = self.store.as_deref().map(store_folder).transpose()?;
        let file = Path::new(&self.run);
        if file.is_file() || file.extension().is_some_and(|extension| extension == "toml") {
            let mut spec = crate::config::load_without_sentences(file, &[])?;
            if let Some(store) = store {
                spec.store = store;
            }
            let store = spec.store.display().to_string();
            let mut newest =
                stored_run::newest(&spec, |run| format!("{run} --store {store} in place of the pipeline file"))?;
            // What new pictures may be is for the file to say as it is now; it changes no answer.
            // Limits of then still admit what is in the store.
            newest.spec.dataset.limits = newest.spec.dataset.limits.or_larger(&spec.dataset.limits);
            newest.spec.dataset.tolerance = spec.dataset.tolerance;
            return Ok(newest);
        }
        stored_run::named(store.as_deref().unwrap_or(Path::new(".store")), &self.run)
    }
}
