//! Whether pictures lie with those that have the same answer.

use super::super::answers::Answered;
use super::super::set::Set;
use super::share_alike;
use crate::error::Result;
use crate::fusion::matrix::Matrix;
use crate::fusion::nearest_mean::ClassMeans;
use crate::stop::Stop;

/// Returns the share of measured pictures that lie nearest to the mean of their own answer.
pub(super) fn own(answered: &Answered, set: &Set, stop: &Stop) -> Result<Option<f64>> {
    let near = means(answered, set, stop)?.nearest(&set.measured_features(), stop)?;
    Ok(share_alike(&near, &answered.classes.index_select(0, &set.measured)))
}

/// Returns the share of measured pictures both halves of whose crops lie nearest to the same
/// answer's mean.
pub(super) fn halves(answered: &Answered, set: &Set, stop: &Stop) -> Result<Option<f64>> {
    let means = means(answered, set, stop)?;
    let [one, other] = &set.halves;
    let near = |half: &Matrix| means.nearest(&half.picked(&set.measured), stop);
    Ok(share_alike(&near(one)?, &near(other)?))
}

/// Returns the share of the variance of the measured pictures' features that is between the
/// answers, about the mean of all pictures.
pub(super) fn explained(answered: &Answered, set: &Set, stop: &Stop) -> Result<Option<f64>> {
    let answers = answered.classes.index_select(0, &set.measured);
    let means = ClassMeans::of(&set.measured_features(), &answers, set.classes, stop)?;
    Ok(Some(means.explained()).filter(|_| set.measured.size()[0] > 0))
}

fn means(answered: &Answered, set: &Set, stop: &Stop) -> Result<ClassMeans> {
    ClassMeans::of(&set.features, &answered.classes, set.classes, stop)
}
