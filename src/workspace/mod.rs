//! A pipeline opened on this machine: its model, its pictures and sentences, and the names under
//! which results are kept.
//!
//! [`Workspace`] is the model alone, with the spaces of its features. [`Opened`] is everything that
//! the id of a run depends on.

pub(crate) mod ids;
pub(crate) mod on_hub;
pub(crate) mod on_objects;
pub(crate) mod opened;
mod recipe;

use std::sync::Arc;

use tch::{Device, Tensor};

use crate::clip::{Clip, VisionTower};
use crate::config::Spec;
use crate::device::{self, DeviceChoice, Hardware, Precision};
use crate::dino::{self, Dino};
use crate::error::Result;
use crate::fusion::class_bias::ClassBias;
use crate::fusion::design::StartsFrom;
use crate::fusion::joint_transport::{self, Joint, Transport};
use crate::fusion::matrix::{Matrix, products};
use crate::stage::adapt::{self, Frozen, Images, Recipe};
use crate::stage::describe::{Heads, SentenceTower};
use crate::stage::frozen::{Eye, FrozenModel, FrozenTable, FrozenTables, FrozenTower, SecondFeatures, Towers};
use crate::stage::job::Job;
use crate::stage::pictures::Pictures;
use crate::stage::pixels::Normaliser;
use crate::stage::prior::{self, MultiView};
use crate::stage::{class_bias, features, ingest, second};
use crate::store::layout::Store;
use crate::store::space::Space;

pub(crate) use opened::Opened;
pub(crate) use recipe::recipe;

/// The opened model of a pipeline, and the spaces of what it computes.
pub(crate) struct Workspace {
    /// The model; its towers are built when they are needed.
    pub(crate) clip: Clip,
    /// The hardware that the names of results depend on.
    pub(crate) hardware: Hardware,
    /// The device that the user asked for.
    choice: DeviceChoice,
    /// Precision of the frozen tower.
    pub(crate) precision: Precision,
    /// Precision of the text tower.
    pub(crate) text_precision: Precision,
    /// The second vision model, if there is one, and the precision of its tower.
    pub(crate) second: Option<(Dino, Precision)>,
    /// The tables that the frozen vision towers fill, each with its space.
    pub(crate) frozen: FrozenTables,
    /// Space of the table `text_features`.
    pub(crate) text_space: Space,
    /// Partition of the tables about the pictures themselves.
    pub(crate) dataset: String,
}

impl Workspace {
    /// Opens the model and works out the spaces. Builds no tower, reads no picture and leaves CUDA
    /// alone.
    pub(crate) fn open(spec: &Spec) -> Result<Self> {
        let hardware = spec.device.kind.hardware();
        let clip = Clip::open(&spec.model)?;
        let precision = spec.model.precision.resolve(hardware, clip.config.vision.width);
        let text_precision = spec.model.precision.of_text(hardware);
        let block = match spec.adapt.starts_from(clip.config.vision.layers as usize)? {
            Some(StartsFrom::Block(block)) => Some(block),
            Some(StartsFrom::Features | StartsFrom::Pixels) | None => None,
        };
        let (config, preprocess) = (clip.config.clone(), clip.preprocess.clone());
        let second = Self::second(spec, hardware)?;
        let table = |(dino, precision): &(Dino, Precision)| {
            let space = ids::second(spec, dino, *precision)?;
            Ok(SecondFeatures::new(space, dino.preprocess.clone(), dino.config.width as usize))
        };
        let seen = second.as_ref().map(table).transpose()?;
        let model = FrozenModel { config, preprocess, common: ids::vision(spec, &clip, precision)? };
        Ok(Workspace {
            frozen: FrozenTables::new(&model, spec.saliency, spec.views, block, seen)?,
            text_space: ids::text(spec, &clip, text_precision)?,
            dataset: ids::dataset(spec),
            clip,
            hardware,
            choice: spec.device.kind,
            precision,
            text_precision,
            second,
        })
    }

    /// Opens the second vision model, if the pipeline has one.
    fn second(spec: &Spec, hardware: Hardware) -> Result<Option<(Dino, Precision)>> {
        let settings = &spec.model.second;
        let Some(path) = &settings.path else { return Ok(None) };
        let dino = Dino::open(path, settings.preprocessor.as_deref())?;
        let precision = settings.precision.resolve(hardware, dino.config.width);
        Ok(Some((dino, precision)))
    }

    /// Returns the settings with the precisions of frozen towers written out which this machine's
    /// hardware has chosen, so that they are the same on another's.
    pub(crate) fn written_out(&self, spec: &Spec) -> Spec {
        let mut spec = spec.clone();
        spec.model.precision = self.precision.into();
        if let Some((_, precision)) = &self.second {
            spec.model.second.precision = (*precision).into();
        }
        spec
    }

    /// Returns the device that tensors live on. Opens CUDA if it is a GPU, which must come before
    /// the process makes its first tensor.
    ///
    /// # Errors
    /// Fails as [`device::resolve`] does.
    pub(crate) fn device(&self) -> Result<Device> {
        device::resolve(self.choice)
    }

    /// Builds the towers that tables need.
    pub(crate) fn towers(&self, eyes: &[Eye]) -> Result<Arc<Towers>> {
        Ok(Arc::new(Towers {
            clip: eyes.contains(&Eye::Clip).then(|| self.frozen_tower()).transpose()?,
            second: if eyes.contains(&Eye::Second) { self.second_tower()? } else { None },
        }))
    }

    /// Builds the second model's tower in the precision of its space, if there is such a model.
    pub(crate) fn second_tower(&self) -> Result<Option<FrozenTower<dino::Tower>>> {
        let Some((dino, precision)) = &self.second else { return Ok(None) };
        let (device, number) = (self.device()?, precision.number());
        let tower = dino.tower()?.map(&|t| t.to_device(device).to_kind(number));
        Ok(Some(FrozenTower::of_second(tower, Normaliser::new(&dino.preprocess, device, number))))
    }

    /// Builds the frozen vision tower in the space's precision, and the normaliser that feeds it.
    pub(crate) fn frozen_tower(&self) -> Result<FrozenTower> {
        let (device, number) = (self.device()?, self.precision.number());
        let tower = self.clip.vision()?.map(&|t| t.to_device(device).to_kind(number));
        Ok(FrozenTower::new(tower, Normaliser::new(&self.clip.preprocess, device, number)))
    }

    /// Builds the text tower in the precision of the space of sentences.
    pub(crate) fn sentence_tower(&self) -> Result<SentenceTower> {
        let device = self.device()?;
        Ok(SentenceTower::new(self.clip.text()?, device, self.text_precision))
    }

    /// Builds the tower that adaptation starts from: fp32, with its products in the pipeline's
    /// precision.
    pub(crate) fn tower(&self, spec: &Spec) -> Result<VisionTower> {
        let device = self.device()?;
        let tower = self.clip.vision()?.map(&|t| t.to_device(device));
        Ok(match self.adapt_precision(spec) {
            Precision::Fp32 => tower,
            bf16 @ Precision::Bf16 => tower.with_products_in(bf16.number()),
        })
    }

    /// Returns the precision of adaptation.
    pub(crate) fn adapt_precision(&self, spec: &Spec) -> Precision {
        spec.adapt.tower_precision(self.hardware, self.clip.config.vision.width)
    }

    /// Returns the normaliser that feeds a tower in training.
    ///
    /// # Errors
    /// Fails as [`device`](Self::device) does.
    pub(crate) fn normaliser(&self) -> Result<Normaliser> {
        Ok(Normaliser::new(&self.clip.preprocess, self.device()?, tch::Kind::Float))
    }

    /// Reads the frozen model's features of all pictures.
    ///
    /// # Errors
    /// Fails as [`prior::multi_view`] does.
    pub(crate) fn multi_view(&self, pictures: &Pictures, heads: &Heads, job: Job<'_>) -> Result<MultiView> {
        let FrozenTables { embeddings, composites, .. } = &self.frozen;
        let (whole, composites) = (embeddings.partition(job.store)?, composites.partition(job.store)?);
        prior::multi_view(pictures, heads, &whole, &composites, job.stop)
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
        let (composite, cosines) = (seen.composite.picked(&train), seen.logits.picked(&train));
        let shares = self.shares(spec, &composite, &cosines, job)?;
        let halves = || {
            let composites = self.frozen.composites.partition(job.store)?;
            let [one, other] = features::half_composites(&composites, pictures, stop)?;
            let cosines = |half: &Matrix| products(&half.picked(&train), &heads.frozen, stop);
            Ok([cosines(&one)?, cosines(&other)?])
        };
        let training =
            class_bias::Training { composite: &composite, cosines: &cosines, shares, scale: adapt.logit_scale };
        class_bias::find(spec.dka.balance, &training, halves, stop)
    }

    /// Returns the biases of the prior's classes that one of these runs, all with this prior, has
    /// found; `None` if none has.
    ///
    /// # Errors
    /// Fails if the store or the shares of the classes cannot be read.
    pub(crate) fn known_class_bias(
        &self,
        spec: &Spec,
        runs: &[String],
        seen: &MultiView,
        train: &[i64],
        job: Job<'_>,
    ) -> Result<Option<ClassBias>> {
        let train = Tensor::from_slice(train);
        let shares = self.shares(spec, &seen.composite.picked(&train), &seen.logits.picked(&train), job)?;
        for run in runs {
            if let Some(found) = class_bias::found(run, shares.as_ref(), job.store)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// Returns the shares of the classes among training pictures, (C); `None` if they are even.
    fn shares(&self, spec: &Spec, composite: &Matrix, cosines: &Matrix, job: Job<'_>) -> Result<Option<Tensor>> {
        let given = spec.adapt.class_shares(&ingest::class_names(job.store, &self.dataset)?)?;
        adapt::shares(spec.adapt.class_prior, given.as_deref(), composite, cosines, job.stop)
    }

    /// Carries the prior's answers about the pictures at the places `train` over to the second
    /// vision model's space, if there is one. Returns the classes there, and the cosine-like logits
    /// (rows, C) of all pictures in both spaces.
    ///
    /// # Errors
    /// Fails if the store lacks features, the shares of the classes cannot be read, libtorch
    /// reports an error, or a stop was requested.
    #[tracing::instrument(name = "stage", skip_all, fields(stage = "second"))]
    pub(crate) fn second_space(
        &self,
        spec: &Spec,
        pictures: &Pictures,
        seen: &MultiView,
        bias: &ClassBias,
        train: &[i64],
        job: Job<'_>,
    ) -> Result<Option<(Joint, Matrix)>> {
        let Some(table) = &self.frozen.second_features else { return Ok(None) };
        let (stop, train, scale) = (job.stop, Tensor::from_slice(train), spec.adapt.logit_scale);
        let which = spec.model.second.features;
        let features = second::read_features(which, &table.partition(job.store)?, pictures, stop)?;
        let cosines = seen.logits.picked(&train);
        let shares = self.shares(spec, &seen.composite.picked(&train), &cosines, job)?;
        device::guarded("the second model's classes", || {
            let transport = Transport { shares: shares.as_ref(), pull: bias.pull, scale };
            let joint = joint_transport::carry_over(&cosines, &bias.bias, &features.picked(&train), transport, stop)?;
            let logits = joint.answer(&seen.logits, &features, scale, stop)?;
            Ok(Some((joint, logits)))
        })
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
            width: self.clip.config.vision.width,
        };
        Images::open(pictures, recipe, &frozen, &self.clip.preprocess, self.normaliser()?, job.stop)
    }
}
