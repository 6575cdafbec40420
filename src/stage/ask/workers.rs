//! Asking many questions at once, and storing each answer before the next question.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use super::answers::Answers;
use super::question::{Question, task};
use super::row::Row;
use super::settings::Describe;
use crate::error::{Error, Kind, Result};
use crate::language_model::{self, Answer, Problem, Server, Usage};
use crate::panics::guard;
use crate::stage::job::Job;

/// Questions in a row that the server leaves unanswered before it is asked no more.
const GIVE_UP: usize = 5;

/// What asking came to.
#[derive(Debug, Default)]
pub struct Asked {
    /// Number of answers that came, of use or not.
    pub answers: usize,
    /// What they cost.
    pub usage: Usage,
    /// Why not all questions were asked, if so: a stop, or a server that answers no more.
    pub ended: Option<Error>,
}

/// Asks the questions. A thread stores its answer before it asks the next question, so that a stop
/// or a kill loses an answer a thread at most.
///
/// # Errors
/// Returns [`Kind::Store`] if an answer cannot be stored.
#[tracing::instrument(name = "stage", skip_all, fields(stage = "ask"))]
pub fn ask(
    server: &Server,
    model: &str,
    settings: &Describe,
    questions: &[Question],
    answers: &mut Answers,
    job: Job<'_>,
) -> Result<Asked> {
    let Job { stop, progress, .. } = job;
    // What ends one thread's work ends that of all, also while they wait.
    let (next, stop, task) = (AtomicUsize::new(0), stop.child(), task(settings.names));
    let so_far = Mutex::new(SoFar { answers, asked: Asked::default(), unanswered: 0, failed: None });
    let work = || {
        while let Some(question) = questions.get(next.fetch_add(1, Ordering::Relaxed)) {
            let answer = server.ask(language_model::Question { task: &task, text: &question.text }, &stop);
            let mut so_far = guard(&so_far);
            match answer.map(|answer| so_far.take(Row::new(question, &answer, model, settings), &answer)) {
                Ok(Ok(())) => progress.advance(1),
                Ok(Err(failed)) => drop(so_far.failed.get_or_insert(failed)),
                Err(ended) => drop(so_far.asked.ended.get_or_insert(ended)),
            }
            if so_far.failed.is_some() || so_far.asked.ended.is_some() {
                return stop.request();
            }
        }
    };
    std::thread::scope(|scope| {
        (0..settings.concurrency.min(questions.len())).for_each(|_| drop(scope.spawn(work)));
    });
    let so_far = so_far.into_inner().unwrap_or_else(PoisonError::into_inner);
    so_far.failed.map_or(Ok(so_far.asked), Err)
}

/// What all threads have done so far.
struct SoFar<'a> {
    answers: &'a mut Answers,
    asked: Asked,
    /// Questions in a row that were not answered.
    unanswered: usize,
    /// Why an answer could not be stored.
    failed: Option<Error>,
}

impl SoFar<'_> {
    fn take(&mut self, row: Row, answer: &Answer) -> Result<()> {
        self.answers.add(vec![row])?;
        self.asked.answers += 1;
        self.asked.usage += answer.usage;
        match &answer.problem {
            Some(Problem::Unanswered(why)) => {
                self.unanswered += 1;
                if self.unanswered == GIVE_UP {
                    let what = format!("{GIVE_UP} questions in a row were not answered: {why}");
                    let hint = "what was answered is kept; the same command goes on from there";
                    self.asked.ended.get_or_insert(Error::new(Kind::Network, what).hint(hint));
                }
            }
            _ => self.unanswered = 0,
        }
        Ok(())
    }
}
