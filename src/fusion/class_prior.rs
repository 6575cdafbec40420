//! How often each class occurs, estimated without a label.
//!
//! Expectation maximisation after Saerens, Latinne and Decaestecker (Neural Computation 14, 2002): a classifier that gives every
//! class the same prior is asked about all pictures; the mean of its answers is a better prior, by which its answers are
//! weighted anew, and so on. It finds the shares under which the answers are most likely.

use tch::{Kind as Number, Tensor};

/// Rounds of expectation and maximisation.
const ROUNDS: usize = 50;

/// Pictures that every class is taken to have besides those that are seen: keeps a class that no picture looks like from
/// a share of zero, from which it could not come back.
const PSEUDO_COUNT: f64 = 1.0;

/// Shares (C) that sum to 1, from class probabilities (rows, C) made under a uniform prior.
pub fn estimate(probabilities: &Tensor) -> Tensor {
    let _no_grad = tch::no_grad_guard();
    let (rows, classes) = (probabilities.size()[0] as f64, probabilities.size()[1]);
    let mut shares = Tensor::full([classes], 1.0 / classes as f64, (Number::Float, probabilities.device()));
    for _ in 0..ROUNDS {
        let weighted = probabilities * &shares;
        let answers = &weighted / weighted.sum_dim_intlist([1i64].as_slice(), true, None::<Number>).clamp_min(1e-30);
        let counts = answers.sum_dim_intlist([0i64].as_slice(), false, None::<Number>);
        shares = (counts + PSEUDO_COUNT) / (rows + PSEUDO_COUNT * classes as f64);
    }
    shares
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_shares_that_the_answers_were_drawn_from() {
        // 80 pictures of class 0, 15 of class 1, 5 of class 2; the classifier is calibrated: seven times in ten it says the
        // class, else one of the others.
        let mut rows = Vec::new();
        for (class, count) in [(0usize, 800), (1, 150), (2, 50)] {
            for n in 0..count {
                let said = if n % 20 < 14 { class } else { (class + 1 + n % 2) % 3 };
                rows.extend((0..3).map(|c| if c == said { 0.7_f32 } else { 0.15 }));
            }
        }
        let probabilities = Tensor::from_slice(&rows).view([-1, 3]);
        let shares = Vec::<f32>::try_from(estimate(&probabilities)).unwrap();
        for (share, truth) in shares.iter().zip([0.80, 0.15, 0.05]) {
            assert!((share - truth).abs() < 0.02, "{shares:?}");
        }
        // Their plain mean is far from it.
        let mean = probabilities.mean_dim([0i64].as_slice(), false, Number::Float);
        assert!(mean.double_value(&[0]) < 0.62);
    }
}
