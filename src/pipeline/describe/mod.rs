//! Asking a language model about a pipeline's classes, and putting its sentences into the file that
//! runs read.

mod questions;

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use super::run::Options;
use super::wait_for_lock::{self, claim};
use crate::clip::Clip;
use crate::config::Spec;
use crate::error::{Context, Error, Kind, Result};
use crate::hub::{self, Name};
use crate::language_model::{Endpoint, Server, Usage, tokens_about};
use crate::stage::ask::{self, Answers, Asked, Merged, Question, Sentence};
use crate::stage::describe::{Layout, Prototypes, file};
use crate::stage::job::Job;
use crate::stop::Stop;
use crate::store::Work;
use crate::store::layout::Store;
use crate::text::list::{SHOWN, some_of};
use crate::text::names::plain;
use crate::text::numbers::counted;
use crate::workspace::ids;
use crate::workspace::on_hub::{self, Need};

use questions::Ready;
pub use questions::Wanted;

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
    /// Classes of the dataset that have a sentence in the file.
    pub described: usize,
    /// Those of the classes that were asked about which have none.
    pub lacking: Vec<String>,
    /// The other classes that have none, if runs read this file, and then refuse it: sentences
    /// about some classes alone are no classifier.
    pub unasked: Vec<String>,
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

/// Returns what would be asked; asks nothing.
///
/// # Errors
/// Fails as [`describe`] does before it asks.
pub async fn plan(spec: &Spec, wanted: &Wanted) -> Result<Plan> {
    let ready = Ready::new(spec, wanted, &Stop::default()).await.map_err(|error| unfetched(spec, error))?;
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

/// Says what to do where the classes are not known, since the pictures are on the hub alone.
fn unfetched(spec: &Spec, error: Error) -> Error {
    let is_missing = |name: &Name| hub::in_cache(name).is_err();
    match Name::in_place_of(&spec.dataset.path).filter(is_missing) {
        Some(name) => error.hint(format!(
            "the classes are in the pictures, and a dry run fetches nothing: `microclip-pipe ingest` fetches {name}, as \
             `describe` does before it asks"
        )),
        None => error,
    }
}

/// Tokens of what is said of the form of an answer, and of its schema, about.
const A_FORM: u64 = 90;

/// Asks what is missing, and puts the sentences into the file. Each answer is stored as it comes,
/// and the file is written in any case, also where the server stopped answering or a stop was
/// requested: then the outcome says why it ended.
///
/// # Errors
/// Fails if the pipeline names no model or no file of sentences, if the pictures' classes, the CLIP
/// or the store cannot be read, or be fetched where they are named on the hub, or if the file
/// cannot be written.
pub async fn describe(spec: &Spec, wanted: &Wanted, options: &Options) -> Result<Outcome> {
    let Options { stop, progress, .. } = options;
    let spec = &on_hub::fetched(spec, Need::Pictures, stop, progress.as_ref())?;
    let ready = Ready::new(spec, wanted, stop).await?;
    let (settings, model) = (&spec.describe, ready.model.as_str());
    let target = target(spec, wanted)?;
    let server = Server::new(Endpoint::find(settings.endpoint.as_deref())?, settings.manner(model))?;
    // What cannot be read or written should not be found out after the questions were paid for.
    file::entries(&target)?;
    file::require_writable(&target)?;
    // Its tokenizer says which sentences it reads whole.
    let clip = Clip::open(&on_hub::fetched(spec, Need::Models, stop, progress.as_ref())?.model)?;
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
    let new = ask::judged(&of_file, &answers, &ready.classes, settings.names, &clip.tokenizer)?;
    // Another file than the pipeline's has nothing of earlier calls to be replaced.
    let is_own = spec.text.descriptions.as_ref().is_some_and(|own| is_same(own, &target));
    let earlier = if is_own { ask::read_sentences(&dataset, &store)? } else { Vec::new() };
    let before = file::entries(&target)?;
    let Merged { entries, rows, rows_meanwhile, waiting } =
        ask::merged(before.clone(), &ready.classes, new, &answers.settled(&of_file), earlier);
    if entries != before {
        if is_own {
            ask::write_sentences(&rows_meanwhile, &dataset, &store)?;
        }
        file::write(&target, &entries)?;
    }
    if is_own {
        ask::write_sentences(&rows, &dataset, &store)?;
    }
    let failed = ready.wanted(spec, wanted).iter().filter(|question| !answers.has(question)).count();
    let names: HashSet<String> = ready.classes.iter().map(|class| plain(class)).collect();
    let of_classes = || entries.iter().filter(|(name, _)| names.contains(&plain(name)));
    let full: HashSet<String> =
        of_classes().filter(|(_, list)| !list.is_empty()).map(|(name, _)| plain(name)).collect();
    let lacks = |class: &&String| !full.contains(&plain(class));
    let without = ready.classes.iter().filter(lacks).count();
    let lacking = ready.chosen.iter().filter(lacks).cloned().collect();
    // Nobody expects sentences about the others of this call, but with some classes alone described
    // a run is refused, which did without any before.
    let is_refused = is_own && spec.text.prototypes != Prototypes::Templates && without < ready.classes.len();
    let others = ready.classes.iter().filter(|class| is_refused && !ready.chosen.contains(class));
    let unasked = others.filter(lacks).cloned().collect();
    Ok(Outcome {
        described: ready.classes.len() - without,
        classes: ready.classes.len(),
        in_file: of_classes().map(|(_, list)| list.len()).sum(),
        lacking,
        unasked,
        asked,
        cached,
        sentences: rows,
        usage,
        notes: [ready.taken(), unread(spec, wanted), unanswered(failed), kept(&waiting)]
            .into_iter()
            .flatten()
            .collect(),
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

/// Returns whether two paths are of one file, though a link may lead to it.
fn is_same(one: &Path, other: &Path) -> bool {
    let found = |path: &Path| std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    one == other || found(one) == found(other)
}

/// Returns a note where questions have no answer.
fn unanswered(questions: usize) -> Option<String> {
    let have = if questions == 1 { "has" } else { "have" };
    (questions > 0).then(|| {
        format!(
            "{} {have} no answer of use; the same command asks again, and the column llm_answers.problem says why",
            counted(questions as u64, "question")
        )
    })
}

/// Returns a note where classes keep the sentences of earlier answers.
fn kept(waiting: &[String]) -> Option<String> {
    let keep = if waiting.len() == 1 { "keeps" } else { "keep" };
    (!waiting.is_empty()).then(|| {
        format!(
            "{} {keep} the sentences of earlier answers until all questions are answered with others: {}",
            counted(waiting.len() as u64, "class"),
            some_of(waiting, SHOWN)
        )
    })
}

/// Returns a note where runs will not read the sentences.
fn unread(spec: &Spec, wanted: &Wanted) -> Option<String> {
    let goes_without = spec.text.prototypes == Prototypes::Templates && wanted.output.is_none();
    goes_without.then(|| {
        "text.prototypes = \"templates\": runs read no sentence; remove that line, or say \"auto\", and they read these"
            .to_owned()
    })
}
