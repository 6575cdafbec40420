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
    let densities = of_log_joint(answered, set, stop, |joint| joint.logsumexp([1i64].as_slice(), false))?;
    let mean = densities.map(|each| each.mean(Number::Double).double_value(&[]) / set.features.size().1 as f64);
    Ok(mean.filter(|mean| mean.is_finite()))
}

/// Returns the share of the measured pictures whose likeliest class is their answer.
pub(super) fn transfer(answered: &Answered, set: &Set, stop: &Stop) -> Result<Option<f64>> {
    let likeliest = of_log_joint(answered, set, stop, |joint| joint.argmax(1, false))?;
    Ok(likeliest.and_then(|classes| share_alike(&classes, &answered.classes.index_select(0, &set.measured))))
}

/// Returns what `make` makes of the log-densities (rows, C), `f64`, of each measured picture and
/// class together, a number a picture (m); `None` if there is no training picture.
fn of_log_joint(
    answered: &Answered,
    set: &Set,
    stop: &Stop,
    make: impl Fn(&Tensor) -> Tensor,
) -> Result<Option<Tensor>> {
    let (train, measured) = (set.features.picked(&set.train), set.measured_features());
    let ((rows, width), (count, _)) = (train.size(), measured.size());
    if rows == 0 || count == 0 {
        return Ok(None);
    }
    let options = (Number::Double, Device::Cpu);
    let answers = answered.classes.index_select(0, &set.train);
    let counts = answers.bincount::<&Tensor>(None, set.classes).to_kind(Number::Double);
    let of_classes = |rows| Blocks::of_cosines(rows, set.classes, set.classes * width);
    let mut means = Tensor::zeros([set.classes, width], options);
    of_classes(rows).try_each(stop, |block| {
        let _ = means.index_add_(0, &block.of(&answers), &train.block(block)?.to_kind(Number::Double));
        Ok(())
    })?;
    means /= counts.clamp_min(1.0).unsqueeze(1);
    let mut covariance = Tensor::zeros([width, width], options);
    Blocks::of_cosines(rows, width, width * width).try_each(stop, |block| {
        let about = train.block(block)?.to_kind(Number::Double) - means.index_select(0, &block.of(&answers));
        covariance += about.tr().matmul(&about);
        Ok(())
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
    let shares = (&counts / rows as f64).log() - half_determinant;
    let constant = 0.5 * width as f64 * (2.0 * std::f64::consts::PI).ln();
    of_classes(count)
        .try_map(stop, |block| {
            let white = measured.block(block)?.to_kind(Number::Double).matmul(&whitening);
            let own = white.square().sum_dim_intlist([1i64].as_slice(), true, Number::Double);
            let squares = own - white.matmul(&centres.tr()) * 2.0 + &lengths;
            Ok(make(&(squares * -0.5 + &shares - constant)))
        })
        .map(Some)
}
