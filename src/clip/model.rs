//! A whole CLIP: both towers, the tokenizer, and how pictures are prepared for it.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use crate::clip::config::ClipConfig;
use crate::clip::config_json::HuggingFace;
use crate::clip::hugging_face::{self, Named};
use crate::clip::manifest;
use crate::clip::naming::Naming;
use crate::clip::open_clip;
use crate::clip::preprocessor;
use crate::clip::repository;
use crate::clip::text::TextTower;
use crate::clip::tokenizer::{ReadAt, Tokenizer};
use crate::clip::vision::VisionTower;
use crate::clip::weights::Weights;
use crate::device::PrecisionChoice;
use crate::error::{Error, Kind, Result};
use crate::image::preprocess::Preprocess;
use crate::settings::{Must, Want, choice, settings};

settings! {
    /// The CLIP to adapt.
    ModelSettings {
        /// A directory with a model of transformers or open_clip, a `.safetensors` file, the name
        /// of a model on the Hugging Face Hub (`ORG/NAME` or `hf://ORG/NAME@REVISION`), or the
        /// address of such a directory on a store of objects (`s3://`, `gs://`, `az://`); these are
        /// fetched once. A directory of that name comes first.
        path: PathBuf, Want::Path(Must::BeModel), ByContent;
        ..
        /// A `tokenizer.json`, where it does not lie beside the weights.
        tokenizer: Option<PathBuf> = None, Want::Path(Must::BeFile), ByContent;
        /// A `preprocessor_config.json` or `processor_config.json`, where it does not lie beside
        /// the weights.
        preprocessor: Option<PathBuf> = None, Want::Path(Must::BeFile), ByContent;
        /// Number type of the frozen encoders; `auto` is fp32 for sentences on a CPU. In bf16, only
        /// the products of the text tower are bf16.
        precision: PrecisionChoice = PrecisionChoice::Auto, PrecisionChoice::WANT, ByContent;
        [second]: SecondSettings;
    }
}

settings! {
    /// A second vision model, whose features carry over what the CLIP answers. There is none unless
    /// a path is given.
    SecondSettings {
        /// A folder with a DINOv2 (with registers or without) or a DINOv3 ViT of transformers, the
        /// name of one on the Hugging Face Hub, or the address of such a folder.
        path: Option<PathBuf> = None, Want::Path(Must::BeModelFolder), ByContent;
        /// A `preprocessor_config.json`, where it does not lie beside the weights.
        preprocessor: Option<PathBuf> = None, Want::Path(Must::BeFile), ByContent;
        /// Number type of the second model.
        precision: PrecisionChoice = PrecisionChoice::Auto, PrecisionChoice::WANT, ByContent;
        /// What of its output is compared: `[CLS]`, the mean of the patch tokens, or both, one
        /// after the other.
        features: SecondFeatures = SecondFeatures::Both, SecondFeatures::WANT, Answers;
    }
}

choice! {
    /// What of the second model's output is compared.
    SecondFeatures {
        /// `[CLS]`.
        Cls = "cls",
        /// The mean of the patch tokens.
        PatchMean = "patch_mean",
        /// Both, each of unit length.
        Both = "both",
    }
}

/// The id that config.json gave for the end mark, whatever the vocabulary, before 2023.
const BEFORE_2023: i64 = 2;

/// An opened model: sizes, tokenizer and preprocessing are known. The towers are built on demand,
/// so a run that finds everything cached builds none.
pub struct Clip {
    /// The sizes of both towers.
    pub config: ClipConfig,
    /// The map from sentences to token ids.
    pub tokenizer: Tokenizer,
    /// The map from pictures to the tower's input.
    pub preprocess: Preprocess,
    /// What the user should know of how the files were read.
    pub notes: Vec<String>,
    weights: Weights,
    weights_hash: OnceLock<blake3::Hash>,
    naming: Naming,
}

impl Clip {
    /// Opens a model's files and checks that they belong together.
    ///
    /// # Errors
    /// Returns [`Kind::Model`] if a file is missing, damaged, a pickle, or does not fit the others;
    /// [`Kind::Network`] if the model is named on the hub, and not in the cache.
    pub fn open(files: &ModelSettings) -> Result<Self> {
        let path = &repository::local(&files.path)?;
        let weights = Weights::open(path)?;
        let naming = Naming::of(&weights);
        // The folder of the companion files.
        let folder = if path.is_dir() { path.as_path() } else { path.parent().unwrap_or(Path::new(".")) };
        let mut notes = Vec::new();
        // Towers of open_clip that are none of ours have other names, and that file says what they
        // are.
        let is_open_clips = naming == Naming::OpenAi || !folder.join("config.json").is_file();
        let open_clip = Some(folder.join(open_clip::NAME)).filter(|path| is_open_clips && path.is_file());
        let open_clip = open_clip.map(|path| open_clip::read(&path)).transpose()?;
        let mut end = None;
        let config = match (naming, &open_clip) {
            (Naming::HuggingFace, _) => {
                let read = HuggingFace::read(&folder.join("config.json"))?;
                notes.extend(read.notes);
                end = read.end;
                read.config
            }
            (Naming::OpenAi, Some((config, _))) => config.clone(),
            (Naming::OpenAi, None) => {
                notes.push(format!(
                    "no {} in {}: the weights are taken for OpenAI's, with QuickGELU; weights that others trained with \
                     open_clip need that file",
                    open_clip::NAME,
                    folder.display()
                ));
                ClipConfig::from_openai(&weights)?
            }
        };
        manifest::check(&weights, &config, naming)?;
        let tokenizer = match companion(files.tokenizer.as_deref(), folder, "tokenizer.json") {
            Some(path) => Tokenizer::from_file(&path, config.text.context, config.text.vocab)?,
            None if naming == Naming::OpenAi => Tokenizer::openai(config.text.context, config.text.vocab)?,
            None => {
                return Err(Error::new(Kind::Model, format!("no tokenizer.json in {}", folder.display())).hint(
                    "it lies beside the weights on the hub; transformers writes it with AutoTokenizer.save_pretrained",
                ));
            }
        };
        let read_at = match (naming, end) {
            (Naming::OpenAi, _) | (_, Some(BEFORE_2023)) => ReadAt::Largest,
            (_, Some(end)) if end != tokenizer.end() => {
                let what = format!(
                    "{}: config.json's text_config.eos_token_id is {end}, the tokenizer's end mark has id {}",
                    folder.display(),
                    tokenizer.end()
                );
                return Err(Error::new(Kind::Model, what).hint("they are not of the same model, or one was changed"));
            }
            _ => ReadAt::End,
        };
        let tokenizer = tokenizer.read_at(read_at);
        let prepared = open_clip.map(|(_, preprocess)| preprocess);
        let side = config.vision.image_size as u32;
        let preprocess = preprocessor::read(files.preprocessor.as_deref(), folder, prepared, side, &mut notes)?;
        if i64::from(preprocess.crop) != config.vision.image_size {
            return Err(Error::new(
                Kind::Model,
                format!(
                    "{}: pictures are prepared at {} px, the vision tower takes {} px",
                    folder.display(),
                    preprocess.crop,
                    config.vision.image_size
                ),
            )
            .hint("the preprocessor's configuration and that of the towers are not of the same model"));
        }
        Ok(Clip { config, tokenizer, preprocess, notes, weights, weights_hash: OnceLock::new(), naming })
    }

    /// Returns the blake3 of the weights' bytes: the model's identity in a space. All of them are
    /// read the first time.
    pub fn weights_hash(&self) -> blake3::Hash {
        *self.weights_hash.get_or_init(|| self.weights.hash())
    }

    /// Reads every tensor in fp32 on the CPU, under the names of transformers' `CLIPModel`,
    /// whatever the naming of the file.
    ///
    /// # Errors
    /// Returns [`Kind::Model`], naming the tensor, if one is missing or has another shape.
    pub fn tensors(&self) -> Result<Named> {
        hugging_face::tensors(&self.weights, &self.config, self.naming)
    }

    /// Builds the vision tower, fp32 on the CPU.
    ///
    /// # Errors
    /// Returns [`Kind::Model`], naming the tensor, if one is missing or has another shape.
    pub fn vision(&self) -> Result<VisionTower> {
        VisionTower::load(&self.weights, &self.config.vision, self.config.joint, self.naming)
    }

    /// Builds the text tower, fp32 on the CPU.
    ///
    /// # Errors
    /// Returns [`Kind::Model`], naming the tensor, if one is missing or has another shape.
    pub fn text(&self) -> Result<TextTower> {
        TextTower::load(&self.weights, &self.config.text, self.config.joint, self.naming)
    }
}

/// Returns the file that the user named, or the file `name` beside the weights, if there is one.
fn companion(named: Option<&Path>, folder: &Path, name: &str) -> Option<PathBuf> {
    match named {
        Some(path) => Some(path.to_path_buf()),
        None => Some(folder.join(name)).filter(|path| path.is_file()),
    }
}
