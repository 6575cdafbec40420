//! StatA: transduction with statistical anchors (Zanella, Fuchs, Ben Ayed, De Vleeschouwer: *Realistic Test-Time Adaptation of
//! Vision-Language Models*, CVPR 2025, arXiv 2501.03729).
//!
//! All pictures are answered at once. Each class is a Gaussian with a diagonal variance over the image features. Its mean and
//! variance are fitted to the pictures it is given, and anchored to the class's text prototype by as much as it is given few:
//! a class that is absent stays where the text says, and does no harm. Neighbouring pictures pull at each other's answers. Every
//! step is in closed form, and nothing is learnt by gradients. Formulas: `docs/transduction.md`.
//!
//! Shapes: n pictures, C classes, d the joint width.

use tch::{Kind as Number, Tensor};

use super::normalize;

/// Steps of the answers between two fits of the Gaussians.
const INNER_STEPS: usize = 5;

/// The weight of the neighbours, and the divisor of the whole exponent.
const LAMBDA: f64 = 50.0;

/// Rows of a block of the picture by picture cosines: their memory is this by n.
const BLOCK: i64 = 1024;

/// The settings of StatA.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StatA {
    /// Neighbours of a picture.
    pub neighbours: usize,
    /// Fits of the Gaussians.
    pub iterations: usize,
}

impl StatA {
    /// Answers (n, C), each row summing to 1, from unit features (n, d), unit text prototypes (C, d) and first answers
    /// (n, C), which are what softmax makes of the cosines at CLIP's temperature.
    pub fn answers(&self, features: &Tensor, prototypes: &Tensor, first: &Tensor) -> Tensor {
        let _no_grad = tch::no_grad_guard();
        let (pictures, neighbours) = (features.size()[0], self.neighbours as i64);
        if pictures < 2 {
            return first.shallow_clone();
        }
        let graph = Graph::nearest(features, neighbours.min(pictures - 1));
        let squares = features.square();
        // Before the first fit every class has the same variance: that of all pictures about the prototypes.
        let spread = Moments::of(first, features, &squares).variance_about(prototypes, first);
        let (mut means, mut variances) = (prototypes.shallow_clone(), spread.expand_as(prototypes));
        let log_first = first.clamp_min(1e-30).log();
        let mut answers = first.shallow_clone();
        for _ in 0..self.iterations {
            let likelihood = log_density(features, &squares, &means, &variances);
            for _ in 0..INNER_STEPS {
                let pulled = graph.sum(&answers) * (LAMBDA / (2.0 * self.neighbours as f64));
                answers = (&log_first + (&likelihood + pulled) / LAMBDA).softmax(-1, None::<Number>);
            }
            (means, variances) = fit(features, &squares, prototypes, &answers, &spread);
        }
        answers
    }
}

/// The Gaussians of the answers, anchored to the prototypes: means and variances, (C, d) each.
fn fit(
    features: &Tensor,
    squares: &Tensor,
    prototypes: &Tensor,
    answers: &Tensor,
    spread: &Tensor,
) -> (Tensor, Tensor) {
    let classes = prototypes.size()[0];
    let count = answers.argmax(1, false).bincount::<&Tensor>(None, classes).to_kind(Number::Float);
    // The share of what is seen; the anchor has the rest, as if one more picture lay at the prototype.
    let seen = (&count / (&count + 1.0)).unsqueeze(1);
    let moments = Moments::of(answers, features, squares);
    let means = normalize(&(normalize(&moments.mean) * &seen + prototypes * (1.0 - &seen)));
    let about_mean = moments.variance(&means);
    let anchor = spread + (prototypes - &means).square();
    let variances = about_mean * &seen + anchor * (1.0 - &seen);
    (means, variances)
}

/// First and second moments of the features under each class's answers, (C, d).
struct Moments {
    mean: Tensor,
    square: Tensor,
}

impl Moments {
    fn of(answers: &Tensor, features: &Tensor, squares: &Tensor) -> Self {
        let weight = answers.sum_dim_intlist([0i64].as_slice(), false, None::<Number>).clamp_min(1e-8).unsqueeze(1);
        let mean = |x: &Tensor| answers.tr().matmul(x) / &weight;
        Moments { mean: mean(features), square: mean(squares) }
    }

    /// Of each class about `centre` (C, d): `E(x - m)^2 = E x^2 - 2 m E x + m^2`. A matrix product instead of n x C x d numbers.
    fn variance(&self, centre: &Tensor) -> Tensor {
        (&self.square - &self.mean * centre * 2.0 + centre.square()).clamp_min(1e-12)
    }

    /// Of all pictures about `centre` (C, d), each class by its share of the answers: (1, d).
    fn variance_about(&self, centre: &Tensor, answers: &Tensor) -> Tensor {
        let shares = answers.mean_dim([0i64].as_slice(), true, None::<Number>);
        shares.matmul(&self.variance(centre))
    }
}

/// Log-density (n, C) of every picture under every class, without the constant.
fn log_density(features: &Tensor, squares: &Tensor, means: &Tensor, variances: &Tensor) -> Tensor {
    let precision = variances.reciprocal();
    let weighted = means * &precision;
    let constant = (means * &weighted + variances.log()).sum_dim_intlist([1i64].as_slice(), false, None::<Number>);
    (features.matmul(&weighted.tr()) * 2.0 - squares.matmul(&precision.tr()) - constant) * 0.5
}

/// Pictures and their nearest neighbours, with the cosine as weight.
struct Graph {
    /// (n, k).
    index: Tensor,
    /// (n, k), not negative.
    weight: Tensor,
}

impl Graph {
    fn nearest(features: &Tensor, neighbours: i64) -> Self {
        let pictures = features.size()[0];
        let (mut index, mut weight) = (Vec::new(), Vec::new());
        for from in (0..pictures).step_by(BLOCK as usize) {
            let rows = features.narrow(0, from, BLOCK.min(pictures - from));
            let own = Tensor::arange_start(from, from + rows.size()[0], (Number::Int64, features.device()));
            let cosines = rows.matmul(&features.tr()).scatter_value(1, &own.unsqueeze(1), -2.0);
            let (best, places) = cosines.topk(neighbours, 1, true, true);
            weight.push(best.clamp_min(0.0));
            index.push(places);
        }
        Graph { index: Tensor::cat(&index, 0), weight: Tensor::cat(&weight, 0) }
    }

    /// `sum_j (w_ij + w_ji) z_j` for every picture i: what its neighbours say, and those whose neighbour it is. (n, C).
    fn sum(&self, answers: &Tensor) -> Tensor {
        let mut sum = Tensor::zeros_like(answers);
        for k in 0..self.index.size()[1] {
            let (index, weight) = (self.index.select(1, k), self.weight.select(1, k).unsqueeze(1));
            sum += answers.index_select(0, &index) * &weight;
            let _ = sum.index_add_(0, &index, &(answers * &weight));
        }
        sum
    }
}
