//! Turns a pipeline file into the recipe of adaptation.

use crate::config::Spec;
use crate::error::Result;
use crate::fusion::design::Design;
use crate::image::StrongView;
use crate::stage::adapt::Recipe;

use super::Workspace;

/// Returns the recipe of adaptation, or `None` if nothing is trained. `classes` are the dataset's
/// class names.
///
/// # Errors
/// Fails if the tower has no block of the number that training starts from, or the user's statement
/// or shares cannot be read.
pub(crate) fn recipe(spec: &Spec, workspace: &Workspace, classes: &[String]) -> Result<Option<Recipe>> {
    let (config, preprocess) = (&workspace.clip.config, &workspace.clip.preprocess);
    let Some(starts_from) = spec.adapt.starts_from(config.vision.layers as usize)? else { return Ok(None) };
    let scale = spec.adapt.logit_scale;
    Ok(Some(Recipe {
        adapt: spec.adapt.clone(),
        design: Design { starts_from, saliency: spec.saliency, fusion: spec.fusion, scale },
        class_shares: spec.adapt.class_shares(classes)?,
        parameters: spec.dka.parameters(scale),
        balance: spec.dka.balance,
        statement: spec.dka.statement()?,
        strong: StrongView { strong: spec.adapt.strong, size: preprocess.crop, filter: preprocess.filter },
        crops: spec.views,
        seed: spec.seed,
    }))
}
