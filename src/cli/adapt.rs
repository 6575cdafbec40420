//! `adapt`: the passes.

use clap::Args;

use super::common::Common;
use super::printer::Printer;
use super::{EXIT_CODES, run_upto};
use crate::error::Result;
use crate::runs::lookup::Upto;

const LONG_ABOUT: &str = "\
Runs the pipeline up to the adapted weights: passes of pseudo-labels and training. No label is read. A checkpoint after \
every pass lets a run that was stopped go on.";

const EXAMPLES: &str = "\
Examples:
  microclip-pipe adapt pipelines/flowers.toml
      Adapts; the passes are in the tables passes and pseudo_labels.";

/// Adapt the model, without measuring it
#[derive(Debug, Args)]
#[command(long_about = LONG_ABOUT, after_long_help = format!("{EXAMPLES}\n\n{EXIT_CODES}"))]
pub(super) struct Adapt {
    #[command(flatten)]
    common: Common,
}

impl Adapt {
    pub(super) fn execute(&self, printer: &Printer) -> Result<()> {
        run_upto::execute(&self.common, Upto::Adapt, printer)?;
        Ok(())
    }
}
