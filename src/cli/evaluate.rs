//! `evaluate`: accuracies.

use clap::Args;

use super::common::Common;
use super::printer::Printer;
use super::{EXIT_CODES, accuracy, run_upto};
use crate::error::Result;
use crate::runs::lookup::Upto;

const LONG_ABOUT: &str = "\
Measures zero-shot, descriptions, multi-view and the adapted model against the labels that the dataset has, top-1 and as a \
mean over classes, and prints them as a table. What is missing before it, up to the adapted model, is done first.";

const EXAMPLES: &str = "\
Examples:
  microclip-pipe evaluate pipelines/flowers.toml
      Prints the accuracy table; the figures are in the table metrics.";

/// Measure the adapted model where labels are known
#[derive(Debug, Args)]
#[command(long_about = LONG_ABOUT, after_long_help = format!("{EXAMPLES}\n\n{EXIT_CODES}"))]
pub(super) struct Evaluate {
    #[command(flatten)]
    common: Common,
}

impl Evaluate {
    pub(super) fn execute(&self, printer: &Printer) -> Result<()> {
        let outcome = run_upto::execute(&self.common, Upto::Evaluate, printer)?;
        accuracy::print(&outcome, printer)
    }
}
