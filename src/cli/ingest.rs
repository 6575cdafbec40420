//! `ingest`: the pictures into tables.

use clap::Args;

use super::common::Common;
use super::printer::Printer;
use super::{EXIT_CODES, run_upto};
use crate::error::Result;
use crate::runs::lookup::Upto;

const LONG_ABOUT: &str = "\
Reads the pictures into the tables images, labels, classes and rejected, and stops there. A file that cannot be used \
becomes a row of rejected with its reason; the rest goes on. The same bytes under two paths are one image.";

const EXAMPLES: &str = "\
Examples:
  microclip-pipe ingest pipelines/flowers.toml
      Then: microclip-pipe sql pipelines/flowers.toml \"SELECT path, reason FROM rejected\"";

/// Read the pictures into tables, and stop there
#[derive(Debug, Args)]
#[command(long_about = LONG_ABOUT, after_long_help = format!("{EXAMPLES}\n\n{EXIT_CODES}"))]
pub(super) struct Ingest {
    #[command(flatten)]
    common: Common,
}

impl Ingest {
    pub(super) fn execute(&self, printer: &Printer) -> Result<()> {
        run_upto::execute(&self.common, Upto::Ingest, printer)?;
        Ok(())
    }
}
