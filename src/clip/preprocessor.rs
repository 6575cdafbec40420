//! Which of a model's files says how pictures are prepared.

use std::path::Path;

use serde_json::Value;

use crate::clip::{open_clip, text_of};
use crate::error::{Context, Kind, Result};
use crate::image::preprocess::Preprocess;

/// What transformers before 5 writes, and what users name as `model.preprocessor`.
pub(crate) const PREPROCESSOR_CONFIG: &str = "preprocessor_config.json";

/// What transformers 5 writes: the old file's content is in it, as `image_processor`.
pub(crate) const NEW: &str = "processor_config.json";

/// Reads how pictures are prepared for a model whose files lie in `folder`. The file that the user
/// `named` comes first; then what `open_clip` says, for weights that come with its configuration;
/// then transformers' files, in its own order. Files that say something else are a note. Without
/// any, pictures are prepared as for OpenAI's CLIP of `side` pixels, which is a note too.
///
/// # Errors
/// Returns [`Kind::Model`] if the file that counts cannot be read, or asks for something
/// unsupported.
pub(super) fn read(
    named: Option<&Path>,
    folder: &Path,
    open_clip: Option<Preprocess>,
    side: u32,
    notes: &mut Vec<String>,
) -> Result<Preprocess> {
    if let Some(path) = named {
        let json = json(path)?;
        return Preprocess::from_hf_json(nested(&json).unwrap_or(&json), path);
    }
    let (new, old) = (folder.join(NEW), folder.join(PREPROCESSOR_CONFIG));
    // Processors of other kinds had a file of this name before, which says nothing of pictures.
    let newer = if new.is_file() { json(&new)? } else { Value::Null };
    let newer = nested(&newer).map(|settings| Preprocess::from_hf_json(settings, &new));
    let older = || old.is_file().then(|| json(&old).and_then(|settings| Preprocess::from_hf_json(&settings, &old)));
    let (used, name, others) = match (open_clip, newer) {
        (Some(used), newer) => (used, open_clip::NAME, vec![(NEW, newer), (PREPROCESSOR_CONFIG, older())]),
        (None, Some(newer)) => (newer?, NEW, vec![(PREPROCESSOR_CONFIG, older())]),
        (None, None) => match older() {
            Some(older) => (older?, PREPROCESSOR_CONFIG, Vec::new()),
            None => {
                let openai = Preprocess::openai(side);
                notes.push(format!(
                    "no {PREPROCESSOR_CONFIG} or {NEW} in {} says how pictures are prepared: they are prepared as for OpenAI's CLIP, \
                     with mean {:?} and std {:?}",
                    folder.display(),
                    openai.mean,
                    openai.std
                ));
                (openai, "", Vec::new())
            }
        },
    };
    for (other, read) in others.into_iter().filter_map(|(other, read)| Some((other, read?))) {
        let different = match &read {
            Ok(read) => differences(&used, read).join(", "),
            Err(error) => error.to_string(),
        };
        if !different.is_empty() {
            notes.push(format!("{}: {name} is used; {other} differs: {different}", folder.display()));
        }
    }
    Ok(used)
}

/// Reads a file of JSON.
///
/// # Errors
/// Returns [`Kind::Model`] if the file cannot be read, or is not JSON.
pub(crate) fn json(path: &Path) -> Result<Value> {
    serde_json::from_str(&text_of(path)?).at(Kind::Model, "not JSON:", path)
}

/// Returns what a `processor_config.json` says of pictures.
pub(crate) fn nested(json: &Value) -> Option<&Value> {
    json.get("image_processor").filter(|settings| !settings.is_null())
}

/// Says in which settings another file differs. How the centre is rounded is the library's choice,
/// not the file's.
fn differences(used: &Preprocess, other: &Preprocess) -> Vec<String> {
    let size =
        |p: &Preprocess| if p.squash { format!("{0} x {0}", p.shortest_edge) } else { p.shortest_edge.to_string() };
    let settings = |p: &Preprocess| {
        [
            ("size", size(p)),
            ("crop", p.crop.to_string()),
            ("mean", format!("{:?}", p.mean)),
            ("std", format!("{:?}", p.std)),
            ("resample", p.filter.as_str().to_owned()),
        ]
    };
    let pairs = settings(used).into_iter().zip(settings(other));
    pairs.filter(|(a, b)| a != b).map(|((name, used), (_, other))| format!("{name} is {used}, there {other}")).collect()
}
