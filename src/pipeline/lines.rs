//! On which line of the file each key stands.

use std::collections::HashMap;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::keys::join;

/// Dotted names of keys and tables, and their lines, counted from 1.
#[derive(Debug, Default)]
pub(super) struct Lines(HashMap<String, usize>);

impl Lines {
    /// The lines of every key of `table`, which was parsed from `text`.
    pub(super) fn of(text: &str, table: &DeTable<'_>) -> Self {
        let mut lines = Lines::default();
        lines.collect(text, "", table);
        lines
    }

    /// The line of a dotted name, if the file has it.
    pub(super) fn get(&self, name: &str) -> Option<usize> {
        self.0.get(name).copied()
    }

    fn collect(&mut self, text: &str, section: &str, table: &DeTable<'_>) {
        for (key, value) in table {
            let name = join(section, key.get_ref());
            self.0.insert(name.clone(), line_at(text, key.span().start));
            if let DeValue::Table(inner) = Spanned::get_ref(value) {
                self.collect(text, &name, inner);
            }
        }
    }
}

/// The line, counted from 1, of a byte offset.
pub(super) fn line_at(text: &str, offset: usize) -> usize {
    1 + text.as_bytes().iter().take(offset).filter(|&&byte| byte == b'\n').count()
}
