//! `run`: the whole pipeline.

use clap::Args;

use super::cluster::ByCluster;
use super::common::{Common, runtime};
use super::plan::show;
use super::printer::Printer;
use super::{EXIT_CODES, accuracy, browser, next, report, run_upto};
use crate::cli::signal;
use crate::error::Result;
use crate::pipeline::plan::plan;
use crate::report::{Looked, report};
use crate::runs::lookup::Upto;
use crate::runs::next_steps::next_steps;
use crate::runs::stored_run;
use crate::stop::Stop;
use crate::text::shell;

const LONG_ABOUT: &str = "\
Runs the whole pipeline: ingests the pictures, embeds them, their views and the sentences, adapts the model in passes \
of pseudo-labels and training, and, where labels are known, measures what came of it.

What the store already holds is not computed again. After a stop, the same command goes on from there, with the same \
result as if it had not stopped. The accuracy table goes to stdout, everything else to stderr; on a terminal, it ends with \
what is worth doing next.";

const EXAMPLES: &str = "\
Examples:
  microclip-pipe run pipelines/flowers.toml
      All of it; a second time, only what is new.
  microclip-pipe run pipelines/flowers.toml --dry-run
      What is cached and what is to do, without doing it.
  microclip-pipe run pipelines/flowers.toml --set adapt.tune=head --seed 1
      Another recipe and seed, on the same cached embeddings.";

/// Run the whole pipeline and print the accuracies
#[derive(Debug, Args)]
#[command(long_about = LONG_ABOUT, after_long_help = format!("{EXAMPLES}\n\n{EXIT_CODES}"))]
pub(super) struct Run {
    #[command(flatten)]
    common: Common,

    #[command(flatten)]
    by_cluster: ByCluster,

    /// Print the plan instead: each stage, its key, what is cached and what is to do
    ///
    /// What the run would refuse before its first forward pass, this refuses in the same words;
    /// what it would note about its inputs, this notes. Nothing is computed, changed or fetched: of
    /// a model or data set on the hub that is not in the cache yet, it says how many bytes are to
    /// come.
    #[arg(long)]
    dry_run: bool,

    /// Write the run's page when it has ended, as `report` does, and open it in the browser
    #[arg(long, conflicts_with = "dry_run")]
    open: bool,
}

impl Run {
    pub(super) fn execute(&self, printer: &Printer) -> Result<()> {
        if self.dry_run {
            let spec = self.common.load()?;
            let (stop, progress) = (Stop::default(), printer.progress());
            signal::watch(stop.clone(), progress.clone())?;
            let plan = runtime()?.block_on(plan(&spec, &stop, progress.as_ref()))?;
            plan.notes.iter().for_each(|note| printer.note(note));
            return printer.result(&show(&plan.rows));
        }
        let stop = Stop::default();
        let outcome =
            run_upto::execute_until(&stop, &self.common, self.by_cluster.joining()?, Upto::Evaluate, printer)?;
        accuracy::print(&outcome, printer)?;
        if !self.open && !printer.is_read() {
            return Ok(());
        }
        let runtime = runtime()?;
        let chosen = stored_run::named(&self.common.load()?.store, &outcome.run)?;
        if self.open {
            let progress = printer.progress();
            let page = report(&chosen, Looked::default(), &stop, progress.as_ref());
            let path = report::write(&runtime.block_on(page)?, None, &chosen)?;
            printer.note(&format!("the run's page is {}", path.display()));
            browser::open(&path, printer);
        }
        if printer.is_read() {
            let pipeline = shell::word(&self.common.pipeline.to_string_lossy()).into_owned();
            match runtime.block_on(next_steps(&chosen, &pipeline)) {
                Ok(steps) => next::say("next", &steps, printer),
                // The run is done, and its answers are there.
                Err(error) => printer.note(&format!("what is worth doing next is not known: {error}")),
            }
        }
        Ok(())
    }
}
