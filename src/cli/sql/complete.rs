//! Completion in the shell: commands, tables, columns, functions, keywords.

use liner::{Buffer, Completer};

use super::commands::COMMANDS;
use crate::table::names::Names;

/// Words of SQL that a statement here may need.
const KEYWORDS: &[&str] = &[
    "ALL",
    "AND",
    "AS",
    "ASC",
    "BETWEEN",
    "BY",
    "CASE",
    "CAST",
    "CROSS",
    "DESC",
    "DESCRIBE",
    "DISTINCT",
    "ELSE",
    "END",
    "EXCEPT",
    "EXISTS",
    "EXPLAIN",
    "ANALYZE",
    "FALSE",
    "FILTER",
    "FROM",
    "FULL",
    "GROUP",
    "HAVING",
    "ILIKE",
    "IN",
    "INNER",
    "INTERSECT",
    "IS",
    "JOIN",
    "LEFT",
    "LIKE",
    "LIMIT",
    "NOT",
    "NULL",
    "OFFSET",
    "ON",
    "OR",
    "ORDER",
    "OVER",
    "PARTITION",
    "SELECT",
    "SHOW",
    "THEN",
    "TRUE",
    "UNION",
    "USING",
    "VALUES",
    "WHEN",
    "WHERE",
    "WITH",
];

/// The words that are completed.
pub(super) struct Words {
    words: Vec<String>,
    columns: Vec<String>,
}

impl Words {
    pub(super) fn new(names: Names) -> Self {
        let Names { tables, columns, functions } = names;
        let keywords = KEYWORDS.iter().map(|word| (*word).to_owned());
        let commands = COMMANDS.iter().map(|(name, _, _)| (*name).to_owned());
        let functions = functions.into_iter().map(|name| format!("{name}("));
        let words = tables.into_iter().chain(columns.clone()).chain(functions).chain(keywords).chain(commands);
        Words { words: words.collect(), columns }
    }

    /// Returns what a beginning may become. What follows a point is completed as a column, unless
    /// the whole begins another word.
    fn candidates(&self, start: &str) -> Vec<String> {
        if start.is_empty() {
            return Vec::new();
        }
        let begins = |word: &&String| word.get(..start.len()).is_some_and(|head| head.eq_ignore_ascii_case(start));
        let whole: Vec<String> = self.words.iter().filter(begins).cloned().collect();
        match start.rsplit_once('.') {
            Some((table, column)) if whole.is_empty() => {
                let columns = self.columns.iter().filter(|name| name.starts_with(column));
                columns.map(|name| format!("{table}.{name}")).collect()
            }
            _ => whole,
        }
    }
}

impl Completer for Words {
    fn completions(&mut self, start: &str) -> Vec<String> {
        self.candidates(start)
    }
}

/// Returns the words of SQL as ranges of characters: names include their points, and commands their
/// backslash.
pub(super) fn words(buffer: &Buffer) -> Vec<(usize, usize)> {
    let (mut words, mut start) = (Vec::new(), None);
    for (at, c) in buffer.chars().enumerate() {
        let inside = c.is_alphanumeric() || matches!(c, '_' | '.' | '\\' | '?');
        match (inside, start) {
            (true, None) => start = Some(at),
            (false, Some(from)) => {
                words.push((from, at));
                start = None;
            }
            _ => {}
        }
    }
    words.extend(start.map(|from| (from, buffer.num_chars())));
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_completed_by_what_they_may_be() {
        let named = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let words = Words::new(Names {
            tables: named(&["pseudo_labels", "all_runs.per_class"]),
            columns: named(&["confidence", "class_id"]),
            functions: named(&["cosine"]),
        });
        assert_eq!(words.candidates("pseu"), ["pseudo_labels"]);
        assert_eq!(words.candidates("sel"), ["SELECT"]);
        assert_eq!(words.candidates("co"), ["confidence", "cosine("]);
        assert_eq!(words.candidates("p.conf"), ["p.confidence"]);
        assert_eq!(words.candidates("all_runs.p"), ["all_runs.per_class"]);
        assert_eq!(words.candidates("\\ti"), ["\\timing"]);
        assert!(words.candidates("").is_empty() && words.candidates("ü").is_empty());
    }

    #[test]
    fn words_end_at_what_no_name_has() {
        assert_eq!(words(&Buffer::from("max(p.x)<1 \\d")), [(0, 3), (4, 7), (9, 10), (11, 13)]);
    }
}
