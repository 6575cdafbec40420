//! Saliency: a normalized cut of the patch graph separates foreground from background (method
//! section 2).
//!
//! Follows TokenCut (Wang et al., CVPR 2022), with the changes of microCLIP's released code as
//! options. The second smallest eigenvector of the normalised Laplacian splits the patches in two;
//! the side with the patch of largest magnitude, the seed, is the foreground.

use tch::{Kind as Number, Tensor};

use super::fiedler::{self, by_released_eigh, fiedler};
use crate::settings::{above, choice, from, settings};

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
        /// The eigenvector is turned so that its strongest patch is positive, then cut: well
        /// defined.
        Seed = "seed",
        /// Cut first, then the mask is negated where the strongest patch fell outside, as the
        /// released code does. It depends on the sign that the eigenvector happens to have; kept
        /// for comparison.
        Raw = "raw",
    }
}

settings! {
    /// How the foreground is found in the patch tokens: the normalized cut of the patch graph.
    Saliency: Copy {
        /// How alike two patch tokens are.
        affinity: Affinity = Affinity::Cosine, Affinity::WANT, Features;
        /// Where the Fiedler vector is cut into foreground and background.
        threshold: Threshold = Threshold::Mean, Threshold::WANT, Features;
        /// Which side of the cut is the foreground.
        orientation: Orientation = Orientation::Seed, Orientation::WANT, Features;
        /// Two patches are joined where their affinity exceeds this.
        tau: f64 = 0.2, from(-1e6, 1e6), Features;
        /// Weight between patches that are not joined; it keeps the graph connected.
        eps: f64 = 1e-6, above(0.0, 1.0), Features;
    }
}

/// The cut of B images.
#[derive(Debug)]
pub struct Foreground {
    /// Whether a patch is foreground, (B, N), bool.
    pub mask: Tensor,
    /// The gap `lambda_3 - lambda_2` of the Laplacian, (B): near zero, the mask is meaningless.
    pub gap: Tensor,
    /// The Fiedler vector, (B, N), oriented as the settings say.
    pub fiedler: Tensor,
}

impl Saliency {
    /// Cuts the graph of patch tokens (B, N, D). No gradient flows through it.
    pub fn cut(&self, patch_tokens: &Tensor) -> Foreground {
        let _no_grad = tch::no_grad_guard();
        let affinity = self.affinities(patch_tokens);
        if affinity.size()[1] < 3 {
            // There is no third eigenvalue, so no gap, and nothing worth cutting: everything is
            // foreground.
            let flat = affinity.select(2, 0);
            return Foreground {
                mask: flat.ones_like().to_kind(Number::Bool),
                gap: flat.select(1, 0).zeros_like(),
                fiedler: flat,
            };
        }
        // `Raw` depends on the signs that the released code's eigendecomposition happens to return.
        let found = match self.orientation {
            Orientation::Seed => fiedler(&affinity),
            Orientation::Raw => by_released_eigh(&affinity),
        };
        self.foreground(&found.vector, found.gap)
    }

    /// Returns the mask of [`cut`](Self::cut) alone, (B, N), without waiting for a GPU: as training
    /// steps need it.
    pub fn mask(&self, patch_tokens: &Tensor) -> Tensor {
        let _no_grad = tch::no_grad_guard();
        if self.orientation == Orientation::Raw || patch_tokens.size()[1] < 3 {
            return self.cut(patch_tokens).mask;
        }
        let vector = fiedler::vectors(&self.affinities(patch_tokens));
        let no_gap = vector.select(1, 0);
        self.foreground(&vector, no_gap).mask
    }

    /// Returns the weighted graphs (B, N, N) of patch tokens (B, N, D): 1 for two that are alike,
    /// eps otherwise. No gradient flows through it.
    pub fn affinities(&self, patch_tokens: &Tensor) -> Tensor {
        let _no_grad = tch::no_grad_guard();
        let p = patch_tokens.detach().to_kind(Number::Float);
        let p = match self.affinity {
            Affinity::Dot => p,
            Affinity::Cosine => super::normalize(&p),
        };
        let connected = p.bmm(&p.transpose(1, 2)).gt(self.tau).to_kind(Number::Float);
        connected * (1.0 - self.eps) + self.eps
    }

    /// Thresholds and orients a Fiedler vector (B, N), whose sign is arbitrary; `gap` is passed
    /// through.
    pub fn foreground(&self, fiedler: &Tensor, gap: Tensor) -> Foreground {
        let seed = fiedler.abs().argmax(1, true);
        let at_seed = fiedler.gather(1, &seed, false);
        match self.orientation {
            Orientation::Seed => {
                let oriented = fiedler * at_seed.sign();
                Foreground { mask: self.above(&oriented), gap, fiedler: oriented }
            }
            Orientation::Raw => {
                let mask = self.above(fiedler);
                let inside = mask.gather(1, &seed, false);
                Foreground { mask: mask.eq_tensor(&inside), gap, fiedler: fiedler.shallow_clone() }
            }
        }
    }

    fn above(&self, u: &Tensor) -> Tensor {
        let cut = match self.threshold {
            Threshold::Std => u.std_dim([1i64].as_slice(), true, true),
            Threshold::Mean => u.mean_dim([1i64].as_slice(), true, Number::Float),
        };
        u.gt_tensor(&cut)
    }
}

/// Returns the mean of the foreground's patch tokens, (B, D): SOAP's query. Gradients flow into the
/// tokens.
pub fn mean(patch_tokens: &Tensor, mask: &Tensor) -> Tensor {
    let weight = mask.to_kind(patch_tokens.kind());
    let count = weight.sum_dim_intlist([1i64].as_slice(), true, None::<Number>).clamp_min(1.0);
    (weight / count).unsqueeze(1).bmm(patch_tokens).squeeze_dim(1)
}
