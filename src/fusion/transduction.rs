//! Transduction: all pictures are answered at once, by one of two methods that need no gradients.
//! Formulas: `docs/transduction.md`.

use tch::Tensor;

use super::matrix::Matrix;
use super::propagation::Propagation;
use super::stata::Stata;
use crate::error::Result;
use crate::settings::{FLAG, choice, from, settings, whole};
use crate::stop::Stop;

choice! {
    /// How pictures are answered together.
    Method {
        /// StatA: a Gaussian for each class, anchored to its text, and a pull of neighbours.
        Stata = "stata",
        /// Label propagation: answers flow along the graph of nearest neighbours.
        Propagation = "propagation",
    }
}

settings! {
    /// Training-free refinement of answers over all pictures at once.
    Transduction: Copy {
        /// Transduction makes the prior: before adaptation, on the training pictures.
        prior: bool = false, FLAG, Answers;
        /// Transduction makes the answers: after adaptation, on the pictures of each split.
        predictions: bool = true, FLAG, Answers;
        /// The method.
        method: Method = Method::Propagation, Method::WANT, Answers;
        /// Neighbours of a picture whose answers pull at its own.
        neighbours: usize = 5, whole(1, 1_000), Answers;
        /// Times that StatA fits the classes' Gaussians anew, or that answers are propagated.
        iterations: usize = 10, whole(1, 10_000), Answers;
        /// The share of its neighbours in a picture's propagated answer; the first answer has the
        /// rest. `stata` does not use it.
        alpha: f64 = 0.5, from(0.0, 0.99), Answers;
    }
}

impl Transduction {
    /// Returns answers (n, C), each row summing to 1, from unit features (n, d), unit text
    /// prototypes (C, d) and first answers (n, C), which are the softmax of the cosines at the
    /// model's temperature.
    ///
    /// # Errors
    /// Returns [`crate::error::Kind::Interrupted`] if a stop was requested.
    pub fn answers(&self, features: &Matrix, prototypes: &Tensor, first: &Matrix, stop: &Stop) -> Result<Matrix> {
        let Self { method, neighbours, iterations, alpha, .. } = *self;
        match method {
            Method::Stata => Stata { neighbours, iterations }.answers(features, prototypes, first, stop),
            Method::Propagation => Propagation { neighbours, iterations, alpha }.answers(features, first, stop),
        }
    }
}
