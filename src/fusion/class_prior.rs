//! How often each class occurs, estimated without a label.
//!
//! Counting pseudo-labels, or expectation maximisation over the classifier's probabilities (Saerens et al., 2002), finds mostly the
//! classifier's own bias: a class whose sentences fit everything is found everywhere. The pictures know better how many
//! there are of a kind. So they are clustered by what they look like: spherical k-means over the frozen composite features,
//! started from the means of the pseudo-labels, which alone says which cluster is which class. The share of a class is the share of
//! its cluster.

use tch::{Kind as Number, Tensor};

use super::normalize;

/// Assignments of all pictures; k-means on tens of thousands of pictures has settled by then.
const ROUNDS: usize = 20;

/// Pictures that every class is taken to have besides those of its cluster: no share is zero.
const PSEUDO_COUNT: f64 = 1.0;

/// What of the shares is taken from the clusters; the rest is uniform. Clusters of classes that look alike are often unequal where
/// the classes are not.
const TRUST: f64 = 0.7;

/// Shares (C) that sum to 1, from unit features (n, d), the pictures' pseudo-labels (n), negative where there is none, and the
/// number of classes.
pub fn estimate(features: &Tensor, pseudo_labels: &Tensor, classes: i64) -> Tensor {
    let _no_grad = tch::no_grad_guard();
    let labelled = pseudo_labels.ge(0);
    let start = pseudo_labels.clamp_min(0);
    let mut members = one_hot(&start, classes) * labelled.unsqueeze(1).to_kind(Number::Float);
    let mut centres = Tensor::zeros([classes, features.size()[1]], (Number::Float, features.device()));
    for _ in 0..ROUNDS {
        let count = members.sum_dim_intlist([0i64].as_slice(), false, None::<Number>).unsqueeze(1);
        // A cluster that lost all its pictures stays where it was; one that never had any is at no picture's side.
        centres = normalize(&members.tr().matmul(features)).where_self(&count.gt(0.0), &centres);
        members = one_hot(&features.matmul(&centres.tr()).argmax(1, false), classes);
    }
    let count = members.sum_dim_intlist([0i64].as_slice(), false, None::<Number>) + PSEUDO_COUNT;
    let clusters = &count / count.sum(Number::Float);
    clusters * TRUST + (1.0 - TRUST) / classes as f64
}

fn one_hot(labels: &Tensor, classes: i64) -> Tensor {
    labels.one_hot(classes).to_kind(Number::Float)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pictures of three kinds, 160, 30 and 10, and labels of which a third is wrong, always towards class 1.
    fn biased() -> (Tensor, Tensor) {
        tch::manual_seed(5);
        let centres = normalize(&Tensor::randn([3, 16], tch::kind::FLOAT_CPU));
        let truth: Vec<i64> = [(0, 160), (1, 30), (2, 10)].iter().flat_map(|&(c, n)| vec![c; n]).collect();
        let labels: Vec<i64> = truth.iter().enumerate().map(|(n, &c)| if n % 3 == 0 { 1 } else { c }).collect();
        let noise = Tensor::randn([200, 16], tch::kind::FLOAT_CPU) * 0.1;
        let features = normalize(&(centres.index_select(0, &Tensor::from_slice(&truth)) + noise));
        (features, Tensor::from_slice(&labels))
    }

    #[test]
    fn finds_the_shares_behind_biased_labels() {
        let (features, labels) = biased();
        let shares = Vec::<f32>::try_from(estimate(&features, &labels, 3)).unwrap();
        for (share, truth) in shares.iter().zip([0.80, 0.15, 0.05]) {
            let shrunk = TRUST as f32 * truth + (1.0 - TRUST as f32) / 3.0;
            assert!((share - shrunk).abs() < 0.02, "{shares:?}");
        }
    }

    #[test]
    fn a_class_without_labels_has_the_uniform_part_of_a_share() {
        let (features, labels) = biased();
        let unlabelled = labels.where_scalarother(&labels.ne(2), -1);
        let shares = Vec::<f32>::try_from(estimate(&features, &unlabelled, 4)).unwrap();
        assert!((0.07..0.09).contains(&shares[3]), "{shares:?}");
        assert!((shares.iter().sum::<f32>() - 1.0).abs() < 1e-5);
    }
}
