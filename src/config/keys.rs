//! Every key of the pipeline file by its dotted name, as [`Spec`] declares them.

use std::sync::LazyLock;

use super::Spec;
use crate::settings::{Key, Settings, Table};

/// A key or a table by its dotted name, from the top of the file.
pub(crate) struct Named<T> {
    pub(crate) name: String,
    pub(crate) of: T,
}

/// Every key, in the order of the documentation.
pub(crate) static KEYS: LazyLock<Vec<Named<Key>>> = LazyLock::new(|| {
    let top = std::iter::once(("", Spec::TABLE)).chain(TABLES.iter().map(|table| (table.name.as_str(), table.of)));
    top.flat_map(|(above, table)| table.keys.iter().map(move |key| Named { name: join(above, key.name), of: *key }))
        .collect()
});

/// The tables of the pipeline file, except the top.
pub(crate) static TABLES: LazyLock<Vec<Named<Table>>> = LazyLock::new(|| inside("", Spec::TABLE));

fn inside(above: &str, table: Table) -> Vec<Named<Table>> {
    let tables = table.tables.iter().flat_map(|(name, inner)| {
        let name = join(above, name);
        let deeper = inside(&name, *inner);
        std::iter::once(Named { name, of: *inner }).chain(deeper)
    });
    tables.collect()
}

/// Returns the key of this dotted name.
pub(crate) fn find(name: &str) -> Option<&'static Named<Key>> {
    KEYS.iter().find(|key| key.name == name)
}

/// Returns whether a table of the file has this dotted name.
pub(crate) fn is_table(name: &str) -> bool {
    TABLES.iter().any(|table| table.name == name)
}

/// Joins a table's name and a key in it, which is quoted if TOML needs quotes, so that `"a.b"` is
/// not `a.b`.
pub(crate) fn join(table: &str, key: &str) -> String {
    let bare = !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
    let key = if bare { key.to_owned() } else { format!("{key:?}") };
    if table.is_empty() { key } else { format!("{table}.{key}") }
}

/// Splits a dotted name into its table (`""` for the top) and its last part.
pub(crate) fn split(name: &str) -> (&str, &str) {
    name.rsplit_once('.').unwrap_or(("", name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_and_table_is_explained_in_a_sentence() {
        let sentence = |text: &str| text.ends_with('.') && !text.contains('|');
        for (name, about) in KEYS.iter().map(|key| (&key.name, key.of.about)) {
            assert!(sentence(about), "{name}: {about}");
        }
        for (name, about) in TABLES.iter().map(|table| (&table.name, table.of.about)) {
            assert!(sentence(about), "{name}: {about}");
        }
    }
}
