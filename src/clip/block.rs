//! The residual attention block that both towers are made of, in its pre-norm form.

use tch::Tensor;

use crate::clip::config::Activation;

/// A LayerNorm over the last dimension. These are the tensors that adaptation trains (method section 8).
#[derive(Debug)]
pub struct LayerNorm {
    /// Scale, (D).
    pub weight: Tensor,
    /// Offset, (D).
    pub bias: Tensor,
    /// Added to the variance.
    pub eps: f64,
}

impl LayerNorm {
    /// Normalises the last dimension of `x`.
    pub fn forward(&self, x: &Tensor) -> Tensor {
        x.layer_norm(self.weight.size(), Some(&self.weight), Some(&self.bias), self.eps, true)
    }
}

/// A linear map `x W^T + b`.
#[derive(Debug)]
pub struct Linear {
    /// (out, in).
    pub weight: Tensor,
    /// (out).
    pub bias: Tensor,
}

impl LayerNorm {
    /// The same LayerNorm with every tensor replaced by `f` of it.
    #[must_use]
    pub fn map(&self, f: &dyn Fn(&Tensor) -> Tensor) -> Self {
        LayerNorm { weight: f(&self.weight), bias: f(&self.bias), eps: self.eps }
    }
}

impl Linear {
    /// The same map with every tensor replaced by `f` of it.
    #[must_use]
    pub fn map(&self, f: &dyn Fn(&Tensor) -> Tensor) -> Self {
        Linear { weight: f(&self.weight), bias: f(&self.bias) }
    }

    /// Applies the map to the last dimension of `x`.
    pub fn forward(&self, x: &Tensor) -> Tensor {
        x.linear(&self.weight, Some(&self.bias))
    }
}

/// `x + attention(ln_1 x)`, then `x + mlp(ln_2 x)`.
#[derive(Debug)]
pub struct Block {
    /// Before the attention.
    pub ln_1: LayerNorm,
    /// Query, key and value stacked, (3 D, D): one matrix product instead of three.
    pub in_proj: Linear,
    /// After the attention, (D, D).
    pub out_proj: Linear,
    /// Before the MLP.
    pub ln_2: LayerNorm,
    /// Into the MLP, (mlp, D).
    pub fc: Linear,
    /// Out of the MLP, (D, mlp).
    pub proj: Linear,
    /// Attention heads.
    pub heads: i64,
    /// Nonlinearity of the MLP.
    pub activation: Activation,
}

impl Block {
    /// All tokens through the block; `x` and the result are (B, T, D). Causal for the text tower.
    pub fn forward(&self, x: &Tensor, causal: bool) -> Tensor {
        let (batch, tokens, width) = dims3(x);
        let [q, k, v] = self.query_key_value(&self.ln_1.forward(x));
        let attended = Tensor::scaled_dot_product_attention::<&Tensor>(&q, &k, &v, None, 0.0, causal, None, false);
        let attended = attended.transpose(1, 2).reshape([batch, tokens, width]);
        let x = x + self.out_proj.forward(&attended);
        &x + self.mlp(&self.ln_2.forward(&x))
    }

    /// The first token through the block, and every other token by the value path (method section 1: no mixing between
    /// tokens). The value projection is shared, so both readings together cost about one block.
    ///
    /// `x` is (B, 1 + N, D); returns the [CLS] token (B, D) and the patch tokens (B, N, D), both before `ln_post`.
    pub fn forward_last(&self, x: &Tensor) -> (Tensor, Tensor) {
        let (batch, tokens, width) = dims3(x);
        let [q, k, v] = self.query_key_value(&self.ln_1.forward(x));
        let q = q.narrow(2, 0, 1);
        let attended = Tensor::scaled_dot_product_attention::<&Tensor>(&q, &k, &v, None, 0.0, false, None, false);
        let attended = attended.transpose(1, 2).reshape([batch, 1, width]);
        let cls = x.narrow(1, 0, 1) + self.out_proj.forward(&attended);

        let patches = tokens - 1;
        let values = v.transpose(1, 2).reshape([batch, tokens, width]).narrow(1, 1, patches);
        let t = x.narrow(1, 1, patches) + self.out_proj.forward(&values);

        // One MLP call over [CLS] and patches together.
        let both = Tensor::cat(&[cls, t], 1);
        let both = &both + self.mlp(&self.ln_2.forward(&both));
        (both.select(1, 0), both.narrow(1, 1, patches))
    }

    /// The same block with every tensor replaced by `f` of it.
    #[must_use]
    pub fn map(&self, f: &dyn Fn(&Tensor) -> Tensor) -> Self {
        Block {
            ln_1: self.ln_1.map(f),
            in_proj: self.in_proj.map(f),
            out_proj: self.out_proj.map(f),
            ln_2: self.ln_2.map(f),
            fc: self.fc.map(f),
            proj: self.proj.map(f),
            heads: self.heads,
            activation: self.activation,
        }
    }

    /// Each (B, heads, T, D / heads).
    fn query_key_value(&self, x: &Tensor) -> [Tensor; 3] {
        let (batch, tokens, width) = dims3(x);
        let stacked =
            self.in_proj.forward(x).view([batch, tokens, 3, self.heads, width / self.heads]).permute([2, 0, 3, 1, 4]);
        [stacked.select(0, 0), stacked.select(0, 1), stacked.select(0, 2)]
    }

    fn mlp(&self, x: &Tensor) -> Tensor {
        let hidden = self.fc.forward(x);
        let hidden = match self.activation {
            Activation::QuickGelu => &hidden * (&hidden * 1.702).sigmoid(),
            Activation::Gelu => hidden.gelu("none"),
        };
        self.proj.forward(&hidden)
    }
}

/// The sizes of a rank-3 tensor. The towers make every tensor that comes here, with that rank.
fn dims3(x: &Tensor) -> (i64, i64, i64) {
    let size = x.size();
    (size[0], size[1], size[2])
}
