//! A Gaussian for each class, with one covariance, fitted in the frozen model's space to the
//! answers about training pictures: do they say anything about other pictures?
//!
//! The covariance S of n pictures about the means of their answers is shrunk towards that of a
//! sphere, `(1 - a) S + a tr(S) / d I`, so that it can be inverted with fewer pictures than
//! dimensions. The density of a picture is the mixture's, with the answers' shares.

use tch::{Device, Kind as Number, Tensor};

use super::super::answers::Answered;
use super::super::set::Set;
use super::share_alike;
use crate::error::Result;
use crate::fusion::blocks::Blocks;
use crate::stop::Stop;

/// By how much the covariance is shrunk.
const SHRINKAGE: f64 = 0.1;

/// Returns the mean log-density of the measured pictures, in nats a dimension.
pub(super) fn likelihood(answered: &Answered, set: &Set, stop: &Stop) -> Result<Option<f64>> {
    let (Some(joint), width) = (log_joint(answered, set, stop)?, set.features.size()[1]) else { return Ok(None) };
    let density = joint.logsumexp([1i64].as_slice(), false).mean(Number::Double).double_value(&[]) / width as f64;
    Ok(Some(density).filter(|density| density.is_finite()))
}

/// Returns the share of the measured pictures whose likeliest class is their answer.
pub(super) fn transfer(answered: &Answered, set: &Set, stop: &Stop) -> Result<Option<f64>> {
    let Some(joint) = log_joint(answered, set, stop)? else { return Ok(None) };
    Ok(share_alike(&joint.argmax(1, false), &answered.classes.index_select(0, &set.measured)))
}

/// Returns the log-density of each measured picture and class together, (m, C), `f64`; `None` if
/// there is no training picture.
fn log_joint(answered: &Answered, set: &Set, stop: &Stop) -> Result<Option<Tensor>> {
    let (rows, width) = (set.train.size()[0], set.features.size()[1]);
    if rows == 0 || set.measured.size()[0] == 0 {
        return Ok(None);
    }
    let options = (Number::Double, Device::Cpu);
    let answers = answered.classes.index_select(0, &set.train);
    let count = answers.bincount::<&Tensor>(None, set.classes).to_kind(Number::Double);
    let features = |block: &Tensor| set.features.index_select(0, block).to_kind(Number::Double);
    let blocks = |rows| Blocks::of_products(rows, width * width.max(set.classes));
    let mut means = Tensor::zeros([set.classes, width], options);
    blocks(rows).each(stop, |block| {
        let _ = means.index_add_(0, &block.of(&answers), &features(&block.of(&set.train)));
    })?;
    means /= count.clamp_min(1.0).unsqueeze(1);
    let mut covariance = Tensor::zeros([width, width], options);
    blocks(rows).each(stop, |block| {
        let about = features(&block.of(&set.train)) - means.index_select(0, &block.of(&answers));
        covariance += about.tr().matmul(&about);
    })?;
    covariance /= rows as f64;
    // The floor is for pictures that are all alike.
    let sphere = covariance.trace().double_value(&[]) / width as f64 + 1e-9;
    let shrunk = covariance * (1.0 - SHRINKAGE) + Tensor::eye(width, options) * (SHRINKAGE * sphere);
    let factor = shrunk.linalg_cholesky(false);
    let half_determinant = factor.diagonal(0, 0, 1).log().sum(Number::Double);
    // With L the factor, rows times the transposed inverse of L have the identity as covariance.
    let whitening = factor.linalg_solve_triangular(&Tensor::eye(width, options), false, true, false).tr();
    let centres = means.matmul(&whitening);
    let lengths = centres.square().sum_dim_intlist([1i64].as_slice(), false, Number::Double);
    // The logarithm of no share leaves the class out.
    let shares = (&count / rows as f64).log() - half_determinant;
    let constant = 0.5 * width as f64 * (2.0 * std::f64::consts::PI).ln();
    blocks(set.measured.size()[0])
        .map(stop, |block| {
            let white = features(&block.of(&set.measured)).matmul(&whitening);
            let own = white.square().sum_dim_intlist([1i64].as_slice(), true, Number::Double);
            let squares = own - white.matmul(&centres.tr()) * 2.0 + &lengths;
            squares * -0.5 + &shares - constant
        })
        .map(Some)
}
