//! Maps each key of a file to its line.

use std::collections::HashMap;

use toml::de::{DeTable, DeValue};

use super::keys::join;

/// Dotted names of keys and tables, and their lines, counted from 1. The items of a list `rows` are
/// `rows[0]`, `rows[1]` and so on.
#[derive(Debug, Default)]
pub(crate) struct Lines(HashMap<String, usize>);

impl Lines {
    /// Collects the line of every key of `table`, which was parsed from `text`.
    pub(crate) fn of(text: &str, table: &DeTable<'_>) -> Self {
        let mut lines = Lines::default();
        lines.collect(text, "", table);
        lines
    }

    /// Returns the line of a dotted name, if the file has it.
    pub(crate) fn get(&self, name: &str) -> Option<usize> {
        self.0.get(name).copied()
    }

    fn collect(&mut self, text: &str, section: &str, table: &DeTable<'_>) {
        for (key, value) in table {
            let name = join(section, key.get_ref());
            self.0.insert(name.clone(), line_at(text, key.span().start));
            self.inside(text, &name, value.get_ref());
        }
    }

    fn inside(&mut self, text: &str, name: &str, value: &DeValue<'_>) {
        match value {
            DeValue::Table(inner) => self.collect(text, name, inner),
            DeValue::Array(items) => {
                for (n, item) in items.iter().enumerate() {
                    let name = format!("{name}[{n}]");
                    self.0.insert(name.clone(), line_at(text, item.span().start));
                    self.inside(text, &name, item.get_ref());
                }
            }
            _ => {}
        }
    }
}

/// Returns the line of a byte offset, counted from 1.
pub(crate) fn line_at(text: &str, offset: usize) -> usize {
    1 + text.as_bytes().iter().take(offset).filter(|&&byte| byte == b'\n').count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_of_lists_have_lines() {
        let text = "set = [\n  'a',\n  'b',\n]\n\n[[rows]]\nname = 'x'\n[[rows]]\n\nname = 'y'\n[grid]\n'a.b' = [1]\n";
        let lines = Lines::of(text, DeTable::parse(text).unwrap().get_ref());
        let found = ["set", "set[1]", "rows[0]", "rows[0].name", "rows[1]", "rows[1].name", "grid.\"a.b\"", "rows[2]"]
            .map(|name| lines.get(name));
        assert_eq!(found, [Some(1), Some(3), Some(6), Some(7), Some(8), Some(10), Some(12), None]);
    }
}
