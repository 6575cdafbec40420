//! The tower: from pixels to `[CLS]` and patch tokens, after the last LayerNorm.

use tch::{Kind as Number, Tensor};

use super::Rotary;
use crate::clip::block::{Block, LayerNorm};
use crate::clip::patches;

/// A ViT without text. LayerScale (arXiv 2103.17239) is part of the maps that it scales.
#[derive(Debug)]
pub struct Tower {
    /// The convolution that cuts patches, (D, 3, patch, patch).
    pub patch_weight: Tensor,
    /// Its offset, (D).
    pub patch_bias: Tensor,
    /// The `[CLS]` token before the first block, (D).
    pub cls_token: Tensor,
    /// The registers, (R, D).
    pub registers: Tensor,
    /// What tells tokens where they are.
    pub positions: Positions,
    /// The blocks.
    pub blocks: Vec<Block>,
    /// The norm after the last block.
    pub norm: LayerNorm,
}

/// How tokens know their places.
#[derive(Debug)]
pub enum Positions {
    /// What is added to `[CLS]` and patches, (1 + N, D), in DINOv2.
    Added(Tensor),
    /// How queries and keys are turned, in DINOv3.
    Turned(Rotary),
}

/// The tower's output for B images, after the last LayerNorm, not normalised.
#[derive(Debug)]
pub struct Output {
    /// The `[CLS]` token, (B, D).
    pub cls: Tensor,
    /// The patch tokens, (B, N, D).
    pub patches: Tensor,
}

impl Tower {
    /// Runs the tower on normalised pixels (B, 3, S, S) of the side that its positions are for.
    pub fn forward(&self, pixels: &Tensor) -> Output {
        let patches = patches::embed(pixels, &self.patch_weight, Some(&self.patch_bias));
        let (batch, registers) = (patches.size()[0], self.registers.size()[0]);
        let with = |tokens: &Tensor| tokens.unsqueeze(0).expand([batch, -1, -1], false);
        let cls = with(&self.cls_token.unsqueeze(0));
        let tokens = match &self.positions {
            // Registers come in behind `[CLS]` after positions were added: they have none.
            Positions::Added(positions) => {
                let placed = Tensor::cat(&[cls, patches], 1) + positions;
                let behind = placed.size()[1] - 1;
                Tensor::cat(&[placed.narrow(1, 0, 1), with(&self.registers), placed.narrow(1, 1, behind)], 1)
            }
            Positions::Turned(_) => Tensor::cat(&[cls, with(&self.registers), patches], 1),
        };
        let tokens = self.blocks.iter().fold(tokens, |h, block| match &self.positions {
            Positions::Added(_) => block.forward(&h, false),
            Positions::Turned(rotary) => block.forward_placed(&h, |x| rotary.turn(x)),
        });
        let tokens = self.norm.forward(&tokens);
        let first = 1 + registers;
        Output { cls: tokens.select(1, 0), patches: tokens.narrow(1, first, tokens.size()[1] - first) }
    }

    /// Returns the tower with `f` applied to every tensor.
    #[must_use]
    pub fn map(&self, f: &dyn Fn(&Tensor) -> Tensor) -> Self {
        Tower {
            patch_weight: f(&self.patch_weight),
            patch_bias: f(&self.patch_bias),
            cls_token: f(&self.cls_token),
            registers: f(&self.registers),
            positions: match &self.positions {
                Positions::Added(positions) => Positions::Added(f(positions)),
                Positions::Turned(rotary) => Positions::Turned(rotary.map(f)),
            },
            blocks: self.blocks.iter().map(|block| block.map(f)).collect(),
            norm: self.norm.map(f),
        }
    }

    /// Returns a tower that shares the tensors.
    #[must_use]
    pub fn shallow_clone(&self) -> Self {
        self.map(&Tensor::shallow_clone)
    }
}

impl Positions {
    /// Returns learned positions (1 + n, D) for a grid of another size, resampled as transformers
    /// does: bicubic, with an antialiasing filter in the models with registers alone.
    pub(super) fn resampled(learned: &Tensor, from: i64, to: i64, antialias: bool) -> Tensor {
        if from == to {
            return learned.shallow_clone();
        }
        let width = learned.size()[1];
        let (cls, patches) = (learned.narrow(0, 0, 1), learned.narrow(0, 1, from * from));
        let patches = patches.view([1, from, from, width]).permute([0, 3, 1, 2]).to_kind(Number::Float);
        let patches = match antialias {
            true => patches.internal_upsample_bicubic2d_aa([to, to], false, None, None),
            false => patches.upsample_bicubic2d([to, to], false, None, None),
        };
        let patches = patches.permute([0, 2, 3, 1]).reshape([to * to, width]).to_kind(learned.kind());
        Tensor::cat(&[cls, patches], 0)
    }
}
