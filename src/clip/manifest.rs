//! The tensors that a CLIP of given sizes has. Weights are compared with the configuration by names
//! and shapes alone, which are in the file's header, before any tensor is read or allocated.

use std::collections::BTreeMap;

use crate::clip::config::ClipConfig;
use crate::clip::naming::Naming;
use crate::clip::weights::Weights;
use crate::error::{Error, Kind, Result};

/// Tensors that checkpoints have besides those of the towers and that are not needed here, by the
/// end of their names.
const IDLE: [&str; 7] =
    ["logit_scale", "logit_bias", "position_ids", "input_resolution", "context_length", "vocab_size", "attn_mask"];

/// The number of names that a message lists.
const SHOWN: usize = 3;

pub(crate) type Shapes = BTreeMap<String, Vec<i64>>;

/// Compares all tensors of a model with its configuration.
///
/// # Errors
/// Returns [`Kind::Model`], naming the tensors, if any are missing, have another shape, or do not
/// belong to such a model.
pub(super) fn check(weights: &Weights, config: &ClipConfig, naming: Naming) -> Result<()> {
    let hint = "the model must be a CLIP with a ViT, in Hugging Face's or OpenAI's naming, and config.json its own";
    compare(weights, &tensors(config, naming), &IDLE, hint)
}

/// Compares the names and shapes of tensors with the `expected` ones. Others may end with one of
/// the `idle` names; `hint` says what to do where some are missing.
///
/// # Errors
/// Fails as [`check`] does.
pub(crate) fn compare(weights: &Weights, expected: &Shapes, idle: &[&str], hint: &str) -> Result<()> {
    let missing: Vec<&str> = expected.keys().map(String::as_str).filter(|name| !weights.has(name)).collect();
    if !missing.is_empty() {
        return Err(refused(weights, "missing", &missing).hint(hint));
    }
    for (name, shape) in expected {
        weights.require(name, shape)?;
    }
    let idle = |name: &&str| idle.iter().any(|end| *name == *end || name.ends_with(&format!(".{end}")));
    let superfluous: Vec<&str> =
        weights.names().filter(|name| !expected.contains_key(*name)).filter(|name| !idle(name)).collect();
    if !superfluous.is_empty() {
        return Err(refused(weights, "none of this model's", &superfluous).hint(
            "config.json and the weights are not of the same model, or the model has parts that would be ignored",
        ));
    }
    Ok(())
}

fn refused(weights: &Weights, what: &str, names: &[&str]) -> Error {
    let shown: Vec<String> = names.iter().take(SHOWN).map(|name| format!("'{name}'")).collect();
    let more = names.len() - shown.len();
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let (tensors, are) = if names.len() == 1 { ("tensor", "is") } else { ("tensors", "are") };
    Error::new(Kind::Model, format!("{}: {tensors} {}{more} {are} {what}", weights.name(), shown.join(", ")))
}

/// Returns the names and shapes of both towers' tensors.
pub(super) fn tensors(config: &ClipConfig, naming: Naming) -> Shapes {
    let ClipConfig { vision, text, joint } = config;
    let (image, sentence, joint) = (vision.width, text.width, *joint);
    let mut all = Shapes::new();
    let mut add = |name: &str, shape: &[i64]| drop(all.insert(name.to_owned(), shape.to_vec()));
    let patches = [image, 3, vision.patch, vision.patch];
    let (seen, said) = ([vision.patches() + 1, image], [text.context, sentence]);
    let (vision_blocks, text_blocks, norms) = match naming {
        Naming::HuggingFace => {
            add("vision_model.embeddings.patch_embedding.weight", &patches);
            add("vision_model.embeddings.class_embedding", &[image]);
            add("vision_model.embeddings.position_embedding.weight", &seen);
            add("visual_projection.weight", &[joint, image]);
            add("text_model.embeddings.token_embedding.weight", &[text.vocab, sentence]);
            add("text_model.embeddings.position_embedding.weight", &said);
            add("text_projection.weight", &[joint, sentence]);
            let norms = ["vision_model.pre_layrnorm", "vision_model.post_layernorm", "text_model.final_layer_norm"];
            ("vision_model.encoder.layers.", "text_model.encoder.layers.", norms)
        }
        Naming::OpenAi => {
            add("visual.conv1.weight", &patches);
            add("visual.class_embedding", &[image]);
            add("visual.positional_embedding", &seen);
            add("visual.proj", &[image, joint]);
            add("token_embedding.weight", &[text.vocab, sentence]);
            add("positional_embedding", &said);
            add("text_projection", &[sentence, joint]);
            let norms = ["visual.ln_pre", "visual.ln_post", "ln_final"];
            ("visual.transformer.resblocks.", "transformer.resblocks.", norms)
        }
    };
    for (norm, width) in norms.into_iter().zip([image, image, sentence]) {
        pair(&mut all, norm, &[width]);
    }
    for (prefix, layers, width, mlp) in
        [(vision_blocks, vision.layers, image, vision.mlp), (text_blocks, text.layers, sentence, text.mlp)]
    {
        (0..layers).for_each(|n| block(&mut all, naming, &format!("{prefix}{n}"), width, mlp));
    }
    all
}

/// Adds a weight, and a bias of the same first length.
pub(crate) fn pair(all: &mut Shapes, name: &str, shape: &[i64]) {
    all.insert(format!("{name}.weight"), shape.to_vec());
    all.insert(format!("{name}.bias"), shape[..1].to_vec());
}

fn block(all: &mut Shapes, naming: Naming, at: &str, width: i64, mlp: i64) {
    let [norms @ .., fc, proj] = match naming {
        Naming::HuggingFace => {
            for part in ["q_proj", "k_proj", "v_proj", "out_proj"] {
                pair(all, &format!("{at}.self_attn.{part}"), &[width, width]);
            }
            ["layer_norm1", "layer_norm2", "mlp.fc1", "mlp.fc2"]
        }
        Naming::OpenAi => {
            all.insert(format!("{at}.attn.in_proj_weight"), vec![3 * width, width]);
            all.insert(format!("{at}.attn.in_proj_bias"), vec![3 * width]);
            pair(all, &format!("{at}.attn.out_proj"), &[width, width]);
            ["ln_1", "ln_2", "mlp.c_fc", "mlp.c_proj"]
        }
    };
    norms.into_iter().for_each(|norm| pair(all, &format!("{at}.{norm}"), &[width]));
    pair(all, &format!("{at}.{fc}"), &[mlp, width]);
    pair(all, &format!("{at}.{proj}"), &[width, mlp]);
}
