//! Cells of alike pictures, for more pictures than can all be compared: an inverted file, as in
//! Jégou, Douze, Schmid: *Product Quantization for Nearest Neighbor Search* (PAMI 2011), without
//! the quantization.
//!
//! Spherical k-means of a sample places the cells, which have [`SIZE`] pictures on average. The
//! pictures of a cell look for neighbours in the [`LOOKED_INTO`] cells whose centres are most often
//! near to them. So a picture is compared with as many others, however many there are.
//!
//! Shapes: n pictures, d the joint width, c cells.

use std::sync::Arc;

use tch::Tensor;

use crate::error::{Context, Kind, Result};
use crate::fusion::blocks::Blocks;
use crate::fusion::matrix::Matrix;
use crate::fusion::normalize;
use crate::stop::Stop;

/// Pictures of a cell, on average.
const SIZE: i64 = 512;

/// Cells that the pictures of a cell look into, its own among them.
const LOOKED_INTO: usize = 24;

/// Centres near to a picture that speak for their cells.
const NEAR: i64 = 8;

/// Pictures of the sample for each cell.
const SAMPLED: i64 = 64;

/// Rounds of k-means: later ones move few pictures.
const ROUNDS: usize = 6;

/// The most pictures of a cell that others look into: where very many are alike, some are as good
/// as all.
const MOST: usize = 8 * SIZE as usize;

/// All pictures, each in one cell.
pub(super) struct Cells {
    /// Directions of the cells' centres, (c, d).
    centres: Tensor,
    /// The places of each cell's pictures, in order.
    members: Arc<Vec<Vec<i64>>>,
}

impl Cells {
    /// Puts pictures into cells by their features (n, d) of unit length. The same features give the
    /// same cells, on however many cores.
    ///
    /// # Errors
    /// Returns [`crate::error::Kind::Interrupted`] if a stop was requested.
    pub(super) fn of(features: &Matrix, stop: &Stop) -> Result<Self> {
        let _no_grad = tch::no_grad_guard();
        let pictures = features.size().0;
        let count = (pictures + SIZE - 1) / SIZE;
        // Places are in no order of likeness, so that every so-and-so-many-th is a random sample.
        let every = |wanted: i64| {
            let step = (pictures / wanted).max(1);
            Tensor::arange_start_step(0, step * wanted.min(pictures), step, tch::kind::INT64_CPU)
        };
        let sample = features.picked(&every(SAMPLED * count)).in_memory_if_small(stop)?;
        let mut centres = features.rows(&every(count))?;
        for _ in 0..ROUNDS {
            let nearest = nearest(&sample, &centres, stop)?;
            let mut sums = centres.zeros_like();
            sample.blocks().try_each(stop, |block| {
                let _ = sums.index_add_(0, &block.of(&nearest), &sample.block(block)?);
                Ok(())
            })?;
            let moved = sums.norm_scalaropt_dim(2, [1i64].as_slice(), true).gt(1e-6);
            centres = normalize(&sums).where_self(&moved, &centres);
        }
        let nearest = Vec::<i64>::try_from(nearest(features, &centres, stop)?)
            .context(Kind::Torch, || "cannot copy the cells of pictures".to_owned())?;
        let mut members = vec![Vec::new(); count as usize];
        for (place, cell) in (0..).zip(nearest) {
            members[cell as usize].push(place);
        }
        Ok(Cells { centres, members: Arc::new(members) })
    }

    /// Returns the same cells, for another thread.
    pub(super) fn shallow_clone(&self) -> Self {
        Cells { centres: self.centres.shallow_clone(), members: self.members.clone() }
    }

    /// Returns the pictures of each cell that has some.
    pub(super) fn members(&self) -> impl Iterator<Item = &[i64]> {
        self.members.iter().filter(|members| !members.is_empty()).map(Vec::as_slice)
    }

    /// Returns the places, in order, that pictures of one cell, with features (rows, d), are
    /// compared with.
    ///
    /// # Errors
    /// Returns [`Kind::Torch`] if libtorch cannot copy the result.
    pub(super) fn near(&self, features: &Tensor) -> Result<Vec<i64>> {
        let cells = self.centres.size()[0];
        let (_, near) = features.matmul(&self.centres.tr()).topk(NEAR.min(cells), 1, true, false);
        let votes = near.flatten(0, 1).bincount::<Tensor>(None, cells);
        let (_, order) = votes.sort_stable(true, 0, true);
        let order = Vec::<i64>::try_from(order.narrow(0, 0, cells.min(LOOKED_INTO as i64)))
            .context(Kind::Torch, || "cannot copy the cells near a picture".to_owned())?;
        let mut places: Vec<i64> =
            order.into_iter().flat_map(|cell| self.members[cell as usize].iter().take(MOST).copied()).collect();
        places.sort_unstable();
        Ok(places)
    }
}

/// Returns the centre (c, d) that each feature (rows, d) is nearest to.
fn nearest(features: &Matrix, centres: &Tensor, stop: &Stop) -> Result<Tensor> {
    Blocks::of_cosines(features.size().0, centres.size()[0], centres.numel() as i64)
        .try_map(stop, |block| Ok(features.block(block)?.matmul(&centres.tr()).argmax(1, false)))
}
