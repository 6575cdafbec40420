//! An opened model: its files are read and belong together; the tower is built on demand.

use std::path::Path;
use std::sync::OnceLock;

use super::{Config, Tower, stored};
use crate::clip::Weights;
use crate::clip::preprocessor::{self, PREPROCESSOR_CONFIG};
use crate::clip::repository;
use crate::error::{Error, Kind, Result};
use crate::image::Preprocess;

/// A vision model without text.
pub struct Dino {
    /// The sizes of the tower.
    pub config: Config,
    /// The map from pictures to the tower's input.
    pub preprocess: Preprocess,
    weights: Weights,
    weights_hash: OnceLock<blake3::Hash>,
}

impl Dino {
    /// Opens the model in a folder. How pictures are prepared is said by the file `preprocessor`,
    /// or else by `preprocessor_config.json` in the folder.
    ///
    /// # Errors
    /// Returns [`Kind::Model`] if a file is missing, damaged, a pickle, of another kind of model,
    /// or does not fit the others; [`Kind::Network`] if it is named on the hub, and not in the
    /// cache.
    pub fn open(folder: &Path, preprocessor: Option<&Path>) -> Result<Self> {
        let folder = &repository::local(folder)?;
        let config = Config::read(&folder.join("config.json"))?;
        let weights = Weights::open(folder)?;
        stored::check(&weights, &config)?;
        let beside = folder.join(PREPROCESSOR_CONFIG);
        let path = preprocessor.unwrap_or(&beside);
        if !path.is_file() {
            let what = format!("no {PREPROCESSOR_CONFIG} in {}", folder.display());
            return Err(Error::new(Kind::Model, what)
                .hint("it says how pictures are prepared, and lies beside the weights on the hub"));
        }
        let json = preprocessor::json(path)?;
        let preprocess = Preprocess::of_dino(preprocessor::nested(&json).unwrap_or(&json), path)?;
        if i64::from(preprocess.crop) < config.patch {
            let what =
                format!("{}: pictures of {} px have no patch of {} px", path.display(), preprocess.crop, config.patch);
            return Err(Error::new(Kind::Model, what));
        }
        Ok(Dino { config, preprocess, weights, weights_hash: OnceLock::new() })
    }

    /// Returns the blake3 of the weights' bytes: the model's identity in a space.
    pub fn weights_hash(&self) -> blake3::Hash {
        *self.weights_hash.get_or_init(|| self.weights.hash())
    }

    /// Builds the tower for pictures as they are prepared, fp32 on the CPU.
    ///
    /// # Errors
    /// Returns [`Kind::Model`], naming the tensor, if one cannot be read.
    pub fn tower(&self) -> Result<Tower> {
        stored::tower(&self.weights, &self.config, i64::from(self.preprocess.crop))
    }
}
