//! Which files of a repository on the hub, or of a folder on a store of objects, make a model,
//! before any of it is fetched, and where they lie afterwards.

use std::path::{Path, PathBuf};

use super::weights::{INDEX, PICKLES, SINGLE, read_index};
use super::{ClipConfig, OPEN_CLIP_CONFIG, PREPROCESSOR_CONFIG, open_clip, preprocessor, text_of};
use crate::error::{Error, Kind, Result};
use crate::hub::{self, Listing, Name};
use crate::objects::{self, Wanted};
use crate::text::terminal::in_line;

/// The small files beside the weights that are read here or exported, where there are any.
pub(crate) const COMPANIONS: [&str; 9] = [
    "config.json",
    OPEN_CLIP_CONFIG,
    PREPROCESSOR_CONFIG,
    preprocessor::NEW,
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "vocab.json",
    "merges.txt",
];

/// The files of a repository that make a model. Nothing else of it is fetched: no weights of other
/// frameworks, no pickles, no pictures of its page.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Needed {
    /// The small ones, which say what the weights are.
    pub(crate) companions: Vec<String>,
    /// The weights, in one file or in shards.
    pub(crate) weights: Vec<String>,
}

impl Needed {
    /// Chooses the files of a model among those of its repository: of several kinds of weights the
    /// ones that are read from a folder. Which files an index names is known once it is in
    /// `folder`, that of the commit; until then all are taken that look like shards.
    ///
    /// # Errors
    /// Returns [`Kind::Model`] if the repository has no weights, or only pickles, or if its index
    /// names what is not there.
    pub(crate) fn of(listing: &Listing, name: &Name, folder: &Path) -> Result<Needed> {
        let there =
            |names: &[&str]| names.iter().filter(|file| listing.has(file)).map(|file| (*file).to_owned()).collect();
        let mut companions: Vec<String> = there(&COMPANIONS);
        let weights: Vec<String> = if listing.has(INDEX) {
            companions.push(INDEX.to_owned());
            match folder.join(INDEX).is_file() {
                true => named_by_index(listing, name, folder)?,
                false => look_like_shards(listing),
            }
        } else {
            let mut single: Vec<String> = there(&SINGLE);
            single.truncate(1);
            single
        };
        if weights.is_empty() {
            return Err(without_weights(listing, name));
        }
        Ok(Needed { companions, weights })
    }

    /// Returns all of them.
    pub(crate) fn all(self) -> Vec<String> {
        [self.companions, self.weights].concat()
    }
}

/// Returns the files that the index of a model names.
///
/// # Errors
/// Returns [`Kind::Model`] if it is no index, or names what the repository does not have.
fn named_by_index(listing: &Listing, name: &Name, folder: &Path) -> Result<Vec<String>> {
    let shards = read_index(&folder.join(INDEX))?;
    let shards = shards.iter().filter_map(|shard| Some(shard.file_name()?.to_string_lossy().into_owned()));
    let shards: Vec<String> = shards.collect();
    match shards.iter().find(|shard| !listing.has(shard)) {
        None => Ok(shards),
        Some(lost) => {
            let what = format!("{} has no {}, which its {INDEX} names", name.anywhere(), in_line(lost));
            Err(Error::new(Kind::Model, what).hint("name a revision that is whole: hf://ORG/NAME@REVISION"))
        }
    }
}

/// Returns the files that are the shards of a model by their names, before its index is there:
/// those that are called as transformers calls them, or else all that may be.
fn look_like_shards(listing: &Listing) -> Vec<String> {
    let found = |is: fn(&str) -> bool| listing.paths().filter(|path| is(path)).map(str::to_owned).collect::<Vec<_>>();
    let usual = found(is_shard);
    match usual.is_empty() {
        true => found(|path| path.ends_with(".safetensors") && !path.contains('/') && !SINGLE.contains(&path)),
        false => usual,
    }
}

/// Returns the path that the setting of a model means: where what is fetched lies, for a name of
/// the hub or an address, and else the path itself. Makes no request.
///
/// # Errors
/// Returns [`Kind::Network`] if the cache does not have the repository at that revision,
/// [`Kind::System`] if the environment does not say where the cache is.
pub(crate) fn local(path: &Path) -> Result<PathBuf> {
    hub::local(&objects::local(path)?)
}

/// Returns which files at an address make a model. Nobody says which of several kinds of weights
/// are wanted, so all are fetched that may be read.
pub(crate) fn at_address() -> Wanted {
    let is_read = |name: &str| COMPANIONS.contains(&name) || name == INDEX || SINGLE.contains(&name) || is_shard(name);
    let if_none =
        (" that makes a model", "it must be the folder of a model of transformers or open_clip: docs/models.md");
    Wanted { is_read, beside: None, list: true, if_none }
}

/// Returns whether a file is one of several with weights: `model-00001-of-00002.safetensors`.
fn is_shard(path: &str) -> bool {
    path.strip_prefix("model-").and_then(|rest| rest.strip_suffix(".safetensors")).is_some_and(|rest| {
        let number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        rest.split_once("-of-").is_some_and(|(one, all)| number(one) && number(all))
    })
}

/// Returns the files of a model's weights if they are there as pickles alone.
pub(crate) fn only_pickles(listing: &Listing) -> Vec<String> {
    let is_pickle =
        |path: &&str| PICKLES.contains(path) || (path.starts_with("pytorch_model-") && path.ends_with(".bin"));
    let is_read = |path: &str| path == INDEX || SINGLE.contains(&path);
    match listing.paths().any(is_read) {
        true => Vec::new(),
        false => listing.paths().filter(is_pickle).map(str::to_owned).collect(),
    }
}

fn without_weights(listing: &Listing, name: &Name) -> Error {
    let id = name.id();
    match only_pickles(listing).first() {
        Some(pickle) => {
            let what = format!(
                "{} has its weights only as {pickle}, a Python pickle, which can run code when it is opened; only safetensors is read",
                name.anywhere()
            );
            Error::new(Kind::Model, what).hint(format!(
                "convert it once where you trust it, and name the folder: {}; or, where a pull request of the repository adds \
                 model.safetensors, name its revision: hf://{id}@refs/pr/NUMBER",
                saved_by_transformers(id)
            ))
        }
        None => Error::new(Kind::Model, format!("{} has no model.safetensors", name.anywhere()))
            .hint("it must be a CLIP of transformers or open_clip: docs/models.md"),
    }
}

/// Returns the command that writes a folder as it is read here.
fn saved_by_transformers(id: &str) -> String {
    format!(
        "python3 -c \"from transformers import CLIPModel, CLIPProcessor; [c.from_pretrained('{id}').save_pretrained('FOLDER') \
         for c in (CLIPModel, CLIPProcessor)]\""
    )
}

/// Refuses a CLIP that cannot be read here by the small files in `folder`, before its weights are
/// fetched.
///
/// # Errors
/// Returns [`Kind::Model`] if one of them is missing, or asks for something unsupported.
pub(crate) fn check(folder: &Path, name: &Name) -> Result<()> {
    let (config, open) = (folder.join("config.json"), folder.join(OPEN_CLIP_CONFIG));
    match (config.is_file(), open.is_file()) {
        // Which of the two counts, the weights say.
        (true, true) => Ok(()),
        (false, true) => open_clip::read(&open).map(drop),
        (true, false) => {
            ClipConfig::from_hugging_face(&config)?;
            if folder.join("tokenizer.json").is_file() {
                return Ok(());
            }
            Err(Error::new(Kind::Model, format!("{} has no tokenizer.json", name.anywhere()))
                .hint(format!("transformers writes it: {}, then name the folder", saved_by_transformers(name.id()))))
        }
        (false, false) => Err(Error::new(Kind::Model, format!("{} has no config.json", name.anywhere()))
            .hint("it must be a CLIP of transformers or open_clip: docs/models.md")),
    }
}

/// Returns whether a commit's folder in the cache has all files of a model, as far as they tell
/// themselves. Python fetches them one by one, and may have left some out.
pub(crate) fn seems_whole(folder: &Path) -> bool {
    let has = |name: &str| folder.join(name).is_file();
    let weights = match has(INDEX) {
        true => read_index(&folder.join(INDEX)).is_ok_and(|shards| shards.iter().all(|shard| shard.is_file())),
        false => SINGLE.iter().any(|name| has(name)),
    };
    let prepared = has(PREPROCESSOR_CONFIG) || has(preprocessor::NEW) || has(OPEN_CLIP_CONFIG);
    let config = config_in(folder);
    let words = config["model_type"] != "clip" || has("tokenizer.json");
    weights && prepared && words && (config.is_object() || has(OPEN_CLIP_CONFIG))
}

/// Returns what the `config.json` of a folder says; null if there is none that can be read.
pub(crate) fn config_in(folder: &Path) -> serde_json::Value {
    let text = text_of(&folder.join("config.json")).unwrap_or_default();
    serde_json::from_str(&text).unwrap_or_default()
}
