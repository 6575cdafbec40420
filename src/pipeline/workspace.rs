//! What a pipeline file stands for on this machine: the opened model, and the names under which results are kept.

use std::sync::Arc;

use tch::Device;

use crate::clip::Clip;
use crate::clip::VisionTower;
use crate::device::{self, Precision};
use crate::error::Result;
use crate::pipeline::settings;
use crate::pipeline::spec::{self, Spec};
use crate::stage::adapt::AdaptSettings;
use crate::stage::describe::Sentences;
use crate::stage::frozen::{BlockTokens, Embeddings, FrozenTable, FrozenTower, ViewFeatures};
use crate::stage::pixels::Normaliser;
use crate::stage::prior::FrozenSpaces;
use crate::store::space::Space;

/// An opened pipeline.
pub(super) struct Workspace {
    /// The model; its towers are built when they are needed.
    pub(super) clip: Clip,
    /// Where tensors live.
    pub(super) device: Device,
    /// Of the frozen tower.
    pub(super) precision: Precision,
    /// Of `embeddings`.
    pub(super) image_space: Space,
    /// Of `view_features`.
    pub(super) view_space: Space,
    /// Of `block_tokens`, where adaptation starts from a later block; with the block.
    pub(super) block_space: Option<(Space, usize)>,
    /// Of `text_features`.
    pub(super) text_space: Space,
    /// Of everything about the pictures themselves.
    pub(super) dataset: String,
}

/// Raised wherever the same settings adapt or measure otherwise than before: a run of an earlier program is then another run, not a finished one.
const METHOD: u32 = 4;

impl Workspace {
    /// Opens the model and works out the spaces. No tower is built and no picture read.
    pub(super) fn open(spec: &Spec) -> Result<Self> {
        let device = device::resolve(settings::device(spec))?;
        let clip = Clip::open(&settings::model_files(spec))?;
        let precision = settings::precision(spec, device, clip.config.vision.width);
        let weights = clip.weights_hash().to_hex().to_string();
        let saliency = settings::saliency(spec);
        let views = settings::views(spec);
        let image = |kind| {
            Space::new(kind)
                .with("weights", &weights)
                .with("architecture", clip.config.vision.canonical())
                .with("preprocessing", clip.preprocess.canonical())
                .with("precision", precision.as_str())
        };
        let cut = format!(
            "{:?} {:?} {:?} tau {} eps {}",
            saliency.affinity, saliency.threshold, saliency.orientation, saliency.tau, saliency.eps
        );
        let crops =
            format!("{} square crops of {} to {}, seed {}", views.count, views.scale.0, views.scale.1, views.seed);
        let from_block = settings::from_block(spec, clip.config.vision.layers as usize)?;
        Ok(Workspace {
            block_space: from_block.map(|block| (image("blk").with("view", "centre").with("block", block), block)),
            image_space: image("img").with("view", "centre").with("saliency", cut),
            view_space: image("view").with("view", crops),
            text_space: Space::new("txt")
                .with("weights", &weights)
                .with("architecture", clip.config.text.canonical())
                .with("tokenizer", clip.tokenizer.identity().to_hex())
                .with("precision", "fp32"),
            dataset: settings::dataset_id(spec),
            clip,
            device,
            precision,
        })
    }

    /// The frozen vision tower in the space's precision, and what feeds it.
    pub(super) fn frozen_tower(&self) -> Result<FrozenTower> {
        let number = self.precision.number();
        let tower = self.clip.vision()?.map(&|t| t.to_device(self.device).to_kind(number));
        Ok(FrozenTower::new(tower, Normaliser::new(&self.clip.preprocess, self.device, number)))
    }

    /// The tower that adaptation starts from: fp32, with its products in `precision`.
    pub(super) fn tower(&self, precision: Precision) -> Result<VisionTower> {
        let tower = self.clip.vision()?.map(&|t| t.to_device(self.device));
        Ok(match precision {
            Precision::Fp32 => tower,
            Precision::Bf16 => tower.with_products_in(precision.number()),
        })
    }

    /// The precision of adaptation.
    pub(super) fn adapt_precision(&self, spec: &Spec) -> Precision {
        settings::adapt_precision(spec, self.device, self.clip.config.vision.width)
    }

    /// What feeds a tower that is being trained.
    pub(super) fn normaliser(&self) -> Normaliser {
        Normaliser::new(&self.clip.preprocess, self.device, tch::Kind::Float)
    }

    /// Returns the tables that the frozen vision tower fills, in the order in which they are needed.
    pub(super) fn frozen_tables(&self, spec: &Spec) -> Vec<Arc<dyn FrozenTable>> {
        let (config, preprocess) = (self.clip.config.clone(), self.clip.preprocess.clone());
        let mut tables: Vec<Arc<dyn FrozenTable>> = vec![
            Arc::new(Embeddings {
                space: self.image_space.clone(),
                config: config.clone(),
                preprocess: preprocess.clone(),
                saliency: settings::saliency(spec),
            }),
            Arc::new(ViewFeatures {
                space: self.view_space.clone(),
                config: config.clone(),
                preprocess: preprocess.clone(),
                crops: settings::views(spec),
            }),
        ];
        if let Some((space, block)) = &self.block_space {
            tables.push(Arc::new(BlockTokens { space: space.clone(), config, preprocess, block: *block }));
        }
        tables
    }

    /// Partitions of the frozen features.
    pub(super) fn spaces(&self) -> FrozenSpaces {
        FrozenSpaces { image: self.image_space.id(), view: self.view_space.id() }
    }

    /// The id of the run that these settings make on this snapshot of the dataset: the same settings on the same data are
    /// the same run, which is how a run that was stopped is found again.
    pub(super) fn run_id(
        &self,
        spec: &Spec,
        snapshot: &str,
        sentences: &Sentences,
        adapt: Option<&AdaptSettings>,
    ) -> String {
        let statement = adapt.map_or("", |a| a.statement.sql());
        // What a file of shares says, not where it lies.
        let shares = adapt.map(|a| &a.class_prior);
        let settings = spec::Adapt { class_shares: None, ..spec.adapt.clone() };
        // What is written here changes the result; paths, batch sizes of frozen stages and the store do not.
        let text = format!(
            "method {METHOD} {snapshot} {} {} {} {} {:?} {:?} {} {:?} {:?} {shares:?} gamma {} k {} floor {} statement {statement:?} seed {} {}",
            self.image_space.id(),
            self.view_space.id(),
            self.text_space.id(),
            sentences.identity().to_hex(),
            spec.fusion,
            settings,
            self.adapt_precision(spec).as_str(),
            spec.transduction,
            spec.predict,
            spec.dka.gamma,
            spec.dka.k,
            spec.dka.floor,
            spec.seed,
            if self.device == Device::Cpu { "cpu" } else { "cuda" },
        );
        let tune = spec.adapt.tune;
        format!("{}-{tune}-s{}-{}", spec.name, spec.seed, &blake3::hash(text.as_bytes()).to_hex()[..8])
    }
}
