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

mod fixed_point;

use tch::{Kind as Number, Tensor};

use self::fixed_point::FixedPoint;
use super::blocks::Blocks;
use super::matrix::Matrix;
use super::nearest_mean::{ClassMeans, centred};
use crate::error::{Context, Kind, Result};
use crate::stop::Stop;

/// The biases of the classes, and what they do to the shares of the answers.
#[derive(Debug)]
pub struct ClassBias {
    /// The pull that they were found with.
    pub pull: f64,
    /// The shares that the answers are pulled towards, (C); `f64` on the CPU.
    pub shares: Tensor,
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
    pub cosines: &'a Matrix,
    /// The same from each half of a picture's crops, (n, C).
    pub halves: [&'a Matrix; 2],
    /// The pictures' features, (n, d).
    pub features: &'a Matrix,
    /// Factor that turns cosines into logits.
    pub scale: f64,
}

/// The most rounds of the iteration; with a pull of 1 it comes to rest slowly.
const ROUNDS: usize = 300;

/// The iteration is at rest when no bias is further than this from its place, which changes no
/// answer that anybody would defend.
const REST: f64 = 1e-3;

/// A step with the pull `p` leaves at most `p` of the way to go, so that the way is at most the
/// step over `1 - p`. With a full pull there is no such bound, and this is taken for `1 - p`.
const SLOWEST: f64 = 0.1;

/// Lower bound of a mean probability, so that no bias is infinite.
const LEAST: f64 = 1e-30;

/// The pulls that are tried, from none to all.
const PULLS: [f64; 10] = [0.0, 0.2, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0];

/// Agreements that differ by no more than this over the root of the number of pictures are taken
/// for equal: that much is chance.
const CHANCE: f64 = 0.2;

/// Returns the biases that pull the answers towards the `shares` (C), or even ones. The caller must
/// not hold a turn on a core, since the pictures are shared out over all.
///
/// # Errors
/// Returns [`crate::error::Kind::Interrupted`] if a stop was requested.
pub fn estimate(cosines: &Matrix, shares: Option<&Tensor>, pull: f64, scale: f64, stop: &Stop) -> Result<ClassBias> {
    let before = unbiased(cosines, scale, stop)?;
    estimate_from(None, &before, cosines, shares, pull, scale, stop)
}

/// Like [`estimate`], but begins at the biases of another pull. `before` are the mean probabilities
/// without biases.
fn estimate_from(
    start: Option<&ClassBias>,
    before: &[f64],
    cosines: &Matrix,
    shares: Option<&Tensor>,
    pull: f64,
    scale: f64,
    stop: &Stop,
) -> Result<ClassBias> {
    let classes = before.len();
    let shares = numbers(&wanted(shares, classes))?;
    let wanted: Vec<f64> = shares.iter().map(|share| share.max(LEAST).ln()).collect();
    let (mut bias, mut after) = match start {
        Some(start) => (numbers(&start.bias)?, numbers(&start.after)?),
        None => (vec![0.0; classes], before.to_owned()),
    };
    let rest = REST * (1.0 - pull).max(SLOWEST);
    let mut steps = FixedPoint::default();
    for _ in 0..ROUNDS {
        let pulled = wanted.iter().zip(&after).zip(&bias);
        let mut value: Vec<f64> =
            pulled.map(|((wanted, after), bias)| (wanted - after.max(LEAST).ln() + bias) * pull).collect();
        centre(&mut value);
        let moved = value.iter().zip(&bias).fold(0.0, |most: f64, (value, bias)| most.max((value - bias).abs()));
        if moved < rest {
            break;
        }
        bias = steps.next(&bias, value);
        after = mass(cosines, &bias, scale, stop)?;
    }
    let [shares, bias, before, after] = [&shares, &bias, before, &after].map(Tensor::from_slice);
    Ok(ClassBias { pull, shares, bias, before, after })
}

/// Returns the shares that answers about so many classes are pulled towards, (C), `f64`: those that
/// are given, or even ones.
pub fn wanted(shares: Option<&Tensor>, classes: usize) -> Tensor {
    match shares {
        Some(shares) => shares.to_kind(Number::Double),
        None => Tensor::from_slice(&vec![1.0 / classes as f64; classes]),
    }
}

/// Takes the mean off: a number that is added to all classes changes no answer.
fn centre(bias: &mut [f64]) {
    let mean = bias.iter().sum::<f64>() / bias.len().max(1) as f64;
    bias.iter_mut().for_each(|bias| *bias -= mean);
}

/// Copies a tensor's numbers.
fn numbers(of: &Tensor) -> Result<Vec<f64>> {
    let of = of.to_kind(Number::Double).to_device(tch::Device::Cpu);
    Vec::try_from(&of).context(Kind::Torch, || "cannot copy the biases of the classes".to_owned())
}

/// Returns the biases of the weakest pull with which answers agree with the pictures as well as
/// with any, but for chance: the two halves of a picture's crops give the same answer, and its
/// features lie nearest to the mean of the others that have its answer. Names that draw pictures of
/// other classes spoil both, and so does a pull towards shares that the pictures do not have.
///
/// # Errors
/// Returns [`crate::error::Kind::Interrupted`] if a stop was requested.
pub fn choose(evidence: Evidence<'_>, shares: Option<&Tensor>, stop: &Stop) -> Result<ClassBias> {
    choose_by_sample(evidence, shares, MOST, stop)
}

/// Like [`choose`], by a sample of at most so many numbers, where there are more.
fn choose_by_sample(evidence: Evidence<'_>, shares: Option<&Tensor>, most: i64, stop: &Stop) -> Result<ClassBias> {
    let _no_grad = tch::no_grad_guard();
    let Evidence { cosines, halves: [one, other], features, scale } = evidence;
    let Some(places) = cosines.sample(most) else { return choose_among(evidence, shares, stop) };
    let sampled = |of: &Matrix| of.picked(&places).in_memory_if_small(stop);
    let halves = [&sampled(one)?, &sampled(other)?];
    let sample = Evidence { cosines: &sampled(cosines)?, halves, features: &sampled(features)?, scale };
    let chosen = choose_among(sample, shares, stop)?;
    // The biases of all pictures lie near those of the sample, which spares most of the rounds.
    let after = mass(cosines, &numbers(&chosen.bias)?, scale, stop)?;
    let start = ClassBias { after: Tensor::from_slice(&after), ..chosen };
    estimate_from(Some(&start), &unbiased(cosines, scale, stop)?, cosines, shares, start.pull, scale, stop)
}

/// The most numbers that pulls are tried on: agreements of more pictures than that differ by less
/// than chance.
const MOST: i64 = 1 << 25;

/// Tries every pull on all of these pictures.
fn choose_among(evidence: Evidence<'_>, shares: Option<&Tensor>, stop: &Stop) -> Result<ClassBias> {
    let Evidence { cosines, features, scale, .. } = evidence;
    let features = centred(features, stop)?;
    let before = unbiased(cosines, scale, stop)?;
    let mut tried: Vec<(f64, ClassBias)> = Vec::with_capacity(PULLS.len());
    for pull in PULLS {
        // The biases of one pull lie near those of the next.
        let last = tried.last().map(|(_, found)| found);
        let found = estimate_from(last, &before, cosines, shares, pull, scale, stop)?;
        let agreement = agreement(&Evidence { features: &features, ..evidence }, &found.bias, stop)?;
        tried.push((agreement, found));
    }
    let best = tried.iter().map(|(agreement, _)| *agreement).fold(f64::NEG_INFINITY, f64::max);
    let enough = best - CHANCE / (cosines.size().0.max(1) as f64).sqrt();
    match tried.into_iter().find(|(agreement, _)| *agreement >= enough) {
        Some((_, found)) => Ok(found),
        None => estimate(cosines, shares, 0.0, scale, stop),
    }
}

/// Returns the mean probability of each class, (C), fp32 on the CPU, of cosine-like logits (rows,
/// C).
///
/// # Errors
/// Returns [`crate::error::Kind::Interrupted`] if a stop was requested.
pub fn shares(cosines: &Matrix, scale: f64, stop: &Stop) -> Result<Tensor> {
    Ok(Tensor::from_slice(&unbiased(cosines, scale, stop)?).to_kind(Number::Float))
}

/// Returns the logits of cosines with a bias, (rows, C): cosine-like, to be multiplied by `scale`.
pub fn apply(cosines: &Tensor, bias: &Tensor, scale: f64) -> Tensor {
    cosines + (bias / scale).to_kind(cosines.kind()).to_device(cosines.device())
}

/// Like [`apply`], for a table of all pictures, where it is read.
pub fn applied(cosines: &Matrix, bias: &Tensor, scale: f64) -> Matrix {
    cosines.shifted(&(bias / scale))
}

/// Numbers that a core works on at a time: with their softmax they fit its cache.
const IN_CACHE: i64 = 1 << 16;

/// Numbers of a core's turn, some milliseconds: the sums of turns are added in order, so that the
/// number of cores changes no bit.
const OF_A_TURN: i64 = 1 << 20;

/// Returns the mean probability of each class, (C), without biases.
fn unbiased(cosines: &Matrix, scale: f64, stop: &Stop) -> Result<Vec<f64>> {
    mass(cosines, &vec![0.0; cosines.size().1 as usize], scale, stop)
}

/// Returns the mean probability of each class, (C).
fn mass(cosines: &Matrix, bias: &[f64], scale: f64, stop: &Stop) -> Result<Vec<f64>> {
    let (rows, classes) = cosines.size();
    let bias: Vec<f32> = bias.iter().map(|bias| *bias as f32).collect();
    let turns = Blocks::of_numbers(rows, classes).at_most((OF_A_TURN / classes.max(1)).max(1));
    let sums = cosines.on_cores(turns, stop, move |cosines| {
        let _no_grad = tch::no_grad_guard();
        let bias = Tensor::from_slice(&bias).to_device(cosines.device());
        let mut sum = Tensor::zeros([classes], (Number::Double, cosines.device()));
        for block in cosines.split((IN_CACHE / classes.max(1)).max(1), 0) {
            let logits = &bias + block.to_kind(Number::Float) * scale;
            sum += logits.softmax(-1, None::<Number>).sum_dim_intlist([0i64].as_slice(), false, None::<Number>);
        }
        numbers(&sum)
    })?;
    let mut mass = vec![0.0; classes as usize];
    for sum in sums {
        mass.iter_mut().zip(sum).for_each(|(mass, sum)| *mass += sum / rows.max(1) as f64);
    }
    Ok(mass)
}

/// Returns the mean of two agreements: of the answers to both halves of the crops, and of the
/// answers with the classes whose pictures lie nearest. `features` are centred and of unit length.
fn agreement(evidence: &Evidence<'_>, bias: &Tensor, stop: &Stop) -> Result<f64> {
    let Evidence { cosines, halves: [one, other], features, scale } = *evidence;
    let answers = |cosines: &Matrix| cosines.map(stop, |rows| apply(&rows, bias, scale).argmax(1, false));
    let classes = cosines.size().1;
    let halves = beyond_chance(&answers(one)?, &answers(other)?, classes);
    let own = answers(cosines)?;
    let near = ClassMeans::of(features, &own, classes, stop)?.nearest_of_others(features, &own, stop)?;
    Ok((halves + beyond_chance(&own, &near, classes)) / 2.0)
}

/// Returns how far two lists of classes agree beyond what their shares give by chance: Cohen's
/// kappa, 1 if they are equal, 0 by chance.
fn beyond_chance(one: &Tensor, other: &Tensor, classes: i64) -> f64 {
    let rows = one.size()[0];
    if rows == 0 {
        return 0.0;
    }
    let shares = |of: &Tensor| of.bincount::<&Tensor>(None, classes).to_kind(Number::Double) / rows as f64;
    let by_chance = shares(one).dot(&shares(other)).double_value(&[]);
    let observed = one.eq_tensor(other).to_kind(Number::Double).mean(Number::Double).double_value(&[]);
    // If both give every picture one and the same class, that they agree says nothing.
    if by_chance >= 1.0 { 0.0 } else { (observed - by_chance) / (1.0 - by_chance) }
}

#[cfg(test)]
mod tests {
    use super::super::normalize;
    use super::*;

    const SCALE: f64 = 100.0;

    /// Pictures whose features lie about their class's centre, and whose names are biased.
    struct Drawn {
        truth: Tensor,
        features: Matrix,
        cosines: Matrix,
        halves: [Matrix; 2],
    }

    impl Drawn {
        fn new(pictures: &[i64], seed: i64) -> Self {
            tch::manual_seed(seed);
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
            let cosines = |features: &Tensor| Matrix::from(features.matmul(&centres.tr()) * 0.1 + &bias);
            let (one, other) = (seen(), seen());
            let features = normalize(&(&one + &other));
            Drawn {
                cosines: cosines(&features),
                halves: [cosines(&one), cosines(&other)],
                features: features.into(),
                truth,
            }
        }

        fn chosen(&self) -> ClassBias {
            let halves = [&self.halves[0], &self.halves[1]];
            let evidence = Evidence { cosines: &self.cosines, halves, features: &self.features, scale: SCALE };
            choose(evidence, None, &Stop::default()).unwrap()
        }

        fn accuracy(&self, bias: &Tensor) -> f64 {
            let answers =
                applied(&self.cosines, bias, SCALE).map(&Stop::default(), |rows| rows.argmax(1, false)).unwrap();
            answers.eq_tensor(&self.truth).to_kind(Number::Double).mean(Number::Double).double_value(&[])
        }

        fn none(&self) -> f64 {
            self.accuracy(&Tensor::zeros([8], (Number::Double, tch::Device::Cpu)))
        }
    }

    #[test]
    fn a_full_pull_gives_the_shares_that_are_wanted_and_half_a_pull_goes_halfway() {
        let drawn = Drawn::new(&[40; 8], 3);
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
        // What is gained, by the mean of several draws of names and pictures.
        let gain = |pictures: &[i64]| {
            let gains = (0..6).map(|seed| {
                let drawn = Drawn::new(pictures, seed);
                drawn.accuracy(&drawn.chosen().bias) - drawn.none()
            });
            gains.sum::<f64>() / 6.0
        };
        assert!(Drawn::new(&[60; 8], 0).chosen().pull >= 0.8);
        let even = gain(&[60; 8]);
        assert!(even > 0.2, "{even}");
        for present in [[60, 60, 0, 0, 0, 0, 0, 0], [0, 0, 0, 60, 60, 60, 0, 0], [200, 60, 20, 6, 2, 1, 1, 1]] {
            let few = gain(&present);
            assert!(few > -0.01, "{present:?}: {few}");
        }
    }

    /// The mean-free biases that the equation of the module's page gives for `bias`, in f64.
    fn by_the_equation(cosines: &Matrix, shares: &Tensor, bias: &Tensor, pull: f64, scale: f64) -> Tensor {
        let logits = cosines.in_memory(&Stop::default()).unwrap().to_kind(Number::Double) * scale;
        let columns = &logits - (&logits + bias).logsumexp([1i64].as_slice(), true);
        let mean = columns.logsumexp([0i64].as_slice(), false) - (logits.size()[0] as f64).ln();
        let value = (shares.log() - mean) * pull;
        &value - value.mean(Number::Double)
    }

    #[test]
    fn what_is_found_solves_the_equation_whatever_the_logits_and_wherever_it_begins() {
        let stop = Stop::default();
        for (pictures, scale) in [([40; 8], 20.0), ([40; 8], 300.0), ([200, 60, 20, 6, 2, 1, 0, 0], 100.0)] {
            let cosines = Drawn::new(&pictures, 3).cosines;
            let mut last: Option<ClassBias> = None;
            let before = mass(&cosines, &[0.0; 8], scale, &stop).unwrap();
            for pull in [0.2, 0.5, 0.8, 0.95, 1.0] {
                for start in [None, last.as_ref()] {
                    let found = estimate_from(start, &before, &cosines, None, pull, scale, &stop).unwrap();
                    let again = by_the_equation(&cosines, &found.shares, &found.bias, pull, scale);
                    let differ = (&again - &found.bias).abs().max().double_value(&[]);
                    assert!(differ < REST, "{pictures:?} at {scale}, pull {pull}: {differ}");
                }
                last = Some(estimate(&cosines, None, pull, scale, &stop).unwrap());
            }
        }
    }

    #[test]
    fn what_a_sample_chose_is_found_for_all_pictures() {
        let drawn = Drawn::new(&[60; 8], 3);
        let halves = [&drawn.halves[0], &drawn.halves[1]];
        let evidence = Evidence { cosines: &drawn.cosines, halves, features: &drawn.features, scale: SCALE };
        let found = choose_by_sample(evidence, None, 8 * 100, &Stop::default()).unwrap();
        assert!(found.pull > 0.0, "there is nothing to find");
        let again = by_the_equation(&drawn.cosines, &found.shares, &found.bias, found.pull, SCALE);
        let differ = (&again - &found.bias).abs().max().double_value(&[]);
        assert!(differ < REST, "{differ}");
        let all = estimate(&drawn.cosines, None, found.pull, SCALE, &Stop::default()).unwrap();
        assert_eq!(found.before, all.before);
        assert!((&found.after - &all.after).abs().max().double_value(&[]) < REST, "{} {}", found.after, all.after);
    }

    #[test]
    fn agreement_by_chance_counts_for_nothing() {
        let list = |classes: &[i64]| Tensor::from_slice(classes);
        assert_eq!(beyond_chance(&list(&[0, 1, 2, 1]), &list(&[0, 1, 2, 1]), 3), 1.0);
        assert_eq!(beyond_chance(&list(&[1, 1, 1, 1]), &list(&[1, 1, 1, 1]), 3), 0.0);
        assert_eq!(beyond_chance(&list(&[0, 0, 1, 1]), &list(&[0, 1, 0, 1]), 2), 0.0);
        assert_eq!(beyond_chance(&list(&[]), &list(&[]), 2), 0.0);
    }

    #[test]
    fn it_can_be_stopped_in_every_round() {
        let drawn = Drawn::new(&[5; 8], 3);
        for asked in [0, 1, 3, 5] {
            let stopped = estimate(&drawn.cosines, None, 1.0, SCALE, &Stop::after(asked));
            assert_eq!(stopped.unwrap_err().kind(), Kind::Interrupted);
        }
    }
}
