//! Whether pictures that look alike are answered alike.

use tch::{Kind as Number, Tensor};

use super::super::answers::Answered;
use super::super::set::Set;
use crate::error::Result;
use crate::fusion::blocks::Blocks;
use crate::stop::Stop;

/// How many neighbours of a picture are asked.
const NEIGHBOURS: i64 = 5;

/// The most rows of a block, whose memory is this by n.
const BLOCK: i64 = 1024;

/// Returns the nearest other pictures of those at the places `of` (m), by the cosines of their unit
/// features (n, d): places, (m, k).
///
/// # Errors
/// Returns [`crate::error::Kind::Interrupted`] if a stop was requested.
pub(in super::super) fn nearest(features: &Tensor, of: &Tensor, stop: &Stop) -> Result<Tensor> {
    let (pictures, width) = (features.size()[0], features.size()[1]);
    let count = NEIGHBOURS.min(pictures - 1).max(0);
    Blocks::of_products(of.size()[0], pictures * width).at_most(BLOCK).map(stop, |block| {
        let own = block.of(of);
        let cosines = features.index_select(0, &own).matmul(&features.tr());
        cosines.scatter_value(1, &own.unsqueeze(1), -2.0).topk(count, 1, true, true).1
    })
}

/// Returns the share of the measured pictures' neighbours that have the same answer.
pub(super) fn agreement(answered: &Answered, set: &Set) -> Option<f64> {
    let own = answered.classes.index_select(0, &set.measured).unsqueeze(1);
    let theirs = answered.classes.index_select(0, &set.neighbours.flatten(0, 1)).view_as(&set.neighbours);
    let alike = theirs.eq_tensor(&own).to_kind(Number::Double).mean(Number::Double).double_value(&[]);
    Some(alike).filter(|share| share.is_finite())
}
