//! The requests and answers of `POST {base}/chat/completions`, as far as they are used here.
//!
//! Answers are read leniently: servers leave out, or set to null, whatever they do not have.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A request.
#[derive(Debug, Serialize)]
pub(super) struct Request<'a> {
    pub(super) model: &'a str,
    pub(super) messages: [Message<'a>; 2],
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) seed: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) max_tokens: Option<u64>,
    /// What models that think call `max_tokens`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) max_completion_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) response_format: Option<Value>,
}

/// A message of a request.
#[derive(Debug, Serialize)]
pub(super) struct Message<'a> {
    pub(super) role: &'static str,
    pub(super) content: &'a str,
}

/// An answer.
#[derive(Debug, Deserialize)]
pub(super) struct Response {
    pub(super) model: Option<String>,
    choices: Option<Vec<Choice>>,
    usage: Option<Value>,
    error: Option<Value>,
}

/// The most tokens of one answer that are believed: more than any model reads or writes.
const MOST_TOKENS: u64 = 1_000_000_000;

#[derive(Debug, Deserialize)]
struct Choice {
    message: Option<Said>,
    finish_reason: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Said {
    content: Option<Content>,
    refusal: Option<String>,
}

/// Text, or a list of parts of which some are text.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Content {
    Text(String),
    Parts(Vec<Part>),
}

#[derive(Debug, Deserialize)]
struct Part {
    text: Option<String>,
}

/// Why a model stopped, as far as that matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    /// It had said what it wanted to say, or the server does not tell.
    Whole,
    /// It had said as much as it was allowed to.
    AtTheLimit,
    /// A filter kept it from going on.
    Filtered,
}

impl Response {
    /// Returns an error that stands in the place of an answer.
    pub(super) fn error(&self) -> Option<&Value> {
        self.error.as_ref().filter(|error| self.choice().is_none() && !error.is_null())
    }

    fn choice(&self) -> Option<&Choice> {
        self.choices.as_ref()?.first()
    }

    /// Returns what the model said.
    pub(super) fn text(&self) -> Option<String> {
        let text = match self.choice()?.message.as_ref()?.content.as_ref()? {
            Content::Text(text) => text.clone(),
            Content::Parts(parts) => parts.iter().filter_map(|part| part.text.as_deref()).collect(),
        };
        (!text.trim().is_empty()).then_some(text)
    }

    /// Returns why the model does not answer, if it says so in a field of its own.
    pub(super) fn refusal(&self) -> Option<&str> {
        self.choice()?.message.as_ref()?.refusal.as_deref().filter(|refusal| !refusal.trim().is_empty())
    }

    /// Returns why it stopped.
    pub(super) fn ended(&self) -> Ended {
        match self.choice().and_then(|choice| choice.finish_reason.as_deref()) {
            Some("length") => Ended::AtTheLimit,
            Some("content_filter") => Ended::Filtered,
            _ => Ended::Whole,
        }
    }

    /// Returns the tokens that were read and written, where the server counts both, and can be
    /// believed.
    pub(super) fn tokens(&self) -> Option<(u64, u64)> {
        let of = |name: &str| self.usage.as_ref()?.get(name)?.as_u64().filter(|tokens| *tokens <= MOST_TOKENS);
        Some((of("prompt_tokens")?, of("completion_tokens")?))
    }
}

/// The models that a server offers.
#[derive(Debug, Deserialize)]
pub(super) struct Models {
    #[serde(default)]
    data: Vec<Offered>,
}

#[derive(Debug, Deserialize)]
struct Offered {
    id: String,
}

impl Models {
    /// Returns their names.
    pub(super) fn names(self) -> Vec<String> {
        self.data.into_iter().map(|offered| offered.id).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: Value) -> Response {
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn what_servers_leave_out_is_not_missed() {
        let choice =
            |message: Value| read(serde_json::json!({"choices": [{"message": message, "finish_reason": null}]}));
        assert_eq!(choice(serde_json::json!({"content": "a"})).text().unwrap(), "a");
        let parts = serde_json::json!({"content": [{"type": "text", "text": "a"}, {"type": "image"}, {"text": "b"}]});
        assert_eq!(choice(parts).text().unwrap(), "ab");
        assert_eq!(choice(serde_json::json!({"content": null, "refusal": "no"})).refusal(), Some("no"));
        for empty in ["{}", r#"{"choices": []}"#, r#"{"choices": null}"#, r#"{"choices": [{}]}"#] {
            let empty: Response = serde_json::from_str(empty).unwrap();
            assert_eq!(
                (empty.text(), empty.refusal(), empty.tokens(), empty.ended()),
                (None, None, None, Ended::Whole)
            );
        }
        let usage = |usage: Value| read(serde_json::json!({"usage": usage})).tokens();
        assert_eq!(usage(serde_json::json!({"prompt_tokens": 3, "completion_tokens": 4, "other": {}})), Some((3, 4)));
        assert_eq!(usage(Value::Null), None);
        for absurd in [u64::MAX.into(), serde_json::json!(-1), serde_json::json!(1.5), serde_json::json!("3")] {
            assert_eq!(usage(serde_json::json!({"prompt_tokens": 3, "completion_tokens": absurd})), None);
        }
        assert_eq!(usage(serde_json::json!("many")), None);
    }
}
