//! `run`: the whole pipeline.

use clap::Args;

use super::common::{Common, runtime};
use super::printer::Printer;
use super::{EXIT_CODES, accuracy, plan, run_upto};
use crate::error::Result;
use crate::runs::lookup::Upto;

const LONG_ABOUT: &str = "\
Runs the whole pipeline: ingests the pictures, embeds them, their views and the sentences, adapts the model in passes \
of pseudo-labels and training, and, where labels are known, measures what came of it.

What the store already holds is not computed again. After a stop, the same command goes on from there, with the same \
result as if it had not stopped. The accuracy table goes to stdout, everything else to stderr.";

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

    /// Print the plan instead: each stage, its key, what is cached and what is to do
    ///
    /// What the run would refuse before its first forward pass, this refuses in the same words;
    /// what it would note about its inputs, this notes. Nothing is computed or changed.
    #[arg(long)]
    dry_run: bool,
}

impl Run {
    pub(super) fn execute(&self, printer: &Printer) -> Result<()> {
        if self.dry_run {
            let spec = self.common.load()?;
            let plan = runtime()?.block_on(crate::pipeline::plan::plan(&spec))?;
            plan.notes.iter().for_each(|note| printer.note(note));
            return printer.result(&plan::show(&plan.rows));
        }
        let outcome = run_upto::execute(&self.common, Upto::Evaluate, printer)?;
        accuracy::print(&outcome, printer)
    }
}
