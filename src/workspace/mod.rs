//! A pipeline opened on this machine: its model, its pictures and sentences, and the names under
//! which results are kept.
//!
//! [`Workspace`] is the model alone, with the spaces of its features. [`Opened`] is everything that
//! the id of a run depends on.

pub(crate) mod ids;
pub(crate) mod opened;
mod recipe;

use std::sync::Arc;

use tch::{Device, Tensor};

use crate::clip::{Clip, VisionTower};
use crate::config::Spec;
use crate::device::{self, Precision};
use crate::error::Result;
use crate::fusion::blocks::{picked, products};
use crate::fusion::class_bias::ClassBias;
use crate::fusion::design::StartsFrom;
use crate::stage::adapt::{self, Frozen, Images, Recipe};
use crate::stage::describe::Heads;
use crate::stage::frozen::{FrozenModel, FrozenTable, FrozenTables, FrozenTower};
use crate::stage::job::Job;
use crate::stage::pictures::Pictures;
use crate::stage::pixels::Normaliser;
use crate::stage::prior::{self, MultiView};
use crate::stage::{class_bias, features, ingest};
use crate::store::layout::Store;
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
    /// The tables that the frozen vision tower fills, each with its space.
    pub(crate) frozen: FrozenTables,
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
        let block = match spec.adapt.starts_from(clip.config.vision.layers as usize)? {
            Some(StartsFrom::Block(block)) => Some(block),
            Some(StartsFrom::Features | StartsFrom::Pixels) | None => None,
        };
        let (config, preprocess) = (clip.config.clone(), clip.preprocess.clone());
        let model = FrozenModel { config, preprocess, common: ids::vision(spec, &clip, precision)? };
        Ok(Workspace {
            frozen: FrozenTables::new(&model, spec.saliency, spec.views, block)?,
            text_space: ids::text(spec, &clip)?,
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

    /// Reads the frozen model's features of all pictures.
    ///
    /// # Errors
    /// Fails as [`prior::multi_view`] does.
    pub(crate) fn multi_view(&self, pictures: &Pictures, heads: &Heads, job: Job<'_>) -> Result<MultiView> {
        let FrozenTables { embeddings, view_features, .. } = &self.frozen;
        let (whole, crops) = (embeddings.partition(job.store)?, view_features.partition(job.store)?);
        prior::multi_view(pictures, heads, &whole, &crops, job.stop)
    }

    /// Returns the space of the table `neighbours` of the pictures that are in the store.
    ///
    /// # Errors
    /// Fails if the store cannot be read.
    pub(crate) fn neighbours(&self, spec: &Spec, store: &Store) -> Result<Space> {
        spec.neighbours.space(&self.frozen.embeddings, &store.partition("images", &self.dataset)?)
    }

    /// Finds the biases of the prior's classes on the pictures at the places `train`.
    ///
    /// # Errors
    /// Fails as [`class_bias::find`] does, or if the shares of the classes cannot be read.
    pub(crate) fn class_bias(
        &self,
        spec: &Spec,
        pictures: &Pictures,
        heads: &Heads,
        seen: &MultiView,
        train: &[i64],
        job: Job<'_>,
    ) -> Result<ClassBias> {
        let (adapt, stop, train) = (&spec.adapt, job.stop, Tensor::from_slice(train));
        let of_training = |rows: &Tensor| picked(rows, &train, stop);
        let (composite, cosines) = (of_training(&seen.composite)?, of_training(&seen.logits)?);
        let given = adapt.class_shares(&ingest::class_names(job.store, &self.dataset)?)?;
        let shares = adapt::shares(adapt.class_prior, given.as_deref(), &composite, &cosines, stop)?;
        let halves = || {
            let crops = self.frozen.view_features.partition(job.store)?;
            let [one, other] = features::half_composites(&crops, pictures, &seen.cls, stop)?;
            let cosines = |half: &Tensor| products(&of_training(half)?, &heads.frozen, stop);
            Ok([cosines(&one)?, cosines(&other)?])
        };
        let training =
            class_bias::Training { composite: &composite, cosines: &cosines, shares, scale: adapt.logit_scale };
        class_bias::find(spec.dka.balance, &training, halves, stop)
    }

    /// Opens all pictures as the model in training sees them.
    ///
    /// # Errors
    /// Fails as [`Images::open`] does.
    pub(crate) fn images(
        &self,
        pictures: &Arc<Pictures>,
        recipe: &Recipe,
        seen: &MultiView,
        job: Job<'_>,
    ) -> Result<Images> {
        let FrozenTables { embeddings, block_tokens, .. } = &self.frozen;
        let frozen = Frozen {
            seen,
            embeddings: embeddings.partition(job.store)?,
            blocks: block_tokens.as_ref().map(|table| table.partition(job.store)).transpose()?,
        };
        Images::open(pictures, recipe, &frozen, &self.clip.preprocess, self.normaliser(), job.stop)
    }
}
