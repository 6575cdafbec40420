//! How much the prior prefers some class names to others, and what takes that out, without labels.
//!
//! A name or a sentence that fits everything draws pictures of other classes. If the shares of the
//! classes are known, relaxed optimal transport finds a bias for each class with which the answers
//! have these shares: with logits `L` (n, C), shares `m` and a pull `p` from 0 to 1, the bias `g`
//! is the fixed point of
//!
//! ```text
//! g_k = p * (ln m_k - ln mean_i exp(L_ik - lse_j(L_ij + g_j)))
//! ```
//!
//! With `p = 1` this is Sinkhorn's balanced assignment, as in OTTER (arXiv 2404.08461); below 1 the
//! shares are only a preference (Chizat et al., arXiv 1607.05816), and the iteration a contraction.
//! Only C numbers are learned, and pictures that come later are answered with them.
//!
//! Where classes are rare or absent, pulling towards even shares does harm. [`choose`] therefore
//! looks at how well the answers agree with the pictures themselves.

use tch::{Kind as Number, Tensor};

use super::blocks::{Blocks, products};
use super::normalize;
use crate::error::Result;
use crate::stop::Stop;

/// The biases of the classes, and what they do to the shares of the answers.
#[derive(Debug)]
pub struct ClassBias {
    /// The pull that they were found with.
    pub pull: f64,
    /// What is added to the logits, (C), with mean 0; `f64` on the CPU.
    pub bias: Tensor,
    /// Mean probability of each class without the biases, (C); `f64` on the CPU.
    pub before: Tensor,
    /// Mean probability of each class with the biases, (C); `f64` on the CPU.
    pub after: Tensor,
}

/// What is known of pictures without labels.
#[derive(Debug, Clone, Copy)]
pub struct Evidence<'a> {
    /// The prior's cosines, (n, C).
    pub cosines: &'a Tensor,
    /// The same from each half of a picture's crops, (n, C).
    pub halves: [&'a Tensor; 2],
    /// The pictures' features, (n, d).
    pub features: &'a Tensor,
    /// Factor that turns cosines into logits.
    pub scale: f64,
}

/// The most rounds of the iteration; with a pull of 1 it comes to rest slowly.
const ROUNDS: usize = 300;

/// The iteration is at rest when no bias changes by more than this.
const REST: f64 = 1e-4;

/// Lower bound of a mean probability, so that no bias is infinite.
const LEAST: f64 = 1e-30;

/// The pulls that are tried, from none to all.
const PULLS: [f64; 10] = [0.0, 0.2, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0];

/// By how much answers must agree better for a pull to be taken: pictures differ by that much by
/// chance.
const MARGIN: f64 = 0.01;

/// Returns the biases that pull the answers towards the `shares` (C), or even ones.
///
/// # Errors
/// Returns [`crate::error::Kind::Interrupted`] if a stop was requested.
pub fn estimate(cosines: &Tensor, shares: Option<&Tensor>, pull: f64, scale: f64, stop: &Stop) -> Result<ClassBias> {
    let _no_grad = tch::no_grad_guard();
    let classes = cosines.size()[1];
    let options = (Number::Double, tch::Device::Cpu);
    let even = || Tensor::full([classes], 1.0 / classes as f64, options);
    let wanted = shares.map_or_else(even, |shares| shares.to_kind(Number::Double).to_device(tch::Device::Cpu));
    let wanted = wanted.clamp_min(LEAST).log();
    let mut bias = Tensor::zeros([classes], options);
    let before = mass(cosines, &bias, scale, stop)?;
    let mut after = before.shallow_clone();
    for _ in 0..ROUNDS {
        let next = (&wanted - after.clamp_min(LEAST).log() + &bias) * pull;
        let next = &next - next.mean(Number::Double);
        let moved = (&next - &bias).abs().max().double_value(&[]);
        bias = next;
        after = mass(cosines, &bias, scale, stop)?;
        if moved < REST {
            break;
        }
    }
    Ok(ClassBias { pull, bias, before, after })
}

/// Returns the biases of the pull with which answers agree best with the pictures: the two halves
/// of a picture's crops give the same answer, and a picture's features lie nearest to the mean of
/// those that have its answer. Names that draw pictures of other classes spoil both, and so does a
/// pull towards shares that the pictures do not have.
///
/// # Errors
/// Returns [`crate::error::Kind::Interrupted`] if a stop was requested.
pub fn choose(evidence: Evidence<'_>, shares: Option<&Tensor>, stop: &Stop) -> Result<ClassBias> {
    let _no_grad = tch::no_grad_guard();
    let features = evidence.features;
    let features = normalize(&(features - features.mean_dim([0i64].as_slice(), true, None::<Number>)));
    let mut best: Option<(f64, ClassBias)> = None;
    for pull in PULLS {
        let found = estimate(evidence.cosines, shares, pull, evidence.scale, stop)?;
        let agreement = agreement(&Evidence { features: &features, ..evidence }, &found.bias, stop)?;
        let needed =
            best.as_ref().map_or(f64::NEG_INFINITY, |(best, kept)| best + if kept.pull == 0.0 { MARGIN } else { 0.0 });
        if agreement > needed {
            best = Some((agreement, found));
        }
    }
    match best {
        Some((_, found)) => Ok(found),
        // Without pictures nothing agrees with anything.
        None => estimate(evidence.cosines, shares, 0.0, evidence.scale, stop),
    }
}

/// Returns the logits of cosines with a bias, (rows, C): cosine-like, to be multiplied by `scale`.
#[must_use]
pub fn apply(cosines: &Tensor, bias: &Tensor, scale: f64) -> Tensor {
    cosines + (bias / scale).to_kind(cosines.kind()).to_device(cosines.device())
}

/// Returns the mean probability of each class, (C), `f64` on the CPU.
fn mass(cosines: &Tensor, bias: &Tensor, scale: f64, stop: &Stop) -> Result<Tensor> {
    let (rows, classes) = cosines.size2().unwrap_or((0, 0));
    let mut sum = Tensor::zeros([classes], (Number::Double, tch::Device::Cpu));
    Blocks::of_numbers(rows, classes).each(stop, |block| {
        let answers = (apply(&block.of(cosines), bias, scale) * scale).softmax(-1, None::<Number>);
        let answers = answers.sum_dim_intlist([0i64].as_slice(), false, Number::Double);
        sum += answers.to_device(tch::Device::Cpu);
    })?;
    Ok(sum / rows.max(1) as f64)
}

/// Returns the mean of two shares of the pictures: those which both halves of their crops answer
/// alike, and those which lie nearest to the mean of their own answer. `features` are centred and
/// of unit length.
fn agreement(evidence: &Evidence<'_>, bias: &Tensor, stop: &Stop) -> Result<f64> {
    let Evidence { cosines, halves: [one, other], features, scale } = *evidence;
    let (rows, classes) = cosines.size2().unwrap_or((0, 0));
    if rows == 0 {
        return Ok(0.0);
    }
    let answers = |cosines: &Tensor| {
        Blocks::of_numbers(rows, classes).map(stop, |block| apply(&block.of(cosines), bias, scale).argmax(1, false))
    };
    let same = answers(one)?.eq_tensor(&answers(other)?);
    let own = answers(cosines)?;
    let width = features.size()[1];
    let mut sums = Tensor::zeros([classes, width], (Number::Float, features.device()));
    Blocks::of_products(rows, classes * width).each(stop, |block| {
        let _ = sums.index_add_(0, &block.of(&own), &block.of(features));
    })?;
    // A class that nothing is answered with has no mean, and nothing lies near it.
    let absent = own.bincount::<&Tensor>(None, classes).eq(0);
    let near = products(features, &normalize(&sums), stop)?.masked_fill(&absent, f64::NEG_INFINITY).argmax(1, false);
    let share = |agree: &Tensor| agree.to_kind(Number::Double).mean(Number::Double).double_value(&[]);
    Ok((share(&same) + share(&near.eq_tensor(&own))) / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    const SCALE: f64 = 100.0;

    /// Pictures whose features lie about their class's centre, and whose names are biased.
    struct Drawn {
        truth: Tensor,
        features: Tensor,
        cosines: Tensor,
        halves: [Tensor; 2],
    }

    impl Drawn {
        fn new(pictures: &[i64]) -> Self {
            tch::manual_seed(3);
            let options = tch::kind::FLOAT_CPU;
            let centres = normalize(&Tensor::randn([8, 32], options));
            let bias = Tensor::randn([8], options) * 0.08;
            let truth: Vec<i64> = (0..).zip(pictures).flat_map(|(class, &n)| vec![class; n as usize]).collect();
            let truth = Tensor::from_slice(&truth);
            let seen = || {
                let noise = Tensor::randn([truth.size()[0], 32], options) * 0.12;
                normalize(&(centres.index_select(0, &truth) + noise))
            };
            // The names lie near a direction that all pictures share, as CLIP's do.
            let cosines = |features: &Tensor| features.matmul(&centres.tr()) * 0.1 + &bias;
            let (one, other) = (seen(), seen());
            let features = normalize(&(&one + &other));
            Drawn { cosines: cosines(&features), halves: [cosines(&one), cosines(&other)], features, truth }
        }

        fn chosen(&self) -> ClassBias {
            let halves = [&self.halves[0], &self.halves[1]];
            let evidence = Evidence { cosines: &self.cosines, halves, features: &self.features, scale: SCALE };
            choose(evidence, None, &Stop::default()).unwrap()
        }

        fn accuracy(&self, bias: &Tensor) -> f64 {
            let answers = apply(&self.cosines, bias, SCALE).argmax(1, false);
            answers.eq_tensor(&self.truth).to_kind(Number::Double).mean(Number::Double).double_value(&[])
        }

        fn none(&self) -> f64 {
            self.accuracy(&Tensor::zeros([8], (Number::Double, tch::Device::Cpu)))
        }
    }

    #[test]
    fn a_full_pull_gives_the_shares_that_are_wanted_and_half_a_pull_goes_halfway() {
        let drawn = Drawn::new(&[40; 8]);
        let stop = Stop::default();
        let numbers = |t: &Tensor| Vec::<f64>::try_from(t).unwrap();
        let full = estimate(&drawn.cosines, None, 1.0, SCALE, &stop).unwrap();
        assert!(numbers(&full.after).iter().all(|share| (share - 0.125).abs() < 1e-3), "{:?}", numbers(&full.after));
        let given = Tensor::from_slice(&[0.3, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1]);
        let towards = estimate(&drawn.cosines, Some(&given), 1.0, SCALE, &stop).unwrap();
        assert!((numbers(&towards.after)[0] - 0.3).abs() < 1e-3);
        let spread = |shares: &Tensor| numbers(shares).iter().map(|share| (share - 0.125).abs()).sum::<f64>();
        let half = estimate(&drawn.cosines, None, 0.5, SCALE, &stop).unwrap();
        assert!(spread(&half.after) < spread(&half.before) && spread(&half.after) > spread(&full.after));
        let none = estimate(&drawn.cosines, None, 0.0, SCALE, &stop).unwrap();
        assert_eq!(numbers(&none.bias), [0.0; 8]);
        assert!(full.bias.mean(Number::Double).double_value(&[]).abs() < 1e-9);
    }

    #[test]
    fn the_pull_is_strong_where_classes_are_even_and_does_no_harm_where_most_are_absent() {
        let even = Drawn::new(&[60; 8]);
        let chosen = even.chosen();
        assert!(chosen.pull >= 0.8, "{} {} {}", chosen.pull, even.accuracy(&chosen.bias), even.none());
        assert!(even.accuracy(&chosen.bias) > even.none() + 0.1, "{} {}", even.accuracy(&chosen.bias), even.none());
        for present in [[60, 60, 0, 0, 0, 0, 0, 0], [0, 0, 0, 60, 60, 60, 0, 0], [200, 60, 20, 6, 2, 1, 1, 1]] {
            let few = Drawn::new(&present);
            let chosen = few.chosen();
            assert!(few.accuracy(&chosen.bias) > few.none() - 0.01, "{present:?}: {}", chosen.pull);
        }
    }

    #[test]
    fn it_can_be_stopped_in_every_round() {
        let drawn = Drawn::new(&[5; 8]);
        for asked in [0, 1, 7, 40] {
            let stopped = estimate(&drawn.cosines, None, 1.0, SCALE, &Stop::after(asked));
            assert_eq!(stopped.unwrap_err().kind(), Kind::Interrupted);
        }
    }
}
