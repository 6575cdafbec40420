//! From the words of the pipeline file to the settings of stages.

use std::collections::BTreeMap;
use std::path::Path;

use crate::clip::model::ModelFiles;
use crate::device::{DeviceChoice, Precision};
use crate::dka::{self, Parameters, Statement};
use crate::error::{Context, Error, Kind, Result};
use crate::fusion::adapter;
use crate::fusion::foreground;
use crate::fusion::loss::LossWeights;
use crate::fusion::soap;
use crate::fusion::stata::StatA;
use crate::image::{Limits, Preprocess, RandAugment, StrongView, ViewSpec};
use crate::pipeline::spec::{self, Spec};
use crate::source::SourceSpec;
use crate::stage::adapt::{self, AdaptSettings};
use crate::stage::forward::Grouping;
use crate::stage::ingest::IngestSettings;
use crate::text_file;

/// Bytes of a file of class names, or of their shares: a million of them.
const LONGEST: u64 = 64 << 20;

pub(super) fn source(spec: &Spec) -> SourceSpec {
    let path = spec.dataset.path.clone();
    match spec.dataset.kind {
        spec::SourceKind::Folder => SourceSpec::Folder { path },
        spec::SourceKind::List => SourceSpec::List { path, root: spec.dataset.root.clone() },
        spec::SourceKind::HfParquet => SourceSpec::HfParquet { paths: vec![path] },
    }
}

/// The partition of a dataset's tables: its name for people, and what tells two of that name apart.
pub(super) fn dataset_id(spec: &Spec) -> String {
    let d = &spec.dataset;
    let text = format!("{} {} {:?}", d.kind, d.path.display(), d.root);
    format!("{}-{}", spec.name, &blake3::hash(text.as_bytes()).to_hex()[..8])
}

pub(super) fn limits(spec: &Spec) -> Limits {
    let spec::Limits { max_side, max_pixels, max_bytes } = spec.dataset.limits;
    Limits { max_side, max_pixels, max_bytes }
}

pub(super) fn ingest(spec: &Spec) -> Result<IngestSettings> {
    let classes = spec.dataset.classes.as_deref().map(class_names).transpose()?;
    Ok(IngestSettings { dataset: dataset_id(spec), limits: limits(spec), classes })
}

/// One class name a line; empty lines are nothing.
fn class_names(path: &Path) -> Result<Vec<String>> {
    let text = text_file::read(path, Kind::Input, LONGEST)?;
    let names: Vec<String> = text.lines().map(|l| l.trim().to_owned()).filter(|l| !l.is_empty()).collect();
    let mut sorted: Vec<&String> = names.iter().collect();
    sorted.sort();
    if let Some(pair) = sorted.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(Error::new(Kind::Input, format!("{}: class '{}' is listed twice", path.display(), pair[0]))
            .hint("remove one of the two lines"));
    }
    if names.len() < 2 {
        let what = format!("{}: {} class names where at least two are needed", path.display(), names.len());
        return Err(Error::new(Kind::Input, what).hint("one class name a line"));
    }
    Ok(names)
}

pub(super) fn model_files(spec: &Spec) -> ModelFiles {
    let spec::Model { path, tokenizer, preprocessor, .. } = &spec.model;
    ModelFiles { path: path.clone(), tokenizer: tokenizer.clone(), preprocessor: preprocessor.clone() }
}

pub(super) fn device(spec: &Spec) -> DeviceChoice {
    match spec.device.kind {
        spec::DeviceKind::Auto => DeviceChoice::Auto,
        spec::DeviceKind::Cpu => DeviceChoice::Cpu,
        spec::DeviceKind::Cuda => DeviceChoice::Cuda,
    }
}

/// What the file says, or the faster one for a vision tower of this width.
pub(super) fn precision(spec: &Spec, device: tch::Device, width: i64) -> Precision {
    match spec.model.precision {
        spec::Precision::Fp32 => Precision::Fp32,
        spec::Precision::Bf16 => Precision::Bf16,
        spec::Precision::Auto => Precision::faster(device, width),
    }
}

/// Of the tower while it is trained: what the file says, or the faster one; the released recipe is fp32, and `head` runs no tower.
pub(super) fn adapt_precision(spec: &Spec, device: tch::Device, width: i64) -> Precision {
    match (spec.adapt.precision, spec.adapt.tune) {
        (spec::Precision::Fp32, _) => Precision::Fp32,
        (spec::Precision::Bf16, _) => Precision::Bf16,
        (spec::Precision::Auto, spec::Tune::LayerNorm) => Precision::faster(device, width),
        (spec::Precision::Auto, _) => Precision::Fp32,
    }
}

pub(super) fn grouping(spec: &Spec) -> Grouping {
    Grouping { batch: spec.embed.batch, part_rows: spec.embed.part_rows }
}

pub(super) fn views(spec: &Spec) -> ViewSpec {
    let spec::Views { count, scale, seed } = spec.views;
    ViewSpec { count, scale: (scale[0], scale[1]), seed }
}

pub(super) fn saliency(spec: &Spec) -> foreground::Saliency {
    let s = &spec.saliency;
    foreground::Saliency {
        affinity: match s.affinity {
            spec::Affinity::Dot => foreground::Affinity::Dot,
            spec::Affinity::Cosine => foreground::Affinity::Cosine,
        },
        threshold: match s.threshold {
            spec::Threshold::Std => foreground::Threshold::Std,
            spec::Threshold::Mean => foreground::Threshold::Mean,
        },
        orientation: match s.orientation {
            spec::Orientation::Seed => foreground::Orientation::Seed,
            spec::Orientation::Raw => foreground::Orientation::Raw,
        },
        tau: s.tau,
        eps: s.eps,
    }
}

/// `None` where StatA is not asked for.
pub(super) fn stata(spec: &Spec, asked: bool) -> Option<StatA> {
    let spec::Transduction { neighbours, iterations, .. } = spec.transduction;
    asked.then_some(StatA { neighbours, iterations })
}

/// The first block that is run while training, where it is not the very first; `blocks` is how many the tower has.
pub(super) fn from_block(spec: &Spec, blocks: usize) -> Result<Option<usize>> {
    let from = spec.adapt.from_block;
    if spec.adapt.tune != spec::Tune::LayerNorm || from == 0 {
        return Ok(None);
    }
    if from >= blocks {
        let what = format!("adapt.from_block = {from}: the vision tower has {blocks} blocks, 0 to {}", blocks - 1);
        return Err(Error::new(Kind::Usage, what).hint("adapt.tune = \"head\" trains without any block"));
    }
    Ok(Some(from))
}

fn design(spec: &Spec, tune: adapter::Tune) -> adapter::Design {
    let f = &spec.fusion;
    adapter::Design {
        tune,
        saliency: saliency(spec),
        query: match f.query {
            spec::Query::Foreground => adapter::Query::Foreground,
            spec::Query::All => adapter::Query::All,
            spec::Query::Cls => adapter::Query::Cls,
            spec::Query::Random => adapter::Query::Random,
        },
        pooling: match f.pooling {
            spec::Pooling::Attention => soap::Pooling::Attention,
            spec::Pooling::Mean => soap::Pooling::Mean,
            spec::Pooling::ForegroundMean => soap::Pooling::ForegroundMean,
        },
        learned_sink: f.sink == spec::Sink::Learned,
        ratio: f.ratio,
        scale: spec.adapt.logit_scale,
        train_head: f.heads != spec::Heads::Frozen,
    }
}

/// The class prior; shares of a table are matched to `classes` by name, and scaled to sum to 1.
fn class_prior(spec: &Spec, classes: &[String]) -> Result<adapt::ClassPrior> {
    match (spec.adapt.class_prior, &spec.adapt.class_shares) {
        (spec::ClassPrior::Estimated, _) => Ok(adapt::ClassPrior::Estimated),
        (spec::ClassPrior::Table, Some(path)) => class_shares(path, classes).map(adapt::ClassPrior::Shares),
        (spec::ClassPrior::Uniform | spec::ClassPrior::Table, _) => Ok(adapt::ClassPrior::Uniform),
    }
}

fn class_shares(path: &Path, classes: &[String]) -> Result<Vec<f32>> {
    let refuse = |what: String| Error::new(Kind::Input, format!("{}: {what}", path.display()));
    let text = text_file::read(path, Kind::Input, LONGEST)?;
    let given: BTreeMap<String, f64> =
        serde_json::from_str(&text).at(Kind::Input, "not class shares, {class name: share}:", path)?;
    if let Some((name, share)) = given.iter().find(|(_, share)| !share.is_finite() || **share <= 0.0) {
        return Err(refuse(format!("the share of '{name}' is {share}; shares are above 0")));
    }
    if let Some(name) = given.keys().find(|name| !classes.contains(name)) {
        return Err(refuse(format!("'{name}' is no class of the dataset"))
            .hint(format!("the classes are {}", classes.join(", "))));
    }
    let sum: f64 = given.values().sum();
    let scaled = |name: &String| {
        let share = given.get(name).ok_or_else(|| refuse(format!("no share of class '{name}'")))?;
        // A sum that overflows makes nothing of every share.
        Some((share / sum) as f32)
            .filter(|scaled| *scaled > 0.0)
            .ok_or_else(|| refuse(format!("the share of '{name}' is {share:e}: nothing beside the sum of {sum:e}")))
    };
    classes.iter().map(scaled).collect()
}

/// The user's own statement, or that of the policy.
fn statement(spec: &spec::Dka) -> Result<Statement> {
    if let Some(path) = &spec.statement {
        return Statement::from_file(path);
    }
    let policy = match spec.policy.unwrap_or(spec::Policy::Argmax) {
        spec::Policy::Argmax => dka::Policy::Argmax,
        spec::Policy::TopKPerClass => dka::Policy::TopKPerClass,
        spec::Policy::Confident => dka::Policy::Confident,
        spec::Policy::Agreement => dka::Policy::Agreement,
        spec::Policy::Revive => dka::Policy::Revive,
    };
    Ok(policy.statement())
}

/// Passes of a run in all; 0 where nothing is to be trained.
pub(super) fn passes(spec: &Spec) -> u64 {
    match spec.adapt.tune {
        spec::Tune::None => 0,
        _ => adapt::passes(spec.adapt.epochs as u64, spec.adapt.epochs_per_pass as u64),
    }
}

/// `None` where nothing is to be trained; `classes` are the dataset's class names.
pub(super) fn adapt(spec: &Spec, preprocess: &Preprocess, classes: &[String]) -> Result<Option<AdaptSettings>> {
    let a = &spec.adapt;
    let tune = match a.tune {
        spec::Tune::None => return Ok(None),
        spec::Tune::Head => adapter::Tune::Head,
        spec::Tune::LayerNorm => adapter::Tune::LayerNorm { from_block: a.from_block },
        spec::Tune::Reference => adapter::Tune::Reference,
    };
    let statement = statement(&spec.dka)?;
    let s = &a.strong;
    let paper = StrongView::paper(preprocess.crop);
    let rand_augment = RandAugment {
        ops: s.ops,
        magnitude: s.magnitude,
        std: s.magnitude_std,
        ..paper.rand_augment.clone().unwrap_or_default()
    };
    Ok(Some(AdaptSettings {
        design: design(spec, tune),
        coarse: match spec.fusion.coarse {
            spec::Coarse::Cls => adapt::Coarse::Cls,
            spec::Coarse::Composite => adapt::Coarse::Composite,
        },
        heads: match spec.fusion.heads {
            spec::Heads::Both => adapt::MixedHeads::Both,
            spec::Heads::Frozen => adapt::MixedHeads::Frozen,
            spec::Heads::Learnable => adapt::MixedHeads::Learnable,
        },
        epochs: a.epochs as u64,
        epochs_per_pass: a.epochs_per_pass as u64,
        batch: a.batch,
        lr: a.lr,
        min_lr: a.min_lr,
        head_lr_factor: a.head_lr_factor,
        weight_decay: a.weight_decay,
        loss: LossWeights { ce: a.ce_weight, fairness: a.fairness_weight },
        fairness_momentum: a.fairness_momentum,
        class_prior: class_prior(spec, classes)?,
        parameters: Parameters { gamma: spec.dka.gamma, scale: a.logit_scale, k: spec.dka.k, floor: spec.dka.floor },
        statement,
        strong: StrongView {
            scale: (s.scale[0], s.scale[1]),
            flip: s.flip,
            rand_augment: s.rand_augment.then_some(rand_augment),
            filter: preprocess.filter,
            ..paper
        },
        crops: views(spec),
        seed: spec.seed,
    }))
}
