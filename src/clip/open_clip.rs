//! Reads open_clip's `open_clip_config.json`, which lies beside weights in OpenAI's naming and says
//! what they do not: the width of a head, the nonlinearity, and how pictures are prepared.
//!
//! open_clip has many kinds of towers. Whatever a configuration asks for beyond a plain ViT and a
//! causal text transformer is refused by its key, because weights of other towers may have the same
//! shapes and would give worse features without any sign of it.

use std::path::Path;

use serde_json::{Map, Value};

use crate::clip::config::{Activation, ClipConfig, Keys, TextConfig, VisionConfig};
use crate::clip::text_of;
use crate::error::{Context, Error, Kind, Result};
use crate::image::Filter;
use crate::image::preprocess::{Centre, OPENAI_MEAN, OPENAI_STD, Preprocess};
use crate::image::preprocess_config::channels;

/// Name of the file.
pub(crate) const NAME: &str = "open_clip_config.json";

/// Epsilon of every LayerNorm in open_clip, unless `norm_kwargs` says otherwise.
const EPS: f64 = 1e-5;

/// What the file calls the sizes.
const KEYS: Keys = Keys {
    towers: ["vision_cfg.", "text_cfg."],
    width: "width",
    mlp: "mlp_ratio * width",
    layers: "layers",
    heads: ["width / head_width", "heads"],
    image_size: "image_size",
    patch: "patch_size",
    vocab: "vocab_size",
    context: "context_length",
    eps: "norm_kwargs.eps",
    joint: "embed_dim",
};

/// Keys that change no feature: they matter in training, or beside others that are refused.
const IDLE: [&str; 19] = [
    "attn_pooler_heads",
    "attn_pooler_queries",
    "cast_dtype",
    "eos_id",
    "fill_color",
    "hf_model_pretrained",
    "hf_pooler_type",
    "hf_proj_type",
    "init_logit_scale",
    "nonscalar_logit_scale",
    "pad_id",
    "patch_dropout",
    "size",
    "timm_drop",
    "timm_drop_path",
    "timm_model_pretrained",
    "timm_pool",
    "timm_proj",
    "timm_proj_bias",
];

/// Keys of other towers, which are null or false in a plain one.
const OTHERS: [&str; 23] = [
    "attentional_pool",
    "custom_text",
    "embed_cls",
    "final_ln_after_pool",
    "hf_model_name",
    "hf_tokenizer_name",
    "init_logit_bias",
    "ls_init_value",
    "multimodal_cfg",
    "no_causal_mask",
    "no_ln_pre",
    "output_dict",
    "output_tokens",
    "proj_bias",
    "qk_norm",
    "scale_attn",
    "scale_attn_inner",
    "scale_fc",
    "scale_heads",
    "scaled_cosine_attn",
    "timm_model_name",
    "tokenizer_kwargs",
    "tokenizer_mode",
];

/// Reads the sizes of both towers, and how pictures are prepared for them.
///
/// # Errors
/// Returns [`Kind::Model`] if the file cannot be read, or asks for something that the towers here
/// cannot do; the message names the key.
pub(super) fn read(path: &Path) -> Result<(ClipConfig, Preprocess)> {
    let text = text_of(path)?;
    let json: Value = serde_json::from_str(&text).at(Kind::Model, "not JSON:", path)?;
    let file = Section { path, name: "", values: json.as_object() };
    if file.get("model_cfg").is_none() {
        return Err(Error::new(Kind::Model, format!("{}: model_cfg is missing", path.display()))
            .hint("open_clip's push_to_hf_hub writes {\"model_cfg\": {...}, \"preprocess_cfg\": {...}}"));
    }
    let model = file.section("model_cfg")?;
    let (vision, text) = (model.section("vision_cfg")?, model.section("text_cfg")?);
    vision.only(
        &["layers", "width", "head_width", "mlp_ratio", "patch_size", "image_size", "act_kwargs", "norm_kwargs"],
        &[("pool_type", "tok".into()), ("pos_embed_type", "learnable".into()), ("block_type", "default".into())],
    )?;
    text.only(
        &["context_length", "vocab_size", "width", "heads", "layers", "mlp_ratio", "act_kwargs", "norm_kwargs"],
        &[("pool_type", "argmax".into()), ("proj_type", "linear".into()), ("block_type", "default".into())],
    )?;
    model.only(&["embed_dim", "vision_cfg", "text_cfg", "quick_gelu"], &[])?;
    // A list has the depths of a ResNet.
    if let Some(depths) = vision.get("layers").filter(|layers| layers.is_array()) {
        return Err(vision.refused("layers", &depths.to_string()));
    }
    let quick = model.flag("quick_gelu")?;
    let width = vision.whole("width", 768)?;
    let text_width = text.whole("width", 512)?;
    let config = ClipConfig {
        vision: VisionConfig {
            width,
            layers: vision.whole("layers", 12)?,
            heads: width / vision.whole("head_width", 64)?.max(1),
            mlp: (width as f64 * vision.number("mlp_ratio", 4.0)?) as i64,
            image_size: vision.side("image_size", 224)?,
            patch: vision.side("patch_size", 16)?,
            eps: vision.eps()?,
            activation: vision.activation(quick)?,
        },
        text: TextConfig {
            width: text_width,
            layers: text.whole("layers", 12)?,
            heads: text.whole("heads", 8)?,
            mlp: (text_width as f64 * text.number("mlp_ratio", 4.0)?) as i64,
            vocab: text.whole("vocab_size", 49_408)?,
            context: text.whole("context_length", 77)?,
            eps: text.eps()?,
            activation: text.activation(quick)?,
        },
        joint: model.whole("embed_dim", 512)?,
    };
    config.check(&KEYS).map_err(|what| Error::new(Kind::Model, format!("{}: {what}", path.display())))?;
    let preprocess = preprocess(&file.section("preprocess_cfg")?, config.vision.image_size)?;
    Ok((config, preprocess))
}

fn preprocess(section: &Section<'_>, image_size: i64) -> Result<Preprocess> {
    section.only(&["mean", "std", "interpolation", "resize_mode"], &[("mode", "RGB".into())])?;
    let filter = match section.text("interpolation", "bicubic")? {
        // The filter is random in training alone.
        "bicubic" | "random" => Filter::Bicubic,
        "bilinear" => Filter::Bilinear,
        other => return Err(section.refused("interpolation", other)),
    };
    let squash = match section.text("resize_mode", "shortest")? {
        "shortest" => false,
        "squash" => true,
        other => return Err(section.refused("resize_mode", other)),
    };
    let side = image_size as u32;
    let (mean, std) = (section.channels("mean", OPENAI_MEAN)?, section.channels("std", OPENAI_STD)?);
    // torchvision cuts the centre, and rounds half a pixel to the even neighbour.
    Ok(Preprocess { shortest_edge: side, crop: side, mean, std, filter, squash, centre: Centre::Even })
}

/// A table of the file.
struct Section<'a> {
    path: &'a Path,
    name: &'static str,
    values: Option<&'a Map<String, Value>>,
}

impl<'a> Section<'a> {
    fn get(&self, key: &str) -> Option<&'a Value> {
        self.values?.get(key).filter(|value| !value.is_null())
    }

    fn section(&self, name: &'static str) -> Result<Section<'a>> {
        match self.get(name) {
            None => Ok(Section { path: self.path, name, values: None }),
            Some(Value::Object(values)) => Ok(Section { path: self.path, name, values: Some(values) }),
            Some(other) => Err(self.wrong(name, "a table", other)),
        }
    }

    /// Refuses every key that is not `read` and may change features: one of another tower, unless
    /// it is off or has its `plain` value, and one that open_clip does not know.
    fn only(&self, read: &[&str], plain: &[(&str, Value)]) -> Result<()> {
        for (key, value) in self.values.into_iter().flatten() {
            let is_off = match value {
                Value::Null | Value::Bool(false) => true,
                Value::Object(inner) => inner.is_empty(),
                _ => false,
            };
            let name = key.as_str();
            let is_plain = plain.iter().any(|(plain, default)| *plain == name && (default == value || value.is_null()));
            if !(read.contains(&name) || IDLE.contains(&name) || is_plain || OTHERS.contains(&name) && is_off) {
                return Err(self.refused(key, &value.to_string()));
            }
        }
        Ok(())
    }

    fn place(&self, key: &str) -> String {
        if self.name.is_empty() { key.to_owned() } else { format!("{}.{key}", self.name) }
    }

    fn refused(&self, key: &str, value: &str) -> Error {
        let what = format!("{}: {} is {value}, which the towers here cannot do", self.path.display(), self.place(key));
        Error::new(Kind::Model, what)
            .hint("plain ViTs work: OpenAI's, and LAION's, MetaCLIP's, DataComp's and DFN's without another tokenizer or tower")
    }

    fn wrong(&self, key: &str, must_be: &str, found: &Value) -> Error {
        let what = format!("{}: {} must be {must_be}, not {found}", self.path.display(), self.place(key));
        Error::new(Kind::Model, what).hint("correct it, or fetch the file again from where the weights come from")
    }

    fn whole(&self, key: &str, default: i64) -> Result<i64> {
        let Some(value) = self.get(key) else { return Ok(default) };
        value.as_i64().ok_or_else(|| self.wrong(key, "a whole number", value))
    }

    fn number(&self, key: &str, default: f64) -> Result<f64> {
        let Some(value) = self.get(key) else { return Ok(default) };
        value.as_f64().ok_or_else(|| self.wrong(key, "a number", value))
    }

    /// Reads a number of pixels, or two equal ones.
    fn side(&self, key: &str, default: i64) -> Result<i64> {
        match self.get(key) {
            Some(Value::Array(sides)) => match sides.as_slice() {
                [height, width] if height == width => height.as_i64().ok_or_else(|| self.wrong(key, "whole", height)),
                _ => Err(self.refused(key, &format!("{sides:?}"))),
            },
            _ => self.whole(key, default),
        }
    }

    /// Reads the epsilon of the tower's LayerNorms.
    fn eps(&self) -> Result<f64> {
        let norm = self.section("norm_kwargs")?;
        norm.only(&["eps"], &[])?;
        norm.number("eps", EPS)
    }

    /// Reads the tower's nonlinearity.
    fn activation(&self, quick: bool) -> Result<Activation> {
        let act = self.section("act_kwargs")?;
        act.only(if quick { &[] } else { &["approximate"] }, &[])?;
        match (quick, act.text("approximate", "none")?) {
            (true, _) => Ok(Activation::QuickGelu),
            (false, "none") => Ok(Activation::Gelu),
            (false, "tanh") => Ok(Activation::GeluTanh),
            (false, other) => Err(act.refused("approximate", other)),
        }
    }

    fn flag(&self, key: &str) -> Result<bool> {
        let Some(value) = self.get(key) else { return Ok(false) };
        value.as_bool().ok_or_else(|| self.wrong(key, "true or false", value))
    }

    fn text(&self, key: &str, default: &'a str) -> Result<&'a str> {
        let Some(value) = self.get(key) else { return Ok(default) };
        value.as_str().ok_or_else(|| self.wrong(key, "text", value))
    }

    fn channels(&self, key: &str, default: [f32; 3]) -> Result<[f32; 3]> {
        let Some(value) = self.get(key) else { return Ok(default) };
        channels(value)
            .filter(|numbers| key != "std" || numbers.iter().all(|number| *number > 0.0))
            .ok_or_else(|| self.wrong(key, "one number or three", value))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(json: &Value) -> Result<(ClipConfig, Preprocess)> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(NAME);
        std::fs::write(&path, json.to_string()).unwrap();
        read(&path)
    }

    /// LAION's ViT-H/14, as its file on the hub says it.
    fn vit_h() -> Value {
        json!({
            "model_cfg": {
                "embed_dim": 1024,
                "vision_cfg": {"image_size": 224, "layers": 32, "width": 1280, "head_width": 80, "patch_size": 14},
                "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 1024, "heads": 16, "layers": 24},
            },
            "preprocess_cfg": {"mean": [0.48, 0.45, 0.4], "std": [0.26, 0.26, 0.27]},
        })
    }

    #[test]
    fn heads_the_nonlinearity_and_the_preprocessing_are_as_the_file_says() {
        let (config, preprocess) = of(&vit_h()).unwrap();
        assert_eq!((config.vision.heads, config.vision.mlp, config.vision.patches()), (16, 5120, 256));
        assert_eq!((config.text.heads, config.text.mlp, config.joint), (16, 4096, 1024));
        assert_eq!((config.vision.activation, config.text.activation), (Activation::Gelu, Activation::Gelu));
        assert_eq!((preprocess.mean, preprocess.crop, preprocess.squash), ([0.48, 0.45, 0.4], 224, false));
        // DFN's, with what a file may also say of a plain tower.
        let mut dfn = vit_h();
        dfn["model_cfg"]["quick_gelu"] = json!(true);
        dfn["model_cfg"]["vision_cfg"]["pool_type"] = json!("tok");
        dfn["model_cfg"]["text_cfg"]["hf_tokenizer_name"] = json!(null);
        dfn["preprocess_cfg"]["resize_mode"] = json!("squash");
        let (config, preprocess) = of(&dfn).unwrap();
        assert_eq!((config.vision.activation, preprocess.squash), (Activation::QuickGelu, true));
    }

    #[test]
    fn other_towers_are_refused_by_their_keys() {
        for (section, key, value) in [
            ("vision_cfg", "timm_model_name", json!("vit_base_patch16_siglip_224")),
            ("vision_cfg", "layers", json!([3, 4, 6, 3])),
            ("vision_cfg", "attentional_pool", json!(true)),
            ("vision_cfg", "pool_type", json!("avg")),
            ("text_cfg", "hf_tokenizer_name", json!("timm/ViT-B-16-SigLIP")),
            ("text_cfg", "hf_model_name", json!("xlm-roberta-base")),
            ("text_cfg", "no_causal_mask", json!(true)),
            ("", "multimodal_cfg", json!({"layers": 12})),
            ("", "init_logit_bias", json!(-10)),
            ("", "custom_text", json!(true)),
        ] {
            let mut file = vit_h();
            let model = &mut file["model_cfg"];
            if section.is_empty() {
                model[key] = value
            } else {
                model[section][key] = value
            }
            let error = of(&file).err().unwrap_or_else(|| panic!("{key} is taken"));
            assert!(error.to_string().contains(&format!(".{key} ")), "{error}");
        }
        let mut file = vit_h();
        file["model_cfg"]["vision_cfg"]["width"] = json!(77_777_777);
        let error = of(&file).err().unwrap().to_string();
        assert!(error.contains("vision_cfg.width is 77777777") && !error.contains("vision_config"), "{error}");
        let mut file = vit_h();
        file["preprocess_cfg"]["resize_mode"] = json!("longest");
        assert!(of(&file).err().unwrap().to_string().contains("preprocess_cfg.resize_mode is longest"));
        let bare = vit_h()["model_cfg"].clone();
        assert!(of(&bare).err().unwrap().to_string().contains("model_cfg is missing"));
    }

    #[test]
    fn what_changes_no_feature_is_read_over_and_what_nobody_knows_is_refused() {
        let mut file = vit_h();
        for (section, key, value) in [
            ("vision_cfg", "patch_dropout", json!(0.5)),
            ("vision_cfg", "ls_init_value", json!(null)),
            ("vision_cfg", "no_ln_pre", json!(false)),
            ("vision_cfg", "image_size", json!([224, 224])),
            ("text_cfg", "eos_id", json!(2)),
            ("text_cfg", "pad_id", json!(1)),
            ("text_cfg", "proj_type", json!("linear")),
            ("text_cfg", "block_type", json!(null)),
        ] {
            file["model_cfg"][section][key] = value;
        }
        file["model_cfg"]["init_logit_scale"] = json!(4.6);
        assert_eq!(of(&file).unwrap().0, of(&vit_h()).unwrap().0);
        for (section, key, value) in [
            ("vision_cfg", "input_patchnorm", json!(false)),
            ("vision_cfg", "global_average_pool", json!(0)),
            ("vision_cfg", "ls_init_value", json!(0)),
            ("vision_cfg", "image_size", json!([224, 336])),
            ("vision_cfg", "pos_embed_type", json!("sin_cos_2d")),
            ("vision_cfg", "block_type", json!("custom")),
            ("vision_cfg", "norm_kwargs", json!({"elementwise_affine": false})),
            ("vision_cfg", "act_kwargs", json!({"approximate": "sigmoid"})),
            ("text_cfg", "proj_type", json!("none")),
            ("text_cfg", "pool_type", json!("eos")),
            ("text_cfg", "tokenizer_kwargs", json!({"clean": "canonicalize"})),
        ] {
            let mut file = vit_h();
            let shown = value.as_object().map_or(key, |inner| inner.keys().next().unwrap());
            let shown = if key == "tokenizer_kwargs" { key } else { shown }.to_owned();
            file["model_cfg"][section][key] = value;
            let error = of(&file).err().unwrap_or_else(|| panic!("{key} is taken")).to_string();
            assert!(error.contains(&format!(".{shown} is ")), "{error}");
        }
    }

    #[test]
    fn epsilon_and_the_nonlinearity_may_be_other_ones() {
        let mut file = vit_h();
        file["model_cfg"]["vision_cfg"]["norm_kwargs"] = json!({"eps": 1e-6});
        file["model_cfg"]["text_cfg"]["act_kwargs"] = json!({"approximate": "tanh"});
        let (config, _) = of(&file).unwrap();
        assert_eq!((config.vision.eps, config.text.eps), (1e-6, 1e-5));
        assert_eq!((config.vision.activation, config.text.activation), (Activation::Gelu, Activation::GeluTanh));
        file["model_cfg"]["quick_gelu"] = json!(true);
        assert!(of(&file).err().unwrap().to_string().contains("act_kwargs.approximate"));
    }

    #[test]
    fn of_open_clips_models_the_plain_ones_load_with_their_sizes_and_no_other_loads() {
        #[derive(serde::Deserialize)]
        struct Model {
            name: String,
            sizes: Option<Value>,
            config: Value,
        }
        let models = include_str!("../../tests/golden/models/open_clip_models.jsonl");
        let models: Vec<Model> = models.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let mut loaded = 0;
        for Model { name, sizes, config } in &models {
            let read = of(&json!({"model_cfg": config}));
            let Some(sizes) = sizes else {
                let error = read.err().unwrap_or_else(|| panic!("{name} is taken")).to_string();
                assert!(
                    error.contains("_cfg.") && error.contains("which the towers here cannot do"),
                    "{name}: {error}"
                );
                continue;
            };
            let (ClipConfig { vision: v, text: t, joint }, _) = read.unwrap_or_else(|error| panic!("{name}: {error}"));
            let found = json!([
                v.width,
                v.layers,
                v.heads,
                v.mlp,
                v.image_size,
                v.patch,
                t.width,
                t.layers,
                t.heads,
                t.mlp,
                t.vocab,
                t.context,
                joint,
                v.activation.as_str()
            ]);
            assert_eq!(found, *sizes, "{name}");
            assert_eq!(v.activation, t.activation, "{name}");
            loaded += 1;
        }
        assert_eq!((models.len(), loaded), (144, 31));
    }
}
