//! A pipeline opened on this machine: its model, its pictures and sentences, and the names under
//! which results are kept.
//!
//! [`Workspace`] is the model alone, with the spaces of its features. [`Opened`] is everything that
//! the id of a run depends on.

pub(crate) mod ids;
pub(crate) mod opened;
mod recipe;

use std::sync::Arc;

use tch::Device;

use crate::clip::{Clip, VisionTower};
use crate::config::Spec;
use crate::device::{self, Precision};
use crate::error::Result;
use crate::fusion::design::StartsFrom;
use crate::stage::frozen::{BlockTokens, Embeddings, FrozenTable, FrozenTower, ViewFeatures};
use crate::stage::pixels::Normaliser;
use crate::stage::prior::FrozenSpaces;
use crate::store::space::Space;

pub(crate) use opened::Opened;
pub(crate) use recipe::recipe;

/// The opened model of a pipeline, and the spaces of what it computes.
pub(crate) struct Workspace {
    /// The model; its towers are built when they are needed.
    pub(crate) clip: Clip,
    /// The device that tensors live on.
    pub(crate) device: Device,
    /// Precision of the frozen tower.
    pub(crate) precision: Precision,
    /// Space of the table `embeddings`.
    pub(crate) image_space: Space,
    /// Space of the table `view_features`.
    pub(crate) view_space: Space,
    /// Space of the table `block_tokens` and the block, if adaptation starts from one.
    pub(crate) block_space: Option<(Space, usize)>,
    /// Space of the table `text_features`.
    pub(crate) text_space: Space,
    /// Partition of the tables about the pictures themselves.
    pub(crate) dataset: String,
}

impl Workspace {
    /// Opens the model and works out the spaces. Builds no tower and reads no picture.
    pub(crate) fn open(spec: &Spec) -> Result<Self> {
        let device = device::resolve(spec.device.kind)?;
        let clip = Clip::open(&spec.model)?;
        let precision = spec.model.precision.resolve(device, clip.config.vision.width);
        let spaces = ids::Spaces::of(spec, &clip, precision)?;
        let block_space = match spec.adapt.starts_from(clip.config.vision.layers as usize)? {
            Some(StartsFrom::Block(block)) => Some((spaces.block(block), block)),
            Some(StartsFrom::Features | StartsFrom::Pixels) | None => None,
        };
        Ok(Workspace {
            block_space,
            image_space: spaces.image,
            view_space: spaces.view,
            text_space: spaces.text,
            dataset: ids::dataset(spec),
            clip,
            device,
            precision,
        })
    }

    /// Builds the frozen vision tower in the space's precision, and the normaliser that feeds it.
    pub(crate) fn frozen_tower(&self) -> Result<FrozenTower> {
        let number = self.precision.number();
        let tower = self.clip.vision()?.map(&|t| t.to_device(self.device).to_kind(number));
        Ok(FrozenTower::new(tower, Normaliser::new(&self.clip.preprocess, self.device, number)))
    }

    /// Builds the tower that adaptation starts from: fp32, with its products in the pipeline's
    /// precision.
    pub(crate) fn tower(&self, spec: &Spec) -> Result<VisionTower> {
        let tower = self.clip.vision()?.map(&|t| t.to_device(self.device));
        Ok(match self.adapt_precision(spec) {
            Precision::Fp32 => tower,
            bf16 @ Precision::Bf16 => tower.with_products_in(bf16.number()),
        })
    }

    /// Returns the precision of adaptation.
    pub(crate) fn adapt_precision(&self, spec: &Spec) -> Precision {
        spec.adapt.tower_precision(self.device, self.clip.config.vision.width)
    }

    /// Returns the normaliser that feeds a tower in training.
    pub(crate) fn normaliser(&self) -> Normaliser {
        Normaliser::new(&self.clip.preprocess, self.device, tch::Kind::Float)
    }

    /// Returns the tables that the frozen vision tower fills, in the order in which they are
    /// needed.
    pub(crate) fn frozen_tables(&self, spec: &Spec) -> Vec<Arc<dyn FrozenTable>> {
        let (config, preprocess) = (self.clip.config.clone(), self.clip.preprocess.clone());
        let mut tables: Vec<Arc<dyn FrozenTable>> = vec![
            Arc::new(Embeddings {
                space: self.image_space.clone(),
                config: config.clone(),
                preprocess: preprocess.clone(),
                saliency: spec.saliency,
            }),
            Arc::new(ViewFeatures {
                space: self.view_space.clone(),
                config: config.clone(),
                preprocess: preprocess.clone(),
                crops: spec.views,
            }),
        ];
        if let Some((space, block)) = &self.block_space {
            tables.push(Arc::new(BlockTokens { space: space.clone(), config, preprocess, block: *block }));
        }
        tables
    }

    /// Returns the partitions of the frozen features.
    pub(crate) fn spaces(&self) -> FrozenSpaces {
        FrozenSpaces { image: self.image_space.id(), view: self.view_space.id() }
    }
}
