//! Reads Hugging Face's `preprocessor_config.json`, which transformers 5 writes into
//! `processor_config.json`. Missing keys have the defaults of `CLIPImageProcessor`; unsupported
//! values are refused by name, because a picture prepared differently than in training gives worse
//! features without any sign of it.

use std::path::Path;

use serde_json::Value;

use super::preprocess::{Centre, OPENAI_MEAN, OPENAI_STD, Preprocess};
use super::resample::Filter;
use crate::error::{Error, Kind, Result};

/// Reads a list of three finite numbers, one per channel, or one number for all.
pub(crate) fn channels(value: &Value) -> Option<[f32; 3]> {
    let numbers: [f32; 3] = match value.as_f64() {
        Some(number) => [number as f32; 3],
        None => {
            let numbers: Option<Vec<f32>> = value.as_array()?.iter().map(|v| v.as_f64().map(|n| n as f32)).collect();
            numbers?.try_into().ok()?
        }
    };
    Some(numbers).filter(|numbers| numbers.iter().all(|number| number.is_finite()))
}

/// A class of transformers that prepares pictures: its names, and what its missing keys mean.
struct Processor {
    names: &'static [&'static str],
    /// The name in messages.
    called: &'static str,
    /// Side in pixels, and whether both edges are brought to it.
    size: (u32, bool),
    centre_crop: bool,
    filter: Filter,
    mean: [f32; 3],
    std: [f32; 3],
}

const CLIP: Processor = Processor {
    names: &["CLIPImageProcessor", "CLIPImageProcessorFast", "CLIPImageProcessorPil", "CLIPFeatureExtractor"],
    called: "a CLIPImageProcessor",
    size: (224, false),
    centre_crop: true,
    filter: Filter::Bicubic,
    mean: OPENAI_MEAN,
    std: OPENAI_STD,
};

/// That of DINOv2, which does what CLIP's does.
const BIT: Processor = Processor {
    names: &["BitImageProcessor", "BitImageProcessorFast", "BitImageProcessorPil"],
    called: "a BitImageProcessor (DINOv2's) or a DINOv3ViTImageProcessor",
    ..CLIP
};

/// That of DINOv3. transformers scales its pictures before it resizes them, so that pixels are not
/// rounded to 8 bits in between, as they are here.
const DINOV3: Processor = Processor {
    names: &["DINOv3ViTImageProcessor", "DINOv3ViTImageProcessorFast"],
    called: BIT.called,
    size: (224, true),
    centre_crop: false,
    filter: Filter::Bilinear,
    mean: IMAGENET_MEAN,
    std: IMAGENET_STD,
};

const IMAGENET_MEAN: [f32; 3] = [0.485, 0.456, 0.406];
const IMAGENET_STD: [f32; 3] = [0.229, 0.224, 0.225];

impl Preprocess {
    /// Reads the settings from a parsed `preprocessor_config.json`; `path` is for messages.
    ///
    /// # Errors
    /// Returns [`Kind::Model`] if a value has the wrong type or asks for something unsupported.
    pub fn from_hf_json(config: &Value, path: &Path) -> Result<Self> {
        Self::by(&CLIP, config, path)
    }

    /// Like [`from_hf_json`](Self::from_hf_json), of a DINOv2 or DINOv3.
    ///
    /// # Errors
    /// Returns [`Kind::Model`] if a value has the wrong type or asks for something unsupported.
    pub fn of_dino(config: &Value, path: &Path) -> Result<Self> {
        let named = config.get("image_processor_type").and_then(Value::as_str);
        let dinov3 = named.is_some_and(|name| DINOV3.names.contains(&name));
        Self::by(if dinov3 { &DINOV3 } else { &BIT }, config, path)
    }

    fn by(processor: &Processor, config: &Value, path: &Path) -> Result<Self> {
        let reader = Reader { config, path, processor };
        for key in ["image_processor_type", "feature_extractor_type"] {
            if let Some(other) = config.get(key).filter(|name| !name.is_null())
                && !other.as_str().is_some_and(|name| processor.names.contains(&name))
            {
                return Err(reader.unsupported(key, &format!("only {} is supported", processor.called)));
            }
        }
        if reader.flag("use_square_size", false)? {
            return Err(reader.unsupported("use_square_size", "give `size` a height and a width instead"));
        }
        for (key, consequence) in [("do_resize", "without resizing"), ("do_rescale", "without scaling to [0, 1]")] {
            if !reader.flag(key, true)? {
                return Err(reader.unsupported(key, &format!("a model fed {consequence} is not supported")));
            }
        }
        if reader.flag("do_pad", false)? {
            return Err(reader.unsupported("do_pad", "padding is not supported"));
        }
        let factor = reader.number("rescale_factor")?.unwrap_or(1.0 / 255.0);
        if (factor * 255.0 - 1.0).abs() > 1e-4 {
            return Err(reader.unsupported("rescale_factor", "only 1/255 is supported"));
        }

        let (shortest_edge, squash) = reader.size()?;
        let crop = match reader.flag("do_center_crop", processor.centre_crop)? {
            true => reader.crop()?,
            false if squash => shortest_edge,
            false => {
                let why = "without the crop, pictures of other proportions than 1:1 would not fit the model";
                return Err(reader.unsupported("do_center_crop", why));
            }
        };
        let filter = match reader.config.get("resample") {
            None | Some(Value::Null) => processor.filter,
            Some(number) => number
                .as_u64()
                .and_then(Filter::from_pillow)
                .ok_or_else(|| reader.unsupported("resample", "must be one of Pillow's numbers 0 to 5"))?,
        };
        let (mean, std) = match reader.flag("do_normalize", true)? {
            true => (
                reader.channels("image_mean")?.unwrap_or(processor.mean),
                reader.channels("image_std")?.unwrap_or(processor.std),
            ),
            false => ([0.0; 3], [1.0; 3]),
        };
        if std.iter().any(|s| *s <= 0.0) {
            return Err(reader.unsupported("image_std", "must be above zero"));
        }
        Ok(Preprocess { shortest_edge, crop, mean, std, filter, squash, centre: Centre::Down })
    }
}

struct Reader<'a> {
    config: &'a Value,
    path: &'a Path,
    processor: &'a Processor,
}

impl Reader<'_> {
    fn unsupported(&self, key: &str, why: &str) -> Error {
        let value = self.config.get(key).unwrap_or(&Value::Null);
        Error::new(Kind::Model, format!("{}: `{key}` is {value}: {why}", self.path.display()))
            .hint("the model's preprocessing must be: resize, crop from the centre, scale by 1/255, normalise")
    }

    fn flag(&self, key: &str, default: bool) -> Result<bool> {
        match self.config.get(key) {
            None => Ok(default),
            // transformers takes null for "no" here, and does not fall back on the default.
            Some(Value::Null) => Ok(false),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(_) => Err(self.unsupported(key, "must be true or false")),
        }
    }

    fn number(&self, key: &str) -> Result<Option<f64>> {
        match self.config.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => value.as_f64().map(Some).ok_or_else(|| self.unsupported(key, "must be a number")),
        }
    }

    fn channels(&self, key: &str) -> Result<Option<[f32; 3]>> {
        let Some(value) = self.config.get(key).filter(|v| !v.is_null()) else { return Ok(None) };
        channels(value).map(Some).ok_or_else(|| self.unsupported(key, "must be one number or a list of three"))
    }

    /// Returns the edge, and whether it applies to both edges.
    fn size(&self) -> Result<(u32, bool)> {
        let Some(size) = self.config.get("size").filter(|v| !v.is_null()) else { return Ok(self.processor.size) };
        // A second bound, such as {longest_edge}, would ask for another size.
        let shortest = size.as_object().filter(|keys| keys.values().filter(|v| !v.is_null()).count() == 1);
        let shortest = shortest.and_then(|keys| keys.get("shortest_edge"));
        match edge(shortest.unwrap_or(size)) {
            Some(edge) => Ok((edge, false)),
            None => square(size).map(|side| (side, true)).ok_or_else(|| {
                let sizes = "must be a number of pixels, {shortest_edge} alone, or an equal {height} and {width}";
                self.unsupported("size", sizes)
            }),
        }
    }

    fn crop(&self) -> Result<u32> {
        let Some(crop) = self.config.get("crop_size").filter(|v| !v.is_null()) else { return Ok(224) };
        edge(crop).or_else(|| square(crop)).ok_or_else(|| {
            self.unsupported("crop_size", "must be a number of pixels, or an equal {height} and {width}")
        })
    }
}

fn edge(value: &Value) -> Option<u32> {
    value.as_u64().and_then(|n| u32::try_from(n).ok()).filter(|n| (1..=16_384).contains(n))
}

/// Reads `{height, width}` or `[height, width]`, if both are equal and nothing else is asked for.
fn square(value: &Value) -> Option<u32> {
    let (height, width) = match value {
        Value::Array(sides) => <&[Value; 2]>::try_from(sides.as_slice()).ok().map(|[height, width]| (height, width))?,
        Value::Object(keys) if keys.values().filter(|v| !v.is_null()).count() == 2 => {
            (keys.get("height")?, keys.get("width")?)
        }
        _ => return None,
    };
    edge(height).filter(|side| edge(width) == Some(*side))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(config: Value) -> Result<Preprocess> {
        Preprocess::from_hf_json(&config, Path::new("m/preprocessor_config.json"))
    }

    #[test]
    fn both_generations_of_clip_configurations_mean_the_same() {
        let old = json!({"crop_size": 224, "do_center_crop": true, "do_normalize": true, "do_resize": true,
            "feature_extractor_type": "CLIPFeatureExtractor", "resample": 3, "size": 224,
            "image_mean": [0.48145466, 0.4578275, 0.40821073], "image_std": [0.26862954, 0.26130258, 0.27577711]});
        let new = json!({"crop_size": {"height": 224, "width": 224}, "size": {"shortest_edge": 224},
            "do_rescale": true, "rescale_factor": 0.00392156862745098, "do_convert_rgb": true, "resample": 3});
        let expected = Preprocess { centre: Centre::Down, ..Preprocess::openai(224) };
        for config in [old, new, json!({})] {
            assert_eq!(read(config).unwrap(), expected);
        }
    }

    #[test]
    fn a_fixed_height_and_width_does_not_keep_proportions() {
        let p = read(json!({"size": {"height": 64, "width": 64}, "do_center_crop": false, "resample": 2})).unwrap();
        assert!(p.squash && p.shortest_edge == 64 && p.crop == 64 && p.filter == Filter::Bilinear);
        let listed = read(json!({"size": [64, 64], "crop_size": [64, 64], "resample": 2})).unwrap();
        assert_eq!(listed, p);
        // transformers writes the keys that do not apply as null.
        let nulls = json!({"size": {"shortest_edge": 64, "longest_edge": null}, "crop_size": 64, "image_mean": 0.5});
        let nulls = read(nulls).unwrap();
        assert_eq!((nulls.squash, nulls.shortest_edge, nulls.mean), (false, 64, [0.5; 3]));
        assert_eq!(read(json!({"do_normalize": null})).unwrap().std, [1.0; 3]);
    }

    #[test]
    fn what_is_not_supported_is_named() {
        for (config, key) in [
            (json!({"do_resize": false}), "`do_resize` is false"),
            (json!({"do_center_crop": false}), "`do_center_crop`"),
            (json!({"do_rescale": false}), "`do_rescale`"),
            (json!({"do_pad": true}), "`do_pad`"),
            (json!({"rescale_factor": 1.0}), "`rescale_factor` is 1.0"),
            (json!({"size": {"longest_edge": 224}}), "`size`"),
            (json!({"size": 0}), "`size`"),
            (json!({"size": {"shortest_edge": 224, "longest_edge": 448}}), "`size`"),
            (json!({"size": [224, 448]}), "`size`"),
            (json!({"do_center_crop": null}), "`do_center_crop`"),
            (json!({"do_rescale": null}), "`do_rescale`"),
            (json!({"use_square_size": true}), "`use_square_size`"),
            (json!({"image_processor_type": "SiglipImageProcessor"}), "`image_processor_type`"),
            (json!({"feature_extractor_type": "ViTFeatureExtractor"}), "`feature_extractor_type`"),
            (json!({"crop_size": {"height": 224, "width": 112}}), "`crop_size`"),
            (json!({"resample": 9}), "`resample`"),
            (json!({"resample": "bicubic"}), "`resample`"),
            (json!({"image_mean": [0.5, 0.5]}), "`image_mean`"),
            (json!({"image_std": [0.5, 0.0, 0.5]}), "`image_std`"),
        ] {
            let message = read(config).unwrap_err().to_string();
            assert!(message.contains(key) && message.contains("preprocessor_config.json"), "{message}");
        }
    }
}
