//! Running an ablation: what the store has is looked up, the rest is run, and the table is written
//! after each run.

use std::collections::{BTreeSet, HashMap};

use super::cells::Cell;
use super::spec::Ablation;
use super::table;
use crate::config::Spec;
use crate::error::{Error, Kind, Result};
use crate::pipeline::on_cluster::drive;
use crate::pipeline::run::{self, Options};
use crate::pipeline::wait_for_lock;
use crate::runs::lookup::Upto;
use crate::runs::lookup::{Finished, Lookup, Measured, measured};
use crate::store::Work;
use crate::store::layout::Store;
use crate::workspace::on_hub::{self, Need};

/// What the runs of an ablation are wanted for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// Their figures: each must have one.
    Figures,
    /// Their answers: without labels there is no figure.
    Answers,
}

/// The figure of a cell.
#[derive(Debug, Clone, PartialEq)]
pub struct Figure {
    /// The run that it belongs to.
    pub run: String,
    /// The figure, from 0 to 1; `None` without labels.
    pub value: Option<f64>,
    /// Duration of the invocation that computed the run.
    pub seconds: f64,
}

/// The figure of each cell if it is known, in the order of the cells.
pub type Figures = Vec<Option<Figure>>;

/// Returns the figures that the store has: those of runs that are finished and measured, on the
/// datasets as they are now. Computes and writes nothing.
///
/// # Errors
/// Fails if a dataset, a model or the store cannot be read.
pub fn known(ablation: &Ablation, cells: &[Cell], wanted: Wanted, store: &Store) -> Result<Figures> {
    let (mut lookup, seconds) = (Lookup::new(store), table::seconds(ablation, store)?);
    cells.iter().map(|cell| known_figure(ablation, cell, wanted, &mut lookup, &seconds)).collect()
}

/// Returns the figure of one cell. A run without what the row shows was made by an older version,
/// and is measured again.
fn known_figure(
    ablation: &Ablation,
    cell: &Cell,
    wanted: Wanted,
    lookup: &mut Lookup<'_>,
    seconds: &HashMap<String, f64>,
) -> Result<Option<Figure>> {
    let finished = lookup.finished(&cell.spec).map_err(|error| of_cell(cell.title(), error))?;
    let figure = finished.and_then(|finished| figure(ablation, cell, wanted, &finished));
    Ok(figure.map(|figure| Figure { seconds: seconds.get(&figure.run).copied().unwrap_or(figure.seconds), ..figure }))
}

fn figure(ablation: &Ablation, cell: &Cell, wanted: Wanted, finished: &Finished) -> Option<Figure> {
    let Finished { run, seconds, scores } = finished;
    let (split, metric) = (ablation.split.name(), ablation.metric.name());
    let shown = |m: &&Measured| m.model == cell.model && m.split == split && m.metric == metric;
    let value = scores.iter().find(shown).map(|measured| measured.value);
    let unlabelled = wanted == Wanted::Answers && scores.iter().all(|measured| measured.split != split);
    (value.is_some() || unlabelled).then(|| Figure { run: run.clone(), value, seconds: *seconds })
}

/// Fetches what the pipelines of cells name on the hub, and returns the cells with the commits of
/// those names: all see the same.
///
/// # Errors
/// Returns the error of the first cell whose pictures or models cannot be fetched;
/// [`Kind::Interrupted`] if a stop was requested.
pub fn fetched(cells: Vec<Cell>, options: &Options) -> Result<Vec<Cell>> {
    let Options { stop, progress, .. } = options;
    let each = cells.into_iter().map(|cell| {
        let spec = on_hub::fetched(&cell.spec, Need::All, stop, progress.as_ref());
        let spec = spec.map_err(|error| of_cell(cell.title(), error))?;
        Ok(Cell { spec, ..cell })
    });
    each.collect()
}

/// Computes the figure of every cell. Runs that the store has are not run again, and cells with the
/// same settings are run once. The table `ablations` is written after each run, so that a stop
/// loses none; an interrupted run is resumed.
///
/// # Errors
/// Returns the error of the first cell that fails, which the message names; [`Kind::Interrupted`]
/// if a stop was requested.
pub async fn run(ablation: &Ablation, cells: &[Cell], wanted: Wanted, options: &Options) -> Result<Figures> {
    let Options { stop, progress, cluster } = options;
    // Held until the end, since the runs share it.
    let store = wait_for_lock::take(&ablation.store, stop, progress).await?;
    let _ours = wait_for_lock::claim(&store, &[Work::Ablation(ablation.name.clone())], stop, progress).await?;
    let mut figures = known(ablation, cells, wanted, &store)?;
    let seconds = table::seconds(ablation, &store)?;
    table::write(ablation, cells, &figures, &store)?;
    let cached = figures.iter().flatten().count();
    if cached > 0 {
        progress.say(&format!("{cached} of {} cells are in the store", cells.len()));
    }
    if let Some(joining) = cluster {
        let unknown = cells.iter().zip(&figures).filter(|(_, figure)| figure.is_none());
        let runs: Vec<(String, &Spec)> = unknown.map(|(cell, _)| (cell.title(), &cell.spec)).collect();
        drive::runs(joining, &ablation.name, &runs, options).await?;
    }
    let mut said = BTreeSet::new();
    for (n, cell) in cells.iter().enumerate() {
        if figures[n].is_some() {
            continue;
        }
        let title = format!("cell {} of {}: {}", n + 1, cells.len(), cell.title());
        // An earlier cell may have been the same run, or have ingested a dataset that was not known
        // before.
        figures[n] = known_figure(ablation, cell, wanted, &mut Lookup::new(&store), &seconds)?;
        if figures[n].is_none() {
            progress.say(&title);
            stop.check().map_err(|error| of_cell(title.clone(), error))?;
            let outcome = run::run(&cell.spec, Upto::Evaluate, options).await;
            let outcome = outcome.map_err(|error| of_cell(title.clone(), error))?;
            // Most pipelines have the same notes in every run.
            outcome.notes.iter().filter(|note| said.insert((*note).clone())).for_each(|note| progress.say(note));
            let finished = measured(&store, &outcome.run)?;
            figures[n] = Some(required(ablation, cell, wanted, finished)?);
        }
        table::write(ablation, cells, &figures, &store)?;
    }
    Ok(figures)
}

/// Returns the figure of a run that was just measured, or an error that says what it gives instead.
fn required(ablation: &Ablation, cell: &Cell, wanted: Wanted, finished: Option<Finished>) -> Result<Figure> {
    let scores = finished.as_ref().map_or(&[][..], |finished| &finished.scores);
    if let Some(figure) = finished.as_ref().and_then(|finished| figure(ablation, cell, wanted, finished)) {
        return Ok(figure);
    }
    let Cell { place, row, pipeline, model, .. } = cell;
    if scores.is_empty() {
        return Err(Error::new(Kind::Input, format!("{pipeline} has no labels, so there is nothing to compare")).hint(
            "its table needs a dataset that says what is right, at least for its test split; --choose does not",
        ));
    }
    let list = |of: fn(&Measured) -> &String| {
        let mut names: Vec<&str> = Vec::new();
        for name in scores.iter().map(of) {
            if !names.contains(&name.as_str()) {
                names.push(name);
            }
        }
        names.join(", ")
    };
    let split = ablation.split.name();
    if scores.iter().any(|score| score.model == *model) {
        return Err(Error::new(Kind::Input, format!("{pipeline} has no labelled pictures in its split `{split}`"))
            .hint(format!(
                "it has some in {}; `split` in {} says which is measured",
                list(|s| &s.split),
                ablation.file.display()
            )));
    }
    Err(Error::new(Kind::Input, format!("{place}: row '{row}' shows the model '{model}', which its run does not give"))
        .hint(format!("it gives {}", list(|s| &s.model))))
}

/// Wraps the error of a cell in one that names the cell.
fn of_cell(title: String, error: Error) -> Error {
    Error::new(error.kind(), title).cause(error)
}
