//! AdamW (Loshchilov and Hutter, ICLR 2019), with moments that can be written to a checkpoint.
//!
//! tch's own optimiser keeps its moments inside libtorch, out of reach: a run that is resumed from one could not give
//! the bits of a run that was not stopped.

use tch::Tensor;

const BETA_1: f64 = 0.9;
const BETA_2: f64 = 0.999;
const EPSILON: f64 = 1e-8;

/// The optimiser's state for a fixed list of parameters.
#[derive(Debug)]
pub struct AdamW {
    /// First moments, in the order of the parameters.
    pub first: Vec<Tensor>,
    /// Second moments, in the order of the parameters.
    pub second: Vec<Tensor>,
    /// Steps taken.
    pub step: i64,
    /// Of each parameter's rate.
    factors: Vec<f64>,
    weight_decay: f64,
}

impl AdamW {
    /// A fresh state for these parameters.
    pub fn new(parameters: &[Tensor], weight_decay: f64) -> Self {
        let zeros = || parameters.iter().map(|p| p.detach().zeros_like()).collect();
        AdamW { first: zeros(), second: zeros(), step: 0, factors: vec![1.0; parameters.len()], weight_decay }
    }

    /// Multiplies the rate of each parameter by its factor.
    #[must_use]
    pub fn with_factors(mut self, factors: Vec<f64>) -> Self {
        self.factors = factors;
        self
    }

    /// One step at rate `lr` from the parameters' gradients, which are then cleared.
    pub fn step(&mut self, parameters: &mut [Tensor], lr: f64) {
        let _no_grad = tch::no_grad_guard();
        self.step += 1;
        let correction_1 = 1.0 - BETA_1.powi(self.step as i32);
        let correction_2 = 1.0 - BETA_2.powi(self.step as i32);
        let moments = self.first.iter_mut().zip(&mut self.second);
        for ((parameter, (first, second)), factor) in parameters.iter_mut().zip(moments).zip(&self.factors) {
            let lr = lr * factor;
            let gradient = parameter.grad();
            if !gradient.defined() {
                continue;
            }
            let _ = first.g_mul_scalar_(BETA_1).g_add_(&(&gradient * (1.0 - BETA_1)));
            let _ = second.g_mul_scalar_(BETA_2).g_add_(&(&gradient * &gradient * (1.0 - BETA_2)));
            let denominator = second.sqrt() / correction_2.sqrt() + EPSILON;
            let update = &*first / denominator * (lr / correction_1);
            // Decay is decoupled from the gradient: it is not divided by the second moment.
            let _ = parameter.g_mul_scalar_(1.0 - lr * self.weight_decay).g_sub_(&update);
            parameter.zero_grad();
        }
    }
}
