//! `runs`: what was run, and how runs differ.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use clap::Args;

use super::EXIT_CODES;
use super::common::{Common, runtime};
use super::printer::Printer;
use super::rows::Rows;
use crate::error::{Context, Error, Kind, Result};
use crate::runs::compare::compare;
use crate::runs::sql_scope::{SqlScope, scope_of_runs};
use crate::runs::stored_run::{self, StoredRun};
use crate::table::format::{self, Sink};
use crate::table::{arrays, query, session};

const LONG_ABOUT: &str = "\
Lists the runs of a pipeline, the newest first: when each started, whether it is finished, the seconds it took over all \
its invocations, its passes, what was trained, and the top-1 accuracy of its answers on the test split where labels are known.

With --compare, the runs that are named side by side: the settings that are not the same in all, then every metric.";

const EXAMPLES: &str = "\
Examples:
  microclip-pipe runs pipelines/flowers.toml
  microclip-pipe runs pipelines/flowers.toml --compare flowers-head-s0 flowers-head-s1
      Of an id, a beginning or an end that no other run of the store has is enough.
  microclip-pipe runs pipelines/flowers.toml --format csv --output runs.csv";

/// Lists runs. The accuracy is of what the pipeline made of the adapted model's answers, else of
/// these, else of the frozen model's.
const LIST: &str = "\
SELECT run, started, CASE WHEN finished IS NULL THEN 'unfinished' ELSE 'finished' END AS state,
       round(total_seconds, 1) AS seconds, coalesce(done.passes, 0) AS passes, tune, round(coalesce(
         max(value) FILTER (WHERE model = 'predicted'), max(value) FILTER (WHERE model = 'adapted'),
         max(value) FILTER (WHERE model = 'multi_view')), 4) AS test_top1
FROM runs
LEFT JOIN (SELECT run AS of, count(*) AS passes FROM passes GROUP BY run) done ON done.of = run
LEFT JOIN (SELECT run AS of, model, value FROM metrics WHERE split = 'test' AND metric = 'top1') scores ON scores.of = run
GROUP BY run, started, finished, total_seconds, done.passes, tune
ORDER BY started DESC, run";

/// List runs, or compare some
#[derive(Debug, Args)]
#[command(long_about = LONG_ABOUT, after_long_help = format!("{EXAMPLES}\n\n{EXIT_CODES}"))]
pub(super) struct Runs {
    #[command(flatten)]
    common: Common,

    /// Compare these runs of the store: two or more, by their ids, or a beginning or an end that no
    /// other has
    #[arg(long, value_name = "RUN", num_args = 1..)]
    compare: Vec<String>,

    #[command(flatten)]
    rows: Rows,
}

impl Runs {
    pub(super) fn execute(&self, printer: &Printer) -> Result<()> {
        self.rows.check()?;
        let spec = self.common.load_without_sentences()?;
        match self.compare.as_slice() {
            [] => runtime()?.block_on(async {
                let SqlScope { store, visible, .. } = scope_of_runs(&spec)?;
                let rows = query(&session(&store, &visible).await?, LIST).await?;
                let mut target = self.rows.target()?;
                let written = format::write(rows, self.rows.format(), &mut target).await?;
                target.finish()?;
                self.rows.say_what_is_empty(&[written], printer);
                Ok(())
            }),
            [_] => Err(Error::new(Kind::Usage, "--compare: one run alone cannot be compared")
                .hint("name two or more; without --compare all runs are listed")),
            names => {
                let runs: Vec<StoredRun> =
                    names.iter().map(|name| stored_run::named(&spec.store, name)).collect::<Result<_>>()?;
                let batch = side_by_side(&runs)?;
                let mut target = self.rows.target()?;
                let mut sink = Sink::new(self.rows.format(), batch.schema(), &mut target)?;
                sink.write(&batch)?;
                sink.finish()?;
                target.finish()
            }
        }
    }
}

/// Returns a row for each setting and metric, with a column for each run.
fn side_by_side(runs: &[StoredRun]) -> Result<RecordBatch> {
    let mut named: Vec<&str> = runs.iter().map(|run| run.run.as_str()).collect();
    named.sort_unstable();
    if let Some(pair) = named.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(
            Error::new(Kind::Usage, format!("--compare: run '{}' is named twice", pair[0])).hint("name each once")
        );
    }
    let lines = compare(runs)?;
    let mut fields = vec![Field::new("kind", DataType::Utf8, false), Field::new("name", DataType::Utf8, false)];
    let mut columns: Vec<ArrayRef> =
        vec![arrays::text(lines.iter().map(|line| line.kind)), arrays::text(lines.iter().map(|line| &line.name))];
    for (at, run) in runs.iter().enumerate() {
        fields.push(Field::new(&run.run, DataType::Utf8, true));
        columns.push(Arc::new(lines.iter().map(|line| line.values[at].as_deref()).collect::<StringArray>()));
    }
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)
        .context(Kind::Query, || "cannot compare the runs".to_owned())
}
