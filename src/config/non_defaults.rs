//! Which settings of a pipeline are not the defaults, to describe how a run was made.

use super::Spec;
use crate::error::Result;
use crate::settings::{Want, given};

/// The key of the recipe.
const RECIPE: &str = "adapt.recipe";

/// Returns the settings that are not the defaults, by their keys in the pipeline file, in its
/// order. Keys without a default are left out, as are paths, which hold for one machine only, and
/// the device.
///
/// # Errors
/// Returns [`Kind::Internal`](crate::error::Kind::Internal) if a value cannot be written.
pub(crate) fn non_defaults(spec: &Spec) -> Result<Vec<(String, String)>> {
    let kept = given(spec)?.into_iter().filter(|given| {
        let has_default = given.key.default.is_some();
        let of_machine = matches!(given.key.want, Want::Path(_)) || given.name.starts_with("device.");
        // A recipe stands for keys that are listed themselves where they are not the defaults;
        // beside the list it would fill in those that are.
        has_default && !of_machine && given.name != RECIPE
    });
    Ok(kept.map(|given| (given.name, given.value)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stage::adapt::BaseRecipe;

    #[test]
    fn what_is_listed_makes_the_run_again_whatever_its_recipe_was() {
        let mut spec: Spec = serde_json::from_str(
            r#"{"name": "a", "dataset": {"kind": "folder", "path": "/a"}, "model": {"path": "/m"}, "adapt": {"batch": 64}}"#,
        )
        .unwrap();
        spec.adapt.recipe = BaseRecipe::Paper;
        let listed = non_defaults(&spec).unwrap();
        assert_eq!(listed, [("adapt.batch".to_owned(), "64".to_owned())]);
    }
}
