//! SOAP, saliency-oriented attention pooling: the [FG] token (method section 3).

use tch::{Device, Kind as Number, Tensor};

/// The three learned maps, each (D, D) without bias and initialised to the identity.
#[derive(Debug)]
pub struct Soap {
    /// Of the query.
    pub query: Tensor,
    /// Of the keys.
    pub key: Tensor,
    /// Of the values.
    pub value: Tensor,
}

impl Soap {
    /// The maps as they are before training.
    pub fn identity(width: i64, device: Device) -> Self {
        let eye = || Tensor::eye(width, (Number::Float, device));
        Soap { query: eye(), key: eye(), value: eye() }
    }

    /// Attention of the query (B, D) over N patch tokens (B, N, D) and one appended zero token, (B, N + 1): attention to
    /// the zero token goes nowhere.
    pub fn attention(&self, query: &Tensor, patch_tokens: &Tensor) -> Tensor {
        let size = patch_tokens.size();
        let (batch, width) = (size[0], size[2]);
        // (Wq q) . (Wk p) = (Wk^T Wq q) . p: both maps meet the one query, not the N tokens.
        let q = query.matmul(&self.query.tr()).matmul(&self.key);
        let scores = patch_tokens.bmm(&q.unsqueeze(2)).squeeze_dim(2) / (width as f64).sqrt();
        let sink = Tensor::zeros([batch, 1], (scores.kind(), scores.device()));
        Tensor::cat(&[scores, sink], 1).softmax(-1, None::<Number>)
    }

    /// The [FG] feature (B, d), of unit length; `projection` is the tower's P, (D, d).
    pub fn forward(&self, query: &Tensor, patch_tokens: &Tensor, projection: &Tensor) -> Tensor {
        let attention = self.attention(query, patch_tokens);
        let patches = patch_tokens.size()[1];
        // The zero token's value is zero, so it drops out of the sum; the value map meets the pooled token only.
        let pooled = attention.narrow(1, 0, patches).unsqueeze(1).bmm(patch_tokens).squeeze_dim(1);
        super::normalize(&pooled.matmul(&self.value.tr()).matmul(projection))
    }
}
