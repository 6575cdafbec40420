//! Turns clap's message about a wrong command line into an error of this program.

use crate::error::{Error, Kind};

/// Parses clap's text: `error: WHAT`, then paragraphs: tips, the usage, and where to read more.
pub(super) fn error(text: &str) -> Error {
    let mut paragraphs = text.split("\n\n").map(|part| part.split_whitespace().collect::<Vec<_>>().join(" "));
    let what = paragraphs.next().unwrap_or_default();
    let error = Error::new(Kind::Usage, what.strip_prefix("error: ").unwrap_or(&what));
    let rest: Vec<String> = paragraphs.filter(|part| !part.is_empty()).collect();
    let tip = rest.iter().find_map(|part| part.strip_prefix("tip: "));
    match tip.or(rest.first().map(String::as_str)) {
        Some(hint) => error.hint(hint),
        None => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tip_is_the_hint_and_without_one_the_usage() {
        let mistyped =
            "error: unexpected argument '--fromat' found\n\n  tip: a similar argument exists: '--format'\n\nUsage: a\n";
        let found = error(mistyped);
        assert_eq!(found.to_string(), "unexpected argument '--fromat' found");
        assert_eq!(found.hint_text(), Some("a similar argument exists: '--format'"));
        let missing = "error: the following required arguments were not provided:\n  <PIPELINE>\n\nUsage: a run <PIPELINE>\n\nFor more\n";
        let found = error(missing);
        assert_eq!(found.to_string(), "the following required arguments were not provided: <PIPELINE>");
        assert_eq!(found.hint_text(), Some("Usage: a run <PIPELINE>"));
    }
}
