//! Patterns of paths, as the names of shards are written: `train-{000..099}.tar` means all of them,
//! `*.tar` those that are there.

#[cfg(feature = "stores")]
mod names;

use std::path::{Component, Path, PathBuf};

use bracoxide::parser::{Node, ParsingError};
use bracoxide::tokenizer::TokenizationError;
use bracoxide::{expand as expanded, parser, tokenizer};
#[cfg(feature = "stores")]
pub(crate) use names::Names;

use crate::error::{Context, Error, Kind, Result};
use crate::panics::caught;

/// Files that a pattern may mean: shards hold thousands of pictures each.
const MOST: u64 = 100_000;

/// Bytes of a pattern, and braces within braces: the expansion is recursive.
const LONGEST: usize = 4096;
const DEEPEST: usize = 8;

const HINT: &str = "shards are written as train-{000..099}.tar, {train,val}-{00..09}.tar or *.tar";

/// Returns the folder before the first part of a path that has a `{`, `*`, `?` or `[`; `None` if
/// none has one.
pub(crate) fn folder(path: &Path) -> Option<PathBuf> {
    let mut folder = PathBuf::new();
    for part in path.components() {
        if part.as_os_str().as_encoded_bytes().iter().any(|byte| b"{*?[".contains(byte)) {
            return Some(folder);
        }
        folder.push(part);
    }
    None
}

/// Returns the paths that a pattern means, in the order of its braces, and those of a `*`, `?` or
/// `[...]` by name. Each is one that exists.
///
/// # Errors
/// Returns [`Kind::Input`] if the braces mean nothing or too much, or if a path of them does not
/// exist.
pub(crate) fn paths(pattern: &Path) -> Result<Vec<PathBuf>> {
    let Some(folder) = folder(pattern).filter(|_| !pattern.exists()) else { return Ok(vec![pattern.to_owned()]) };
    let shown = pattern.display();
    let text = pattern.strip_prefix(&folder).ok().and_then(Path::to_str);
    let text = text.ok_or_else(|| refused(pattern, "is not UTF-8"))?;
    let (mut found, mut missing) = (Vec::new(), Vec::new());
    let each = braces(text).map_err(|why| refused(pattern, &why))?;
    let count = each.len();
    for one in each {
        let before = found.len();
        matching(folder.clone(), Path::new(&one), &mut found)?;
        if found.len() == before {
            missing.push(folder.join(one));
        }
    }
    match missing.as_slice() {
        [] => Ok(found),
        _ if count == 1 => Err(Error::new(Kind::Input, format!("nothing is called {shown}")).hint(HINT)),
        [first, ..] => {
            let what = format!("{shown}: {} of {count} do not exist, such as {}", missing.len(), first.display());
            Err(Error::new(Kind::Input, what).hint("fetch them, or name those that are there"))
        }
    }
}

fn refused(pattern: &Path, why: &str) -> Error {
    Error::new(Kind::Input, format!("the pattern {} {why}", pattern.display())).hint(HINT)
}

/// Returns what a text with braces stands for, or why it stands for nothing.
fn braces(text: &str) -> std::result::Result<Vec<String>, String> {
    if !text.contains(['{', '}']) {
        return Ok(vec![text.to_owned()]);
    }
    if text.len() > LONGEST {
        return Err(format!("has more than {LONGEST} bytes"));
    }
    if text.contains("{}") {
        return Err("has braces with nothing in them".to_owned());
    }
    let mut depth = 0_usize;
    for c in text.chars() {
        depth = if c == '{' { depth + 1 } else { depth.saturating_sub(usize::from(c == '}')) };
        if depth > DEEPEST {
            return Err(format!("has more than {DEEPEST} braces within each other"));
        }
    }
    // The places that its errors name are computed with sums that overflow beyond ASCII.
    caught(|| {
        let tokens = match tokenizer::tokenize(text) {
            Ok(tokens) => tokens,
            Err(TokenizationError::NoBraces) => return Ok(vec![text.to_owned()]),
            Err(error) => return Err(format!("has braces that mean nothing: {error}")),
        };
        let node =
            parser::parse(&tokens).map_err(|error: ParsingError| format!("has braces that mean nothing: {error}"))?;
        match count(&node) {
            Some(0) => Err("has a range whose end is below its start".to_owned()),
            Some(1..=MOST) => expanded(&node).map_err(|error| format!("has braces that mean nothing: {error}")),
            _ => Err(format!("means more than {MOST} files")),
        }
    })
    .unwrap_or_else(|why| Err(format!("has braces that mean nothing: {why}")))
}

/// Returns how many texts a node stands for; `None` if they are too many to count, or a range is
/// none of numbers.
fn count(node: &Node) -> Option<u64> {
    match node {
        Node::Text { .. } => Some(1),
        Node::BraceExpansion { prefix, inside, postfix, .. } => {
            let parts = [prefix, inside, postfix].into_iter().flatten();
            parts.map(|part| count(part)).try_fold(1_u64, |all, part| all.checked_mul(part?))
        }
        Node::Collection { items, .. } => {
            let counts: Option<Vec<u64>> = items.iter().map(count).collect();
            let counts = counts?;
            // One that means nothing is a slip, whatever stands beside it.
            let any = if counts.contains(&0) { 0 } else { 1 };
            counts.into_iter().try_fold(0_u64, u64::checked_add).map(|sum| any * sum)
        }
        Node::Range { from, to, .. } => {
            let (from, to) = (from.parse::<u64>().ok()?, to.parse::<u64>().ok()?);
            Some(if from > to { 0 } else { (to - from).saturating_add(1) })
        }
    }
}

/// Adds the paths below `folder` that match the rest of a path, by name.
fn matching(folder: PathBuf, rest: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
    let mut parts = rest.components();
    let Some(part) = parts.next() else {
        if folder.exists() {
            found.push(folder);
        }
        return Ok(());
    };
    let name = match part {
        Component::Normal(name) => name.to_str().filter(|name| name.contains(['*', '?', '['])),
        _ => None,
    };
    let Some(pattern) = name else { return matching(folder.join(part), parts.as_path(), found) };
    if !folder.is_dir() {
        return Ok(());
    }
    let pattern: Vec<char> = pattern.chars().collect();
    let mut names = Vec::new();
    for entry in std::fs::read_dir(&folder).at(Kind::Input, "cannot look through", &folder)? {
        let name = entry.at(Kind::Input, "cannot look through", &folder)?.file_name();
        // As in a shell, a hidden file is not what `*` means.
        let fits = name.to_str().is_some_and(|name| {
            (!name.starts_with('.') || pattern.first() == Some(&'.'))
                && fits(&pattern, &name.chars().collect::<Vec<_>>())
        });
        names.extend(fits.then_some(name));
    }
    names.sort_unstable();
    names.into_iter().try_for_each(|name| matching(folder.join(name), parts.as_path(), found))
}

/// Returns whether a name matches a pattern of `*`, `?` and `[a-z]`. Takes as many steps as the
/// product of both lengths at most.
fn fits(pattern: &[char], name: &[char]) -> bool {
    let (mut at, mut from) = (0, 0);
    // Where the last star stands, and what of the name it has taken.
    let mut star: Option<(usize, usize)> = None;
    while from < name.len() {
        match one(&pattern[at..], name[from]) {
            Some(taken) => (at, from) = (at + taken, from + 1),
            None if pattern.get(at) == Some(&'*') => {
                star = Some((at, from));
                at += 1;
            }
            None => {
                let Some((place, taken)) = star else { return false };
                star = Some((place, taken + 1));
                (at, from) = (place + 1, taken + 1);
            }
        }
    }
    pattern[at..].iter().all(|c| *c == '*')
}

/// Returns how many letters of a pattern stand for a letter, if its first ones do.
fn one(pattern: &[char], letter: char) -> Option<usize> {
    match pattern.first()? {
        '*' => None,
        '?' => Some(1),
        '[' => {
            // A bracket may stand first in a set, and a set without an end is a bracket.
            let Some(end) = pattern.iter().skip(2).position(|c| *c == ']').map(|end| end + 2) else {
                return (letter == '[').then_some(1);
            };
            let (not, set) = match &pattern[1..end] {
                ['!' | '^', set @ ..] if !set.is_empty() => (true, set),
                set => (false, set),
            };
            (in_set(set, letter) != not).then_some(end + 1)
        }
        same => (*same == letter).then_some(1),
    }
}

fn in_set(mut set: &[char], letter: char) -> bool {
    loop {
        set = match set {
            [] => return false,
            [from, '-', to, rest @ ..] => {
                if (*from..=*to).contains(&letter) {
                    return true;
                }
                rest
            }
            [one, rest @ ..] => {
                if *one == letter {
                    return true;
                }
                rest
            }
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn braces_are_counted_before_they_are_written_out() {
        let of = |text: &str| braces(text);
        assert_eq!(of("a-{008..010}.tar").unwrap(), ["a-008.tar", "a-009.tar", "a-010.tar"]);
        assert_eq!(of("{a,b}-{01..02}.tar").unwrap(), ["a-01.tar", "a-02.tar", "b-01.tar", "b-02.tar"]);
        assert_eq!(of("{train-{0..1},val-0}.tar").unwrap(), ["train-0.tar", "train-1.tar", "val-0.tar"]);
        assert_eq!(of("plain.tar").unwrap(), ["plain.tar"]);
        assert_eq!(of("Übung-{1..2}.tar").unwrap(), ["Übung-1.tar", "Übung-2.tar"]);
        for (text, why) in [
            ("a-{3..1}.tar", "a range whose end is below its start"),
            ("{a,x{3..1}}.tar", "a range whose end is below its start"),
            ("a-{0..99999999999}.tar", "means more than 100000 files"),
            ("{0..999}{0..999}.tar", "means more than 100000 files"),
            ("a-{0..3.tar", "has braces that mean nothing"),
            ("a-{}.tar", "has braces with nothing in them"),
            ("{{{{{{{{{1}}}}}}}}}.tar", "more than 8 braces"),
        ] {
            let refused = of(text).unwrap_err();
            assert!(refused.contains(why), "{text}: {refused}");
        }
    }

    #[test]
    fn stars_mean_what_is_there_and_braces_all_that_they_say() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["a-0.tar", "a-1.tar", "b-0.tar", ".c.tar", "a-0.tar.gz", "more/d.tar", "[x].tar"] {
            let path = dir.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        let of = |pattern: &str| {
            let found = paths(&dir.path().join(pattern)).map_err(|error| error.to_string())?;
            let name = |path: PathBuf| path.strip_prefix(dir.path()).unwrap().display().to_string();
            Ok::<Vec<String>, String>(found.into_iter().map(name).collect())
        };
        assert_eq!(of("*.tar").unwrap(), ["[x].tar", "a-0.tar", "a-1.tar", "b-0.tar"]);
        assert_eq!(of("[a-b]-?.tar").unwrap(), ["a-0.tar", "a-1.tar", "b-0.tar"]);
        assert_eq!(of("[!a]-0.tar").unwrap(), ["b-0.tar"]);
        assert_eq!(of("m*/*.tar").unwrap(), ["more/d.tar"]);
        assert_eq!(of("{b,a}-*.tar").unwrap(), ["b-0.tar", "a-0.tar", "a-1.tar"]);
        assert_eq!(of("[x].tar").unwrap(), ["[x].tar"], "a file of that name is that file");
        assert!(of("a-{0..2}.tar").unwrap_err().contains("1 of 3 do not exist, such as "));
        assert!(of("z*.tar").unwrap_err().starts_with("nothing is called "));
        assert_eq!(folder(Path::new("/a/b-{0..1}/c*.tar")), Some(PathBuf::from("/a")));
        assert_eq!(folder(Path::new("/a/b.tar")), None);
        let long: Vec<char> = "a".repeat(3000).chars().collect();
        assert!(!fits(&"*a*a*a*a*a*b".chars().collect::<Vec<_>>(), &long), "it takes no exponential time");
    }
}
