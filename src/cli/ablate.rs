//! `ablate`: a grid of runs, and one table of them.

use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, ValueEnum, ValueHint};

use super::EXIT_CODES;
use super::align::{Side, align};
use super::cluster::ByCluster;
use super::common::{Cores, runtime, store_folder};
use super::output::Target;
use super::printer::Printer;
use crate::ablation::choose::{self, Choice, Criterion};
use crate::ablation::{self, Ablation, Cell, Figures, Wanted};
use crate::cli::signal;
use crate::cores;
use crate::error::{Context, Kind, Result};
use crate::pipeline::run::Options;
use crate::settings::Want;
use crate::stop::Stop;
use crate::store::Store;
use crate::table::format;
use crate::table::session::bare_session;

const LONG_ABOUT: &str = "\
Runs every row of an ablation file on each of its pipelines with each of its seeds, and prints one figure of each as a \
table in Markdown: mean and sample deviation over the seeds, in per cent. The figures are also in the table ablations.

All runs share one store. A run that is in the store and whole is not run again, and rows with the same settings are run \
once; after a stop, the same command goes on from there. Every mistake in the files is reported before the first run.

With --choose, the rows are ranked without labels, by what their runs answer; the datasets need have none. A row's value \
by a criterion is the mean over its seeds, its standing the mean over the pipelines of its rank within each. All criteria \
are measured, and are also in the table criteria.";

const FILE: &str = "\
The file:
  name = \"tuning\"                     # names the rows in the table ablations
  pipelines = [\"../flowers.toml\"]     # a column each; paths start at this file
  store = \"../../.store\"              # of all runs; by default .store beside this file
  seeds = [0, 1, 2]                   # a run each; by default [0]
  set = [\"device.threads=2\"]          # overrides of all runs, as --set takes them
  split = \"test\"                      # or train; by default test
  metric = \"top1\"                     # or mean_class; by default top1
  missing = \"skip\"                    # leaves out data sets that are not there; or refuse

  [[rows]]
  name = \"multi-view\"
  model = \"multi_view\"                # of the table metrics; by default what the run answers
  set = [\"adapt.tune=none\"]           # nothing is trained: one seed is enough

  [[rows]]
  name = \"head\"
  set = [\"adapt.tune=head\"]

  [grid]                              # every row, for every combination of these
  \"dka.gamma\" = [0.0, 0.5, 1.0]

  [[published]]                       # figures of others, in per cent, below the rows
  name = \"their paper\"
  source = \"arXiv 2510.02270, table 1\"
  figures = { flowers = 76.2 }";

const EXAMPLES: &str = "\
Examples:
  microclip-pipe ablate pipelines/ablations/flowers.toml
      All of it; a second time, only what is new.
  microclip-pipe ablate pipelines/ablations/flowers.toml --dry-run
      Which runs are cached and which are to do, without doing them.
  microclip-pipe ablate pipelines/ablations/choose.toml --choose
      The rows ranked without labels.
  microclip-pipe sql pipelines/flowers.toml \"SELECT row, avg(seconds) FROM ablations GROUP BY row\"
      What each row costs.";

/// Compare settings: run a grid of pipelines, rows and seeds
#[derive(Debug, Args)]
#[command(long_about = LONG_ABOUT, after_long_help = format!("{FILE}\n\n{}\n\n{EXAMPLES}\n\n{EXIT_CODES}", criteria()))]
pub(super) struct Ablate {
    /// The ablation file (TOML)
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    file: PathBuf,

    /// List the runs instead: row, pipeline, seed, and whether it is cached or to do
    #[arg(long)]
    dry_run: bool,

    /// Rank the rows without labels, and choose one
    ///
    /// By a criterion that looks only at what the runs answer; they are listed below. Where labels
    /// exist, accuracy stands beside the ranking, with how well each criterion's order agrees with
    /// it.
    #[arg(
        long,
        value_name = "CRITERION",
        num_args = 0..=1,
        default_missing_value = Criterion::DEFAULT.name(),
        value_parser = PossibleValuesParser::new(Criterion::NAMES).map(|name| Criterion::named(&name)),
        hide_possible_values = true,
    )]
    choose: Option<Criterion>,

    /// How the outcome is printed: as a table in Markdown, or the rows of the table ablations (of
    /// criteria, with --choose) as CSV or JSON lines
    #[arg(long, value_enum, default_value_t = Format::Markdown, value_name = "FORMAT")]
    format: Format,

    /// Keep tables and checkpoints of all runs in this folder
    ///
    /// Instead of what `store` in the ablation file says. A relative path starts at the current
    /// folder.
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath, help_heading = "Overrides")]
    store: Option<PathBuf>,

    #[command(flatten)]
    by_cluster: ByCluster,

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
        ablation::leave_out_missing(&mut ablation, |line| printer.note(line))?;
        let cells = Cell::all(&ablation, self.cores.asked())?;
        let wanted = if self.choose.is_some() { Wanted::Answers } else { Wanted::Figures };
        if self.dry_run {
            let figures = ablation::known(&ablation, &cells, wanted, &Store::open_read(&ablation.store)?)?;
            return printer.result(&plan(&cells, &figures));
        }
        let options =
            Options { stop: Stop::default(), progress: printer.progress(), cluster: self.by_cluster.joining()? };
        signal::watch(options.stop.clone(), options.progress.clone())?;
        // A run limits its cores by its own settings; looking up runs and writing the table have
        // none.
        cores::set_limit(self.cores.asked().unwrap_or(0));
        let cells = ablation::fetched(cells, &options)?;
        let runtime = runtime()?;
        let figures = runtime.block_on(ablation::run(&ablation, &cells, wanted, &options))?;
        let judged = match self.choose {
            None => None,
            Some(criterion) => {
                let runs: Vec<String> = figures.iter().flatten().map(|figure| figure.run.clone()).collect();
                let judged = runtime.block_on(choose::judge(&ablation, &cells, &runs, &options))?;
                judged.notes.iter().for_each(|note| printer.note(note));
                Some((Choice::of(&judged, criterion), judged))
            }
        };
        let form = match self.format {
            Format::Markdown => {
                printer.note(&caption(&ablation));
                for of_others in ablation.published.iter().filter(|_| judged.is_none()) {
                    printer.note(&format!("{}: {}", of_others.name, of_others.source));
                }
                return printer.result(&match &judged {
                    None => ablation::markdown(&cells, &figures, &ablation.published),
                    Some((choice, judged)) => {
                        choose::markdown(judged, choice, &ablation::means(&judged.sets, &judged.rows, &cells, &figures))
                    }
                });
            }
            Format::Csv => format::Format::Csv,
            Format::Json => format::Format::Json,
        };
        let rows = match &judged {
            None => ablation::batch(&ablation, &cells, &figures)?,
            Some((_, judged)) => choose::batch(&ablation, judged)?,
        };
        let rows = bare_session().read_batch(rows).context(Kind::Query, || "cannot read the rows back".to_owned())?;
        let mut target = Target::open(None)?;
        runtime.block_on(format::write(rows, form, &mut target))?;
        target.finish()
    }
}

/// Lists the criteria of `--choose`, for the manual page.
fn criteria() -> String {
    let Want::Choice(choices) = Criterion::WANT else { return String::new() };
    let default = Criterion::DEFAULT.name();
    let lines = choices.explained().map(|(name, about)| {
        let mark = if name == default { " (default)" } else { "" };
        format!("  {name}{mark}\n      {about}")
    });
    format!("The criteria of --choose, all of which see no label:\n{}", lines.collect::<Vec<_>>().join("\n"))
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
