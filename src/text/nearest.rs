//! "Did you mean": the known name that is closest to a mistyped one.

use super::list::some_of;
use super::terminal::in_line;

/// Returns the value whose name is nearest to `found`, if at most a third of the name's letters
/// differ, or one.
pub fn nearest<'a, V>(found: &str, names: impl IntoIterator<Item = (&'a str, V)>) -> Option<V> {
    // Distances cost the product of both lengths; no typing mistake is this long.
    if found.len() > 100 {
        return None;
    }
    let found = found.to_lowercase();
    let near = names.into_iter().map(|(name, value)| (strsim::damerau_levenshtein(&found, name), name, value));
    let near = near.filter(|(distance, name, _)| *distance <= (name.chars().count() / 3).max(1));
    near.min_by_key(|(distance, _, _)| *distance).map(|(_, _, value)| value)
}

/// Returns the hint for a `name` that is not among the `known` ones, which are `what`: the nearest,
/// or else all of them. `None` if there are none.
pub fn hint<'a>(what: &str, name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let known: Vec<&str> = known.into_iter().collect();
    match nearest(name, known.iter().map(|known| (*known, *known))) {
        Some(near) => Some(format!("did you mean `{}`?", in_line(near))),
        None if known.is_empty() => None,
        None => Some(format!("the {what} are {}", some_of(&known, usize::MAX))),
    }
}
