//! Splits statements at semicolons outside of strings, quoted names and comments.

use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::tokenizer::{Location, Token, TokenWithSpan, Tokenizer};

/// A text of statements, split.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Split {
    /// The statements that a semicolon ends, without it; none is empty.
    pub(super) statements: Vec<String>,
    /// What is left; empty if it is only space and comments.
    pub(super) rest: String,
}

/// Splits a text. An unterminated string or comment is part of the rest.
pub(super) fn split(text: &str) -> Split {
    let mut tokens: Vec<TokenWithSpan> = Vec::new();
    let whole = Tokenizer::new(&GenericDialect {}, text).tokenize_with_location_into_buf(&mut tokens).is_ok();
    let places = Places::of(text);
    let (mut statements, mut from, mut empty) = (Vec::new(), 0, true);
    for TokenWithSpan { token, span } in &tokens {
        match token {
            Token::SemiColon => {
                let end = places.offset(span.start);
                if !text[end..].starts_with(';') {
                    continue;
                }
                if !empty {
                    statements.push(text[from..end].trim().to_owned());
                }
                (from, empty) = (end + 1, true);
            }
            Token::Whitespace(_) | Token::EOF => {}
            _ => empty = false,
        }
    }
    let rest = text[from..].trim();
    let nothing = empty && whole;
    Split { statements, rest: if nothing { String::new() } else { rest.to_owned() } }
}

/// Byte offsets of the lines of a text.
struct Places<'a> {
    text: &'a str,
    lines: Vec<usize>,
}

impl<'a> Places<'a> {
    fn of(text: &'a str) -> Self {
        let lines = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Places { text, lines }
    }

    /// Returns the byte offset of a line and a column, both counted from 1, the column in
    /// characters.
    fn offset(&self, at: Location) -> usize {
        let line = usize::try_from(at.line).unwrap_or(usize::MAX).saturating_sub(1);
        let start = self.lines.get(line).copied().unwrap_or(self.text.len());
        let column = usize::try_from(at.column).unwrap_or(usize::MAX).saturating_sub(1);
        self.text[start..].char_indices().nth(column).map_or(self.text.len(), |(offset, _)| start + offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> (Vec<String>, String) {
        let Split { statements, rest } = split(text);
        (statements, rest)
    }

    #[test]
    fn semicolons_in_strings_names_and_comments_end_nothing() {
        let (statements, rest) = of("SELECT ';' AS \"a;b\" -- ; no\n, 'ü;' /* ; */;\n\nSELECT 2;; -- end\n");
        assert_eq!(statements, ["SELECT ';' AS \"a;b\" -- ; no\n, 'ü;' /* ; */", "SELECT 2"]);
        assert_eq!(rest, "");
    }

    #[test]
    fn what_is_not_ended_is_left() {
        assert_eq!(of("SELECT 1; SELECT\n2"), (vec!["SELECT 1".to_owned()], "SELECT\n2".to_owned()));
        assert_eq!(of("SELECT 'a;").1, "SELECT 'a;");
        assert_eq!(of("/* open ;").1, "/* open ;");
        assert_eq!(of(" \n-- nothing"), (vec![], String::new()));
        assert_eq!(of(""), (vec![], String::new()));
    }
}
