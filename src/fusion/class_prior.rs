//! Estimates how often each class occurs, without labels.
//!
//! Counting the prior's answers, or expectation maximisation over its probabilities (Saerens et
//! al., 2002), mostly finds the sentences' own bias: a class whose sentences fit everything is
//! found everywhere. The pictures are a better guide. So they are clustered by appearance:
//! spherical k-means over the frozen composite features, started from the prior's answers, which
//! only determine which cluster is which class. The share of a class is the share of its cluster.
//!
//! A class may have a high mean cosine because it is frequent, or because its sentences fit
//! everything. Labels would be needed to tell these apart, so half of each class's mean is taken to
//! be bias, and subtracted from the answers that k-means starts from.

use tch::{Kind as Number, Tensor};

use super::blocks::Blocks;
use super::matrix::Matrix;
use super::normalize;
use crate::error::Result;
use crate::stop::Stop;

/// The number of assignments of all pictures; by then, k-means on tens of thousands of pictures has
/// settled.
const ROUNDS: usize = 20;

/// Pictures that every class is given besides those of its cluster, so that no share is zero.
const PSEUDO_COUNT: f64 = 1.0;

/// The part of a class's mean cosine that is taken to be the sentences' bias.
const BIAS: f64 = 0.5;

/// Returns shares (C) that sum to 1, from unit features (n, d) and the prior's cosines (n, C).
///
/// # Errors
/// Returns [`crate::error::Kind::Interrupted`] if a stop was requested.
pub fn estimate(features: &Matrix, prior: &Matrix, stop: &Stop) -> Result<Tensor> {
    let _no_grad = tch::no_grad_guard();
    let (pictures, classes, width) = (features.size().0, prior.size().1, features.size().1);
    let bias = prior.mean(stop)? * BIAS;
    let mut clusters = prior.map(stop, |rows| (rows - &bias).argmax(1, false))?;
    let mut centres = Tensor::zeros([classes, width], tch::kind::FLOAT_CPU);
    let products = Blocks::of_cosines(pictures, classes, classes * width);
    for _ in 0..ROUNDS {
        let mut sums = centres.zeros_like();
        products.try_each(stop, |block| {
            let members = block.of(&clusters).one_hot(classes).to_kind(Number::Float);
            sums += members.tr().matmul(&features.block(block)?);
            Ok(())
        })?;
        // A cluster that lost all its pictures stays where it was; one that never had any stays at
        // the origin.
        centres = normalize(&sums).where_self(&sizes(&clusters, classes).unsqueeze(1).gt(0.0), &centres);
        clusters = products.try_map(stop, |block| Ok(features.block(block)?.matmul(&centres.tr()).argmax(1, false)))?;
    }
    let count = sizes(&clusters, classes) + PSEUDO_COUNT;
    Ok(&count / count.sum(Number::Float))
}

/// Returns the number of pictures of each cluster, (C).
fn sizes(clusters: &Tensor, classes: i64) -> Tensor {
    clusters.bincount::<&Tensor>(None, classes).to_kind(Number::Float)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    const TRUTH: [i64; 3] = [160, 30, 10];

    /// Returns features of pictures of three kinds, and cosines to their centres with noise and
    /// with a bias towards class 1.
    fn biased(bias: f64) -> (Tensor, Tensor) {
        tch::manual_seed(5);
        let options = tch::kind::FLOAT_CPU;
        let centres = normalize(&Tensor::randn([3, 16], options));
        let truth: Vec<i64> = TRUTH.iter().zip(0..).flat_map(|(&n, class)| vec![class; n as usize]).collect();
        let pictures = truth.len() as i64;
        let noise = |width: i64, size: f64| Tensor::randn([pictures, width], options) * size;
        let features = normalize(&(centres.index_select(0, &Tensor::from_slice(&truth)) + noise(16, 0.1)));
        let prior = features.matmul(&centres.tr()) + noise(3, 0.4) + Tensor::from_slice(&[0.0, bias as f32, 0.0]);
        (features, prior)
    }

    fn shares(features: &Tensor, prior: &Tensor) -> Vec<f32> {
        let (features, prior) = (features.shallow_clone().into(), prior.shallow_clone().into());
        Vec::try_from(estimate(&features, &prior, &Stop::default()).unwrap()).unwrap()
    }

    #[test]
    fn it_asks_twice_a_round_whether_to_stop() {
        let (features, prior) = biased(0.3);
        let (features, prior) = (features.into(), prior.into());
        let questions = 2 + 2 * ROUNDS as u64;
        for asked in 0..questions {
            assert_eq!(estimate(&features, &prior, &Stop::after(asked)).unwrap_err().kind(), Kind::Interrupted);
        }
        assert!(estimate(&features, &prior, &Stop::after(questions)).is_ok());
    }

    fn distance(shares: &[f32]) -> f32 {
        let all = TRUTH.iter().sum::<i64>() as f32;
        shares.iter().zip(TRUTH).map(|(share, n)| (share - n as f32 / all).abs()).sum()
    }

    #[test]
    fn finds_the_shares_behind_biased_answers() {
        for bias in [0.0, 0.3, 0.6] {
            let (features, prior) = biased(bias);
            let shares = shares(&features, &prior);
            let answers = Vec::<i64>::try_from(prior.argmax(1, false)).unwrap();
            let counted: Vec<f32> =
                (0..3).map(|c| answers.iter().filter(|&&a| a == c).count() as f32 / answers.len() as f32).collect();
            assert!(distance(&shares) < 0.05, "bias {bias}: {shares:?}");
            assert!(distance(&counted) > 0.1, "bias {bias}: counting would do, {counted:?}");
            assert!((shares.iter().sum::<f32>() - 1.0).abs() < 1e-5);
        }
    }

    #[test]
    fn a_class_that_is_never_answered_has_a_share_above_zero() {
        let (features, prior) = biased(0.0);
        let never = Tensor::full([prior.size()[0], 1], -9.0, tch::kind::FLOAT_CPU);
        let shares = shares(&features, &Tensor::cat(&[prior, never], 1));
        assert!(shares[3] > 0.0 && shares[3] < 0.01, "{shares:?}");
    }
}
