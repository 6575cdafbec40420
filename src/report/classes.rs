//! The classes: how each fared, which died, and which are confused with each other.

use datafusion::execution::context::SessionContext;
use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::table::typed_rows::rows;

/// How many classes the map of confusions shows.
const SHOWN: usize = 12;

/// How many rows the table of classes has, at most: a class in a split.
const ROWS: usize = 2400;

/// How many classes without a pseudo-label are named, at most.
const DEAD: usize = 60;

/// How many pairs of look-alikes these classes are taken from.
const PAIRS: usize = 24;

/// The sections about classes.
#[derive(Debug, Serialize)]
pub(super) struct Classes {
    /// Names of the classes, by class id.
    pub(super) names: Vec<String>,
    table: Vec<Class>,
    /// Rows that the table has no room for.
    left_out: usize,
    splits: Vec<String>,
    /// How many classes no pseudo-label of the last pass names.
    dead: usize,
    /// Those of them that are named.
    named: Vec<Dead>,
    /// The names that the prior used too much or too little, the worst first.
    preferred: Vec<Preferred>,
    pairs: Vec<Pair>,
    confusion: Confusion,
}

#[derive(Debug, Serialize, Deserialize)]
struct Class {
    split: String,
    class: String,
    answers: i64,
    zero_shot_answers: i64,
    images: Option<i64>,
    zero_shot: Option<f64>,
    accuracy: Option<f64>,
    change: Option<f64>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Dead {
    class: String,
    answers: i64,
    images: Option<i64>,
}

/// How often the prior answers with a class, without the biases and with them.
#[derive(Debug, Serialize, Deserialize)]
struct Preferred {
    class: String,
    bias: f64,
    mass_before: f64,
    mass_after: f64,
}

/// The classes whose logits are changed most; none where the biases were left in.
const PREFERRED: &str = "\
SELECT class_name(class_id) AS class, bias, mass_before, mass_after FROM class_bias
WHERE pass = -1 AND pull > 0 ORDER BY abs(bias) DESC, class_id LIMIT 12";

#[derive(Debug, Serialize, Deserialize)]
struct Pair {
    class: String,
    other: String,
    swaps: i64,
    moved: i64,
    confused: Option<i64>,
}

/// Pictures by two of their classes: the true one and the answer or, if no labels are known, the
/// answers before and after.
#[derive(Debug, Serialize)]
struct Confusion {
    names: Vec<String>,
    rows: Vec<Vec<Cell>>,
}

#[derive(Debug, Clone, Serialize)]
struct Cell {
    images: i64,
    /// Share of the row's class.
    share: f64,
}

#[derive(Deserialize)]
struct Crossed {
    row: String,
    answer: String,
    images: i64,
}

/// Counts over all splits, as the look-alikes do.
const CONFUSION: &str = "\
SELECT truth AS row, answer, sum(images) AS images FROM confusion WHERE truth IN ({names}) GROUP BY truth, answer";

/// Counts what adaptation moved, for datasets without labels.
const MOVED: &str = "\
SELECT class_name(zero_shot_class_id) AS row, class_name(class_id) AS answer, count(*) AS images
FROM predictions WHERE zero_shot_class_id IN (SELECT class_id FROM classes WHERE name IN ({names})) GROUP BY 1, 2";

pub(super) async fn read(ctx: &SessionContext, labelled: bool) -> Result<Classes> {
    #[derive(Deserialize)]
    struct Name {
        name: String,
    }
    let names: Vec<Name> = rows(ctx, "SELECT name FROM classes ORDER BY class_id").await?;
    let (table, left_out) = table(ctx, labelled).await?;
    let mut splits: Vec<String> = table.iter().map(|c| c.split.clone()).collect();
    splits.sort();
    splits.dedup();
    let pairs: Vec<Pair> = rows(ctx, &format!("SELECT * FROM look_alikes LIMIT {PAIRS}")).await?;
    let crossed = first_of(&pairs);
    let dead: Vec<Dead> = rows(ctx, "SELECT class, answers, images FROM dead_classes").await?;
    Ok(Classes {
        names: names.into_iter().map(|n| n.name).collect(),
        preferred: rows(ctx, PREFERRED).await?,
        confusion: confusion(ctx, crossed, if labelled { CONFUSION } else { MOVED }).await?,
        dead: dead.len(),
        named: most_pictures(dead),
        table,
        left_out,
        splits,
        pairs,
    })
}

/// Returns the rows of the table of classes, and how many have no room in it.
async fn table(ctx: &SessionContext, labelled: bool) -> Result<(Vec<Class>, usize)> {
    #[derive(Deserialize)]
    struct Count {
        rows: usize,
    }
    let all: Vec<Count> = rows(ctx, "SELECT count(*) AS rows FROM per_class").await?;
    let left_out = all.first().map_or(0, |all| all.rows.saturating_sub(ROWS));
    if left_out == 0 {
        return Ok((rows(ctx, "SELECT * FROM per_class").await?, 0));
    }
    let change = if labelled { "abs(change)" } else { "abs(answers - zero_shot_answers)" };
    let most = format!("SELECT * FROM per_class ORDER BY {change} DESC NULLS LAST, split, class LIMIT {ROWS}");
    Ok((rows(ctx, &format!("SELECT * FROM ({most}) most ORDER BY split, class")).await?, left_out))
}

/// Returns the classes to name of those without a pseudo-label: if there are too many, those with
/// most pictures or, where no labels are known, most answers.
fn most_pictures(mut dead: Vec<Dead>) -> Vec<Dead> {
    if dead.len() > DEAD {
        dead.sort_by_key(|class| std::cmp::Reverse((class.images, class.answers)));
        dead.truncate(DEAD);
    }
    dead
}

/// Returns the classes of the worst pairs, each pair side by side.
fn first_of(pairs: &[Pair]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for name in pairs.iter().flat_map(|pair| [&pair.class, &pair.other]) {
        if names.len() < SHOWN && !names.contains(name) {
            names.push(name.clone());
        }
    }
    names
}

/// Crosses classes with what is answered for them.
async fn confusion(ctx: &SessionContext, names: Vec<String>, counts: &str) -> Result<Confusion> {
    let quoted: Vec<String> = names.iter().map(|name| format!("'{}'", name.replace('\'', "''"))).collect();
    let crossed: Vec<Crossed> = match names.is_empty() {
        true => Vec::new(),
        false => rows(ctx, &counts.replace("{names}", &quoted.join(", "))).await?,
    };
    let cells = |row: &String| {
        let of_row = || crossed.iter().filter(|c| c.row == *row);
        let all: i64 = of_row().map(|c| c.images).sum();
        let cell = |answer: &String| {
            let images = of_row().find(|c| c.answer == *answer).map_or(0, |c| c.images);
            Cell { images, share: images as f64 / all.max(1) as f64 }
        };
        names.iter().map(cell).collect::<Vec<Cell>>()
    };
    let rows = names.iter().map(cells).collect();
    Ok(Confusion { names, rows })
}
