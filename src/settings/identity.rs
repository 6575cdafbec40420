//! Which settings are part of the ids of what is computed with them.
//!
//! An id is made of the keys that change results, spelled as in the pipeline file, without those
//! that have their defaults. So renaming a type or adding a key does not invalidate a cache.
//! *Changing* a default leaves the ids as they are, so it must raise the version of what it
//! changes: a test pins all defaults.

use serde_json::Value;

use super::{Changes, Key, Settings, Table};
use crate::error::{Context, Kind, Result};

/// A setting that is not the default.
#[derive(Debug)]
pub struct Given {
    /// The key, dotted from the top of the settings.
    pub name: String,
    /// The key's declaration.
    pub key: &'static Key,
    /// The value as a pipeline file writes it.
    pub value: String,
}

impl Given {
    /// Returns whether the setting changes features.
    pub fn changes_features(&self) -> bool {
        self.key.changes == Changes::Features
    }
}

/// Returns the settings that are not the defaults, including required keys, in the order of
/// declaration.
///
/// # Errors
/// Returns [`Kind::Internal`] if a value cannot be written.
pub fn given<S: Settings>(settings: &S) -> Result<Vec<Given>> {
    given_in("", settings)
}

fn given_in<S: Settings>(above: &str, settings: &S) -> Result<Vec<Given>> {
    let values = serde_json::to_value(settings).context(Kind::Internal, || "cannot write the settings".to_owned())?;
    let mut found = Vec::new();
    gather(above, S::TABLE, &values, &mut found);
    Ok(found)
}

fn gather(above: &str, table: Table, values: &Value, found: &mut Vec<Given>) {
    for key in table.keys {
        let value = &values[key.name];
        // TOML has no null: such a key is left out.
        if !value.is_null() && key.default.is_none_or(|default| default() != *value) {
            found.push(Given { name: format!("{above}{}", key.name), key, value: value.to_string() });
        }
    }
    for (name, inner) in table.tables {
        gather(&format!("{above}{name}."), *inner, &values[name], found);
    }
}

/// Returns a table's settings that change results, as part of an id: `key = value`, sorted and
/// joined by `; `, or `defaults`.
///
/// # Errors
/// Returns [`Kind::Internal`] if a value cannot be written.
pub fn identity<S: Settings>(settings: &S) -> Result<String> {
    identity_of(settings, |given| matches!(given.key.changes, Changes::Features | Changes::Answers))
}

/// Like [`identity()`], but of the settings that are `wanted`.
///
/// # Errors
/// Returns [`Kind::Internal`] if a value cannot be written.
pub fn identity_of<S: Settings>(settings: &S, wanted: impl Fn(&Given) -> bool) -> Result<String> {
    Ok(spelled(given(settings)?.into_iter().filter(|given| wanted(given))))
}

/// Like [`identity()`], but of the settings that change features in one table of the pipeline file,
/// which is called `name` there.
///
/// # Errors
/// Returns [`Kind::Internal`] if a value cannot be written.
pub fn identity_of_features<S: Settings>(name: &str, settings: &S) -> Result<String> {
    let features = given_in(&format!("{name}."), settings)?.into_iter().filter(Given::changes_features);
    Ok(spelled(features))
}

/// Writes settings as a part of an id.
fn spelled(given: impl Iterator<Item = Given>) -> String {
    let mut words: Vec<String> = given.map(|Given { name, value, .. }| format!("{name} = {value}")).collect();
    // The order of declaration must not matter.
    words.sort();
    if words.is_empty() { "defaults".to_owned() } else { words.join("; ") }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::settings::{Must, SHARE, Want, settings, whole};

    settings! {
        /// A table.
        Outer {
            /// A number.
            ratio: f64 = 0.5, SHARE, Answers;
            /// A file.
            file: Option<PathBuf> = None, Want::Path(Must::BeFile), ByContent;
            /// A batch.
            batch: usize = 64, whole(1, 100), Nothing;
            [inner]: Inner;
        }
    }

    settings! {
        /// A table in it.
        Inner: Copy {
            /// A count.
            count: usize = 8, whole(1, 100), Features;
        }
    }

    settings! {
        /// A table that must be there.
        Needed {
            /// A path.
            path: PathBuf, Want::Path(Must::Exist), ByContent;
        }
    }

    #[test]
    fn an_id_has_what_changes_results_and_no_defaults() {
        let outer = Outer { ratio: 0.25, batch: 32, ..Outer::default() };
        assert_eq!(identity(&Outer::default()).unwrap(), "defaults");
        assert_eq!(identity(&outer).unwrap(), "ratio = 0.25");
        let outer = Outer { inner: Inner { count: 9 }, file: Some("a".into()), ..outer };
        assert_eq!(identity(&outer).unwrap(), "inner.count = 9; ratio = 0.25");
        assert_eq!(identity_of(&outer, Given::changes_features).unwrap(), "inner.count = 9");
        assert_eq!(identity_of_features("inner", &outer.inner).unwrap(), "inner.count = 9");
        assert_eq!(identity_of_features("inner", &Inner::default()).unwrap(), "defaults");
        assert_eq!(given(&outer).unwrap().len(), 4);
    }

    #[test]
    fn what_is_left_out_has_its_default_and_what_is_required_is_asked_for() {
        let outer: Outer = serde_json::from_str(r#"{"inner": {"count": 3}}"#).unwrap();
        assert_eq!(outer, Outer { inner: Inner { count: 3 }, ..Outer::default() });
        let back = serde_json::to_string(&outer).unwrap();
        assert_eq!(serde_json::from_str::<Outer>(&back).unwrap(), outer);
        let error = |text: &str| serde_json::from_str::<Needed>(text).unwrap_err().to_string();
        assert!(error("{}").starts_with("missing field `path`"));
        assert!(error(r#"{"path": "a", "other": 1}"#).starts_with("unknown field `other`"));
        assert!(Needed::omitted().is_none() && Outer::omitted().is_some());
    }
}
