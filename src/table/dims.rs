//! Symbolic lengths in schemas (`d`, `N`, `D`, `V`, `C`), and the values that a model or a dataset
//! binds them to.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use crate::error::{Error, Kind, Result};

/// Values of a schema's symbols, e.g. `d` -> 128.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Dims(BTreeMap<String, usize>);

impl Dims {
    /// Returns an empty map: no symbol is bound yet.
    pub fn new() -> Self {
        Dims::default()
    }

    /// Binds one symbol.
    #[must_use]
    pub fn with(mut self, symbol: &str, value: usize) -> Self {
        self.0.insert(symbol.to_owned(), value);
        self
    }

    /// Returns the value of a symbol, or `None` if it is not bound.
    pub fn get(&self, symbol: &str) -> Option<usize> {
        self.0.get(symbol).copied()
    }
}

impl<const K: usize> From<[(&str, usize); K]> for Dims {
    fn from(pairs: [(&str, usize); K]) -> Self {
        Dims(pairs.into_iter().map(|(s, v)| (s.to_owned(), v)).collect())
    }
}

/// A length as written in a schema: a product of numbers and symbols, such as `V*4`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Length(Vec<Factor>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Factor {
    Number(usize),
    Symbol(String),
}

impl Length {
    /// Returns the value of the product.
    ///
    /// # Errors
    /// Returns [`Kind::Store`] if a symbol is not bound, or the product does not fit in an `i32`
    /// (Arrow's limit on the length of a row).
    pub fn bind(&self, dims: &Dims) -> Result<usize> {
        let mut product = 1usize;
        for factor in &self.0 {
            let value = match factor {
                Factor::Number(n) => *n,
                Factor::Symbol(s) => dims
                    .get(s)
                    .ok_or_else(|| Error::new(Kind::Store, format!("the length `{self}` needs a value for `{s}`")))?,
            };
            product = product
                .checked_mul(value)
                .filter(|p| i32::try_from(*p).is_ok())
                .ok_or_else(|| Error::new(Kind::Store, format!("the length `{self}` is too large")))?;
        }
        Ok(product)
    }

    /// Returns the symbols in the product.
    pub fn symbols(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|f| match f {
            Factor::Symbol(s) => Some(s.as_str()),
            Factor::Number(_) => None,
        })
    }
}

impl FromStr for Length {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.split('*')
            .map(str::trim)
            .map(|factor| match factor.parse::<usize>() {
                Ok(n) => Ok(Factor::Number(n)),
                Err(_) if !factor.is_empty() && factor.bytes().all(|b| b.is_ascii_alphabetic()) => {
                    Ok(Factor::Symbol(factor.to_owned()))
                }
                Err(_) => Err(format!("`{text}` is not a product of numbers and symbols")),
            })
            .collect::<Result<Vec<_>, _>>()
            .map(Length)
    }
}

impl fmt::Display for Length {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, factor) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str("*")?;
            }
            match factor {
                Factor::Number(n) => write!(f, "{n}")?,
                Factor::Symbol(s) => f.write_str(s)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_of_symbols_and_numbers_are_bound() {
        let dims = Dims::from([("V", 8), ("d", 64)]);
        assert_eq!("V*d".parse::<Length>().unwrap().bind(&dims).unwrap(), 512);
        assert_eq!("V * 4".parse::<Length>().unwrap().bind(&dims).unwrap(), 32);
        assert_eq!("7".parse::<Length>().unwrap().bind(&Dims::new()).unwrap(), 7);
    }

    #[test]
    fn unbound_and_oversized_lengths_are_errors() {
        let length: Length = "V*d".parse().unwrap();
        let missing = length.bind(&Dims::from([("V", 8)])).unwrap_err();
        assert_eq!(missing.to_string(), "the length `V*d` needs a value for `d`");
        assert!(length.bind(&Dims::from([("V", 1 << 20), ("d", 1 << 20)])).is_err());
        assert!(length.bind(&Dims::from([("V", usize::MAX), ("d", usize::MAX)])).is_err());
        assert!("V**d".parse::<Length>().is_err());
        assert!("V-1".parse::<Length>().is_err());
    }
}
