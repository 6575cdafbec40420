//! Cross-entropy to the pseudo-labels, and fairness (method section 8).

use tch::{Kind as Number, Reduction, Tensor};

/// Weights of the loss's parts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LossWeights {
    /// Weight of the cross-entropy.
    pub ce: f64,
    /// Weight of the fairness term.
    pub fairness: f64,
}

/// The parts of one batch's loss, each a scalar tensor.
#[derive(Debug)]
pub struct Loss {
    /// The weighted sum, which is differentiated.
    pub total: Tensor,
    /// Cross-entropy.
    pub ce: Tensor,
    /// Fairness.
    pub fairness: Tensor,
}

/// The running class distribution of an epoch, made anew at its start.
#[derive(Debug)]
pub struct Fairness {
    average: Option<Tensor>,
    momentum: f64,
    shares: Option<Tensor>,
}

impl Fairness {
    /// Starts an epoch. `momentum` is the share of the old average in the next one (0.5 in the
    /// released code); `shares` (C) is the class distribution to pull towards, which sums to 1, or
    /// uniform if `None`.
    pub fn new(momentum: f64, shares: Option<&Tensor>) -> Self {
        Fairness { average: None, momentum, shares: shares.map(Tensor::shallow_clone) }
    }

    /// Returns `-(sum_c share_c log pbar_c) / 0.5`, where pbar is the running average with the
    /// batch's mean class probabilities: least if pbar is the distribution asked for. With equal
    /// shares it is the released code's mean over classes.
    fn term(&mut self, logits: &Tensor) -> Tensor {
        let batch = logits.softmax(-1, None::<Number>).mean_dim([0i64].as_slice(), false, None::<Number>);
        let average = match self.average.take() {
            Some(before) => before * self.momentum + batch * (1.0 - self.momentum),
            None => batch,
        };
        self.average = Some(average.detach());
        // A class without any probability must not make the loss infinite.
        let log = average.clamp_min(1e-30).log();
        match &self.shares {
            None => log.mean(None::<Number>) * -2.0,
            Some(shares) => log.dot(shares) * -2.0,
        }
    }

    /// Returns the loss of logits (B, C) against pseudo-labels (B).
    pub fn loss(&mut self, logits: &Tensor, pseudo_labels: &Tensor, weights: LossWeights) -> Loss {
        let ce = logits.cross_entropy_loss::<&Tensor>(pseudo_labels, None, Reduction::Mean, -100, 0.0);
        let fairness = self.term(logits);
        Loss { total: &ce * weights.ce + &fairness * weights.fairness, ce, fairness }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fairness_is_least_at_the_shares_asked_for() {
        let shares = Tensor::from_slice(&[0.7_f32, 0.2, 0.1]);
        let of = |mean: &Tensor, shares: Option<&Tensor>| {
            Fairness::new(0.5, shares).term(&mean.log().unsqueeze(0)).double_value(&[])
        };
        let uniform = Tensor::full([3], 1.0 / 3.0, tch::kind::FLOAT_CPU);
        assert!(of(&shares, Some(&shares)) < of(&uniform, Some(&shares)));
        assert!(of(&uniform, None) < of(&shares, None));
        assert!((of(&shares, None) - of(&shares, Some(&uniform))).abs() < 1e-5, "equal shares are the released term");
    }
}
