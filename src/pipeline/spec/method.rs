//! The frozen side of the method: embedding, views, saliency, fusion, pseudo-labels, and the device it all runs on.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::super::choice::choice;

/// `[embed]`: sizes of the streaming stages. They change speed and memory, not the result.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Embed {
    /// Pictures per forward pass of the frozen encoder.
    pub batch: usize,
    /// Pictures per part on disk: what an interrupted run loses at most.
    pub part_rows: usize,
}

impl Default for Embed {
    fn default() -> Self {
        Embed { batch: 64, part_rows: 2048 }
    }
}

/// `[views]`: the random crops whose features make the prior (multi-view alignment).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Views {
    /// V, the square crops per picture.
    pub count: usize,
    /// A crop's side as a share of the picture's shorter edge: least and greatest, drawn uniformly.
    pub scale: [f64; 2],
    /// Seed of the crops.
    pub seed: u64,
}

impl Default for Views {
    fn default() -> Self {
        Views { count: 8, scale: [0.5, 0.9], seed: 0 }
    }
}

choice! {
    /// How alike two patch tokens are.
    Affinity {
        /// Their plain dot product, as microCLIP's released code has it.
        Dot = "dot",
        /// Their cosine, as TokenCut has it.
        Cosine = "cosine",
    }
}

choice! {
    /// Where the Fiedler vector is cut into foreground and background.
    Threshold {
        /// At its standard deviation, as microCLIP's released code has it.
        Std = "std",
        /// At its mean, as TokenCut has it.
        Mean = "mean",
    }
}

choice! {
    /// Which side of the cut is the foreground.
    Orientation {
        /// The eigenvector is turned so that its strongest patch is positive, then cut: well defined.
        Seed = "seed",
        /// Cut first, then the mask is negated where the strongest patch fell outside, as the released code does. It
        /// depends on the sign that the eigenvector happens to have; kept for comparison.
        Raw = "raw",
    }
}

/// `[saliency]`: the normalized cut of the patch graph.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Saliency {
    /// How alike two patch tokens are.
    pub affinity: Affinity,
    /// Where the Fiedler vector is cut.
    pub threshold: Threshold,
    /// Which side of the cut is the foreground.
    pub orientation: Orientation,
    /// Two patches are joined where their affinity exceeds this.
    pub tau: f64,
    /// The weight between patches that are not joined; keeps the graph connected.
    pub eps: f64,
}

impl Default for Saliency {
    fn default() -> Self {
        Saliency {
            affinity: Affinity::Cosine,
            threshold: Threshold::Mean,
            orientation: Orientation::Seed,
            tau: 0.2,
            eps: 1e-6,
        }
    }
}

choice! {
    /// What SOAP looks for in the patches.
    Query {
        /// The mean of the foreground's patches, as in the paper.
        Foreground = "foreground",
        /// The mean of all patches.
        All = "all",
        /// The `[CLS]` token.
        Cls = "cls",
        /// One patch of the picture, drawn by the seed.
        Random = "random",
    }
}

choice! {
    /// How patches become the `[FG]` token.
    Pooling {
        /// By the query's attention, as in the paper.
        Attention = "attention",
        /// The plain mean of all patches.
        Mean = "mean",
        /// The plain mean of the foreground.
        ForegroundMean = "foreground_mean",
    }
}

choice! {
    /// The token beside the patches that attention may go to.
    Sink {
        /// A zero token: attention to it goes nowhere, as in the paper.
        Zero = "zero",
        /// A token that is learned.
        Learned = "learned",
    }
}

choice! {
    /// The image feature that `[FG]` is fused with.
    Coarse {
        /// `[CLS]` of the whole picture, as in the paper.
        Cls = "cls",
        /// The crops' composite, which the prior is made from: `[CLS]` of many views. Cached, so for `adapt.tune = "head"`.
        Composite = "composite",
    }
}

choice! {
    /// The classifiers that are mixed.
    Heads {
        /// The frozen one makes the prior, the learnable one the fusion logits, as in the paper.
        Both = "both",
        /// The frozen one makes both, and no classifier is trained.
        Frozen = "frozen",
        /// The learnable one makes both: the prior follows it from pass to pass.
        Learnable = "learnable",
    }
}

/// `[fusion]`: TokenFusion.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Fusion {
    /// The share of `[FG]` in the fused feature, in `[0, 1]`; the coarse feature has the rest.
    pub ratio: f64,
    /// The coarse feature.
    pub coarse: Coarse,
    /// What SOAP looks for in the patches.
    pub query: Query,
    /// How patches become the `[FG]` token.
    pub pooling: Pooling,
    /// The token beside the patches that attention may go to.
    pub sink: Sink,
    /// The classifiers that are mixed.
    pub heads: Heads,
}

impl Default for Fusion {
    fn default() -> Self {
        Fusion {
            ratio: 0.5,
            coarse: Coarse::Cls,
            query: Query::Foreground,
            pooling: Pooling::Attention,
            sink: Sink::Zero,
            heads: Heads::Both,
        }
    }
}

choice! {
    /// Which of the shipped statements makes the pseudo-labels.
    Policy {
        /// The best class of the mixed logits, for every picture: the paper's.
        Argmax = "argmax",
        /// For each class the `k` pictures that are most probable for it.
        TopKPerClass = "top_k_per_class",
        /// The best class, where its probability is at least `floor`.
        Confident = "confident",
        /// The best class, where the prior and the fused model name the same.
        Agreement = "agreement",
        /// The best class; classes that no picture was given take up to `k` pictures.
        Revive = "revive",
    }
}

/// `[dka]`: Dynamic Knowledge Aggregation, the making of pseudo-labels.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Dka {
    /// The share of the fixed prior's logits in the pseudo-logits, in `[0, 1]`; the fused model has the rest.
    pub gamma: f64,
    /// The shipped statement that makes the pseudo-labels; argmax where neither it nor `statement` is given.
    pub policy: Option<Policy>,
    /// `$k` of the statement: pictures of a class.
    pub k: u32,
    /// `$floor` of the statement: least probability, in `[0, 1]`.
    pub floor: f64,
    /// A `.sql` file whose statement makes the pseudo-labels in place of a shipped one.
    pub statement: Option<PathBuf>,
}

impl Default for Dka {
    fn default() -> Self {
        Dka { gamma: 0.5, policy: None, k: 16, floor: 0.5, statement: None }
    }
}

/// `[transduction]`: StatA on the tables of cosines, training-free and label-free.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Transduction {
    /// Whether it makes the prior: before adaptation, on the training pictures.
    pub prior: bool,
    /// Whether it makes the predictions: after adaptation, on the pictures of each split.
    pub predictions: bool,
    /// Neighbours of a picture whose answers pull at its own.
    pub neighbours: usize,
    /// Times that the classes' Gaussians are fitted anew.
    pub iterations: usize,
}

impl Default for Transduction {
    fn default() -> Self {
        Transduction { prior: false, predictions: false, neighbours: 3, iterations: 10 }
    }
}

/// `[predict]`: from logits to answers.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Predict {
    /// The share of the fixed prior's logits in the answer, in `[0, 1]`; the adapted model has the rest. 0 is the paper's.
    pub gamma: f64,
}

choice! {
    /// Where tensors live.
    DeviceKind {
        /// A CUDA GPU where there is one, the CPU elsewhere.
        Auto = "auto",
        /// The CPU.
        Cpu = "cpu",
        /// A CUDA GPU; an error where there is none.
        Cuda = "cuda",
    }
}

/// `[device]`: what it runs on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Device {
    /// Where tensors live.
    pub kind: DeviceKind,
    /// Cores to use, for decoding, hashing, SQL and computing; 0 means all that the machine gives. Results are the same to the
    /// bit whatever the number.
    pub threads: usize,
}

impl Default for Device {
    fn default() -> Self {
        Device { kind: DeviceKind::Auto, threads: 0 }
    }
}
