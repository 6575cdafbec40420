//! Asking a language model about a pipeline's classes, and putting its sentences into the file that
//! runs read.

use std::path::{Path, PathBuf};

use super::run::Options;
use super::wait_for_lock::{self, claim};
use crate::clip::Clip;
use crate::config::Spec;
use crate::error::{Context, Error, Kind, Result};
use crate::language_model::{Endpoint, Server, Usage, tokens_about};
use crate::runs::sql_scope::scope_of_runs;
use crate::stage::ask::{self, Answers, Asked, Asking, Question, Questions, Sentence};
use crate::stage::describe::{Layout, Prototypes, file};
use crate::stage::ingest;
use crate::stage::job::Job;
use crate::store::Work;
use crate::store::layout::Store;
use crate::table::session;
use crate::table::typed_rows::rows;
use crate::text::list::{SHOWN, some_of};
use crate::text::names::plain;
use crate::text::nearest;
use crate::workspace::{ids, opened};

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

/// What would be asked.
#[derive(Debug)]
pub struct Plan {
    /// The host of the server.
    pub host: String,
    /// The model.
    pub model: String,
    /// Number of classes that are asked about.
    pub classes: usize,
    /// Questions that were answered already.
    pub cached: usize,
    /// Questions to ask.
    pub questions: Vec<Question>,
    /// Tokens that they will take, about.
    pub usage: Usage,
    /// Pairs of look-alikes, if they are told apart.
    pub pairs: Vec<(String, String)>,
}

/// What came of asking.
#[derive(Debug)]
pub struct Outcome {
    /// The file of sentences.
    pub file: PathBuf,
    /// Number of classes of the dataset.
    pub classes: usize,
    /// Classes without a sentence in the file.
    pub lacking: Vec<String>,
    /// Questions that were answered now, with something of use or not.
    pub asked: usize,
    /// Questions that were answered earlier.
    pub cached: usize,
    /// What cleaning made of all answers about the classes.
    pub sentences: Vec<Sentence>,
    /// Number of sentences in the file.
    pub in_file: usize,
    /// Tokens that were taken now.
    pub usage: Usage,
    /// What the user should know.
    pub notes: Vec<String>,
    /// Why not all questions were asked.
    pub ended: Option<Error>,
}

/// Tokens of a sentence in an answer, before any was counted.
const A_SENTENCE: f64 = 30.0;

/// What is known before anything is asked.
struct Ready {
    model: String,
    questions: Questions,
    /// All classes of the dataset.
    classes: Vec<String>,
    /// Those to ask about.
    chosen: Vec<String>,
    pairs: Vec<(String, String)>,
}

impl Ready {
    async fn new(spec: &Spec, wanted: &Wanted) -> Result<Ready> {
        let settings = &spec.describe;
        let questions = Questions::of(settings.domain, settings.questions.as_deref())?;
        let (source, ingest) = opened::pictures(spec)?;
        let classes = ingest::classes(source.as_ref(), &ingest)?;
        let chosen = chosen(&wanted.classes, &classes)?;
        let model = settings.model.clone().ok_or_else(|| no_model(spec))?;
        let pairs = match wanted.contrast {
            Some(most) => look_alikes(spec, &chosen, most).await?,
            None => Vec::new(),
        };
        Ok(Ready { model, questions, classes, chosen, pairs })
    }

    fn asking<'a>(&'a self, spec: &'a Spec) -> Asking<'a> {
        Asking { model: &self.model, settings: &spec.describe, questions: &self.questions }
    }

    /// Returns the questions that this call is about.
    fn wanted(&self, spec: &Spec, wanted: &Wanted) -> Vec<Question> {
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
    fn of_file(&self, spec: &Spec, answers: &Answers) -> Vec<Question> {
        let asking = self.asking(spec);
        let pairs = answers.pairs().into_iter().filter(|(class, other)| {
            let known = |name: &String| self.classes.contains(name);
            known(class) && known(other)
        });
        let about = self.classes.iter().flat_map(|class| asking.about(class));
        about.chain(pairs.flat_map(|(class, other)| asking.between(&class, &other))).collect()
    }
}

/// Returns what would be asked; asks nothing.
///
/// # Errors
/// Fails as [`describe`] does before it asks.
pub async fn plan(spec: &Spec, wanted: &Wanted) -> Result<Plan> {
    let ready = Ready::new(spec, wanted).await?;
    let endpoint = Endpoint::find(spec.describe.endpoint.as_deref())?;
    target(spec, wanted)?;
    let answers = Answers::open(&Store::open_read(&spec.store)?, &ready.model)?;
    let (questions, cached) = to_ask(ready.wanted(spec, wanted), wanted, &answers);
    let task = tokens_about(&ask::task(spec.describe.names)) + A_FORM;
    let mean = answers.tokens_a_sentence().unwrap_or(A_SENTENCE);
    let written = |question: &Question| (question.wanted as f64 * mean).ceil() as u64;
    let usage = Usage {
        read: questions.iter().map(|question| task + tokens_about(&question.text)).sum(),
        written: questions.iter().map(written).sum(),
        estimated: true,
    };
    let host = endpoint.host().to_owned();
    Ok(Plan { host, model: ready.model, classes: ready.chosen.len(), cached, questions, usage, pairs: ready.pairs })
}

/// Tokens of what is said of the form of an answer, and of its schema, about.
const A_FORM: u64 = 90;

/// Asks what is missing, and puts the sentences into the file. Each answer is stored as it comes,
/// and the file is written in any case, also where the server stopped answering or a stop was
/// requested: then the outcome says why it ended.
///
/// # Errors
/// Fails if the pipeline names no model or no file of sentences, the pictures' classes, the CLIP or
/// the store cannot be read, or the file not be written.
pub async fn describe(spec: &Spec, wanted: &Wanted, options: &Options) -> Result<Outcome> {
    let Options { stop, progress } = options;
    let ready = Ready::new(spec, wanted).await?;
    let (settings, model) = (&spec.describe, ready.model.as_str());
    let target = target(spec, wanted)?;
    // Its tokenizer says which sentences it reads whole.
    let clip = Clip::open(&spec.model)?;
    let server = Server::new(Endpoint::find(settings.endpoint.as_deref())?, settings.manner(model))?;
    // What cannot be read or written should not be found out after the questions were paid for.
    file::entries(&target)?;
    file::require_writable(&target)?;
    let store = wait_for_lock::take(&spec.store, stop, progress).await?;
    let dataset = ids::dataset(spec);
    let works = [Work::Asking(dataset.clone()), Work::Asking(ask::partition_of(model))];
    let _ours = claim(&store, &works, stop, progress).await?;
    let mut answers = Answers::open(&store, model)?;
    let (questions, cached) = to_ask(ready.wanted(spec, wanted), wanted, &answers);
    progress.begin("describe", "question", questions.len() as u64, cached as u64);
    let job = Job { store: &store, stop, progress };
    let Asked { answers: asked, usage, ended } = ask::ask(&server, model, settings, &questions, &mut answers, job)?;
    progress.end("");
    answers.bring_together()?;

    let of_file = ready.of_file(spec, &answers);
    let mut sentences = ask::judged(&of_file, &answers, &ready.classes, settings.names, &clip.tokenizer)?;
    // Another file than the pipeline's has nothing of earlier calls to be replaced.
    let made = match wanted.output {
        Some(_) => Default::default(),
        None => ask::read_made(&dataset, &store)?,
    };
    let entries = ask::merged(file::entries(&target)?, &ready.classes, &mut sentences, &made);
    if entries != file::entries(&target)? {
        file::write(&target, &entries)?;
    }
    if wanted.output.is_none() {
        ask::write_made(&sentences, &dataset, &store)?;
    }
    let names: Vec<String> = ready.classes.iter().map(|class| plain(class)).collect();
    let full: Vec<String> = entries.iter().filter(|(_, list)| !list.is_empty()).map(|(name, _)| plain(name)).collect();
    let lacks = |(_, name): &(&String, &String)| !full.contains(name);
    let lacking = ready.classes.iter().zip(&names).filter(lacks).map(|(class, _)| class.clone()).collect();
    let of_classes = entries.iter().filter(|(name, _)| names.contains(&plain(name)));
    Ok(Outcome {
        classes: ready.classes.len(),
        in_file: of_classes.map(|(_, list)| list.len()).sum(),
        lacking,
        asked,
        cached,
        sentences,
        usage,
        notes: unread(spec, wanted).into_iter().collect(),
        ended,
        file: target,
    })
}

/// Splits questions into those to ask, and the number of those that were answered already.
fn to_ask(questions: Vec<Question>, wanted: &Wanted, answers: &Answers) -> (Vec<Question>, usize) {
    let all = questions.len();
    let todo: Vec<Question> = questions.into_iter().filter(|q| wanted.again || !answers.has(q)).collect();
    let cached = all - todo.len();
    (todo, cached)
}

/// Returns the classes that are named, as the dataset spells them; all if none is.
fn chosen(named: &[String], classes: &[String]) -> Result<Vec<String>> {
    if named.is_empty() {
        return Ok(classes.to_vec());
    }
    let find = |name: &String| {
        classes.iter().find(|class| plain(class) == plain(name)).cloned().ok_or_else(|| {
            let error = Error::new(Kind::Usage, format!("--classes: the dataset has no class '{name}'"));
            match nearest::hint("classes", name, classes.iter().map(String::as_str).take(50)) {
                Some(hint) => error.hint(hint),
                None => error,
            }
        })
    };
    let mut chosen: Vec<String> = named.iter().map(find).collect::<Result<_>>()?;
    let mut seen = std::collections::HashSet::new();
    chosen.retain(|class| seen.insert(class.clone()));
    Ok(chosen)
}

/// Returns the file that sentences are written to.
fn target(spec: &Spec, wanted: &Wanted) -> Result<PathBuf> {
    if let Some(output) = &wanted.output {
        let output = std::path::absolute(output).at(Kind::Usage, "cannot find", output)?;
        return folder_of(&output).map(|()| output);
    }
    let Some(path) = &spec.text.descriptions else {
        return Err(Error::new(Kind::Usage, "the pipeline names no file of sentences")
            .hint("add descriptions = \"sentences.json\" under [text], which is made, or name a file with --output"));
    };
    if spec.text.layout != Layout::Sentences {
        let what = format!("{} has {}, and `describe` writes sentences", path.display(), spec.text.layout);
        return Err(Error::new(Kind::Usage, what)
            .hint("name another file as text.descriptions, without text.layout, or one with --output"));
    }
    folder_of(path)?;
    Ok(path.clone())
}

fn folder_of(path: &Path) -> Result<()> {
    match path.parent().filter(|folder| !folder.is_dir()) {
        Some(folder) => Err(Error::new(Kind::Usage, format!("there is no folder {}", folder.display()))
            .hint("the file of sentences is made, but not its folder")),
        None => Ok(()),
    }
}

/// Returns a note where runs will not read the sentences.
fn unread(spec: &Spec, wanted: &Wanted) -> Option<String> {
    let goes_without = spec.text.prototypes == Prototypes::Templates && wanted.output.is_none();
    goes_without.then(|| {
        "text.prototypes = \"templates\": runs read no sentence; remove that line, or say \"auto\", and they read these"
            .to_owned()
    })
}

/// Returns the error about a pipeline that names no model, with those that the server has.
fn no_model(spec: &Spec) -> Error {
    let offered = || {
        let server =
            Server::new(Endpoint::find(spec.describe.endpoint.as_deref()).ok()?, spec.describe.manner("")).ok()?;
        server.models().filter(|names| !names.is_empty())
    };
    let hint = "model = \"NAME\" under [describe], or --set describe.model=NAME";
    let hint = match offered() {
        Some(names) => format!("{hint}; the server has {}", some_of(&names, 2 * SHOWN)),
        None => hint.to_owned(),
    };
    Error::new(Kind::Usage, "no language model is named").hint(hint)
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
