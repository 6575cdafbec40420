//! Objects of JSON as they are written: a map would keep the last of two pairs with the same key,
//! and say nothing.

use std::collections::HashSet;
use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};

/// The pairs of an object, in their order, with those of equal keys.
#[derive(Debug)]
pub(crate) struct Pairs<V>(pub(crate) Vec<(String, V)>);

impl<V> Pairs<V> {
    /// Returns the place of the first key that an earlier pair has.
    pub(crate) fn again(&self) -> Option<usize> {
        let mut seen = HashSet::new();
        self.0.iter().position(|(key, _)| !seen.insert(key))
    }

    /// Takes the value of a key.
    ///
    /// # Errors
    /// Returns what is wrong if the key stands twice: which value is meant cannot be told.
    pub(crate) fn take(&mut self, key: &str) -> Result<Option<V>, String> {
        let mut found = self.0.extract_if(.., |(other, _)| other == key).map(|(_, value)| value);
        match (found.next(), found.next()) {
            (_, Some(_)) => Err(format!("`{key}` stands twice in the object")),
            (one, None) => Ok(one),
        }
    }
}

impl<'de, V: Deserialize<'de>> Deserialize<'de> for Pairs<V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(InOrder(PhantomData))
    }
}

struct InOrder<V>(PhantomData<V>);

impl<'de, V: Deserialize<'de>> Visitor<'de> for InOrder<V> {
    type Value = Pairs<V>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Pairs<V>, M::Error> {
        let mut pairs = Vec::new();
        while let Some(pair) = map.next_entry()? {
            pairs.push(pair);
        }
        Ok(Pairs(pairs))
    }
}

/// Returns the line, from 1, on which each string of valid JSON begins.
pub(crate) fn lines_of_strings(json: &str) -> impl Iterator<Item = usize> {
    let (mut line, mut inside, mut escaped) = (1, false, false);
    json.bytes().filter_map(move |byte| {
        match (byte, escaped) {
            (b'\n', _) => line += 1,
            (_, true) => escaped = false,
            (b'\\', false) => escaped = inside,
            (b'"', false) => {
                inside = !inside;
                return inside.then_some(line);
            }
            _ => {}
        }
        None
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_pair_is_dropped_and_a_key_that_stands_twice_is_found() {
        let of = |text: &str| serde_json::from_str::<Pairs<i64>>(text).unwrap();
        let mut pairs = of("{\"b\": 1, \"a\": 2, \"b\": 1}");
        assert_eq!(pairs.0, [("b".to_owned(), 1), ("a".to_owned(), 2), ("b".to_owned(), 1)]);
        assert_eq!(pairs.again(), Some(2));
        assert_eq!((pairs.take("a"), pairs.take("a")), (Ok(Some(2)), Ok(None)));
        assert_eq!(pairs.take("b"), Err("`b` stands twice in the object".to_owned()));
        assert_eq!(of("{\"b\": 1, \"B\": 1}").again(), None);
    }
}
