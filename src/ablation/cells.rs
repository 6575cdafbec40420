//! Turns an ablation into its runs.

use std::path::Path;

use toml::Value;

use super::spec::{Ablation, Axis, Row, usual_model};
use crate::config::Spec;
use crate::config::load;
use crate::config::mistakes::Mistakes;
use crate::error::{Error, Kind, Result};
use crate::stage::adapt::Tune;

/// The most runs of an ablation; more are a mistake in the grid.
const MOST: usize = 10_000;

/// The model that is adapted, which a run that trains nothing does not have.
const ADAPTED: &str = "adapted";

/// One run of an ablation. Cells with the same settings are one run in the store.
#[derive(Debug, Clone)]
pub struct Cell {
    /// The row's name, with what the grid sets.
    pub row: String,
    /// The pipeline's name.
    pub pipeline: String,
    /// The seed.
    pub seed: u64,
    /// The model of `metrics` that the row shows.
    pub model: String,
    /// The overrides, joined by `; `.
    pub settings: String,
    /// The pipeline file with all overrides in place.
    pub spec: Spec,
    /// Where the row stands, for messages: `FILE:LINE`.
    pub place: String,
}

/// A row at one point of the grid.
#[derive(Debug, Clone, PartialEq)]
struct Variant<'a> {
    row: &'a Row,
    /// The row's name, and its point of the grid.
    name: String,
    /// The overrides, those of all runs first.
    overrides: Vec<String>,
}

impl Cell {
    /// Returns every cell: row by row, in each pipeline by pipeline, in each seed by seed. A cell
    /// that trains nothing is made for the first seed alone, since its results do not depend on the
    /// seed. `threads` overrides what the files say.
    ///
    /// # Errors
    /// Returns [`Kind::Usage`] if a pipeline file has a mistake or does not go together with the
    /// overrides.
    pub fn all(ablation: &Ablation, threads: Option<usize>) -> Result<Vec<Cell>> {
        let variants = variants(ablation)?;
        let mut cells = Vec::new();
        for Variant { row, name, mut overrides } in variants {
            overrides.extend(threads.map(|threads| format!("device.threads={threads}")));
            let mut pipelines: Vec<String> = Vec::new();
            for file in &ablation.pipelines {
                let spec = resolve(file, ablation, row, &name, &overrides)?;
                if pipelines.contains(&spec.name) {
                    let mut mistakes = Mistakes::new(&ablation.file);
                    let hint = "a pipeline's name heads its column: give one of the files another `name`";
                    mistakes.in_file(None, format!("two pipelines are named '{}'", spec.name), Some(hint.to_owned()));
                    mistakes.finish()?;
                }
                pipelines.push(spec.name.clone());
                let trains = spec.adapt.tune != Tune::None;
                let model = row.model.as_deref().unwrap_or(usual_model(&spec));
                if !trains && model == ADAPTED {
                    let what = format!(
                        "{}: row '{}' shows the model '{ADAPTED}', but with adapt.tune = none there is none",
                        row.place, row.name
                    );
                    return Err(Error::new(Kind::Usage, what)
                        .hint("say which of the others the row shows, e.g. model = \"zero_shot\""));
                }
                let seeds = if trains { ablation.seeds.as_slice() } else { &ablation.seeds[..1] };
                cells.extend(seeds.iter().map(|&seed| Cell {
                    row: name.clone(),
                    pipeline: spec.name.clone(),
                    seed,
                    model: model.to_owned(),
                    settings: overrides.join("; "),
                    spec: Spec { seed, store: ablation.store.clone(), ..spec.clone() },
                    place: row.place.clone(),
                }));
            }
        }
        Ok(cells)
    }

    /// Returns the cell's name in messages: `head, flowers, seed 1`.
    pub fn title(&self) -> String {
        format!("{}, {}, seed {}", self.row, self.pipeline, self.seed)
    }
}

/// Loads the pipeline file with the overrides in place. A mistake caused by the row is reported as
/// the row's.
fn resolve(file: &Path, ablation: &Ablation, row: &Row, name: &str, overrides: &[String]) -> Result<Spec> {
    load(file, overrides).map_err(|error| {
        if load(file, &ablation.set).is_err_and(|own| own.to_string() == error.to_string()) {
            return error;
        }
        Error::new(error.kind(), format!("{}: row '{name}' of {}", row.place, file.display())).cause(error)
    })
}

/// Returns each row at every point of the grid; the last key of the grid changes fastest.
fn variants(ablation: &Ablation) -> Result<Vec<Variant<'_>>> {
    let sizes = [ablation.pipelines.len(), ablation.seeds.len(), ablation.rows.len()];
    let lengths = sizes.into_iter().chain(ablation.grid.iter().map(|axis| axis.values.len()));
    if lengths.fold(1, usize::saturating_mul) > MOST {
        let what = format!("{}: the grid makes more than {MOST} runs", ablation.file.display());
        return Err(Error::new(Kind::Usage, what).hint("rows, pipelines, seeds and the grid's values are multiplied"));
    }
    let mut points: Vec<Vec<(&Axis, &Value)>> = vec![Vec::new()];
    for axis in &ablation.grid {
        let longer = |point: &Vec<_>, value| [point.as_slice(), &[(axis, value)]].concat();
        points = points.iter().flat_map(|point| axis.values.iter().map(move |value| longer(point, value))).collect();
    }
    let at = |row, point: &Vec<(&Axis, &Value)>| variant(ablation, row, point);
    Ok(ablation.rows.iter().flat_map(|row| points.iter().map(move |point| at(row, point))).collect())
}

fn variant<'a>(ablation: &Ablation, row: &'a Row, point: &[(&Axis, &Value)]) -> Variant<'a> {
    let (mut name, mut overrides) = (row.name.clone(), [ablation.set.as_slice(), &row.set].concat());
    for (Axis { key, .. }, value) in point {
        overrides.push(format!("{key}={value}"));
        match value {
            Value::String(text) => name.push_str(&format!(", {key} = {text}")),
            other => name.push_str(&format!(", {key} = {other}")),
        }
    }
    Variant { row, name, overrides }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::super::spec::{Metric, Missing};
    use super::*;
    use crate::source::Split;

    fn row(name: &str, set: &[&str]) -> Row {
        let set = set.iter().map(|&text| text.to_owned()).collect();
        Row { name: name.to_owned(), model: None, set, place: "a.toml:1".to_owned() }
    }

    fn ablation(rows: Vec<Row>, grid: Vec<Axis>) -> Ablation {
        Ablation {
            file: "a.toml".into(),
            name: "a".to_owned(),
            store: "/store".into(),
            pipelines: vec![PathBuf::from("/p.toml"); 2],
            seeds: vec![0, 1, 2],
            set: vec!["device.threads=2".to_owned()],
            split: Split::Test,
            metric: Metric::Top1,
            missing: Missing::Refuse,
            published: Vec::new(),
            rows,
            grid,
        }
    }

    #[test]
    fn every_row_is_there_for_every_combination_of_the_grid() {
        let grid = vec![
            Axis { key: "dka.gamma", values: vec![Value::Float(0.0), Value::Float(0.5)] },
            Axis {
                key: "saliency.affinity",
                values: vec![Value::String("dot".into()), Value::String("cosine".into())],
            },
        ];
        let ablation = ablation(vec![row("plain", &[]), row("head", &["adapt.tune=head"])], grid);
        let found = variants(&ablation).unwrap();
        let names: Vec<&str> = found.iter().map(|variant| variant.name.as_str()).collect();
        insta::assert_snapshot!(names.join("\n"), @r"
        plain, dka.gamma = 0.0, saliency.affinity = dot
        plain, dka.gamma = 0.0, saliency.affinity = cosine
        plain, dka.gamma = 0.5, saliency.affinity = dot
        plain, dka.gamma = 0.5, saliency.affinity = cosine
        head, dka.gamma = 0.0, saliency.affinity = dot
        head, dka.gamma = 0.0, saliency.affinity = cosine
        head, dka.gamma = 0.5, saliency.affinity = dot
        head, dka.gamma = 0.5, saliency.affinity = cosine
        ");
        let overrides = ["device.threads=2", "adapt.tune=head", "dka.gamma=0.5", "saliency.affinity=\"cosine\""];
        assert_eq!(found[7].overrides, overrides, "the grid wins over the row, the row over what all have");
    }

    #[test]
    fn without_a_grid_rows_are_as_they_are() {
        let ablation = ablation(vec![row("head", &["adapt.tune=head"])], Vec::new());
        let found = variants(&ablation).unwrap();
        assert_eq!((found.len(), found[0].name.as_str()), (1, "head"));
    }

    #[test]
    fn a_slip_in_the_grid_is_refused_before_it_fills_the_memory() {
        let values: Vec<Value> = (0..100).map(Value::Integer).collect();
        let keys = ["adapt.epochs", "adapt.batch", "views.count", "embed.batch", "views.seed", "embed.part_rows"];
        let grid = keys.into_iter().map(|key| Axis { key, values: values.clone() }).collect();
        let error = variants(&ablation(vec![row("head", &[])], grid)).unwrap_err();
        assert!(error.to_string().contains("more than 10000 runs"), "{error}");
    }
}
