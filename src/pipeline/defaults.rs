//! What a pipeline file means that says only what it must.

use serde_json::{Value, json};

use super::spec::Spec;
use crate::error::{Context, Kind, Result};

/// The settings of a pipeline file with this name and nothing but the keys that are required, as nested tables.
///
/// # Errors
/// [`Kind::Internal`] where a default is not a value that its key takes.
pub(super) fn defaults(name: &str) -> Result<Value> {
    let cannot = || "the settings have no defaults".to_owned();
    let shortest = json!({
        "name": name, "dataset": {"kind": "folder", "path": ""}, "model": {"path": ""}, "text": {"descriptions": ""},
    });
    let spec: Spec = serde_json::from_value(shortest).context(Kind::Internal, cannot)?;
    serde_json::to_value(&spec).context(Kind::Internal, cannot)
}

/// The value of a dotted name in nested tables.
pub(super) fn at<'a>(settings: &'a Value, name: &str) -> Option<&'a Value> {
    name.split('.').try_fold(settings, |at, part| at.get(part))
}
