//! The vision tower: a ViT, read in two ways (method section 1).

use tch::Tensor;

use crate::clip::block::{Block, LayerNorm};
use crate::clip::config::VisionConfig;
use crate::clip::naming::{self, BlockSizes, Naming};
use crate::clip::patches;
use crate::clip::weights::Weights;
use crate::error::Result;

/// A ViT with its projection into the joint space.
#[derive(Debug)]
pub struct VisionTower {
    /// The sizes.
    pub config: VisionConfig,
    /// The convolution that cuts patches, (D, 3, patch, patch); without bias.
    pub patch_embedding: Tensor,
    /// The [CLS] token before the first block, (D).
    pub class_embedding: Tensor,
    /// The position embeddings of [CLS] and patches, (1 + N, D).
    pub position_embedding: Tensor,
    /// The norm before the first block.
    pub ln_pre: LayerNorm,
    /// The blocks.
    pub blocks: Vec<Block>,
    /// The norm after the last block.
    pub ln_post: LayerNorm,
    /// The projection P, (D, d).
    pub projection: Tensor,
}

/// The tower's output for B images.
#[derive(Debug)]
pub struct VisionOutput {
    /// The projected [CLS] token, (B, d), not normalised.
    pub cls: Tensor,
    /// The [CLS] token after `ln_post`, (B, D), not projected.
    pub cls_token: Tensor,
    /// The patch tokens of the value path after `ln_post`, (B, N, D): not normalised, not
    /// projected.
    pub patch_tokens: Tensor,
}

impl VisionTower {
    /// Builds the tower from weights that match `config`; fp32 on the CPU.
    ///
    /// # Errors
    /// Returns [`crate::error::Kind::Model`], naming the tensor, if one is missing or has another
    /// shape.
    pub fn load(weights: &Weights, config: &VisionConfig, joint: i64, naming: Naming) -> Result<Self> {
        let (width, patch, tokens) = (config.width, config.patch, config.patches() + 1);
        let names = match naming {
            Naming::HuggingFace => [
                "vision_model.embeddings.patch_embedding.weight",
                "vision_model.embeddings.class_embedding",
                "vision_model.embeddings.position_embedding.weight",
                "vision_model.pre_layrnorm",
                "vision_model.encoder.layers.",
                "vision_model.post_layernorm",
            ],
            Naming::OpenAi => [
                "visual.conv1.weight",
                "visual.class_embedding",
                "visual.positional_embedding",
                "visual.ln_pre",
                "visual.transformer.resblocks.",
                "visual.ln_post",
            ],
        };
        let [patches, class, position, ln_pre, blocks, ln_post] = names;
        let sizes =
            BlockSizes { width, mlp: config.mlp, heads: config.heads, eps: config.eps, activation: config.activation };
        Ok(VisionTower {
            patch_embedding: weights.get(patches, &[width, 3, patch, patch])?,
            class_embedding: weights.get(class, &[width])?,
            position_embedding: weights.get(position, &[tokens, width])?,
            ln_pre: naming::layer_norm(weights, ln_pre, width, config.eps)?,
            blocks: (0..config.layers)
                .map(|n| naming::block(weights, naming, blocks, n, &sizes))
                .collect::<Result<_>>()?,
            ln_post: naming::layer_norm(weights, ln_post, width, config.eps)?,
            projection: match naming {
                // A torch Linear keeps its matrix as (out, in).
                Naming::HuggingFace => weights.get("visual_projection.weight", &[joint, width])?.tr().contiguous(),
                Naming::OpenAi => weights.get("visual.proj", &[width, joint])?,
            },
            config: config.clone(),
        })
    }

    /// Runs the tower on normalised pixels (B, 3, S, S).
    pub fn forward(&self, pixels: &Tensor) -> VisionOutput {
        self.forward_from(0, &self.tokens_at(0, pixels))
    }

    /// Returns the input of block `block`, (B, 1 + N, D), for normalised pixels (B, 3, S, S), from
    /// which [`forward_from`](Self::forward_from) continues. `block` is at most the index of the
    /// last block.
    pub fn tokens_at(&self, block: usize, pixels: &Tensor) -> Tensor {
        let before = self.blocks.iter().take(block);
        before.fold(self.tokens(pixels), |h, block| block.forward(&h, false))
    }

    /// Runs the blocks from `block` on, given its input (B, 1 + N, D).
    pub fn forward_from(&self, block: usize, tokens: &Tensor) -> VisionOutput {
        let (last, before) = match self.blocks.split_last() {
            Some(split) => split,
            None => unreachable!("a configuration without blocks is refused when it is read"),
        };
        let h = before.iter().skip(block).fold(tokens.shallow_clone(), |h, block| block.forward(&h, false));
        let (cls, patches) = last.forward_last(&h);
        let cls_token = self.ln_post.forward(&cls);
        VisionOutput {
            cls: cls_token.matmul(&self.projection),
            cls_token,
            patch_tokens: self.ln_post.forward(&patches),
        }
    }

    /// Returns the input of the first block, (B, 1 + N, D).
    fn tokens(&self, pixels: &Tensor) -> Tensor {
        let (batch, width) = (pixels.size()[0], self.config.width);
        let patches = patches::embed(pixels, &self.patch_embedding, None);
        let class = self.class_embedding.view([1, 1, width]).expand([batch, 1, width], false);
        self.ln_pre.forward(&(Tensor::cat(&[class, patches], 1) + &self.position_embedding))
    }

    /// Returns the LayerNorms after the input of block `from`, with their names in OpenAI's naming,
    /// in the order of the forward pass; for 0 all of them, `ln_pre` included.
    pub fn layer_norms_mut(&mut self, from: usize) -> Vec<(String, &mut LayerNorm)> {
        let mut all = Vec::new();
        if from == 0 {
            all.push(("ln_pre".to_string(), &mut self.ln_pre));
        }
        for (n, block) in self.blocks.iter_mut().enumerate().skip(from) {
            all.push((format!("transformer.resblocks.{n}.ln_1"), &mut block.ln_1));
            all.push((format!("transformer.resblocks.{n}.ln_2"), &mut block.ln_2));
        }
        all.push(("ln_post".to_string(), &mut self.ln_post));
        all
    }

    /// Returns a tower with the same frozen tensors (shared, not copied) that can be changed
    /// independently.
    #[must_use]
    pub fn shallow_clone(&self) -> Self {
        self.map(&Tensor::shallow_clone)
    }

    /// Returns the tower with the products of its blocks in number type `number`, and everything
    /// else unchanged: mixed precision, for training.
    #[must_use]
    pub fn with_products_in(mut self, number: tch::Kind) -> Self {
        self.blocks = self.blocks.into_iter().map(|block| block.with_products_in(number)).collect();
        self
    }

    /// Returns the tower with `f` applied to every tensor, such as to move it to a device or change
    /// the number type.
    #[must_use]
    pub fn map(&self, f: &dyn Fn(&Tensor) -> Tensor) -> Self {
        VisionTower {
            config: self.config.clone(),
            patch_embedding: f(&self.patch_embedding),
            class_embedding: f(&self.class_embedding),
            position_embedding: f(&self.position_embedding),
            ln_pre: self.ln_pre.map(f),
            blocks: self.blocks.iter().map(|b| b.map(f)).collect(),
            ln_post: self.ln_post.map(f),
            projection: f(&self.projection),
        }
    }
}
