//! The text tower: a causal transformer whose feature is read at the end mark.

use tch::{Device, Kind as Number, Tensor};

use crate::clip::block::{Block, LayerNorm};
use crate::clip::config::TextConfig;
use crate::clip::naming::{self, BlockSizes, Naming};
use crate::clip::weights::Weights;
use crate::error::Result;

/// A causal transformer with its projection into the joint space.
#[derive(Debug)]
pub struct TextTower {
    /// The sizes.
    pub config: TextConfig,
    /// The token embeddings, (vocabulary, width).
    pub token_embedding: Tensor,
    /// The position embeddings, (context, width).
    pub position_embedding: Tensor,
    /// The blocks.
    pub blocks: Vec<Block>,
    /// The norm after the last block.
    pub ln_final: LayerNorm,
    /// The projection into the joint space, (width, d).
    pub projection: Tensor,
}

impl TextTower {
    /// Builds the tower from weights that match `config`; fp32 on the CPU.
    ///
    /// # Errors
    /// Returns [`crate::error::Kind::Model`], naming the tensor, if one is missing or has another
    /// shape.
    pub fn load(weights: &Weights, config: &TextConfig, joint: i64, naming: Naming) -> Result<Self> {
        let width = config.width;
        let [tokens, positions, blocks, ln_final] = match naming {
            Naming::HuggingFace => [
                "text_model.embeddings.token_embedding.weight",
                "text_model.embeddings.position_embedding.weight",
                "text_model.encoder.layers.",
                "text_model.final_layer_norm",
            ],
            Naming::OpenAi => ["token_embedding.weight", "positional_embedding", "transformer.resblocks.", "ln_final"],
        };
        let sizes =
            BlockSizes { width, mlp: config.mlp, heads: config.heads, eps: config.eps, activation: config.activation };
        Ok(TextTower {
            token_embedding: weights.get(tokens, &[config.vocab, width])?,
            position_embedding: weights.get(positions, &[config.context, width])?,
            blocks: (0..config.layers)
                .map(|n| naming::block(weights, naming, blocks, n, &sizes))
                .collect::<Result<_>>()?,
            ln_final: naming::layer_norm(weights, ln_final, width, config.eps)?,
            projection: match naming {
                Naming::HuggingFace => weights.get("text_projection.weight", &[joint, width])?.tr().contiguous(),
                Naming::OpenAi => weights.get("text_projection", &[width, joint])?,
            },
            config: config.clone(),
        })
    }

    /// Returns the features (B, d), not normalised, of B token sequences (start and end marks
    /// included, each at most `context` long).
    ///
    /// Sequences are padded to the longest of the batch, not to the context: attention is causal,
    /// so tokens after the end mark cannot change the feature.
    pub fn forward(&self, sequences: &[impl AsRef<[i64]>], device: Device) -> Tensor {
        let longest = sequences.iter().map(|s| s.as_ref().len()).max().unwrap_or(1);
        let mut ids = Vec::with_capacity(sequences.len() * longest);
        let mut ends = Vec::with_capacity(sequences.len());
        for sequence in sequences.iter().map(AsRef::as_ref) {
            ids.extend_from_slice(sequence);
            ids.resize(ids.len() + longest - sequence.len(), 0);
            ends.push(sequence.len().saturating_sub(1) as i64);
        }
        let batch = sequences.len() as i64;
        let ids = Tensor::from_slice(&ids).view([batch, longest as i64]).to_device(device);
        let ends = Tensor::from_slice(&ends).to_device(device);

        let positions = self.position_embedding.narrow(0, 0, longest as i64);
        let mut x = Tensor::embedding(&self.token_embedding, &ids, -1, false, false) + positions;
        let Some((last, blocks)) = self.blocks.split_last() else { return x };
        for block in blocks {
            x = block.forward(&x, true);
        }
        // Only the end marks are read, so the last block is for them alone.
        let at_end = last.forward_at(&x, &ends);
        self.ln_final.forward(&at_end).matmul(&self.projection)
    }

    /// Returns the tower with the products of its blocks in number type `number`, and everything
    /// else unchanged: mixed precision.
    #[must_use]
    pub fn with_products_in(mut self, number: Number) -> Self {
        self.blocks = self.blocks.into_iter().map(|block| block.with_products_in(number)).collect();
        self
    }

    /// Returns the tower with `f` applied to every tensor, such as to move it to a device or change
    /// the number type.
    #[must_use]
    pub fn map(&self, f: &dyn Fn(&Tensor) -> Tensor) -> Self {
        TextTower {
            config: self.config.clone(),
            token_embedding: f(&self.token_embedding),
            position_embedding: f(&self.position_embedding),
            blocks: self.blocks.iter().map(|b| b.map(f)).collect(),
            ln_final: self.ln_final.map(f),
            projection: f(&self.projection),
        }
    }
}
