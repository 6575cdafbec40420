//! The parts of the model that a pipeline chooses: TokenFusion's settings, and the start of a
//! forward pass.

use crate::fusion::foreground::Saliency;
use crate::fusion::soap::Pooling;
use crate::settings::{SHARE, choice, settings};

choice! {
    /// What SOAP looks for in the patches: the token (D) that asks.
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
        /// `composite` for `adapt.tune = "head"`, and `cls` otherwise.
        Auto = "auto",
        /// `[CLS]` of the whole picture, as in the paper.
        Cls = "cls",
        /// The crops' composite, which the prior is made from: `[CLS]` of many views. Cached, so
        /// for `adapt.tune = "head"`.
        Composite = "composite",
    }
}

choice! {
    /// The classifiers that are mixed.
    MixedHeads {
        /// The frozen one makes the prior, the learnable one the fusion logits, as in the paper.
        Both = "both",
        /// The frozen one makes both, and no classifier is trained.
        Frozen = "frozen",
        /// The learnable one makes both: the prior follows it from pass to pass.
        Learnable = "learnable",
    }
}

settings! {
    /// TokenFusion: how `[CLS]` and `[FG]` are fused.
    Fusion: Copy {
        /// Share of `[FG]` in the fused feature; the coarse feature has the rest.
        ratio: f64 = 0.5, SHARE, Answers;
        /// The feature that `[FG]` is fused with.
        coarse: Coarse = Coarse::Auto, Coarse::WANT, Answers;
        /// What SOAP asks the patches for.
        query: Query = Query::Foreground, Query::WANT, Answers;
        /// How patches become the `[FG]` token.
        pooling: Pooling = Pooling::Attention, Pooling::WANT, Answers;
        /// The token beside the patches that attention may go to.
        sink: Sink = Sink::Zero, Sink::WANT, Answers;
        /// The classifiers that are mixed.
        heads: MixedHeads = MixedHeads::Both, MixedHeads::WANT, Answers;
    }
}

/// The point from which a forward pass of the model starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StartsFrom {
    /// The frozen tower's output for the picture, from the cache: no part of the tower runs or is
    /// trained.
    Features,
    /// The frozen tokens before this block, which is not the first, from the cache: LayerNorms from
    /// there on are trained.
    Block(usize),
    /// The picture's pixels: the whole tower runs, and all its LayerNorms are trained.
    Pixels,
}

/// The parts of the model that a pipeline chooses.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Design {
    /// The start of a forward pass, which also determines what of the tower is trained.
    pub starts_from: StartsFrom,
    /// The cut of the patch graph.
    pub saliency: Saliency,
    /// SOAP, its fusion with the coarse feature, and the classifiers.
    pub fusion: Fusion,
    /// Factor of the logits.
    pub scale: f64,
}

impl Design {
    /// Returns whether `[FG]` is fused with the crops' composite, not with `[CLS]`.
    pub fn fuses_composite(&self) -> bool {
        self.starts_from == StartsFrom::Features && self.fusion.coarse != Coarse::Cls
    }

    /// Returns whether `[FG]` has a share in the fused feature, so that patches matter.
    pub fn needs_patches(&self) -> bool {
        self.fusion.ratio > 0.0
    }

    /// Returns whether the `[CLS]` token asks the patches.
    pub fn needs_cls_token(&self) -> bool {
        self.needs_patches() && self.fusion.query == Query::Cls
    }

    /// Returns whether W* is trained; otherwise it keeps its start.
    pub fn trains_head(&self) -> bool {
        self.fusion.heads != MixedHeads::Frozen
    }
}
