//! SOAP, saliency-oriented attention pooling: the [FG] token (method section 3), and the paper's
//! other poolings.

use tch::{Device, Kind as Number, Tensor};

use crate::settings::choice;

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

/// The three learned maps, each (D, D), without bias and initialised to the identity, and the sink.
#[derive(Debug)]
pub struct Soap {
    /// The map of the query.
    pub query: Tensor,
    /// The map of the keys.
    pub key: Tensor,
    /// The map of the values.
    pub value: Tensor,
    /// The token (D) appended to the patches, if it is learned; otherwise a zero token is appended.
    pub sink: Option<Tensor>,
}

impl Soap {
    /// Returns the maps before training; a learned sink starts at zero.
    pub fn identity(width: i64, learned_sink: bool, device: Device) -> Self {
        let eye = || Tensor::eye(width, (Number::Float, device));
        let sink = learned_sink.then(|| Tensor::zeros([width], (Number::Float, device)));
        Soap { query: eye(), key: eye(), value: eye(), sink }
    }

    /// Returns the same maps for another thread; the tensors are shared.
    #[must_use]
    pub fn shallow_clone(&self) -> Self {
        Soap {
            query: self.query.shallow_clone(),
            key: self.key.shallow_clone(),
            value: self.value.shallow_clone(),
            sink: self.sink.as_ref().map(Tensor::shallow_clone),
        }
    }

    /// Returns the attention (B, N + 1) of the query (B, D) over N patch tokens (B, N, D) and one
    /// appended token, the sink: attention to a zero token goes nowhere.
    pub fn attention(&self, query: &Tensor, patch_tokens: &Tensor) -> Tensor {
        let size = patch_tokens.size();
        let (batch, width) = (size[0], size[2]);
        // (Wq q) . (Wk p) = (Wk^T Wq q) . p: both maps are applied to the one query, not to the N
        // tokens.
        let q = query.matmul(&self.query.tr()).matmul(&self.key);
        let scores = patch_tokens.bmm(&q.unsqueeze(2)).squeeze_dim(2);
        let sink = match &self.sink {
            None => Tensor::zeros([batch, 1], (scores.kind(), scores.device())),
            Some(token) => q.mv(token).unsqueeze(1),
        };
        (Tensor::cat(&[scores, sink], 1) / (width as f64).sqrt()).softmax(-1, None::<Number>)
    }

    /// Returns the [FG] feature (B, d), of unit length, by attention; `projection` is the tower's
    /// P, (D, d).
    pub fn forward(&self, query: &Tensor, patch_tokens: &Tensor, projection: &Tensor) -> Tensor {
        let attention = self.attention(query, patch_tokens);
        let patches = patch_tokens.size()[1];
        let mut pooled = attention.narrow(1, 0, patches).unsqueeze(1).bmm(patch_tokens).squeeze_dim(1);
        // A zero token's value is zero and drops out of the sum.
        if let Some(token) = &self.sink {
            pooled += attention.narrow(1, patches, 1) * token.unsqueeze(0);
        }
        self.feature(&pooled, projection)
    }

    /// Returns the feature (B, d), of unit length, of a pooled token (B, D): the value map is
    /// applied to it alone, not to the N tokens.
    pub fn feature(&self, pooled: &Tensor, projection: &Tensor) -> Tensor {
        super::normalize(&pooled.matmul(&self.value.tr()).matmul(projection))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_learned_sink_at_zero_is_the_zero_token() {
        tch::manual_seed(0);
        let tokens = Tensor::randn([2, 9, 6], tch::kind::FLOAT_CPU);
        let (query, projection) = (tokens.select(1, 0), Tensor::randn([6, 4], tch::kind::FLOAT_CPU));
        let plain = Soap::identity(6, false, Device::Cpu).forward(&query, &tokens, &projection);
        let mut soap = Soap::identity(6, true, Device::Cpu);
        assert!(plain.allclose(&soap.forward(&query, &tokens, &projection), 1e-6, 1e-6, false));
        // A sink that the query attends to takes attention from the patches, and has a value of its
        // own.
        soap.sink = Some(query.get(0) * 20.0);
        let attention = soap.attention(&query, &tokens);
        assert!(attention.double_value(&[0, 9]) > 0.9);
        assert!(!plain.allclose(&soap.forward(&query, &tokens, &projection), 1e-3, 1e-3, false));
    }
}
