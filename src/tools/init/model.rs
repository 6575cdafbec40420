//! Which CLIP a first pipeline file names.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::clip::{Clip, ModelSettings, OPEN_CLIP_CONFIG, Weights};
use crate::error::{Context, Error, Kind, Result};
use crate::hub::{self, Cached, Hub, Name, RepoType};
use crate::objects::{Address, MODELS};
use crate::stage::progress::{Progress, Silent};
use crate::stop::Stop;
use crate::text::list::{SHOWN, some_of};
use crate::text::terminal::in_line;
use crate::tools::models;

/// A model, by its path or its name on the hub.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Model {
    pub(super) path: PathBuf,
    /// Why it is this one, if nobody named it.
    pub(super) because: Option<&'static str>,
}

/// Returns the model that was given, or else the only one beside the pipeline file, or else the
/// only one in the hub's cache.
///
/// # Errors
/// Returns [`Kind::Usage`] if the model that was given is not there, or none was and there is none,
/// or more than one; [`Kind::Model`] if what was given has no weights.
pub(super) fn find(given: Option<&Path>, folder: &Path) -> Result<Model> {
    if let Some(given) = given {
        let path = match on_hub(given)? {
            Some(name) => PathBuf::from(name.to_string()),
            None if at_address(given)? => given.to_owned(),
            None => {
                super::there("--model", given, Path::exists)?;
                let path = std::path::absolute(given).at(Kind::Usage, "cannot find", given)?;
                if !Weights::lie_in(&path) {
                    // In the words of a run.
                    Weights::open(&path)?;
                }
                path
            }
        };
        return Ok(Model { path, because: None });
    }
    let (mut beside, cached) = (beside(folder)?, cached());
    match (beside.pop(), beside.is_empty(), cached.as_slice()) {
        (Some(path), true, _) => Ok(Model { path, because: Some("the only one beside the pipeline file") }),
        (None, _, [one]) => Ok(Model { path: one.into(), because: Some("the only one in the hub's cache") }),
        (None, _, []) => Err(Error::new(Kind::Usage, format!("no model is in {}, nor in the hub's cache", folder.display()))
            .hint(
                "--model openai/clip-vit-base-patch32 is fetched by the first run (605 MB); or name a folder with a model of \
                 transformers or open_clip, or a .safetensors file: docs/models.md",
            )),
        (None, _, several) => {
            let what = format!("no model is in {}, and several are in the hub's cache", folder.display());
            Err(Error::new(Kind::Usage, what).hint(format!("name one with --model: {}", some_of(several, SHOWN))))
        }
        (Some(_), false, _) => Err(Error::new(Kind::Usage, format!("more than one model is in {}", folder.display()))
            .hint(
                "name one with --model: a folder with a model of transformers or open_clip, a .safetensors file, or ORG/NAME on \
                 the hub: docs/models.md",
            )),
    }
}

/// Returns the name on the hub that was given in the place of a model's path. A folder of that name
/// comes first.
fn on_hub(model: &Path) -> Result<Option<Name>> {
    let text = model.to_str().unwrap_or_default();
    let is_name = text.starts_with("hf://") || (!model.exists() && Name::of_model(text).is_some());
    is_name.then(|| models::named(text)).transpose()
}

/// Returns whether a model was given by its address, from which the first run fetches it.
fn at_address(model: &Path) -> Result<bool> {
    let Some(text) = model.to_str().filter(|_| !model.exists()) else { return Ok(false) };
    let wrong = |why: String| Error::new(Kind::Usage, format!("--model is '{}', {why}", in_line(text))).hint(MODELS);
    match Address::of_model(text) {
        Some(address) => address.map(|_| true).map_err(wrong),
        None if Address::in_place_of(model).is_some() => {
            Err(wrong("and a server of HTTP does not say which files it has".to_owned()))
        }
        None => Ok(false),
    }
}

/// Returns the folders beside the pipeline file that look like a CLIP's.
fn beside(folder: &Path) -> Result<Vec<PathBuf>> {
    let configured = |path: &Path| ["config.json", OPEN_CLIP_CONFIG].iter().any(|name| path.join(name).is_file());
    let is_model = |path: &Path| configured(path) && Weights::lie_in(path);
    let entries = std::fs::read_dir(folder).at(Kind::Usage, "cannot read", folder)?;
    Ok(entries.flatten().map(|entry| entry.path()).filter(|path| is_model(path)).collect())
}

/// Returns the names of the CLIPs in the hub's cache that are read here; none if it is not known
/// where the cache is.
fn cached() -> Vec<String> {
    let (stop, silent) = (Stop::default(), Silent);
    let Ok(hub) = Hub::open(&stop, &silent as &dyn Progress) else { return Vec::new() };
    let is_clip = |cached: &Cached| Clip::open(&ModelSettings::new(cached.folder.clone())).is_ok();
    let name = |Cached { name, .. }: Cached| {
        let short = name.anywhere();
        // It means this commit, or another that stands in for the main one.
        let means_it = hub::in_cache(&short).is_ok_and(|found| found.name == name);
        if means_it { short.to_string() } else { name.to_string() }
    };
    let names: BTreeSet<String> = hub.cached(RepoType::Model).into_iter().filter(is_clip).map(name).collect();
    names.into_iter().collect()
}
