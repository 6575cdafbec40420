//! The ablation file as types.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::reader::Reader;
use crate::config::Spec;
use crate::config::check::Check;
use crate::config::document::Document;
use crate::config::mistakes::Mistakes;
use crate::config::overrides::Applied;
use crate::error::Result;
use crate::settings::choice;
use crate::source::Split;
use crate::stage::adapt::Tune;

/// Everything that an ablation file says. If [`load`] returned it, it is complete, and its
/// overrides have known keys and values in range; whether they go together with the pipelines shows
/// when the [cells](super::Cell) are made.
#[derive(Debug, Clone, PartialEq)]
pub struct Ablation {
    /// The file itself, as it was named.
    pub file: PathBuf,
    /// The ablation's name, which names its rows in the table `ablations`.
    pub name: String,
    /// The one store of all its runs, absolute. By default `.store` beside the file.
    pub store: PathBuf,
    /// The pipeline files, absolute; each is a column.
    pub pipelines: Vec<PathBuf>,
    /// The seeds, all different; each is a run of its own.
    pub seeds: Vec<u64>,
    /// Overrides of all runs, as `KEY=VALUE`.
    pub set: Vec<String>,
    /// The pictures that are measured.
    pub split: Split,
    /// How they are measured.
    pub metric: Metric,
    /// What becomes of pipelines whose data sets are not there.
    pub missing: Missing,
    /// Figures of others, to be shown below the rows.
    pub published: Vec<Published>,
    /// The rows; their names are all different.
    pub rows: Vec<Row>,
    /// What is varied in every row, in the order of the file; empty without a grid.
    pub grid: Vec<Axis>,
}

/// A row of an ablation.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// The row's name in the table.
    pub name: String,
    /// The model of `metrics` that it shows; without one, what its run answers.
    pub model: Option<String>,
    /// The row's overrides, as `KEY=VALUE`.
    pub set: Vec<String>,
    /// Where it stands, for messages: `FILE:LINE`.
    pub place: String,
}

/// Figures that others have published.
#[derive(Debug, Clone, PartialEq)]
pub struct Published {
    /// What the table calls them.
    pub name: String,
    /// Where they stand.
    pub source: String,
    /// The figure of each pipeline, by its name, from 0 to 1.
    pub figures: BTreeMap<String, f64>,
}

/// A key of the grid.
#[derive(Debug, Clone, PartialEq)]
pub struct Axis {
    /// The key of the pipeline file, dotted.
    pub key: &'static str,
    /// The values, as TOML; all different.
    pub values: Vec<toml::Value>,
}

choice! {
    /// What becomes of pipelines whose data sets are not there.
    Missing {
        /// They are mistakes.
        Refuse = "refuse",
        /// They are left out, and named.
        Skip = "skip",
    }
}

choice! {
    /// How a model's answers are measured.
    Metric {
        /// The share of pictures that are right.
        Top1 = "top1",
        /// The mean of that share over the classes.
        MeanClass = "mean_class",
    }
}

/// Returns the model that a row of these settings shows unless it names one: what its run answers.
pub(super) fn usual_model(spec: &Spec) -> &'static str {
    let answers_differ = spec.predict.gamma > 0.0 || spec.transduction.predictions;
    if answers_differ && spec.adapt.tune != Tune::None { "predicted" } else { "adapted" }
}

/// Reads the ablation file at `path` and checks what can be checked without the pipelines.
///
/// # Errors
/// Returns [`Kind::Usage`](crate::error::Kind::Usage) if the file cannot be read or is not TOML; if
/// a key is unknown or missing; or if a value, including one of an override, has the wrong type or
/// is out of range. All mistakes are reported together, each with its line.
pub fn load(path: &Path) -> Result<Ablation> {
    let Document { table, lines, folder } = Document::read(path, "ablation file")?;
    let (applied, mut mistakes) = (Applied::new(), Mistakes::new(path));
    let check = Check {
        base: &folder,
        lines: &lines,
        applied: &applied,
        sentences: false,
        obtain: None,
        mistakes: &mut mistakes,
    };
    let ablation = Reader::new(path, check).ablation(&table);
    mistakes.finish()?;
    Ok(ablation)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_that_names_no_model_shows_what_its_run_answers() {
        let mut spec: Spec = serde_json::from_str(
            r#"{"name": "a", "dataset": {"kind": "folder", "path": "/a"}, "model": {"path": "/m"}}"#,
        )
        .unwrap();
        assert_eq!(usual_model(&spec), "predicted");
        spec.adapt.tune = Tune::None;
        assert_eq!(usual_model(&spec), "adapted", "which is refused");
        spec.adapt.tune = Tune::Head;
        (spec.predict.gamma, spec.transduction.predictions) = (0.0, false);
        assert_eq!(usual_model(&spec), "adapted");
    }
}
