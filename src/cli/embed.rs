//! `embed`: everything frozen.

use clap::Args;

use super::cluster::ByCluster;
use super::common::Common;
use super::printer::Printer;
use super::{EXIT_CODES, run_upto};
use crate::error::Result;
use crate::runs::lookup::Upto;
use crate::stop::Stop;
use crate::store::Shard;

const LONG_ABOUT: &str = "\
Ingests, then computes everything that the frozen model has to give: the embeddings of the pictures (class feature and \
patch tokens), the features of their random crops, and those of the sentences. It is cached by what it depends on, the \
weights and the preprocessing, so every later run with the same model starts from here.";

const EXAMPLES: &str = "\
Examples:
  microclip-pipe embed pipelines/flowers.toml
      The slow part, once; e.g. overnight.
  microclip-pipe embed pipelines/flowers.toml --without-views
      Only the pictures and sentences; the crops are left to the run that needs them.
  for i in 1 2; do microclip-pipe embed pipelines/flowers.toml --shard $i/2 --device cuda:$((i-1)) & done; wait
      Half of the pictures on each of two GPUs.";

/// Embed pictures, views and sentences, and stop there
#[derive(Debug, Args)]
#[command(long_about = LONG_ABOUT, after_long_help = format!("{EXAMPLES}\n\n{EXIT_CODES}"))]
pub(super) struct Embed {
    #[command(flatten)]
    common: Common,

    /// Leave out the random crops, which are most of the work
    #[arg(long)]
    without_views: bool,

    /// Embed only one of N shards of the pictures, while other processes embed the others
    ///
    /// I is from 1 to N. The processes may run at the same time on one store, each on a GPU or a
    /// machine of its own; `embed` without this, or `run`, then finds everything done. A shard
    /// depends on the pictures' ids alone. What all shards need (ingest, sentences) is done by the
    /// process that comes first, while the others wait.
    #[arg(long, value_name = "I/N", conflicts_with = "cluster")]
    shard: Option<Shard>,

    #[command(flatten)]
    by_cluster: ByCluster,
}

impl Embed {
    pub(super) fn execute(&self, printer: &Printer) -> Result<()> {
        let upto = if self.without_views { Upto::Pictures } else { Upto::Embed };
        let cluster = self.by_cluster.joining()?;
        match self.shard {
            Some(shard) => run_upto::execute_shard(&self.common, shard, upto, printer)?,
            None => run_upto::execute_until(&Stop::default(), &self.common, cluster, upto, printer)?,
        };
        Ok(())
    }
}
