//! A CLIP as transformers reads it: tensors under its names, and the files beside them.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use serde_json::{Value, json};
use tch::Tensor;

use crate::clip::config::{Activation, ClipConfig};
use crate::clip::manifest;
use crate::clip::naming::Naming;
use crate::clip::stored::Stored;
use crate::clip::weights::Weights;
use crate::error::{Context, Kind, Result};
use crate::image::Preprocess;

/// `ln(1 / 0.07)`: the start of CLIP's logit scale, for weights without one.
const LOGIT_SCALE: f64 = 2.6592;

/// Tensors by name.
pub type Named = BTreeMap<String, Tensor>;

/// Parts of names, OpenAI's and transformers'. The longest come first, so that one tower is not
/// taken for the other. `pre_layrnorm` is transformers' own spelling.
const NAMES: [(&str, &str); 17] = [
    ("visual.transformer.resblocks.", "vision_model.encoder.layers."),
    ("visual.positional_embedding", "vision_model.embeddings.position_embedding.weight"),
    ("visual.class_embedding", "vision_model.embeddings.class_embedding"),
    ("visual.conv1.", "vision_model.embeddings.patch_embedding."),
    ("visual.ln_pre.", "vision_model.pre_layrnorm."),
    ("visual.ln_post.", "vision_model.post_layernorm."),
    ("visual.proj", "visual_projection.weight"),
    ("transformer.resblocks.", "text_model.encoder.layers."),
    ("token_embedding.", "text_model.embeddings.token_embedding."),
    ("positional_embedding", "text_model.embeddings.position_embedding.weight"),
    ("ln_final.", "text_model.final_layer_norm."),
    ("text_projection", "text_projection.weight"),
    (".ln_1.", ".layer_norm1."),
    (".ln_2.", ".layer_norm2."),
    (".attn.", ".self_attn."),
    (".mlp.c_fc.", ".mlp.fc1."),
    (".mlp.c_proj.", ".mlp.fc2."),
];

/// Returns transformers' name of a tensor that OpenAI's code calls `openai`.
pub fn name(openai: &str) -> String {
    let (starts, insides) = NAMES.split_at(12);
    let start = starts.iter().find_map(|(theirs, ours)| Some(format!("{ours}{}", openai.strip_prefix(theirs)?)));
    insides.iter().fold(start.unwrap_or_else(|| openai.to_owned()), |name, (theirs, ours)| name.replace(theirs, ours))
}

/// Reads all tensors of a model, fp32 on the CPU, under transformers' names.
///
/// # Errors
/// Returns [`Kind::Model`], naming the tensor, if one is missing or has another shape.
pub fn tensors(weights: &Weights, config: &ClipConfig, naming: Naming) -> Result<Named> {
    let mut all = Named::new();
    for (stored, shape) in manifest::tensors(config, naming) {
        let tensor = weights.get(&stored, &shape)?;
        match (naming, stored.rsplit_once(".in_proj_")) {
            (Naming::HuggingFace, _) => drop(all.insert(stored, tensor)),
            // Query, key and value are stacked in one tensor.
            (Naming::OpenAi, Some((block, which))) => {
                let parts = ["q_proj", "k_proj", "v_proj"].iter().zip(tensor.chunk(3, 0));
                all.extend(parts.map(|(part, tensor)| (name(&format!("{block}.{part}.{which}")), tensor)));
            }
            // A torch Linear keeps its matrix as (out, in); these two are plain matrices.
            (Naming::OpenAi, None) if matches!(stored.as_str(), "visual.proj" | "text_projection") => {
                drop(all.insert(name(&stored), tensor.tr()));
            }
            (Naming::OpenAi, None) => drop(all.insert(name(&stored), tensor)),
        }
    }
    // A number, which some files have as a list of one.
    let scale = match weights.shape_of("logit_scale", 1) {
        Ok([1]) => weights.get("logit_scale", &[1])?.squeeze(),
        _ if weights.has("logit_scale") => weights.get("logit_scale", &[])?,
        _ => Tensor::from(LOGIT_SCALE),
    };
    all.insert("logit_scale".to_owned(), scale);
    Ok(all)
}

/// Returns the `config.json` of a `CLIPModel` of these sizes whose vocabulary has the end mark at
/// `end`, and the start mark before it.
pub fn config(config: &ClipConfig, end: i64) -> Value {
    let activation = |activation| match activation {
        Activation::Silu => Activation::QuickGelu.as_str(),
        other => other.as_str(),
    };
    let ClipConfig { vision, text, joint } = config;
    json!({
        "architectures": ["CLIPModel"],
        "model_type": "clip",
        "projection_dim": joint,
        "logit_scale_init_value": LOGIT_SCALE,
        "torch_dtype": "float32",
        "vision_config": {
            "model_type": "clip_vision_model",
            "projection_dim": joint,
            "hidden_size": vision.width,
            "intermediate_size": vision.mlp,
            "num_hidden_layers": vision.layers,
            "num_attention_heads": vision.heads,
            "num_channels": 3,
            "image_size": vision.image_size,
            "patch_size": vision.patch,
            "layer_norm_eps": vision.eps,
            "hidden_act": activation(vision.activation),
        },
        "text_config": {
            "model_type": "clip_text_model",
            "projection_dim": joint,
            "hidden_size": text.width,
            "intermediate_size": text.mlp,
            "num_hidden_layers": text.layers,
            "num_attention_heads": text.heads,
            "vocab_size": text.vocab,
            "max_position_embeddings": text.context,
            "layer_norm_eps": text.eps,
            "hidden_act": activation(text.activation),
            "bos_token_id": end - 1,
            "eos_token_id": end,
            "pad_token_id": end,
        },
    })
}

/// Returns a `preprocessor_config.json` that says how pictures are prepared.
pub fn preprocessor(preprocess: &Preprocess) -> Value {
    let (edge, side) = (preprocess.shortest_edge, preprocess.crop);
    let size = if preprocess.squash { json!({"height": edge, "width": edge}) } else { json!({"shortest_edge": edge}) };
    // The shortest decimals are those that the number was written with.
    let decimals =
        |numbers: &[f32; 3]| numbers.map(|number| number.to_string().parse::<f64>().unwrap_or(number.into()));
    json!({
        "image_processor_type": "CLIPImageProcessor",
        "do_convert_rgb": true,
        "do_resize": true,
        "size": size,
        "resample": preprocess.filter.pillow(),
        "do_center_crop": true,
        "crop_size": {"height": side, "width": side},
        "do_rescale": true,
        "rescale_factor": 1.0 / 255.0,
        "do_normalize": true,
        "image_mean": decimals(&preprocess.mean),
        "image_std": decimals(&preprocess.std),
    })
}

/// Writes tensors as fp32 into a safetensors file, with the metadata that transformers requires and
/// `notes`.
///
/// # Errors
/// Returns [`Kind::Store`] if the file cannot be written, and [`Kind::Torch`] if a tensor cannot be
/// copied.
pub fn write(path: &Path, tensors: &Named, notes: &[(&str, String)]) -> Result<()> {
    let stored = tensors.iter().map(|(name, tensor)| Stored::of(name, tensor)).collect::<Result<Vec<_>>>()?;
    let mut metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    metadata.extend(notes.iter().map(|(key, value)| ((*key).to_owned(), value.clone())));
    let views = stored.iter().map(Stored::view).collect::<Result<Vec<_>>>()?;
    safetensors::serialize_to_file(views, Some(metadata), path).at(Kind::Store, "cannot write", path)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{name, preprocessor};
    use crate::image::Filter;
    use crate::image::preprocess::{Centre, Preprocess};

    #[test]
    fn how_pictures_are_prepared_is_read_as_it_was_written() {
        let plain = Preprocess { centre: Centre::Down, ..Preprocess::openai(24) };
        let squash = Preprocess { squash: true, filter: Filter::Lanczos, mean: [0.5, 0.4, 0.3], ..plain.clone() };
        for written in [plain, squash] {
            let json = preprocessor(&written);
            assert_eq!(Preprocess::from_hf_json(&json, Path::new("preprocessor_config.json")).unwrap(), written);
        }
    }

    #[test]
    fn names_of_both_towers() {
        for (openai, theirs) in [
            ("visual.ln_pre.weight", "vision_model.pre_layrnorm.weight"),
            ("visual.proj", "visual_projection.weight"),
            ("visual.transformer.resblocks.11.ln_2.bias", "vision_model.encoder.layers.11.layer_norm2.bias"),
            ("transformer.resblocks.0.mlp.c_fc.weight", "text_model.encoder.layers.0.mlp.fc1.weight"),
            ("transformer.resblocks.0.attn.out_proj.bias", "text_model.encoder.layers.0.self_attn.out_proj.bias"),
            ("positional_embedding", "text_model.embeddings.position_embedding.weight"),
        ] {
            assert_eq!(name(openai), theirs);
        }
    }
}
