//! The command line: one file per verb.

mod ablate;
pub mod accuracy;
mod adapt;
mod align;
mod browser;
mod cache;
mod cluster;
mod common;
mod completions;
mod describe;
mod doctor;
mod embed;
mod evaluate;
mod export;
mod help;
mod ingest;
mod init;
mod man;
mod model;
mod next;
mod output;
pub mod panics;
mod plan;
mod predict;
pub mod printer;
pub mod progress;
mod report;
mod rows;
mod run;
mod run_upto;
mod runs;
mod schema;
mod serve;
mod several;
pub mod signal;
mod size;
mod spans;
mod sql;
mod usage;
mod which_run;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::time::Instant;

use clap::{Parser, Subcommand};

use printer::{Messages, Printer};

use crate::error::Result;

/// The package's version, and the one libtorch it works with.
const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), " (libtorch 2.11)");

const ABOUT: &str = "Adapt a CLIP model to unlabelled pictures, and look at every step in SQL";

const LONG_ABOUT: &str = "\
Adapts a CLIP model to a folder of unlabelled, fine-grained pictures by the method microCLIP (arXiv 2510.02270): \
given pictures, class names and a few sentences about each class, it makes pseudo-labels, trains on them, and makes \
better ones.

A pipeline file in TOML names the pictures, the model and the sentences. Every step writes a table of Parquet files \
into the store; what a table already holds is not computed again, so a run that was stopped goes on where it was, and \
new pictures cost only themselves. `sql` queries the tables.";

/// The end of every manual page.
pub(crate) const EXIT_CODES: &str = "\
Exit codes:
    0  done
    1  failed: an input, a model, the store, a query, a device or the network
    2  the command line or the pipeline file is wrong; nothing was started
    3  more pictures were rejected than `dataset.tolerance` allows
  130  interrupted; the same command goes on from there";

const EXAMPLES: &str = "\
Examples:
  microclip-pipe run pipelines/flowers.toml
  microclip-pipe run pipelines/flowers.toml --dry-run
  microclip-pipe run pipelines/flowers.toml --set adapt.tune=head --seed 1
  microclip-pipe ablate pipelines/ablations/flowers.toml
  microclip-pipe sql pipelines/flowers.toml \"SELECT * FROM metrics\"
  microclip-pipe report pipelines/flowers.toml
  microclip-pipe predict pipelines/flowers.toml new/ --top 3
  microclip-pipe export pipelines/flowers.toml --output flowers-clip";

/// The command line.
#[derive(Debug, Parser)]
#[command(
    name = "microclip-pipe",
    version = VERSION,
    about = ABOUT,
    long_about = LONG_ABOUT,
    after_help = "`microclip-pipe help VERB` is the manual page of a verb.",
    after_long_help = format!("{EXAMPLES}\n\n{EXIT_CODES}"),
    max_term_width = 100,
    arg_required_else_help = true,
    disable_help_subcommand = true
)]
pub struct Cli {
    #[command(flatten)]
    messages: Messages,

    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Init(init::Init),
    Doctor(doctor::Doctor),
    Describe(describe::Describe),
    Run(run::Run),
    Ingest(ingest::Ingest),
    Embed(embed::Embed),
    Adapt(adapt::Adapt),
    Evaluate(evaluate::Evaluate),
    Ablate(ablate::Ablate),
    Sql(sql::Sql),
    Serve(serve::Serve),
    Cluster(cluster::Cluster),
    Predict(predict::Predict),
    Report(report::Report),
    Export(export::Export),
    Runs(runs::Runs),
    Cache(cache::Cache),
    Model(model::Model),
    Schema(schema::Schema),
    Completions(completions::Completions),
    Man(man::Man),
    Help(help::Help),
}

impl Cli {
    /// Parses the process's command line.
    ///
    /// # Errors
    /// Returns the exit code if there is nothing to execute: help was asked for and printed, or the
    /// line is wrong and the reason was printed.
    pub fn from_command_line() -> Result<Self, ExitCode> {
        let parsed = Cli::try_parse().and_then(|cli| match &cli.verb {
            Verb::Help(help) => help.page(),
            _ => Ok(cli),
        });
        parsed.map_err(|said| {
            // The form of messages is an option of the line that could not be parsed.
            if said.use_stderr() && printer::json_is_asked_for(std::env::args_os()) {
                let error = usage::error(&said.render().to_string());
                printer::json(&error);
                return ExitCode::from(error.kind().exit_code());
            }
            let _ = said.print();
            ExitCode::from(u8::try_from(said.exit_code()).unwrap_or(1))
        })
    }

    /// Runs the verb and prints how it ended.
    pub fn execute(self) -> ExitCode {
        let printer = Printer::new(&self.messages);
        let began = Instant::now();
        // The hook of `panics` has reported a panic already.
        match catch_unwind(AssertUnwindSafe(|| {
            let _recording = printer.record(&self.messages)?;
            self.dispatch(&printer)
        })) {
            Ok(Ok(())) => {
                printer.detail(|| format!("done in {:.1} s", began.elapsed().as_secs_f64()));
                ExitCode::SUCCESS
            }
            Ok(Err(error)) => {
                printer.error(&error);
                ExitCode::from(error.kind().exit_code())
            }
            Err(_) => ExitCode::FAILURE,
        }
    }

    fn dispatch(self, printer: &Printer) -> Result<()> {
        match self.verb {
            Verb::Init(verb) => verb.execute(printer),
            Verb::Doctor(verb) => verb.execute(printer),
            Verb::Describe(verb) => verb.execute(printer),
            Verb::Run(verb) => verb.execute(printer),
            Verb::Ingest(verb) => verb.execute(printer),
            Verb::Embed(verb) => verb.execute(printer),
            Verb::Adapt(verb) => verb.execute(printer),
            Verb::Evaluate(verb) => verb.execute(printer),
            Verb::Ablate(verb) => verb.execute(printer),
            Verb::Sql(verb) => verb.execute(printer),
            Verb::Serve(verb) => verb.execute(printer),
            Verb::Cluster(verb) => verb.execute(printer),
            Verb::Predict(verb) => verb.execute(printer),
            Verb::Report(verb) => verb.execute(printer),
            Verb::Export(verb) => verb.execute(printer),
            Verb::Runs(verb) => verb.execute(printer),
            Verb::Cache(verb) => verb.execute(printer),
            Verb::Model(verb) => verb.execute(printer),
            Verb::Schema(verb) => verb.execute(printer),
            Verb::Completions(verb) => verb.execute(printer),
            Verb::Man(verb) => verb.execute(printer),
            // Its page was printed while the line was parsed.
            Verb::Help(_) => Ok(()),
        }
    }
}
