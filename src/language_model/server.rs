//! One question to a server: asked again while that helps, and in another form where the server
//! wants it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;
use ureq::RequestBuilder;
use ureq::http::HeaderMap;

use super::answer::{Answer, Manner, Problem, Question};
use super::chat::{self, Ended, Message, Models, Request};
use super::endpoint::Endpoint;
use super::form::{Form, Taken};
use super::format::texts_of;
use super::pace::Pace;
use super::refusal::{Refusal, on_a_line};
use super::usage::{Usage, tokens_about};
use crate::error::{Context, Error, Kind, Result};
use crate::net::{self, Incoming, Retries, Trouble, exchange};
use crate::stop::Stop;
use crate::text::list::some_of;

/// Maximum bytes of an answer: some thousand sentences.
const LONGEST: usize = 4 << 20;

/// How long a server may take to say which models it has, which only a hint is made of.
const LIST: Duration = Duration::from_secs(10);

/// A server that is asked, by several threads at once.
#[derive(Debug)]
pub struct Server {
    agent: ureq::Agent,
    endpoint: Endpoint,
    manner: Manner,
    form: Form,
    pace: Pace,
    /// Whether any question was answered yet.
    answered: AtomicBool,
}

/// What came of one request.
enum Next {
    /// Nothing; ask at once, in the form that is now known.
    OtherForm,
    Got(Got),
}

struct Got {
    text: Option<String>,
    model: Option<String>,
    used: Usage,
    problem: Option<Problem>,
    again: Again,
}

/// Whether asking again may solve a problem.
#[derive(Clone, Copy)]
enum Again {
    No,
    /// After the time that the server asked for, if it did.
    After(Option<Duration>),
}

impl Next {
    /// Returns that a request brought nothing but a problem.
    fn nothing(problem: Problem, again: Again) -> Next {
        Next::Got(Got { text: None, model: None, used: Usage::default(), problem: Some(problem), again })
    }
}

impl Server {
    /// Makes the client of a server; asks it nothing yet.
    ///
    /// # Errors
    /// Returns [`Kind::Usage`] if it wants a key and there is none.
    pub fn new(endpoint: Endpoint, manner: Manner) -> Result<Server> {
        endpoint.require_key()?;
        Ok(Server {
            agent: net::client(manner.timeout),
            pace: Pace::new(manner.a_minute),
            form: Form::default(),
            answered: AtomicBool::new(false),
            endpoint,
            manner,
        })
    }

    /// Asks a question, and again where that may help. An answer may be of no use, and says why.
    ///
    /// # Errors
    /// Returns [`Kind::Network`] if no question will be answered: the key or the model is refused,
    /// the account is empty, nothing listens at the address; [`Kind::Interrupted`] at once where a
    /// stop is requested, though the server is silent or asked to wait.
    pub fn ask(&self, question: Question<'_>, stop: &Stop) -> Result<Answer> {
        let (began, mut retries) = (Instant::now(), Retries::new(self.manner.retries));
        let (mut usage, mut requests) = (Usage::default(), 0);
        loop {
            self.pace.turn(stop)?;
            let form = self.form.now();
            let task = format!("{} {}", question.task, form.format.told());
            requests += 1;
            let Next::Got(Got { text, model, used, problem, again }) = self.once(&task, question.text, form, stop)?
            else {
                continue;
            };
            usage += used;
            let problem = match (problem, again) {
                (Some(why), Again::After(asked)) => {
                    stop.check()?;
                    match retries.wait(asked) {
                        Some(wait) => {
                            // What is busy for one thread is busy for all.
                            if asked.is_some() {
                                self.pace.hold(wait);
                            }
                            stop.sleep(wait)?;
                            continue;
                        }
                        None => Some(self.given_up(why, asked)?),
                    }
                }
                (problem, _) => problem,
            };
            return Ok(Answer { text, problem, model, format: form.format, usage, requests, took: began.elapsed() });
        }
    }

    /// Returns why an answer is of no use, if it is of none.
    fn problem_of(&self, response: &chat::Response, text: Option<&str>) -> Option<Problem> {
        if let Some(refusal) = response.refusal() {
            return Some(Problem::Declined(format!("refusal: {}", on_a_line(&self.endpoint.hide(refusal)))));
        }
        if response.ended() == Ended::Filtered {
            return Some(Problem::Declined("refusal: stopped by the server's filter".to_owned()));
        }
        // The last line of what was cut off is no sentence; JSON says itself whether it is whole.
        let cut = response.ended() == Ended::AtTheLimit;
        let is_whole = |text: &str| !cut || text.trim_end().ends_with(['}', ']', '`']);
        Some(Problem::Unusable(match text {
            Some(text) if is_whole(text) && texts_of(text).is_some() => return None,
            _ if cut => format!("cut off at describe.max_tokens = {}", self.manner.max_tokens),
            Some(_) => "no list of sentences".to_owned(),
            None => "an empty answer".to_owned(),
        }))
    }

    /// Decides whether other questions are worth asking after one that was asked often enough.
    fn given_up(&self, why: Problem, asked: Option<Duration>) -> Result<Problem> {
        let long = asked.filter(|wait| *wait > net::LONGEST_WAIT);
        if let Some(wait) = long {
            let what = format!("{} asks to wait for {} s ({})", self.endpoint.host(), wait.as_secs(), why.words());
            return Err(Error::new(Kind::Network, what).hint("the same command goes on from there"));
        }
        if matches!(why, Problem::Unanswered(_)) && !self.answered.load(Ordering::Relaxed) {
            let what = format!("{} answers no question: {}", self.endpoint.host(), why.words());
            return Err(Error::new(Kind::Network, what));
        }
        Ok(why)
    }

    /// Makes one request, and decides what to do next.
    fn once(&self, task: &str, text: &str, form: Taken, stop: &Stop) -> Result<Next> {
        let Manner { model, temperature, seed, max_tokens, .. } = &self.manner;
        let messages = [Message { role: "system", content: task }, Message { role: "user", content: text }];
        let limit = |newer: bool| (newer == form.completion_tokens).then_some(*max_tokens);
        let request = Request {
            model,
            messages,
            temperature: *temperature,
            seed: form.seed.then_some(*seed),
            max_tokens: limit(false),
            max_completion_tokens: limit(true),
            response_format: form.format.field(),
        };
        let url = self.endpoint.url("chat/completions");
        let (status, headers, body) = match self.post(&url, &request, stop) {
            Ok(answer) => answer,
            Err(Trouble::Ours(error)) => return Err(error),
            Err(Trouble::Theirs(ureq::Error::BodyExceedsLimit(_))) => {
                let why = format!("an answer of more than {} MB", LONGEST >> 20);
                return Ok(Next::nothing(Problem::Unusable(why), Again::After(None)));
            }
            Err(Trouble::Theirs(error)) if net::may_pass(&error) => {
                let why = match &error {
                    ureq::Error::Timeout(_) => format!("no answer within {:?}", self.manner.timeout),
                    error => on_a_line(&self.endpoint.hide(&error.to_string())),
                };
                return Ok(Next::nothing(Problem::Unanswered(why), Again::After(None)));
            }
            Err(Trouble::Theirs(error)) => return Err(net::failed(format!("cannot ask {url}"), error)),
        };
        if !(200..300).contains(&status) {
            return self.refused(&url, status, &headers, &body, form, stop);
        }
        let Ok(response) = serde_json::from_str::<chat::Response>(&body) else {
            let begin: String = on_a_line(&self.endpoint.hide(&body)).chars().take(60).collect();
            return Ok(Next::nothing(Problem::Unanswered(format!("no answer of a chat: {begin}")), Again::After(None)));
        };
        // Some relay what another server says, with a status of their own.
        if let Some(error) = response.error() {
            let theirs = error.get("code").and_then(Value::as_u64).and_then(|code| u16::try_from(code).ok());
            if let Some(theirs) = theirs.filter(|code| (400..600).contains(code)) {
                return self.refused(&url, theirs, &headers, &body, form, stop);
            }
            let why = Refusal::new(status, &error.to_string(), |said| self.endpoint.hide(said)).said;
            return Ok(Next::nothing(Problem::Unanswered(why), Again::After(None)));
        }
        self.answered.store(true, Ordering::Relaxed);
        self.form.prove(form.format);
        let said = response.text().map(|text| self.endpoint.hide(&text));
        // The sentences may spell it otherwise; such an answer is none.
        let tells = |text: &String| texts_of(text).iter().flatten().any(|text| self.endpoint.hide(text) != *text);
        let said = said.filter(|text| !tells(text));
        let used = match response.tokens() {
            Some((read, written)) => Usage { read, written, estimated: false },
            None => Usage {
                read: tokens_about(task) + tokens_about(text),
                written: tokens_about(said.as_deref().unwrap_or_default()),
                estimated: true,
            },
        };
        let problem = self.problem_of(&response, said.as_deref());
        // Another time, the model may say something else; not where it was cut off.
        let again = match (&problem, response.ended()) {
            (Some(Problem::Unusable(_)), Ended::Whole) => Again::After(None),
            _ => Again::No,
        };
        let model = response.model.as_ref().map(|model| on_a_line(&self.endpoint.hide(model)));
        Ok(Next::Got(Got { text: said, model, used, problem, again }))
    }

    fn post(&self, url: &str, request: &Request<'_>, stop: &Stop) -> Result<(u16, HeaderMap, String), Trouble> {
        let body = serde_json::to_vec(request).context(Kind::Internal, || "cannot write a question".to_owned())?;
        let post = self.agent.post(url).header("content-type", "application/json");
        let post = self.prepared(post, url, self.manner.timeout);
        read(&exchange("language model", move || post.send(&body[..]), stop)?, self.manner.timeout, stop)
    }

    /// Adds to a request what all have in common.
    fn prepared<B>(&self, request: RequestBuilder<B>, url: &str, timeout: Duration) -> RequestBuilder<B> {
        let request = match self.endpoint.authorization(url) {
            Some(key) => request.header("authorization", key),
            None => request,
        };
        let limits = request.config().timeout_global(Some(timeout));
        // A proxy cannot reach this machine by that name.
        let limits = if self.endpoint.is_here() { limits.proxy(None) } else { limits };
        limits.build()
    }

    /// Decides what to do about a refusal.
    fn refused(
        &self,
        url: &str,
        status: u16,
        headers: &HeaderMap,
        body: &str,
        form: Taken,
        stop: &Stop,
    ) -> Result<Next> {
        let refusal = Refusal::new(status, body, |said| self.endpoint.hide(said));
        let (words, host, model) = (refusal.in_words(), self.endpoint.host(), &self.manner.model);
        let fatal = |what: String, hint: String| Err(Error::new(Kind::Network, what).hint(hint));
        match status {
            300..=399 => {
                let to = headers.get("location").and_then(|to| to.to_str().ok()).unwrap_or_default();
                let to = on_a_line(&self.endpoint.hide(to));
                fatal(
                    format!("{url} leads elsewhere ({status}): {to}"),
                    "name that address as describe.endpoint".to_owned(),
                )
            }
            401 | 403 => fatal(format!("{host} refuses the key ({words})"), self.endpoint.of_key()),
            _ if refusal.is_of_the_account() => fatal(
                format!("{host} stops answering ({words})"),
                "what was answered is kept; the same command goes on from there".to_owned(),
            ),
            404 => fatal(format!("{url} does not know model '{model}' ({words})"), self.what_is_there(stop)),
            400 | 422 if refusal.wants_completion_tokens() && !form.completion_tokens => {
                self.form.change(|form| form.completion_tokens = true);
                Ok(Next::OtherForm)
            }
            400 | 422 if refusal.is_about_the_seed() && form.seed => {
                self.form.change(|form| form.seed = false);
                Ok(Next::OtherForm)
            }
            400 | 422 | 500 | 501 if self.form.relax(form, &refusal) => Ok(Next::OtherForm),
            _ if net::is_busy(refusal.status) => {
                Ok(Next::nothing(Problem::Unanswered(words), Again::After(net::retry_after(headers))))
            }
            // This question alone, where others were answered.
            _ if self.answered.load(Ordering::Relaxed) => Ok(Next::nothing(Problem::Unusable(words), Again::No)),
            _ => fatal(format!("{host} refuses the question ({words})"), format!("model '{model}', {url}")),
        }
    }

    /// Returns what the server offers, as a hint.
    fn what_is_there(&self, stop: &Stop) -> String {
        match self.models(stop) {
            Some(names) if !names.is_empty() => {
                let names = some_of(&names, 12);
                format!("it has {names}: name one as describe.model")
            }
            _ => format!(
                "{} does not answer either: the addresses of most servers end in /v1",
                self.endpoint.url("models")
            ),
        }
    }

    /// Returns the names of the models that the server offers; `None` if it does not say.
    pub fn models(&self, stop: &Stop) -> Option<Vec<String>> {
        let url = self.endpoint.url("models");
        let get = self.prepared(self.agent.get(&url), &url, self.manner.timeout.min(LIST));
        let (_, _, body) =
            exchange("language model", move || get.call(), stop).and_then(|it| read(&it, LIST, stop)).ok()?;
        let names = serde_json::from_str::<Models>(&body).ok()?.names();
        Some(names.iter().map(|name| on_a_line(&self.endpoint.hide(name))).collect())
    }
}

/// Reads an answer to its end.
fn read(incoming: &Incoming, within: Duration, stop: &Stop) -> Result<(u16, HeaderMap, String), Trouble> {
    let body = incoming.all(LONGEST, within, stop)?;
    Ok((incoming.status, incoming.headers.clone(), String::from_utf8_lossy(&body).into_owned()))
}
