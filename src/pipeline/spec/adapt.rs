//! The trained side of the method: what is trained, for how long, with which loss and on which augmentation.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::super::choice::choice;
use super::Precision;

choice! {
    /// What is trained.
    Tune {
        /// Every LayerNorm of the vision tower, the pooling's projections and the head: the paper's recipe.
        LayerNorm = "layernorm",
        /// The pooling's projections and the head only, on cached features: seconds instead of minutes.
        Head = "head",
        /// The released code's recipe: as `layernorm`, with the weak view and the prior's crops through the model as it stands, and
        /// pseudo-labels made anew, at every step.
        Reference = "reference",
        /// Nothing: the baselines are evaluated and no pass is made.
        None = "none",
    }
}

choice! {
    /// The class distribution that the mean prediction is pulled towards.
    ClassPrior {
        /// Every class as often as any other, as in the paper.
        Uniform = "uniform",
        /// Estimated by clustering the pictures from the prior's answers, without a label.
        Estimated = "estimated",
        /// Given in the file that `adapt.class_shares` names.
        Table = "table",
    }
}

/// `[adapt]`: training on the pseudo-labels.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Adapt {
    /// What is trained.
    pub tune: Tune,
    /// For `layernorm`: the first block that is run while training. The tokens before it are frozen and cached, of the centre
    /// view alone; 0 runs the whole tower on augmented views.
    pub from_block: usize,
    /// Number type of the tower's products while training. What is trained, LayerNorms and the residual stream are fp32.
    pub precision: Precision,
    /// Epochs over the training split.
    pub epochs: usize,
    /// Epochs between two makings of pseudo-labels.
    pub epochs_per_pass: usize,
    /// Pictures per training step.
    pub batch: usize,
    /// AdamW's learning rate at the first step.
    pub lr: f64,
    /// The factor of both learning rates for the classifier.
    pub head_lr_factor: f64,
    /// The learning rate that the cosine schedule ends at.
    pub min_lr: f64,
    /// AdamW's weight decay, on everything trained.
    pub weight_decay: f64,
    /// Weight of the cross-entropy against the pseudo-labels.
    pub ce_weight: f64,
    /// Weight of the fairness term, which pulls the mean prediction towards the class prior.
    pub fairness_weight: f64,
    /// The share of the running average, in `[0, 1]`, in the mean prediction that the fairness term sees.
    pub fairness_momentum: f64,
    /// The class distribution that the fairness term pulls towards.
    pub class_prior: ClassPrior,
    /// For `class_prior = "table"`: a JSON file `{class name: share}`; shares are scaled to sum to 1.
    pub class_shares: Option<PathBuf>,
    /// What cosines are multiplied by before a softmax: in training, answers and pseudo-labels (`$scale`).
    pub logit_scale: f64,
    /// The strong view.
    pub strong: Strong,
}

impl Default for Adapt {
    fn default() -> Self {
        Adapt {
            tune: Tune::LayerNorm,
            from_block: 0,
            precision: Precision::Auto,
            epochs: 15,
            epochs_per_pass: 1,
            batch: 64,
            lr: 1e-4,
            head_lr_factor: 1.0,
            min_lr: 2e-6,
            weight_decay: 0.1,
            ce_weight: 1.0,
            fairness_weight: 1.0,
            fairness_momentum: 0.5,
            class_prior: ClassPrior::Uniform,
            class_shares: None,
            logit_scale: 100.0,
            strong: Strong::default(),
        }
    }
}

/// `[adapt.strong]`: the augmentation that training steps see; timm's `rand-m9-mstd0.5-inc1` by default.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Strong {
    /// Area of the random resized crop as a share of the picture's: least and greatest.
    pub scale: [f64; 2],
    /// Probability of a horizontal flip, in `[0, 1]`.
    pub flip: f64,
    /// Whether RandAugment follows.
    pub rand_augment: bool,
    /// RandAugment's magnitude, in `[0, 10]`.
    pub magnitude: f64,
    /// Standard deviation of the magnitude, drawn anew for each operation.
    pub magnitude_std: f64,
    /// RandAugment's operations per picture.
    pub ops: usize,
}

impl Default for Strong {
    fn default() -> Self {
        Strong { scale: [0.3, 1.0], flip: 0.5, rand_augment: true, magnitude: 9.0, magnitude_std: 0.5, ops: 2 }
    }
}
