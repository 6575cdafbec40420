//! The silhouette (Rousseeuw, 1987): how much nearer a picture lies to those with its answer than
//! to those with the next best.
//!
//! For picture i with answer k, `a` is its mean distance to the others answered k, `b` the least of
//! its mean distances to the pictures of another answer, and `s = (b - a) / max(a, b)`; 0 if no
//! other is answered k. The distance is one less the cosine, and features are of unit length: so
//! the mean distance to a class is one less the product with its mean, and no pair of pictures is
//! looked at.

use tch::{Device, Kind as Number, Tensor};

use super::super::answers::Answered;
use super::super::set::Set;
use crate::error::Result;
use crate::fusion::blocks::Blocks;
use crate::stop::Stop;

/// A distance larger than any.
const FAR: f64 = 9.0;

/// Returns the mean silhouette of the measured pictures among themselves, from -1 to 1; `None` if
/// there is none, or all have one answer.
pub(super) fn silhouette(answered: &Answered, set: &Set, stop: &Stop) -> Result<Option<f64>> {
    let features = set.measured_features();
    let answers = answered.classes.index_select(0, &set.measured);
    let (rows, width) = features.size();
    let counts = answers.bincount::<&Tensor>(None, set.classes).to_kind(Number::Double);
    if counts.gt(0.0).sum(Number::Int64).int64_value(&[]) < 2 {
        return Ok(None);
    }
    let blocks = Blocks::of_cosines(rows, set.classes, set.classes * width);
    let mut sums = Tensor::zeros([set.classes, width], (Number::Double, Device::Cpu));
    blocks.try_each(stop, |block| {
        let _ = sums.index_add_(0, &block.of(&answers), &features.block(block)?.to_kind(Number::Double));
        Ok(())
    })?;
    let absent = counts.eq(0.0);
    let each = blocks.try_map(stop, |block| {
        let own = block.of(&answers).unsqueeze(1);
        let products = features.block(block)?.to_kind(Number::Double).matmul(&sums.tr());
        let fellows = counts.index_select(0, &block.of(&answers)) - 1.0;
        // A picture is at no distance from itself.
        let within = (&fellows + 1.0 - products.gather(1, &own, false).squeeze_dim(1)) / fellows.clamp_min(1.0);
        let others = (products / counts.clamp_min(1.0)).neg() + 1.0;
        let others = others.masked_fill(&absent, FAR).scatter_value(1, &own, FAR);
        let next = others.amin([1i64].as_slice(), false);
        let silhouettes = (&next - &within) / next.maximum(&within).clamp_min(1e-9);
        Ok(silhouettes.masked_fill(&fellows.lt(1.0), 0.0))
    })?;
    Ok(Some(each.mean(Number::Double).double_value(&[])))
}
