//! The criteria by which a row is chosen. Each gives a run a number that no label is needed for;
//! more is taken to be better.

mod agreement;
mod gaussians;
mod means;
mod neighbours;
mod silhouette;
mod spread;

use super::answers::Answered;
use super::set::Set;
use crate::error::Result;
use crate::settings::choice;
use crate::stop::Stop;

pub(super) use agreement::of_seeds;

choice! {
    /// What a row is chosen by.
    Criterion {
        /// The mean standing by `explained` and `nearest-mean`.
        Structure = "structure",
        /// The mean standing by all of the criteria below.
        All = "all",
        /// How much nearer pictures lie to those with their own answer than to those with the next
        /// best.
        Silhouette = "silhouette",
        /// The share of the features' variance that lies between the answers, not within them.
        Explained = "explained",
        /// The share of the pictures that lie nearest to the mean of their own answer.
        NearestMean = "nearest-mean",
        /// The share of the nearest pictures, in the frozen model's space, with the same answer.
        Neighbours = "neighbours",
        /// The share of the pictures that Gaussians, fitted to the answers about training pictures,
        /// answer alike.
        Transfer = "transfer",
        /// The share of the pictures both halves of whose crops lie nearest to the same answer's
        /// mean.
        Halves = "halves",
        /// How likely the pictures are under Gaussians fitted to the answers about training
        /// pictures.
        Likelihood = "likelihood",
        /// The share of the pictures that runs with different seeds answer alike.
        Seeds = "seeds",
        /// The share of the training pictures that are answered as the prior does.
        Prior = "prior",
        /// The effective number of classes: the exponential of the entropy of the mean answer.
        Spread = "spread",
        /// The mean confidence of the answers.
        Confidence = "confidence",
        /// Mutual information of pictures and answers in the last pass: entropy of the mean, less
        /// mean entropy.
        Information = "information",
    }
}

impl Criterion {
    /// What a row is chosen by if nothing is said.
    pub const DEFAULT: Criterion = Criterion::Silhouette;

    /// Returns the criterion with that name, one of [`Self::NAMES`]; the default without such a
    /// one.
    pub fn named(name: &str) -> Criterion {
        Self::ALL.iter().copied().find(|criterion| criterion.name() == name).unwrap_or(Self::DEFAULT)
    }

    /// Returns the criteria whose standings this one is the mean of; none if it is measured itself.
    pub fn parts(self) -> &'static [Criterion] {
        match self {
            Criterion::Structure => &[Criterion::Explained, Criterion::NearestMean],
            Criterion::All => &Criterion::ALL[2..],
            _ => &[],
        }
    }
}

/// Returns the value of one run by a criterion that looks at single runs; `None` if it does not
/// apply to the run, or is none that does.
///
/// # Errors
/// Returns [`crate::error::Kind::Interrupted`] if a stop was requested.
pub(super) fn of_run(criterion: Criterion, answered: &Answered, set: &Set, stop: &Stop) -> Result<Option<f64>> {
    Ok(match criterion {
        Criterion::Structure | Criterion::All | Criterion::Seeds => None,
        Criterion::Neighbours => neighbours::agreement(answered, set),
        Criterion::Silhouette => silhouette::silhouette(answered, set, stop)?,
        Criterion::NearestMean => means::own(answered, set, stop)?,
        Criterion::Explained => means::explained(answered, set, stop)?,
        Criterion::Halves => means::halves(answered, set, stop)?,
        Criterion::Transfer => gaussians::transfer(answered, set, stop)?,
        Criterion::Likelihood => gaussians::likelihood(answered, set, stop)?,
        Criterion::Prior => answered.prior,
        Criterion::Spread => spread::effective_classes(answered, set),
        Criterion::Confidence => answered.confidence,
        Criterion::Information => answered.information,
    })
}

/// Returns the share of places where two tensors of classes (n) are equal; `None` of nothing.
fn share_alike(these: &tch::Tensor, those: &tch::Tensor) -> Option<f64> {
    let alike = these.eq_tensor(those).to_kind(tch::Kind::Double).mean(tch::Kind::Double).double_value(&[]);
    Some(alike).filter(|share| share.is_finite())
}

#[cfg(test)]
mod tests {
    use tch::{Kind, Tensor};

    use super::*;

    /// Three clouds of 40 pictures in 8 dimensions, in turn.
    fn clouds() -> (Tensor, Vec<i64>) {
        tch::manual_seed(4);
        let truth: Vec<i64> = (0..120).map(|n| n % 3).collect();
        let centres = Tensor::eye(8, tch::kind::FLOAT_CPU).narrow(0, 0, 3);
        let noise = Tensor::randn([120, 8], tch::kind::FLOAT_CPU) * 0.15;
        (centres.index_select(0, &Tensor::from_slice(&truth)) + noise, truth)
    }

    fn answered(classes: &[i64]) -> Answered {
        Answered { classes: Tensor::from_slice(classes), confidence: Some(0.5), prior: None, information: None }
    }

    fn value(criterion: Criterion, classes: &[i64], set: &Set) -> f64 {
        of_run(criterion, &answered(classes), set, &Stop::default()).unwrap().unwrap()
    }

    #[test]
    fn answers_that_follow_the_pictures_are_better_than_answers_that_do_not() {
        let (features, truth) = clouds();
        let set = Set::of(&features, 4, 60);
        let shuffled: Vec<i64> = truth.iter().enumerate().map(|(n, class)| (class + n as i64 / 7) % 3).collect();
        for criterion in [Criterion::Neighbours, Criterion::NearestMean, Criterion::Explained, Criterion::Likelihood] {
            let (right, wrong) = (value(criterion, &truth, &set), value(criterion, &shuffled, &set));
            assert!(right > wrong, "{criterion}: {right} {wrong}");
        }
        assert!(value(Criterion::Neighbours, &truth, &set) > 0.9);
        assert!(value(Criterion::NearestMean, &truth, &set) > 0.9);
    }

    #[test]
    fn the_silhouette_is_that_of_all_pairs() {
        let features = Tensor::from_slice(&[1.0f32, 0.2, 1.0, -0.3, -1.0, 0.5, -1.0, -0.1, 0.1, 1.0]).view([5, 2]);
        let set = Set::of(&features, 4, 0);
        let answers = [0i64, 0, 2, 2, 3];
        let features = set.features.in_memory(&Stop::default()).unwrap();
        let distances = (features.matmul(&features.tr()).neg() + 1.0).to_kind(Kind::Double);
        let between = |i: usize, class: i64| {
            let others = (0..5).filter(|&j| j != i && answers[j] == class);
            let all: Vec<f64> = others.map(|j| distances.double_value(&[i as i64, j as i64])).collect();
            (!all.is_empty()).then(|| all.iter().sum::<f64>() / all.len() as f64)
        };
        let of = |i: usize| {
            let Some(own) = between(i, answers[i]) else { return 0.0 };
            let next = [0, 2, 3].into_iter().filter(|&class| class != answers[i]).filter_map(|class| between(i, class));
            let next = next.fold(f64::INFINITY, f64::min);
            (next - own) / next.max(own)
        };
        let mean = (0..5).map(of).sum::<f64>() / 5.0;
        assert!((value(Criterion::Silhouette, &answers, &set) - mean).abs() < 1e-6);
    }

    #[test]
    fn a_name_for_a_cloud_does_not_matter_to_what_looks_at_pictures_alone() {
        let (features, truth) = clouds();
        let set = Set::of(&features, 4, 60);
        let renamed: Vec<i64> = truth.iter().map(|class| 3 - class).collect();
        for criterion in [Criterion::Neighbours, Criterion::NearestMean, Criterion::Likelihood, Criterion::Spread] {
            let (one, other) = (value(criterion, &truth, &set), value(criterion, &renamed, &set));
            assert!((one - other).abs() < 1e-9, "{criterion}: {one} {other}");
        }
    }

    #[test]
    fn the_spread_is_the_number_of_classes_that_are_answered_evenly() {
        let (features, truth) = clouds();
        let set = Set::of(&features, 4, 60);
        assert!((value(Criterion::Spread, &truth, &set) - 3.0).abs() < 1e-9);
        assert!((value(Criterion::Spread, &[2; 120], &set) - 1.0).abs() < 1e-9);
    }

    #[test]
    fn the_likelihood_is_that_of_the_density_written_out() {
        // One class of one dimension: mean 0 and variance 1 on the training pictures (1 and -1).
        let set = Set::of(&Tensor::from_slice(&[1.0f32, -1.0, 1.0, -1.0]).view([4, 1]), 1, 2);
        let density = -0.5 * (1.0 + (2.0 * std::f64::consts::PI).ln());
        assert!((value(Criterion::Likelihood, &[0; 4], &set) - density).abs() < 1e-6);
        assert_eq!(value(Criterion::Transfer, &[0; 4], &set), 1.0);
    }

    #[test]
    fn seeds_agree_on_the_mean_share_of_their_pairs_and_one_alone_says_nothing() {
        let set = Set::of(&Tensor::randn([4, 2], (Kind::Float, tch::Device::Cpu)), 3, 0);
        let runs = [answered(&[0, 1, 2, 0]), answered(&[0, 1, 2, 1]), answered(&[0, 1, 0, 0])];
        // 3 of 4, 3 of 4 and 2 of 4 alike.
        assert_eq!(of_seeds(&runs.iter().collect::<Vec<_>>(), &set), Some((0.75 + 0.75 + 0.5) / 3.0));
        assert_eq!(of_seeds(&[&runs[0]], &set), None);
    }

    #[test]
    fn pictures_that_are_few_or_all_alike_are_no_error() {
        for pictures in [1, 2] {
            let set = Set::of(&Tensor::ones([pictures, 3], tch::kind::FLOAT_CPU), 2, 1);
            for &criterion in Criterion::ALL {
                let value = of_run(criterion, &answered(&vec![0; pictures as usize]), &set, &Stop::default()).unwrap();
                assert!(value.is_none_or(f64::is_finite), "{criterion}: {value:?}");
            }
        }
    }
}
