//! `ablate`: a grid of runs, and one table of them.

use std::path::PathBuf;

use clap::{Args, ValueEnum, ValueHint};

use super::EXIT_CODES;
use super::align::{Side, align};
use super::common::{Cores, runtime, store_folder};
use super::output::Target;
use super::printer::Printer;
use crate::ablation::{self, Ablation, Cell, Figures};
use crate::cli::signal;
use crate::cores;
use crate::error::{Context, Kind, Result};
use crate::pipeline::run::Options;
use crate::stop::Stop;
use crate::store::Store;
use crate::table::format;
use crate::table::session::bare_session;

const LONG_ABOUT: &str = "\
Runs every row of an ablation file on each of its pipelines with each of its seeds, and prints one figure of each as a \
table in Markdown: mean and sample deviation over the seeds, in per cent. The figures are also in the table ablations.

All runs share one store. A run that is in the store and whole is not run again, and rows with the same settings are run \
once; after a stop, the same command goes on from there. Every mistake in the files is reported before the first run.";

const FILE: &str = "\
The file:
  name = \"tuning\"                     # names the rows in the table ablations
  pipelines = [\"../flowers.toml\"]     # a column each; paths start at this file
  store = \"../../.store\"              # of all runs; by default .store beside this file
  seeds = [0, 1, 2]                   # a run each; by default [0]
  set = [\"device.threads=2\"]          # overrides of all runs, as --set takes them
  split = \"test\"                      # or train; by default test
  metric = \"top1\"                     # or mean_class; by default top1

  [[rows]]
  name = \"multi-view\"
  model = \"multi_view\"                # a model of the table metrics; by default adapted
  set = [\"adapt.tune=none\"]           # nothing is trained: one seed is enough

  [[rows]]
  name = \"head\"
  set = [\"adapt.tune=head\"]

  [grid]                              # every row, for every combination of these
  \"dka.gamma\" = [0.0, 0.5, 1.0]";

const EXAMPLES: &str = "\
Examples:
  microclip-pipe ablate pipelines/ablations/flowers.toml
      All of it; a second time, only what is new.
  microclip-pipe ablate pipelines/ablations/flowers.toml --dry-run
      Which runs are cached and which are to do, without doing them.
  microclip-pipe sql pipelines/flowers.toml \"SELECT row, avg(seconds) FROM ablations GROUP BY row\"
      What each row costs.";

/// Compare settings: run a grid of pipelines, rows and seeds
#[derive(Debug, Args)]
#[command(long_about = LONG_ABOUT, after_long_help = format!("{FILE}\n\n{EXAMPLES}\n\n{EXIT_CODES}"))]
pub(super) struct Ablate {
    /// The ablation file (TOML)
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    file: PathBuf,

    /// List the runs instead: row, pipeline, seed, and whether it is cached or to do
    #[arg(long)]
    dry_run: bool,

    /// How the outcome is printed: as a table in Markdown, or the rows of the table ablations as
    /// CSV or JSON lines
    #[arg(long, value_enum, default_value_t = Format::Markdown, value_name = "FORMAT")]
    format: Format,

    /// Keep tables and checkpoints of all runs in this folder
    ///
    /// Instead of what `store` in the ablation file says. A relative path starts at the current
    /// folder.
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath, help_heading = "Overrides")]
    store: Option<PathBuf>,

    #[command(flatten)]
    cores: Cores,
}

/// The form of the outcome, as `--format` names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Rows and pipelines, with mean and deviation
    Markdown,
    /// A line for each run, with a header line
    Csv,
    /// JSON lines: an object for each run
    Json,
}

impl Ablate {
    pub(super) fn execute(&self, printer: &Printer) -> Result<()> {
        let mut ablation = ablation::load(&self.file)?;
        if let Some(store) = &self.store {
            ablation.store = store_folder(store)?;
        }
        let cells = Cell::all(&ablation, self.cores.asked())?;
        if self.dry_run {
            let figures = ablation::known(&ablation, &cells, &Store::open_read(&ablation.store)?)?;
            return printer.result(&plan(&cells, &figures));
        }
        let options = Options { stop: Stop::default(), progress: printer.progress() };
        signal::watch(options.stop.clone(), options.progress.clone())?;
        // A run limits its cores by its own settings; looking up runs and writing the table have
        // none.
        cores::set_limit(self.cores.asked().unwrap_or(0));
        let runtime = runtime()?;
        let figures = runtime.block_on(ablation::run(&ablation, &cells, &options))?;
        let form = match self.format {
            Format::Markdown => {
                printer.note(&caption(&ablation));
                return printer.result(&ablation::markdown(&cells, &figures));
            }
            Format::Csv => format::Format::Csv,
            Format::Json => format::Format::Json,
        };
        let rows = ablation::batch(&ablation, &cells, &figures)?;
        let rows = bare_session().read_batch(rows).context(Kind::Query, || "cannot read the rows back".to_owned())?;
        let mut target = Target::open(None)?;
        runtime.block_on(format::write(rows, form, &mut target))?;
        target.finish()
    }
}

/// Writes a line per run.
fn plan(cells: &[Cell], figures: &Figures) -> String {
    let titles = ["row", "pipeline", "seed", ""].map(str::to_owned).to_vec();
    let lines = cells.iter().zip(figures).map(|(cell, figure)| {
        let state = if figure.is_some() { "cached" } else { "to do" };
        vec![cell.row.clone(), cell.pipeline.clone(), cell.seed.to_string(), state.to_owned()]
    });
    align(&[Side::Left, Side::Left, Side::Right, Side::Left], &std::iter::once(titles).chain(lines).collect::<Vec<_>>())
}

/// Says what the figures of the table are.
fn caption(ablation: &Ablation) -> String {
    let Ablation { split, metric, seeds, .. } = ablation;
    let seeds = match seeds.as_slice() {
        [seed] => format!("seed {seed}"),
        many => {
            let many: Vec<String> = many.iter().map(ToString::to_string).collect();
            format!("mean ± sample deviation over seeds {}", many.join(", "))
        }
    };
    format!("{metric} on the {split} split, in per cent: {seeds}")
}
