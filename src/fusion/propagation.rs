//! Label propagation over pictures and class names, after ZLaP (Stojnic, Kalantidis, Tolias: *Label
//! Propagation for Zero-shot Classification with Vision-Language Models*, CVPR 2024, arXiv
//! 2404.04072).
//!
//! Pictures are joined to their nearest neighbours, and to the classes by their first answers. An
//! edge is divided by the root of the degrees of both of its ends, so that a class that the first
//! answers prefer does not reach further than others. Formulas, and what differs from the paper:
//! `docs/transduction.md`.
//!
//! Shapes: n pictures, C classes, d the joint width.

use std::sync::Arc;

use tch::{Kind as Number, Tensor};

use super::graph::Graph;
use super::matrix::{Matrix, Writer};
use crate::error::Result;
use crate::memory;
use crate::stop::Stop;
use crate::table::tensor;

/// A degree below this is that of a node without edges.
const LEAST: f64 = 1e-8;

/// The numbers of the method that a pipeline sets.
#[derive(Debug, Clone, Copy)]
pub struct Propagation {
    /// Neighbours of a picture.
    pub neighbours: usize,
    /// Steps of the answers along the edges.
    pub iterations: usize,
    /// The share of the neighbours in an answer, below 1.
    pub alpha: f64,
}

impl Propagation {
    /// Returns answers (n, C), each row summing to 1, from unit features (n, d) and first answers
    /// (n, C), whose rows sum to 1.
    ///
    /// # Errors
    /// Returns [`crate::error::Kind::Interrupted`] if a stop was requested.
    pub fn answers(&self, features: &Matrix, first: &Matrix, stop: &Stop) -> Result<Matrix> {
        // Of two tables, the answers before a step and after it.
        let most = memory::of_columns() / size_of::<f32>() as u64 / first.size().0.max(1).cast_unsigned();
        self.answers_in_columns(most.cast_signed(), features, first, stop)
    }

    /// Like [`answers`](Self::answers), about at most `most` classes at a time: a step mixes
    /// pictures and no classes, so all steps of some classes are done before those of others are
    /// begun, and what is in between is never written.
    fn answers_in_columns(&self, most: i64, features: &Matrix, first: &Matrix, stop: &Stop) -> Result<Matrix> {
        let _no_grad = tch::no_grad_guard();
        let (pictures, classes) = first.size();
        if pictures < 2 {
            return Ok(first.clone());
        }
        let graph = Arc::new(Graph::nearest(features, self.neighbours, stop)?);
        let of_pictures: Arc<[f32]> = tensor::numbers(&graph.degrees().clamp_min(LEAST).rsqrt())?.into();
        let of_classes = first.sum(stop)?.clamp_min(LEAST).rsqrt();
        let groups = first.in_columns(most, stop)?;
        let is_one = groups.len() == 1;
        let (mut answers, mut before) = (Vec::new(), 0);
        for first in groups {
            let columns = first.size().1;
            let of_classes = of_classes.narrow(1, before, columns);
            before += columns;
            let group = self.propagated(&graph, &of_pictures, &of_classes, &first, stop)?;
            // What waits for other groups need not wait in memory.
            answers.push(match is_one {
                true => group,
                false => Matrix::computed(group.blocks(), columns, stop, |block| group.block(block))?,
            });
        }
        Matrix::computed(first.blocks(), classes, stop, |block| {
            let groups: Vec<Tensor> = answers.iter().map(|group| group.block(block)).collect::<Result<_>>()?;
            let answers = Tensor::cat(&groups, 1);
            let sums = answers.sum_dim_intlist([1i64].as_slice(), true, None::<Number>);
            Ok(answers / sums)
        })
    }

    /// Returns the answers (n, c) about c of the classes after all steps, in memory.
    fn propagated(
        &self,
        graph: &Arc<Graph>,
        of_pictures: &Arc<[f32]>,
        of_classes: &Tensor,
        first: &Matrix,
        stop: &Stop,
    ) -> Result<Matrix> {
        let ((pictures, classes), alpha) = (first.size(), self.alpha);
        let mut begun = Writer::in_memory(pictures, classes);
        first.blocks().try_each(stop, |block| begun.push(&(first.block(block)? * of_classes)))?;
        let mut answers = begun.finish()?;
        for _ in 0..self.iterations {
            let with = (answers, first.clone(), of_classes.shallow_clone());
            let copy = |(answers, first, of_classes): &(Matrix, Matrix, Tensor)| {
                (answers.clone(), first.clone(), of_classes.shallow_clone())
            };
            let (graph, of_pictures, blocks) = (graph.clone(), of_pictures.clone(), graph.blocks(classes));
            let next = Writer::in_memory(pictures, classes);
            answers = next.filled_on_cores(blocks, stop, with, copy, move |with, block| {
                let (answers, first, of_classes) = with;
                let own = first.block(block)? * of_classes * (1.0 - alpha);
                let received = graph.sum(block, answers, Some(&of_pictures))?;
                let (from, to) = block.range();
                let of_own = Tensor::from_slice(&of_pictures[from as usize..to as usize]);
                Ok(own + received * of_own.unsqueeze(1) * alpha)
            })?;
        }
        Ok(answers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;
    use crate::fusion::neighbours::Neighbours;
    use crate::fusion::normalize;

    const FLOAT: (Number, tch::Device) = tch::kind::FLOAT_CPU;

    /// Returns features of pictures and first answers about them.
    fn random(seed: i64, pictures: i64, classes: i64) -> (Tensor, Tensor) {
        tch::manual_seed(seed);
        let features = normalize(&Tensor::randn([pictures, 6], FLOAT));
        (features, (Tensor::randn([pictures, classes], FLOAT) * 2.0).softmax(-1, None::<Number>))
    }

    fn answers(iterations: usize, alpha: f64, features: &Tensor, first: &Tensor) -> Tensor {
        let (features, first) = (features.shallow_clone().into(), first.shallow_clone().into());
        let found = Propagation { neighbours: 4, iterations, alpha }.answers(&features, &first, &Stop::default());
        found.unwrap().in_memory(&Stop::default()).unwrap()
    }

    fn with_rows_of_sum_1(x: &Tensor) -> Tensor {
        x / x.sum_dim_intlist([1i64].as_slice(), true, None::<Number>)
    }

    /// Returns the weights of all edges between pictures over the roots of both degrees, (n, n).
    fn matrix(features: &Tensor) -> Tensor {
        let Neighbours { places, cosines } =
            Neighbours::of(&features.shallow_clone().into(), 4, &Stop::default()).unwrap();
        let pictures = features.size()[0];
        let one_way = Tensor::zeros([pictures, pictures], FLOAT).scatter(1, &places, &cosines.clamp_min(0.0));
        let both = &one_way + one_way.tr();
        let root = both.sum_dim_intlist([1i64].as_slice(), true, None::<Number>).clamp_min(LEAST).rsqrt();
        both * &root * root.tr()
    }

    #[test]
    fn without_neighbours_an_answer_is_the_first_one_over_the_root_of_the_classes_degrees() {
        for seed in 0..5 {
            let (features, first) = random(seed, 40, 5);
            let degrees = first.sum_dim_intlist([0i64].as_slice(), true, None::<Number>);
            let expected = with_rows_of_sum_1(&(&first / degrees.sqrt()));
            assert!(answers(7, 0.0, &features, &first).allclose(&expected, 1e-5, 1e-6, false));
        }
    }

    #[test]
    fn first_answers_that_prefer_no_class_stay_without_neighbours() {
        let (features, first) = random(1, 40, 5);
        // Every class has the answers of every other, so all have the same degree.
        let turned: Vec<Tensor> = (0..5).map(|by| first.roll([by], [1])).collect();
        let first = Tensor::cat(&turned, 0);
        assert!(answers(3, 0.0, &features.repeat([5, 1]), &first).allclose(&first, 1e-5, 1e-6, false));
    }

    #[test]
    fn rows_sum_to_1_and_no_answer_is_negative() {
        for (seed, alpha, iterations) in [(0, 0.0, 1), (1, 0.5, 3), (2, 0.99, 100)] {
            let (features, first) = random(seed, 60, 7);
            let answers = answers(iterations, alpha, &features, &first);
            let sums = answers.sum_dim_intlist([1i64].as_slice(), false, None::<Number>);
            assert!(sums.allclose(&sums.ones_like(), 1e-5, 1e-5, false));
            assert!(answers.min().double_value(&[]) >= 0.0);
        }
    }

    #[test]
    fn it_converges_to_the_solution_of_the_linear_system() {
        for (seed, alpha, iterations) in [(0, 0.3, 20), (1, 0.7, 60), (2, 0.95, 500)] {
            let (features, first) = random(seed, 50, 4);
            let degrees = first.sum_dim_intlist([0i64].as_slice(), true, None::<Number>);
            let system = Tensor::eye(50, FLOAT) - matrix(&features) * alpha;
            let solution = Tensor::linalg_solve(&system, &(&first / degrees.sqrt()), true);
            let found = answers(iterations, alpha, &features, &first);
            assert!(found.allclose(&with_rows_of_sum_1(&solution), 1e-3, 1e-5, false), "alpha {alpha}");
        }
    }

    #[test]
    fn it_is_the_same_in_however_many_groups_of_classes() {
        let (features, first) = random(3, 50, 7);
        let (features, first): (Matrix, Matrix) = (features.into(), first.into());
        let propagation = Propagation { neighbours: 4, iterations: 6, alpha: 0.5 };
        let of = |most| {
            let answers = propagation.answers_in_columns(most, &features, &first, &Stop::default()).unwrap();
            answers.in_memory(&Stop::default()).unwrap()
        };
        let whole = of(7);
        for most in [1, 2, 3, 6] {
            assert_eq!(of(most), whole, "{most} at a time");
        }
    }

    #[test]
    fn a_picture_that_says_nothing_is_answered_by_its_neighbours() {
        let along = |x: f64, y: f64| Tensor::from_slice(&[x, y, 0.1]).to_kind(Number::Float);
        let places = [(1.0, 0.0), (0.99, 0.05), (0.98, 0.1), (0.0, 1.0), (0.05, 0.99), (0.1, 0.98)];
        let features = normalize(&Tensor::stack(&places.map(|(x, y)| along(x, y)), 0));
        let first = [0.9f32, 0.1, 0.5, 0.5, 0.9, 0.1, 0.1, 0.9, 0.5, 0.5, 0.1, 0.9];
        let first = Tensor::from_slice(&first).view([6, 2]);
        let neighbours = Propagation { neighbours: 2, iterations: 10, alpha: 0.7 };
        let found = neighbours.answers(&features.into(), &first.into(), &Stop::default()).unwrap();
        let found = found.map(&Stop::default(), |rows| rows.argmax(1, false)).unwrap();
        assert_eq!(Vec::<i64>::try_from(found).unwrap(), [0, 0, 0, 1, 1, 1]);
    }

    #[test]
    fn one_picture_keeps_its_answer_and_a_stop_is_heeded_at_every_step() {
        let (features, first) = random(0, 1, 3);
        assert_eq!(answers(10, 0.7, &features, &first), first);
        let (features, first) = random(0, 30, 3);
        let (features, first) = (features.into(), first.into());
        let propagation = Propagation { neighbours: 2, iterations: 3, alpha: 0.5 };
        // One for the neighbours, one for the degrees of the classes, and one for every table.
        let questions = 1 + 1 + 2 + 3 + 1;
        for asked in 0..questions {
            let error = propagation.answers(&features, &first, &Stop::after(asked)).unwrap_err();
            assert_eq!(error.kind(), Kind::Interrupted, "after {asked} questions");
        }
        assert!(propagation.answers(&features, &first, &Stop::after(questions)).is_ok());
    }
}
