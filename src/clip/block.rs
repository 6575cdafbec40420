//! The pre-norm residual attention block that both towers consist of.

use tch::{Device, Kind as Number, Tensor};

use crate::clip::config::Activation;
use crate::device::cpu_multiplies_bf16;

/// A LayerNorm over the last dimension. Adaptation trains these tensors (method section 8).
#[derive(Debug)]
pub struct LayerNorm {
    /// Scale, (D).
    pub weight: Tensor,
    /// Offset, (D).
    pub bias: Tensor,
    /// The term added to the variance.
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
    /// The matrix W, (out, in).
    pub weight: Tensor,
    /// The offset b, (out).
    pub bias: Tensor,
}

impl LayerNorm {
    /// Returns the LayerNorm with `f` applied to every tensor.
    #[must_use]
    pub fn map(&self, f: &dyn Fn(&Tensor) -> Tensor) -> Self {
        LayerNorm { weight: f(&self.weight), bias: f(&self.bias), eps: self.eps }
    }
}

impl Linear {
    /// Returns the map with `f` applied to every tensor.
    #[must_use]
    pub fn map(&self, f: &dyn Fn(&Tensor) -> Tensor) -> Self {
        Linear { weight: f(&self.weight), bias: f(&self.bias) }
    }

    /// Applies the map to the last dimension of `x`, in the map's number type.
    pub fn forward(&self, x: &Tensor) -> Tensor {
        let x = &x.to_kind(self.weight.kind());
        if self.suits_a_convolution(x) { self.convolve(x) } else { x.linear(&self.weight, Some(&self.bias)) }
    }

    /// Returns whether [`convolve`](Self::convolve) is faster: on a CPU, for a large product with
    /// frozen weights, and either in fp32 without gradients or in bf16 if the CPU multiplies bf16
    /// (elsewhere oneDNN refuses, and a product is slow but works). Only the CPU, shapes and types
    /// decide, so that the same pictures always take the same path.
    fn suits_a_convolution(&self, x: &Tensor) -> bool {
        let products = x.numel() as i64 * self.bias.numel() as i64;
        x.device() == Device::Cpu
            && match x.kind() {
                Number::Float => !x.requires_grad(),
                Number::BFloat16 => cpu_multiplies_bf16(),
                _ => false,
            }
            && !self.weight.requires_grad()
            && products >= 1 << 26
    }

    /// Applies the map as a 1 x 1 convolution over one image with as many pixels as `x` has tokens.
    /// libtorch gives fp32 products to MKL and convolutions to oneDNN, which is faster on AMD; in
    /// bf16, it reads a convolution's weights in place, but reorders a product's at every call. No
    /// data is moved: tokens by channels are an image in channels-last order.
    fn convolve(&self, x: &Tensor) -> Tensor {
        let (input, output) = (self.weight.size()[1], self.weight.size()[0]);
        let image = x.reshape([1, 1, -1, input]).permute([0, 3, 1, 2]);
        let kernel = self.weight.view([output, input, 1, 1]);
        let mapped = image.mkldnn_convolution(&kernel, Some(&self.bias), [0, 0], [1, 1], [1, 1], 1);
        let mut shape = x.size();
        if let Some(last) = shape.last_mut() {
            *last = output;
        }
        mapped.permute([0, 2, 3, 1]).reshape(shape)
    }
}

/// The factor in QuickGELU, `x * sigmoid(1.702 x)`.
const QUICK_GELU: f64 = 1.702;

/// The block `x + attention(ln_1 x)`, then `x + mlp(ln_2 x)`.
#[derive(Debug)]
pub struct Block {
    /// The norm before the attention.
    pub ln_1: LayerNorm,
    /// The stacked query, key and value maps, (3 D, D): one matrix product instead of three.
    pub in_proj: Linear,
    /// The map after the attention, (D, D).
    pub out_proj: Linear,
    /// The norm before the MLP.
    pub ln_2: LayerNorm,
    /// The map into the MLP, (mlp, D); of a gated one (2 mlp, D), the gate first.
    pub fc: Linear,
    /// The map out of the MLP, (D, mlp).
    pub proj: Linear,
    /// The number of attention heads.
    pub heads: i64,
    /// The nonlinearity of the MLP.
    pub activation: Activation,
    /// Whether the MLP is gated: one half of its hidden layer, after the nonlinearity, is
    /// multiplied with the other (SwiGLU, arXiv 2002.05202).
    pub gated: bool,
}

impl Block {
    /// Passes all tokens through the block; `x` and the result are (B, T, D). Causal for the text
    /// tower.
    pub fn forward(&self, x: &Tensor, causal: bool) -> Tensor {
        self.attend(x, self.query_key_value(&self.ln_1.forward(x)), if causal { Seen::Before } else { Seen::All })
    }

    /// Like [`forward`](Self::forward), without a mask; `place` puts the tokens' positions into
    /// queries and keys, both (B, heads, T, D / heads).
    pub fn forward_placed(&self, x: &Tensor, place: impl Fn(&Tensor) -> Tensor) -> Tensor {
        let [q, k, v] = self.query_key_value(&self.ln_1.forward(x));
        self.attend(x, [place(&q), place(&k), v], Seen::All)
    }

    /// Passes one token of each sequence through the block, those at `places` (B): it attends to
    /// those before it and to itself. Returns (B, D), the same as [`forward`](Self::forward) does
    /// there when it is causal.
    pub fn forward_at(&self, x: &Tensor, places: &Tensor) -> Tensor {
        let (batch, tokens, _) = dims3(x);
        let [q, k, v] = self.query_key_value(&self.ln_1.forward(x));
        let rows = Tensor::arange(batch, (Number::Int64, x.device()));
        let at = [Some(&rows), Some(places)];
        let (x, q) = (x.index(&at).unsqueeze(1), q.transpose(1, 2).index(&at).unsqueeze(2));
        let before = Tensor::arange(tokens, (Number::Int64, x.device())).le_tensor(&places.unsqueeze(1));
        let mask = before.view([batch, 1, 1, tokens]);
        self.attend(&x, [q, k, v], Seen::These(&mask)).squeeze_dim(1)
    }

    /// Mixes the tokens (B, T, D) by attention, and passes them through the MLP.
    fn attend(&self, x: &Tensor, [q, k, v]: [Tensor; 3], seen: Seen<'_>) -> Tensor {
        let (batch, tokens, width) = dims3(x);
        let (mask, causal) = match seen {
            Seen::All => (None, false),
            Seen::Before => (None, true),
            Seen::These(mask) => (Some(mask), false),
        };
        let attended = Tensor::scaled_dot_product_attention(&q, &k, &v, mask, 0.0, causal, None, false);
        let attended = attended.transpose(1, 2).reshape([batch, tokens, width]);
        let x = add(self.out_proj.forward(&attended), x);
        add(self.mlp(&self.ln_2.forward(&x)), &x)
    }

    /// Passes the first token through the block, and every other token through the value path
    /// (method section 1: no mixing between tokens). Both share the value projection, so together
    /// they cost about one block.
    ///
    /// `x` is (B, 1 + N, D); returns the [CLS] token (B, D) and the patch tokens (B, N, D), both
    /// before `ln_post`.
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
        let both = add(self.mlp(&self.ln_2.forward(&both)), &both);
        (both.select(1, 0), both.narrow(1, 1, patches))
    }

    /// Returns the block with QuickGELU's factor folded into the weights of the MLP, which must not
    /// be trained after that. Since `x * sigmoid(f x) = silu(f x) / f`, one pass over the hidden
    /// layer replaces three.
    #[must_use]
    pub fn folded(mut self) -> Self {
        if self.activation == Activation::QuickGelu && !self.gated {
            self.fc = self.fc.map(&|t| t * QUICK_GELU);
            self.proj.weight = &self.proj.weight / QUICK_GELU;
            self.activation = Activation::Silu;
        }
        self
    }

    /// Returns the block with its four products in number type `number`: mixed precision.
    /// LayerNorms and the sums of the residual stream keep their own type.
    #[must_use]
    pub fn with_products_in(mut self, number: Number) -> Self {
        for linear in [&mut self.in_proj, &mut self.out_proj, &mut self.fc, &mut self.proj] {
            *linear = linear.map(&|t| t.to_kind(number));
        }
        self
    }

    /// Returns the block with `f` applied to every tensor.
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
            gated: self.gated,
        }
    }

    /// Returns the query, key and value, each (B, heads, T, D / heads).
    fn query_key_value(&self, x: &Tensor) -> [Tensor; 3] {
        let (batch, tokens, width) = dims3(x);
        let stacked =
            self.in_proj.forward(x).view([batch, tokens, 3, self.heads, width / self.heads]).permute([2, 0, 3, 1, 4]);
        // The gradient of `unbind` is one stack; that of three `select`s would be three sums.
        let mut parts = stacked.unbind(0).into_iter();
        std::array::from_fn(|_| parts.next().unwrap_or_default())
    }

    fn mlp(&self, x: &Tensor) -> Tensor {
        if self.gated {
            let halves = self.fc.forward(x).chunk(2, -1);
            return self.proj.forward(&(self.activated(halves[0].shallow_clone()) * &halves[1]));
        }
        self.proj.forward(&self.activated(self.fc.forward(x)))
    }

    /// Applies the nonlinearity.
    fn activated(&self, mut hidden: Tensor) -> Tensor {
        // In place if no gradient is needed: a temporary of this size costs as much again in fresh
        // pages.
        match (self.activation, hidden.requires_grad()) {
            (Activation::Silu, false) => hidden.silu_(),
            (Activation::Silu, true) => hidden.silu(),
            (Activation::QuickGelu, _) => &hidden * (&hidden * QUICK_GELU).sigmoid(),
            (Activation::Gelu, _) => hidden.gelu("none"),
            (Activation::GeluTanh, _) => hidden.gelu("tanh"),
        }
    }
}

/// Which tokens a token attends to.
enum Seen<'a> {
    All,
    /// Those before it, and itself.
    Before,
    /// Those where the mask (B, 1, queries, T) holds.
    These(&'a Tensor),
}

/// Adds a branch of the block to the residual stream, in the stream's number type; in place if the
/// branch has that type too.
fn add(mut branch: Tensor, stream: &Tensor) -> Tensor {
    if branch.kind() == stream.kind() { branch.g_add_(stream) } else { stream + branch }
}

/// Returns the sizes of a rank-3 tensor. Every tensor that comes here is made by the towers with
/// that rank.
fn dims3(x: &Tensor) -> (i64, i64, i64) {
    let size = x.size();
    (size[0], size[1], size[2])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn linear(out: i64, input: i64) -> Linear {
        let normal = |shape: &[i64]| Tensor::randn(shape, tch::kind::FLOAT_CPU) * 0.1;
        Linear { weight: normal(&[out, input]), bias: normal(&[out]) }
    }

    #[test]
    fn a_large_product_is_a_convolution_with_the_same_result() {
        tch::manual_seed(0);
        let map = linear(256, 128);
        let x = Tensor::randn([32, 65, 128], tch::kind::FLOAT_CPU);
        // Also with tokens that are not contiguous.
        for x in [x.shallow_clone(), x.narrow(1, 1, 64)] {
            assert!(map.suits_a_convolution(&x));
            let (got, wanted) = (map.forward(&x), x.linear(&map.weight, Some(&map.bias)));
            assert_eq!(got.size(), wanted.size());
            assert!(got.allclose(&wanted, 1e-4, 1e-4, false));
        }
        assert!(!map.suits_a_convolution(&x.narrow(0, 0, 1)), "a small one is not worth it");
        assert!(!map.suits_a_convolution(&x.copy().set_requires_grad(true)), "training in fp32 takes the plain way");
    }

    fn block(width: i64) -> Block {
        let ones = || LayerNorm {
            weight: Tensor::ones([width], tch::kind::FLOAT_CPU),
            bias: Tensor::zeros([width], tch::kind::FLOAT_CPU),
            eps: 1e-5,
        };
        Block {
            ln_1: ones(),
            in_proj: linear(3 * width, width),
            out_proj: linear(width, width),
            ln_2: ones(),
            fc: linear(4 * width, width),
            proj: linear(width, 4 * width),
            heads: 2,
            activation: Activation::QuickGelu,
            gated: false,
        }
    }

    #[test]
    fn mixed_precision_keeps_the_stream_and_the_gradients_of_layer_norms_in_fp32() {
        tch::manual_seed(2);
        let x = Tensor::randn([32, 33, 128], tch::kind::FLOAT_CPU);
        let gradient = |mut block: Block| {
            block.ln_1.weight = block.ln_1.weight.copy().set_requires_grad(true);
            let out = block.forward(&x, false);
            let (cls, patches) = block.forward_last(&x);
            assert!([&out, &cls, &patches].iter().all(|t| t.kind() == Number::Float));
            (out.square().mean(Number::Float) + patches.square().mean(Number::Float)).backward();
            (out.detach(), block.ln_1.weight.grad())
        };
        let exact = block(128);
        let mixed = exact.map(&Tensor::shallow_clone).with_products_in(Number::BFloat16);
        let trained = x.to_kind(Number::BFloat16).set_requires_grad(true);
        assert_eq!(mixed.fc.suits_a_convolution(&trained), cpu_multiplies_bf16());
        let ((a, g), (b, h)) = (gradient(exact), gradient(mixed));
        let alike = |a: &Tensor, b: &Tensor| Tensor::cosine_similarity(&a.flatten(0, -1), &b.flatten(0, -1), 0, 1e-8);
        assert!(alike(&a, &b).double_value(&[]) > 0.9999);
        assert!(h.kind() == Number::Float && alike(&g, &h).double_value(&[]) > 0.999);
    }

    #[test]
    fn one_token_is_what_it_is_among_all() {
        tch::manual_seed(3);
        let (block, x) = (block(32), Tensor::randn([3, 7, 32], tch::kind::FLOAT_CPU));
        let all = block.forward(&x, true);
        for places in [[6, 6, 6], [0, 3, 5]] {
            let some = block.forward_at(&x, &Tensor::from_slice(&places));
            let wanted: Vec<Tensor> = (0..).zip(places).map(|(n, place)| all.get(n).get(place)).collect();
            assert!(some.allclose(&Tensor::stack(&wanted, 0), 1e-5, 1e-6, false));
        }
    }

    #[test]
    fn folding_keeps_what_a_block_does() {
        tch::manual_seed(1);
        let block = block(32);
        let folded = block.map(&Tensor::shallow_clone).folded();
        assert_eq!(folded.activation, Activation::Silu);
        let x = Tensor::randn([3, 5, 32], tch::kind::FLOAT_CPU);
        assert!(folded.forward(&x, false).allclose(&block.forward(&x, false), 1e-5, 1e-5, false));
        let leaf = x.copy().set_requires_grad(true);
        assert!(folded.forward(&leaf, false).allclose(&block.forward(&x, false), 1e-5, 1e-5, false));
    }
}
