//! What a server is asked, and what comes of it.

use std::time::Duration;

use super::format::Format;
use super::usage::Usage;

/// How a model is asked.
#[derive(Debug, Clone)]
pub struct Manner {
    /// The model's name on the server.
    pub model: String,
    /// Sampling temperature; the server's own if there is none.
    pub temperature: Option<f64>,
    /// Seed of sampling.
    pub seed: u64,
    /// Tokens that an answer may have.
    pub max_tokens: u64,
    /// How long an answer may take.
    pub timeout: Duration,
    /// How often a question is asked again.
    pub retries: u32,
    /// Requests a minute, of all threads together.
    pub a_minute: Option<u64>,
}

/// A question whose answer is a list of sentences.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    /// What the model is told about its task.
    pub task: &'a str,
    /// The question.
    pub text: &'a str,
}

/// What came of a question.
#[derive(Debug)]
pub struct Answer {
    /// The model's words.
    pub text: Option<String>,
    /// Why they are of no use.
    pub problem: Option<Problem>,
    /// The model's name, as it calls itself.
    pub model: Option<String>,
    /// How the form of the answer was asked for.
    pub format: Format,
    /// Tokens of all requests for it.
    pub usage: Usage,
    /// Number of requests.
    pub requests: u32,
    /// How long it took, waits included.
    pub took: Duration,
}

/// Why an answer is of no use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Problem {
    /// The model does not want to answer, or may not; it will not want to next time either.
    Declined(String),
    /// The server answered, but no sentence came.
    Unusable(String),
    /// The server could not be reached, or said that it cannot answer now.
    Unanswered(String),
}

impl Problem {
    /// Returns it in words.
    pub fn words(&self) -> &str {
        let (Problem::Declined(words) | Problem::Unusable(words) | Problem::Unanswered(words)) = self;
        words
    }
}
