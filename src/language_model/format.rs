//! The form of answers: how it is asked for, and how sentences are found in whatever came.
//!
//! OpenAI and vLLM hold a model to a JSON schema, some servers only to JSON, and some refuse the
//! field or ignore it. So the prompt says the form as well, and answers are read by what they look
//! like, not by what was asked for.

use serde_json::{Value, json};

/// How strictly the form of an answer is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Format {
    /// By the prompt alone: a sentence a line.
    Lines,
    /// Some JSON; the prompt says which.
    JsonObject,
    /// JSON of a schema.
    JsonSchema,
}

impl Format {
    /// Returns the name, as the table of answers has it.
    pub fn name(self) -> &'static str {
        match self {
            Format::Lines => "lines",
            Format::JsonObject => "json_object",
            Format::JsonSchema => "json_schema",
        }
    }

    /// Returns the next less strict form, if there is one.
    pub(super) fn laxer(self) -> Option<Format> {
        match self {
            Format::JsonSchema => Some(Format::JsonObject),
            Format::JsonObject => Some(Format::Lines),
            Format::Lines => None,
        }
    }

    /// Returns the field `response_format` of a request.
    pub(super) fn field(self) -> Option<Value> {
        match self {
            Format::Lines => None,
            Format::JsonObject => Some(json!({"type": "json_object"})),
            Format::JsonSchema => Some(json!({"type": "json_schema", "json_schema": {
                "name": "sentences", "strict": true, "schema": {
                    "type": "object", "additionalProperties": false, "required": ["sentences"],
                    "properties": {"sentences": {"type": "array", "items": {"type": "string"}}},
                },
            }})),
        }
    }

    /// Returns what the prompt says of the form.
    pub(super) fn told(self) -> &'static str {
        match self {
            Format::Lines => "Write each sentence on a line of its own, without numbers, and nothing else.",
            Format::JsonObject | Format::JsonSchema => {
                "Answer with JSON alone, of this form: {\"sentences\": [\"first sentence\", \"second sentence\"]}"
            }
        }
    }
}

/// Finds the texts that an answer lists: in JSON, bare or inside other text, or else one a line.
/// Returns `None` if it is JSON that broke off, or lists nothing.
pub fn texts_of(answer: &str) -> Option<Vec<String>> {
    let answer = without_thoughts(answer);
    let texts = match json_in(answer) {
        Json::Found(value) => texts_in(&value)?,
        Json::Broken => return None,
        Json::None => lines_of(answer),
    };
    let texts: Vec<String> = texts.into_iter().filter(|text| text.chars().any(char::is_alphabetic)).collect();
    (!texts.is_empty()).then_some(texts)
}

/// How models mark thoughts.
const THOUGHTS: [(&str, &str); 4] =
    [("<think>", "</think>"), ("<thinking>", "</thinking>"), ("[THINK]", "[/THINK]"), ("<reasoning>", "</reasoning>")];

/// Returns what follows the thoughts that some models begin with: nothing, if they do not end.
fn without_thoughts(answer: &str) -> &str {
    let mut answer = answer.trim();
    for (begin, end) in THOUGHTS {
        answer = match answer.rfind(end) {
            Some(at) => answer[at + end.len()..].trim(),
            None if answer.starts_with(begin) => "",
            None => answer,
        };
    }
    answer
}

enum Json {
    Found(Value),
    Broken,
    None,
}

/// Returns the JSON of an answer: all of it, or what stands between its outermost brackets.
fn json_in(answer: &str) -> Json {
    if let Ok(value) = serde_json::from_str::<Value>(answer)
        && !value.is_number()
    {
        return Json::Found(value);
    }
    let between = [('{', '}'), ('[', ']')].into_iter().filter_map(|(open, close)| {
        let (from, to) = (answer.find(open)?, answer.rfind(close)?);
        serde_json::from_str::<Value>(answer.get(from..=to)?).ok().map(|value| (from, value))
    });
    // The outer ones begin first.
    match between.min_by_key(|(from, _)| *from) {
        Some((_, value)) => Json::Found(value),
        None => {
            let bare = answer.trim_start_matches("```json").trim_start_matches("```").trim_start();
            if bare.starts_with('{') || bare.starts_with("[\"") || bare.starts_with("[\n") {
                Json::Broken
            } else {
                Json::None
            }
        }
    }
}

/// Returns the texts of a value: of a list, of the first list in an object, or of a text of lines.
fn texts_in(value: &Value) -> Option<Vec<String>> {
    match value {
        Value::String(text) => Some(lines_of(text)),
        Value::Array(list) => list.iter().map(text_of).collect(),
        Value::Object(fields) => {
            let lists = || fields.values().filter_map(|value| value.as_array().filter(|list| !list.is_empty()));
            match fields.get("sentences").or_else(|| fields.values().find(|value| value.is_array())) {
                Some(list @ Value::Array(_)) => texts_in(list),
                Some(Value::String(text)) => Some(lines_of(text)),
                // {"1": "a sentence", "2": "another"}
                _ if lists().next().is_none() => fields.values().map(text_of).collect(),
                _ => None,
            }
        }
        _ => None,
    }
}

/// Returns the text of an item of a list: itself, or the first text of an object.
fn text_of(item: &Value) -> Option<String> {
    match item {
        Value::String(text) => Some(text.clone()),
        Value::Object(fields) => fields.values().find_map(Value::as_str).map(str::to_owned),
        _ => None,
    }
}

/// Returns the lines of a text, without those that only fence it; the sentences of a text of one
/// line.
fn lines_of(text: &str) -> Vec<String> {
    let lines: Vec<&str> =
        text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("```")).collect();
    match lines.as_slice() {
        [line] => sentences_of(line),
        lines => lines.iter().map(|line| (*line).to_owned()).collect(),
    }
}

/// Cuts a line behind each full stop that a capital letter follows.
fn sentences_of(line: &str) -> Vec<String> {
    let (mut sentences, mut from) = (Vec::new(), 0);
    for (at, _) in line.match_indices(". ") {
        let (before, after) = (&line[from..at], &line[at + 2..]);
        // Not behind an initial or a number.
        let word = before.rsplit(' ').next().unwrap_or_default();
        if after.starts_with(char::is_uppercase) && word.chars().filter(|c| c.is_alphabetic()).count() > 1 {
            sentences.push(line[from..=at].to_owned());
            from = at + 2;
        }
    }
    sentences.push(line[from..].to_owned());
    sentences
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_answer_lists_texts_or_nothing(
            pieces in prop::collection::vec(r#"[{}\[\]",:.` \n]|</?think>|```json|"sentences":|[a-zA-Z.é ]{0,9}|[0-9]"#, 0..24)
        ) {
            let texts = texts_of(&pieces.concat()).unwrap_or_else(|| vec!["nothing".to_owned()]);
            prop_assert!(!texts.is_empty() && texts.iter().all(|text| text.chars().any(char::is_alphabetic)));
        }
    }

    #[test]
    fn sentences_are_found_whatever_the_form() {
        let two = Some(vec!["It is red.".to_owned(), "It has spots.".to_owned()]);
        for answer in [
            r#"{"sentences": ["It is red.", "It has spots."]}"#,
            r#"["It is red.", "It has spots."]"#,
            "Here you are:\n```json\n{\"sentences\": [\"It is red.\",\n \"It has spots.\"]}\n```",
            r#"{"note": "ok", "descriptions": ["It is red.", "It has spots."]}"#,
            r#"{"sentences": [{"text": "It is red."}, {"text": "It has spots."}]}"#,
            r#"{"1": "It is red.", "2": "It has spots."}"#,
            r#"{"sentences": "It is red.\nIt has spots."}"#,
            "It is red.\n\nIt has spots.\n",
            "```\nIt is red.\nIt has spots.\n```",
            "It is red. It has spots.",
            "<think>Is it {red}?\nI think so.</think>\n\nIt is red.\nIt has spots.",
            "<thinking>\nIs it red?\n</thinking>\nIt is red.\nIt has spots.",
            "[THINK]Is it red?[/THINK]{\"sentences\": [\"It is red.\", \"It has spots.\"]}",
        ] {
            assert_eq!(texts_of(answer), two, "{answer}");
        }
        assert_eq!(texts_of("It is 2. Then more").unwrap().len(), 1, "a number ends no sentence");
    }

    #[test]
    fn what_broke_off_or_lists_nothing_is_no_list() {
        for answer in [
            "",
            "{\"sentences\": [\"It is red.\", \"It ha",
            "```json\n[\n \"It is red.\",",
            "{\"sentences\": []}",
            "{\"sentences\": [1, 2]}",
            "{}",
            "42",
            "<think>It is red.</think>",
            "<think>It may be red.\nOr has it spots?",
            "[THINK]It may be red.\nOr has it spots?",
            "...\n---",
        ] {
            assert_eq!(texts_of(answer), None, "{answer}");
        }
    }
}
