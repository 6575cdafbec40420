//! Whether pictures that look alike are answered alike.

use tch::Kind as Number;

use super::super::answers::Answered;
use super::super::set::Set;

/// Returns the share of the measured pictures' neighbours that have the same answer.
pub(super) fn agreement(answered: &Answered, set: &Set) -> Option<f64> {
    let own = answered.classes.index_select(0, &set.measured).unsqueeze(1);
    let theirs = answered.classes.index_select(0, &set.neighbours.flatten(0, 1)).view_as(&set.neighbours);
    let alike = theirs.eq_tensor(&own).to_kind(Number::Double).mean(Number::Double).double_value(&[]);
    Some(alike).filter(|share| share.is_finite())
}
