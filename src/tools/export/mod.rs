//! Export: the adapted model of a run as a folder that other programs read.
//!
//! | file | what it is |
//! |---|---|
//! | `model.safetensors`, `config.json`, `preprocessor_config.json`, `tokenizer.json` ... | the adapted CLIP, for transformers' `CLIPModel` |
//! | `classifier.safetensors` | W*, SOAP's three maps, its sink if it is learned; W_LLM and the classes' biases if the prior is mixed in |
//! | `classes.json` | names of the classes, in the order of W*'s rows |
//! | `README.md` | what it is, its figures and settings |

mod card;

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tch::Tensor;

use crate::clip::ClipConfig;
use crate::clip::hugging_face::{self, Named};
use crate::clip::{PREPROCESSOR_CONFIG, repository, text_of};
use crate::device::guarded;
use crate::error::{Context, Error, Kind, Result};
use crate::runs::adapted_model::AdaptedModel;
use crate::runs::stored_run::StoredRun;
use crate::stop::Stop;

/// The files that transformers keeps of a tokenizer, besides its configuration.
const TOKENIZER: [&str; 4] = ["tokenizer.json", "special_tokens_map.json", "vocab.json", "merges.txt"];

/// Writes the folder, which must not exist yet, or be empty. It gets its name only once it is
/// complete. Returns notes for the user.
///
/// # Errors
/// Fails like [`AdaptedModel::open`]; with [`Kind::Usage`] if something is in the folder; with
/// [`Kind::Store`] if it cannot be written. If a stop was requested, nothing is left.
pub fn export(chosen: &StoredRun, folder: &Path, stop: &Stop) -> Result<Vec<String>> {
    refuse_taken(folder)?;
    let adapted = AdaptedModel::open(chosen, stop)?;
    let folder = std::path::absolute(folder).at(Kind::Store, "cannot find", folder)?;
    let parent = folder.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(parent).at(Kind::Store, "cannot make", parent)?;
    let unfinished = tempfile::Builder::new()
        .prefix(".export-")
        // The process's umask applies to this as to any new folder.
        .permissions(Permissions::from_mode(0o777))
        .tempdir_in(parent)
        .at(Kind::Store, "cannot write to", parent)?;
    let notes = fill(unfinished.path(), chosen, &adapted)?;
    stop.check()?;
    // An empty folder is replaced.
    fs::rename(unfinished.path(), &folder).at(Kind::Store, "cannot name", &folder)?;
    let _ = unfinished.keep();
    Ok(notes)
}

fn refuse_taken(folder: &Path) -> Result<()> {
    let taken = match fs::read_dir(folder) {
        Ok(mut entries) => entries.next().is_some(),
        Err(_) => folder.exists(),
    };
    if taken {
        return Err(Error::new(Kind::Usage, format!("{} is there already, and not empty", folder.display()))
            .hint("name a folder that is not there yet"));
    }
    Ok(())
}

fn fill(folder: &Path, chosen: &StoredRun, adapted: &AdaptedModel) -> Result<Vec<String>> {
    let (clip, classifier) = guarded("exporting the model", || weights(adapted))?;
    hugging_face::write(&folder.join("model.safetensors"), &clip, &[])?;
    let design = adapted.model.design();
    let of_run = [
        ("run", chosen.run.clone()),
        ("ratio", design.fusion.ratio.to_string()),
        ("logit_scale", design.scale.to_string()),
        ("prior_share", adapted.prior().map_or(0.0, |prior| prior.gamma).to_string()),
        ("temperature", adapted.temperature.map_or_else(|| "1".to_owned(), |t| t.to_string())),
    ];
    hugging_face::write(&folder.join("classifier.safetensors"), &classifier, &of_run)?;
    write_json(folder, "classes.json", &json!(adapted.classes))?;

    let beside = Beside::new(chosen)?;
    // Beside weights in open_clip's naming may lie another model's.
    let own = |path: &PathBuf| ClipConfig::from_hugging_face(path).is_ok_and(|read| read == adapted.clip.config);
    let config = match beside.path("config.json").filter(own).map(|_| beside.json("config.json")).transpose()?.flatten()
    {
        Some(mut config) => {
            // The weights are written in fp32, whatever they were.
            config["torch_dtype"] = json!("float32");
            if let Some(fields) = config.as_object_mut() {
                fields.remove("dtype");
            }
            config
        }
        None => hugging_face::config(&adapted.clip.config, adapted.clip.tokenizer.end()),
    };
    write_json(folder, "config.json", &config)?;
    // Several files may say how pictures are prepared; this is what was done.
    write_json(folder, PREPROCESSOR_CONFIG, &hugging_face::preprocessor(&adapted.clip.preprocess))?;
    let notes = tokenizer(folder, &beside, adapted)?;
    write(folder, "README.md", &card::card(chosen, adapted)?)?;
    Ok(notes)
}

/// Returns the CLIP with its trained weights in place, and the other tensors that answers need.
fn weights(adapted: &AdaptedModel) -> Result<(Named, Named)> {
    let mut clip = adapted.clip.tensors()?;
    let mut classifier = Named::from([("classifier".to_owned(), adapted.classifier())]);
    for (name, trained) in adapted.model.names().iter().zip(adapted.model.parameters()) {
        match name.strip_prefix("visual.") {
            Some(_) => clip.insert(hugging_face::name(name), trained.shallow_clone()),
            // W* is there already, with rows of unit length.
            None if name == "classifier" => None,
            None => classifier.insert(name.clone(), trained.shallow_clone()),
        };
    }
    if let Some(prior) = adapted.prior().filter(|prior| prior.second.is_none()) {
        classifier.insert("prior_classifier".to_owned(), prior.head.shallow_clone());
        let none = || Tensor::zeros([prior.head.size()[0]], tch::kind::FLOAT_CPU);
        classifier.insert("class_bias".to_owned(), prior.bias.as_ref().map_or_else(none, Tensor::shallow_clone));
    }
    Ok((clip, classifier))
}

/// Copies the tokenizer's files. The one built into this program cannot be written.
fn tokenizer(folder: &Path, beside: &Beside, adapted: &AdaptedModel) -> Result<Vec<String>> {
    if beside.path("tokenizer.json").is_none() {
        return Ok(vec![
            "no tokenizer was written, since the model uses OpenAI's vocabulary, which is built in: that of \
             openai/clip-vit-base-patch32 is the same"
                .to_owned(),
        ]);
    }
    for (name, path) in TOKENIZER.iter().filter_map(|name| Some((name, beside.path(name)?))) {
        fs::copy(&path, folder.join(name)).at(Kind::Store, "cannot copy", &path)?;
    }
    let config = beside.json("tokenizer_config.json")?.unwrap_or_else(
        || json!({"tokenizer_class": "CLIPTokenizer", "model_max_length": adapted.clip.config.text.context}),
    );
    write_json(folder, "tokenizer_config.json", &config)?;
    Ok(Vec::new())
}

fn write(folder: &Path, name: &str, text: &str) -> Result<()> {
    let path = folder.join(name);
    fs::write(&path, text).at(Kind::Store, "cannot write", &path)
}

fn write_json(folder: &Path, name: &str, json: &Value) -> Result<()> {
    let text = serde_json::to_string_pretty(json).context(Kind::Store, || format!("cannot write {name}"))?;
    write(folder, name, &(text + "\n"))
}

/// The files beside the weights that the run adapted.
struct Beside<'a> {
    chosen: &'a StoredRun,
    folder: PathBuf,
}

impl<'a> Beside<'a> {
    fn new(chosen: &'a StoredRun) -> Result<Self> {
        let path = &repository::local(&chosen.spec.model.path)?;
        let folder = if path.is_dir() { path.clone() } else { path.parent().unwrap_or(Path::new(".")).to_owned() };
        Ok(Beside { chosen, folder })
    }

    /// Returns the path of the file of this name: the one that the pipeline names, or the one
    /// beside the weights.
    fn path(&self, name: &str) -> Option<PathBuf> {
        let model = &self.chosen.spec.model;
        let named = match name {
            "tokenizer.json" => &model.tokenizer,
            _ => &None,
        };
        named.clone().or_else(|| Some(self.folder.join(name)).filter(|path| path.is_file()))
    }

    fn json(&self, name: &str) -> Result<Option<Value>> {
        let Some(path) = self.path(name) else { return Ok(None) };
        let text = text_of(&path)?;
        serde_json::from_str(&text).map(Some).at(Kind::Model, "not JSON:", &path)
    }
}
