//! What a server says with a status of 300 and above.

use serde_json::Value;

use crate::text::line::on_one_line;

/// The most characters of a server's words that a message repeats.
const SHOWN: usize = 300;

/// A server's refusal.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) status: u16,
    /// Its words, on one line.
    pub(super) said: String,
    /// Its code or type, such as `insufficient_quota`.
    codes: Vec<String>,
}

impl Refusal {
    /// Reads the body of a refusal, which may be JSON of several shapes, or a page. `hide` takes
    /// the key out of words that are decoded, and not cut yet.
    pub(super) fn new(status: u16, body: &str, hide: impl Fn(&str) -> String) -> Refusal {
        let json: Value = serde_json::from_str(body).unwrap_or_default();
        let error = match &json {
            // Google's servers put it into a list.
            Value::Array(list) => list.first().and_then(|first| first.get("error")),
            json => json.get("error"),
        };
        let of = |key: &str| error.and_then(|error| error.get(key)).or_else(|| json.get(key));
        let text = [of("message"), error, json.get("detail")].into_iter().flatten().find_map(Value::as_str);
        let codes = ["code", "type"].into_iter().filter_map(|key| of(key)?.as_str().map(str::to_owned)).collect();
        Refusal { status, said: on_a_line(&hide(text.unwrap_or(body))), codes }
    }

    /// Returns whether the account has nothing left, which waiting does not mend.
    pub(super) fn is_of_the_account(&self) -> bool {
        self.status == 402
            || self.codes.iter().any(|code| code.contains("insufficient_quota") || code.contains("billing"))
    }

    /// Returns whether the server's words are about the form of the answer.
    pub(super) fn is_about_the_form(&self) -> bool {
        let said = self.said.to_lowercase();
        ["response_format", "json_schema", "json_object", "schema", "grammar", "guided"]
            .iter()
            .any(|w| said.contains(w))
    }

    /// Returns whether the server wants the limit of tokens under its newer name.
    pub(super) fn wants_completion_tokens(&self) -> bool {
        self.said.contains("max_completion_tokens")
    }

    /// Returns whether the server does not know the field `seed`, as Google's and Mistral's.
    pub(super) fn is_about_the_seed(&self) -> bool {
        self.said.to_lowercase().contains("seed")
    }

    /// Says the status and the server's words: `429: slow down`.
    pub(super) fn in_words(&self) -> String {
        if self.said.is_empty() { self.status.to_string() } else { format!("{}: {}", self.status, self.said) }
    }
}

/// Puts a server's words on one line of bounded length, without characters that steer a terminal.
pub(super) fn on_a_line(words: &str) -> String {
    let line = on_one_line(words);
    match line.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(status: u16, body: &str) -> Refusal {
        Refusal::new(status, body, str::to_owned)
    }

    #[test]
    fn a_key_is_taken_out_before_words_are_cut() {
        let body = format!("{{\"error\": \"{} sk-1\\/2\"}}", "x".repeat(SHOWN - 3));
        let said = Refusal::new(401, &body, |said| said.replace("sk-1/2", "[key]")).said;
        assert!(!said.contains("sk"), "{said}");
    }

    #[test]
    fn the_words_of_many_servers_are_found() {
        let openai = r#"{"error": {"message": "You exceeded your current quota", "type": "insufficient_quota", "param": null, "code": "insufficient_quota"}}"#;
        let refusal = read(429, openai);
        assert_eq!(refusal.in_words(), "429: You exceeded your current quota");
        assert!(refusal.is_of_the_account());
        let limit =
            r#"{"error": {"message": "Rate limit reached", "type": "requests", "code": "rate_limit_exceeded"}}"#;
        assert!(!read(429, limit).is_of_the_account());
        for (body, said) in [
            (r#"{"error": "model 'x' not found"}"#, "404: model 'x' not found"),
            (r#"{"object": "error", "message": "no such model", "code": 404}"#, "404: no such model"),
            (r#"{"detail": "Not Found"}"#, "404: Not Found"),
            (r#"[{"error": {"message": "bad"}}]"#, "404: bad"),
            ("<html>\n\x1b[31mnothing\x1b[0m here</html>", "404: <html> nothing here</html>"),
            ("", "404"),
        ] {
            assert_eq!(read(404, body).in_words(), said);
        }
        assert!(read(400, r#"{"error": {"message": "'response_format' is not supported"}}"#).is_about_the_form());
        assert_eq!(on_a_line(&"é".repeat(400)).chars().count(), SHOWN + 1);
    }
}
