//! Patterns of names that cannot be looked for on the disk, since what there is lies elsewhere.

use std::collections::HashSet;
use std::path::Path;

use super::{braces, fits, refused};
use crate::error::Result;

/// The names that a pattern means, where what there is cannot be looked through.
#[derive(Debug)]
pub(crate) struct Names {
    /// Those that it spells out.
    exact: HashSet<String>,
    /// The parts of those with a `*`, `?` or `[...]`.
    fitting: Vec<Vec<Vec<char>>>,
}

impl Names {
    /// Reads a pattern of names with slashes between their parts.
    ///
    /// # Errors
    /// Returns [`Kind::Input`] if its braces mean nothing or too much.
    pub(crate) fn of(pattern: &str) -> Result<Names> {
        let all = braces(pattern).map_err(|why| refused(Path::new(pattern), &why))?;
        let (fitting, exact): (Vec<String>, Vec<String>) =
            all.into_iter().partition(|name| name.contains(['*', '?', '[']));
        let parts = |name: &String| name.split('/').map(|part| part.chars().collect()).collect();
        Ok(Names { exact: exact.into_iter().collect(), fitting: fitting.iter().map(parts).collect() })
    }

    /// Returns whether a name is meant.
    pub(crate) fn has(&self, name: &str) -> bool {
        let parts = || -> Vec<Vec<char>> { name.split('/').map(|part| part.chars().collect()).collect() };
        let like = |pattern: &Vec<Vec<char>>| {
            let parts = parts();
            pattern.len() == parts.len() && pattern.iter().zip(&parts).all(|(pattern, part)| fits(pattern, part))
        };
        self.exact.contains(name) || self.fitting.iter().any(like)
    }

    /// Returns the names that are spelled out, if all of them are.
    pub(crate) fn exact(&self) -> Option<Vec<&str>> {
        let mut names: Vec<&str> = self.exact.iter().map(String::as_str).collect();
        names.sort_unstable();
        self.fitting.is_empty().then_some(names)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_known_by_their_pattern_alone() {
        let names = Names::of("{a,b}-{0..1}*/[xy].tar").unwrap();
        assert!(["a-0/x.tar", "b-1-more/y.tar"].iter().all(|name| names.has(name)));
        assert!(!["a-2/x.tar", "a-0/z.tar", "x.tar", "a-0/b/x.tar", "c/a-0/x.tar"].iter().any(|name| names.has(name)));
        assert_eq!(names.exact(), None);
        assert_eq!(Names::of("a-{08..10}.tar").unwrap().exact().unwrap(), ["a-08.tar", "a-09.tar", "a-10.tar"]);
        assert!(Names::of("a-{3..1}.tar").unwrap_err().to_string().contains("end is below its start"));
    }
}
