//! Models of the hub: fetching one, and which of those in the cache are read here.

use std::path::{Path, PathBuf};

use crate::clip::repository;
use crate::clip::{Clip, ModelSettings};
use crate::dino::Dino;
use crate::error::{Error, Kind, Result};
use crate::hub::{Cached, Hub, Name, RepoType};
use crate::stage::progress::Progress;
use crate::stop::Stop;
use crate::workspace::on_hub;

/// The models of the cache, and where it is.
#[derive(Debug)]
pub struct Models {
    /// The folder of the cache.
    pub cache: PathBuf,
    /// Each commit of a model that it has files of; with it, what it is, or why it is not read
    /// here.
    pub models: Vec<(Cached, Result<String>)>,
}

/// Looks at every model of the cache. Makes no request.
///
/// # Errors
/// Fails if it is not known where the cache is.
pub fn list(stop: &Stop, progress: &dyn Progress) -> Result<Models> {
    let hub = Hub::open(stop, progress)?;
    let mut models = Vec::new();
    for cached in hub.cached(RepoType::Model) {
        stop.check()?;
        let what = describe(&cached.name, &cached.folder);
        models.push((cached, what));
    }
    Ok(Models { cache: hub.cache().to_owned(), models })
}

/// A model that was fetched.
#[derive(Debug)]
pub struct Pulled {
    /// Its name, at the commit.
    pub name: Name,
    /// The folder of its files.
    pub folder: PathBuf,
    /// What it is, in words.
    pub what: String,
}

/// Fetches a model by its name on the hub, and opens it.
///
/// # Errors
/// Returns [`Kind::Usage`] if it is no name of a model; [`Kind::Network`] or [`Kind::System`] if it
/// cannot be fetched; [`Kind::Model`] if it is not read here.
pub fn pull(name: &str, stop: &Stop, progress: &dyn Progress) -> Result<Pulled> {
    let (name, folder) = on_hub::pull(&named(name)?, stop, progress)?;
    let what = describe(&name, &folder)?;
    Ok(Pulled { name, folder, what })
}

/// Reads the name of a model on the hub.
///
/// # Errors
/// Returns [`Kind::Usage`] if it is none.
pub(super) fn named(text: &str) -> Result<Name> {
    let wrong = |why: String| {
        Error::new(Kind::Usage, format!("'{}' is no model on the hub{why}", text.escape_debug()))
            .hint("name it ORG/NAME, as in openai/clip-vit-base-patch32, or hf://ORG/NAME@REVISION")
    };
    match Name::parse(text) {
        Some(Ok(name)) if name.of() == RepoType::Model => Ok(name),
        Some(Ok(_)) => Err(wrong(", but a data set, which a run fetches".to_owned())),
        Some(Err(why)) => Err(wrong(format!(": it is one {why}"))),
        None => Name::of_model(text).ok_or_else(|| wrong(String::new())),
    }
}

/// Says what the model in a folder is, if it is read here. Its weights are mapped, and not read.
fn describe(name: &Name, folder: &Path) -> Result<String> {
    if repository::config_in(folder)["model_type"].as_str().is_some_and(|of| of.starts_with("dino")) {
        let Dino { config, .. } = Dino::open(folder, None)?;
        let (family, layers, width, patch) = (config.family.as_str(), config.layers, config.width, config.patch);
        return Ok(format!("{family}, {layers} blocks of {width}, patches of {patch} px: a second model"));
    }
    repository::check(folder, name)?;
    let clip = Clip::open(&ModelSettings::new(folder.to_owned()))?;
    let (vision, joint) = (&clip.config.vision, clip.config.joint);
    let (layers, width, patch, side) = (vision.layers, vision.width, vision.patch, vision.image_size);
    Ok(format!("CLIP, {layers} blocks of {width}, patches of {patch} px in {side}, joint space of {joint}"))
}
