//! StatA: transduction with statistical anchors (Zanella, Fuchs, Ben Ayed, De Vleeschouwer:
//! *Realistic Test-Time Adaptation of Vision-Language Models*, CVPR 2025, arXiv 2501.03729).
//!
//! All pictures are classified at once. Each class is a Gaussian with a diagonal variance over the
//! image features. Its mean and variance are fitted to its pictures and anchored to the class's
//! text prototype, more strongly the fewer pictures it has: an absent class stays at its text and
//! does no harm. Neighbouring pictures attract each other's answers. Every step is in closed form,
//! without gradients. Formulas: `docs/transduction.md`.
//!
//! Shapes: n pictures, C classes, d the joint width.

use std::sync::Arc;

use tch::{Kind as Number, Tensor};

use super::blocks::Blocks;
use super::graph::Graph;
use super::matrix::{Matrix, Writer};
use super::normalize;
use crate::error::Result;
use crate::stop::Stop;

/// Steps of the answers between two fits of the Gaussians.
const INNER_STEPS: usize = 5;

/// The weight of the neighbours, and the divisor of the whole exponent.
const LAMBDA: f64 = 50.0;

/// The two numbers of the method that a pipeline sets.
#[derive(Debug, Clone, Copy)]
pub struct Stata {
    /// Neighbours of a picture whose answers pull at its own.
    pub neighbours: usize,
    /// Times that the classes' Gaussians are fitted anew.
    pub iterations: usize,
}

impl Stata {
    /// Returns answers (n, C), each row summing to 1, from unit features (n, d), unit text
    /// prototypes (C, d) and first answers (n, C), which are the softmax of the cosines at the
    /// model's temperature.
    ///
    /// # Errors
    /// Returns [`crate::error::Kind::Interrupted`] if a stop was requested.
    pub fn answers(&self, features: &Matrix, prototypes: &Tensor, first: &Matrix, stop: &Stop) -> Result<Matrix> {
        let _no_grad = tch::no_grad_guard();
        let (pictures, classes) = first.size();
        if pictures < 2 {
            return Ok(first.clone());
        }
        let graph = Arc::new(Graph::nearest(features, self.neighbours, stop)?);
        let neighbours = graph.neighbours();
        // Before the first fit, every class has the same variance: that of all pictures about the
        // prototypes.
        let shares = first.mean(stop)?;
        let spread = Moments::of(first, features, stop)?.variance_about(prototypes, &shares);
        let (mut means, mut variances) = (prototypes.shallow_clone(), spread.expand_as(prototypes));
        let log_first =
            Matrix::computed(first.blocks(), classes, stop, |block| Ok(first.block(block)?.clamp_min(1e-30).log()))?;
        let mut answers = first.clone();
        for _ in 0..self.iterations {
            let likelihood = log_density(features, &means, &variances, stop)?;
            for _ in 0..INNER_STEPS {
                let with = [answers, log_first.clone(), likelihood.clone()];
                let copy = |with: &[Matrix; 3]| with.each_ref().map(Matrix::clone);
                let (graph, blocks) = (graph.clone(), graph.blocks(classes));
                let next = Writer::begin(pictures, classes)?;
                answers = next.filled_on_cores(blocks, stop, with, copy, move |with, block| {
                    let [answers, log_first, likelihood] = with;
                    let pulled = graph.sum(block, answers, None)? * (LAMBDA / (2.0 * neighbours as f64));
                    let exponent = log_first.block(block)? + (likelihood.block(block)? + pulled) / LAMBDA;
                    Ok(exponent.softmax(-1, None::<Number>))
                })?;
            }
            (means, variances) = fit(features, prototypes, &answers, &spread, stop)?;
        }
        Ok(answers)
    }
}

/// Fits the Gaussians to the answers, anchored to the prototypes; returns means and variances, (C,
/// d) each.
fn fit(
    features: &Matrix,
    prototypes: &Tensor,
    answers: &Matrix,
    spread: &Tensor,
    stop: &Stop,
) -> Result<(Tensor, Tensor)> {
    let classes = prototypes.size()[0];
    let count =
        answers.map(stop, |rows| rows.argmax(1, false))?.bincount::<&Tensor>(None, classes).to_kind(Number::Float);
    // The share of the observed pictures; the anchor has the rest, as if one more picture lay at
    // the prototype.
    let seen = (&count / (&count + 1.0)).unsqueeze(1);
    let moments = Moments::of(answers, features, stop)?;
    let means = normalize(&(normalize(&moments.mean) * &seen + prototypes * (1.0 - &seen)));
    let about_mean = moments.variance(&means);
    let anchor = spread + (prototypes - &means).square();
    let variances = about_mean * &seen + anchor * (1.0 - &seen);
    Ok((means, variances))
}

/// First and second moments of the features under each class's answers, (C, d).
struct Moments {
    mean: Tensor,
    square: Tensor,
}

impl Moments {
    fn of(answers: &Matrix, features: &Matrix, stop: &Stop) -> Result<Self> {
        let ((pictures, classes), width) = (answers.size(), features.size().1);
        let mut weight = Tensor::zeros([classes], tch::kind::FLOAT_CPU);
        let mut mean = Tensor::zeros([classes, width], tch::kind::FLOAT_CPU);
        let mut square = mean.zeros_like();
        Blocks::of_cosines(pictures, classes, 2 * classes * width).try_each(stop, |block| {
            let (answers, features) = (answers.block(block)?, features.block(block)?);
            weight += answers.sum_dim_intlist([0i64].as_slice(), false, None::<Number>);
            mean += answers.tr().matmul(&features);
            square += answers.tr().matmul(&features.square());
            Ok(())
        })?;
        let weight = weight.clamp_min(1e-8).unsqueeze(1);
        Ok(Moments { mean: mean / &weight, square: square / &weight })
    }

    /// Returns the variance of each class about `centre` (C, d):
    /// `E(x - m)^2 = E x^2 - 2 m E x + m^2`. This takes a matrix product instead of n x C x d
    /// numbers.
    fn variance(&self, centre: &Tensor) -> Tensor {
        (&self.square - &self.mean * centre * 2.0 + centre.square()).clamp_min(1e-12)
    }

    /// Returns the variance of all pictures about `centre` (C, d), each class weighted by its share
    /// of the answers: (1, d).
    fn variance_about(&self, centre: &Tensor, shares: &Tensor) -> Tensor {
        shares.matmul(&self.variance(centre))
    }
}

/// Returns the log-density (n, C) of every picture under every class, without the constant.
fn log_density(features: &Matrix, means: &Tensor, variances: &Tensor, stop: &Stop) -> Result<Matrix> {
    let precision = variances.reciprocal();
    let weighted = means * &precision;
    let constant = (means * &weighted + variances.log()).sum_dim_intlist([1i64].as_slice(), false, None::<Number>);
    let blocks = Blocks::of_cosines(features.size().0, means.size()[0], 2 * means.numel() as i64);
    Matrix::computed(blocks, means.size()[0], stop, |block| {
        let features = features.block(block)?;
        let near = features.matmul(&weighted.tr()) * 2.0;
        Ok((near - features.square().matmul(&precision.tr()) - &constant) * 0.5)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    const SCALE: f64 = 100.0;

    fn rows(x: &Tensor) -> Vec<Vec<f64>> {
        Vec::<Vec<f64>>::try_from(x.to_kind(Number::Double)).unwrap()
    }

    fn dot(a: &[f64], b: &[f64]) -> f64 {
        a.iter().zip(b).map(|(a, b)| a * b).sum()
    }

    fn unit(x: Vec<f64>) -> Vec<f64> {
        let length = dot(&x, &x).sqrt();
        x.into_iter().map(|x| x / length).collect()
    }

    /// Computes the formulas as they are printed, number by number.
    fn plainly(x: &[Vec<f64>], t: &[Vec<f64>], y: &[Vec<f64>], k: usize, iterations: usize) -> Vec<Vec<f64>> {
        let (n, classes, d) = (x.len(), t.len(), t[0].len());
        let mut w = vec![vec![0.0; n]; n];
        for i in 0..n {
            let mut others: Vec<usize> = (0..n).filter(|&j| j != i).collect();
            others.sort_by(|&a, &b| dot(&x[i], &x[b]).total_cmp(&dot(&x[i], &x[a])));
            others[..k].iter().for_each(|&j| w[i][j] = dot(&x[i], &x[j]).max(0.0));
        }
        let square = |i: usize, centre: &[f64], s: usize| (x[i][s] - centre[s]).powi(2);
        let spread: Vec<f64> = (0..d)
            .map(|s| {
                (0..n).map(|i| (0..classes).map(|c| y[i][c] * square(i, &t[c], s)).sum::<f64>()).sum::<f64>() / n as f64
            })
            .collect();
        let (mut z, mut mu, mut var) = (y.to_vec(), t.to_vec(), vec![spread.clone(); classes]);
        for _ in 0..iterations {
            let l = |i: usize, c: usize| -0.5 * (0..d).map(|s| square(i, &mu[c], s) / var[c][s]).sum::<f64>();
            for _ in 0..5 {
                let old = z.clone();
                for i in 0..n {
                    let score = |c: usize| {
                        let pull: f64 = (0..n).map(|j| (w[i][j] + w[j][i]) * old[j][c]).sum();
                        let a =
                            l(i, c) + 50.0 / (2.0 * k as f64) * pull - 0.5 * var[c].iter().map(|v| v.ln()).sum::<f64>();
                        y[i][c].max(1e-30).ln() + a / 50.0
                    };
                    let scores: Vec<f64> = (0..classes).map(score).collect();
                    let most = scores.iter().copied().fold(f64::MIN, f64::max);
                    let sum: f64 = scores.iter().map(|s| (s - most).exp()).sum();
                    z[i] = scores.iter().map(|s| (s - most).exp() / sum).collect();
                }
            }
            for c in 0..classes {
                let best = |row: &Vec<f64>| (0..classes).max_by(|&a, &b| row[a].total_cmp(&row[b])).unwrap();
                let count = z.iter().filter(|row| best(row) == c).count() as f64;
                let b = count / (1.0 + count);
                let weight: f64 = z.iter().map(|row| row[c]).sum();
                let mean = unit((0..d).map(|s| (0..n).map(|i| z[i][c] * x[i][s]).sum::<f64>() / weight).collect());
                mu[c] = unit((0..d).map(|s| b * mean[s] + (1.0 - b) * t[c][s]).collect());
                var[c] = (0..d)
                    .map(|s| {
                        let own = (0..n).map(|i| z[i][c] * square(i, &mu[c], s)).sum::<f64>() / weight;
                        b * own + (1.0 - b) * (spread[s] + (t[c][s] - mu[c][s]).powi(2))
                    })
                    .collect();
            }
        }
        z
    }

    /// Returns pictures of `present` of `classes` classes about their own centres, prototypes that
    /// are a little off the centres, and the pictures' true classes.
    fn pictures(classes: i64, present: i64, each: i64, noise: f64) -> (Tensor, Tensor, Tensor) {
        let width = 32;
        let centres = normalize(&Tensor::randn([classes, width], tch::kind::FLOAT_CPU));
        let gap = Tensor::randn([classes, width], tch::kind::FLOAT_CPU) * (0.8 / (width as f64).sqrt());
        let truth = Tensor::arange(present, tch::kind::INT64_CPU).repeat_interleave_self_int(each, None, None);
        let spread = Tensor::randn([present * each, width], tch::kind::FLOAT_CPU) * (noise / (width as f64).sqrt());
        let features = normalize(&(centres.index_select(0, &truth) + spread));
        (features, normalize(&(centres + gap)), truth)
    }

    fn first_answers(features: &Tensor, prototypes: &Tensor) -> Tensor {
        (features.matmul(&prototypes.tr()) * SCALE).softmax(-1, None::<Number>)
    }

    fn answers(stata: Stata, features: &Tensor, prototypes: &Tensor, first: &Tensor) -> Tensor {
        let (features, first) = (features.shallow_clone().into(), first.shallow_clone().into());
        let found = stata.answers(&features, prototypes, &first, &Stop::default()).unwrap();
        found.in_memory(&Stop::default()).unwrap()
    }

    #[test]
    fn it_asks_at_every_step_whether_to_stop() {
        tch::manual_seed(3);
        let (features, prototypes, _) = pictures(3, 3, 4, 1.0);
        let first = Matrix::from(first_answers(&features, &prototypes));
        let features = Matrix::from(features);
        // One check for the neighbours and for each table of the start; in each iteration, one for
        // the densities and two for a fit; one in each step of the answers.
        let (neighbours, iterations) = (2, 4);
        let questions = 4 + iterations * (3 + INNER_STEPS);
        let stata = Stata { neighbours, iterations };
        for asked in 0..questions as u64 {
            let error = stata.answers(&features, &prototypes, &first, &Stop::after(asked)).unwrap_err();
            assert_eq!(error.kind(), Kind::Interrupted, "after {asked} questions");
        }
        assert!(stata.answers(&features, &prototypes, &first, &Stop::after(questions as u64)).is_ok());
    }

    #[test]
    fn closed_forms_are_the_printed_formulas() {
        tch::manual_seed(3);
        let (features, prototypes, _) = pictures(4, 4, 8, 1.0);
        let first = ((features.matmul(&prototypes.tr())) * 10.0).softmax(-1, None::<Number>);
        let ours = rows(&answers(Stata { neighbours: 3, iterations: 4 }, &features, &prototypes, &first));
        let plain = plainly(&rows(&features), &rows(&prototypes), &rows(&first), 3, 4);
        for (ours, plain) in ours.iter().zip(&plain) {
            assert!((ours.iter().sum::<f64>() - 1.0).abs() < 1e-5);
            for (ours, plain) in ours.iter().zip(plain) {
                assert!((ours - plain).abs() < 2e-3, "{ours} for {plain}");
            }
        }
    }

    #[test]
    fn answers_get_better_and_absent_classes_do_no_harm() {
        let accuracy = |answers: &Tensor, truth: &Tensor| {
            answers.argmax(1, false).eq_tensor(truth).to_kind(Number::Float).mean(Number::Float).double_value(&[])
        };
        for (present, least_gain) in [(20, 0.0), (4, 0.0), (1, -0.01)] {
            tch::manual_seed(7);
            let (features, prototypes, truth) = pictures(20, present, 60, 1.6);
            let first = first_answers(&features, &prototypes);
            let (before, after) = (
                accuracy(&first, &truth),
                accuracy(&answers(Stata { neighbours: 3, iterations: 10 }, &features, &prototypes, &first), &truth),
            );
            assert!(before < 0.98, "{present} classes present: nothing to gain from {before}");
            assert!(after - before >= least_gain, "{present} classes present: {before} to {after}");
        }
    }

    #[test]
    fn one_picture_and_fewer_pictures_than_neighbours_are_answered() {
        tch::manual_seed(1);
        let (features, prototypes, _) = pictures(3, 1, 2, 1.0);
        let stata = Stata { neighbours: 3, iterations: 10 };
        for pictures in [1, 2] {
            let features = features.narrow(0, 0, pictures);
            let first = first_answers(&features, &prototypes);
            let answers = answers(stata, &features, &prototypes, &first);
            assert_eq!(answers.size(), [pictures, 3]);
            assert_eq!(answers.isfinite().all().int64_value(&[]), 1);
        }
    }
}
