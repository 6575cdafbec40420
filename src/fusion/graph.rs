//! The graph of nearest neighbours that transduction works on: an edge from each picture to each of
//! its neighbours, as heavy as their cosine.
//!
//! Shapes: n pictures, C classes, d the joint width, k neighbours.

use tch::Tensor;

use super::blocks::{Block, Blocks};
use super::matrix::Matrix;
use super::neighbours::Neighbours;
use crate::error::{Context, Kind, Result};
use crate::stop::Stop;
use crate::table::tensor;

/// The nearest neighbours of each picture, with the cosine as weight, in both directions: an edge
/// is among those of either of its ends.
#[derive(Debug)]
pub struct Graph {
    /// The first edge of each picture, and the number of all edges.
    first: Vec<usize>,
    /// The pictures at the other ends.
    others: Vec<i64>,
    /// The weights, not negative.
    weights: Vec<f32>,
    neighbours: i64,
}

impl Graph {
    /// Finds the nearest neighbours of features (n, d) of unit length.
    ///
    /// # Errors
    /// Fails if a file cannot be read, and returns [`Kind::Interrupted`] if a stop was requested.
    pub fn nearest(features: &Matrix, neighbours: usize, stop: &Stop) -> Result<Self> {
        let Neighbours { places, cosines } = Neighbours::of(features, neighbours, stop)?;
        let (pictures, neighbours) = places.size2().unwrap_or((0, 0));
        let weights = tensor::numbers(&cosines.clamp_min(0.0).flatten(0, 1))?;
        let places = Vec::<i64>::try_from(places.flatten(0, 1))
            .context(Kind::Torch, || "cannot copy the neighbours".to_owned())?;
        let (pictures, k) = (pictures as usize, neighbours as usize);

        let mut first = vec![0; pictures + 1];
        places.iter().for_each(|&other| first[other as usize + 1] += 1);
        for picture in 0..pictures {
            first[picture + 1] += first[picture] + k;
        }
        let mut next = first.clone();
        let (mut others, mut of_edges) = (vec![0; 2 * places.len()], vec![0.0; 2 * places.len()]);
        let mut add = |picture: usize, other: usize, weight: f32| {
            (others[next[picture]], of_edges[next[picture]]) = (other as i64, weight);
            next[picture] += 1;
        };
        // Nearer neighbours come first, so that sums do not depend on how they are made.
        for rank in 0..k {
            let edges = || (0..pictures).map(|own| (own, places[own * k + rank] as usize, weights[own * k + rank]));
            edges().for_each(|(own, other, weight)| add(own, other, weight));
            edges().for_each(|(own, other, weight)| add(other, own, weight));
        }
        Ok(Graph { first, others, weights: of_edges, neighbours })
    }

    /// Returns how many neighbours each picture has.
    pub fn neighbours(&self) -> i64 {
        self.neighbours
    }

    /// Returns the sum of the weights of each picture's edges, (n).
    pub fn degrees(&self) -> Tensor {
        let degrees: Vec<f32> = self.first.windows(2).map(|ends| self.weights[ends[0]..ends[1]].iter().sum()).collect();
        Tensor::from_slice(&degrees)
    }

    /// Returns blocks of pictures, whose answers about this many classes are gathered at once.
    pub fn blocks(&self, classes: i64) -> Blocks {
        Blocks::of_numbers(self.first.len() as i64 - 1, classes * 2 * self.neighbours.max(1))
    }

    /// Returns `sum_j (w_ij + w_ji) s_j z_j` for every picture i of a block, (rows, C): the answers
    /// `z` (n, C) of its neighbours, and of the pictures whose neighbour it is, each times that
    /// picture's number in `s` (n), if there are such numbers.
    ///
    /// # Errors
    /// Fails if a file cannot be read.
    pub fn sum(&self, block: Block, answers: &Matrix, factors: Option<&[f32]>) -> Result<Tensor> {
        let (from, to) = block.range();
        let classes = answers.size().1;
        let mut sums = vec![0.0; ((to - from) * classes) as usize];
        for (picture, sum) in (from as usize..).zip(sums.chunks_mut(classes.max(1) as usize)) {
            let edges = self.first[picture]..self.first[picture + 1];
            let (others, weights) = (&self.others[edges.clone()], &self.weights[edges]);
            // Added as they are read: a row is in the fastest cache then, and nothing else of it is
            // written.
            answers.each_row(others, |n, row| {
                let (weight, factor) = (weights[n], factors.map_or(1.0, |factors| factors[others[n] as usize]));
                sum.iter_mut().zip(row).for_each(|(sum, answer)| *sum += answer * factor * weight);
            })?;
        }
        Ok(Tensor::from_slice(&sums).view([to - from, classes]))
    }
}
