//! Pictures that a person should look at.

use std::collections::HashSet;

use datafusion::execution::context::SessionContext;
use serde::{Deserialize, Serialize};

use super::rows::rows;
use super::thumbnail::Thumbnails;
use crate::error::Result;

/// The most pictures in a gallery.
const SHOWN: usize = 24;

/// The most rejected pictures that are listed.
const LISTED: usize = 100;

/// The galleries, and what could not be shown.
#[derive(Debug, Serialize)]
pub(super) struct Galleries {
    galleries: Vec<Gallery>,
    rejected: Vec<Rejected>,
    reasons: Vec<Reason>,
}

#[derive(Debug, Serialize)]
struct Gallery {
    id: &'static str,
    title: &'static str,
    note: &'static str,
    cards: Vec<Card>,
}

/// A picture, and what was said about it.
#[derive(Debug, Serialize)]
struct Card {
    picture: Option<String>,
    path: String,
    /// The answer or label, which is shown first; `said` follows it.
    answer: String,
    said: Vec<String>,
    truth: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Rejected {
    path: String,
    stage: String,
    reason: String,
    detail: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct Reason {
    reason: String,
    files: i64,
}

/// A row of the view `least_certain`: a picture and its answer.
#[derive(Debug, Deserialize)]
pub(super) struct Answered {
    pub(super) image_id: String,
    pub(super) path: String,
    pub(super) answer: String,
    pub(super) confidence: f64,
    pub(super) zero_shot: Option<String>,
    pub(super) truth: Option<String>,
}

#[derive(Deserialize)]
struct Changed {
    image_id: String,
    path: String,
    pass: i64,
    was: String,
    now: String,
    confidence: Option<f64>,
    truth: Option<String>,
}

#[derive(Deserialize)]
struct Disagreement {
    image_id: String,
    path: String,
    prior: String,
    fusion: String,
    pseudo_label: Option<String>,
    truth: Option<String>,
}

pub(super) async fn read(ctx: &SessionContext, thumbnails: &Thumbnails<'_>) -> Result<Galleries> {
    Ok(Galleries {
        galleries: vec![
            least_certain(ctx, thumbnails).await?,
            changed(ctx, thumbnails).await?,
            disagreements(ctx, thumbnails).await?,
        ],
        rejected: rows(ctx, &format!("SELECT path, stage, reason, detail FROM rejected ORDER BY path LIMIT {LISTED}"))
            .await?,
        reasons: rows(
            ctx,
            "SELECT reason, count(*) AS files FROM rejected GROUP BY reason ORDER BY files DESC, reason",
        )
        .await?,
    })
}

async fn least_certain(ctx: &SessionContext, thumbnails: &Thumbnails<'_>) -> Result<Gallery> {
    let rows: Vec<Answered> = rows(ctx, &format!("SELECT * FROM least_certain LIMIT {SHOWN}")).await?;
    let cards = rows.into_iter().map(|row| {
        let mut said = vec![format!("{:.0} % sure", 100.0 * row.confidence)];
        said.extend(row.zero_shot.map(|before| format!("before: {before}")));
        Card {
            picture: thumbnails.of(&row.image_id),
            path: end_of(&row.path),
            answer: row.answer,
            said,
            truth: row.truth,
        }
    });
    Ok(Gallery {
        id: "least-certain",
        title: "Least certain",
        note: "Answers with the lowest confidence, of all splits.",
        cards: cards.collect(),
    })
}

async fn changed(ctx: &SessionContext, thumbnails: &Thumbnails<'_>) -> Result<Gallery> {
    let rows: Vec<Changed> = rows(ctx, &format!("SELECT * FROM changed_labels LIMIT {}", 4 * SHOWN)).await?;
    // A picture may have changed in several passes: only the last one counts.
    let mut seen = HashSet::new();
    let last = rows.into_iter().filter(|row| seen.insert(row.image_id.clone()));
    let cards = last.take(SHOWN).map(|row| {
        let sure = row.confidence.map(|c| format!(", {:.0} % sure", 100.0 * c)).unwrap_or_default();
        let said = vec![format!("before: {}", row.was), format!("pass {}{sure}", row.pass)];
        Card { picture: thumbnails.of(&row.image_id), path: end_of(&row.path), answer: row.now, said, truth: row.truth }
    });
    Ok(Gallery {
        id: "changed",
        title: "Changed last",
        note: "Training pictures whose pseudo-label changed most recently, the surest of a pass first.",
        cards: cards.collect(),
    })
}

async fn disagreements(ctx: &SessionContext, thumbnails: &Thumbnails<'_>) -> Result<Gallery> {
    let rows: Vec<Disagreement> = rows(
        ctx,
        &format!("SELECT * FROM disagreements WHERE pass = (SELECT max(pass) FROM fusion_logits) LIMIT {SHOWN}"),
    )
    .await?;
    let cards = rows.into_iter().map(|row| {
        let said = vec![format!("model: {}", row.fusion), format!("prior: {}", row.prior)];
        let answer = row.pseudo_label.unwrap_or_else(|| "no pseudo-label".to_owned());
        Card { picture: thumbnails.of(&row.image_id), path: end_of(&row.path), answer, said, truth: row.truth }
    });
    Ok(Gallery {
        id: "disagreements",
        title: "Disagreements",
        note: "Training pictures that the model and the prior, made from the sentences, still see differently in the last pass.",
        cards: cards.collect(),
    })
}

/// Returns the file's name and that of its folder: enough to find it, and nothing about the
/// machine.
pub(super) fn end_of(path: &str) -> String {
    let parts: Vec<&str> = path.rsplitn(3, '/').take(2).collect();
    parts.into_iter().rev().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use super::end_of;

    #[test]
    fn a_path_ends_in_its_folder_and_name() {
        for (path, end) in [("/a/b/c.png", "b/c.png"), ("c.png", "c.png"), ("b/c.png", "b/c.png"), ("", "")] {
            assert_eq!(end_of(path), end);
        }
    }
}
