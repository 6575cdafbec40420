//! What `run`, `ingest`, `embed`, `adapt` and `evaluate` have in common: they run the pipeline up
//! to a step.

use super::common::{Common, runtime};
use super::printer::Printer;
use crate::cli::signal;
use crate::cluster::Joining;
use crate::config::Spec;
use crate::error::Result;
use crate::pipeline::outcome::Outcome;
use crate::pipeline::run::{Options, run};
use crate::pipeline::shard::embed_shard;
use crate::runs::lookup::Upto;
use crate::stop::Stop;
use crate::store::Shard;
use crate::tools::doctor;

/// Runs the pipeline up to `upto`; notes go to stderr.
pub(super) fn execute(common: &Common, upto: Upto, printer: &Printer) -> Result<Outcome> {
    execute_until(&Stop::default(), common, None, upto, printer)
}

/// Like [`execute`], with the executors of a cluster if there is one. What comes after it can be
/// stopped as well: Ctrl-C raises `stop`.
pub(super) fn execute_until(
    stop: &Stop,
    common: &Common,
    cluster: Option<Joining>,
    upto: Upto,
    printer: &Printer,
) -> Result<Outcome> {
    run_as(stop, common, cluster, upto, printer, async |spec, options| run(spec, upto, options).await)
}

/// Embeds a shard of the pictures up to `upto`; notes go to stderr.
pub(super) fn execute_shard(common: &Common, shard: Shard, upto: Upto, printer: &Printer) -> Result<Outcome> {
    run_as(&Stop::default(), common, None, upto, printer, async |spec, options| {
        embed_shard(spec, shard, upto, options).await
    })
}

fn run_as(
    stop: &Stop,
    common: &Common,
    cluster: Option<Joining>,
    upto: Upto,
    printer: &Printer,
    work: impl AsyncFnOnce(&Spec, &Options) -> Result<Outcome>,
) -> Result<Outcome> {
    let spec = match upto {
        Upto::Ingest => common.load_without_sentences()?,
        _ => common.load()?,
    };
    let options = Options { stop: stop.clone(), progress: printer.progress(), cluster };
    printer.detail(|| format!("store {}, {}", spec.store.display(), doctor::ground(&spec)));
    signal::watch(options.stop.clone(), options.progress.clone())?;
    let outcome = runtime()?.block_on(work(&spec, &options))?;
    outcome.notes.iter().for_each(|note| printer.note(note));
    Ok(outcome)
}
