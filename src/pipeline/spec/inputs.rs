//! What a pipeline reads: pictures, weights, sentences.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::super::choice::choice;

choice! {
    /// How the pictures are stored.
    SourceKind {
        /// Hugging Face Parquet: a file or a folder of them, `image: struct<bytes, path>` and a label if there is one.
        HfParquet = "hf-parquet",
        /// Picture files in folders: one per class or none, with or without `train` and `test` above.
        Folder = "folder",
        /// A CSV file that names picture files, their split and their label if known.
        List = "list",
    }
}

/// `[dataset]`: where the pictures come from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dataset {
    /// How the pictures are stored.
    pub kind: SourceKind,
    /// The Parquet file or folder, the folder of pictures, or the CSV file.
    pub path: PathBuf,
    /// For a list: the folder that its relative paths start from. By default the list's own.
    #[serde(default)]
    pub root: Option<PathBuf>,
    /// A text file with one class name a line. Needed where the source itself has no labels.
    #[serde(default)]
    pub classes: Option<PathBuf>,
    /// The share of files that may be rejected, in `[0, 1]`, before the run ends with exit code 3.
    #[serde(default = "default_tolerance")]
    pub tolerance: f64,
    /// What a picture's header may claim before it is decoded.
    #[serde(default)]
    pub limits: Limits,
}

fn default_tolerance() -> f64 {
    0.05
}

/// `[dataset.limits]`: checked in a picture's header, before memory is taken to decode it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// The longest side, in pixels.
    pub max_side: u32,
    /// Width times height.
    pub max_pixels: u64,
    /// The encoded picture, in bytes.
    pub max_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { max_side: 20_000, max_pixels: 100_000_000, max_bytes: 64 << 20 }
    }
}

choice! {
    /// The number type of the frozen encoder.
    Precision {
        /// bf16 on a GPU, and for towers of 256 and wider on a CPU that multiplies it in hardware; fp32 elsewhere.
        Auto = "auto",
        /// 32-bit floating point.
        Fp32 = "fp32",
        /// 16-bit brain floating point; normalisations stay in 32 bits.
        Bf16 = "bf16",
    }
}

/// `[model]`: the CLIP to adapt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// A Hugging Face directory, or a `.safetensors` file in OpenAI's naming.
    pub path: PathBuf,
    /// A `tokenizer.json`, where it does not lie beside the weights.
    #[serde(default)]
    pub tokenizer: Option<PathBuf>,
    /// A `preprocessor_config.json`, where it does not lie beside the weights.
    #[serde(default)]
    pub preprocessor: Option<PathBuf>,
    /// The number type of the frozen encoder.
    #[serde(default = "default_precision")]
    pub precision: Precision,
}

fn default_precision() -> Precision {
    Precision::Auto
}

choice! {
    /// What classifiers are made from.
    Prototypes {
        /// The sentences that a language model wrote about each class, as in the paper.
        Descriptions = "descriptions",
        /// The class names in the templates, as in plain CLIP: what handcrafted prompts are worth.
        Templates = "templates",
    }
}

/// `[text]`: the classes in words.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Text {
    /// A JSON file `{class name: [sentence, ...]}`, as CuPL's language-model descriptions are laid out.
    pub descriptions: PathBuf,
    /// Prompts for the class name, which takes the place of `{}`.
    #[serde(default = "default_templates")]
    pub templates: Vec<String>,
    /// What the classifiers are made from.
    #[serde(default = "default_prototypes")]
    pub prototypes: Prototypes,
}

fn default_prototypes() -> Prototypes {
    Prototypes::Descriptions
}

fn default_templates() -> Vec<String> {
    vec!["a photo of a {}.".to_owned()]
}
