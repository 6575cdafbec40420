//! A language model behind an OpenAI-compatible server (OpenAI, vLLM, Ollama, llama.cpp): a
//! question, and a list of sentences as its answer.
//!
//! Servers differ in what they take. The form of the answer is asked for as strictly as the server
//! allows ([`format`]), what is busy or broken is asked again ([`server`]), and what a refusal
//! means is read from its status and its body ([`refusal`]). Calls block, but not beyond a stop.

mod answer;
mod chat;
mod endpoint;
mod form;
mod format;
mod pace;
mod refusal;
mod server;
mod usage;

pub use answer::{Answer, Manner, Problem, Question};
pub use endpoint::{Endpoint, KEY, require_address};
pub use format::{Format, texts_of};
pub use server::Server;
pub use usage::{Prices, Usage, tokens_about};
