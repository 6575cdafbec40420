//! How often each class occurs, estimated without a label.
//!
//! Counting the prior's answers, or expectation maximisation over its probabilities (Saerens et al., 2002), finds mostly the
//! sentences' own bias: a class whose sentences fit everything is found everywhere. The pictures know better how many there
//! are of a kind. So they are clustered by what they look like: spherical k-means over the frozen composite features, started
//! from the prior's answers, which alone say which cluster is which class. The share of a class is the share of its cluster.
//!
//! A class may have a high mean cosine because it is frequent, or because its sentences fit everything. Nobody can tell without
//! labels, so that half of each class's mean is taken to be bias, and taken out of the answers that k-means starts from.

use tch::{Kind as Number, Tensor};

use super::normalize;

/// Assignments of all pictures; k-means on tens of thousands of pictures has settled by then.
const ROUNDS: usize = 20;

/// Pictures that every class is taken to have besides those of its cluster: no share is zero.
const PSEUDO_COUNT: f64 = 1.0;

/// What of a class's mean cosine is taken for the sentences' bias.
const BIAS: f64 = 0.5;

/// Shares (C) that sum to 1, from unit features (n, d) and the prior's cosines (n, C).
pub fn estimate(features: &Tensor, prior: &Tensor) -> Tensor {
    let _no_grad = tch::no_grad_guard();
    let classes = prior.size()[1];
    let mean = prior.mean_dim([0i64].as_slice(), true, None::<Number>);
    let mut members = one_hot(&(prior - mean * BIAS).argmax(1, false), classes);
    let mut centres = Tensor::zeros([classes, features.size()[1]], (Number::Float, features.device()));
    for _ in 0..ROUNDS {
        let count = members.sum_dim_intlist([0i64].as_slice(), false, None::<Number>).unsqueeze(1);
        // A cluster that lost all its pictures stays where it was; one that never had any is at no picture's side.
        centres = normalize(&members.tr().matmul(features)).where_self(&count.gt(0.0), &centres);
        members = one_hot(&features.matmul(&centres.tr()).argmax(1, false), classes);
    }
    let count = members.sum_dim_intlist([0i64].as_slice(), false, None::<Number>) + PSEUDO_COUNT;
    &count / count.sum(Number::Float)
}

fn one_hot(labels: &Tensor, classes: i64) -> Tensor {
    labels.one_hot(classes).to_kind(Number::Float)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRUTH: [i64; 3] = [160, 30, 10];

    /// Features of pictures of three kinds, and cosines to their centres with noise and with a bias towards class 1.
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

    fn distance(shares: &[f32]) -> f32 {
        let all = TRUTH.iter().sum::<i64>() as f32;
        shares.iter().zip(TRUTH).map(|(share, n)| (share - n as f32 / all).abs()).sum()
    }

    #[test]
    fn finds_the_shares_behind_biased_answers() {
        for bias in [0.0, 0.3, 0.6] {
            let (features, prior) = biased(bias);
            let shares = Vec::<f32>::try_from(estimate(&features, &prior)).unwrap();
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
        let shares = Vec::<f32>::try_from(estimate(&features, &Tensor::cat(&[prior, never], 1))).unwrap();
        assert!(shares[3] > 0.0 && shares[3] < 0.01, "{shares:?}");
    }
}
