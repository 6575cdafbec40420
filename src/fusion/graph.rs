//! The graph of nearest neighbours that transduction works on: an edge from each picture to each of
//! its neighbours, as heavy as their cosine.
//!
//! Shapes: n pictures, C classes, d the joint width, k neighbours.

use tch::Tensor;

use super::blocks::Blocks;
use super::neighbours::Neighbours;
use crate::error::Result;
use crate::stop::Stop;

/// The nearest neighbours of each picture, with the cosine as weight.
#[derive(Debug)]
pub struct Graph {
    /// The neighbours' places, (n, k).
    places: Tensor,
    /// The weights, (n, k), not negative.
    weights: Tensor,
}

impl Graph {
    /// Finds the nearest neighbours of features (n, d) of unit length.
    ///
    /// # Errors
    /// Returns [`crate::error::Kind::Interrupted`] if a stop was requested.
    pub fn nearest(features: &Tensor, neighbours: usize, stop: &Stop) -> Result<Self> {
        let Neighbours { places, cosines } = Neighbours::of(features, neighbours, stop)?;
        Ok(Graph { places, weights: cosines.clamp_min(0.0) })
    }

    /// Returns how many neighbours each picture has.
    pub fn neighbours(&self) -> i64 {
        self.places.size()[1]
    }

    /// Returns `sum_j (w_ij + w_ji) z_j` for every picture i, (n, C): the answers of its
    /// neighbours, and of the pictures whose neighbour it is.
    ///
    /// # Errors
    /// Returns [`crate::error::Kind::Interrupted`] if a stop was requested.
    pub fn sum(&self, answers: &Tensor, stop: &Stop) -> Result<Tensor> {
        let sum = answers.zeros_like();
        let rows = Blocks::of_numbers(answers.size()[0], answers.size()[1]);
        for k in 0..self.neighbours() {
            let (index, weight) = (self.places.select(1, k), self.weights.select(1, k).unsqueeze(1));
            rows.each(stop, |block| {
                let mut own = block.of(&sum);
                own += answers.index_select(0, &block.of(&index)) * block.of(&weight);
            })?;
            rows.each(stop, |block| {
                let _ = sum.shallow_clone().index_add_(0, &block.of(&index), &(block.of(answers) * block.of(&weight)));
            })?;
        }
        Ok(sum)
    }
}
