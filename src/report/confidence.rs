//! How sure answers are, and how often they are right.

use datafusion::execution::context::SessionContext;
use serde::{Deserialize, Serialize};

use super::axis::{Axis, Unit};
use super::chart::{Chart, Series, against, bars};
use crate::error::Result;
use crate::table::typed_rows::rows;

/// Bins of the confidence, from 0 to 1.
const BINS: usize = 20;

/// The histogram and, if labels are known, the reliability diagram.
#[derive(Debug, Serialize)]
pub(super) struct Confidence {
    charts: Vec<Chart>,
    /// The mean distance between confidence and accuracy over the bins, weighted by their pictures.
    calibration_error: Option<f64>,
}

#[derive(Deserialize)]
struct Bin {
    bin: usize,
    images: f64,
    confidence: f64,
    /// Right answers; `None` without labels.
    right: Option<f64>,
    /// Pictures whose label is known.
    known: f64,
}

pub(super) async fn read(ctx: &SessionContext, labelled: bool) -> Result<Confidence> {
    let statement = format!(
        "SELECT CAST(least(floor(p.confidence * {BINS}), {BINS} - 1) AS BIGINT) AS bin, count(*) AS images,
                avg(CAST(p.confidence AS DOUBLE)) AS confidence, sum(CAST(p.class_id = l.class_id AS BIGINT)) AS right,
                count(l.class_id) AS known
         FROM predictions p LEFT JOIN labels l ON l.image_id = p.image_id
         GROUP BY 1 ORDER BY 1"
    );
    let bins: Vec<Bin> = rows(ctx, &statement).await?;
    let centre = |bin: usize| (bin as f64 + 0.5) / BINS as f64;
    let series = |name, style, of: &dyn Fn(&Bin) -> f64| Series {
        name,
        style,
        points: (0..BINS).map(|n| (centre(n), bins.iter().find(|b| b.bin == n).map(of))).collect(),
    };
    let axes = [Axis { name: "confidence", unit: Unit::Percent }, Axis { name: "pictures", unit: Unit::Count }];
    let right = |b: &Bin| b.right.unwrap_or(0.0);
    let histogram = match labelled {
        true => vec![series("right", 1, &right), series("wrong", 3, &|b| b.images - right(b))],
        false => vec![series("pictures", 1, &|b| b.images)],
    };
    let note = "The largest probability of each answer, before it is calibrated.";
    let mut charts: Vec<Chart> =
        bars("How sure the answers are", note, axes, 1.0 / BINS as f64, histogram).into_iter().collect();
    let known: f64 = bins.iter().map(|b| b.known).sum();
    let share = |b: &Bin| right(b) / b.known.max(1.0);
    let calibration_error =
        (known > 0.0).then(|| bins.iter().map(|b| b.known / known * (b.confidence - share(b)).abs()).sum());
    if labelled {
        let measured = bins.iter().filter(|b| b.known > 0.0);
        let points = measured.map(|b| (b.confidence, Some(share(b)))).collect();
        charts.extend(against(
            "How often that is right",
            "A point is a bin of the histogram. Above the diagonal the model is better than it says, below it is worse.",
            [axes[0], Axis { name: "right", unit: Unit::Percent }],
            vec![Series { name: "bins", style: 1, points }],
        ));
    }
    Ok(Confidence { charts, calibration_error })
}
