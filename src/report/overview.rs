//! The head of the page: what was run, and its results.

use datafusion::execution::context::SessionContext;
use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::runs::stored_run::StoredRun;
use crate::stage::evaluate::MODELS;
use crate::table::typed_rows::rows;

/// What was run, and its results.
#[derive(Debug, Serialize)]
pub(super) struct Overview {
    name: String,
    run: String,
    started: String,
    finished: bool,
    seconds: Option<f64>,
    tune: String,
    seed: i64,
    passes: i64,
    /// Passes of the whole run.
    passes_of: u64,
    classes: i64,
    temperature: Option<f64>,
    /// Whether labels are known, so that there are accuracies.
    pub(super) labelled: bool,
    splits: Vec<Split>,
    /// Models in the order in which they are compared, with the accuracies of each split.
    models: Vec<Model>,
    settings: Vec<(String, String)>,
    program: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct Split {
    split: String,
    images: i64,
    /// Answers that adaptation changed.
    changed: i64,
    confidence: Option<f64>,
    zero_shot: Option<f64>,
    accuracy: Option<f64>,
}

#[derive(Debug, Serialize)]
struct Model {
    name: String,
    /// Top-1 and the mean over classes, for each split.
    cells: Vec<[Option<f64>; 2]>,
    /// Whether the table `predictions` has this model's answers.
    answers: bool,
}

#[derive(Deserialize)]
struct Run {
    started: String,
    finished: bool,
    total_seconds: Option<f64>,
    tune: String,
    seed: i64,
    versions: String,
    passes: i64,
    classes: i64,
    labels: i64,
}

#[derive(Deserialize)]
struct Metric {
    model: String,
    split: String,
    metric: String,
    value: Option<f64>,
}

const RUN: &str = "\
SELECT to_char(started, '%Y-%m-%d %H:%M') AS started, finished IS NOT NULL AS finished, total_seconds, tune, seed, versions,
       (SELECT count(*) FROM passes) AS passes, (SELECT count(*) FROM classes) AS classes,
       (SELECT count(*) FROM labels) AS labels
FROM runs";

const SPLITS: &str = "\
SELECT p.split, count(*) AS images, sum(CASE WHEN p.class_id <> p.zero_shot_class_id THEN 1 ELSE 0 END) AS changed,
       avg(CAST(p.confidence AS DOUBLE)) AS confidence,
       avg(CAST(p.zero_shot_class_id = l.class_id AS DOUBLE)) AS zero_shot,
       avg(CAST(p.class_id = l.class_id AS DOUBLE)) AS accuracy
FROM predictions p LEFT JOIN labels l ON l.image_id = p.image_id
GROUP BY p.split ORDER BY p.split";

pub(super) async fn read(ctx: &SessionContext, chosen: &StoredRun) -> Result<Overview> {
    let run: Option<Run> = rows(ctx, RUN).await?.pop();
    let splits: Vec<Split> = rows(ctx, SPLITS).await?;
    let metrics: Vec<Metric> = rows(ctx, "SELECT model, split, metric, value FROM metrics").await?;
    let find = |model: &str, split: &str, metric: &str| {
        metrics.iter().find(|m| m.model == model && m.split == split && m.metric == metric).and_then(|m| m.value)
    };
    let there: Vec<(&str, &str)> =
        MODELS.into_iter().filter(|(model, _)| metrics.iter().any(|m| m.model == *model)).collect();
    let models = there.iter().map(|(model, name)| Model {
        name: (*name).to_owned(),
        cells: splits.iter().map(|s| ["top1", "mean_class"].map(|metric| find(model, &s.split, metric))).collect(),
        answers: there.last().is_some_and(|(last, _)| last == model),
    });
    let versions = run.as_ref().and_then(|run| serde_json::from_str::<serde_json::Value>(&run.versions).ok());
    let program = versions.and_then(|v| v.as_object()?.iter().next().map(|(k, v)| format!("{k} {v}")));
    Ok(Overview {
        name: chosen.spec.name.clone(),
        run: chosen.run.clone(),
        models: models.collect(),
        settings: chosen.non_defaults()?,
        temperature: chosen.temperature,
        started: run.as_ref().map(|r| r.started.clone()).unwrap_or_default(),
        finished: run.as_ref().is_some_and(|r| r.finished),
        seconds: run.as_ref().and_then(|r| r.total_seconds),
        tune: run.as_ref().map(|r| r.tune.clone()).unwrap_or_default(),
        seed: run.as_ref().map_or(0, |r| r.seed),
        passes: run.as_ref().map_or(0, |r| r.passes),
        passes_of: chosen.reached.of,
        classes: run.as_ref().map_or(0, |r| r.classes),
        labelled: run.as_ref().is_some_and(|r| r.labels > 0),
        program: program.unwrap_or_default(),
        splits,
    })
}
