//! "Did you mean": the known name that is closest to a mistyped one.

use super::keys::{KEYS, TABLES, split};
use crate::text::nearest::nearest;

/// Returns the key or table that was probably meant by an unknown dotted name.
pub(crate) fn key(name: &str) -> Option<&'static str> {
    let known = || KEYS.iter().map(|key| key.name.as_str()).chain(TABLES.iter().map(|table| table.name.as_str()));
    let (section, leaf) = split(name);
    let siblings = known().filter(|k| split(k).0 == section).map(|k| (split(k).1, k));
    nearest(leaf, siblings)
        // The right key in the wrong table, e.g. `adapt.gamma`.
        .or_else(|| known().find(|k| split(k).1 == leaf))
        .or_else(|| nearest(name, known().map(|k| (k, k))))
}

/// Returns a hint about an unknown dotted name: the one that was meant, or else what its table
/// holds.
pub(crate) fn hint(name: &str) -> String {
    if let Some(meant) = key(name) {
        return format!("did you mean '{meant}'?");
    }
    let (section, _) = split(name);
    let inside: Vec<_> = KEYS.iter().filter(|k| split(&k.name).0 == section).map(|k| split(&k.name).1).collect();
    match (inside.is_empty(), section) {
        (true, _) => format!("the tables are {}", tables()),
        (false, "") => format!("at the top stand {}, and the tables {}", inside.join(", "), tables()),
        (false, _) => format!("[{section}] has {}", inside.join(", ")),
    }
}

/// Returns the name that was probably meant by `found`.
pub(crate) fn name(found: &str, names: &[&'static str]) -> Option<&'static str> {
    nearest(found, names.iter().map(|n| (*n, *n)))
}

fn tables() -> String {
    TABLES.iter().map(|table| table.name.as_str()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    #[test]
    fn finds_slips_and_strays() {
        for (typed, meant) in [
            ("adapt.epoch", Some("adapt.epochs")),
            ("adapt.Epochs", Some("adapt.epochs")),
            ("adpat", Some("adapt")),
            ("adapt.gamma", Some("dka.gamma")),
            ("epochs", Some("adapt.epochs")),
            ("nmae", Some("name")),
            ("dataset.limit.max_side", Some("dataset.limits.max_side")),
            ("adapt.colour", None),
        ] {
            assert_eq!(super::key(typed), meant, "{typed}");
        }
        assert_eq!(super::key(&"x".repeat(10_000)), None);
    }
}
