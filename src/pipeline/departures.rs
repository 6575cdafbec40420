//! Which settings of a pipeline are not the defaults: what there is to say about how a run was made.

use super::defaults::{at, defaults};
use super::keys::{KEYS, Want};
use super::spec::Spec;
use crate::error::{Context, Kind, Result};

/// Settings that are not the defaults, by their keys in the pipeline file, in its order. Paths are left out, which are of one
/// machine, and so is what it ran on.
///
/// # Errors
/// [`Kind::Internal`] where a default is not a value that its key takes.
pub(super) fn departures(spec: &Spec) -> Result<Vec<(&'static str, String)>> {
    let defaults = defaults(&spec.name)?;
    let settings = serde_json::to_value(spec)
        .context(Kind::Internal, || "the settings cannot be compared with the defaults".into())?;
    let kept = KEYS.iter().filter(|key| !matches!(key.want, Want::Path(_)) && !key.name.starts_with("device."));
    Ok(kept
        .filter_map(|key| {
            let value = at(&settings, key.name)?;
            (Some(value) != at(&defaults, key.name)).then(|| (key.name, value.to_string()))
        })
        .collect())
}
