//! Which questions a call of `describe` is about.

use std::collections::HashSet;
use std::path::PathBuf;

use crate::config::Spec;
use crate::error::{Error, Kind, Result};
use crate::language_model::{Endpoint, Server};
use crate::runs::sql_scope::scope_of_runs;
use crate::stage::ask::{Answers, Asking, Question, Questions};
use crate::stage::ingest;
use crate::stop::Stop;
use crate::table::session;
use crate::table::typed_rows::rows;
use crate::text::list::{SHOWN, some_of};
use crate::text::names::plain;
use crate::text::nearest;
use crate::text::terminal::in_line;
use crate::workspace::opened;

/// What to ask.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// The classes to ask about; all if none is named.
    pub classes: Vec<String>,
    /// Whether to ask what was answered already.
    pub again: bool,
    /// How many pairs of look-alikes to tell apart, instead of describing each class.
    pub contrast: Option<usize>,
    /// A file to write the sentences to, instead of the pipeline's.
    pub output: Option<PathBuf>,
}

/// What is known before anything is asked.
pub(super) struct Ready {
    pub(super) model: String,
    questions: Questions,
    /// All classes of the dataset.
    pub(super) classes: Vec<String>,
    /// Those to ask about.
    pub(super) chosen: Vec<String>,
    pub(super) pairs: Vec<(String, String)>,
    /// Whether the model is not named, but the only one that the server has.
    is_only: bool,
}

impl Ready {
    pub(super) async fn new(spec: &Spec, wanted: &Wanted, stop: &Stop) -> Result<Ready> {
        let settings = &spec.describe;
        let questions = Questions::of(settings.domain, settings.questions.as_deref())?;
        let (source, ingest) = opened::pictures(spec)?;
        let classes = ingest::classes(source.as_ref(), &ingest)?;
        let chosen = chosen(&wanted.classes, &classes)?;
        // The answers would be paid for, and be of no use.
        if wanted.classes.is_empty()
            && let Some(error) = ingest::without_names(&classes, &ingest)
        {
            let way = error.own_hint().unwrap_or_default();
            let hint = format!("{way}; or insist with --classes, which asks about those that it names");
            return Err(error.hint(hint));
        }
        let (model, is_only) = match &settings.model {
            Some(model) => (model.clone(), false),
            None => (only_model(spec, stop)?, true),
        };
        let pairs = match wanted.contrast {
            Some(most) => look_alikes(spec, &chosen, most).await?,
            None => Vec::new(),
        };
        Ok(Ready { model, questions, classes, chosen, pairs, is_only })
    }

    /// Says that a model was taken which nobody named.
    pub(super) fn taken(&self) -> Option<String> {
        self.is_only
            .then(|| format!("describe.model names none: {} was asked, the only one that the server has", self.model))
    }

    fn asking<'a>(&'a self, spec: &'a Spec) -> Asking<'a> {
        Asking { model: &self.model, settings: &spec.describe, questions: &self.questions }
    }

    /// Returns the questions that this call is about.
    pub(super) fn wanted(&self, spec: &Spec, wanted: &Wanted) -> Vec<Question> {
        let asking = self.asking(spec);
        match wanted.contrast {
            None => self.chosen.iter().flat_map(|class| asking.about(class)).collect(),
            Some(_) => {
                let both = self.pairs.iter().flat_map(|(one, other)| [(one, other), (other, one)]);
                both.filter(|(class, _)| self.chosen.contains(class)).flat_map(|(a, b)| asking.between(a, b)).collect()
            }
        }
    }

    /// Returns the questions whose answers belong into the file: about every class, and about the
    /// pairs that were told apart at any time.
    pub(super) fn of_file(&self, spec: &Spec, answers: &Answers) -> Vec<Question> {
        let asking = self.asking(spec);
        let pairs = answers.pairs().into_iter().filter(|(class, other)| {
            let known = |name: &String| self.classes.contains(name);
            known(class) && known(other)
        });
        let about = self.classes.iter().flat_map(|class| asking.about(class));
        about.chain(pairs.flat_map(|(class, other)| asking.between(&class, &other))).collect()
    }
}

/// Returns the classes that are named, as the dataset spells them; all if none is.
fn chosen(named: &[String], classes: &[String]) -> Result<Vec<String>> {
    if named.is_empty() {
        return Ok(classes.to_vec());
    }
    let find = |name: &String| {
        classes.iter().find(|class| plain(class) == plain(name)).cloned().ok_or_else(|| {
            let error = Error::new(Kind::Usage, format!("--classes: the dataset has no class '{}'", in_line(name)));
            match nearest::hint("classes", name, classes.iter().map(String::as_str).take(50)) {
                Some(hint) => error.hint(hint),
                None => error,
            }
        })
    };
    let mut chosen: Vec<String> = named.iter().map(find).collect::<Result<_>>()?;
    let mut seen = HashSet::new();
    chosen.retain(|class| seen.insert(class.clone()));
    Ok(chosen)
}

/// Returns the only model that the server has, for a pipeline that names none. The error has those
/// that it has.
fn only_model(spec: &Spec, stop: &Stop) -> Result<String> {
    let offered = || {
        let server =
            Server::new(Endpoint::find(spec.describe.endpoint.as_deref()).ok()?, spec.describe.manner("")).ok()?;
        server.models(stop).filter(|names| !names.is_empty())
    };
    let hint = "model = \"NAME\" under [describe], or --set describe.model=NAME";
    let hint = match offered().as_deref() {
        Some([only]) => return Ok(only.clone()),
        Some(names) => format!("{hint}; the server has {}", some_of(names, 2 * SHOWN)),
        None => hint.to_owned(),
    };
    Err(Error::new(Kind::Usage, "no language model is named").hint(hint))
}

/// Returns the look-alikes of the newest run that have one of the `chosen` classes, the most alike
/// first. They are chosen by what training and the frozen model said alone, not by labels:
/// sentences are trained on.
async fn look_alikes(spec: &Spec, chosen: &[String], most: usize) -> Result<Vec<(String, String)>> {
    const STATEMENT: &str = "SELECT class, other FROM look_alikes WHERE swaps + moved > 0 \
                             ORDER BY swaps + moved DESC, class, other";

    #[derive(serde::Deserialize)]
    struct Pair {
        class: String,
        other: String,
    }

    let scope = scope_of_runs(spec)?;
    let ctx = session(&scope.store, &scope.visible).await?;
    let pairs: Vec<Pair> = rows(&ctx, STATEMENT).await?;
    let pairs = pairs.into_iter().map(|Pair { class, other }| (class, other));
    let pairs: Vec<_> =
        pairs.filter(|(one, other)| chosen.contains(one) || chosen.contains(other)).take(most).collect();
    if pairs.is_empty() {
        return Err(Error::new(Kind::Input, "no run of this pipeline has look-alikes yet").hint(
            "`microclip-pipe run` first: `SELECT * FROM look_alikes` lists the classes between which its answers and \
             pseudo-labels moved",
        ));
    }
    Ok(pairs)
}
