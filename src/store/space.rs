//! Identifies embeddings by what they depend on.

use std::collections::BTreeMap;

/// Version of the tables' schemas, in every part's footer and in every space.
pub const SCHEMA_VERSION: &str = "3";

/// Prefix of a space's parts in a footer.
const FOOTER: &str = "space.";

/// What an embedding depends on, and nothing else: the weights' bytes, the preprocessing, the
/// view's definition, the number type, the version of the schemas. Two embeddings may be compared,
/// and one used in place of the other, if and only if their spaces are equal. Paths, names and the
/// program's version are not part of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Space {
    prefix: String,
    /// The parts, in readable form: the footer of every Parquet part has them, so that a user sees
    /// why something was not reused.
    pub parts: BTreeMap<String, String>,
}

impl Space {
    /// Returns a space of a kind, e.g. `img`, `view` or `txt`, with the schemas' version as its
    /// only part so far.
    pub fn new(prefix: &str) -> Self {
        let parts = BTreeMap::from([("schema_version".to_owned(), SCHEMA_VERSION.to_owned())]);
        Space { prefix: prefix.to_owned(), parts }
    }

    /// Returns the space of another kind with the same parts.
    #[must_use]
    pub fn of_kind(self, prefix: &str) -> Self {
        Space { prefix: prefix.to_owned(), ..self }
    }

    /// Adds a part.
    #[must_use]
    pub fn with(mut self, part: &str, value: impl ToString) -> Self {
        self.parts.insert(part.to_owned(), value.to_string());
        self
    }

    /// Returns the id: the kind, and 16 hexadecimal digits of blake3 over kind and parts. It is the
    /// name of the space's partitions.
    pub fn id(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        // Lengths are hashed too, so that no two different lists of parts give the same bytes.
        for text in std::iter::once(&self.prefix).chain(self.parts.iter().flat_map(|(k, v)| [k, v])) {
            hasher.update(&(text.len() as u64).to_le_bytes());
            hasher.update(text.as_bytes());
        }
        format!("{}-{}", self.prefix, &hasher.finalize().to_hex()[..16])
    }

    /// Returns the pairs for a Parquet part's footer: `space` with the id, and `space.<part>` for
    /// each part.
    pub fn footer(&self) -> Vec<(String, String)> {
        let parts = self.parts.iter().map(|(k, v)| (format!("{FOOTER}{k}"), v.clone()));
        std::iter::once(("space".to_owned(), self.id())).chain(parts).collect()
    }

    /// Reads the space back from a footer; returns `None` if it has none.
    pub fn from_footer(footer: &BTreeMap<String, String>) -> Option<Space> {
        let (prefix, _) = footer.get("space")?.rsplit_once('-')?;
        let parts = footer.iter().filter_map(|(k, v)| Some((k.strip_prefix(FOOTER)?.to_owned(), v.clone()))).collect();
        Some(Space { prefix: prefix.to_owned(), parts })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn space() -> Space {
        Space::new("img").with("weights", "0123abcd").with("dtype", "f32")
    }

    #[test]
    fn the_id_is_stable_and_changes_with_every_part() {
        assert_eq!(space().id(), "img-892a7d5689245285");
        assert_eq!(space().id(), Space::new("img").with("dtype", "f32").with("weights", "0123abcd").id());
        for other in [space().with("weights", "0123abce"), space().with("view", ""), Space::new("view")] {
            assert_ne!(space().id(), other.id());
        }
        assert_ne!(Space::new("img").with("ab", "c").id(), Space::new("img").with("a", "bc").id());
    }

    #[test]
    fn a_footer_gives_the_space_back() {
        let footer: BTreeMap<_, _> = space().footer().into_iter().collect();
        assert_eq!(footer["space.dtype"], "f32");
        assert_eq!(Space::from_footer(&footer), Some(space()));
        assert_eq!(Space::from_footer(&BTreeMap::new()), None);
    }
}
