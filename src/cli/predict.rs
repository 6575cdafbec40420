//! `predict`: an adapted model on new pictures.

use std::io::BufReader;
use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::{ArrayRef, Float32Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema};
use clap::{Args, ValueHint};

use super::EXIT_CODES;
use super::common::runtime;
use super::printer::Printer;
use super::rows::Rows;
use super::which_run::WhichRun;
use crate::cli::signal;
use crate::error::{Context, Error, Kind, Result};
use crate::runs::adapted_model::AdaptedModel;
use crate::source::Dataset;
use crate::source::inputs::{self, Ends, Pictures};
use crate::stage::predict::Answer;
use crate::stage::progress::UNKNOWN;
use crate::stop::Stop;
use crate::table::arrays;
use crate::table::format::Sink;
use crate::text::terminal::in_line;

const LONG_ABOUT: &str = "\
Answers pictures with the adapted model of a run: for each picture a row for its best class, or for its best few, with \
their probabilities. Pictures are read as a stream, a few at a time, so that any number of them takes the same memory; rows are \
written as they come, in the order of the pictures, but for --format table, which is drawn at the end. The store is not written to.

Pictures are named as files, folders, lists (CSV, TSV, JSON Lines) and Parquet, or by their paths on standard input. A row names \
its picture by the path, and one in Parquet by the file and its row, from 0: shots.parquet#12/name.jpg.

Probabilities are calibrated: logits are divided by one number, the temperature, which was fitted when the run was measured so \
that confidences are as high as the model's answers agree with the pseudo-labels of the last pass. No true label was seen, \
so where pseudo-labels are wrong together, probabilities are too high. The answer itself does not depend on it.

Where the pipeline mixes the prior into its answers (predict.gamma), so does this. Transduction is left out: it answers \
pictures by the others of their split, and here each is answered alone.

A picture that cannot be read is named on standard error with the reason, and the others are answered; so is a path on standard \
input that leads nowhere. Where a limit is the reason, it names the key that would admit the picture: a pipeline file's \
[dataset.limits] count where they are larger than those that the run was made with, and its dataset.tolerance as it is now; \
where a run's id is given, both count as when it was made.";

const EXAMPLES: &str = "\
Examples:
  microclip-pipe predict pipelines/flowers.toml new/1.jpg new/2.jpg
      By the newest run of the pipeline that is finished.
  microclip-pipe predict flowers-head-s0-1f0c new/ --store .store --top 3 --format csv
      By the run whose id begins so: the best three classes of every picture below new/.
  microclip-pipe predict pipelines/flowers.toml list.csv more.parquet \\
      --format parquet --output answers.parquet
      Of the pictures in the column path of a CSV file, and of those in a Parquet file.
  find new -name '*.jpg' -print0 | microclip-pipe predict pipelines/flowers.toml - --format json
      Of the pictures that another program finds.";

/// Answer new pictures with an adapted model
#[derive(Debug, Args)]
#[command(long_about = LONG_ABOUT, after_long_help = format!("{EXAMPLES}\n\n{EXIT_CODES}"))]
pub(super) struct Predict {
    #[command(flatten)]
    run: WhichRun,

    /// Pictures, folders, lists or Parquet; `-` reads paths of such from standard input
    ///
    /// A folder stands for the pictures below it or, if there are none, for those in its Parquet
    /// files. A list is a CSV or TSV file with a column `path`, or JSON Lines; its relative paths
    /// start at its folder. On standard input there is a path a line.
    #[arg(value_name = "PATH", required = true, value_hint = ValueHint::AnyPath)]
    paths: Vec<PathBuf>,

    /// A NUL ends each path on standard input, as `find -print0` and `git ls-files -z` write it
    ///
    /// Taken for granted where the first bytes hold a NUL. Names may then have line ends.
    #[arg(long, short = '0')]
    null: bool,

    /// How many classes of a picture, the likeliest first
    #[arg(long, value_name = "K", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=65536))]
    top: u64,

    #[command(flatten)]
    rows: Rows,
}

impl Predict {
    pub(super) fn execute(&self, printer: &Printer) -> Result<()> {
        self.rows.check()?;
        let chosen = self.run.find()?;
        let (stop, progress) = (Stop::default(), printer.progress());
        let Pictures { items, count, notes } = self.pictures(&chosen.spec.dataset, printer, &stop)?;
        chosen.notes.iter().chain(&notes).for_each(|note| printer.note(note));
        signal::watch(stop.clone(), progress.clone())?;
        let chosen = chosen.with_models_fetched(&stop, progress.as_ref())?;
        let adapted = AdaptedModel::open(&chosen, &stop)?;
        let temperature = adapted.temperature;
        printer.note(&format!("run {}, {}; {}", chosen.run, adapted.reached, calibrated(temperature)));
        let classes = adapted.classes.clone();
        let top = usize::try_from(self.top).unwrap_or(usize::MAX).min(classes.len());
        let predictor = adapted.predictor(&chosen);
        let temperature = temperature.unwrap_or(1.0);

        progress.begin("predict", "image", count, 0);
        let schema = schema();
        let mut target = self.rows.target()?;
        let mut sink = Sink::new(self.rows.format(), schema.clone(), &mut target)?;
        let (mut total, mut rejected) = (0, 0);
        let give = |answers: &[(String, Answer)]| {
            progress.advance(answers.len() as u64);
            total += answers.len() as u64;
            let mut found = Found::default();
            for (path, answer) in answers {
                match answer {
                    Ok(logits) => found.add(path, logits, temperature, top, &classes),
                    Err(rejection) => {
                        rejected += 1;
                        progress.say(&format!("rejected: {}: {rejection}", in_line(path)));
                    }
                }
            }
            sink.write(&found.batch(&schema)?)
        };
        let batch = chosen.spec.embed.batch;
        runtime()?.block_on(predictor.predict(items, batch, &stop, give))?;
        progress.end(&format!("{} answered, {rejected} rejected", total - rejected));
        sink.finish()?;
        target.finish()?;
        if rejected as f64 > chosen.spec.dataset.tolerance * total as f64 {
            let what = format!(
                "{rejected} of {total} pictures were rejected, more than dataset.tolerance = {} of the run allows",
                chosen.spec.dataset.tolerance
            );
            return Err(Error::new(Kind::Tolerance, what).hint("the reasons are above; all others were answered"));
        }
        Ok(())
    }
}

impl Predict {
    /// Finds the pictures, in the order in which they were named. Those on standard input are read
    /// as they are needed, and what is worth knowing of them is said then.
    fn pictures(&self, dataset: &Dataset, printer: &Printer, stop: &Stop) -> Result<Pictures> {
        let dashes = self.paths.iter().filter(|path| path.as_os_str() == "-").count();
        if dashes > 1 {
            return Err(
                Error::new(Kind::Usage, "- is given twice, and standard input is read once").hint("leave one out")
            );
        }
        if self.null && dashes == 0 {
            return Err(Error::new(Kind::Usage, "--null is about paths on standard input, and none are read")
                .hint("give - among the paths"));
        }
        let found: Vec<Pictures> = self
            .paths
            .iter()
            .map(|path| match path.as_os_str() == "-" {
                true => self.on_standard_input(dataset, printer, stop),
                false => inputs::pictures(path, dataset),
            })
            .collect::<Result<_>>()?;
        Ok(Pictures {
            // Any unknown number makes the sum unknown.
            count: found.iter().fold(0, |count, pictures| count.saturating_add(pictures.count)),
            notes: found.iter().flat_map(|pictures| pictures.notes.clone()).collect(),
            items: Box::new(found.into_iter().flat_map(|pictures| pictures.items)),
        })
    }

    fn on_standard_input(&self, dataset: &Dataset, printer: &Printer, stop: &Stop) -> Result<Pictures> {
        let ends = if self.null { Ends::Null } else { Ends::Either };
        let paths = inputs::paths(BufReader::new(std::io::stdin()), ends, stop.clone())?;
        let (dataset, progress) = (dataset.clone(), printer.progress());
        let items = paths.flat_map(move |path| match path {
            Ok(path) => {
                let Pictures { items, notes, .. } = inputs::each(&path, &dataset);
                notes.iter().for_each(|note| progress.say(note));
                items
            }
            Err(error) => Box::new(std::iter::once(Err(error))),
        });
        Ok(Pictures { items: Box::new(items), count: UNKNOWN, notes: Vec::new() })
    }
}

/// Says in words how far probabilities are calibrated.
fn calibrated(temperature: Option<f64>) -> String {
    match temperature {
        Some(temperature) => {
            format!("probabilities at temperature {temperature:.2}, fitted on pseudo-labels, not on true labels")
        }
        None => {
            "probabilities are not calibrated, since the run was not measured as it is here: microclip-pipe run does"
                .to_owned()
        }
    }
}

fn schema() -> Arc<Schema> {
    Arc::new(Schema::new(vec![
        Field::new("path", DataType::Utf8, false),
        Field::new("rank", DataType::Int32, false),
        Field::new("class", DataType::Utf8, false),
        Field::new("probability", DataType::Float32, false),
    ]))
}

/// Rows of the result.
#[derive(Default)]
struct Found {
    paths: Vec<String>,
    ranks: Vec<i32>,
    classes: Vec<String>,
    probabilities: Vec<f32>,
}

impl Found {
    /// Adds the `top` best classes of a picture with these logits; of equal ones, the first come
    /// first.
    fn add(&mut self, path: &str, logits: &[f32], temperature: f64, top: usize, classes: &[String]) {
        let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let weights: Vec<f64> = logits.iter().map(|l| (f64::from(l - largest) / temperature).exp()).collect();
        let sum: f64 = weights.iter().sum();
        let mut order: Vec<usize> = (0..logits.len()).collect();
        order.sort_by(|&a, &b| logits[b].total_cmp(&logits[a]));
        for (rank, class) in (1..).zip(order.into_iter().take(top)) {
            self.paths.push(path.to_owned());
            self.ranks.push(rank);
            self.classes.push(classes[class].clone());
            self.probabilities.push((weights[class] / sum) as f32);
        }
    }

    fn batch(self, schema: &Arc<Schema>) -> Result<RecordBatch> {
        let columns: Vec<ArrayRef> = vec![
            arrays::text(self.paths),
            Arc::new(arrow::array::Int32Array::from(self.ranks)),
            arrays::text(self.classes),
            Arc::new(Float32Array::from(self.probabilities)),
        ];
        RecordBatch::try_new(schema.clone(), columns).context(Kind::Query, || "cannot make the answers".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_come_first_and_a_temperature_changes_no_order() {
        let classes: Vec<String> = ["a", "b", "c"].map(str::to_owned).to_vec();
        let of = |temperature| {
            let mut found = Found::default();
            found.add("p", &[1.0, 3.0, 3.0], temperature, 3, &classes);
            found
        };
        let (cold, hot) = (of(0.5), of(2.0));
        assert_eq!((&cold.classes, &cold.ranks), (&["b", "c", "a"].map(str::to_owned).to_vec(), &vec![1, 2, 3]));
        assert_eq!(cold.classes, hot.classes);
        assert!((cold.probabilities.iter().sum::<f32>() - 1.0).abs() < 1e-6);
        assert!(cold.probabilities[0] > hot.probabilities[0]);
    }
}
