//! AdamW (Loshchilov and Hutter, ICLR 2019), with moments that can be written to a checkpoint.
//!
//! tch's own optimiser keeps its moments inside libtorch, where they cannot be read: a resumed run
//! could not give the same bits as an uninterrupted one.

use tch::{Device, Tensor};

use crate::cores;
use crate::error::Result;

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
    /// Factor of each parameter's rate.
    factors: Vec<f64>,
    weight_decay: f64,
}

impl AdamW {
    /// Returns a fresh state for these parameters.
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

    /// Takes one step at rate `lr`. A parameter with an undefined gradient (it took no part in the
    /// loss) is unchanged.
    ///
    /// # Errors
    /// Returns [`crate::error::Kind::Internal`] if libtorch fails on another thread; on this thread
    /// it panics.
    pub fn step(&mut self, parameters: &mut [Tensor], gradients: &[Tensor], lr: f64) -> Result<()> {
        self.step += 1;
        let moments = self.first.iter().zip(&self.second);
        let of_each = parameters.iter().zip(gradients).zip(moments).zip(&self.factors);
        let updates: Vec<Update> = of_each
            .filter(|(((_, gradient), _), _)| gradient.defined())
            .map(|(((parameter, gradient), (first, second)), factor)| Update {
                parameter: parameter.shallow_clone(),
                gradient: gradient.shallow_clone(),
                first: first.shallow_clone(),
                second: second.shallow_clone(),
                lr: lr * factor,
            })
            .collect();
        let (step, weight_decay) = (self.step as i32, self.weight_decay);
        let values: usize = updates.iter().map(|update| update.parameter.numel()).sum();
        if values >= WORTH_A_THREAD && updates.iter().all(|update| update.parameter.device() == Device::Cpu) {
            let done = cores::map(updates, move |update| {
                update.apply(step, weight_decay);
                Ok(())
            });
            return done.map(drop);
        }
        updates.into_iter().for_each(|update| update.apply(step, weight_decay));
        Ok(())
    }
}

/// The number of values below which a step takes less time than starting a thread for it.
const WORTH_A_THREAD: usize = 1 << 19;

/// One parameter's part of a step. The tensors share the model's and the optimiser's memory.
struct Update {
    parameter: Tensor,
    gradient: Tensor,
    first: Tensor,
    second: Tensor,
    lr: f64,
}

impl Update {
    /// Applies step number `step`, from 1. Large tensors are bound by memory, so this goes over
    /// them as few times as libtorch allows.
    fn apply(self, step: i32, weight_decay: f64) {
        let _no_grad = tch::no_grad_guard();
        let Update { mut parameter, gradient, mut first, mut second, lr } = self;
        let correction_1 = 1.0 - BETA_1.powi(step);
        let correction_2 = 1.0 - BETA_2.powi(step);
        let _ = first.lerp_(&gradient, 1.0 - BETA_1);
        let _ = second.lerp_(&gradient.square(), 1.0 - BETA_2);
        if lr == 0.0 {
            return;
        }
        // -(sqrt(v / c2) + eps) c1 / lr: the moment divided by this is added to the parameter.
        let scale = -correction_1 / lr;
        let mut divisor = second.sqrt();
        let _ = divisor.g_mul_scalar_(scale / correction_2.sqrt()).g_add_scalar_(scale * EPSILON);
        // Decay is decoupled from the gradient: it is not divided by the second moment.
        let _ = parameter.g_mul_scalar_(1.0 - lr * weight_decay).addcdiv_(&first, &divisor);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_the_formula() {
        let start = [0.5_f64, -0.25, 2.0];
        let mut parameters = [Tensor::from_slice(&start), Tensor::from_slice(&[1.0_f64])];
        let undefined = Tensor::new();
        let mut optimiser = AdamW::new(&parameters, 0.1).with_factors(vec![2.0, 1.0]);
        let (mut wanted, mut first, mut second) = (start, [0.0; 3], [0.0; 3]);
        for (step, lr) in [(1, 0.01), (2, 0.008), (3, 0.001), (4, 0.0)] {
            let gradient = [0.3 * f64::from(step), -4.0, 1e-6];
            let gradients = [Tensor::from_slice(&gradient), undefined.shallow_clone()];
            optimiser.step(&mut parameters, &gradients, lr).unwrap();
            for n in 0..3 {
                first[n] = 0.9 * first[n] + 0.1 * gradient[n];
                second[n] = 0.999 * second[n] + 0.001 * gradient[n] * gradient[n];
                let (m, v) = (first[n] / (1.0 - 0.9_f64.powi(step)), second[n] / (1.0 - 0.999_f64.powi(step)));
                wanted[n] -= 2.0 * lr * (0.1 * wanted[n] + m / (v.sqrt() + 1e-8));
            }
        }
        let got = Vec::<f64>::try_from(&parameters[0]).unwrap();
        assert!(got.iter().zip(wanted).all(|(got, wanted)| (got - wanted).abs() < 1e-12), "{got:?}, not {wanted:?}");
        assert_eq!(parameters[1].double_value(&[0]), 1.0, "without a gradient it stays");
    }
}
