//! Reads open_clip's `open_clip_config.json`, which lies beside weights in OpenAI's naming and says
//! what they do not: the width of a head, the nonlinearity, and how pictures are prepared.
//!
//! open_clip has many kinds of towers. Whatever a configuration asks for beyond a plain ViT and a
//! causal text transformer is refused by its key, because weights of other towers may have the same
//! shapes and would give worse features without any sign of it.

use std::path::Path;

use serde_json::{Map, Value};

use crate::clip::config::{Activation, ClipConfig, TextConfig, VisionConfig};
use crate::clip::text_of;
use crate::error::{Context, Error, Kind, Result};
use crate::image::Filter;
use crate::image::preprocess::{Centre, OPENAI_MEAN, OPENAI_STD, Preprocess};
use crate::image::preprocess_config::channels;

/// Name of the file.
pub(super) const NAME: &str = "open_clip_config.json";

/// Epsilon of every LayerNorm in open_clip.
const EPS: f64 = 1e-5;

/// Reads the sizes of both towers, and how pictures are prepared for them.
///
/// # Errors
/// Returns [`Kind::Model`] if the file cannot be read, or asks for something that the towers here
/// cannot do; the message names the key.
pub(super) fn read(path: &Path) -> Result<(ClipConfig, Preprocess)> {
    let text = text_of(path)?;
    let json: Value = serde_json::from_str(&text).at(Kind::Model, "not JSON:", path)?;
    let file = Section { path, name: "", values: json.as_object() };
    let model = file.section("model_cfg")?;
    let (vision, text) = (model.section("vision_cfg")?, model.section("text_cfg")?);
    model.only(
        &["embed_dim", "vision_cfg", "text_cfg", "quick_gelu", "init_logit_scale"],
        &[("custom_text", Value::Bool(false))],
    )?;
    vision.only(
        &["layers", "width", "head_width", "mlp_ratio", "patch_size", "image_size", "patch_dropout"],
        &[("pool_type", "tok".into()), ("pos_embed_type", "learnable".into())],
    )?;
    text.only(
        &["context_length", "vocab_size", "width", "heads", "layers", "mlp_ratio"],
        &[("pool_type", "argmax".into())],
    )?;
    let activation = match model.flag("quick_gelu")? {
        true => Activation::QuickGelu,
        false => Activation::Gelu,
    };
    let width = vision.whole("width", 768)?;
    let text_width = text.whole("width", 512)?;
    let config = ClipConfig {
        vision: VisionConfig {
            width,
            layers: vision.whole("layers", 12)?,
            heads: width / vision.whole("head_width", 64)?.max(1),
            mlp: (width as f64 * vision.number("mlp_ratio", 4.0)?) as i64,
            image_size: vision.whole("image_size", 224)?,
            patch: vision.whole("patch_size", 16)?,
            eps: EPS,
            activation,
        },
        text: TextConfig {
            width: text_width,
            layers: text.whole("layers", 12)?,
            heads: text.whole("heads", 8)?,
            mlp: (text_width as f64 * text.number("mlp_ratio", 4.0)?) as i64,
            vocab: text.whole("vocab_size", 49_408)?,
            context: text.whole("context_length", 77)?,
            eps: EPS,
            activation,
        },
        joint: model.whole("embed_dim", 512)?,
    };
    config.check().map_err(|what| Error::new(Kind::Model, format!("{}: {what}", path.display())))?;
    let preprocess = preprocess(&file.section("preprocess_cfg")?, config.vision.image_size)?;
    Ok((config, preprocess))
}

fn preprocess(section: &Section<'_>, image_size: i64) -> Result<Preprocess> {
    section.only(&["size", "mode", "mean", "std", "interpolation", "resize_mode", "fill_color"], &[])?;
    let filter = match section.text("interpolation", "bicubic")? {
        "bicubic" => Filter::Bicubic,
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

    /// Refuses every key that is not among the `known`, unless its value asks for nothing: false,
    /// 0, nothing, or the value of a plain tower.
    fn only(&self, known: &[&str], plain: &[(&str, Value)]) -> Result<()> {
        for (key, value) in self.values.into_iter().flatten() {
            let nothing = match value {
                Value::Null | Value::Bool(false) => true,
                Value::Number(number) => number.as_f64() == Some(0.0),
                Value::Object(inner) => inner.is_empty(),
                _ => plain.iter().any(|(name, plain)| name == key && plain == value),
            };
            if !nothing && !known.contains(&key.as_str()) {
                return Err(self.refused(key, &value.to_string()));
            }
        }
        Ok(())
    }

    fn refused(&self, key: &str, value: &str) -> Error {
        let what = format!("{}: {}.{key} is {value}, which the towers here cannot do", self.path.display(), self.name);
        Error::new(Kind::Model, what)
            .hint("plain ViTs work: OpenAI's, and LAION's, MetaCLIP's, DataComp's and DFN's without another tokenizer or tower")
    }

    fn wrong(&self, key: &str, must_be: &str, found: &Value) -> Error {
        let what = format!("{}: {}.{key} must be {must_be}, not {found}", self.path.display(), self.name);
        Error::new(Kind::Model, what)
    }

    fn whole(&self, key: &str, default: i64) -> Result<i64> {
        let Some(value) = self.get(key) else { return Ok(default) };
        value.as_i64().ok_or_else(|| self.wrong(key, "a whole number", value))
    }

    fn number(&self, key: &str, default: f64) -> Result<f64> {
        let Some(value) = self.get(key) else { return Ok(default) };
        value.as_f64().ok_or_else(|| self.wrong(key, "a number", value))
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
            .ok_or_else(|| self.wrong(key, "three numbers", value))
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
        file["preprocess_cfg"]["resize_mode"] = json!("longest");
        assert!(of(&file).err().unwrap().to_string().contains("preprocess_cfg.resize_mode is longest"));
    }
}
