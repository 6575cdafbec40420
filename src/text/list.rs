//! Names in a sentence, shortened when there are too many to read.

use super::terminal::in_line;

/// Names of files, columns or classes that are worth reading in one message.
pub(crate) const SHOWN: usize = 6;

/// Writes the first few names, and how many more there are: `a, b and 3 more`. Whatever the names
/// hold, that is one line.
pub(crate) fn some_of<S: AsRef<str>>(names: &[S], most: usize) -> String {
    let shown: Vec<_> = names.iter().take(most).map(|name| in_line(name.as_ref())).collect();
    match names.len().saturating_sub(most) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rest_is_counted() {
        assert_eq!(some_of(&["a", "b", "c", "d", "e"], 3), "a, b, c and 2 more");
        assert_eq!(some_of(&["a", "b\n", "c"], 3), "a, b\\n, c");
    }
}
