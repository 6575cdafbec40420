//! How training went, pass by pass.

use datafusion::execution::context::SessionContext;
use serde::{Deserialize, Serialize};

use super::axis::{Axis, Unit};
use super::chart::{Chart, Series, bars, lines};
use super::sample::Sample;
use crate::error::Result;
use crate::table::sql_views;
use crate::table::typed_rows::rows;

/// Charts over the passes.
#[derive(Debug, Serialize)]
pub(super) struct Passes {
    charts: Vec<Chart>,
}

#[derive(Deserialize)]
struct Pass {
    pass: f64,
    changed: Option<f64>,
    dead_classes: Option<f64>,
    mean_confidence: Option<f64>,
    accuracy: Option<f64>,
    loss: Option<f64>,
    ce: Option<f64>,
    fairness: Option<f64>,
    /// Accuracies of the model's own answers before the pass, and of the prior's.
    model: Option<f64>,
    prior: Option<f64>,
    /// The share of pictures on which both agree.
    agree: Option<f64>,
    /// The share of neighbours that have the same pseudo-label, and what it would be by chance.
    same: Option<f64>,
    by_chance: Option<f64>,
}

fn statement(sample: &Sample) -> String {
    let agreement = sql_views::neighbour_agreement_of(&sample.rows_of("pseudo_labels"));
    let [pass_answers, prior_logits] = ["pass_answers", "prior_logits"].map(|table| sample.rows_of(table));
    format!(
        "\
SELECT s.*, f.model, f.prior, f.agree, n.same, n.by_chance
FROM pass_summary s
LEFT JOIN ({agreement}) n ON n.pass = s.pass
LEFT JOIN (
  SELECT f.pass, avg(CAST(f.best = l.class_id AS DOUBLE)) AS model, avg(CAST(p.best = l.class_id AS DOUBLE)) AS prior,
         avg(CAST(f.best = p.best AS DOUBLE)) AS agree
  FROM (SELECT run, pass, image_id, class_id AS best FROM {pass_answers}) f
  JOIN (SELECT run, image_id, argmax(logits) AS best FROM {prior_logits}) p ON p.run = f.run AND p.image_id = f.image_id
  LEFT JOIN labels l ON l.image_id = f.image_id
  GROUP BY f.pass
) f ON f.pass = s.pass
ORDER BY s.pass"
    )
}

/// Says of how many passes the run does not have what the model itself said.
pub(super) async fn without_answers(ctx: &SessionContext) -> Result<Option<String>> {
    #[derive(Deserialize)]
    struct Passes {
        passes: u64,
        of: u64,
    }
    let sql = "SELECT count(CASE WHEN kept = 0 THEN 1 END) AS passes, count(*) AS of FROM passes";
    let found: Vec<Passes> = rows(ctx, sql).await?;
    let found = found.first().filter(|found| found.passes > 0);
    Ok(found.map(|Passes { passes, of }| {
        format!("of {passes} of {of} passes, adapt.keep has not kept what the model itself said: it is left out of the charts")
    }))
}

pub(super) async fn read(ctx: &SessionContext, sample: &Sample, labelled: bool) -> Result<Passes> {
    let passes: Vec<Pass> = rows(ctx, &statement(sample)).await?;
    let pass = Axis { name: "pass", unit: Unit::Count };
    let axes = |name, unit| [pass, Axis { name, unit }];
    let series = |name, style, of: fn(&Pass) -> Option<f64>| Series {
        name,
        style,
        points: passes.iter().map(|p| (p.pass, of(p))).collect(),
    };
    let mut charts = Vec::new();
    if labelled {
        charts.extend(lines(
            "How many are right",
            "Of the training pictures: the labels that a pass trains on, what the model itself says, and what the sentences say (the prior).",
            axes("right", Unit::Percent),
            vec![
                series("pseudo-labels", 1, |p| p.accuracy),
                series("model", 2, |p| p.model),
                series("prior", 3, |p| p.prior),
            ],
        ));
    }
    charts.extend(lines(
        "Confidence and agreement",
        "The mean confidence of the pseudo-labels, and the share of pictures on which the model and the prior agree.",
        axes("share", Unit::Percent),
        vec![series("confidence", 1, |p| p.mean_confidence), series("agreement", 2, |p| p.agree)],
    ));
    let mut neighbours = vec![series("neighbours", 1, |p| p.same), series("by chance", 3, |p| p.same.and(p.by_chance))];
    if labelled && passes.iter().any(|p| p.same.is_some()) {
        neighbours.insert(1, series("right", 2, |p| p.accuracy));
    }
    charts.extend(lines(
        "Neighbours with the same label",
        "Of the pictures that the frozen model finds most alike, how many have the same pseudo-label, and how many would if the labels were dealt out at random. No label of yours is needed for that; where there are some, the share of right pseudo-labels is beside it.",
        axes("share", Unit::Percent),
        neighbours,
    ));
    charts.extend(bars(
        "Labels that changed",
        "Pictures whose pseudo-label is not that of the pass before. Training has settled when few are left.",
        axes("pictures", Unit::Count),
        1.0,
        vec![series("changed", 1, |p| p.changed)],
    ));
    charts.extend(lines(
        "Cross-entropy",
        "How far the model is from the pseudo-labels; mean over the steps of a pass.",
        axes("cross-entropy", Unit::Decimals(3)),
        vec![series("cross-entropy", 1, |p| p.ce)],
    ));
    charts.extend(lines(
        "Loss and its fairness term",
        "The fairness term keeps classes from dying; with the cross-entropy it makes the loss.",
        axes("loss", Unit::Decimals(3)),
        vec![series("loss", 1, |p| p.loss), series("fairness", 2, |p| p.fairness)],
    ));
    charts.extend(bars(
        "Classes without a label",
        "Classes that none of the pass's pseudo-labels names.",
        axes("classes", Unit::Count),
        1.0,
        vec![series("classes", 3, |p| p.dead_classes)],
    ));
    Ok(Passes { charts })
}
