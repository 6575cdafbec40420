//! How strongly the prior's answers are pulled towards the shares of the classes.

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The word for a pull that is chosen from the pictures.
const AUTO: &str = "auto";

/// How strongly the prior's answers are pulled towards the shares of the classes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Balance {
    /// As strongly as agrees best with the pictures, which may be not at all.
    Auto,
    /// With this pull, from 0 (not at all) to 1 (until the answers have these shares).
    Pull(f64),
}

impl Balance {
    /// Returns whether the prior's answers may be changed.
    pub fn is_on(self) -> bool {
        self != Balance::Pull(0.0)
    }
}

impl Serialize for Balance {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Balance::Auto => serializer.serialize_str(AUTO),
            Balance::Pull(pull) => serializer.serialize_f64(*pull),
        }
    }
}

impl<'de> Deserialize<'de> for Balance {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Word(String),
            Pull(f64),
        }
        match Written::deserialize(deserializer)? {
            Written::Word(word) if word == AUTO => Ok(Balance::Auto),
            Written::Word(word) => Err(D::Error::custom(format!("'{word}' is neither a number nor \"{AUTO}\""))),
            Written::Pull(pull) => Ok(Balance::Pull(pull)),
        }
    }
}
