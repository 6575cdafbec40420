//! "Did you mean": the known name that a mistyped one comes closest to.

/// Returns the value whose name is at most a third of its letters away from `found`, and the nearest of all.
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
