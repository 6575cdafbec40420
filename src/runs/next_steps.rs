//! What is worth doing after a run, from what it saw: not what could be done in general.

use datafusion::execution::context::SessionContext;
use serde::Deserialize;

use crate::error::Result;
use crate::runs::sql_scope::{SqlScope, scope_of_run};
use crate::runs::stored_run::StoredRun;
use crate::stage::describe::Prototypes;
use crate::table::session;
use crate::table::typed_rows::rows;
use crate::text::list::some_of;
use crate::text::numbers::{count, counted};
use crate::text::terminal::in_line;

/// Something to do, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NextStep {
    /// What was seen, in words.
    pub why: String,
    /// The command line.
    pub command: String,
}

/// The most that are named: a longer list is not read.
const MOST: usize = 3;

/// The most classes named.
const SHOWN: usize = 3;

/// What sentences were worth where it was measured: 75.2 % with and 66.3 % without on the embedded
/// flowers, 75.5 and 75.7 on photographs (`docs/ablations.md`, "templates instead of sentences").
const WORTH: &str =
    "gained 9 points of accuracy on the embedded flowers, whose names say little, and none on photographs";

/// Answers with less confidence than this are called unsure.
const UNSURE: f64 = 0.5;

/// Returns the three things most worth doing after a run, the first one first; fewer where there is
/// less to do. `pipeline` is the pipeline file as the user typed it.
///
/// # Errors
/// Fails with [`crate::error::Kind::Query`] or [`crate::error::Kind::Store`] if a table cannot be
/// read.
pub async fn next_steps(chosen: &StoredRun, pipeline: &str) -> Result<Vec<NextStep>> {
    let SqlScope { store, visible, .. } = scope_of_run(chosen)?;
    let ctx = session(&store, &visible).await?;
    let text = &chosen.spec.text;
    let names_alone = match text.prototypes {
        Prototypes::Templates => true,
        Prototypes::Auto => !text.has_sentences()?,
        Prototypes::Descriptions => false,
    };
    let saw = Saw::read(&ctx, names_alone).await?;
    Ok(saw.steps(pipeline))
}

/// What a run saw.
#[derive(Debug, Default)]
struct Saw {
    /// Whether classes are known by their names alone.
    names_alone: bool,
    /// Classes that no picture is taken for.
    unanswered: Vec<String>,
    /// The two classes between which most pictures moved.
    look_alikes: Option<Pair>,
    /// How many answers are unsure.
    unsure: u64,
    /// How many answers there are.
    answers: u64,
}

#[derive(Debug, Deserialize)]
struct Pair {
    class: String,
    other: String,
    moved: u64,
}

#[derive(Debug, Deserialize)]
struct Class {
    name: String,
}

#[derive(Debug, Deserialize)]
struct Answers {
    answers: u64,
    unsure: u64,
}

const UNANSWERED: &str =
    "SELECT name FROM classes WHERE class_id NOT IN (SELECT class_id FROM predictions) ORDER BY name";

/// Pairs that have sentences of what tells them apart are not named again.
const LOOK_ALIKES: &str = "SELECT class, other, swaps + moved AS moved FROM look_alikes WHERE swaps + moved > 0 \
                           AND NOT EXISTS (SELECT 1 FROM llm_sentences AS told \
                                           WHERE told.class = look_alikes.class AND told.other = look_alikes.other) \
                           ORDER BY swaps + moved DESC, class, other LIMIT 1";

impl Saw {
    async fn read(ctx: &SessionContext, names_alone: bool) -> Result<Self> {
        let sure = format!(
            "SELECT count(*) AS answers, count(*) FILTER (WHERE confidence < {UNSURE}) AS unsure FROM predictions"
        );
        let Some(Answers { answers, unsure }) = rows(ctx, &sure).await?.pop() else { return Ok(Saw::default()) };
        let unanswered = match answers {
            0 => Vec::new(),
            _ => rows(ctx, UNANSWERED).await?.into_iter().map(|Class { name }| name).collect(),
        };
        Ok(Saw { names_alone, unanswered, look_alikes: rows(ctx, LOOK_ALIKES).await?.pop(), unsure, answers })
    }

    fn steps(&self, pipeline: &str) -> Vec<NextStep> {
        let Saw { names_alone, unanswered, look_alikes, unsure, answers } = self;
        let step = |why: String, command: String| NextStep { why, command: format!("microclip-pipe {command}") };
        let mut steps = Vec::new();
        if *names_alone {
            steps.push(step(
                format!("the classes are known by their names alone: sentences about each {WORTH}"),
                format!("describe {pipeline}"),
            ));
        }
        if !unanswered.is_empty() {
            let classes = counted(unanswered.len() as u64, "class");
            let are = if unanswered.len() == 1 { "is" } else { "are" };
            steps.push(step(
                format!("{classes} {are} no picture's answer: {}", some_of(unanswered, SHOWN)),
                format!("sql {pipeline} \"SELECT * FROM dead_classes\""),
            ));
        }
        if let Some(Pair { class, other, moved }) = look_alikes {
            let (class, other, pictures) = (in_line(class), in_line(other), counted(*moved, "picture"));
            let sentences = if *names_alone { "" } else { ": sentences may say what tells them apart" };
            steps.push(step(
                format!("{class} and {other} look alike, {pictures} moved between them{sentences}"),
                match names_alone {
                    true => format!("sql {pipeline} \"SELECT * FROM look_alikes LIMIT 20\""),
                    false => format!("describe {pipeline} --contrast"),
                },
            ));
        }
        let why = match (*unsure, *answers) {
            (0, _) => "curves, classes and pictures worth checking, on one page".to_owned(),
            (unsure, answers) => format!("{} of {} answers are unsure", count(unsure), count(answers)),
        };
        steps.push(step(why, format!("report {pipeline} --open")));
        steps.push(step("new pictures are classified".to_owned(), format!("predict {pipeline} FOLDER")));
        steps.truncate(MOST);
        steps
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn commands(saw: &Saw) -> Vec<String> {
        let name = |step: NextStep| step.command.trim_start_matches("microclip-pipe ").to_owned();
        saw.steps("a.toml").into_iter().map(name).collect()
    }

    #[test]
    fn what_a_run_saw_decides_what_is_next() {
        let quiet = Saw { answers: 10, ..Saw::default() };
        assert_eq!(commands(&quiet), ["report a.toml --open", "predict a.toml FOLDER"]);

        let pair = || Some(Pair { class: "crow".into(), other: "raven".into(), moved: 1 });
        let alike = Saw { look_alikes: pair(), answers: 10, unsure: 4, ..Saw::default() };
        assert_eq!(commands(&alike)[0], "describe a.toml --contrast");
        assert!(alike.steps("a.toml")[0].why.contains("crow and raven look alike, 1 picture moved"), "{alike:?}");
        assert_eq!(alike.steps("a.toml")[1].why, "4 of 10 answers are unsure");

        let unanswered = ["a", "b", "c", "d"].map(str::to_owned).to_vec();
        let all = Saw { names_alone: true, unanswered, look_alikes: pair(), unsure: 4, answers: 10 };
        assert_eq!(commands(&all).len(), MOST);
        assert_eq!(commands(&all)[0], "describe a.toml");
        assert!(all.steps("a.toml")[1].why.starts_with("4 classes are no picture's answer: a, b, c"), "{all:?}");
        // Sentences that are not there yet cannot be contrasted.
        assert!(commands(&all)[2].starts_with("sql a.toml"));
    }
}
