//! Which settings of a pipeline are not the defaults, to describe how a run was made.

use super::Spec;
use crate::error::Result;
use crate::settings::{Want, given};

/// Returns the settings that are not the defaults, by their keys in the pipeline file, in its
/// order. Keys without a default are left out, as are paths, which hold for one machine only, and
/// the device.
///
/// # Errors
/// Returns [`Kind::Internal`](crate::error::Kind::Internal) if a value cannot be written.
pub(crate) fn non_defaults(spec: &Spec) -> Result<Vec<(String, String)>> {
    let kept = given(spec)?.into_iter().filter(|given| {
        let has_default = given.key.default.is_some();
        has_default && !matches!(given.key.want, Want::Path(_)) && !given.name.starts_with("device.")
    });
    Ok(kept.map(|given| (given.name, given.value)).collect())
}
