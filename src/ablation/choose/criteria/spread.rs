//! How evenly the answers are spread over the classes. A model that has collapsed onto a few
//! classes agrees with itself in every other way.

use tch::Kind as Number;

use super::super::answers::Answered;
use super::super::set::Set;

/// Returns the effective number of classes among the answers about measured pictures: the
/// exponential of their entropy.
pub(super) fn effective_classes(answered: &Answered, set: &Set) -> Option<f64> {
    let answers = answered.classes.index_select(0, &set.measured);
    if answers.size()[0] == 0 {
        return None;
    }
    let shares = answers.bincount::<&tch::Tensor>(None, set.classes).to_kind(Number::Double);
    let shares = &shares / shares.sum(Number::Double);
    Some(shares.special_entr().sum(Number::Double).double_value(&[]).exp())
}
