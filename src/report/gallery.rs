//! Pictures that a person should look at.

use std::collections::HashSet;

use datafusion::execution::context::SessionContext;
use serde::{Deserialize, Serialize};

use super::sample::Sample;
use super::thumbnail::Thumbnails;
use crate::error::Result;
use crate::table::typed_rows::rows;

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
    #[serde(skip)]
    image_id: String,
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

/// Reads what the galleries say; the pictures come later ([`Galleries::illustrate`]).
pub(super) async fn read(ctx: &SessionContext, sample: &Sample) -> Result<Galleries> {
    Ok(Galleries {
        galleries: vec![least_certain(ctx).await?, changed(ctx).await?, disagreements(ctx, sample).await?],
        rejected: rows(ctx, &format!("SELECT path, stage, reason, detail FROM rejected ORDER BY path LIMIT {LISTED}"))
            .await?,
        reasons: rows(
            ctx,
            "SELECT reason, count(*) AS files FROM rejected GROUP BY reason ORDER BY files DESC, reason",
        )
        .await?,
    })
}

impl Galleries {
    /// Returns the ids of the pictures.
    pub(super) fn image_ids(&self) -> impl Iterator<Item = &str> {
        self.galleries.iter().flat_map(|gallery| gallery.cards.iter().map(|card| card.image_id.as_str()))
    }

    /// Puts the thumbnails on the cards.
    pub(super) fn illustrate(&mut self, thumbnails: &Thumbnails<'_>) {
        for card in self.galleries.iter_mut().flat_map(|gallery| &mut gallery.cards) {
            card.picture = thumbnails.of(&card.image_id);
        }
    }
}

/// Returns the last of the first `count` values of a statement, or `None` if it has fewer or that
/// one is null.
async fn last_of(ctx: &SessionContext, statement: &str, count: usize) -> Result<Option<f64>> {
    #[derive(Deserialize)]
    struct Value {
        value: Option<f64>,
    }
    let first: Vec<Value> = rows(ctx, &format!("{statement} LIMIT {count}")).await?;
    Ok(first.get(count - 1).and_then(|last| last.value))
}

/// Returns the least certain answers.
pub(super) async fn least_certain_answers(ctx: &SessionContext, count: usize) -> Result<Vec<Answered>> {
    // Paths and names are looked up for the few rows that may be shown, not for all that are
    // sorted.
    let least = "SELECT CAST(confidence AS DOUBLE) AS value FROM predictions ORDER BY confidence";
    let bound = match last_of(ctx, least, count).await? {
        Some(confidence) => format!("WHERE confidence <= {confidence:?}"),
        None => String::new(),
    };
    rows(ctx, &format!("SELECT * FROM least_certain {bound} LIMIT {count}")).await
}

/// Returns the surest of the answers that adaptation changed.
pub(super) async fn surest_changed_answers(ctx: &SessionContext, count: usize) -> Result<Vec<Answered>> {
    let surest = "SELECT CAST(confidence AS DOUBLE) AS value FROM predictions WHERE class_id <> zero_shot_class_id ORDER BY confidence DESC";
    let bound = match last_of(ctx, surest, count).await? {
        Some(confidence) => format!("AND confidence >= {confidence:?}"),
        None => String::new(),
    };
    let changed = format!("SELECT * FROM least_certain WHERE answer <> zero_shot {bound}");
    rows(ctx, &format!("{changed} ORDER BY confidence DESC, path LIMIT {count}")).await
}

async fn least_certain(ctx: &SessionContext) -> Result<Gallery> {
    let cards = least_certain_answers(ctx, SHOWN).await?.into_iter().map(|row| {
        let mut said = vec![format!("{:.0} % sure", 100.0 * row.confidence)];
        said.extend(row.zero_shot.map(|before| format!("before: {before}")));
        Card {
            path: end_of(&row.path),
            image_id: row.image_id,
            picture: None,
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

/// Returns the labels that changed last, `count` of them, the surest of a pass first.
async fn last_changes(ctx: &SessionContext, count: usize) -> Result<Vec<Changed>> {
    #[derive(Deserialize)]
    struct Pass {
        pass: i64,
        changed: u64,
    }
    let passes: Vec<Pass> = rows(
        ctx,
        "SELECT pass, count(*) AS changed FROM pseudo_labels WHERE class_id <> previous_class_id
         GROUP BY pass ORDER BY pass DESC",
    )
    .await?;
    // The passes that have enough changes together, and the surest changes of the first of them.
    let mut wanted = count as u64;
    let first = passes.into_iter().find(|pass| {
        let enough = pass.changed >= wanted;
        wanted -= if enough { 0 } else { pass.changed };
        enough
    });
    let bound = match first {
        Some(Pass { pass, .. }) => {
            let surest = format!(
                "SELECT CAST(confidence AS DOUBLE) AS value FROM pseudo_labels WHERE pass = {pass} AND class_id <> previous_class_id
                 ORDER BY confidence DESC"
            );
            let least = last_of(ctx, &surest, wanted as usize).await?;
            let sure =
                least.map(|least| format!(" AND (pass > {pass} OR confidence >= {least:?})")).unwrap_or_default();
            format!("WHERE pass >= {pass}{sure}")
        }
        None => String::new(),
    };
    rows(ctx, &format!("SELECT * FROM changed_labels {bound} LIMIT {count}")).await
}

async fn changed(ctx: &SessionContext) -> Result<Gallery> {
    let rows = last_changes(ctx, 4 * SHOWN).await?;
    // A picture may have changed in several passes: only the last one counts.
    let mut seen = HashSet::new();
    let last = rows.into_iter().filter(|row| seen.insert(row.image_id.clone()));
    let cards = last.take(SHOWN).map(|row| {
        let sure = row.confidence.map(|c| format!(", {:.0} % sure", 100.0 * c)).unwrap_or_default();
        let said = vec![format!("before: {}", row.was), format!("pass {}{sure}", row.pass)];
        Card { path: end_of(&row.path), image_id: row.image_id, picture: None, answer: row.now, said, truth: row.truth }
    });
    Ok(Gallery {
        id: "changed",
        title: "Changed last",
        note: "Training pictures whose pseudo-label changed most recently, the surest of a pass first.",
        cards: cards.collect(),
    })
}

async fn disagreements(ctx: &SessionContext, sample: &Sample) -> Result<Gallery> {
    let last = "pass = (SELECT max(pass) FROM passes)";
    let drawn = sample.has("image_id");
    let rows: Vec<Disagreement> =
        rows(ctx, &format!("SELECT * FROM disagreements WHERE {last} AND {drawn} LIMIT {SHOWN}")).await?;
    let cards = rows.into_iter().map(|row| {
        let said = vec![format!("model: {}", row.fusion), format!("prior: {}", row.prior)];
        let answer = row.pseudo_label.unwrap_or_else(|| "no pseudo-label".to_owned());
        Card { path: end_of(&row.path), image_id: row.image_id, picture: None, answer, said, truth: row.truth }
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
