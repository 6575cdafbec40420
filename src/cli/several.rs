//! What is said where one path is wanted and several were given: most often a shell has expanded a
//! pattern that was meant for this program.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use crate::error::{Error, Kind};
use crate::text::list::some_of;
use crate::text::shell;

/// Most paths that are named.
const SHOWN: usize = 3;

/// Most names that a pattern lists.
const MOST: usize = 6;

/// Returns the error for several paths; the hint shows what can be typed in their place, between
/// the command and its options.
pub(super) fn error(command: &str, paths: &[PathBuf], options: &str) -> Error {
    let names: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
    let what = format!("one path is wanted, and {} were given: {}", paths.len(), some_of(&names, SHOWN));
    let error = Error::new(Kind::Usage, what);
    let Some((folder, names)) = in_one_folder(paths) else {
        return error.hint("name one folder, or one list; pictures of several folders are named by a list");
    };
    let typed = |path: &Path| format!("{command} {}{options}", shell::word(&path.to_string_lossy()));
    if let [_] = names.as_slice() {
        return error.hint(format!("it is the same each time: {}", typed(&paths[0])));
    }
    let ends_with = |extensions: &[&str]| {
        names.iter().all(|name| extensions.iter().any(|extension| name.to_lowercase().ends_with(extension)))
    };
    if !ends_with(&[".tar", ".csv", ".tsv", ".jsonl", ".ndjson", ".json", ".txt"]) {
        return error.hint(format!(
            "name their folder: {}",
            typed(if folder == Path::new("") { Path::new(".") } else { folder })
        ));
    }
    let extension = |name: &&str| name.rsplit_once('.').map(|(_, extension)| extension.to_lowercase());
    if names.iter().any(|name| extension(name) != extension(&names[0])) {
        return error.hint(format!("they are of several kinds: name one, such as {}", typed(&paths[0])));
    }
    let pattern = typed(&folder.join(pattern(&names)));
    error.hint(format!("a pattern stands in quotes, so that the shell leaves it as it is: {pattern}"))
}

/// Returns the folder that all paths lie directly in, and their names, each once.
fn in_one_folder(paths: &[PathBuf]) -> Option<(&Path, Vec<&str>)> {
    let folder = paths.first()?.parent()?;
    let lie_there = paths.iter().all(|path| path.parent() == Some(folder));
    if !lie_there {
        return None;
    }
    let mut names = paths.iter().map(|path| path.file_name()?.to_str()).collect::<Option<Vec<_>>>()?;
    let mut seen = HashSet::new();
    names.retain(|name| seen.insert(*name));
    Some((folder, names))
}

/// Returns the pattern that means these names: their range of numbers if they are one, or else each
/// of them, or of very many what they have in common.
fn pattern<'a>(names: &[&'a str]) -> String {
    let first = names[0];
    let same = |fits: &dyn Fn(&str) -> bool| names.iter().all(|name| fits(name));
    let ends = first.char_indices().map(|(at, c)| at + c.len_utf8());
    let prefix = ends.clone().take_while(|end| same(&|name| name.starts_with(&first[..*end]))).last().unwrap_or(0);
    let starts = first.char_indices().map(|(at, _)| at).filter(|at| *at >= prefix);
    let fits = |at: usize| same(&|name| name.len() >= prefix + first.len() - at && name.ends_with(&first[at..]));
    let suffix = starts.rev().take_while(|at| fits(*at)).last().unwrap_or(first.len());
    // A digit that all have in common belongs to the number, and a letter to the word.
    let parted = |belongs: fn(char) -> bool| {
        let prefix = first[..prefix].trim_end_matches(belongs);
        let tail = first[suffix..].trim_start_matches(belongs);
        let middle = |name: &'a str| -> &'a str { &name[prefix.len()..name.len() - tail.len()] };
        (prefix, names.iter().map(|name| middle(name)).collect::<Vec<&str>>(), tail)
    };
    let (before, middles, after) = parted(|c| c.is_ascii_digit());
    let numbers: Option<Vec<u64>> = middles.iter().map(|middle| middle.parse().ok()).collect();
    let is_range = numbers.is_some_and(|numbers| {
        let same_width = middles.iter().all(|middle| middle.len() == middles[0].len());
        same_width && numbers.array_windows().all(|[one, next]| one + 1 == *next)
    });
    if is_range {
        return format!("{before}{{{}..{}}}{after}", middles[0], middles[middles.len() - 1]);
    }
    let (before, middles, after) = parted(char::is_alphanumeric);
    match names.len() {
        ..=MOST => format!("{before}{{{}}}{after}", middles.join(",")),
        _ => format!("{before}*{after}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pattern_is_what_a_shell_has_expanded() {
        for (names, expected) in [
            (&["000.tar", "001.tar", "002.tar"][..], "{000..002}.tar"),
            (&["train-09.tar", "train-10.tar"], "train-{09..10}.tar"),
            (&["a-10.tar", "a-11.tar"], "a-{10..11}.tar"),
            (&["train.csv", "test.csv"], "{train,test}.csv"),
            (&["shard000.tar", "shard001.tar"], "shard{000..001}.tar"),
            (&["a-1.tar", "a-3.tar"], "a-{1,3}.tar"),
            (&["0.tar", "1.tar", "3.tar", "4.tar", "6.tar", "7.tar", "8.tar"], "*.tar"),
            (&["ä1.tar", "ö1.tar"], "{ä1,ö1}.tar"),
        ] {
            assert_eq!(pattern(names), expected, "{names:?}");
        }
    }
}
