//! Classes that a list has by number and by name: neither may have two of the other.

use std::collections::HashMap;

use crate::text::names::plain;
use crate::text::terminal::in_line;

/// The numbers and the names of the classes seen so far.
#[derive(Debug, Default)]
pub(super) struct Classes {
    names: HashMap<i64, String>,
    numbers: HashMap<String, i64>,
}

impl Classes {
    /// Takes a class; the same one may come again.
    ///
    /// # Errors
    /// Returns the contradiction, as a sentence that goes on with where it was found: `class 0 is
    /// called 'rose', and 'lily'`.
    pub(super) fn add(&mut self, number: i64, name: &str) -> Result<(), String> {
        let before = self.names.entry(number).or_insert_with(|| name.to_owned());
        if plain(before) != plain(name) {
            return Err(format!("class {number} is called '{}', and '{}'", in_line(before), in_line(name)));
        }
        let before = *self.numbers.entry(plain(name)).or_insert(number);
        match before == number {
            true => Ok(()),
            false => Err(format!("'{}' is class {before}, and {number}", in_line(name))),
        }
    }
}
