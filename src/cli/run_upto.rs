//! What `run`, `ingest`, `embed`, `adapt` and `evaluate` have in common: they run the pipeline up
//! to a step.

use super::common::{Common, runtime};
use super::printer::Printer;
use crate::cli::signal;
use crate::error::Result;
use crate::pipeline::outcome::Outcome;
use crate::pipeline::run::{Options, run};
use crate::runs::lookup::Upto;
use crate::stop::Stop;
use crate::tools::doctor;

/// Runs the pipeline up to `upto`; notes go to stderr.
pub(super) fn execute(common: &Common, upto: Upto, printer: &Printer) -> Result<Outcome> {
    let spec = match upto {
        Upto::Ingest => common.load_without_sentences()?,
        _ => common.load()?,
    };
    let options = Options { stop: Stop::default(), progress: printer.progress() };
    printer.detail(|| format!("store {}, {}", spec.store.display(), doctor::ground(&spec)));
    signal::watch(options.stop.clone(), options.progress.clone())?;
    let outcome = runtime()?.block_on(run(&spec, upto, &options))?;
    outcome.notes.iter().for_each(|note| printer.note(note));
    Ok(outcome)
}
